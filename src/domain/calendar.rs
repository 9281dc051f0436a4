//! Which days are working days (工作日) in mainland China, so that a deadline can be counted.
//!
//! Promises: the answer is the State Council's, 调休 included; a year without a published
//! calendar is [`Unpublished`], never a guess; counting looks only at the days it counts,
//! so that a deadline this December does not wait for next year's notice.
//! Reading further years from an operator's folder is left to [`crate::schema`], rules
//! about deadlines to [`super::limit`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use jiff::civil::{Date, Weekday};
use serde::Deserialize;

/// One year as the notice of its autumn before sets it (`schemas/calendar-year.json`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarYear {
    pub year: i16,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub title_zh: String,
    /// 文号 of the State Council's notice.
    pub notice: String,
    /// The day of the notice.
    pub published: Date,
    /// Holidays and days off in exchange; weekend days inside a holiday may be named.
    pub off: BTreeSet<Date>,
    /// Saturdays and Sundays worked in exchange (调休).
    pub work: BTreeSet<Date>,
}

/// The working days of the years that are published here. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    years: BTreeMap<i16, Arc<CalendarYear>>,
}

/// A deadline reaches into a year whose calendar nobody has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the working-day calendar of {year} is not loaded")]
pub struct Unpublished {
    pub year: i16,
}

/// The files of `schemas/calendar/`, one a year.
const SHIPPED: [&str; 3] = [
    include_str!("../../schemas/calendar/2024.json"),
    include_str!("../../schemas/calendar/2025.json"),
    include_str!("../../schemas/calendar/2026.json"),
];

impl Calendar {
    /// The years built into the binary: 2024, 2025 and 2026.
    pub fn shipped() -> &'static Self {
        static SHIPPED_YEARS: OnceLock<Calendar> = OnceLock::new();
        SHIPPED_YEARS.get_or_init(|| {
            #[expect(clippy::expect_used, reason = "the files are part of the binary; a test reads them")]
            let year = |text: &&str| serde_json::from_str(text).expect("a shipped calendar is well formed");
            Self { years: BTreeMap::new() }.with(SHIPPED.iter().map(year))
        })
    }

    /// This calendar with further years; a year that is already here is replaced.
    #[must_use]
    pub fn with(&self, years: impl IntoIterator<Item = CalendarYear>) -> Self {
        let mut all = self.years.clone();
        all.extend(years.into_iter().map(|year| (year.year, Arc::new(year))));
        Self { years: all }
    }

    /// The years loaded, the earliest first.
    pub fn years(&self) -> impl Iterator<Item = &CalendarYear> {
        self.years.values().map(Arc::as_ref)
    }

    pub fn is_working_day(&self, day: Date) -> Result<bool, Unpublished> {
        let year = self.years.get(&day.year()).ok_or(Unpublished { year: day.year() })?;
        let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        Ok(if weekend { year.work.contains(&day) } else { !year.off.contains(&day) })
    }

    /// The `count`th working day after `day`, which itself is not counted. 0 is `day`, or
    /// the first working day after it if it is none.
    pub fn add_working_days(&self, day: Date, count: u32) -> Result<Date, Unpublished> {
        let (mut at, mut left) = (day, count);
        if left == 0 && !self.is_working_day(at)? {
            left = 1;
        }
        while left > 0 {
            at = next(at)?;
            left -= u32::from(self.is_working_day(at)?);
        }
        Ok(at)
    }

    /// How many working days lie after `from` up to and including `to`: 0 if `to` is not
    /// later. What [`Calendar::add_working_days`] added is what this counts.
    pub fn working_days_between(&self, from: Date, to: Date) -> Result<u32, Unpublished> {
        let (mut at, mut count) = (from, 0);
        while at < to {
            at = next(at)?;
            count += u32::from(self.is_working_day(at)?);
        }
        Ok(count)
    }
}

