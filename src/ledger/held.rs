//! What a data directory holds of our logs, held against checkpoints that others kept.
//!
//! For the question before the first leaf is written, and again beside the writer: is this
//! the log that was signed, or an older copy of it? Reads only.

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::origin;
use super::served::ReadFault;
use super::tile_files::{PublishedTree, TileFiles};
use super::tiles::Edge;
use super::tree::{Hash, root};
use crate::clock::Now;
use crate::domain::Region;
use crate::store::sqlite::{SqliteHeads, SqliteShelf};
use crate::store::{Shard, Shelf as _, StoreFault};

/// Half-years beyond the newest one here that are asked for: a copy may be older than the turn
/// of one, and each restore begins another.
const SHARDS_AHEAD: usize = 2;
/// Hashes read at once: 32 KiB.
const PAGE: u64 = 1024;

/// A log that goes on in the next half-year because this copy of it is older than what was
/// signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The largest checkpoint that is known to have been signed.
    pub origin: String,
    pub size: u64,
    /// SHA-256 of its note.
    pub note: Hash,
}

/// Our logs as this directory has them.
#[derive(Clone)]
pub struct Held {
    data: PathBuf,
    region: Region,
    shelf: SqliteShelf,
}

impl Held {
    pub fn new(data: &Path, region: Region) -> Self {
        Self { data: data.to_owned(), region, shelf: SqliteShelf::of_data_dir(data) }
    }

    /// The logs that a witness may know at `now`: the newest here and those after it.
    pub fn origins(&self, now: Now) -> Result<Vec<String>, StoreFault> {
        Ok(self.origins_from(self.newest()?.unwrap_or_else(|| Shard::at(now)), now))
    }

    /// The same where the newest is known: no file is opened.
    pub fn origins_from(&self, newest: Shard, now: Now) -> Vec<String> {
        let mut shards = vec![newest];
        let last = newest.max(Shard::at(now));
        let mut next = newest;
        let mut ahead = 0;
        while ahead < SHARDS_AHEAD {
            next = next.next();
            ahead += usize::from(next > last);
            shards.push(next);
        }
        shards.into_iter().map(|shard| origin(self.region, shard)).collect()
    }

    /// The half-year that one of our origins names.
    pub fn shard_of(&self, origin: &str) -> Option<Shard> {
        shard_of(self.region, origin)
    }

    /// Does this directory hold the tree that the checkpoint was signed for? Leaves in a
    /// commit count, signed or not.
    pub fn holds(&self, checkpoint: &Checkpoint) -> Result<bool, ReadFault> {
        let Some(shard) = shard_of(self.region, &checkpoint.origin) else { return Ok(false) };
        let size = checkpoint.size;
        if self.shelf.size(shard)? < size {
            return Ok(false);
        }
        let files = TileFiles::new(&self.data, &checkpoint.origin);
        if let Ok(Some(note)) = files.checkpoint()
            && let Ok(published) = Checkpoint::peek(&note)
            && published.size >= size
            && let Ok(found) = root(&PublishedTree { files: &files, size: published.size }, size)
            && found == checkpoint.root
        {
            return Ok(true);
        }
        // Tiles are only a copy: the leaves decide.
        let mut edge = Edge::default();
        let mut full = Vec::new();
        while edge.size() < size {
            let hashes = self.shelf.hashes(shard, edge.size()..size.min(edge.size() + PAGE))?;
            if hashes.is_empty() {
                return Ok(false);
            }
            hashes.into_iter().for_each(|hash| edge.push(hash, &mut full));
            full.clear();
        }
        Ok(edge.root() == checkpoint.root)
    }

    /// The newest checkpoint that this directory itself kept, as a note.
    pub fn last_signed(&self) -> Result<Option<Vec<u8>>, StoreFault> {
        let path = self.data.join("ledger").join("state.db");
        if !path.is_file() {
            return Ok(None);
        }
        let newest = SqliteHeads::kept(&path)?.into_iter().max_by_key(|(shard, head)| (*shard, head.size));
        Ok(newest.map(|(_, head)| head.note))
    }

    /// The newest half-year with a leaf.
    fn newest(&self) -> Result<Option<Shard>, StoreFault> {
        for shard in self.shelf.shards()?.into_iter().rev() {
            if self.shelf.size(shard)? > 0 {
                return Ok(Some(shard));
            }
        }
        Ok(None)
    }
}

/// The half-year of a log of `region`; `None` for any other name.
pub fn shard_of(region: Region, asked: &str) -> Option<Shard> {
    let shard = asked.rsplit('/').next().and_then(Shard::parse)?;
    (origin(region, shard) == asked).then_some(shard)
}
