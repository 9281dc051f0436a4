//! Looking up single leaves, and making the proof file of one.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use super::super::checkpoint::Checkpoint;
use super::super::leaf::Leaf;
use super::super::proof::Proof;
use super::super::served::{ReadFault, prove};
use super::super::tile_files::{PublishedTree, TileFiles};
use super::super::tree::{Hash, consistency_proof, root};
use crate::store::sqlite::SqliteShelf;
use crate::store::{Shard, Shelf as _, StoreFault, StoredLeaf};

/// A leaf as shown to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownLeaf {
    pub origin: String,
    pub index: u64,
    /// base64url.
    pub leaf_hash: String,
    /// A signed checkpoint covers it.
    pub sealed: bool,
    pub leaf: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum LookFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("{0}")]
    Read(#[from] ReadFault),
    #[error("tile files cannot be read: {0}")]
    Tiles(#[from] io::Error),
    #[error("there is no such leaf")]
    NoSuchLeaf,
    #[error("no checkpoint covers that leaf yet")]
    NotSealed,
}

/// The leaves of an exchange id, or the one at an index (`4711`, or `2026h2/4711` in an
/// older log).
pub fn find(data: &Path, what: &str) -> Result<Vec<ShownLeaf>, LookFault> {
    let shelf = SqliteShelf::of_data_dir(data);
    let places = match place(&shelf, what)? {
        Some(place) => vec![place],
        None => shelf.find(what)?,
    };
    let mut shown = Vec::new();
    for (shard, index) in places {
        if let Some(stored) = shelf.leaves(shard, index..index + 1)?.pop() {
            shown.push(show(data, &shelf, shard, &stored)?);
        }
    }
    if shown.is_empty() { Err(LookFault::NoSuchLeaf) } else { Ok(shown) }
}

/// The `.tlog-proof` of one leaf under the published checkpoint.
pub fn proof(data: &Path, what: &str) -> Result<Proof, LookFault> {
    let shelf = SqliteShelf::of_data_dir(data);
    let (shard, index) = match place(&shelf, what)? {
        Some(place) => place,
        None => shelf.find(what)?.pop().ok_or(LookFault::NoSuchLeaf)?,
    };
    let stored = shelf.leaves(shard, index..index + 1)?.pop().ok_or(LookFault::NoSuchLeaf)?;
    let origin = origin_of(&shelf, shard, &stored)?;
    let files = TileFiles::new(data, &origin);
    let own = files.checkpoint()?.ok_or(LookFault::NotSealed)?;
    // Under cosignatures where they reach so far.
    let reaches =
        |note: &Vec<u8>| Checkpoint::peek(note).is_ok_and(|c| c.origin == origin && c.size > stored.index);
    let note = files.cosigned()?.filter(reaches).unwrap_or(own);
    let checkpoint = Checkpoint::peek(&note).map_err(|_| ReadFault::Checkpoint)?;
    prove(&files, stored, checkpoint.size, note)?.ok_or(LookFault::NotSealed)
}

/// Two sizes of one log with the proof that the larger continues the smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    pub origin: String,
    pub old: (u64, Hash),
    pub new: (u64, Hash),
    /// RFC 6962 §2.1.2.
    pub proof: Vec<Hash>,
}

/// Of a log (the newest without a name), out of its tiles; `new` is the published size without one.
pub fn consistency(
    data: &Path,
    origin: Option<&str>,
    old: u64,
    new: Option<u64>,
) -> Result<Consistency, LookFault> {
    let shelf = SqliteShelf::of_data_dir(data);
    let origin = match origin {
        Some(origin) => origin.to_owned(),
        None => {
            let shard = shelf.shards()?.pop().ok_or(LookFault::NoSuchLeaf)?;
            let first = shelf.leaves(shard, 0..1)?.pop().ok_or(LookFault::NoSuchLeaf)?;
            origin_of(&shelf, shard, &first)?
        }
    };
    let files = TileFiles::new(data, &origin);
    let note = files.checkpoint()?.ok_or(LookFault::NotSealed)?;
    let size = Checkpoint::peek(&note).map_err(|_| ReadFault::Checkpoint)?.size;
    let new = new.unwrap_or(size);
    if new > size || old > new {
        return Err(LookFault::NotSealed);
    }
    let tree = PublishedTree { files: &files, size };
    let proof = consistency_proof(&tree, old, new)?.ok_or(LookFault::NotSealed)?;
    Ok(Consistency { origin, old: (old, root(&tree, old)?), new: (new, root(&tree, new)?), proof })
}

fn show(data: &Path, shelf: &SqliteShelf, shard: Shard, stored: &StoredLeaf) -> Result<ShownLeaf, LookFault> {
    let origin = origin_of(shelf, shard, stored)?;
    let note = TileFiles::new(data, &origin).checkpoint()?;
    let size = note.and_then(|note| Checkpoint::peek(&note).ok()).map_or(0, |c| c.size);
    Ok(ShownLeaf {
        origin,
        index: stored.index,
        leaf_hash: URL_SAFE_NO_PAD.encode(stored.hash),
        sealed: stored.index < size,
        leaf: serde_json::from_slice(&stored.leaf).unwrap_or(Value::Null),
    })
}

/// `index` or `shard/index`; `None` when it is an exchange id.
fn place(shelf: &SqliteShelf, what: &str) -> Result<Option<(Shard, u64)>, StoreFault> {
    let (shard, index) = match what.rsplit_once('/') {
        Some((log, index)) => (log.rsplit('/').next().and_then(Shard::parse), index),
        None => (None, what),
    };
    // An exchange id has 22 characters at least; an index in 64 bits has 20 at most.
    let Some(index) = index.parse().ok().filter(|_| index.len() <= 20) else { return Ok(None) };
    let shard = match shard {
        Some(shard) => Some(shard),
        None => shelf.shards()?.pop(),
    };
    Ok(shard.map(|shard| (shard, index)))
}

fn origin_of(shelf: &SqliteShelf, shard: Shard, stored: &StoredLeaf) -> Result<String, LookFault> {
    let me = |bytes: &[u8]| Leaf::from_bytes(bytes).and_then(|leaf| leaf.me);
    let me = match me(&stored.leaf) {
        Some(me) => Some(me),
        None => shelf.leaves(shard, 0..1)?.pop().and_then(|first| me(&first.leaf)),
    };
    me.map(|me| format!("tongban/{me}/{shard}")).ok_or(LookFault::NoSuchLeaf)
}
