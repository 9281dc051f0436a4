//! The body of `application.submit`, event 0 of a case: Rust twin of
//! `schemas/application-submit.json`.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{Evidence, HandlingMode, Region, is_id_number};
use crate::schema::{Admissible, Kind};

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SubmitBody {
    pub mode: HandlingMode,
    /// The case of which this one is a part.
    pub parent: Option<String>,
    pub native: Option<Native>,
    pub collecting: CollectingSide,
    pub handling: HandlingSide,
    pub applicant: Applicant,
    /// Judged by the item's form schema when a case is opened.
    pub form: Map<String, Value>,
    pub materials: Vec<Shown>,
    /// Compact JWSs.
    pub authorizations: Vec<String>,
}

/// The numbers under which the two sides' own systems know the case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    pub collecting: Option<String>,
    pub handling: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectingSide {
    pub region: Region,
    /// 6, 9 or 12 digits: the window's place.
    pub place: String,
    pub org: String,
    pub officer: String,
    /// Seconds since the epoch.
    pub collected_at: i64,
    pub identity_check: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlingSide {
    pub region: Region,
    pub org: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Applicant {
    /// 服务对象 (GB/T 39046): 1 a natural person.
    pub kind: String,
    pub name: String,
    pub id_type: String,
    pub id_number: String,
    pub mobile: String,
    pub agent: Option<Agent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Agent {
    pub name: String,
    pub id_type: String,
    pub id_number: String,
    pub mandate: String,
}

/// A material as a submit or a supplement shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Shown {
    pub code: String,
    pub name: String,
    #[serde(flatten)]
    pub proof: Proof,
}

/// How a material is shown (protocol §6.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "snake_case")]
pub enum Proof {
    /// The lookup's exchange id.
    SharedData {
        exchange: String,
    },
    /// The verification's id.
    TimedVerification {
        verification: String,
    },
    Commitment {
        commitment: Commitment,
    },
    /// `sha256` in hex; `bytes` octets.
    Upload {
        sha256: String,
        bytes: u64,
        media_type: String,
    },
}

impl Proof {
    pub const fn evidence(&self) -> Evidence {
        match self {
            Self::SharedData { .. } => Evidence::SharedData,
            Self::TimedVerification { .. } => Evidence::TimedVerification,
            Self::Commitment { .. } => Evidence::Commitment,
            Self::Upload { .. } => Evidence::Upload,
        }
    }
}

/// 告知承诺: what the applicant was told and signed, and until when it must be made good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// base64url SHA-256.
    pub text_digest: String,
    /// Compact JWS.
    pub authorization: String,
    /// That day included, in Asia/Shanghai.
    pub due: Date,
}

impl Admissible for SubmitBody {
    const KIND: Kind = Kind::ApplicationSubmit;

    fn normalised(mut self) -> Self {
        let applicant = &mut self.applicant;
        if is_id_number(&applicant.id_type) {
            applicant.id_number.make_ascii_uppercase();
        }
        if let Some(agent) = applicant.agent.as_mut().filter(|agent| is_id_number(&agent.id_type)) {
            agent.id_number.make_ascii_uppercase();
        }
        self
    }
}
