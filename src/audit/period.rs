//! How long evidence is kept: class by class, month by month (Asia/Shanghai).
//!
//! A month may go when all of it is older than its class's period: at midnight after the last
//! of the months to be kept. Arithmetic only; dropping is [`super::retention`]'s.

use crate::clock::Now;
use crate::ledger::{Month, RetentionClass};

/// Months below which nobody's setting goes. Three years for exchanges that provided data
/// (网络数据安全管理条例 art. 12), six months for other logs (网络安全法 art. 21).
pub const LEAST_PROVISION_MONTHS: u32 = 36;
pub const LEAST_OTHER_MONTHS: u32 = 6;
/// A century: beyond that a setting is a slip of the hand.
pub const MOST_MONTHS: u32 = 1200;

/// The settings `[ledger] keep_provision_months` and `keep_other_months`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    pub provision: u32,
    pub other: u32,
}

impl Default for Periods {
    fn default() -> Self {
        Self { provision: LEAST_PROVISION_MONTHS, other: LEAST_OTHER_MONTHS }
    }
}

impl Periods {
    fn months(self, class: RetentionClass) -> u32 {
        match class {
            RetentionClass::Provision => self.provision,
            RetentionClass::Other => self.other,
        }
    }

    /// May the month of that moment be dropped at `now`?
    pub fn is_over(self, class: RetentionClass, month: Month, now: Now) -> bool {
        let Some(month) = month_number(month) else { return false };
        let kept = i64::from(self.months(class));
        month_number(Month::at(now)).is_some_and(|present| present > month.saturating_add(kept))
    }
}

/// The law's own period of a row written at `written` (milliseconds) is over at `now`: then it
/// may be erased without a further legal basis.
pub fn is_past_floor(class: RetentionClass, written: i64, now: Now) -> bool {
    let months = match class {
        RetentionClass::Provision => LEAST_PROVISION_MONTHS,
        RetentionClass::Other => LEAST_OTHER_MONTHS,
    };
    let kept = jiff::Span::new().months(i64::from(months));
    Now::from_ms(written).shanghai_day().checked_add(kept).is_ok_and(|end| now.shanghai_day() > end)
}

/// Months since year 0.
fn month_number(month: Month) -> Option<i64> {
    let name = month.to_string();
    let (year, month) = name.split_once('-')?;
    Some(year.parse::<i64>().ok()? * 12 + month.parse::<i64>().ok()? - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Midnight in Shanghai.
    fn day(text: &str) -> Now {
        let at: jiff::Timestamp = format!("{text}T00:00:00+08:00").parse().unwrap();
        Now::from_ms(at.as_millisecond())
    }

    #[test]
    fn a_month_goes_at_the_midnight_after_its_last_kept_month() {
        let periods = Periods::default();
        for (class, month, goes) in [
            (RetentionClass::Provision, "2026-11", "2029-12-01"),
            (RetentionClass::Other, "2026-11", "2027-06-01"),
            (RetentionClass::Provision, "2026-12", "2030-01-01"),
            (RetentionClass::Other, "2026-07", "2027-02-01"),
        ] {
            let (goes, month) = (day(goes), Month::parse(month).unwrap());
            assert!(periods.is_over(class, month, goes), "{month}");
            assert!(!periods.is_over(class, month, Now::from_ms(goes.ms() - 1)), "{month}");
        }
    }

    #[test]
    fn every_row_of_a_dropped_month_is_past_the_floor() {
        let periods = Periods::default();
        let last = Now::from_ms(day("2026-12-01").ms() - 1);
        for (class, goes) in
            [(RetentionClass::Provision, "2029-12-01"), (RetentionClass::Other, "2027-06-01")]
        {
            assert!(periods.is_over(class, Month::parse("2026-11").unwrap(), day(goes)));
            assert!(is_past_floor(class, last.ms(), day(goes)));
            assert!(!is_past_floor(class, last.ms(), Now::from_ms(day(goes).ms() - 3 * 86_400_000)));
        }
    }
}
