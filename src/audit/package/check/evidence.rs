//! The evidence of a package against its leaves: there and fitting, gone by an order that is
//! proven, or missing. And, of a period, that nothing the warrant finds was left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::draw::months_of;
use super::super::manifest::{Manifest, Selected};
use super::super::members::{
    EvidenceFile, FactKind, FactLine, SecretLine, Warrant, evidence_name, order_at, order_name, read_line,
};
use super::{Checking, Store, short};
use crate::ledger::evidence::{SubjectKey, epoch_commitment, tag_of};
use crate::ledger::leaf::Leaf;
use crate::ledger::orders::{Order, OrderKind, name_of};
use crate::ledger::proof::Proof;
use crate::ledger::tree::sha256;
use crate::ledger::verify::{FindingKind, is_wrapped_key};
use crate::ledger::{Mark, Shard};

const FACTS: &str = "facts.jsonl";
const SECRETS: &str = "secrets.jsonl";

/// What proven orders say: kind and leaf.
type Facts = BTreeMap<(FactKind, u64), Order>;

impl Checking {
    pub fn look_at_evidence(
        &mut self,
        store: &Store,
        manifest: &Manifest,
        warrant: Option<&Warrant>,
    ) -> io::Result<()> {
        let Some(shard) = manifest.log.rsplit('/').next().and_then(Shard::parse) else {
            self.found(FindingKind::PackageMalformed, "manifest.json", None);
            return Ok(());
        };
        let facts = self.facts(store, manifest, shard)?;
        let mut wanted: BTreeSet<u64> =
            self.leaves.iter().filter(|(_, seen)| seen.ev.is_some()).map(|(index, _)| *index).collect();
        if let Selected::Window { matches, .. } = &manifest.selection {
            wanted.retain(|index| matches.contains(index));
        }
        let needed: BTreeSet<String> = wanted.iter().map(|index| evidence_name(*index)).collect();
        let extra = store.names().filter(|name| name.starts_with("evidence/") && !needed.contains(*name));
        for name in extra.cloned().collect::<Vec<_>>() {
            self.found(FindingKind::EvidenceExtra, &name, None);
        }
        for index in wanted {
            self.evidence_of(store, shard, &facts, index);
        }
        if let Selected::Window { from, to, first, end, matches, field } = &manifest.selection {
            let matched = Matched { from: *from, to: *to, matches };
            self.edges(*first, *end, &matched);
            let warrant = warrant.filter(|warrant| warrant.field == *field);
            self.window(store, shard, &facts, &matched, warrant.and_then(Warrant::key).as_ref())?;
        } else if store.size(SECRETS).is_some() {
            self.found(FindingKind::MemberExtra, SECRETS, None);
        }
        Ok(())
    }

    /// Facts whose order is proven to stand in a log of this region and to say so.
    fn facts(&mut self, store: &Store, manifest: &Manifest, shard: Shard) -> io::Result<Facts> {
        let (mut facts, mut named) = (Facts::new(), BTreeSet::new());
        if store.size(FACTS).is_some() {
            let mut reader = BufReader::new(store.reader(FACTS)?);
            let mut text = Vec::new();
            while reader.read_until(b'\n', &mut text)? > 0 {
                let fact: Option<FactLine> = read_line(&text);
                text.clear();
                let Some((fact, at)) = fact.and_then(|fact| order_at(&fact.order).map(|at| (fact, at)))
                else {
                    self.found(FindingKind::PackageMalformed, FACTS, None);
                    continue;
                };
                let name = order_name(at);
                match self.order(store, &name, at, manifest).filter(|order| says(order, &fact, shard)) {
                    Some(order) => {
                        facts.insert((fact.is, fact.i), order);
                    }
                    None => self.found(FindingKind::OrderUnproven, &name, Some(fact.i)),
                }
                named.insert(name);
            }
        }
        let extra = store.names().filter(|name| name.starts_with("orders/") && !named.contains(*name));
        for name in extra.cloned().collect::<Vec<_>>() {
            self.found(FindingKind::MemberExtra, &name, None);
        }
        Ok(facts)
    }

    fn order(&self, store: &Store, name: &str, at: Mark, manifest: &Manifest) -> Option<Order> {
        let proof = Proof::parse(&store.read(name).ok()?).ok()?;
        let origin = format!("{}/{}", manifest.log.rsplit_once('/')?.0, at.shard);
        let proven = proof.verify(&self.trust.key_for(&origin)?).ok()?;
        let leaf = Leaf::from_bytes(&proven.leaf).filter(|_| proven.index == at.index)?;
        Order::read(&leaf, at)
    }

