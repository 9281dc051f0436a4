//! What goes into a package, and its bytes when they are asked for: planned in one pass over
//! the selected leaves, written from the log again, never held as a whole.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::manifest::Selected;
use super::members::{
    EvidenceFile, FactKind, FactLine, LeafLine, SecretLine, evidence_name, line, order_name, proof_name,
};
use super::{ExportFault, MOST_SELECTED, Selection};
use crate::clock::Now;
use crate::ledger::evidence::{SubjectKey, tag_of};
use crate::ledger::extract::{Extract, ExtractFault, SealedEvidence};
use crate::ledger::orders::{Orders, class_of, name_of};
use crate::ledger::{Leaf, Mark, Month};

/// One member's bytes, or where they come from.
pub enum Content {
    Bytes(Vec<u8>),
    Leaves,
    Secrets,
    Proof(u64),
    Order(Mark),
    Evidence(u64),
}

/// A planned package.
pub struct Draw<'a> {
    log: &'a Extract,
    selected: Selected,
    /// Ranges of consecutive leaves, in order.
    runs: Vec<Range<u64>>,
    found: Found,
}

/// What the pass over the leaves found.
#[derive(Default)]
struct Found {
    evidence: Vec<u64>,
    secrets: Vec<u64>,
    matches: Vec<u64>,
    facts: Vec<FactLine>,
    orders: BTreeSet<Mark>,
}

impl<'a> Draw<'a> {
    pub fn plan(log: &'a Extract, selection: &Selection) -> Result<Self, ExportFault> {
        let runs = runs(log, selection)?;
        if runs.is_empty() {
            return Err(ExportFault::Nothing);
        }
        let window = match selection {
            Selection::Window { subject, from, to, .. } => Some((subject.as_ref(), *from..*to)),
            _ => None,
        };
        let mut pass = Pass { log, window, orders: log.orders()?, found: Found::default() };
        for run in &runs {
            log.leaves::<ExportFault>(run.clone(), |index, bytes| {
                let leaf = Leaf::from_bytes(bytes).ok_or(ExtractFault::NoSuchLeaf)?;
                pass.leaf(index, &leaf)
            })?;
        }
        let found = pass.found;
        let selected = selected(selection, &runs, &found.matches);
        Ok(Self { log, selected, runs, found })
    }

    pub fn selected(&self) -> &Selected {
        &self.selected
    }

    /// Leaves whose evidence is taken along.
    pub fn evidence(&self) -> &[u64] {
        &self.found.evidence
    }

    pub fn leaves(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// Members in the order of the archive, behind the fixed ones.
    pub fn members(&self) -> Vec<(String, Content)> {
        let found = &self.found;
        let checkpoint = Content::Bytes(self.log.checkpoint().to_vec());
        let mut members =
            vec![("checkpoint".to_owned(), checkpoint), ("leaves.jsonl".to_owned(), Content::Leaves)];
        if !found.facts.is_empty() {
            let lines = found.facts.iter().flat_map(line).collect();
            members.push(("facts.jsonl".to_owned(), Content::Bytes(lines)));
        }
        if matches!(self.selected, Selected::Window { .. }) {
            members.push(("secrets.jsonl".to_owned(), Content::Secrets));
        }
        let ends: BTreeSet<u64> = self.runs.iter().flat_map(|run| [run.start, run.end - 1]).collect();
        members.extend(ends.into_iter().map(|index| (proof_name(index), Content::Proof(index))));
        members.extend(found.orders.iter().map(|at| (order_name(*at), Content::Order(*at))));
        let evidence = found.evidence.iter();
        members.extend(evidence.map(|index| (evidence_name(*index), Content::Evidence(*index))));
        members
    }

    pub fn write(&self, content: &Content, to: &mut dyn Write) -> Result<(), ExportFault> {
        match content {
            Content::Bytes(bytes) => to.write_all(bytes)?,
            Content::Leaves => {
                for run in &self.runs {
                    self.log.leaves::<ExportFault>(run.clone(), |i, bytes| {
                        Ok(to.write_all(&line(&LeafLine { i, l: STANDARD.encode(bytes) }))?)
                    })?;
                }
            }
            Content::Secrets => {
                for i in &self.found.secrets {
                    let r = STANDARD.encode(self.row(*i)?.r);
                    to.write_all(&line(&SecretLine { i: *i, r }))?;
                }
            }
            Content::Proof(index) => to.write_all(&self.log.proof(*index)?.to_bytes())?,
            Content::Order(at) => to.write_all(&self.log.order_proof(*at)?.to_bytes())?,
            Content::Evidence(index) => to.write_all(&line(&EvidenceFile::of(&self.row(*index)?)))?,
        }
        Ok(())
    }

    fn row(&self, index: u64) -> Result<SealedEvidence, ExportFault> {
        self.log.evidence(index)?.ok_or(ExportFault::Changed)
    }
}

/// The pass over the selected leaves.
struct Pass<'a> {
    log: &'a Extract,
    window: Option<(&'a SubjectKey, Range<i64>)>,
    orders: Orders,
    found: Found,
}

impl Pass<'_> {
    fn leaf(&mut self, i: u64, leaf: &Leaf) -> Result<(), ExportFault> {
        if leaf.ev.is_none() {
            return Ok(());
        }
        let subject = match &self.window {
            // Neighbours outside the period show its edges only.
            Some((_, period)) if !period.contains(&leaf.ts) => return Ok(()),
            Some((subject, _)) => Some(*subject),
            None => None,
        };
        let Some(row) = self.log.evidence(i)? else {
            self.absent(i, leaf);
            return Ok(());
        };
        if let Some(subject) = subject {
            self.found.secrets.push(i);
            if !leaf.tags.contains(&tag_of(&row.r, subject)) {
                return Ok(());
            }
            self.found.matches.push(i);
        }
        self.found.evidence.push(i);
        if let Some(by) = self.log.held(i) {
            self.fact(i, FactKind::Held, by);
        }
        Ok(())
    }

