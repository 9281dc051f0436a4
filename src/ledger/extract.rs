//! One log of a data directory, opened for taking leaves, proofs and evidence out of it: what a
//! package is made from. Beside a running gateway, or on a copy.
//!
//! Promises: everything stands under one published checkpoint. Believes the files; whoever doubts
//! them runs [`super::verify`] first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::leaf::{Leaf, LeafKind};
use super::orders::{Order, Orders};
use super::proof::Proof;
use super::served::{ReadFault, prove};
use super::tile_files::TileFiles;
use crate::store::sqlite::{SqliteShelf, VaultFile, Vaults};
use crate::store::{Mark, RetentionClass, Shard, Shelf as _, StoreFault, StoredLeaf};

/// Leaves read at once: some 700 KiB.
const AT_ONCE: u64 = 1024;

#[derive(Debug, thiserror::Error)]
pub enum ExtractFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("{0}")]
    Read(#[from] ReadFault),
    #[error("there is no such log here")]
    NoLog,
    #[error("there is no such leaf")]
    NoSuchLeaf,
    #[error("no checkpoint covers that leaf yet")]
    NotSealed,
}

/// A vault row with what is needed to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEvidence {
    pub class: RetentionClass,
    pub epoch: i64,
    /// General-JSON JWE of the epoch's key.
    pub wrapped: String,
    pub r: Vec<u8>,
    pub sealed: Vec<u8>,
}

/// One log, opened for reading under one checkpoint.
pub struct Extract {
    data: PathBuf,
    shelf: SqliteShelf,
    shard: Shard,
    origin: String,
    checkpoint: Vec<u8>,
    size: u64,
    vaults: Vec<VaultFile>,
    erased: BTreeMap<u64, Mark>,
    held: BTreeMap<u64, Mark>,
}

impl Extract {
    /// Opens the newest log, or the one named, under its newest checkpoint.
    pub fn open(data: &Path, shard: Option<Shard>) -> Result<Self, ExtractFault> {
        Self::open_under(data, shard, Under::Published)
    }

