//! Opening: what the store holds is held against the last signed checkpoint before a single
//! leaf is added.
//!
//! Recovery is the normal path run again: leaves that no checkpoint covers yet are handed
//! to the sealer like new ones. A store that is shorter than its own checkpoint, or has
//! another root, is never continued: that would fork the log.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::held::{Lost, shard_of};
use super::key::LedgerKey;
use super::leaf::{Leaf, LeafKind};
use super::tile_files::TileFiles;
use super::tiles::{Edge, FullTile, Level, TILE_WIDTH, TileName};
use super::tree::root_of;
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
    let sealed = head.as_ref().map_or(0, |head| head.size);
    let mended = files.mend_partials(&edge, sealed).map_err(|e| LedgerFault::Tiles { kind: e.kind() })?;
    if mended > 0 {
        tracing::warn!(origin, mended, "partial tiles were lost or changed and are made again");
    }
    let closed = leaf(size - 1)?.is_some_and(|leaf| leaf.t == LeafKind::Close);
    let month = shelf.newest_month(shard)?.unwrap_or(shard.first_month());
    Ok(Standing { shard, month, size, closed, edge, head, full })
}

/// The half-year after everything that is known of: where a log goes on that was cut off.
pub(super) fn begin_after(
    lost: &Lost,
    region: Region,
    shelf: &dyn Shelf,
    heads: &mut dyn Heads,
    now: Now,
) -> Result<Standing, LedgerFault> {
    let mut last = shard_of(region, &lost.origin).ok_or(LedgerFault::Origin)?;
    for shard in shelf.shards()? {
        if shelf.size(shard)? > 0 {
            last = last.max(shard);
        }
    }
    if let Some((head, _)) = heads.newest()? {
        last = last.max(head);
    }
    let shard = last.next().max(Shard::at(now));
    Ok(Standing {
        shard,
        month: Month::at(now),
        size: 0,
        closed: false,
        edge: Edge::default(),
        head: None,
        full: Vec::new(),
    })
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
        edge = match edge_from_tiles(files, shelf, shard, head.size)? {
            Some(edge) if edge.root() == checkpoint.root => edge,
            tiles => {
                // Tiles are lost or wrong: the leaves decide, and make them again.
                let edge = edge_from_leaves(shelf, shard, head.size, |_| Ok(()))?;
                if edge.root() != checkpoint.root {
                    return Err(rolled_back(checkpoint.size));
                }
                let wrong = tiles.is_some();
                tracing::error!(origin, wrong, "tile files were lost or changed and are made again");
                edge_from_leaves(shelf, shard, head.size, |tile| files.write_full(tile))?
            }
        };
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

/// The edge out of full tile files and the leaves of the last, partial one; `None` when a
/// file is not there.
fn edge_from_tiles(
    files: &TileFiles,
    shelf: &dyn Shelf,
    shard: Shard,
    size: u64,
) -> Result<Option<Edge>, LedgerFault> {
    let mut levels = vec![shelf.hashes(shard, size - size % TILE_WIDTH..size)?];
    for below in 0_u8.. {
        let count = size.checked_shr((u32::from(below) + 1) * 8).unwrap_or(0);
        if count == 0 {
            break;
        }
        let mut hashes = Vec::new();
        for index in count - count % TILE_WIDTH..count {
            let name = TileName { level: Level::Hashes(below), index, width: 256 };
            let tile = files.read_hashes(name).map_err(|e| LedgerFault::Tiles { kind: e.kind() })?;
            let Some(tile) = tile else { return Ok(None) };
            hashes.push(root_of(&tile));
        }
        levels.push(hashes);
    }
    Ok(Some(Edge::from_levels(size, levels)))
}

/// The edge out of the leaves alone; every full tile on the way goes to `full`.
fn edge_from_leaves(
    shelf: &dyn Shelf,
    shard: Shard,
    size: u64,
    full: impl Fn(&FullTile) -> std::io::Result<()>,
) -> Result<Edge, LedgerFault> {
    let mut edge = Edge::default();
    let mut tiles = Vec::new();
    while edge.size() < size {
        let hashes = shelf.hashes(shard, edge.size()..size.min(edge.size() + CATCH_UP))?;
        if hashes.is_empty() {
            break;
        }
        hashes.into_iter().for_each(|hash| edge.push(hash, &mut tiles));
        for tile in tiles.drain(..) {
            full(&tile).map_err(|e| LedgerFault::Tiles { kind: e.kind() })?;
        }
    }
    Ok(edge)
}
