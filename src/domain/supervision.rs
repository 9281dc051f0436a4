//! The colours of electronic supervision (电子监察, GB/T 39046): green, yellow, red, and
//! whether the law's own limit has passed.
//!
//! Promises: a pure function of start, due and now, so that both sides of a case show the
//! same colour from the same events. Who is told of a colour is left to others.

use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, Unpublished};
use crate::clock::Now;

/// How a running clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    Green,
    /// Soon due.
    Yellow,
    /// Overdue.
    Red,
}

/// The colour against the promised limit, and whether the legal limit has passed as well
/// (红牌，抄送纪检).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub colour: Colour,
    pub legal_overdue: bool,
}

/// Yellow from this many working days before the due day on. A window has until tomorrow.
pub const YELLOW_WORKING_DAYS: u32 = 1;
/// Yellow also when at most one part in so many (20 %) of the working days is left: four
/// days ahead of a limit of twenty.
pub const YELLOW_ONE_PART_IN: u32 = 5;

impl Colour {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    pub const fn zh(self) -> &'static str {
        match self {
            Self::Green => "绿灯（正常）",
            Self::Yellow => "黄灯（临期）",
            Self::Red => "红灯（超期）",
        }
    }
}

/// The colour at `now` of a clock that started at `start` and runs out at `due`
/// ([`super::due_with_pauses`]). Of a clock that has stopped or stands still, ask as of that
/// moment. The working days left are those after today, up to the due day.
pub fn colour(start: Now, due: Now, now: Now, calendar: &Calendar) -> Result<Colour, Unpublished> {
    if past(due, now) {
        return Ok(Colour::Red);
    }
    let [began, today, last] = [start, now.max(start), due].map(Now::shanghai_day);
    let left = calendar.working_days_between(today, last)?;
    if left <= YELLOW_WORKING_DAYS {
        return Ok(Colour::Yellow);
    }
    let all = left.saturating_add(calendar.working_days_between(began, today)?);
    let soon = left.saturating_mul(YELLOW_ONE_PART_IN) <= all;
    Ok(if soon { Colour::Yellow } else { Colour::Green })
}

/// [`colour`] against the promised limit, beside the legal one if the item has one.
pub fn standing(
    start: Now,
    due: Now,
    legal_due: Option<Now>,
    now: Now,
    calendar: &Calendar,
) -> Result<Standing, Unpublished> {
    let legal_overdue = legal_due.is_some_and(|legal| past(legal, now));
    let colour = if legal_overdue { Colour::Red } else { colour(start, due, now, calendar)? };
    Ok(Standing { colour, legal_overdue })
}

/// The whole last second is in time.
fn past(due: Now, now: Now) -> bool {
    now.secs() > due.secs()
}

#[cfg(test)]
mod tests {
    use super::super::limit::{TimeLimit, due};
    use super::*;

    fn at(text: &str) -> Now {
        Now::from_secs(format!("{text}+08:00").parse::<jiff::Timestamp>().unwrap().as_second())
    }

    fn shown(start: &str, days: u32, now: &str) -> Colour {
        let calendar = Calendar::shipped();
        let due = due(at(start), TimeLimit::working_days(days), calendar).unwrap();
        colour(at(start), due, at(now), calendar).unwrap()
    }

    use Colour::{Green, Red, Yellow};

    #[test]
    fn the_colour_turns_with_the_working_days_left() {
        let start = "2026-09-30T10:00:00"; // 5 working days: due 2026-10-13
        for (now, expected) in [
            ("2026-09-30T10:00:00", Green),
            ("2026-10-07T23:59:59", Green), // the holiday takes nothing
            ("2026-10-10T10:00:00", Green), // two left: 12 and 13
            ("2026-10-11T23:59:59", Green),
            ("2026-10-12T00:00:00", Yellow),
            ("2026-10-13T23:59:59", Yellow),
            ("2026-10-14T00:00:00", Red),
        ] {
            assert_eq!(shown(start, 5, now), expected, "{now}");
        }
    }

    #[test]
    fn a_long_limit_turns_yellow_with_a_fifth_of_it_left() {
        let start = "2026-09-30T10:00:00"; // 20 working days: due 2026-11-03
        assert_eq!(shown(start, 20, "2026-10-27T23:00:00"), Green); // five left
        assert_eq!(shown(start, 20, "2026-10-28T00:00:00"), Yellow); // four left
    }

    #[test]
    fn a_short_limit_is_yellow_from_the_start() {
        assert_eq!(shown("2026-10-12T09:00:00", 1, "2026-10-12T09:00:00"), Yellow);
        assert_eq!(shown("2026-10-12T09:00:00", 0, "2026-10-12T09:00:00"), Yellow);
    }

    #[test]
    fn beyond_the_legal_limit_is_said_beside_red() {
        let calendar = Calendar::shipped();
        let start = at("2026-09-30T10:00:00");
        let [promised, legal] =
            [5, 20].map(|days| due(start, TimeLimit::working_days(days), calendar).unwrap());
        let of = |legal, now| standing(start, promised, legal, at(now), calendar).unwrap();
        let expect = |colour, legal_overdue| Standing { colour, legal_overdue };
        assert_eq!(of(Some(legal), "2026-10-01T10:00:00"), expect(Green, false));
        assert_eq!(of(Some(legal), "2026-10-20T10:00:00"), expect(Red, false));
        assert_eq!(of(Some(legal), "2026-11-04T00:00:00"), expect(Red, true));
        assert_eq!(of(None, "2026-11-04T00:00:00"), expect(Red, false));
    }

    #[test]
    fn overdue_is_red_whatever_year_it_is() {
        assert_eq!(shown("2026-12-21T10:00:00", 5, "2027-02-01T10:00:00"), Red);
    }

    #[test]
    fn a_colour_is_written_as_one_word() {
        assert_eq!(serde_json::to_value(Yellow).unwrap(), Yellow.name());
    }
}