    /// The same under the last checkpoint that witnesses cosigned; `None` when there is none.
    pub fn open_cosigned(data: &Path, shard: Option<Shard>) -> Result<Option<Self>, ExtractFault> {
        match Self::open_under(data, shard, Under::Cosigned) {
            Err(ExtractFault::NotSealed) => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn open_under(data: &Path, shard: Option<Shard>, under: Under) -> Result<Self, ExtractFault> {
        let shelf = SqliteShelf::of_data_dir(data);
        let shards = shelf.shards()?;
        let shard = match shard {
            Some(shard) => shards.into_iter().find(|s| *s == shard),
            None => shards.last().copied(),
        };
        let shard = shard.ok_or(ExtractFault::NoLog)?;
        let (origin, checkpoint, size) = checkpoint_of(data, &shelf, shard, under)?;
        let (mut vaults, mut erased, mut held) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let folder = Vaults::of_data_dir(data);
        for (month, class) in folder.list(shard)? {
            let Some(vault) = folder.open(shard, month, class)? else { continue };
            erased.extend(vault.erased()?);
            held.extend(vault.held()?);
            vaults.push(vault);
        }
        Ok(Self { data: data.to_owned(), shelf, shard, origin, checkpoint, size, vaults, erased, held })
    }

    pub fn shard(&self) -> Shard {
        self.shard
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Leaves under the checkpoint.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The signed note.
    pub fn checkpoint(&self) -> &[u8] {
        &self.checkpoint
    }

    /// Every leaf of a range in order, index and exact bytes.
    pub fn leaves<F: From<ExtractFault>>(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), F>,
    ) -> Result<(), F> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + AT_ONCE);
            let leaves = self.shelf.leaves(self.shard, at..end).map_err(ExtractFault::from)?;
            for (expected, stored) in (at..end).zip(&leaves) {
                if stored.index != expected {
                    return Err(ExtractFault::NoSuchLeaf.into());
                }
                visit(stored.index, &stored.leaf)?;
            }
            if leaves.len() as u64 != end - at {
                return Err(ExtractFault::NoSuchLeaf.into());
            }
            at = end;
        }
        Ok(())
    }

    /// Where leaves of an exchange stand in this log.
    pub fn find(&self, exchange: &str) -> Result<Vec<u64>, ExtractFault> {
        let found = self.shelf.find(exchange)?.into_iter();
        Ok(found.filter(|(shard, _)| *shard == self.shard).map(|(_, index)| index).collect())
    }

    /// The proof of one leaf under the checkpoint.
    pub fn proof(&self, index: u64) -> Result<Proof, ExtractFault> {
        self.proof_under(self.shard, &self.origin, index, self.size, self.checkpoint.clone())
    }

    /// The proof of an order, which may stand in another log.
    pub fn order_proof(&self, at: Mark) -> Result<Proof, ExtractFault> {
        if at.shard == self.shard {
            return self.proof(at.index);
        }
        let (origin, note, size) = checkpoint_of(&self.data, &self.shelf, at.shard, Under::Published)?;
        self.proof_under(at.shard, &origin, at.index, size, note)
    }

    fn proof_under(
        &self,
        shard: Shard,
        origin: &str,
        index: u64,
        size: u64,
        note: Vec<u8>,
    ) -> Result<Proof, ExtractFault> {
        if index >= size {
            return Err(ExtractFault::NotSealed);
        }
        let stored = self.leaf(shard, index)?.ok_or(ExtractFault::NoSuchLeaf)?;
        prove(&TileFiles::new(&self.data, origin), stored, size, note)?.ok_or(ExtractFault::NotSealed)
    }

    fn leaf(&self, shard: Shard, index: u64) -> Result<Option<StoredLeaf>, StoreFault> {
        Ok(self.shelf.leaves(shard, index..index.saturating_add(1))?.pop())
    }

    /// What the vault holds of a leaf; `None` when it was erased, dropped or never was.
    pub fn evidence(&self, index: u64) -> Result<Option<SealedEvidence>, ExtractFault> {
        for vault in &self.vaults {
            if let Some(row) = vault.row(index)? {
                let wrapped = vault.epoch(row.epoch)?.unwrap_or_default();
                let (class, epoch) = (vault.class, row.epoch);
                return Ok(Some(SealedEvidence { class, epoch, wrapped, r: row.r, sealed: row.sealed }));
            }
        }
        Ok(None)
    }

    /// The order that erased a leaf's evidence, as its vault says.
    pub fn erased(&self, index: u64) -> Option<Mark> {
        self.erased.get(&index).copied()
    }

    /// The order that holds a leaf's evidence, as its vault says.
    pub fn held(&self, index: u64) -> Option<Mark> {
        self.held.get(&index).copied()
    }

    /// Every order on evidence in every log here.
    pub fn orders(&self) -> Result<Orders, ExtractFault> {
        let mut orders = Orders::default();
        for shard in self.shelf.shards()? {
            for stored in self.shelf.of_kind(shard, LeafKind::Erase.name())? {
                let leaf = Leaf::from_bytes(&stored.leaf);
                let order = leaf.and_then(|leaf| Order::read(&leaf, Mark { shard, index: stored.index }));
                order.into_iter().for_each(|order| orders.add(order));
            }
        }
        Ok(orders)
    }
}

/// Which of a log's checkpoints.
#[derive(Clone, Copy)]
enum Under {
    Published,
    Cosigned,
}

/// Origin, note and size of a log's checkpoint.
fn checkpoint_of(
    data: &Path,
    shelf: &SqliteShelf,
    shard: Shard,
    under: Under,
) -> Result<(String, Vec<u8>, u64), ExtractFault> {
    let first = shelf.leaves(shard, 0..1)?.pop().ok_or(ExtractFault::NoLog)?;
    let me = Leaf::from_bytes(&first.leaf).and_then(|leaf| leaf.me).ok_or(ExtractFault::NoLog)?;
    let origin = format!("tongban/{me}/{shard}");
    let files = TileFiles::new(data, &origin);
    let note = match under {
        Under::Published => files.checkpoint(),
        Under::Cosigned => files.cosigned(),
    };
    let note = note.map_err(|_| ReadFault::Checkpoint)?;
    let note = note.ok_or(ExtractFault::NotSealed)?;
    let size = Checkpoint::peek(&note).map_err(|_| ReadFault::Checkpoint)?.size;
    Ok((origin, note, size))
}
