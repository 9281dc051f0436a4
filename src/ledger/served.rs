//! What partners and auditors may read of a log: checkpoint, tiles, entries with proofs.
//!
//! Everything is served under the last signed checkpoint; what it does not cover yet is not
//! there. All of this reads files: call it where blocking is allowed.

use std::io;
use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::held::shard_of;
use super::leaf::Leaf;
use super::proof::Proof;
use super::shared::Cosigned;
use super::tile_files::{PublishedTree, TileFiles};
use super::tiles::{Level, TILE_WIDTH, TileName};
use super::tree::inclusion_proof;
use super::tree::{Hash, consistency_proof};
use super::{Inner, Ledger, origin};
use crate::store::{Shard, StoreFault, StoredLeaf};

/// How long a cosigned checkpoint is shown after a newer one was signed. With the second that
/// signing takes, a promise stands under what is served within the ten of protocol §7.
const COSIGNED_FRESH: Duration = Duration::from_secs(8);

/// One leaf with its proof, and whom it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProof {
    /// The exact bytes of the leaf.
    pub leaf: Vec<u8>,
    /// The `.tlog-proof` file, the leaf in `extra`.
    pub proof: Vec<u8>,
    pub me: Option<String>,
    /// The party, besides ourselves, that may read this entry.
    pub peer: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("tile files cannot be read: {0}")]
    Tiles(#[from] io::Error),
    #[error("the published checkpoint does not verify")]
    Checkpoint,
}

impl Ledger {
    /// The checkpoint of one of our logs that is shown to everybody: with its witnesses'
    /// cosignatures while those are of now, else signed by the log alone.
    pub fn checkpoint(&self, origin: &str) -> Option<Vec<u8>> {
        let own = self.own_checkpoint(origin)?;
        Some(self.fresh_cosigned(origin, &own).unwrap_or(own))
    }

    /// The checkpoint that was signed last; without anybody's cosignature.
    pub fn own_checkpoint(&self, origin: &str) -> Option<Vec<u8>> {
        let shard = self.inner.shard_of(origin)?;
        if let Some(published) = self.inner.shared.published.load().as_ref().filter(|p| p.shard == shard) {
            return Some(published.note.clone());
        }
        TileFiles::new(&self.inner.data, origin).checkpoint().ok().flatten()
    }

    /// A cosigned note of ours that met its quorum, to be served from now on. It is a copy in
    /// the tile files, for readers of the directory; whoever gathers them keeps them.
    pub fn show_cosigned(&self, origin: &str, note: Vec<u8>) -> Result<(), ReadFault> {
        let checkpoint = self.inner.open_checkpoint(origin, &note)?;
        TileFiles::new(&self.inner.data, origin).write_cosigned(&note)?;
        self.inner.shared.cosigned.store(Some(std::sync::Arc::new(Cosigned {
            origin: origin.to_owned(),
            size: checkpoint.size,
            note,
            at: std::time::Instant::now(),
        })));
        Ok(())
    }

    /// That the first `old` of `new` leaves were not changed; `None` when no checkpoint covers
    /// `new` yet.
    pub fn consistency(&self, origin: &str, old: u64, new: u64) -> Result<Option<Vec<Hash>>, ReadFault> {
        let Some(checkpoint) = self.verified_checkpoint(origin)? else { return Ok(None) };
        if new > checkpoint.size {
            return Ok(None);
        }
        let files = TileFiles::new(&self.inner.data, origin);
        let tree = PublishedTree { files: &files, size: checkpoint.size };
        Ok(consistency_proof(&tree, old, new)?)
    }

    /// A cosigned note covers what was promised up to ten seconds ago (protocol §7), or all
    /// there is.
    fn fresh_cosigned(&self, origin: &str, own: &[u8]) -> Option<Vec<u8>> {
        let size = Checkpoint::peek(own).ok()?.size;
        let cosigned = self.inner.shared.cosigned.load();
        if let Some(cosigned) = cosigned.as_ref().filter(|c| c.origin == origin) {
            let fresh = cosigned.size == size || cosigned.at.elapsed() < COSIGNED_FRESH;
            return fresh.then(|| cosigned.note.clone());
        }
        // A log that has ended: its last word does not change any more.
        let note = TileFiles::new(&self.inner.data, origin).cosigned().ok().flatten()?;
        let cosigned = self.inner.open_checkpoint(origin, &note).ok()?;
        (cosigned.size == size).then_some(note)
    }

