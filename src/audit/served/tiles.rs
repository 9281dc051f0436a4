//! The tiles of a served log: read once from the first to the last, each led to the checkpoint.
//!
//! A full tile is one hash in the tile above it, and the partial tiles at the right edge fold to
//! the root. So a tile that was changed disagrees with its parent while its parent agrees with
//! its own, and is named. In memory is one hash for every 256 leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::{AT_ONCE, Checking, SourceFault};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::tiles::{Edge, Level, TILE_WIDTH, TileName};
use crate::ledger::tree::{Hash, root_of};
use crate::ledger::verify::{Finding, FindingKind};

/// What was read of a tree.
pub(super) struct Tree {
    pub read: u64,
    /// Every tile leads to the checkpoint.
    pub whole: bool,
    /// The root of the first leaves, as many as a kept checkpoint has.
    pub kept_root: Option<Hash>,
    /// Hashes of the leaves that were asked for.
    pub leaves: BTreeMap<u64, Hash>,
}

/// The hashes of one level as they are served; `None` where the tile is missing.
type Row = Vec<Option<Hash>>;

impl Checking<'_> {
    pub(super) fn tree(
        &mut self,
        checkpoint: &Checkpoint,
        kept: Option<&Checkpoint>,
    ) -> Result<Tree, SourceFault> {
        let size = checkpoint.size;
        let levels = (0_u8..8).take_while(|level| at_level(size, *level) > 0).count();
        let levels = u8::try_from(levels).unwrap_or(u8::MAX);
        let mut tree = Tree { read: 0, whole: true, kept_root: None, leaves: BTreeMap::new() };
        let mut wanted: BTreeSet<u64> = self.asked.leaves.iter().copied().collect();
        wanted.extend(self.asked.promised.get(&checkpoint.origin).into_iter().flat_map(BTreeMap::keys));
        // The upper levels whole; of level 0 the last tile, and that of the kept tree's edge.
        let mut served: Vec<Row> = vec![Row::new()];
        let mut made: Vec<Row> = vec![Row::new()];
        let (mut edge, mut kept_edge) = (Vec::new(), Vec::new());
        let all: u64 = (0..levels).map(|level| at_level(size, level).div_ceil(TILE_WIDTH)).sum();
        for level in 0..levels {
            let (mut row, mut roots) = (Row::new(), Row::new());
            let names = tiles_of(size, level);
            for some in names.chunks(AT_ONCE) {
                let paths: Vec<String> =
                    some.iter().map(|name| format!("/v1/log/{}/{name}", checkpoint.origin)).collect();
                for (name, bytes) in some.iter().zip(self.source.fetch(&paths)?) {
                    let hashes = self.hashes(checkpoint, *name, bytes, &mut tree);
                    if name.is_full() {
                        roots.push(hashes.as_deref().map(root_of));
                    }
                    if level == 0 {
                        let first = name.index * TILE_WIDTH;
                        let known = (first..).zip(hashes.iter().flatten());
                        tree.leaves.extend(
                            known
                                .filter(|(index, _)| wanted.contains(index))
                                .map(|(index, hash)| (index, *hash)),
                        );
                        if kept.is_some_and(|kept| kept.size / TILE_WIDTH == name.index) {
                            kept_edge = hashes.clone().unwrap_or_default();
                        }
                        if !name.is_full() {
                            edge = hashes.unwrap_or_default();
                        }
                    } else {
                        match hashes {
                            Some(hashes) => row.extend(hashes.into_iter().map(Some)),
                            None => row.extend(std::iter::repeat_n(None, name.width.into())),
                        }
                    }
                }
                if let Some(tell) = self.asked.progress {
                    tell(tree.read, all);
                }
            }
            if level > 0 {
                served.push(row);
            }
            made.push(roots);
        }
        let grown = Grown { size, levels, served, made, edge };
        let missing = !tree.whole;
        for finding in grown.changed(checkpoint, missing) {
            tree.whole = false;
            self.found(finding);
        }
        if let Some(kept) = kept {
            tree.kept_root = grown.root_at(kept.size, &kept_edge);
        }
        Ok(tree)
    }

    /// The hashes of a tile, if it is there and as long as it must be.
    fn hashes(
        &mut self,
        checkpoint: &Checkpoint,
        name: TileName,
        bytes: Option<Vec<u8>>,
        tree: &mut Tree,
    ) -> Option<Vec<Hash>> {
        tree.read += 1;
        let wrong = match bytes {
            None => FindingKind::TileMissing,
            Some(bytes) if bytes.len() == usize::from(name.width) * size_of::<Hash>() => {
                return Some(bytes.as_chunks::<32>().0.to_vec());
            }
            Some(_) => FindingKind::TileChanged,
        };
        tree.whole = false;
        self.found(Finding::new(wrong, name.to_string()).of(&checkpoint.origin));
        None
    }
}

