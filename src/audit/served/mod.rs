//! A log as its region serves it, checked from outside: by a partner or an auditor who has
//! nothing of it but what the partner door gives, and perhaps a checkpoint kept from before.
//!
//! Promises: the checkpoint is the key's and cosigned as the policy asks; every tile leads to it,
//! and one that does not is named; the tree continues the one that was kept; an entry that is
//! given out stands where it says. Nothing the other side says is believed before. Leaves to the
//! caller who is asked and how ([`Source`]); what is in evidence nobody can check from here.

mod entries;
mod promised;
#[cfg(test)]
mod tests;
mod tiles;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::ledger::Vkey;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::Note;
use crate::ledger::verify::{Finding, FindingKind, MOST_FINDINGS};
use crate::witness::Policy;

pub use promised::{Due, Promised, promised};

/// Paths asked for at once: enough for a distant line, and a quarter of what a door allows one
/// caller.
pub const AT_ONCE: usize = 16;

/// Where a served log is read.
pub trait Source {
    /// What stands at these paths, in their order, at most [`AT_ONCE`]; `None` for a 404.
    fn fetch(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, SourceFault>;
}

/// Why nothing could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    #[error("{0}")]
    Call(String),
    #[error("was answered with status {0}")]
    Status(u16),
    #[error("its card names no ledger")]
    NoLedger,
    #[error("no key is known for its ledger")]
    NoKey,
    #[error("serves no checkpoint of this ledger")]
    NoCheckpoint,
}

/// What a check is told.
#[derive(Default)]
pub struct AskedOf<'a> {
    /// The region's ledger key, as on the card that was taken up; a policy that names the log
    /// goes before it.
    pub vkey: Option<Vkey>,
    /// Whose cosignatures are enough.
    pub policy: Option<&'a Policy>,
    /// The half-year; the one on the served card without it.
    pub origin: Option<String>,
    /// A checkpoint that was kept: what is served must continue it.
    pub since: Option<Vec<u8>>,
    /// Leaves to fetch, as far as they are given out.
    pub leaves: Vec<u64>,
    /// Leaves that signed answers promised: index and hash.
    pub promised: Promised,
    /// Told how many tiles there are and how many were read.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

/// What a check of a served log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServedVerdict {
    pub sound: bool,
    pub logs: Vec<ServedLog>,
    pub findings: Vec<Finding>,
    /// Findings beyond the most that are told.
    pub more: usize,
}

/// One log of the region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServedLog {
    pub origin: String,
    pub size: u64,
    /// base64.
    pub root: String,
    pub vkey: String,
    /// Names of the policy's witnesses that cosigned; `None` without a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<Vec<String>>,
    /// Tiles that were read.
    pub tiles: u64,
    /// Size of the kept checkpoint that it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<EntryTold>,
    /// Promises that were held against the tree.
    pub promises: u64,
    /// The exact note, to be kept.
    #[serde(skip)]
    pub note: Vec<u8>,
}

/// What became of a leaf that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryTold {
    pub index: u64,
    pub state: EntryState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    Proven,
    /// Not ours to read, or not there: the door does not say which.
    Withheld,
    Wrong,
}

/// Checks what is served.
pub fn check(source: &mut dyn Source, asked: &AskedOf<'_>) -> Result<ServedVerdict, SourceFault> {
    let mut checking = Checking { source, asked, findings: Vec::new() };
    let mut logs = Vec::new();
    let newest = checking.origin()?;
    let kept = asked.since.as_deref().and_then(|note| Checkpoint::peek(note).ok());
    if asked.since.is_some() && kept.is_none() {
        checking.found(Finding::new(FindingKind::CheckpointInvalid, KEPT));
    }
    // A checkpoint of an ended half-year is held against that half-year's log.
    if let Some(kept) = kept.filter(|kept| kept.origin != newest) {
        logs.push(checking.log(&kept.origin)?);
    }
    logs.push(checking.log(&newest)?);
    let mut findings = checking.findings;
    let more = findings.len().saturating_sub(MOST_FINDINGS);
    findings.truncate(MOST_FINDINGS);
    Ok(ServedVerdict { sound: findings.is_empty(), logs, findings, more })
}

/// The log that a region writes at present, as its card says.
pub fn origin(source: &mut dyn Source) -> Result<String, SourceFault> {
    Ok(ledger_on_card(source)?.0)
}

/// Origin and verifier key.
fn ledger_on_card(source: &mut dyn Source) -> Result<(String, String), SourceFault> {
    let card = source.fetch(&["/v1/card".to_owned()])?.pop().flatten().ok_or(SourceFault::NoLedger)?;
    let card: Value = serde_json::from_slice(&card).unwrap_or_default();
    let text = |pointer: &str| card.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    text("/ledger/origin").zip(text("/ledger/vkey")).ok_or(SourceFault::NoLedger)
}

/// What the caller kept has no path over there.
const KEPT: &str = "(kept from before 留存)";

