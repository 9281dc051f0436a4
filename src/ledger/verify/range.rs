//! A range of one log, quickly: its leaves and its evidence, proven complete under the newest
//! checkpoint by the proofs of both ends, without walking over the rest.

use std::ops::Range;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::checkpoint::Checkpoint;
use super::super::evidence::epoch_commitment;
use super::super::extract::{Extract, ExtractFault};
use super::super::leaf::{Leaf, LeafHash, is_canonical};
use super::super::note::Vkey;
use super::super::orders::{OrderKind, Orders, class_of, name_of};
use super::super::tree::{leaf_hash, root_around, sha256, verify_inclusion};
use super::{Asked, EvidenceReport, Finding, FindingKind, KeySource, LogReport, Verdict, vaults};
use crate::store::{Mark, Month, StoreFault};

#[derive(Debug, thiserror::Error)]
pub enum RangeFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("{0}")]
    Extract(#[from] ExtractFault),
    #[error("the newest checkpoint covers {0} leaves: the range is not under it")]
    Beyond(u64),
}

/// Checks leaves `range` of the newest log; an end beyond the checkpoint means the checkpoint.
pub fn verify_range(data: &Path, asked: &Asked<'_>, range: Range<u64>) -> Result<Verdict, RangeFault> {
    let log = Extract::open(data, None)?;
    let range = range.start..range.end.min(log.size());
    if range.is_empty() {
        return Err(RangeFault::Beyond(log.size()));
    }
    let (first, last) = (range.start, range.end - 1);
    let folder = format!("ledger/{}", log.shard());
    let mut looked = Looked {
        log: &log,
        orders: log.orders()?,
        evidence: EvidenceReport::default(),
        findings: Vec::new(),
        names_epochs: false,
    };
    let mut hashes = Vec::new();
    log.leaves::<RangeFault>(range.clone(), |index, bytes| {
        hashes.push(leaf_hash(bytes));
        if index.is_multiple_of(1024)
            && let Some(tell) = asked.progress
        {
            tell(index - first, range.end - first);
        }
        looked.leaf(index, bytes)
    })?;
    let named = || {
        let mut first = None;
        let read = log.leaves::<ExtractFault>(0..1, |_, bytes| {
            first = Leaf::from_bytes(bytes);
            Ok(())
        });
        read.ok()?;
        Vkey::parse(first?.vkey.as_deref()?).ok()
    };
    let (vkey, source) = match asked.key {
        Some(public) => (Vkey::new(log.origin(), public), KeySource::Given),
        None => (named(), KeySource::Genesis),
    };
    let checkpoint = vkey.as_ref().and_then(|vkey| Checkpoint::open(log.checkpoint(), vkey).ok());
    let mut findings = looked.findings;
    match &checkpoint {
        None => findings.push(Finding::new(FindingKind::CheckpointInvalid, "checkpoint").of(log.origin())),
        Some(c) => {
            let (left, right) = (log.proof(first)?.path, log.proof(last)?.path);
            let ends = [(first, &left, hashes.first()), (last, &right, hashes.last())];
            for (index, path, hash) in ends {
                if !hash.is_some_and(|hash| verify_inclusion(path, index, c.size, hash, &c.root)) {
                    findings.push(
                        Finding::new(FindingKind::LeafRewritten, folder.clone()).at(log.origin(), index),
                    );
                }
            }
            let around = root_around((first, &left), (last, &right), c.size, &mut hashes.iter().copied());
            if findings.is_empty() && around != Some(c.root) {
                findings.push(Finding::new(FindingKind::LeafRewritten, folder).at(log.origin(), first));
            }
        }
    }
    let report = LogReport {
        origin: log.origin().to_owned(),
        leaves: range.end - range.start,
        sealed: log.size(),
        root: checkpoint.map(|c| STANDARD.encode(c.root)),
        checkpoints: 1,
        tiles: 0,
        vkey: vkey.map(|vkey| vkey.to_string()),
        key: source,
        evidence: looked.evidence,
    };
    let sound = findings.is_empty();
    Ok(Verdict { sound, data_dir: data.to_owned(), logs: vec![report], findings, more: 0 })
}

struct Looked<'a> {
    log: &'a Extract,
    orders: Orders,
    evidence: EvidenceReport,
    findings: Vec<Finding>,
    names_epochs: bool,
}

impl Looked<'_> {
    fn leaf(&mut self, index: u64, bytes: &[u8]) -> Result<(), RangeFault> {
        let folder = format!("ledger/{}", self.log.shard());
        let Some(leaf) = Leaf::from_bytes(bytes).filter(|_| is_canonical(bytes)) else {
            self.found(FindingKind::LeafMalformed, &folder, index);
            return Ok(());
        };
        let Some(LeafHash(ev)) = leaf.ev else { return Ok(()) };
        if self.names_epochs && leaf.ek.is_none() {
            self.found(FindingKind::EpochUnnamed, &folder, index);
        }
        self.names_epochs |= leaf.ek.is_some();
        let mark = Mark { shard: self.log.shard(), index };
        let month = Month::at(crate::clock::Now::from_ms(leaf.ts));
        let file = vaults::rows_name(mark.shard, month, class_of(&leaf));
        let Some(row) = self.log.evidence(index)? else {
            let erased = self.log.erased(index).and_then(|by| self.orders.at(by));
            let dropped = || self.orders.drop_of(mark.shard, month, class_of(&leaf));
            match erased.filter(|order| order.covers(OrderKind::Erase, mark)) {
                Some(order) => {
                    self.evidence.erased += 1;
                    *self.evidence.orders.entry(name_of(order.at)).or_default() += 1;
                }
                None => match dropped() {
                    Some(order) => {
                        self.evidence.dropped += 1;
                        *self.evidence.orders.entry(name_of(order.at)).or_default() += 1;
                    }
                    None => {
                        self.evidence.missing += 1;
                        self.found(FindingKind::EvidenceMissing, &file, index);
                    }
                },
            }
            return Ok(());
        };
        self.evidence.present += 1;
        if self.log.held(index).is_some() {
            self.evidence.held += 1;
        }
        let secret = sha256(&row.r).get(..16).map(|short| URL_SAFE_NO_PAD.encode(short));
        if sha256(&row.sealed) != ev {
            self.found(FindingKind::EvidenceChanged, &file, index);
        } else if secret != leaf.rh {
            self.found(FindingKind::SecretChanged, &file, index);
        }
        if leaf.ek.as_ref().is_some_and(|ek| *ek != epoch_commitment(&row.wrapped)) {
            let file = vaults::file_name(mark.shard, month, class_of(&leaf));
            self.found(FindingKind::EpochDiffers, &file, index);
        }
        Ok(())
    }

    fn found(&mut self, kind: FindingKind, file: &str, index: u64) {
        if self.findings.len() < super::MOST_FINDINGS {
            self.findings.push(Finding::new(kind, file).at(self.log.origin(), index));
        }
    }
}
