//! The body of `application.event`, Rust twin of `schemas/application-event.json`: one event
//! of a case, with the data its name demands.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine::Act;
use super::state::Role;
use super::submit::{Commitment, Shown};
use crate::domain::TimeLimit;
use crate::json;
use crate::schema::{Admissible, Kind};

/// An event's digest: SHA-256 of the JCS form of its body as it came (protocol §6.2).
pub fn digest(body: &Value) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, &json::jcs(body)).as_ref());
    bytes
}

/// [`digest()`] as it stands in messages: base64url.
pub fn digest_text(body: &Value) -> String {
    URL_SAFE_NO_PAD.encode(digest(body))
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EventBody {
    /// 1 and up; 0 is the submit.
    pub seq: u32,
    /// Digest of the event before.
    pub prev: String,
    /// Seconds since the epoch, by the clock of the side that did it.
    pub at: i64,
    pub by: Actor,
    #[serde(flatten)]
    pub what: EventData,
}

impl Admissible for EventBody {
    const KIND: Kind = Kind::ApplicationEvent;
}

/// The agency and the official.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub org: String,
    pub officer: String,
}

/// What happened, as the event's `event` and `data` say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum EventData {
    Collect {
        receipt_no: String,
    },
    RejectForm {
        defects: Vec<Defect>,
    },
    Resubmit {},
    Route {},
    Relay {},
    Ack {},
    Nack {
        reason: String,
    },
    Withdraw {},
    NeedSupplement {
        notice_no: String,
        items: Vec<Lacking>,
        due: Date,
    },
    Supplement {
        materials: Vec<Shown>,
    },
    Lapse {},
    Accept(AcceptData),
    AcceptTolerant(TolerantData),
    Refuse {
        doc_no: String,
        reason: String,
        authority: Option<String>,
    },
    DeemedAccepted {},
    StartSpecial {
        kind: String,
        name: String,
        reason: String,
        approver: String,
        limit: TimeLimit,
    },
    EndSpecial {
        result: String,
    },
    Extend {
        working_days: u32,
        approver: String,
        reason: String,
    },
    ToleranceFilled {
        materials: Vec<String>,
    },
    ToleranceExpired {},
    VerifyCommitment {
        material: String,
        outcome: CommitmentOutcome,
        check_mode: String,
        action: Option<String>,
    },
    Decide {
        outcome: Outcome,
        decision_no: String,
        reason: Option<String>,
        appeal: Option<String>,
    },
    IssueLicense {
        licenses: Vec<String>,
        result: Option<String>,
    },
    Deliver {
        method: String,
        signer: String,
        at: i64,
        tracking_no: Option<String>,
    },
    Close {
        archive_digest: String,
    },
    Transfer {
        to_org: String,
        reason: String,
    },
    Evaluate(EvaluationData),
    Rectify {
        role: Role,
        times: u8,
        measures: String,
        called_back_at: i64,
        result: String,
    },
    RequestCorrection(CorrectionData),
    AnswerCorrection {
        id: String,
        outcome: CorrectionOutcome,
        note: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Defect {
    pub material: Option<String>,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    pub material: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AcceptData {
    /// 受理通知书文号.
    pub doc_no: String,
    /// 办件类型: 1 即办件, 2 承诺件, 9 其他.
    pub project_type: String,
    pub promise_date: Date,
    /// The handling side's own number.
    pub project_no: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TolerantData {
    #[serde(flatten)]
    pub accept: AcceptData,
    pub missing: Vec<String>,
    pub commitment: Commitment,
    pub due: Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitmentOutcome {
    Fulfilled,
    Lapsed,
    /// 虚假承诺.
    False,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Grant,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EvaluationData {
    /// The side evaluated.
    pub role: Role,
    pub channel: String,
    /// `1` (the best) to `5`.
    pub satisfaction: String,
    /// 1 the evaluation, 2 the follow-up (追评).
    pub times: u8,
    pub at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CorrectionData {
    pub id: String,
    pub exchange: String,
    pub license_id: String,
    pub field: String,
    pub due: Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionOutcome {
    Corrected,
    Rejected,
}

impl EventData {
    /// What the event does, as the machine knows it.
    pub const fn act(&self) -> Act {
        match self {
            Self::Collect { .. } => Act::Collect,
            Self::RejectForm { .. } => Act::RejectForm,
            Self::Resubmit {} => Act::Resubmit,
            Self::Route {} => Act::Route,
            Self::Relay {} => Act::Relay,
            Self::Ack {} => Act::Ack,
            Self::Nack { .. } => Act::Nack,
            Self::Withdraw {} => Act::Withdraw,
            Self::NeedSupplement { .. } => Act::NeedSupplement,
            Self::Supplement { .. } => Act::Supplement,
            Self::Lapse {} => Act::Lapse,
            Self::Accept(_) => Act::Accept,
            Self::AcceptTolerant(_) => Act::AcceptTolerant,
            Self::Refuse { .. } => Act::Refuse,
            Self::DeemedAccepted {} => Act::DeemedAccepted,
            Self::StartSpecial { .. } => Act::StartSpecial,
            Self::EndSpecial { .. } => Act::EndSpecial,
            Self::Extend { .. } => Act::Extend,
            Self::ToleranceFilled { .. } => Act::ToleranceFilled,
            Self::ToleranceExpired {} => Act::ToleranceExpired,
            Self::VerifyCommitment { outcome: CommitmentOutcome::False, .. } => Act::CommitmentFalse,
            Self::VerifyCommitment { .. } => Act::CommitmentKept,
            Self::Decide { outcome: Outcome::Grant, .. } => Act::DecideGrant,
            Self::Decide { outcome: Outcome::Deny, .. } => Act::DecideDeny,
            Self::IssueLicense { .. } => Act::IssueLicense,
            Self::Deliver { .. } => Act::Deliver,
            Self::Close { .. } => Act::Close,
            Self::Transfer { .. } => Act::Transfer,
            Self::Evaluate(_) => Act::Evaluate,
            Self::Rectify { .. } => Act::Rectify,
            Self::RequestCorrection(_) => Act::RequestCorrection,
            Self::AnswerCorrection { .. } => Act::AnswerCorrection,
        }
    }
}