    fn evidence_of(&mut self, store: &Store, shard: Shard, facts: &Facts, index: u64) {
        let name = evidence_name(index);
        let gone = self.gone(shard, facts, index);
        if facts.contains_key(&(FactKind::Held, index)) {
            self.evidence.held += 1;
        }
        if store.size(&name).is_none() {
            match gone {
                Some((kind, by)) => {
                    let count = if kind == FactKind::Erased {
                        &mut self.evidence.erased
                    } else {
                        &mut self.evidence.dropped
                    };
                    *count += 1;
                    *self.evidence.orders.entry(name_of(by)).or_default() += 1;
                }
                None => {
                    self.evidence.missing += 1;
                    self.found(FindingKind::EvidenceMissing, &name, Some(index));
                }
            }
            return;
        }
        self.evidence.present += 1;
        if gone.is_some() {
            self.found(FindingKind::EvidenceExtra, &name, Some(index));
        }
        let evidence = store.read(&name).ok().and_then(|bytes| EvidenceFile::read(&bytes));
        let Some(seen) = self.leaves.get(&index) else { return };
        let kind = match &evidence {
            Some(evidence) if seen.ev != Some(sha256(&evidence.sealed)) => Some(FindingKind::EvidenceChanged),
            Some(evidence) if seen.rh != Some(short(&evidence.r)) => Some(FindingKind::SecretChanged),
            Some(evidence)
                if seen.ek.as_ref().is_some_and(|ek| *ek != epoch_commitment(&evidence.wrapped)) =>
            {
                Some(FindingKind::EpochDiffers)
            }
            Some(evidence) if !is_wrapped_key(&evidence.wrapped) => Some(FindingKind::EpochChanged),
            Some(_) => None,
            None => Some(FindingKind::EvidenceChanged),
        };
        if let Some(kind) = kind {
            self.found(kind, &name, Some(index));
        }
    }

    /// The proven order by which a leaf's evidence is gone.
    fn gone(&self, shard: Shard, facts: &Facts, index: u64) -> Option<(FactKind, Mark)> {
        if let Some(order) = facts.get(&(FactKind::Erased, index)) {
            return Some((FactKind::Erased, order.at));
        }
        let order = facts.get(&(FactKind::Dropped, index))?;
        let seen = self.leaves.get(&index)?;
        let dropped = months_of(seen.ts).into_iter().any(|month| order.drops(shard, month, seen.class));
        dropped.then_some((FactKind::Dropped, order.at))
    }

    /// A period has a neighbour outside it on either side, or the log's end.
    fn edges(&mut self, first: u64, end: u64, matched: &Matched<'_>) {
        let ts = |index: u64| self.leaves.get(&index).map(|seen| seen.ts);
        let begins = first == 0 || ts(first).is_none_or(|ts| ts < matched.from);
        let ends = end == self.size || end == 0 || ts(end - 1).is_none_or(|ts| ts >= matched.to);
        if !begins || !ends {
            self.found(
                FindingKind::SelectionIncomplete,
                "leaves.jsonl",
                Some(if begins { end } else { first }),
            );
        }
    }

    /// Every secret of the period is there and the leaf's, or gone by order; and what the
    /// warrant finds with them is what the package holds.
    fn window(
        &mut self,
        store: &Store,
        shard: Shard,
        facts: &Facts,
        matched: &Matched<'_>,
        subject: Option<&SubjectKey>,
    ) -> io::Result<()> {
        let secrets = self.secrets(store)?;
        let (mut found, mut complete) = (BTreeSet::new(), true);
        let mut wrong = Vec::new();
        for (index, seen) in &self.leaves {
            if seen.rh.is_none() || !(matched.from..matched.to).contains(&seen.ts) {
                continue;
            }
            let Some(r) = secrets.get(index) else {
                if self.gone(shard, facts, *index).is_none() {
                    wrong.push((FindingKind::SecretMissing, SECRETS, *index));
                }
                continue;
            };
            if seen.rh != Some(short(r)) {
                wrong.push((FindingKind::SecretChanged, SECRETS, *index));
            } else if subject.is_some_and(|subject| seen.tags.contains(&tag_of(r, subject))) {
                found.insert(*index);
            }
        }
        if subject.is_some() {
            let told: BTreeSet<u64> = matched.matches.iter().copied().collect();
            wrong.extend(found.difference(&told).map(|i| (FindingKind::TagHidden, "leaves.jsonl", *i)));
            wrong.extend(told.difference(&found).map(|i| (FindingKind::TagContradicts, "leaves.jsonl", *i)));
        }
        for (kind, file, index) in wrong {
            complete = false;
            self.found(kind, file, Some(index));
        }
        self.complete = subject.map(|_| complete);
        Ok(())
    }

    fn secrets(&mut self, store: &Store) -> io::Result<BTreeMap<u64, Vec<u8>>> {
        let mut secrets = BTreeMap::new();
        let Ok(reader) = store.reader(SECRETS) else { return Ok(secrets) };
        let (mut reader, mut text) = (BufReader::new(reader), Vec::new());
        while reader.read_until(b'\n', &mut text)? > 0 {
            let line: Option<SecretLine> = read_line(&text);
            text.clear();
            match line.and_then(|line| Some((line.i, STANDARD.decode(&line.r).ok()?))) {
                Some((index, r)) => {
                    secrets.insert(index, r);
                }
                None => self.found(FindingKind::PackageMalformed, SECRETS, None),
            }
        }
        Ok(secrets)
    }
}

/// What the manifest says a period and its search came to.
struct Matched<'a> {
    from: i64,
    to: i64,
    matches: &'a [u64],
}

fn says(order: &Order, fact: &FactLine, shard: Shard) -> bool {
    let of = Mark { shard, index: fact.i };
    match fact.is {
        FactKind::Erased => order.covers(OrderKind::Erase, of),
        FactKind::Held => order.covers(OrderKind::Hold, of),
        // Which vault, its leaf says.
        FactKind::Dropped => order.kind == OrderKind::Drop && order.target == shard,
    }
}
