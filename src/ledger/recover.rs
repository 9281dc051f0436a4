//! Opening: what the store holds is held against the last signed checkpoint before a single
//! leaf is added.
//!
//! Recovery is the normal path run again: leaves that no checkpoint covers yet are handed
//! to the sealer like new ones. A store that is shorter than its own checkpoint, or has
//! another root, is never continued: that would fork the log.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::key::LedgerKey;
use super::leaf::{Leaf, LeafKind};
use super::tile_files::TileFiles;
use super::tiles::{Edge, FullTile, Level, TILE_WIDTH, TileName};
use super::tree::{Hash, root_of};
use super::{LedgerFault, origin};
use crate::clock::Now;
use crate::domain::Region;
use crate::store::{Head, Heads, Month, Shard, Shelf};

/// Leaves read at once while catching up: 32 KiB of hashes.
const CATCH_UP: u64 = 1024;

/// Where the log stands.
pub(super) struct Standing {
    pub shard: Shard,
    pub month: Month,
    pub size: u64,
    pub closed: bool,
    /// Of `size` leaves.
    pub edge: Edge,
    pub head: Option<Head>,
    /// Full tiles that have to be written (again).
    pub full: Vec<FullTile>,
}

/// Finds where the log stands and checks that it is the log that was signed.
pub(super) fn stand(
    data: &Path,
    region: Region,
    key: &LedgerKey,
    shelf: &dyn Shelf,
    heads: &mut dyn Heads,
    now: Now,
) -> Result<Standing, LedgerFault> {
    let mut shard = Shard::at(now);
    let mut size = 0;
    for candidate in shelf.shards()?.into_iter().rev() {
        size = shelf.size(candidate)?;
        if size > 0 {
            shard = candidate;
            break;
        }
    }
    if let Some((newest, head)) = heads.newest()?
        && (newest > shard || size == 0)
    {
        let origin = origin(region, newest);
        return Err(LedgerFault::RolledBack { origin, signed: head.size, found: 0 });
    }
    if size == 0 {
        let month = Month::at(now);
        return Ok(Standing {
            shard,
            month,
            size,
            closed: false,
            edge: Edge::default(),
            head: None,
            full: Vec::new(),
        });
    }
    let origin = origin(region, shard);
    let leaf = |index| -> Result<Option<Leaf>, LedgerFault> {
        Ok(shelf.leaves(shard, index..index + 1)?.first().and_then(|stored| Leaf::from_bytes(&stored.leaf)))
    };
    if let Some(vkey) = leaf(0)?.and_then(|genesis| genesis.vkey)
        && Some(vkey) != key.vkey(&origin).map(|v| v.to_string())
    {
        return Err(LedgerFault::OtherKey { origin });
    }
    let files = TileFiles::new(data, &origin);
    let head = newest_head(&files, key, &origin, shard, heads, now)?;
    let (edge, full) = check_head(&files, shelf, shard, size, &origin, head.as_ref(), key)?;
    let closed = leaf(size - 1)?.is_some_and(|leaf| leaf.t == LeafKind::Close);
    let month = shelf.newest_month(shard)?.unwrap_or(shard.first_month());
    Ok(Standing { shard, month, size, closed, edge, head, full })
}

/// The store's head, or the published file if that is newer: then the head's file was lost
/// or put back, and must not let an older tree pass.
fn newest_head(
    files: &TileFiles,
    key: &LedgerKey,
    origin: &str,
    shard: Shard,
    heads: &mut dyn Heads,
    now: Now,
) -> Result<Option<Head>, LedgerFault> {
    let kept = heads.head(shard)?;
    let vkey = key.vkey(origin).ok_or(LedgerFault::Origin)?;
    if let Some(head) = &kept {
        Checkpoint::open(&head.note, &vkey)
            .map_err(|fault| LedgerFault::Checkpoint { origin: origin.to_owned(), fault })?;
    }
    let published = files.checkpoint().map_err(|e| LedgerFault::Tiles { kind: e.kind() })?;
    // A file that does not verify is a torn copy; `audit verify` names it.
    let published =
        published.and_then(|note| Checkpoint::open(&note, &vkey).ok().map(|c| Head { size: c.size, note }));
    let old = kept.as_ref().map_or(0, |head| head.size);
    match published {
        Some(newer) if newer.size > old => {
            heads.advance(shard, old, &newer, now)?;
            Ok(Some(newer))
        }
        _ => Ok(kept),
    }
}