struct Checking<'a> {
    source: &'a mut dyn Source,
    asked: &'a AskedOf<'a>,
    findings: Vec<Finding>,
}

impl Checking<'_> {
    fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn one(&mut self, path: String) -> Result<Option<Vec<u8>>, SourceFault> {
        Ok(self.source.fetch(&[path])?.pop().flatten())
    }

    /// The log to look at; and the served card's key for it is the known one.
    fn origin(&mut self) -> Result<String, SourceFault> {
        if let Some(origin) = &self.asked.origin {
            return Ok(origin.clone());
        }
        let (origin, said) = ledger_on_card(self.source)?;
        let vkey = self.key_of(&origin)?;
        if said != vkey.to_string() {
            self.found(Finding::new(FindingKind::KeyDiffers, "card").of(&origin));
        }
        Ok(origin)
    }

    fn key_of(&self, origin: &str) -> Result<Vkey, SourceFault> {
        let listed = self.asked.policy.and_then(|policy| policy.log(origin));
        let region = |name: &str| name.rsplit_once('/').map(|(region, _)| region.to_owned());
        let near = self.asked.vkey.as_ref().filter(|vkey| region(vkey.name()) == region(origin));
        let near = || near.and_then(|vkey| Vkey::new(origin, *vkey.public()));
        listed.or_else(near).ok_or(SourceFault::NoKey)
    }

    fn log(&mut self, origin: &str) -> Result<ServedLog, SourceFault> {
        let vkey = self.key_of(origin)?;
        let note = self.one(format!("/v1/log/{origin}/checkpoint"))?.ok_or(SourceFault::NoCheckpoint)?;
        let mut log = ServedLog {
            origin: origin.to_owned(),
            size: 0,
            root: String::new(),
            vkey: vkey.to_string(),
            witnesses: None,
            tiles: 0,
            since: None,
            entries: Vec::new(),
            promises: 0,
            note,
        };
        let Ok(checkpoint) = Checkpoint::open(&log.note, &vkey) else {
            self.found(Finding::new(FindingKind::CheckpointInvalid, "checkpoint").of(origin));
            return Ok(log);
        };
        (log.size, log.root) = (checkpoint.size, STANDARD.encode(checkpoint.root));
        self.cosigned(&mut log);
        let kept = self.kept(origin, &vkey, &checkpoint);
        let tree = self.tree(&checkpoint, kept.as_ref())?;
        log.tiles = tree.read;
        if let Some(kept) = kept {
            self.continues(&kept, &checkpoint, &tree);
            log.since = Some(kept.size);
        }
        self.promises(&mut log, &tree);
        self.entries(&mut log, &vkey, &tree)?;
        Ok(log)
    }

    /// Enough of the policy's witnesses cosigned.
    fn cosigned(&mut self, log: &mut ServedLog) {
        let Some(policy) = self.asked.policy else { return };
        let judged = Note::parse(&log.note).and_then(|note| policy.judge(&note)).ok();
        let names = judged.as_ref().map(|judged| judged.by.iter().map(|(name, _)| name.clone()).collect());
        log.witnesses = Some(names.unwrap_or_default());
        if !judged.is_some_and(|judged| judged.quorum) {
            self.found(Finding::new(FindingKind::QuorumMissing, "checkpoint").of(&log.origin));
        }
    }

    /// The kept checkpoint of this log, if the key signed it.
    fn kept(&mut self, origin: &str, vkey: &Vkey, served: &Checkpoint) -> Option<Checkpoint> {
        let note = self.asked.since.as_deref()?;
        if Checkpoint::peek(note).is_ok_and(|kept| kept.origin != origin) {
            return None;
        }
        let Ok(kept) = Checkpoint::open(note, vkey) else {
            self.found(Finding::new(FindingKind::CheckpointInvalid, KEPT).of(origin));
            return None;
        };
        if kept.size > served.size {
            let finding = Finding::new(FindingKind::CheckpointBehind, "checkpoint").of(origin);
            let (had, has) = (kept.size, served.size);
            self.found(
                finding
                    .saying(&format!(": {has} leaves, {had} before"), &format!("：{has} 条，此前 {had} 条")),
            );
            return None;
        }
        Some(kept)
    }

    /// The tree that was kept is the beginning of the one that is served.
    fn continues(&mut self, kept: &Checkpoint, served: &Checkpoint, tree: &tiles::Tree) {
        let same = if kept.size == served.size {
            kept.root == served.root
        } else {
            tree.kept_root == Some(kept.root)
        };
        // Where a tile was changed nothing follows for the kept one.
        if same || !tree.whole && kept.size != served.size {
            return;
        }
        let finding = Finding::new(FindingKind::CheckpointContradicted, KEPT).of(&kept.origin);
        let size = kept.size;
        self.found(finding.saying(
            &format!(": what is served has another tree of the first {size} leaves"),
            &format!("：现所提供的前 {size} 条为另一棵树"),
        ));
    }
}
