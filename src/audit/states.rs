//! What became of the evidence of leaves: read once for many.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::find::EvidenceState;
use super::{Act, Desk, DeskFault, RegisterFilter};
use crate::clock::Now;
use crate::ledger::{Leaf, Mark, Month, RetentionClass, Shard};
use crate::store::sqlite::VaultFile;

/// Vaults of some logs, and what orders say of their rows.
pub(super) struct States {
    vaults: BTreeMap<Shard, Vec<VaultFile>>,
    held: BTreeMap<Shard, BTreeSet<u64>>,
    erased: BTreeMap<Shard, BTreeSet<u64>>,
    restricted: BTreeMap<Shard, BTreeSet<u64>>,
    dropped: HashSet<(String, String)>,
}

impl Desk {
    pub(super) fn states(&self, shards: impl IntoIterator<Item = Shard>) -> Result<States, DeskFault> {
        let mut states = States {
            vaults: BTreeMap::new(),
            held: BTreeMap::new(),
            erased: BTreeMap::new(),
            restricted: BTreeMap::new(),
            dropped: HashSet::new(),
        };
        let vaults = self.vaults();
        for shard in shards {
            for (month, class) in vaults.list(shard)? {
                let Some(file) = vaults.open(shard, month, class)? else { continue };
                states.held.entry(shard).or_default().extend(file.held()?.into_keys());
                states.erased.entry(shard).or_default().extend(file.erased()?.into_keys());
                states.vaults.entry(shard).or_default().push(file);
            }
            states.restricted.insert(shard, self.inner.registers.restricted(shard)?);
        }
        let drops = RegisterFilter { act: Some(Act::Drop), ..RegisterFilter::default() };
        for drop in self.inner.registers.list(&drops, u32::MAX)? {
            let text = |name: &str| drop.entry.what.get(name).and_then(|v| v.as_str()).unwrap_or_default();
            states.dropped.insert((text("month").to_owned(), text("class").to_owned()));
        }
        Ok(states)
    }
}

impl States {
    pub fn of(&self, at: Mark, leaf: &Leaf) -> Result<EvidenceState, DeskFault> {
        let has = |sets: &BTreeMap<Shard, BTreeSet<u64>>| {
            sets.get(&at.shard).is_some_and(|indices| indices.contains(&at.index))
        };
        if leaf.ev.is_none() {
            return Ok(EvidenceState::None);
        }
        for vault in self.vaults.get(&at.shard).into_iter().flatten() {
            if vault.holds(at.index)? {
                return Ok(match (has(&self.held), has(&self.restricted)) {
                    (_, true) => EvidenceState::Restricted,
                    (true, false) => EvidenceState::Held,
                    (false, false) => EvidenceState::Kept,
                });
            }
        }
        Ok(if has(&self.erased) {
            EvidenceState::Erased
        } else if self.was_dropped(leaf) {
            EvidenceState::Dropped
        } else {
            EvidenceState::Missing
        })
    }

    pub fn is_held(&self, at: Mark) -> bool {
        self.held.get(&at.shard).is_some_and(|held| held.contains(&at.index))
    }

    /// A month was dropped that this leaf's moment lies in. Which class it had is not in the
    /// leaf; what it says it did is.
    fn was_dropped(&self, leaf: &Leaf) -> bool {
        let month = Month::at(Now::from_ms(leaf.ts)).to_string();
        self.dropped.contains(&(month, class_of(leaf).name().to_owned()))
    }
}

/// The class that a leaf's evidence falls into: what carried or asked for license or case data
/// is kept for years.
pub(super) fn class_of(leaf: &Leaf) -> RetentionClass {
    let provides = leaf.op.as_deref().is_some_and(|op| {
        op == "license.query" || op.starts_with("application.") || op.starts_with("verification.")
    });
    if provides { RetentionClass::Provision } else { RetentionClass::Other }
}
