//! What several rounds brought.

use std::fmt;

/// Median, least and most of the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// What was measured once.
    pub const fn once(figure: f64) -> Self {
        Self { median: figure, least: figure, most: figure }
    }

    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, *sorted.get(middle)?)
        } else {
            *sorted.get(middle)?
        };
        Some(Self { median, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.median >= 100.0 { 0 } else { 2 };
        let Self { median, least, most } = self;
        if least == most {
            return write!(f, "{median:.places$}");
        }
        write!(f, "{median:.places$} ({least:.places$}–{most:.places$})")
    }
}