fn check_head(
    files: &TileFiles,
    shelf: &dyn Shelf,
    shard: Shard,
    size: u64,
    origin: &str,
    head: Option<&Head>,
    key: &LedgerKey,
) -> Result<(Edge, Vec<FullTile>), LedgerFault> {
    let rolled_back = |signed| LedgerFault::RolledBack { origin: origin.to_owned(), signed, found: size };
    let mut edge = Edge::default();
    if let Some(head) = head {
        let vkey = key.vkey(origin).ok_or(LedgerFault::Origin)?;
        let checkpoint = Checkpoint::open(&head.note, &vkey)
            .map_err(|fault| LedgerFault::Checkpoint { origin: origin.to_owned(), fault })?;
        if checkpoint.size != head.size || head.size > size {
            return Err(rolled_back(checkpoint.size));
        }
        edge = Tree { files: Some(files), shelf, shard }.edge(head.size)?;
        if edge.root() != checkpoint.root {
            // The tiles may be what is wrong: the leaves decide.
            edge = Tree { files: None, shelf, shard }.edge(head.size)?;
            if edge.root() != checkpoint.root {
                return Err(rolled_back(checkpoint.size));
            }
            tracing::error!(origin, "tile files do not agree with the leaves; run `tongban audit verify`");
        }
    }
    let mut full = Vec::new();
    while edge.size() < size {
        let hashes = shelf.hashes(shard, edge.size()..size.min(edge.size() + CATCH_UP))?;
        if hashes.is_empty() {
            return Err(LedgerFault::Gap { origin: origin.to_owned(), index: edge.size() });
        }
        hashes.into_iter().for_each(|hash| edge.push(hash, &mut full));
    }
    Ok((edge, full))
}

/// Reads tiles from their files where they are, and makes them from leaves where not.
struct Tree<'a> {
    files: Option<&'a TileFiles>,
    shelf: &'a dyn Shelf,
    shard: Shard,
}

impl Tree<'_> {
    fn edge(&self, size: u64) -> Result<Edge, LedgerFault> {
        let mut levels = Vec::new();
        for level in 0_u8.. {
            let count = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            if count == 0 {
                break;
            }
            levels.push(self.tile(level, count / TILE_WIDTH, count % TILE_WIDTH)?);
        }
        Ok(Edge::from_levels(size, levels))
    }

    /// The first `width` hashes of a tile.
    fn tile(&self, level: u8, index: u64, width: u64) -> Result<Vec<Hash>, LedgerFault> {
        let first = index * TILE_WIDTH;
        if level == 0 && (width < TILE_WIDTH || self.files.is_none()) {
            return Ok(self.shelf.hashes(self.shard, first..first + width)?);
        }
        if let Some(files) = self.files.filter(|_| width == TILE_WIDTH) {
            let name = TileName { level: Level::Hashes(level), index, width: 256 };
            let read = files.read_hashes(name).map_err(|e| LedgerFault::Tiles { kind: e.kind() })?;
            if let Some(hashes) = read {
                return Ok(hashes);
            }
        }
        match level.checked_sub(1) {
            None => Ok(self.shelf.hashes(self.shard, first..first + width)?),
            Some(below) => {
                (first..first + width).map(|tile| Ok(root_of(&self.tile(below, tile, TILE_WIDTH)?))).collect()
            }
        }
    }
}
