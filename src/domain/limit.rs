//! Time limits (法定时限, 承诺时限, 核验时限) and the moment at which one runs out.
//!
//! Promises: both sides of a case compute the same moment from the same events; a limit
//! that needs an unpublished calendar is an error.
//!
//! | rule | source |
//! |---|---|
//! | a day counts by the civil day of Asia/Shanghai; the day on which the clock starts is not counted | 民法典 201 |
//! | “days” of administrative licensing are working days | 行政许可法 82 |
//! | a limit in calendar days or months whose last day is no working day ends with the next working day | 民法典 203 |
//! | a limit in months ends on the day of the same number, or on the month's last day | 民法典 202 |
//! | a limit in days ends when its last day does, 23:59:59+08:00 | 民法典 203 |
//! | a limit in hours runs from the moment itself, without regard to days | 民法典 201 |
//! | time spent in 听证 招标 检验 检测 检疫 鉴定 专家评审 is not counted | 行政许可法 45 |
//!
//! What starts, pauses or extends the clock of a case is left to the case.

use jiff::civil::Date;
use jiff::{Span, tz::Offset};
use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, Unpublished};
use crate::clock::Now;

/// How long something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeLimit {
    pub value: u32,
    pub unit: TimeUnit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    WorkingDay,
    CalendarDay,
    Hour,
}

/// From when to when a clock stood still; `None`: it still does.
pub type Pause = (Now, Option<Now>);

impl TimeLimit {
    pub const fn working_days(value: u32) -> Self {
        Self { value, unit: TimeUnit::WorkingDay }
    }

    /// The limit with an extension in its own unit (+10 days, 行政许可法 42; +30 days, 居民身份证法 12).
    #[must_use]
    pub const fn extended_by(self, more: u32) -> Self {
        Self { value: self.value.saturating_add(more), unit: self.unit }
    }
}

/// The last moment of `limit`, counted from `start`.
///
/// A limit of 0 days ends with the day of `start`, or with the next working day.
pub fn due(start: Now, limit: TimeLimit, calendar: &Calendar) -> Result<Now, Unpublished> {
    ends(start, limit, 0, calendar)
}

/// [`due`] of a clock that stood still now and then.
///
/// In days, a pause gives back the days after the one on which it began, up to the one on
/// which it ended: the day it began was still worked on, the day it ended is not counted
/// again, as at the start. A pause within one day gives nothing back. In hours it gives back
/// exactly what it took. Pauses that overlap count once; what lies before `start`, or begins
/// after the limit ran out, gives nothing back.
///
/// A pause that still lasts moves nothing yet: the answer is what would hold were it over on
/// the day it began, and [`super::colour`] is asked as of that moment.
pub fn due_with_pauses(
    start: Now,
    limit: TimeLimit,
    pauses: &[Pause],
    calendar: &Calendar,
) -> Result<Now, Unpublished> {
    let (mut given_back, mut due) = (0, due(start, limit, calendar)?);
    for (from, to) in merged(start, pauses) {
        if from.secs() > due.secs() {
            break;
        }
        given_back += match limit.unit {
            TimeUnit::WorkingDay => {
                calendar.working_days_between(from.shanghai_day(), to.shanghai_day())?.into()
            }
            TimeUnit::CalendarDay => from.shanghai_day().duration_until(to.shanghai_day()).as_secs() / DAY,
            TimeUnit::Hour => to.ms() - from.ms(),
        };
        due = ends(start, limit, given_back, calendar)?;
    }
    Ok(due)
}

/// The last moment of a period of calendar months from `start` (报户口 within one month of the birth).
pub fn months_after(start: Now, months: u32, calendar: &Calendar) -> Result<Now, Unpublished> {
    let day = later(start.shanghai_day(), Span::new().try_months(months))?;
    Ok(end_of(calendar.add_working_days(day, 0)?))
}

/// Seconds in a civil day; Asia/Shanghai has had no other since 1991.
const DAY: i64 = 86_400;
/// Milliseconds in an hour.
const HOUR: i64 = 3_600_000;

/// `given_back` is in days, for a limit in hours in milliseconds.
fn ends(start: Now, limit: TimeLimit, given_back: i64, calendar: &Calendar) -> Result<Now, Unpublished> {
    let day = start.shanghai_day();
    let count = i64::from(limit.value).saturating_add(given_back);
    match limit.unit {
        TimeUnit::WorkingDay => {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(end_of(calendar.add_working_days(day, count)?))
        }
        TimeUnit::CalendarDay => {
            let last = later(day, Span::new().try_days(count))?;
            Ok(end_of(calendar.add_working_days(last, 0)?))
        }
        TimeUnit::Hour => {
            let hours = i64::from(limit.value) * HOUR;
            Ok(Now::from_ms(start.ms().saturating_add(hours).saturating_add(given_back)))
        }
    }
}

/// A day so late that no date can say it lies in no published year either.
fn later(day: Date, span: Result<Span, jiff::Error>) -> Result<Date, Unpublished> {
    span.and_then(|span| day.checked_add(span)).map_err(|_| Unpublished { year: Date::MAX.year() })
}

