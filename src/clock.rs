//! The only reader of the wall clock, so that tests can move time by hand and every
//! check takes `now` as an argument.
//!
//! Deadlines on sockets use tokio's monotonic clock; this one is for claims,
//! certificates, agreements and the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now {
    ms: i64,
}

impl Now {
    /// From whole seconds since the epoch; saturates at the ends of `i64`.
    pub const fn from_secs(secs: i64) -> Self {
        Self { ms: secs.saturating_mul(1000) }
    }

    pub const fn from_ms(ms: i64) -> Self {
        Self { ms }
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.ms.div_euclid(1000)
    }

    pub const fn ms(self) -> i64 {
        self.ms
    }

    /// The civil day in Asia/Shanghai, in which agreements and licenses count
    /// (UTC+8 without daylight saving since 1991).
    pub fn shanghai_day(self) -> jiff::civil::Date {
        let at = jiff::Timestamp::from_millisecond(self.ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        jiff::tz::Offset::constant(8).to_datetime(at).date()
    }
}

/// Tells the time. Cheap to clone; clones of a hand-moved clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Hand(Arc<AtomicI64>),
}

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn by_hand(start: Now) -> Self {
        Self(Source::Hand(Arc::new(AtomicI64::new(start.ms))))
    }

    pub fn now(&self) -> Now {
        match &self.0 {
            Source::System => Now {
                ms: SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            },
            Source::Hand(ms) => Now { ms: ms.load(Ordering::SeqCst) },
        }
    }

    /// Moves a hand-moved clock by `ms` milliseconds; a system clock does not move.
    pub fn advance(&self, ms: i64) {
        if let Source::Hand(at) = &self.0 {
            at.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_turns_at_midnight_in_shanghai() {
        let last = Now::from_secs(1_785_599_999); // 2026-08-01T23:59:59+08:00
        assert_eq!(last.shanghai_day().to_string(), "2026-08-01");
        assert_eq!(Now::from_secs(last.secs() + 1).shanghai_day().to_string(), "2026-08-02");
    }
}
