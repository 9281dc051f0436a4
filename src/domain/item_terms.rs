//! Words in which an item is described, in an agreement as on a form: who does what, which
//! materials are needed, and how each may be shown.

use serde::{Deserialize, Serialize};

/// How the two regions share the work (国办发〔2020〕35号).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlingMode {
    Online,
    ProxyCollect,
    MultiJoint,
}

/// Whether a case can go on without a material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Necessity {
    Required,
    Optional,
    /// 容缺后补: may be handed in later.
    Tolerant,
}

/// The ways to show a material (protocol §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    SharedData,
    TimedVerification,
    Commitment,
    Upload,
}

impl Evidence {
    pub const fn name(self) -> &'static str {
        match self {
            Self::SharedData => "shared_data",
            Self::TimedVerification => "timed_verification",
            Self::Commitment => "commitment",
            Self::Upload => "upload",
        }
    }
}