/// 23:59:59 in Asia/Shanghai.
fn end_of(day: Date) -> Now {
    let last_second = Offset::constant(8).to_timestamp(day.at(23, 59, 59, 0));
    Now::from_secs(last_second.map_or(i64::MAX, jiff::Timestamp::as_second))
}

/// The pauses that are over, cut at `start`, in order and none touching another.
fn merged(start: Now, pauses: &[Pause]) -> Vec<(Now, Now)> {
    let mut over: Vec<(Now, Now)> = pauses
        .iter()
        .filter_map(|(from, to)| Some(((*from).max(start), (*to)?)))
        .filter(|(from, to)| from < to)
        .collect();
    over.sort_unstable();
    let mut apart: Vec<(Now, Now)> = Vec::with_capacity(over.len());
    for (from, to) in over {
        match apart.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => apart.push((from, to)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Now {
        Now::from_secs(format!("{text}+08:00").parse::<jiff::Timestamp>().unwrap().as_second())
    }

    /// As RFC 3339 in Shanghai, without the offset.
    fn shown(moment: Result<Now, Unpublished>) -> String {
        let moment = jiff::Timestamp::from_second(moment.unwrap().secs()).unwrap();
        Offset::constant(8).to_datetime(moment).to_string()
    }

    const fn limit(value: u32, unit: TimeUnit) -> TimeLimit {
        TimeLimit { value, unit }
    }

    fn due_of(start: &str, value: u32, unit: TimeUnit) -> String {
        shown(due(at(start), limit(value, unit), Calendar::shipped()))
    }

    fn paused(start: &str, value: u32, unit: TimeUnit, pauses: &[(&str, &str)]) -> String {
        let pauses: Vec<Pause> =
            pauses.iter().map(|(from, to)| (at(from), (!to.is_empty()).then(|| at(to)))).collect();
        shown(due_with_pauses(at(start), limit(value, unit), &pauses, Calendar::shipped()))
    }

    use TimeUnit::{CalendarDay, Hour, WorkingDay};

    #[test]
    fn working_days_leave_out_the_first_day_and_end_with_the_last() {
        assert_eq!(due_of("2026-09-18T09:00:00", 5, WorkingDay), "2026-09-24T23:59:59");
        assert_eq!(due_of("2026-09-18T23:59:59", 5, WorkingDay), "2026-09-24T23:59:59");
        // A worked Sunday, and still the 19th in UTC.
        assert_eq!(due_of("2026-09-20T00:00:00", 5, WorkingDay), "2026-09-28T23:59:59");
        assert_eq!(due_of("2026-09-30T10:00:00", 20, WorkingDay), "2026-11-03T23:59:59");
    }

    #[test]
    fn the_limits_of_the_licensing_law_cross_the_holidays() {
        // 补正 5, 决定 20 (+10), 联合办理 45 (+15), 送达 10, from the day before 国庆.
        for (days, due) in [(5, "2026-10-13"), (20, "2026-11-03"), (30, "2026-11-17"), (45, "2026-12-08")] {
            assert_eq!(due_of("2026-09-30T10:00:00", days, WorkingDay), format!("{due}T23:59:59"), "{days}");
        }
        assert_eq!(TimeLimit::working_days(20).extended_by(10), TimeLimit::working_days(30));
    }

    #[test]
    fn calendar_days_count_holidays_but_do_not_end_on_one() {
        assert_eq!(due_of("2026-09-18T09:00:00", 5, CalendarDay), "2026-09-23T23:59:59");
        assert_eq!(due_of("2026-09-25T09:00:00", 10, CalendarDay), "2026-10-08T23:59:59");
        assert_eq!(due_of("2026-10-04T09:00:00", 6, CalendarDay), "2026-10-10T23:59:59", "a worked Saturday");
        assert_eq!(
            due_of("2026-09-01T09:00:00", 60, CalendarDay),
            "2026-11-02T23:59:59",
            "10-31 is a Saturday"
        );
    }

    #[test]
    fn hours_run_from_the_moment_itself_through_holidays() {
        assert_eq!(due_of("2026-09-30T23:30:00", 48, Hour), "2026-10-02T23:30:00");
    }

    #[test]
    fn nothing_to_wait_for_ends_with_the_day_or_the_next_working_day() {
        assert_eq!(due_of("2026-09-30T10:00:00", 0, WorkingDay), "2026-09-30T23:59:59");
        assert_eq!(due_of("2026-10-02T10:00:00", 0, WorkingDay), "2026-10-08T23:59:59");
        assert_eq!(due_of("2026-10-02T10:00:00", 0, Hour), "2026-10-02T10:00:00");
    }

    #[test]
    fn months_end_on_the_same_number_or_the_last_day_of_the_month() {
        let one_month = |start: &str| shown(months_after(at(start), 1, Calendar::shipped()));
        assert_eq!(one_month("2026-07-15T10:00:00"), "2026-08-17T23:59:59", "08-15 is a Saturday");
        assert_eq!(one_month("2026-03-31T10:00:00"), "2026-04-30T23:59:59");
        assert_eq!(one_month("2026-01-31T10:00:00"), "2026-02-28T23:59:59", "a worked Saturday");
        assert_eq!(one_month("2024-01-31T10:00:00"), "2024-02-29T23:59:59");
        assert_eq!(one_month("2026-09-05T10:00:00"), "2026-10-08T23:59:59", "inside 国庆");
    }

    #[test]
    fn an_unpublished_year_is_an_error_for_every_unit_that_needs_a_calendar() {
        let unpublished = Err(Unpublished { year: 2027 });
        let start = at("2026-12-28T10:00:00");
        for (unit, expected) in [(WorkingDay, unpublished), (CalendarDay, unpublished)] {
            assert_eq!(due(start, limit(10, unit), Calendar::shipped()), expected, "{unit:?}");
        }
        assert_eq!(months_after(start, 1, Calendar::shipped()), unpublished);
        assert!(due(start, limit(240, Hour), Calendar::shipped()).is_ok());
        assert_eq!(due_of("2026-12-28T10:00:00", 3, WorkingDay), "2026-12-31T23:59:59");
        let far = due(start, limit(u32::MAX, CalendarDay), Calendar::shipped());
        assert_eq!(far, Err(Unpublished { year: 9999 }));
        let pause = [(start, Some(at("2026-12-31T10:00:00")))];
        let late = due_with_pauses(start, limit(3, WorkingDay), &pause, Calendar::shipped());
        assert_eq!(late, unpublished);
    }

    #[test]
    fn a_pause_gives_back_the_working_days_it_took() {
        let start = "2026-09-14T09:00:00"; // Monday; 5 working days end on the 20th, a worked Sunday
        assert_eq!(paused(start, 5, WorkingDay, &[]), "2026-09-20T23:59:59");
        let over_a_day = [("2026-09-16T10:00:00", "2026-09-17T15:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &over_a_day), "2026-09-21T23:59:59");
        let within_a_day = [("2026-09-16T10:00:00", "2026-09-16T15:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &within_a_day), "2026-09-20T23:59:59");
        let over_the_holiday = [("2026-09-18T10:00:00", "2026-10-08T09:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &over_the_holiday), "2026-10-09T23:59:59");
    }

    #[test]
    fn pauses_count_once_wherever_they_overlap_touch_or_precede_the_start() {
        let start = "2026-10-12T09:00:00"; // Monday; 5 working days end on the 19th
        let once = [("2026-10-13T10:00:00", "2026-10-15T10:00:00")];
        let twice = [
            ("2026-10-14T08:00:00", "2026-10-15T10:00:00"),
            ("2026-10-13T10:00:00", "2026-10-14T09:00:00"),
            ("2026-10-13T11:00:00", "2026-10-13T12:00:00"),
        ];
        assert_eq!(paused(start, 5, WorkingDay, &once), "2026-10-21T23:59:59");
        assert_eq!(paused(start, 5, WorkingDay, &twice), "2026-10-21T23:59:59");
        let before =
            [("2026-10-01T10:00:00", "2026-10-12T08:00:00"), ("2026-10-08T10:00:00", "2026-10-13T08:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &before), "2026-10-20T23:59:59");
    }

    #[test]
    fn a_pause_that_came_too_late_or_still_lasts_gives_nothing_back() {
        let start = "2026-10-12T09:00:00";
        let late = [("2026-10-20T00:00:00", "2026-10-23T10:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &late), "2026-10-19T23:59:59");
        let just_in_time = [("2026-10-19T23:59:59", "2026-10-23T10:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &just_in_time), "2026-10-23T23:59:59");
        let second_in_regained_time =
            [("2026-10-19T10:00:00", "2026-10-20T10:00:00"), ("2026-10-20T11:00:00", "2026-10-21T10:00:00")];
        assert_eq!(paused(start, 5, WorkingDay, &second_in_regained_time), "2026-10-21T23:59:59");
        assert_eq!(paused(start, 5, WorkingDay, &[("2026-10-13T10:00:00", "")]), "2026-10-19T23:59:59");
    }

    #[test]
    fn calendar_days_and_hours_are_given_back_in_their_own_unit() {
        let pause = [("2026-10-13T10:00:00", "2026-10-15T16:30:00")];
        assert_eq!(paused("2026-10-12T09:00:00", 7, CalendarDay, &pause), "2026-10-21T23:59:59");
        assert_eq!(paused("2026-10-12T09:00:00", 48, Hour, &pause), "2026-10-16T15:30:00");
    }

    proptest::proptest! {
        #[test]
        fn more_time_never_ends_earlier(secs in 1_735_689_600_i64..1_780_000_000, value in 0_u32..40, unit in 0..3) {
            let unit = [WorkingDay, CalendarDay, Hour][unit as usize];
            let start = Now::from_secs(secs);
            let shorter = due(start, limit(value, unit), Calendar::shipped()).unwrap();
            let longer = due(start, limit(value + 1, unit), Calendar::shipped()).unwrap();
            proptest::prop_assert!(start <= shorter && shorter <= longer);
        }
    }
}
