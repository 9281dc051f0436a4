//! The other bodies about cases and verifications, and the receipts: Rust twins of
//! `schemas/application-status*.json`, `application-receipt.json` and `verification-*.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::Actor;
use super::state::State;
use crate::domain::{Colour, is_id_number};
use crate::schema::{Admissible, Kind};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StatusBody {
    pub case: String,
}

impl Admissible for StatusBody {
    const KIND: Kind = Kind::ApplicationStatus;
}

/// The receipt of a submit (`seq` 0, with the last two members) or of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub case: String,
    pub seq: u32,
    /// Digest of the event.
    pub digest: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<i64>,
    /// SHA-256 (hex) of the files not yet there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Vec<String>>,
}

impl Admissible for Receipt {
    const KIND: Kind = Kind::ApplicationReceipt;
}

/// A case as the answering side sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusResult {
    pub case: String,
    pub state: State,
    pub transport: Transport,
    pub clock: ClockView,
    pub events: Vec<EventLine>,
}

impl Admissible for StatusResult {
    const KIND: Kind = Kind::ApplicationStatusResult;
}

/// How far the messages about a case got: never mixed with its state (protocol §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    Waiting,
    Delivered,
    Refused,
    Undeliverable,
}

/// What runs, and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// Seconds since the epoch; `None` when nothing is due.
    pub due: Option<i64>,
    pub colour: Colour,
    pub paused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    pub seq: u32,
    pub event: String,
    pub at: i64,
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VerificationRequestBody {
    pub id: String,
    /// Code of the material.
    pub material: String,
    pub license: VerifiedLicense,
    /// What the applicant states, by field.
    pub claims: BTreeMap<String, String>,
    pub question: String,
    /// RFC 3339 with offset.
    pub due: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VerifiedLicense {
    #[serde(rename = "type")]
    pub kind: String,
    pub holder: VerifiedHolder,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VerifiedHolder {
    #[serde(rename = "type")]
    pub kind: String,
    pub number: String,
    pub name: Option<String>,
}

impl Admissible for VerificationRequestBody {
    const KIND: Kind = Kind::VerificationRequest;

    fn normalised(mut self) -> Self {
        let holder = &mut self.license.holder;
        if is_id_number(&holder.kind) {
            holder.number.make_ascii_uppercase();
        }
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VerificationAnswerBody {
    pub id: String,
    pub outcome: VerificationOutcome,
    pub note: String,
    pub at: i64,
    pub by: Actor,
}

impl Admissible for VerificationAnswerBody {
    const KIND: Kind = Kind::VerificationAnswer;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationOutcome {
    Confirmed,
    Refuted,
    Unable,
}

/// The receipt of a verification's request (with `due`) or of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationReceipt {
    pub id: String,
    pub received_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
}

impl Admissible for VerificationReceipt {
    const KIND: Kind = Kind::VerificationReceipt;
}
