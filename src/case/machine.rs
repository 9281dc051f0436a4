//! The state machine of a case (domain reference §7.5): which act is possible in which state,
//! to which side, and where it leads.
//!
//! Promises: pure and total; every transition is a line of one table; what is final stays so.
//! What an act says (numbers, dates, materials) and the chain of events is [`super::Case`]'s.

use super::state::{Role, State};
use crate::domain::HandlingMode;

macro_rules! acts {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// What can happen to a case. An event whose outcome decides the way is one act per
        /// outcome; all of them carry the event's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Act { $($variant),* }

        impl Act {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name of its event in messages.
            pub const fn event(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

acts! {
    Submit "submit",
    Route "route",
    Collect "collect",
    RejectForm "reject_form",
    Resubmit "resubmit",
    Relay "relay",
    Ack "ack",
    Nack "nack",
    Withdraw "withdraw",
    NeedSupplement "need_supplement",
    Supplement "supplement",
    Lapse "lapse",
    Accept "accept",
    AcceptTolerant "accept_tolerant",
    Refuse "refuse",
    DeemedAccepted "deemed_accepted",
    StartSpecial "start_special",
    EndSpecial "end_special",
    Extend "extend",
    ToleranceFilled "tolerance_filled",
    ToleranceExpired "tolerance_expired",
    CommitmentKept "verify_commitment",
    CommitmentFalse "verify_commitment",
    DecideGrant "decide",
    DecideDeny "decide",
    IssueLicense "issue_license",
    Deliver "deliver",
    Close "close",
    Transfer "transfer",
    Evaluate "evaluate",
    Rectify "rectify",
    RequestCorrection "request_correction",
    AnswerCorrection "answer_correction",
}

impl Act {
    /// Before the relay: the collecting side's own, never on the wire.
    pub const fn is_local(self) -> bool {
        matches!(
            self,
            Self::Submit | Self::Route | Self::Collect | Self::RejectForm | Self::Resubmit | Self::Relay
        )
    }
}

/// What of a case's past decides whether an act is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub mode: HandlingMode,
    /// 即办件: decided on the spot, without a license to be issued first.
    pub at_once: bool,
    /// Relays the handling side has refused (`nack`).
    pub nacks: u8,
    /// The one notice of what is missing has been given.
    pub notice_given: bool,
    /// Silence counts as acceptance: an administrative license (行政许可法 32).
    pub silence_accepts: bool,
    /// The one extension has been taken.
    pub extended: bool,
    /// Acceptance was 容缺 and is not yet filled in.
    pub tolerant: bool,
    /// Of a multi-joint parent; both true for a case without parts.
    pub parts_final: bool,
    pub parts_granted: bool,
}

/// Relays after a `nack` (domain reference §7.5): then a person must look.
pub const MOST_RELAY_RETRIES: u8 = 3;

/// Why an act is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Illegal {
    #[error("the case's state does not allow it")]
    State,
    #[error("it is the other side's act")]
    Role,
    #[error("only a case that is handled wholly online is routed without a window")]
    Mode,
    #[error("the relay was refused as often as it may be tried")]
    RelaysSpent,
    #[error("what is missing has been told, once and for all")]
    NoticeGiven,
    #[error("the notice comes too late")]
    NoticeLate,
    #[error("silence does not accept this case")]
    NotDeemed,
    #[error("the time for it has not come")]
    TooEarly,
    #[error("the limit was extended before")]
    Extended,
    #[error("a part of the case is still open")]
    PartOpen,
    #[error("a part of the case was not granted")]
    PartNotGranted,
    #[error("the license is issued before it is delivered")]
    NotIssued,
    #[error("it has been evaluated, or the evaluation before is missing")]
    Evaluated,
    #[error("there is nothing of that kind to answer")]
    NothingOpen,
    #[error("the case has as many events as it may")]
    TooMany,
}

/// The states a line of the table starts from.
#[derive(Clone, Copy)]
enum Start {
    Nowhere,
    In(&'static [State]),
}

/// Where a line leads.
#[derive(Clone, Copy)]
enum To {
    At(State),
    Same,
    /// Back to where the special procedure began.
    Resumed,
}

#[derive(Clone, Copy)]
enum By {
    One(Role),
    Either,
}

struct Line(Start, Act, By, To);

use Start::{In, Nowhere};
use State as S;
use To::{At, Resumed, Same};
const C: By = By::One(Role::Collecting);
const H: By = By::One(Role::Handling);

const BEFORE_A_DECISION: &[State] = &[
    S::Submitted,
    S::Collected,
    S::Returned,
    S::Relayed,
    S::RelayFailed,
    S::Received,
    S::SupplementPending,
    S::Accepted,
    S::AcceptedTolerant,
    S::InSpecial,
];
/// Open at the handling side.
const OPEN: &[State] = &[
    S::Received,
    S::SupplementPending,
    S::Accepted,
    S::AcceptedTolerant,
    S::InSpecial,
    S::DecidedGrant,
    S::DecidedDeny,
    S::Issued,
    S::Delivered,
];
const ENDED: &[State] = &[S::Delivered, S::Closed, S::NotAccepted, S::Terminated, S::Withdrawn];
const RECEIVED_AND_AFTER: &[State] = &[
    S::Received,
    S::SupplementPending,
    S::Accepted,
    S::AcceptedTolerant,
    S::InSpecial,
    S::NotAccepted,
    S::Terminated,
    S::Withdrawn,
    S::DecidedGrant,
    S::DecidedDeny,
    S::Issued,
    S::Delivered,
    S::Closed,
];
const ACCEPTED: &[State] = &[S::Accepted, S::AcceptedTolerant];

/// Domain reference §7.5, line by line.
#[rustfmt::skip]
const TABLE: &[Line] = &[
    Line(Nowhere,                         Act::Submit,           C, At(S::Submitted)),
    Line(In(&[S::Submitted]),             Act::Route,            C, At(S::Relayed)),
    Line(In(&[S::Submitted]),             Act::Collect,          C, At(S::Collected)),
    Line(In(BEFORE_A_DECISION),           Act::Withdraw,         C, At(S::Withdrawn)),
    Line(In(&[S::Collected]),             Act::RejectForm,       C, At(S::Returned)),
    Line(In(&[S::Returned]),              Act::Resubmit,         C, At(S::Collected)),
    Line(In(&[S::Collected, S::RelayFailed]), Act::Relay,        C, At(S::Relayed)),
    Line(In(&[S::Relayed]),               Act::Ack,              H, At(S::Received)),
    Line(In(&[S::Relayed]),               Act::Nack,             H, At(S::RelayFailed)),
    Line(In(&[S::Received]),              Act::NeedSupplement,   H, At(S::SupplementPending)),
    Line(In(&[S::SupplementPending]),     Act::Supplement,       C, At(S::Received)),
    Line(In(&[S::SupplementPending]),     Act::Lapse,            H, At(S::Terminated)),
    Line(In(&[S::Received]),              Act::Accept,           H, At(S::Accepted)),
    Line(In(&[S::Received]),              Act::AcceptTolerant,   H, At(S::AcceptedTolerant)),
    Line(In(&[S::Received]),              Act::Refuse,           H, At(S::NotAccepted)),
    Line(In(&[S::Received]),              Act::DeemedAccepted,   H, At(S::Accepted)),
    Line(In(ACCEPTED),                    Act::StartSpecial,     H, At(S::InSpecial)),
    Line(In(&[S::InSpecial]),             Act::EndSpecial,       H, Resumed),
    Line(In(ACCEPTED),                    Act::Extend,           H, Same),
    // What was to follow travels as a supplement; the handling side says when it is enough.
    Line(In(&[S::AcceptedTolerant]),      Act::Supplement,       C, Same),
    Line(In(&[S::AcceptedTolerant]),      Act::ToleranceFilled,  H, At(S::Accepted)),
    Line(In(&[S::AcceptedTolerant]),      Act::ToleranceExpired, H, At(S::Terminated)),
    Line(In(ACCEPTED),                    Act::CommitmentKept,   H, Same),
    Line(In(ACCEPTED),                    Act::CommitmentFalse,  H, At(S::Terminated)),
    Line(In(&[S::Accepted]),              Act::DecideGrant,      H, At(S::DecidedGrant)),
    Line(In(&[S::Accepted]),              Act::DecideDeny,       H, At(S::DecidedDeny)),
    Line(In(&[S::DecidedGrant]),          Act::IssueLicense,     H, At(S::Issued)),
    Line(In(&[S::Issued, S::DecidedDeny, S::DecidedGrant]), Act::Deliver, H, At(S::Delivered)),
    Line(In(&[S::Delivered]),             Act::Close,            H, At(S::Closed)),
    Line(In(OPEN),                        Act::Transfer,         H, Same),
    Line(In(ENDED),                       Act::Evaluate,         C, Same),
    // Whose evaluation and whose correction it is, the case knows.
    Line(In(ENDED),                       Act::Rectify,          By::Either, Same),
    Line(In(RECEIVED_AND_AFTER),          Act::RequestCorrection, By::Either, Same),
    Line(In(RECEIVED_AND_AFTER),          Act::AnswerCorrection, By::Either, Same),
];

/// Where `act` of side `by` takes a case that stands at `from` (`None`: there is none yet).
pub fn next(from: Option<State>, act: Act, by: Role, facts: &Facts) -> Result<State, Illegal> {
    let mut refused = Illegal::State;
    for line in TABLE.iter().filter(|line| line.1 == act) {
        if matches!(line.2, By::One(role) if role != by) {
            refused = Illegal::Role;
        } else if starts(line.0, from) {
            guard(from, act, facts)?;
            return arrive(line.3, from, facts).ok_or(Illegal::State);
        }
    }
    Err(refused)
}

fn starts(start: Start, from: Option<State>) -> bool {
    match start {
        Nowhere => from.is_none(),
        In(states) => from.is_some_and(|state| states.contains(&state)),
    }
}

fn arrive(to: To, from: Option<State>, facts: &Facts) -> Option<State> {
    match to {
        At(state) => Some(state),
        Same => from,
        Resumed if facts.tolerant => Some(S::AcceptedTolerant),
        Resumed => Some(S::Accepted),
    }
}

/// What the table's column "guard" says of the case's past.
fn guard(from: Option<State>, act: Act, facts: &Facts) -> Result<(), Illegal> {
    let refused = match act {
        Act::Route if facts.mode != HandlingMode::Online => Illegal::Mode,
        Act::Relay if facts.nacks > MOST_RELAY_RETRIES => Illegal::RelaysSpent,
        Act::NeedSupplement if facts.notice_given => Illegal::NoticeGiven,
        Act::DeemedAccepted if facts.notice_given || !facts.silence_accepts => Illegal::NotDeemed,
        Act::Extend if facts.extended => Illegal::Extended,
        Act::DecideGrant | Act::DecideDeny if !facts.parts_final => Illegal::PartOpen,
        Act::DecideGrant if !facts.parts_granted => Illegal::PartNotGranted,
        Act::Deliver if from == Some(S::DecidedGrant) && !facts.at_once => Illegal::NotIssued,
        _ => return Ok(()),
    };
    Err(refused)
}

#[cfg(test)]
mod tests;
