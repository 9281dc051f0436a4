//! Single leaves of a served log: those that are given out, and those that were promised.

use super::tiles::Tree;
use super::{AT_ONCE, Checking, EntryState, EntryTold, ServedLog, SourceFault};
use crate::ledger::Vkey;
use crate::ledger::proof::Proof;
use crate::ledger::tree::leaf_hash;
use crate::ledger::verify::{Finding, FindingKind};

impl Checking<'_> {
    /// A promise names index and hash: the tile has that hash there, or it is broken.
    pub(super) fn promises(&mut self, log: &mut ServedLog, tree: &Tree) {
        for (index, due) in self.asked.promised.get(&log.origin).into_iter().flatten() {
            log.promises += 1;
            match tree.leaves.get(index) {
                Some(found) if *found == due.leaf => {}
                // Its tile is missing or was changed: said already.
                None if *index < log.size || !due.settled => {}
                _ => {
                    self.findings
                        .push(Finding::new(FindingKind::PromiseBroken, "checkpoint").at(&log.origin, *index));
                }
            }
        }
    }

    pub(super) fn entries(
        &mut self,
        log: &mut ServedLog,
        vkey: &Vkey,
        tree: &Tree,
    ) -> Result<(), SourceFault> {
        for some in self.asked.leaves.chunks(AT_ONCE) {
            let paths: Vec<String> =
                some.iter().map(|index| format!("/v1/log/{}/entry/{index}", log.origin)).collect();
            for (index, given) in some.iter().copied().zip(self.source.fetch(&paths)?) {
                let told = match given {
                    None => EntryTold { index, state: EntryState::Withheld, leaf: None },
                    Some(bytes) => match proven(&bytes, index, vkey, tree) {
                        Some(leaf) => {
                            let leaf = serde_json::from_slice(&leaf).ok();
                            EntryTold { index, state: EntryState::Proven, leaf }
                        }
                        None => {
                            let name = format!("entry/{index}");
                            self.found(Finding::new(FindingKind::ProofInvalid, name).at(&log.origin, index));
                            EntryTold { index, state: EntryState::Wrong, leaf: None }
                        }
                    },
                };
                log.entries.push(told);
            }
        }
        Ok(())
    }
}

/// The leaf's bytes, if its proof holds and the tiles know it there.
fn proven(bytes: &[u8], index: u64, vkey: &Vkey, tree: &Tree) -> Option<Vec<u8>> {
    let proven = Proof::parse(bytes).ok()?.verify(vkey).ok()?;
    let same = tree.leaves.get(&index).is_none_or(|hash| *hash == leaf_hash(&proven.leaf));
    (proven.index == index && same).then_some(proven.leaf)
}
