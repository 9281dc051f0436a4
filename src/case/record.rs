//! What a case holds: the facts of its events, each once, and nothing that can be reckoned
//! from them. Stored as JSON.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::event::{CommitmentOutcome, CorrectionOutcome, Lacking, Outcome};
use super::message::VerificationOutcome;
use super::state::{Role, State};
use super::submit::Proof;

/// An event that the case has applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub seq: u32,
    pub event: String,
    /// Seconds since the epoch, as the event says.
    pub at: i64,
    /// The side, the agency and the official who did it.
    pub from: Role,
    pub org: String,
    pub officer: String,
    pub digest: String,
    /// The state it led to.
    pub state: State,
}

/// A step of the collecting side before the relay; never sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalStep {
    pub event: String,
    pub at: i64,
    pub officer: String,
    pub state: State,
}

/// A material and what has become of its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    pub code: String,
    pub name: String,
    #[serde(flatten)]
    pub proof: Proof,
    /// When, by which side and by whom it was shown.
    pub shown_at: i64,
    pub shown_by: Role,
    pub officer: String,
    /// An upload: since when the file is at the handling side.
    pub here_at: Option<i64>,
    /// A verification: what the department answered.
    pub verified: Option<Verified>,
    /// A verification: since when its time is over.
    pub lapsed_at: Option<i64>,
    /// A commitment: what the check found.
    pub checked: Option<Checked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub outcome: VerificationOutcome,
    pub at: i64,
    pub org: String,
    pub officer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub outcome: CommitmentOutcome,
    pub at: i64,
    pub officer: String,
}

/// A case that is part of this one (多地联办), as far as it is known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub case: String,
    pub mandatory: bool,
    pub state: State,
    pub granted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub no: String,
    pub items: Vec<Lacking>,
    pub due: Date,
    pub at: i64,
    /// When the applicant answered it.
    pub supplied_at: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// When the clock of the decision starts; dated back where silence accepted.
    pub at: i64,
    pub doc_no: Option<String>,
    pub project_type: Option<String>,
    pub promise_date: Option<Date>,
    pub deemed: bool,
    pub tolerance: Option<Tolerance>,
}

/// 容缺受理: what may follow, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    pub missing: Vec<String>,
    pub due: Date,
    pub filled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Special {
    /// 1 延长审批, 2 其他 (GB/T 39046): the second kind pauses the clock.
    pub kind: String,
    pub name: String,
    pub limit: crate::domain::TimeLimit,
    pub from: i64,
    pub to: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub outcome: Outcome,
    pub no: String,
    pub at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub method: String,
    pub at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub to_org: String,
    pub at: i64,
}

/// 好差评: who was evaluated, and whether a bad word was put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    pub role: Role,
    /// 1 the evaluation, 2 the follow-up.
    pub times: u8,
    /// `1` (the best) to `5`.
    pub satisfaction: String,
    pub channel: String,
    pub at: i64,
    pub rectified_at: Option<i64>,
}

impl Evaluation {
    /// 不满意 and 非常不满意 open a rectification that must close.
    pub fn is_bad(&self) -> bool {
        matches!(self.satisfaction.as_str(), "4" | "5")
    }

    pub fn awaits_rectification(&self) -> bool {
        self.is_bad() && self.rectified_at.is_none()
    }
}

/// 校核纠错: a license's data is said to be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    pub id: String,
    pub asked_by: Role,
    pub exchange: String,
    pub license_id: String,
    pub field: String,
    pub at: i64,
    pub due: Date,
    pub answered: Option<(i64, CorrectionOutcome)>,
}
