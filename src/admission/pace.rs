//! How fast the line moves, from what those who stood in it waited.

use std::time::Duration;

/// The last so many waits weigh most: some ten milliseconds of a busy gateway, so that a disk
/// that recovers is noticed at once, and one hiccup is one of many.
const MEMORY: u64 = 64;
/// Fractions of a place, so that means of few places are exact.
const FINE: u64 = 1024;

/// Two decaying sums, of the places that were stood behind and of the nanoseconds it took. Their
/// ratio is a mean that weighs by length: a lone caller's wait, which is one flush of the disk,
/// says little of what a place in a long line costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    places: u64,
    nanos: u64,
}

impl Pace {
    /// Somebody stood at the end of a line of so many (itself included) and got through in `took`.
    pub fn learn(&mut self, length: usize, took: Duration) {
        let length = u64::try_from(length.max(1)).unwrap_or(u64::MAX).saturating_mul(FINE);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.places = (self.places - self.places / MEMORY).saturating_add(length);
        self.nanos = (self.nanos - self.nanos / MEMORY).saturating_add(nanos);
    }

    /// How many get through in so long; `None` before anybody has.
    pub fn places_in(&self, time: Duration) -> Option<usize> {
        if self.places == 0 {
            return None;
        }
        let places =
            u128::from(self.places) * time.as_nanos() / u128::from(FINE) / u128::from(self.nanos.max(1));
        Some(usize::try_from(places).unwrap_or(usize::MAX))
    }

    /// How long so many take.
    pub fn time_of(&self, length: usize) -> Duration {
        let fine = u128::try_from(length).unwrap_or(u128::MAX).saturating_mul(u128::from(FINE));
        let nanos = fine.saturating_mul(u128::from(self.nanos)) / u128::from(self.places.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_steady_line_is_known_exactly() {
        let mut pace = Pace::default();
        assert_eq!(pace.places_in(50 * MS), None);
        for _ in 0..1_000 {
            pace.learn(100, 20 * MS);
        }
        assert_eq!(pace.places_in(50 * MS), Some(250));
        assert!((49_990..=50_000).contains(&pace.time_of(250).as_micros()));
    }

    #[test]
    fn a_lone_callers_flush_says_little_of_a_long_line() {
        let mut pace = Pace::default();
        for _ in 0..200 {
            pace.learn(200, 20 * MS);
            pace.learn(1, 10 * MS);
        }
        // Of the lone waits alone one would think that five fit.
        assert!(pace.places_in(50 * MS).is_some_and(|places| places > 300), "{pace:?}");
    }

    #[test]
    fn a_disk_that_recovers_is_noticed_within_some_hundred_exchanges() {
        let mut pace = Pace::default();
        (0..500).for_each(|_| pace.learn(256, 1_000 * MS));
        assert_eq!(pace.places_in(50 * MS), Some(12));
        let recovered = (0..).take_while(|_| {
            pace.learn(256, 50 * MS);
            pace.places_in(50 * MS) < Some(128)
        });
        assert!(recovered.count() < 256);
    }
}
