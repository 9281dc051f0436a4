//! What is due in a case, since when it runs and how it stands: from its events alone, so
//! that both sides show the same (protocol §6.5, domain reference §7.6, §7.8).
//!
//! | while the case is | runs | from | sources |
//! |---|---|---|---|
//! | RECEIVED | 5 working days for notice or acceptance | receipt, once every file is there; after a supplement, the supplement | 行政许可法 32 |
//! | SUPPLEMENT_PENDING | nothing for the authority; the applicant's own date is shown | | 32 |
//! | ACCEPTED, ACCEPTED_TOLERANT, IN_SPECIAL | the promised and the legal limit, extended once, without special procedures of kind 2 | acceptance | 42, 45 |
//! | DECIDED_*, ISSUED | 10 working days to deliver | decision | 44 |
//!
//! Afterwards nothing runs: red tells that the decision or the delivery came too late.

use jiff::civil::Date;

use super::copy::Case;
use super::message::ClockView;
use super::record::Acceptance;
use super::state::{Role, State};
use crate::clock::Now;
use crate::domain::{
    Calendar, Colour, Pause, TimeLimit, TimeUnit, Unpublished, due, due_with_pauses, standing,
};

/// 补正一次性告知, and acceptance by silence after it (行政许可法 32).
pub const NOTICE_LIMIT: TimeLimit = TimeLimit::working_days(5);
/// 送达 after the decision (行政许可法 44).
pub const DELIVERY_LIMIT: TimeLimit = TimeLimit::working_days(10);
/// 特别程序种类 2 (GB/T 39046): what it takes is not counted (行政许可法 45).
const PAUSING: &str = "2";

/// A clock of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    pub started: Option<Now>,
    pub due: Option<Now>,
    /// The law's own limit, where the item has one.
    pub legal_due: Option<Now>,
    /// When it stopped or since when it stands still; its colour is that of this moment.
    pub still_since: Option<Now>,
    pub paused: bool,
}

impl Running {
    const NOTHING: Self =
        Self { started: None, due: None, legal_due: None, still_since: None, paused: false };

    fn from(started: Now, due: Now) -> Self {
        Self { started: Some(started), due: Some(due), ..Self::NOTHING }
    }

    /// The colour at `now`, and whether the law's limit has passed.
    pub fn standing(&self, now: Now, calendar: &Calendar) -> Result<(Colour, bool), Unpublished> {
        let (Some(started), Some(due)) = (self.started, self.due) else { return Ok((Colour::Green, false)) };
        let as_of = self.still_since.map_or(now, |since| since.min(now));
        let standing = standing(started, due, self.legal_due, as_of, calendar)?;
        Ok((standing.colour, standing.legal_overdue))
    }
}

/// The clock as messages show it.
pub fn view(case: &Case, now: Now, calendar: &Calendar) -> Result<ClockView, Unpublished> {
    let running = running(case, calendar)?;
    let mut colour = running.standing(now, calendar)?.0;
    let mut shown = running.due;
    if case.state == State::SupplementPending {
        shown = case.notice.as_ref().map(|notice| end_of(notice.due));
    } else if ended(case.state) {
        // Nothing is due any more; only lateness is still worth a colour.
        shown = None;
        colour = if was_late(case, calendar)? { Colour::Red } else { Colour::Green };
    }
    Ok(ClockView { due: shown.map(Now::secs), colour, paused: running.paused })
}

/// The clock that runs in the case's present state.
pub fn running(case: &Case, calendar: &Calendar) -> Result<Running, Unpublished> {
    match case.state {
        State::Received => Ok(match started(case) {
            Some(started) => Running::from(started, due(started, NOTICE_LIMIT, calendar)?),
            // Files are still on their way.
            None => Running { paused: true, ..Running::NOTHING },
        }),
        State::SupplementPending => {
            let since = case.notice.as_ref().map(|notice| Now::from_secs(notice.at));
            let clock = match started(case) {
                Some(started) => Running::from(started, due(started, NOTICE_LIMIT, calendar)?),
                None => Running::NOTHING,
            };
            Ok(Running { still_since: since, paused: true, ..clock })
        }
        State::Accepted | State::AcceptedTolerant | State::InSpecial => decision_clock(case, calendar),
        State::DecidedGrant | State::DecidedDeny | State::Issued => delivery_clock(case, calendar),
        _ => Ok(Running::NOTHING),
    }
}

