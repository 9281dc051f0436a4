//! The lines and small files of a package, each with one spelling: canonical JSON and a line feed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::manifest::canonical;
use crate::json::jcs;
use crate::ledger::evidence::{Field, SubjectKey};
use crate::ledger::extract::SealedEvidence;
use crate::ledger::{Mark, RetentionClass, Shard};

/// `leaves.jsonl`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafLine {
    pub i: u64,
    /// The exact bytes, base64.
    pub l: String,
}

/// `secrets.jsonl`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretLine {
    pub i: u64,
    /// base64.
    pub r: String,
}

/// `facts.jsonl`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactLine {
    pub i: u64,
    pub is: FactKind,
    /// `2026h2/4711`: the leaf that ordered it, proven in `orders/`.
    pub order: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactKind {
    Erased,
    Held,
    Dropped,
}

/// `evidence/<index>.json`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    class: String,
    epoch: i64,
    r: String,
    sealed: String,
    wrapped: String,
}

impl EvidenceFile {
    pub fn of(evidence: &SealedEvidence) -> Self {
        Self {
            class: evidence.class.name().to_owned(),
            epoch: evidence.epoch,
            r: STANDARD.encode(&evidence.r),
            sealed: STANDARD.encode(&evidence.sealed),
            wrapped: evidence.wrapped.clone(),
        }
    }

    pub fn read(bytes: &[u8]) -> Option<SealedEvidence> {
        let file: Self = read_line(bytes)?;
        Some(SealedEvidence {
            class: RetentionClass::parse(&file.class)?,
            epoch: file.epoch,
            r: STANDARD.decode(&file.r).ok()?,
            sealed: STANDARD.decode(&file.sealed).ok()?,
            wrapped: file.wrapped,
        })
    }
}

/// One line: canonical JSON and a line feed.
pub fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = jcs(&serde_json::to_value(value).unwrap_or_default());
    bytes.push(b'\n');
    bytes
}

/// Reads one line in its one spelling, with its line feed.
pub fn read_line<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    canonical(bytes.strip_suffix(b"\n")?)
}

/// `proofs/<index>.tlog-proof`
pub fn proof_name(index: u64) -> String {
    format!("proofs/{index}.tlog-proof")
}

/// `evidence/<index>.json`
pub fn evidence_name(index: u64) -> String {
    format!("evidence/{index}.json")
}

/// `orders/<log>-<index>.tlog-proof`
pub fn order_name(at: Mark) -> String {
    format!("orders/{}-{}.tlog-proof", at.shard, at.index)
}

/// The place that `2026h2/4711` names.
pub fn order_at(text: &str) -> Option<Mark> {
    let (shard, index) = text.split_once('/')?;
    let mark = Mark { shard: Shard::parse(shard)?, index: index.parse().ok()? };
    (crate::ledger::orders::name_of(mark) == text).then_some(mark)
}

/// What lets an outsider search for one subject in one half-year, and no further:
/// `{"field","from","shard","t","to"}`, times in milliseconds.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warrant {
    pub field: Field,
    pub from: i64,
    pub shard: String,
    /// `T(field, value)`, base64url.
    t: String,
    pub to: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a warrant: {{field, from, shard, t, to}}")]
pub struct WarrantFault;

impl Warrant {
    pub fn new(shard: Shard, field: Field, subject: &SubjectKey, from: i64, to: i64) -> Self {
        Self { field, from, shard: shard.to_string(), t: URL_SAFE_NO_PAD.encode(subject.bytes()), to }
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, WarrantFault> {
        let warrant: Self = serde_json::from_slice(bytes).map_err(|_| WarrantFault)?;
        warrant.key().zip(Shard::parse(&warrant.shard)).ok_or(WarrantFault)?;
        Ok(warrant)
    }

    /// `T`.
    pub fn key(&self) -> Option<SubjectKey> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.t).ok()?;
        Some(SubjectKey::from_bytes(bytes.try_into().ok()?))
    }
}
