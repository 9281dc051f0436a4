//! Erasure by order: secrets, tokens and evidence leave the disk, every proof stays valid.
//!
//! What the law asks to keep is *restricted* instead (PIPL art. 47: no use but keeping) unless
//! the order names the legal basis of an earlier erasure: nobody finds it by whom it is about,
//! and it is opened on a security administrator's word only.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::{Intent, order_of_parts};
use super::find::EvidenceState;
use super::open::in_order;
use super::period::is_past_floor;
use super::states::class_of;
use super::{Act, Desk, DeskFault, MOST_IN_A_LEAF, Mandate, Question, Registered};
use crate::ledger::{Mark, Shard};

/// Leaves that one order may concern: a very busy citizen's, not a county's.
const MOST_IN_AN_ORDER: usize = 20_000;
/// Characters of a legal basis, as of a purpose.
const LONGEST_BASIS: usize = 200;

/// What is to be erased.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EraseOrder {
    /// The log of `of`; without it the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<u64>,
    /// Everything that this means, in all logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Restrict all of it, also what may be erased.
    pub restrict: bool,
    /// Erase all of it, also before the law's period is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// `2026h2/4711`, …
    pub erased: Vec<String>,
    pub restricted: Vec<String>,
    /// Nothing was there to erase.
    pub absent: Vec<String>,
    /// Exports that contained some of it: those copies are elsewhere.
    pub exports: Vec<Registered>,
    /// The `erase` leaves.
    pub leaves: Vec<String>,
}

/// What an order comes to.
struct Plan {
    erase: Vec<Mark>,
    restrict: Vec<Mark>,
    absent: Vec<Mark>,
    exports: Vec<Registered>,
    sought: Vec<String>,
}

impl Desk {
    pub async fn erase(&self, mandate: &Mandate, order: &EraseOrder) -> Result<Erased, DeskFault> {
        mandate.may(Act::Erase)?;
        let basis = order.legal_basis.as_deref().map(str::trim);
        if basis.is_some_and(|basis| basis.is_empty() || basis.chars().count() > LONGEST_BASIS) {
            return Err(DeskFault::Asked("a legal basis has 1 to 200 characters"));
        }
        if order.restrict && basis.is_some() {
            return Err(DeskFault::Asked("an order restricts, or names a legal basis to erase"));
        }
        if order.of.is_empty() == order.question.is_none() {
            return Err(DeskFault::Asked("an order names leaves, or asks a question"));
        }
        let asked = order.clone();
        let plan = self.blocking(move |desk| desk.plan(&asked)).await?;
        let told = |marks: &[Mark]| marks.iter().copied().map(super::find::told).collect::<Vec<_>>();
        let mut erased = Erased { absent: told(&plan.absent), exports: plan.exports, ..Erased::default() };
        let what = json!({
            "basis": basis,
            "question": order.question.as_ref().map(Question::told),
        });
        for (act, marks) in [(Act::Erase, plan.erase), (Act::Restrict, plan.restrict)] {
            for (shard, of) in in_leaves(&marks) {
                let intent = Intent {
                    n: of.len() as u64,
                    shard: Some(shard),
                    of: of.clone(),
                    what: what.clone(),
                    sought: plan.sought.clone(),
                    ..Intent::new(act)
                };
                let recorded = self.record(mandate, intent).await?;
                let concerned = match order_of_parts(act, shard, of.clone(), recorded.mark) {
                    Some(order) => {
                        self.carry_out(order).await?;
                        let by = recorded.mark;
                        self.blocking(move |desk| desk.erased_by(shard, by)).await?
                    }
                    None => of,
                };
                self.finish(&recorded).await?;
                let marks = concerned.into_iter().map(|index| Mark { shard, index });
                let list = if act == Act::Erase { &mut erased.erased } else { &mut erased.restricted };
                list.extend(marks.map(super::find::told));
                erased.leaves.push(recorded.leaf);
            }
        }
        Ok(erased)
    }

