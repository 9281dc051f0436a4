//! What the region's own rooms take from its log: stored leaves, the hashes that the signed tree
//! holds, and a signature under a reconciliation note.
//!
//! All reading here is of files: call it where blocking is allowed.

use std::ops::Range;

use tokio::sync::oneshot;

use super::checkpoint::Checkpoint;
use super::sealer::ToSealer;
use super::tile_files::{PublishedTree, TileFiles};
use super::tree::{Hash, Subtrees as _};
use super::{Ledger, ReadFault, origin};
use crate::store::{Mark, Shard, StoreFault, StoredLeaf};

/// First line of the only texts besides checkpoints that the ledger key signs.
pub const RECONCILIATION: &str = "exchange-recon/v1";

impl Ledger {
    /// Half-years that hold anything, oldest first.
    pub fn shards(&self) -> Result<Vec<Shard>, StoreFault> {
        self.inner.shelf.shards()
    }

    /// Leaves of a half-year: one more than the highest index.
    pub fn leaves_of(&self, shard: Shard) -> Result<u64, StoreFault> {
        Ok(self.inner.shelf.size(shard)?.min(self.inner.shared.durable(shard)))
    }

    /// The stored leaves in a range, in order; those that are not there are left out.
    pub fn stored(&self, shard: Shard, range: Range<u64>) -> Result<Vec<StoredLeaf>, StoreFault> {
        self.inner.shelf.leaves(shard, range)
    }

    /// The hash that the signed tree holds at a place, whatever became of the leaf; `None` when
    /// no checkpoint covers it.
    pub fn tree_hash(&self, at: Mark) -> Result<Option<Hash>, ReadFault> {
        let origin = origin(self.inner.region, at.shard);
        let Some(note) = self.checkpoint(&origin) else { return Ok(None) };
        let size = Checkpoint::peek(&note).map_err(|_| ReadFault::Checkpoint)?.size;
        if at.index >= size {
            return Ok(None);
        }
        let files = TileFiles::new(&self.inner.data, &origin);
        Ok(PublishedTree { files: &files, size }.subtree(0, at.index).ok())
    }

    /// Signs a reconciliation note under the present log's name; `None` for any other text.
    pub async fn sign_reconciliation(&self, text: String) -> Option<Vec<u8>> {
        let ours = text.strip_prefix(RECONCILIATION).is_some_and(|rest| rest.starts_with('\n'));
        if !ours {
            return None;
        }
        let (told, hear) = oneshot::channel();
        self.inner.to_sealer.send(ToSealer::Sign(text, told)).ok()?;
        hear.await.ok().flatten()
    }
}
