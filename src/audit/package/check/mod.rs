//! Checking a package: the archive octet by octet, the manifest's signature, the tree, the
//! evidence, the orders that explain what is not there, and completeness with a warrant.
//!
//! Promises: a package that any octet of was changed is told, with the member and the leaf;
//! *erased by order* and *missing* are two verdicts. Its own policy is believed only when the
//! caller gives nothing better, and that is said. Bounded memory: some 200 octets a leaf.

mod evidence;
mod leaves;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::manifest::{Manifest, Selected};
use super::members::Warrant;
use crate::ledger::Vkey;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::Note;
use crate::ledger::tree::sha256;
use crate::ledger::verify::{EvidenceReport, Finding, FindingKind, KeySource};
use crate::witness::Policy;
use store::Store;

/// Findings told; more are counted.
const MOST_FINDINGS: usize = 1000;

/// Whom the caller believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<Vkey>,
    /// With it, a quorum of witnesses must have cosigned.
    policy: Option<Policy>,
    source: Option<KeySource>,
}

impl Trust {
    /// The log's key, as on the region's card.
    pub fn vkey(vkey: Vkey) -> Self {
        Self { keys: vec![vkey], policy: None, source: Some(KeySource::Given) }
    }

    /// A c2sp.org/tlog-policy: logs, and witnesses of whom a quorum must have cosigned.
    pub fn policy(policy: Policy) -> Self {
        Self { keys: Vec::new(), policy: Some(policy), source: Some(KeySource::Given) }
    }

    /// The `log` lines of the policy in a package: its own word.
    fn own_word(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.strip_prefix("log ")?.split(' ').next());
        let keys = lines.filter_map(|vkey| Vkey::parse(vkey).ok()).collect();
        Self { keys, policy: None, source: Some(KeySource::Genesis) }
    }

    /// A checkpoint of the log that its key signed.
    fn open(&self, note: &[u8]) -> Option<Checkpoint> {
        let origin = Checkpoint::peek(note).ok()?.origin;
        Checkpoint::open(note, &self.key_for(&origin)?).ok()
    }

    /// Did enough of the policy's witnesses cosign it? A known one whose line fails spoils all.
    fn is_cosigned(&self, note: &[u8]) -> bool {
        let judged = |policy: &Policy| policy.judge(&Note::parse(note).ok()?).ok();
        self.policy.as_ref().is_none_or(|policy| judged(policy).is_some_and(|judged| judged.quorum))
    }

    /// The key of a log: its own, or the same key under the name of another half-year.
    fn key_for(&self, origin: &str) -> Option<Vkey> {
        if let Some(policy) = &self.policy {
            return policy.log(origin);
        }
        let region = |name: &str| name.rsplit_once('/').map(|(region, _)| region.to_owned());
        let exact = self.keys.iter().find(|key| key.name() == origin);
        let near = || self.keys.iter().find(|key| region(key.name()) == region(origin));
        Vkey::new(origin, *exact.or_else(near)?.public())
    }
}

/// What a check of a package says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageVerdict {
    pub sound: bool,
    pub origin: Option<String>,
    /// Leaves under the package's checkpoint, and in the package.
    pub size: u64,
    pub leaves: u64,
    pub selection: Option<Selected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vkey: Option<String>,
    pub key: KeySource,
    pub evidence: EvidenceReport,
    /// What the warrant found; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    pub findings: Vec<Finding>,
    pub more: usize,
}

/// It is not there, or nothing can be read from it.
#[derive(Debug, thiserror::Error)]
pub enum CheckFault {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("holds no manifest.json")]
    NoPackage,
}

/// Checks the package at `path`, a tar or the folder it was unpacked into.
pub fn check(path: &Path, trust: &Trust, warrant: Option<&Warrant>) -> Result<PackageVerdict, CheckFault> {
    let mut checking = Checking::default();
    let store = match Store::open(path)? {
        Ok(store) => store,
        Err(why) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let finding = Finding::new(FindingKind::PackageMalformed, name);
            checking.findings.push(finding.saying(&format!(": {why}"), &format!("：{why}")));
            return Ok(checking.verdict());
        }
    };
    if store.size("manifest.json").is_none() {
        return Err(CheckFault::NoPackage);
    }
    let own_word = || {
        let policy = store.read("policy").unwrap_or_default();
        Trust::own_word(&String::from_utf8_lossy(&policy))
    };
    checking.trust = if trust.source.is_none() { own_word() } else { trust.clone() };
    checking.run(&store, warrant)?;
    Ok(checking.verdict())
}