    /// Why there is no evidence. Without a reason nothing is said, and the checker says *missing*.
    fn absent(&mut self, i: u64, leaf: &Leaf) {
        if let Some(by) = self.log.erased(i) {
            return self.fact(i, FactKind::Erased, by);
        }
        let class = class_of(leaf);
        let dropped = months_of(leaf.ts)
            .into_iter()
            .find_map(|month| self.orders.drop_of(self.log.shard(), month, class))
            .map(|order| order.at);
        if let Some(by) = dropped {
            self.fact(i, FactKind::Dropped, by);
        }
    }

    fn fact(&mut self, i: u64, is: FactKind, by: Mark) {
        self.found.facts.push(FactLine { i, is, order: name_of(by) });
        self.found.orders.insert(by);
    }
}

/// Milliseconds by which a leaf's file may be a later month's than its time.
const COMMIT_LAG_MS: i64 = 60_000;

/// The months in whose files a leaf of this time can stand: stamped at the end of one, it may
/// have been committed in the next.
pub fn months_of(ts: i64) -> BTreeSet<Month> {
    [ts, ts.saturating_add(COMMIT_LAG_MS)].map(|ms| Month::at(Now::from_ms(ms))).into()
}

fn selected(selection: &Selection, runs: &[Range<u64>], matches: &[u64]) -> Selected {
    let (first, end) = (runs.first().map_or(0, |run| run.start), runs.last().map_or(0, |run| run.end));
    match selection {
        Selection::Range { .. } => Selected::Range { from: first, to: end },
        Selection::Leaves(_) => Selected::Leaves { of: runs.iter().cloned().flatten().collect() },
        Selection::Exchanges(ids) => {
            let ids: BTreeSet<&String> = ids.iter().collect();
            Selected::Exchanges { of: ids.into_iter().cloned().collect() }
        }
        Selection::Window { field, from, to, .. } => {
            Selected::Window { end, field: *field, first, from: *from, matches: matches.to_vec(), to: *to }
        }
    }
}

/// The ranges of consecutive leaves that a selection comes to.
fn runs(log: &Extract, selection: &Selection) -> Result<Vec<Range<u64>>, ExportFault> {
    let mut indices = BTreeSet::new();
    match selection {
        Selection::Range { from, to } => {
            let run = *from..to.unwrap_or(log.size());
            if run.end > log.size() {
                return Err(ExtractFault::NotSealed.into());
            }
            return Ok(Some(run).filter(|run| !run.is_empty()).into_iter().collect());
        }
        Selection::Window { from, to, .. } => {
            return Ok(Some(window(log, *from, *to)?).filter(|run| !run.is_empty()).into_iter().collect());
        }
        Selection::Leaves(of) => indices.extend(of),
        Selection::Exchanges(ids) if ids.len() > MOST_SELECTED => return Err(ExportFault::TooMany),
        Selection::Exchanges(ids) => {
            for (at, id) in ids.iter().enumerate() {
                let found = log.find(id)?;
                if found.is_empty() {
                    return Err(ExportFault::NoSuchExchange { at });
                }
                indices.extend(found);
            }
        }
    }
    if indices.len() > MOST_SELECTED {
        return Err(ExportFault::TooMany);
    }
    if indices.last().is_some_and(|last| *last >= log.size()) {
        return Err(ExtractFault::NotSealed.into());
    }
    let mut runs: Vec<Range<u64>> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    Ok(runs)
}

/// The leaves of a period with a neighbour on either side, which shows that it begins and ends
/// there.
fn window(log: &Extract, from: i64, to: i64) -> Result<Range<u64>, ExportFault> {
    let (mut first, mut end) = (log.size(), 0);
    log.leaves::<ExportFault>(0..log.size(), |index, bytes| {
        let ts = Leaf::from_bytes(bytes).ok_or(ExtractFault::NoSuchLeaf)?.ts;
        if ts >= from {
            first = first.min(index);
        }
        if ts < to {
            end = index + 1;
        }
        Ok(())
    })?;
    let (first, end) = (first.min(end), end.max(first));
    Ok(first.saturating_sub(1)..(end + 1).min(log.size()))
}
