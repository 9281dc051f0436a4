//! The two periods of the log, both in Asia/Shanghai: the half-year of a tree, the month of
//! a file.

use std::fmt;

use crate::clock::Now;

/// A half-year: one Merkle tree, `2026h2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    year: i16,
    half: u8,
}

impl Shard {
    pub fn at(now: Now) -> Self {
        Month::at(now).shard()
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (year, half) = text.split_once('h')?;
        let half = match half {
            "1" => 1,
            "2" => 2,
            _ => return None,
        };
        Some(Self { year: four_digits(year)?, half })
    }

    /// The half-year after this one.
    #[must_use]
    pub fn next(self) -> Self {
        if self.half == 1 { Self { half: 2, ..self } } else { Self { year: self.year + 1, half: 1 } }
    }

    pub fn first_month(self) -> Month {
        Month { year: self.year, month: if self.half == 1 { 1 } else { 7 } }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}h{}", self.year, self.half)
    }
}

/// A month: one file, `2026-11`, that can be dropped at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: u8,
}

impl Month {
    pub fn at(now: Now) -> Self {
        let day = now.shanghai_day();
        Self { year: day.year(), month: day.month().unsigned_abs() }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let plain = month.len() == 2 && month.bytes().all(|b| b.is_ascii_digit());
        let month = month.parse().ok().filter(|m| plain && (1..=12).contains(m))?;
        Some(Self { year: four_digits(year)?, month })
    }

    /// The month after this one.
    #[must_use]
    pub fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1 }
        } else {
            Self { month: self.month + 1, ..self }
        }
    }

    /// Its milliseconds in Asia/Shanghai, half open.
    pub fn span_ms(self) -> (i64, i64) {
        (self.begin_ms(), self.next().begin_ms())
    }

    fn begin_ms(self) -> i64 {
        let month = i8::try_from(self.month).unwrap_or(1);
        let day = jiff::civil::Date::new(self.year, month, 1).unwrap_or_default();
        let at = jiff::tz::Offset::constant(8).to_timestamp(day.to_datetime(jiff::civil::Time::midnight()));
        at.map_or(0, jiff::Timestamp::as_millisecond)
    }

    pub fn shard(self) -> Shard {
        Shard { year: self.year, half: if self.month <= 6 { 1 } else { 2 } }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

fn four_digits(text: &str) -> Option<i16> {
    let plain = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_turn_at_midnight_in_shanghai() {
        let new_year = Now::from_secs(1_798_732_800); // 2027-01-01T00:00:00+08:00
        let before = Now::from_secs(new_year.secs() - 1);
        assert_eq!(
            (Shard::at(before).to_string(), Shard::at(new_year).to_string()),
            ("2026h2".into(), "2027h1".into())
        );
        assert_eq!(
            (Month::at(before).to_string(), Month::at(new_year).to_string()),
            ("2026-12".into(), "2027-01".into())
        );
        let (december, january) = (Month::at(before), Month::at(new_year));
        assert_eq!(december.next(), january);
        assert_eq!((december.span_ms().1, january.span_ms().0), (new_year.ms(), new_year.ms()));
        assert_eq!(january.span_ms().1 - new_year.ms(), 31 * 86_400_000);
        assert_eq!(Shard::at(before).next(), Shard::at(new_year));
        assert!(Shard::at(before) < Shard::at(new_year) && Month::at(before) < Month::at(new_year));
    }

    #[test]
    fn names_read_back_and_others_do_not() {
        for name in ["2026h1", "2026h2"] {
            assert_eq!(Shard::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(Month::parse("2026-11").unwrap().to_string(), "2026-11");
        for name in
            ["2026h3", "26h1", "2026h", "2026h12", "+026h1", "2026-13", "2026-1", "2026-00", "2026-011", ""]
        {
            assert!(Shard::parse(name).is_none() && Month::parse(name).is_none(), "{name}");
        }
    }
}
