//! When a case wants attention next: moments at which the gateway wakes up.
//!
//! Promises: the same case gives the same moments; a moment that has passed is still told,
//! until an event settles it. Acting on it is left to the region's desk.

use super::clock::{self, end_of};
use super::copy::Case;
use super::record::Evaluation;
use super::state::{Role, State};
use super::submit::Proof;
use crate::clock::Now;
use crate::domain::{Calendar, Colour, TimeLimit, Unpublished, due};

/// 差评整改: how long a bad evaluation may stay open (domain reference §7.7, one city's rule).
pub const RECTIFICATION_LIMIT: TimeLimit = TimeLimit::working_days(15);

/// What there is to do at a moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerEvent {
    /// The handling side's own events are due: silence accepts, nothing was supplied, what was
    /// to follow did not come.
    DeemedAccepted,
    Lapse,
    ToleranceExpired,
    /// The running clock turns yellow, red, or passes the law's own limit.
    Soon,
    Overdue,
    LegalOverdue,
    /// A commitment's day has passed without a check.
    CommitmentDue {
        material: String,
    },
    SpecialOverdue,
    RectificationDue {
        role: Role,
        times: u8,
    },
    CorrectionDue {
        id: String,
    },
}

impl TimerEvent {
    /// The event that the handling side's gateway makes of it by itself, if any.
    pub const fn event(&self) -> Option<&'static str> {
        match self {
            Self::DeemedAccepted => Some("deemed_accepted"),
            Self::Lapse => Some("lapse"),
            Self::ToleranceExpired => Some("tolerance_expired"),
            _ => None,
        }
    }
}

/// Every moment at which the case, as it stands, wants attention; the earliest first.
pub fn timers(case: &Case, calendar: &Calendar) -> Result<Vec<(Now, TimerEvent)>, Unpublished> {
    let mut found = Vec::new();
    of_the_clock(case, calendar, &mut found)?;
    of_the_state(case, calendar, &mut found)?;
    for evaluation in case.evaluations.iter().filter(|evaluation| evaluation.awaits_rectification()) {
        let event = TimerEvent::RectificationDue { role: evaluation.role, times: evaluation.times };
        found.push((past(rectification_due(evaluation, calendar)?), event));
    }
    for correction in case.corrections.iter().filter(|correction| correction.answered.is_none()) {
        found.push((past(end_of(correction.due)), TimerEvent::CorrectionDue { id: correction.id.clone() }));
    }
    found.sort();
    Ok(found)
}

fn of_the_clock(
    case: &Case,
    calendar: &Calendar,
    found: &mut Vec<(Now, TimerEvent)>,
) -> Result<(), Unpublished> {
    let running = clock::running(case, calendar)?;
    if running.still_since.is_some() {
        return Ok(());
    }
    if let (Some(started), Some(due)) = (running.started, running.due) {
        found.push((soon(started, due, calendar)?, TimerEvent::Soon));
        found.push((past(due), TimerEvent::Overdue));
    }
    if let Some(legal) = running.legal_due {
        found.push((past(legal), TimerEvent::LegalOverdue));
    }
    Ok(())
}

fn of_the_state(
    case: &Case,
    calendar: &Calendar,
    found: &mut Vec<(Now, TimerEvent)>,
) -> Result<(), Unpublished> {
    match case.state {
        State::Received if case.notice.is_none() && case.terms.silence_accepts() => {
            if let Some(due) = clock::notice_due(case, calendar)? {
                found.push((past(due), TimerEvent::DeemedAccepted));
            }
        }
        State::SupplementPending => {
            if let Some(notice) = &case.notice {
                found.push((past(end_of(notice.due)), TimerEvent::Lapse));
            }
        }
        State::AcceptedTolerant => {
            let tolerance = case.acceptance.as_ref().and_then(|acceptance| acceptance.tolerance.as_ref());
            if let Some(tolerance) = tolerance {
                found.push((past(end_of(tolerance.due)), TimerEvent::ToleranceExpired));
            }
        }
        State::InSpecial => {
            if let Some(special) = case.specials.last() {
                let due = due(Now::from_secs(special.from), special.limit, calendar)?;
                found.push((past(due), TimerEvent::SpecialOverdue));
            }
        }
        _ => {}
    }
    for material in &case.materials {
        if let Proof::Commitment { commitment } = &material.proof
            && material.checked.is_none()
            && !clock::ended(case.state)
        {
            let event = TimerEvent::CommitmentDue { material: material.code.clone() };
            found.push((past(end_of(commitment.due)), event));
        }
    }
    Ok(())
}

pub(super) fn rectification_due(evaluation: &Evaluation, calendar: &Calendar) -> Result<Now, Unpublished> {
    due(Now::from_secs(evaluation.at), RECTIFICATION_LIMIT, calendar)
}

/// The first moment that is too late.
pub(super) fn past(due: Now) -> Now {
    Now::from_secs(due.secs().saturating_add(1))
}

/// Seconds in a day of Asia/Shanghai.
const DAY: i64 = 86_400;

/// The first moment at which a clock is yellow: the beginning of a day, or its own start.
fn soon(started: Now, due: Now, calendar: &Calendar) -> Result<Now, Unpublished> {
    let mut first = due;
    loop {
        let day_begins = clock::end_of(first.shanghai_day()).secs() + 1 - DAY;
        let begins = Now::from_secs(day_begins.max(started.secs()));
        let before = Now::from_secs(begins.secs() - 1);
        if before < started || crate::domain::colour(started, due, before, calendar)? == Colour::Green {
            return Ok(begins);
        }
        first = before;
    }
}