    /// A hash tile or an entry bundle, `path` being `tile/…` as the client wrote it.
    pub fn tile(&self, origin: &str, path: &str) -> Result<Option<Vec<u8>>, ReadFault> {
        let Some((name, shard)) = TileName::parse(path).zip(self.inner.shard_of(origin)) else {
            return Ok(None);
        };
        let Some(checkpoint) = self.verified_checkpoint(origin)? else { return Ok(None) };
        if !name.stands_in(checkpoint.size) {
            return Ok(None);
        }
        match name.level {
            Level::Hashes(_) => Ok(TileFiles::new(&self.inner.data, origin).read(name)?),
            Level::Entries => {
                let first = name.index * TILE_WIDTH;
                let leaves = self.inner.shelf.leaves(shard, first..first + u64::from(name.width))?;
                // A month that was dropped takes its bundles with it.
                Ok((leaves.len() == usize::from(name.width))
                    .then(|| bundle(leaves.iter().map(|stored| stored.leaf.as_slice()))))
            }
        }
    }

    /// The leaf at `index` with its proof under the present checkpoint; `None` until a
    /// checkpoint covers it. The caller checks that the asker is a party ([`EntryProof::peer`]).
    pub fn entry(&self, origin: &str, index: u64) -> Result<Option<EntryProof>, ReadFault> {
        let Some(shard) = self.inner.shard_of(origin) else { return Ok(None) };
        let Some(own) = self.own_checkpoint(origin) else { return Ok(None) };
        // Under cosignatures where they reach so far.
        let cosigned = self.fresh_cosigned(origin, &own);
        let reaches = |note: &Vec<u8>| Checkpoint::peek(note).is_ok_and(|c| c.size > index);
        let note = cosigned.filter(reaches).unwrap_or(own);
        let checkpoint = self.inner.open_checkpoint(origin, &note)?;
        let Some(end) = index.checked_add(1).filter(|end| *end <= checkpoint.size) else { return Ok(None) };
        let Some(stored) = self.inner.shelf.leaves(shard, index..end)?.pop() else { return Ok(None) };
        let parsed = Leaf::from_bytes(&stored.leaf);
        let (me, peer) = parsed.map_or((None, None), |leaf| (leaf.me, leaf.peer));
        let leaf = stored.leaf.clone();
        let files = TileFiles::new(&self.inner.data, origin);
        let proof = prove(&files, stored, checkpoint.size, note)?;
        Ok(proof.map(|proof| EntryProof { leaf, proof: proof.to_bytes(), me, peer }))
    }

    /// The place of a leaf that is already recorded; `None` when there is none (or its month
    /// was dropped).
    pub fn place_of(&self, mark: super::Mark) -> Result<Option<super::Place>, ReadFault> {
        let found = self.inner.shelf.hashes(mark.shard, mark.index..mark.index.saturating_add(1))?.pop();
        Ok(found.map(|leaf_hash| super::Place {
            origin: origin(self.inner.region, mark.shard).into(),
            index: mark.index,
            leaf_hash,
            mark,
        }))
    }

    fn verified_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, ReadFault> {
        self.own_checkpoint(origin).map(|note| self.inner.open_checkpoint(origin, &note)).transpose()
    }
}

impl Inner {
    pub(super) fn shard_of(&self, asked: &str) -> Option<Shard> {
        shard_of(self.region, asked)
    }

    fn open_checkpoint(&self, origin: &str, note: &[u8]) -> Result<Checkpoint, ReadFault> {
        let vkey = super::Vkey::new(origin, self.public).ok_or(ReadFault::Checkpoint)?;
        Checkpoint::open(note, &vkey).map_err(|_| ReadFault::Checkpoint)
    }
}

/// The proof of a stored leaf under a checkpoint note over `size` leaves.
pub(super) fn prove(
    files: &TileFiles,
    stored: StoredLeaf,
    size: u64,
    note: Vec<u8>,
) -> Result<Option<Proof>, ReadFault> {
    let tree = PublishedTree { files, size };
    let path = inclusion_proof(&tree, stored.index, size)?;
    Ok(path.map(|path| Proof { leaf: Some(stored.leaf), index: stored.index, path, checkpoint: note }))
}

/// An entry bundle: `u16 length ‖ entry` for each (tlog-tiles).
fn bundle<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    bytes
}
