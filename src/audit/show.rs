//! One exchange or leaf, with what became of its evidence. A leaf names no citizen: showing it
//! is no act.

use serde::Serialize;

use super::{Desk, DeskFault, EvidenceState, Registered};
use crate::ledger::verify::{LookFault, ShownLeaf, find};
use crate::ledger::{Leaf, Mark, Shard};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub leaf: ShownLeaf,
    pub evidence: EvidenceState,
    /// What auditors did with it, oldest first.
    pub acts: Vec<Registered>,
}

impl Desk {
    /// The leaves of an exchange id, or the one at `4711` or `2026h2/4711`.
    pub async fn show(&self, what: &str) -> Result<Vec<Shown>, DeskFault> {
        let what = what.to_owned();
        self.blocking(move |desk| {
            let leaves = find(&desk.inner.data, &what).map_err(|fault| match fault {
                LookFault::Store(fault) => DeskFault::Store(fault),
                _ => DeskFault::NoSuchLeaf,
            })?;
            let mark = |leaf: &ShownLeaf| {
                let shard = leaf.origin.rsplit('/').next().and_then(Shard::parse)?;
                Some(Mark { shard, index: leaf.index })
            };
            let states = desk.states(leaves.iter().filter_map(mark).map(|at| at.shard))?;
            leaves
                .into_iter()
                .map(|leaf| {
                    let at = mark(&leaf).ok_or(DeskFault::NoSuchLeaf)?;
                    let bytes = serde_json::to_vec(&leaf.leaf).unwrap_or_default();
                    let parsed = Leaf::from_bytes(&bytes).ok_or(DeskFault::NoSuchLeaf)?;
                    let evidence = states.of(at, &parsed)?;
                    Ok(Shown { leaf, evidence, acts: desk.inner.registers.concerning(at)? })
                })
                .collect()
        })
        .await
    }
}
