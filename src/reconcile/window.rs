//! The stretch of time that is compared at once.

use serde::{Deserialize, Serialize};

use crate::clock::Now;

/// Windows are made of whole minutes: few enough to sign, short enough to name a fault.
pub const MINUTE: i64 = 60;
/// The longest window, seconds: a quiet pair signs once an hour.
pub const MOST_SECONDS: i64 = 3_600;
/// A window is compared this long after its end (seconds). By then whatever fell into it has
/// been answered or never will be: the clocks' skew and the slowest answer are a minute.
pub const SETTLED_AFTER: i64 = 600;
/// Places of exchanges are kept for so long (seconds, 40 days).
pub const KEPT: i64 = 40 * 86_400;
/// A window that began longer ago is compared no more (seconds, 35 days): its exchanges'
/// places are about to be forgotten, a parcel's a day before its window.
pub const OLDEST: i64 = 35 * 86_400;
/// A pair that has not met for longer goes on from here (seconds, 34 days): its proposals must
/// arrive before they are too old.
pub const CAUGHT_UP: i64 = 34 * 86_400;
/// Items after which a window need not wait for its hour to be over: a busy pair signs every
/// minute, and a signature pays for at least so many exchanges.
pub const ENOUGH: u32 = 256;

/// `[from, to)` in seconds since 1970, on the moments of exchanges ([`super::moment`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    pub from: i64,
    pub to: i64,
}

/// Why a stretch of time is no window, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowFault {
    #[error("is not between one minute and one hour of whole minutes")]
    Bounds,
    #[error("ended less than ten minutes ago")]
    Unsettled,
    #[error("began more than 35 days ago")]
    TooOld,
}

impl WindowFault {
    /// The member of the body and the rule that it breaks, in both languages.
    pub const fn told(self) -> [&'static str; 4] {
        match self {
            Self::Bounds => [
                "/window/to",
                "window",
                "is not one minute to one hour after from",
                "须晚于from一分钟至一小时",
            ],
            Self::Unsettled => ["/window/to", "settled", "is less than ten minutes ago", "结束未满十分钟"],
            Self::TooOld => ["/window/from", "kept", "is more than 35 days ago", "起始已超过三十五天"],
        }
    }
}

impl Window {
    pub fn check(self, now: Now) -> Result<(), WindowFault> {
        let long = self.to.saturating_sub(self.from);
        let aligned = self.from % MINUTE == 0 && self.to % MINUTE == 0;
        if self.from < 0 || !aligned || !(MINUTE..=MOST_SECONDS).contains(&long) {
            return Err(WindowFault::Bounds);
        }
        if self.from < now.secs() - OLDEST {
            return Err(WindowFault::TooOld);
        }
        if self.to > now.secs() - SETTLED_AFTER { Err(WindowFault::Unsettled) } else { Ok(()) }
    }

    /// The minute that `secs` is in.
    pub const fn minute(secs: i64) -> i64 {
        secs - secs.rem_euclid(MINUTE)
    }

    /// Up to where windows from `from` may reach at `now`: what is settled, and no further than
    /// the full hour, so that hours can be shown.
    pub fn reach(from: i64, now: Now) -> Option<Self> {
        let settled = Self::minute(now.secs() - SETTLED_AFTER);
        let hour = from - from.rem_euclid(MOST_SECONDS) + MOST_SECONDS;
        let to = settled.min(hour);
        (to >= from + MINUTE).then_some(Self { from, to })
    }

    /// Ends with a full hour: waiting adds nothing to it.
    pub const fn is_full(self) -> bool {
        self.to % MOST_SECONDS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 1_900_000_800; // a full hour

    fn at(secs: i64) -> Now {
        Now::from_secs(secs)
    }

    #[test]
    fn a_window_is_one_minute_to_one_hour_of_whole_minutes_and_settled() {
        let late = at(HOUR + 10_000);
        let judge = |from, to| Window { from, to }.check(late);
        assert_eq!(judge(HOUR, HOUR + 60), Ok(()));
        assert_eq!(judge(HOUR, HOUR + 3_600), Ok(()));
        for (from, to) in
            [(HOUR, HOUR), (HOUR, HOUR + 59), (HOUR + 1, HOUR + 61), (HOUR, HOUR + 3_660), (HOUR, HOUR - 60)]
        {
            assert_eq!(judge(from, to), Err(WindowFault::Bounds), "{from} {to}");
        }
        assert_eq!(Window { from: i64::MIN, to: i64::MAX }.check(late), Err(WindowFault::Bounds));
        let minute = Window { from: HOUR, to: HOUR + 60 };
        assert_eq!(minute.check(at(HOUR + 659)), Err(WindowFault::Unsettled));
        assert_eq!(minute.check(at(HOUR + 660)), Ok(()));
        assert_eq!(minute.check(at(HOUR + OLDEST)), Ok(()));
        assert_eq!(minute.check(at(HOUR + OLDEST + 1)), Err(WindowFault::TooOld));
        const { assert!(CAUGHT_UP < OLDEST && OLDEST + 86_400 < KEPT) };
    }

    #[test]
    fn windows_reach_to_what_is_settled_and_not_over_the_hour() {
        assert_eq!(HOUR % 3_600, 0);
        assert_eq!(Window::reach(HOUR, at(HOUR + 659)), None);
        assert_eq!(Window::reach(HOUR, at(HOUR + 719)), Some(Window { from: HOUR, to: HOUR + 60 }));
        let whole = Window::reach(HOUR + 120, at(HOUR + 90_000)).unwrap();
        assert_eq!(whole, Window { from: HOUR + 120, to: HOUR + 3_600 });
        assert!(whole.is_full());
        assert_eq!(Window::minute(HOUR + 59), HOUR);
    }
}