/// A check on its way.
#[derive(Default)]
struct Checking {
    trust: Trust,
    origin: Option<String>,
    size: u64,
    selection: Option<Selected>,
    leaves: BTreeMap<u64, leaves::Seen>,
    evidence: EvidenceReport,
    complete: Option<bool>,
    findings: Vec<Finding>,
}

impl Checking {
    fn run(&mut self, store: &Store, warrant: Option<&Warrant>) -> std::io::Result<()> {
        let bytes = store.read("manifest.json")?;
        let Ok(manifest) = Manifest::peek(&bytes) else {
            self.found(FindingKind::ManifestInvalid, "manifest.json", None);
            return Ok(());
        };
        let vkey = self.trust.key_for(&manifest.log);
        if vkey.as_ref().is_none_or(|vkey| Manifest::open(&bytes, vkey).is_err()) {
            // Gone on with: what was changed besides is worth knowing.
            self.found(FindingKind::ManifestInvalid, "manifest.json", None);
        }
        (self.origin, self.size) = (Some(manifest.log.clone()), manifest.size);
        self.selection = Some(manifest.selection.clone());
        self.members(store, &manifest)?;
        let note = store.read("checkpoint").unwrap_or_default();
        let checkpoint = self.trust.open(&note);
        let checkpoint = checkpoint.filter(|c| c.size == manifest.size && c.origin == manifest.log);
        if checkpoint.is_none() {
            self.found(FindingKind::CheckpointInvalid, "checkpoint", None);
        } else if !self.trust.is_cosigned(&note) {
            self.found(FindingKind::QuorumMissing, "checkpoint", None);
        }
        self.read_leaves(store, &manifest)?;
        self.runs(store, &note, checkpoint.as_ref())?;
        self.selection(&manifest.selection);
        self.look_at_evidence(store, &manifest, warrant)
    }

    /// Every member is what the manifest says, in its order, and there is no other.
    fn members(&mut self, store: &Store, manifest: &Manifest) -> std::io::Result<()> {
        let mut listed: BTreeSet<&str> = BTreeSet::from(["manifest.json"]);
        for member in &manifest.members {
            let fresh = listed.insert(&member.name);
            match store.size(&member.name) {
                None => self.found(FindingKind::MemberMissing, &member.name, None),
                Some(size) if fresh && size == member.size => {
                    if hex::encode(store.digest(&member.name)?) != member.sha256 {
                        self.found(FindingKind::MemberChanged, &member.name, None);
                    }
                }
                Some(_) => self.found(FindingKind::MemberChanged, &member.name, None),
            }
        }
        let mut extra = false;
        for name in store.names().filter(|name| !listed.contains(name.as_str())) {
            extra = true;
            self.found(FindingKind::MemberExtra, name, None);
        }
        let order = std::iter::once("manifest.json").chain(manifest.members.iter().map(|m| m.name.as_str()));
        if store.is_archive()
            && !extra
            && self.findings.is_empty()
            && !store.names().map(String::as_str).eq(order)
        {
            self.found(FindingKind::PackageMalformed, "manifest.json", None);
        }
        Ok(())
    }

    fn found(&mut self, kind: FindingKind, file: &str, index: Option<u64>) {
        let finding = Finding::new(kind, file);
        self.findings.push(match index {
            Some(index) => finding.at(self.origin.as_deref().unwrap_or_default(), index),
            None => finding,
        });
    }

    fn verdict(mut self) -> PackageVerdict {
        let more = self.findings.len().saturating_sub(MOST_FINDINGS);
        self.findings.truncate(MOST_FINDINGS);
        let vkey = self.origin.as_ref().and_then(|origin| self.trust.key_for(origin));
        PackageVerdict {
            sound: self.findings.is_empty(),
            size: self.size,
            leaves: self.leaves.len() as u64,
            selection: self.selection,
            key: self.trust.source.filter(|_| vkey.is_some()).unwrap_or(KeySource::Unknown),
            vkey: vkey.map(|vkey| vkey.to_string()),
            origin: self.origin,
            evidence: self.evidence,
            complete: self.complete,
            findings: self.findings,
            more,
        }
    }
}

/// The SHA-256 of a leaf's `rh`, as it stands there.
fn short(r: &[u8]) -> [u8; 16] {
    sha256(r).first_chunk().copied().unwrap_or_default()
}