/// Hashes at a level of a tree.
fn at_level(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

fn tiles_of(size: u64, level: u8) -> Vec<TileName> {
    let hashes = at_level(size, level);
    (0..hashes.div_ceil(TILE_WIDTH)).map(|index| tile(hashes, level, index)).collect()
}

fn tile(hashes: u64, level: u8, index: u64) -> TileName {
    let width = (hashes - index * TILE_WIDTH).min(TILE_WIDTH);
    TileName { level: Level::Hashes(level), index, width: u16::try_from(width).unwrap_or(256) }
}

/// A tree as it was served: from level 1 on the hashes, and beside them what the tiles below
/// come to.
struct Grown {
    size: u64,
    levels: u8,
    /// By level; level 0 is empty.
    served: Vec<Row>,
    made: Vec<Row>,
    /// The partial tile of level 0.
    edge: Vec<Hash>,
}

impl Grown {
    /// The tiles that do not lead to the checkpoint.
    fn changed(&self, checkpoint: &Checkpoint, missing: bool) -> Vec<Finding> {
        let mut wrong: BTreeSet<TileName> = BTreeSet::new();
        let mut findings = Vec::new();
        if self.root(&self.served) != Some(checkpoint.root) && !missing {
            if self.root(&self.made) == Some(checkpoint.root) {
                // The tiles below lead there: partial tiles at the edge do not.
                wrong.extend(
                    (1..self.levels)
                        .filter_map(|level| self.edge_tile(level))
                        .filter(|name| self.edge_of(&self.served, name) != self.edge_of(&self.made, name)),
                );
            } else {
                let last = tiles_of(self.size, 0).pop().map(|name| name.to_string()).unwrap_or_default();
                let finding =
                    Finding::new(FindingKind::CheckpointContradicted, "checkpoint").of(&checkpoint.origin);
                findings.push(finding.saying(
                    &format!(": the tiles form another tree (the last is {last})"),
                    &format!("：哈希片构成另一棵树（末片 {last}）"),
                ));
            }
        }
        for level in (1..self.levels).rev() {
            let (Some(served), Some(made)) = (self.row(&self.served, level), self.row(&self.made, level))
            else {
                continue;
            };
            for (index, (said, below)) in (0_u64..).zip(served.iter().zip(made)) {
                let parent = tile(at_level(self.size, level), level, index / TILE_WIDTH);
                if said.is_some() && below.is_some() && said != below && !wrong.contains(&parent) {
                    wrong.insert(tile(at_level(self.size, level - 1), level - 1, index));
                }
            }
        }
        let changed =
            |name: &TileName| Finding::new(FindingKind::TileChanged, name.to_string()).of(&checkpoint.origin);
        findings.extend(wrong.iter().map(changed));
        findings
    }

    fn row<'a>(&self, rows: &'a [Row], level: u8) -> Option<&'a Row> {
        rows.get(usize::from(level))
    }

    /// The partial tile at the right edge of a level.
    fn edge_tile(&self, level: u8) -> Option<TileName> {
        let hashes = at_level(self.size, level);
        (!hashes.is_multiple_of(TILE_WIDTH)).then(|| tile(hashes, level, hashes / TILE_WIDTH))
    }

    fn edge_of(&self, rows: &[Row], name: &TileName) -> Option<Vec<Option<Hash>>> {
        let Level::Hashes(level) = name.level else { return None };
        let first = usize::try_from(name.index * TILE_WIDTH).ok()?;
        Some(self.row(rows, level)?.get(first..)?.to_vec())
    }

    /// The root that the right edges of these rows fold to.
    fn root(&self, rows: &[Row]) -> Option<Hash> {
        self.root_of_first(rows, self.size, &self.edge)
    }

    /// The root of the first `size` leaves; `edge` begins with those of its last tile.
    fn root_at(&self, size: u64, edge: &[Hash]) -> Option<Hash> {
        self.root_of_first(&self.served, size, edge)
    }

    fn root_of_first(&self, rows: &[Row], size: u64, edge: &[Hash]) -> Option<Hash> {
        let part = usize::try_from(size % TILE_WIDTH).ok()?;
        let mut levels = vec![edge.get(..part)?.to_vec()];
        for level in 1..self.levels {
            let end = at_level(size, level);
            let (first, end) =
                (usize::try_from(end / TILE_WIDTH * TILE_WIDTH).ok()?, usize::try_from(end).ok()?);
            let row = self.row(rows, level)?.get(first..end)?;
            levels.push(row.iter().copied().collect::<Option<Vec<Hash>>>()?);
        }
        Some(Edge::from_levels(size, levels).root())
    }
}
