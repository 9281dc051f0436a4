//! Reading our own log beside its writer: what the auditors' console shows.
//!
//! Promises: every call reads a bounded number of leaves. All of this reads files: call it
//! where blocking is allowed.

use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::leaf::Leaf;
use super::{Batch, Glance, Ledger, ReadFault, origin};
use crate::store::sqlite::SqliteHeads;
use crate::store::{Shard, StoredLeaf};

/// A leaf as it stands in one of our logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub origin: String,
    pub index: u64,
    pub hash: [u8; 32],
    /// The exact bytes.
    pub bytes: Vec<u8>,
}

impl Standing {
    pub fn leaf(&self) -> Option<Leaf> {
        Leaf::from_bytes(&self.bytes)
    }

    pub fn glance(&self) -> Option<Glance<'_>> {
        Glance::from_bytes(&self.bytes)
    }
}

/// What a look back found, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookedBack {
    pub found: Vec<Standing>,
    /// Everything at and above this index was looked at; the next look begins below it. `0`
    /// when nothing is left.
    pub down_to: u64,
}

/// A signed checkpoint that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    pub origin: String,
    pub checkpoint: Checkpoint,
    pub note: Vec<u8>,
}

/// Leaves read at once.
const CHUNK: u64 = 2_000;

impl Ledger {
    /// The log that is written and how many leaves it has.
    pub fn present(&self) -> (String, u64) {
        (self.origin(), self.inner.shared.health().size)
    }

    /// Our logs, oldest first.
    pub fn origins(&self) -> Result<Vec<String>, ReadFault> {
        let shards = self.inner.shelf.shards()?;
        Ok(shards.into_iter().map(|shard| origin(self.inner.region, shard)).collect())
    }

    /// Leaves of one of our logs, at most 2 000 at once.
    pub fn leaves(&self, log: &str, range: Range<u64>) -> Result<Vec<Standing>, ReadFault> {
        let Some(shard) = self.inner.shard_of(log) else { return Ok(Vec::new()) };
        let end = range.end.min(range.start.saturating_add(CHUNK));
        let leaves = self.inner.shelf.leaves(shard, range.start..end)?;
        Ok(leaves.into_iter().map(|stored| standing(log, stored)).collect())
    }

    /// Leaves that became durable a moment ago, from the commit on that holds `from`; none when that is
    /// too long ago to be in memory, which says nothing of the log.
    pub fn recent(&self, log: &str, from: u64) -> Vec<Arc<Batch>> {
        let shard = self.inner.shard_of(log);
        shard.map(|shard| self.inner.shared.recent.from(shard, from)).unwrap_or_default()
    }

    /// Where leaves of an exchange stand, in the order of the log.
    pub fn of_exchange(&self, exchange: &str) -> Result<Vec<Standing>, ReadFault> {
        let mut found = Vec::new();
        for (shard, index) in self.inner.shelf.find(exchange)? {
            let log = origin(self.inner.region, shard);
            found.extend(self.leaves(&log, index..index.saturating_add(1))?);
        }
        Ok(found)
    }

    /// Looks through leaves below `below`, newest first, until `most` were wanted or `budget`
    /// were read. `wanted` sees the exact bytes: most leaves need no parsing to be passed by.
    pub fn look_back(
        &self,
        log: &str,
        below: u64,
        budget: u64,
        most: usize,
        wanted: impl Fn(&Standing) -> bool,
    ) -> Result<LookedBack, ReadFault> {
        let (present, size) = self.present();
        let mut end = if present == log { below.min(size) } else { below.min(self.size_of(log)?) };
        let floor = end.saturating_sub(budget);
        let mut looked = LookedBack { found: Vec::new(), down_to: end };
        while end > floor {
            let start = end.saturating_sub(CHUNK).max(floor);
            for leaf in self.leaves(log, start..end)?.into_iter().rev() {
                if looked.found.len() == most {
                    return Ok(looked);
                }
                looked.down_to = leaf.index;
                if wanted(&leaf) {
                    looked.found.push(leaf);
                }
            }
            looked.down_to = start;
            end = start;
        }
        Ok(looked)
    }

    /// The newest kept checkpoints, newest first.
    pub fn kept_checkpoints(&self, most: usize) -> Result<Vec<KeptCheckpoint>, ReadFault> {
        let path = self.inner.data.join("ledger/state.db");
        let heads = SqliteHeads::kept(&path)?;
        let kept = heads.into_iter().rev().take(most).filter_map(|(shard, head)| {
            Some(KeptCheckpoint {
                origin: origin(self.inner.region, shard),
                checkpoint: Checkpoint::peek(&head.note).ok()?,
                note: head.note,
            })
        });
        Ok(kept.collect())
    }

    fn size_of(&self, log: &str) -> Result<u64, ReadFault> {
        let shard: Option<Shard> = self.inner.shard_of(log);
        Ok(shard.map(|shard| self.inner.shelf.size(shard)).transpose()?.unwrap_or_default())
    }
}

fn standing(log: &str, stored: StoredLeaf) -> Standing {
    Standing { origin: log.to_owned(), index: stored.index, hash: stored.hash, bytes: stored.leaf }
}
