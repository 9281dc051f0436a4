//! The leaves of a package: each canonical and of this log, every run of them proven by the
//! proofs of its two ends, and the selection complete.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::manifest::{Manifest, Selected};
use super::super::members::{LeafLine, proof_name, read_line};
use super::{Checking, Store};
use crate::ledger::RetentionClass;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::leaf::{Leaf, LeafHash, is_canonical};
use crate::ledger::orders::class_of;
use crate::ledger::proof::Proof;
use crate::ledger::tree::{Hash, leaf_hash, root_around, verify_inclusion};
use crate::ledger::verify::FindingKind;

const LEAVES: &str = "leaves.jsonl";

/// What is remembered of a leaf.
pub struct Seen {
    pub hash: Hash,
    pub ev: Option<Hash>,
    pub rh: Option<[u8; 16]>,
    /// What it commits the epoch's wrapped key to; leaves of older versions do not.
    pub ek: Option<String>,
    pub ts: i64,
    pub class: RetentionClass,
    /// Of periods only.
    pub tags: Vec<String>,
    /// Of selected exchanges only.
    pub x: Option<String>,
}

impl Checking {
    pub fn read_leaves(&mut self, store: &Store, manifest: &Manifest) -> io::Result<()> {
        let me = manifest.log.split('/').nth(1).map(str::to_owned);
        let mut reader = match store.reader(LEAVES) {
            Ok(reader) => BufReader::new(reader),
            // Said of the member already.
            Err(_) => return Ok(()),
        };
        let (mut text, mut next, mut names_epochs) = (Vec::new(), 0, false);
        while reader.read_until(b'\n', &mut text)? > 0 {
            let line: Option<LeafLine> = read_line(&text);
            let read = line.and_then(|line| Some((line.i, STANDARD.decode(&line.l).ok()?)));
            text.clear();
            let Some((index, bytes)) = read.filter(|(index, _)| *index >= next && *index < manifest.size)
            else {
                self.found(FindingKind::LeafMalformed, LEAVES, Some(next));
                continue;
            };
            next = index + 1;
            let leaf = Leaf::from_bytes(&bytes).filter(|leaf| leaf.me == me && is_canonical(&bytes));
            match leaf {
                Some(leaf) => {
                    if leaf.ev.is_some() && names_epochs && leaf.ek.is_none() {
                        self.found(FindingKind::EpochUnnamed, LEAVES, Some(index));
                    }
                    names_epochs |= leaf.ek.is_some();
                    self.leaves.insert(index, seen(leaf, leaf_hash(&bytes), &manifest.selection));
                }
                None => self.found(FindingKind::LeafMalformed, LEAVES, Some(index)),
            }
        }
        Ok(())
    }

    pub fn runs(&mut self, store: &Store, note: &[u8], checkpoint: Option<&Checkpoint>) -> io::Result<()> {
        let mut needed = BTreeSet::new();
        for (first, last) in consecutive(self.leaves.keys().copied()) {
            needed.extend([proof_name(first), proof_name(last)]);
            self.run_of(store, note, checkpoint, first, last);
        }
        let extra = store.names().filter(|name| name.starts_with("proofs/") && !needed.contains(*name));
        for name in extra.cloned().collect::<Vec<_>>() {
            self.found(FindingKind::MemberExtra, &name, None);
        }
        Ok(())
    }

    fn run_of(&mut self, store: &Store, note: &[u8], checkpoint: Option<&Checkpoint>, first: u64, last: u64) {
        let mut ends = Vec::new();
        for index in BTreeSet::from([first, last]) {
            let name = proof_name(index);
            let proof = store.read(&name).ok().and_then(|bytes| Proof::parse(&bytes).ok());
            let own = self.leaves.get(&index).map(|seen| seen.hash);
            let Some(proof) = proof.filter(|p| p.index == index && p.checkpoint == note) else {
                self.found(FindingKind::ProofInvalid, &name, Some(index));
                continue;
            };
            if proof.leaf.as_deref().map(leaf_hash) != own {
                self.found(FindingKind::LeafChanged, LEAVES, Some(index));
                continue;
            }
            let holds = |c: &Checkpoint| {
                own.is_some_and(|own| verify_inclusion(&proof.path, index, c.size, &own, &c.root))
            };
            if checkpoint.is_some_and(|checkpoint| !holds(checkpoint)) {
                self.found(FindingKind::ProofInvalid, &name, Some(index));
                continue;
            }
            ends.push(proof.path);
        }
        let (Some(left), Some(right), Some(checkpoint)) = (ends.first(), ends.last(), checkpoint) else {
            return;
        };
        if ends.len() != BTreeSet::from([first, last]).len() {
            return;
        }
        let mut run = self.leaves.range(first..=last).map(|(_, seen)| seen.hash);
        let root = root_around((first, left), (last, right), checkpoint.size, &mut run);
        if root != Some(checkpoint.root) {
            // Which one of them, no package can tell: it has no hashes of theirs but their own.
            self.found(FindingKind::LeafChanged, LEAVES, Some(first));
        }
    }

    pub fn selection(&mut self, selection: &Selected) {
        let (missing, extra): (Vec<u64>, Vec<u64>) = match selection {
            Selected::Range { from, to } => self.against(*from..*to),
            Selected::Window { first, end, .. } => self.against(*first..*end),
            Selected::Leaves { of } => {
                let of: BTreeSet<u64> = of.iter().copied().collect();
                let missing = of.iter().filter(|index| !self.leaves.contains_key(index)).copied();
                let extra = self.leaves.keys().filter(|index| !of.contains(index)).copied();
                (missing.collect(), extra.collect())
            }
            Selected::Exchanges { of } => {
                let there: BTreeSet<&str> =
                    self.leaves.values().filter_map(|seen| seen.x.as_deref()).collect();
                if of.iter().any(|x| !there.contains(x.as_str())) {
                    self.found(FindingKind::SelectionIncomplete, LEAVES, None);
                }
                return;
            }
        };
        missing.into_iter().for_each(|index| self.found(FindingKind::LeafMissing, LEAVES, Some(index)));
        extra.into_iter().for_each(|index| self.found(FindingKind::LeafExtra, LEAVES, Some(index)));
    }

    /// The first missing leaf of each gap, and what stands outside.
    fn against(&self, wanted: std::ops::Range<u64>) -> (Vec<u64>, Vec<u64>) {
        let (mut missing, mut next) = (Vec::new(), wanted.start);
        for index in self.leaves.range(wanted.clone()).map(|(index, _)| *index) {
            if index > next {
                missing.push(next);
            }
            next = index + 1;
        }
        if next < wanted.end {
            missing.push(next);
        }
        (missing, self.leaves.keys().filter(|index| !wanted.contains(index)).copied().collect())
    }
}

fn seen(leaf: Leaf, hash: Hash, selection: &Selected) -> Seen {
    let class: RetentionClass = class_of(&leaf);
    let rh = leaf.rh.as_deref().and_then(|rh| URL_SAFE_NO_PAD.decode(rh).ok()?.try_into().ok());
    let tags = if matches!(selection, Selected::Window { .. }) { leaf.tags } else { Vec::new() };
    let x = leaf.x.filter(|_| matches!(selection, Selected::Exchanges { .. }));
    Seen { hash, ev: leaf.ev.map(|LeafHash(ev)| ev), rh, ek: leaf.ek, ts: leaf.ts, class, tags, x }
}

/// First and last of every run of consecutive numbers.
fn consecutive(indices: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    runs
}
