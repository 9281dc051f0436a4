//! Exchanges that a question means, newest first: the index says where, the leaves say what.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Desk, DeskFault, Question};
use crate::ledger::evidence::{Field, ShardKey, SubjectKey};
use crate::ledger::{Leaf, Mark, Shard};
use crate::store::Shelf as _;

/// What is known of the sealed evidence of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceState {
    /// The leaf names none.
    None,
    Kept,
    /// Kept, and nobody may erase it.
    Held,
    /// Kept, and out of use.
    Restricted,
    /// By order: a leaf says so.
    Erased,
    /// With its month, whose period was over.
    Dropped,
    /// Named by the leaf, not there, and no order says why.
    Missing,
}

/// One leaf as a list shows it: nothing that is not in the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRow {
    pub shard: String,
    pub index: u64,
    /// Milliseconds since 1970.
    pub ts: i64,
    /// `in`, `out.sent`, …
    pub kind: String,
    pub evidence: EvidenceState,
    #[serde(flatten)]
    pub members: Members,
}

/// Members of a leaf that lists show; what is not there is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Where a page ends: `2026h2/4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor(pub Mark);

impl Cursor {
    pub fn parse(text: &str) -> Result<Self, DeskFault> {
        let mark = text.split_once('/').and_then(|(shard, index)| {
            Some(Mark { shard: Shard::parse(shard)?, index: index.parse().ok()? })
        });
        mark.map(Self).ok_or(DeskFault::Asked("a page's place is 2026h2/4711"))
    }
}

/// A place as people read it.
pub(super) fn told(at: Mark) -> String {
    format!("{}/{}", at.shard, at.index)
}

impl Desk {
    /// At most `most` leaves that the question means, newest first, before `before`. Blocks.
    pub(super) fn find(
        &self,
        question: &Question,
        before: Option<Mark>,
        most: usize,
    ) -> Result<Vec<(Mark, Leaf)>, DeskFault> {
        let mut found = Vec::new();
        for shard in self.shelf().shards()?.into_iter().rev() {
            let before = match before {
                Some(before) if before.shard < shard => continue,
                Some(before) if before.shard == shard => Some(before.index),
                _ => None,
            };
            let Some(subjects) = self.subjects(shard, question)? else { continue };
            let indices = self.indices(shard, &subjects, question, before, most - found.len())?;
            for index in indices {
                let leaf = self.leaf(Mark { shard, index })?;
                found.push((Mark { shard, index }, leaf));
            }
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn leaf(&self, at: Mark) -> Result<Leaf, DeskFault> {
        let stored = self.shelf().leaves(at.shard, at.index..at.index.saturating_add(1))?.pop();
        stored.and_then(|stored| Leaf::from_bytes(&stored.leaf)).ok_or(DeskFault::NoSuchLeaf)
    }

    /// What stands for the question's people in one log; `None` when that log has no evidence
    /// at all, and so nobody can be found in it.
    pub(super) fn subjects(
        &self,
        shard: Shard,
        question: &Question,
    ) -> Result<Option<Vec<SubjectKey>>, DeskFault> {
        let people: Vec<(Field, &str)> = question.people().collect();
        if people.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let Some(key) = self.shard_key(shard)? else { return Ok(None) };
        Ok(Some(people.into_iter().map(|(field, value)| key.subject(field, value)).collect()))
    }

    /// The key that a log is searched with.
    pub(super) fn shard_key(&self, shard: Shard) -> Result<Option<Arc<ShardKey>>, DeskFault> {
        // Asking for a key makes one; for a log that is over, that could only be the wrong one.
        let file = self.inner.data.join(format!("ledger/search/{shard}.key"));
        if !file.exists() {
            return if self.vaults().list(shard)?.is_empty() { Ok(None) } else { Err(DeskFault::NoKeys) };
        }
        self.keys().of_shard(shard).map(Some).map_err(|_| DeskFault::NoKeys)
    }

    /// The pseudonyms under which the registers remember whom a question sought.
    pub(super) fn sought(&self, question: &Question) -> Result<Vec<String>, DeskFault> {
        let mut marks = Vec::new();
        for shard in self.shelf().shards()? {
            marks.extend(self.subjects(shard, question)?.iter().flatten().map(mark_of));
        }
        Ok(marks)
    }

    /// Rows with the state of their evidence.
    pub(super) fn rows(&self, found: Vec<(Mark, Leaf)>) -> Result<Vec<FoundRow>, DeskFault> {
        let shards: BTreeSet<Shard> = found.iter().map(|(at, _)| at.shard).collect();
        let states = self.states(shards)?;
        found.into_iter().map(|(at, leaf)| Ok(row(at, &leaf, states.of(at, &leaf)?))).collect()
    }
}

/// A pseudonym for one subject in one log, of no use to who has not its key.
pub(super) fn mark_of(subject: &SubjectKey) -> String {
    let mark = aws_lc_rs::hmac::sign(
        &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, subject.bytes()),
        b"register",
    );
    URL_SAFE_NO_PAD.encode(mark.as_ref().get(..16).unwrap_or_default())
}

fn row(at: Mark, leaf: &Leaf, evidence: EvidenceState) -> FoundRow {
    let decision = leaf.dec.and_then(|dec| serde_json::to_value(dec).ok());
    FoundRow {
        shard: at.shard.to_string(),
        index: at.index,
        ts: leaf.ts,
        kind: leaf.t.name().to_owned(),
        evidence,
        members: Members {
            x: leaf.x.clone(),
            peer: leaf.peer.clone(),
            op: leaf.op.clone(),
            item: leaf.item.clone(),
            lt: leaf.lt.clone(),
            dec: decision.and_then(|dec| dec.as_str().map(str::to_owned)),
            code: leaf.code.clone(),
            status: leaf.status,
            auth: leaf.auth.map(|auth| auth.to_string()),
            case: leaf.case.clone(),
            by: leaf.by.clone(),
        },
    }
}