    /// What an order erased. A hold that came in between stands: the row is not among these.
    fn erased_by(&self, shard: Shard, order: Mark) -> Result<Vec<u64>, DeskFault> {
        let vaults = self.vaults();
        let mut erased = Vec::new();
        for (month, class) in vaults.list(shard)? {
            let Some(file) = vaults.open(shard, month, class)? else { continue };
            erased.extend(file.erased()?.into_iter().filter(|(_, by)| *by == order).map(|(index, _)| index));
        }
        Ok(in_order(erased))
    }

    /// Sorts what is meant; refuses all of it when some is held.
    fn plan(&self, order: &EraseOrder) -> Result<Plan, DeskFault> {
        let (marks, sought) = self.meant(order)?;
        let now = self.inner.clock.now();
        let mut shards: Vec<Shard> = marks.iter().map(|at| at.shard).collect();
        shards.dedup();
        let states = self.states(shards)?;
        let mut plan = Plan { erase: vec![], restrict: vec![], absent: vec![], exports: vec![], sought };
        for at in marks {
            if states.is_held(at) {
                return Err(DeskFault::Held(at.index));
            }
            let leaf = self.leaf(at)?;
            match states.of(at, &leaf)? {
                EvidenceState::Kept | EvidenceState::Held | EvidenceState::Restricted => {}
                _ => {
                    plan.absent.push(at);
                    continue;
                }
            }
            let free = order.legal_basis.is_some() || is_past_floor(class_of(&leaf), leaf.ts, now);
            if free && !order.restrict {
                plan.erase.push(at)
            } else {
                plan.restrict.push(at)
            }
            let about = self.inner.registers.concerning(at)?;
            plan.exports.extend(about.into_iter().filter(|entry| entry.entry.act == Act::Export));
        }
        plan.exports.sort_by_key(|entry| entry.number);
        plan.exports.dedup_by_key(|entry| entry.number);
        Ok(plan)
    }

    /// The leaves an order means, and the pseudonyms of whom it names.
    fn meant(&self, order: &EraseOrder) -> Result<(Vec<Mark>, Vec<String>), DeskFault> {
        let (marks, sought) = match &order.question {
            None => {
                let shard = self.shard(order.shard.as_deref())?;
                let marks = in_order(order.of.clone()).into_iter().map(|index| Mark { shard, index });
                (marks.collect::<Vec<_>>(), Vec::new())
            }
            Some(question) => {
                question.check()?;
                if question.people().next().is_none() {
                    return Err(DeskFault::Asked("an erasure names a citizen, license, case or operator"));
                }
                let found = self.find(question, None, MOST_IN_AN_ORDER + 1)?;
                let mut marks: Vec<Mark> = found.into_iter().map(|(at, _)| at).collect();
                marks.sort_unstable();
                (marks, self.sought(question)?)
            }
        };
        if marks.len() > MOST_IN_AN_ORDER {
            return Err(DeskFault::Asked("an order concerns at most 20 000 leaves: name a period"));
        }
        Ok((marks, sought))
    }
}

/// Marks by log, as many as one leaf holds.
fn in_leaves(marks: &[Mark]) -> Vec<(Shard, Vec<u64>)> {
    marks
        .chunk_by(|a, b| a.shard == b.shard)
        .flat_map(|log| log.chunks(MOST_IN_A_LEAF))
        .filter_map(|part| Some((part.first()?.shard, part.iter().map(|at| at.index).collect())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_order_is_as_many_leaves_as_it_needs() {
        let shard = |name| Shard::parse(name).unwrap();
        let marks = |shard, n: u64| (0..n).map(move |index| Mark { shard, index });
        let all: Vec<Mark> = marks(shard("2026h1"), 2).chain(marks(shard("2026h2"), 4097)).collect();
        let sizes: Vec<(String, usize)> =
            in_leaves(&all).into_iter().map(|(shard, of)| (shard.to_string(), of.len())).collect();
        assert_eq!(sizes, [("2026h1".into(), 2), ("2026h2".into(), 4096), ("2026h2".into(), 1)]);
        assert!(in_leaves(&[]).is_empty());
    }
}