/// When the authority's time for a notice began: the receipt of the side that the agreement
/// names, once every file is there; after a supplement, the supplement.
pub(super) fn started(case: &Case) -> Option<Now> {
    if !case.awaiting().is_empty() {
        return None;
    }
    let mut from = receipt(case)?;
    let arrived = case.materials.iter().filter_map(|material| material.here_at);
    let supplied = case.notice.as_ref().and_then(|notice| notice.supplied_at);
    for at in arrived.chain(supplied) {
        from = from.max(at);
    }
    Some(Now::from_secs(from))
}

/// The receipt that starts the clocks, by the agreement's word.
pub(super) fn receipt(case: &Case) -> Option<i64> {
    case.received_at.map(|received| match case.terms.receipt_clock {
        Role::Collecting => case.collecting.collected_at.min(received),
        Role::Handling => received,
    })
}

/// Until when what is missing must be told.
pub(super) fn notice_due(case: &Case, calendar: &Calendar) -> Result<Option<Now>, Unpublished> {
    started(case).map(|started| due(started, NOTICE_LIMIT, calendar)).transpose()
}

/// From acceptance to decision.
pub(super) fn decision_clock(case: &Case, calendar: &Calendar) -> Result<Running, Unpublished> {
    let Some(acceptance) = &case.acceptance else { return Ok(Running::NOTHING) };
    let started = Now::from_secs(acceptance.at);
    let pauses = pauses(case);
    let more = case.extension.unwrap_or(0);
    let limit_due = |limit: TimeLimit| due_with_pauses(started, extended(limit, more), &pauses, calendar);
    let legal_due = case.terms.legal_limit.map(limit_due).transpose()?;
    let promised = case.terms.promise_limit.map(limit_due).transpose()?;
    let told = match told_limit(acceptance, started, calendar)? {
        Some(limit) => Some(limit_due(limit)?),
        None => None,
    };
    // The applicant may rely on the nearest of what was agreed and what was told.
    let due = [promised, told].into_iter().flatten().min().or(legal_due);
    let open = case.specials.last().filter(|special| special.kind == PAUSING && special.to.is_none());
    let paused = open.is_some() && case.state == State::InSpecial;
    let decided = case.decision.as_ref().map(|decision| Now::from_secs(decision.at));
    let still_since = decided.or(open.map(|special| Now::from_secs(special.from)));
    Ok(Running { started: Some(started), due, legal_due, still_since, paused })
}

/// From decision to delivery.
pub(super) fn delivery_clock(case: &Case, calendar: &Calendar) -> Result<Running, Unpublished> {
    let Some(decision) = &case.decision else { return Ok(Running::NOTHING) };
    let started = Now::from_secs(decision.at);
    let still_since = case.delivery.as_ref().map(|delivery| Now::from_secs(delivery.at));
    Ok(Running { still_since, ..Running::from(started, due(started, DELIVERY_LIMIT, calendar)?) })
}

/// The date told at acceptance, as a limit in working days, so that pauses and extension move it.
fn told_limit(
    acceptance: &Acceptance,
    started: Now,
    calendar: &Calendar,
) -> Result<Option<TimeLimit>, Unpublished> {
    let Some(date) = acceptance.promise_date else { return Ok(None) };
    // A date on a day off means the next working day (民法典 203).
    let last = calendar.add_working_days(date, 0)?;
    let days = calendar.working_days_between(started.shanghai_day(), last)?;
    Ok(Some(TimeLimit::working_days(days)))
}

/// `more` days, whatever the limit counts in.
const fn extended(limit: TimeLimit, more: u32) -> TimeLimit {
    match limit.unit {
        TimeUnit::Hour => limit.extended_by(more.saturating_mul(24)),
        TimeUnit::WorkingDay | TimeUnit::CalendarDay => limit.extended_by(more),
    }
}

fn pauses(case: &Case) -> Vec<Pause> {
    let pausing = case.specials.iter().filter(|special| special.kind == PAUSING);
    pausing.map(|special| (Now::from_secs(special.from), special.to.map(Now::from_secs))).collect()
}

pub fn ended(state: State) -> bool {
    state.is_final() || state == State::Delivered
}

fn was_late(case: &Case, calendar: &Calendar) -> Result<bool, Unpublished> {
    for clock in [decision_clock(case, calendar)?, delivery_clock(case, calendar)?] {
        if let (Some(due), Some(stopped)) = (clock.due, clock.still_since)
            && stopped.secs() > due.secs()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// 23:59:59 of that day in Asia/Shanghai.
pub(super) fn end_of(day: Date) -> Now {
    let last_second = jiff::tz::Offset::constant(8).to_timestamp(day.at(23, 59, 59, 0));
    Now::from_secs(last_second.map_or(i64::MAX, jiff::Timestamp::as_second))
}