fn next(day: Date) -> Result<Date, Unpublished> {
    day.tomorrow().map_err(|_| Unpublished { year: day.year() })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/vectors/domain.json")).unwrap()
    }

    fn day(text: &serde_json::Value) -> Date {
        text.as_str().unwrap().parse().unwrap()
    }

    fn working_days_of(year: i16) -> u32 {
        let mut days = date(year, 1, 1).series(jiff::Span::new().days(1)).take_while(|d| d.year() == year);
        let calendar = Calendar::shipped();
        days.try_fold(0, |n, d| Ok::<_, Unpublished>(n + u32::from(calendar.is_working_day(d)?))).unwrap()
    }

    #[test]
    fn the_shipped_years_have_their_working_days_and_notices() {
        let shipped: Vec<_> = Calendar::shipped()
            .years()
            .map(|y| (y.year, working_days_of(y.year), y.notice.as_str(), y.published.to_string()))
            .collect();
        assert_eq!(
            shipped,
            [
                (2024, 251, "国办发明电〔2023〕7号", "2023-10-25".to_owned()),
                (2025, 248, "国办发明电〔2024〕12号", "2024-11-12".to_owned()),
                (2026, 248, "国办发明电〔2025〕7号", "2025-11-04".to_owned()),
            ]
        );
    }

    #[test]
    fn the_shipped_tables_are_the_published_ones() {
        for (year, table) in vectors()["calendar"].as_object().unwrap() {
            let shipped = Calendar::shipped().years().find(|y| y.year.to_string() == *year).unwrap();
            for (name, days) in [("off", &shipped.off), ("work", &shipped.work)] {
                let published: BTreeSet<Date> = table[name].as_array().unwrap().iter().map(day).collect();
                assert_eq!(*days, published, "{year} {name}");
            }
        }
    }

    #[test]
    fn every_published_count_is_reproduced_both_ways() {
        for row in vectors()["deadline"].as_array().unwrap() {
            let (from, count, to) = (day(&row[0]), row[1].as_u64().unwrap() as u32, day(&row[2]));
            assert_eq!(Calendar::shipped().add_working_days(from, count), Ok(to), "{from}+{count}");
            assert_eq!(Calendar::shipped().working_days_between(from, to), Ok(count), "{from}..{to}");
        }
    }

    #[test]
    fn a_saturday_worked_in_exchange_is_a_working_day() {
        let calendar = Calendar::shipped();
        for (day, worked) in [
            (date(2026, 2, 14), true),  // 周六，春节调休上班
            (date(2026, 2, 21), false), // 周六，春节假期
            (date(2026, 3, 7), false),  // 一个平常的周六
            (date(2026, 9, 20), true),  // 周日，国庆调休上班
            (date(2026, 10, 1), false),
            (date(2026, 10, 8), true),
            (date(2026, 10, 10), true), // 周六，国庆调休上班
        ] {
            assert_eq!(calendar.is_working_day(day), Ok(worked), "{day}");
        }
        assert_eq!(calendar.add_working_days(date(2026, 10, 9), 1), Ok(date(2026, 10, 10)));
    }

    #[test]
    fn counting_crosses_the_national_holiday() {
        let calendar = Calendar::shipped();
        assert_eq!(calendar.add_working_days(date(2026, 9, 30), 2), Ok(date(2026, 10, 9)));
        assert_eq!(calendar.add_working_days(date(2026, 10, 3), 1), Ok(date(2026, 10, 8)));
        assert_eq!(calendar.working_days_between(date(2026, 9, 30), date(2026, 10, 7)), Ok(0));
        assert_eq!(calendar.working_days_between(date(2026, 10, 7), date(2026, 9, 30)), Ok(0));
    }

    #[test]
    fn no_day_at_all_is_the_day_itself_or_the_next_that_is_worked() {
        let calendar = Calendar::shipped();
        assert_eq!(calendar.add_working_days(date(2026, 9, 30), 0), Ok(date(2026, 9, 30)));
        assert_eq!(calendar.add_working_days(date(2026, 10, 1), 0), Ok(date(2026, 10, 8)));
    }

    #[test]
    fn an_unpublished_year_is_an_error_and_only_when_it_is_needed() {
        let calendar = Calendar::shipped();
        let unpublished = Err(Unpublished { year: 2027 });
        assert_eq!(calendar.add_working_days(date(2026, 12, 30), 1), Ok(date(2026, 12, 31)));
        assert_eq!(calendar.add_working_days(date(2026, 12, 30), 2), unpublished);
        assert_eq!(calendar.is_working_day(date(2027, 1, 4)), Err(Unpublished { year: 2027 }));
        assert_eq!(calendar.working_days_between(date(2026, 12, 1), date(2026, 12, 31)), Ok(22));
        assert_eq!(calendar.add_working_days(date(2023, 12, 31), 1), Ok(date(2024, 1, 2)));
        assert_eq!(calendar.add_working_days(Date::MAX, 1), Err(Unpublished { year: 9999 }));
    }

    #[test]
    fn a_further_year_is_added_and_a_known_one_replaced() {
        let of = |year, off: &str| CalendarYear {
            year,
            title: String::new(),
            title_zh: String::new(),
            notice: "测试".into(),
            published: date(2026, 11, 5),
            off: [off.parse().unwrap()].into(),
            work: BTreeSet::new(),
        };
        let calendar = Calendar::shipped().with([of(2027, "2027-01-01"), of(2026, "2026-12-31")]);
        assert_eq!(calendar.add_working_days(date(2026, 12, 30), 1), Ok(date(2027, 1, 4)));
        assert_eq!(calendar.is_working_day(date(2026, 10, 1)), Ok(true));
        assert_eq!(Calendar::shipped().is_working_day(date(2026, 10, 1)), Ok(false));
    }

    proptest::proptest! {
        #[test]
        fn adding_and_counting_undo_each_other(offset in 0_i64..700, count in 1_u32..60) {
            let from = date(2024, 1, 1).checked_add(jiff::Span::new().days(offset)).unwrap();
            let to = Calendar::shipped().add_working_days(from, count).unwrap();
            proptest::prop_assert_eq!(Calendar::shipped().is_working_day(to), Ok(true));
            proptest::prop_assert_eq!(Calendar::shipped().working_days_between(from, to), Ok(count));
        }
    }
}
