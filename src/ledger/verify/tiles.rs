//! The tile files of one log, held against the walk over its leaves.

use std::fs;
use std::path::PathBuf;

use super::super::tile_files::to_hashes;
use super::super::tiles::{FullTile, Level, TILE_WIDTH, TileName};
use super::super::tree::Hash;
use super::log::Walk;
use super::{Finding, FindingKind, relative};

/// Octets of a full tile's file.
const FULL_TILE_BYTES: u64 = TILE_WIDTH * 32;

impl Walk<'_> {
    pub(super) fn tile_hash(&mut self, index: u64) -> Option<(Hash, String)> {
        if index >= self.sealed {
            return None;
        }
        let (number, place) = (index / TILE_WIDTH, index % TILE_WIDTH);
        let width = u16::try_from((self.sealed - number * TILE_WIDTH).min(TILE_WIDTH)).unwrap_or(0);
        let name = TileName { level: Level::Hashes(0), index: number, width };
        if self.tile.0 != number {
            let hashes = self.files.read_hashes(name).ok().flatten();
            if hashes.is_none() {
                let file = relative(self.data, &self.files.path(name));
                self.found(Finding::new(FindingKind::TileMissing, file).of(&self.origin));
            }
            self.tile = (number, hashes.unwrap_or_default());
        }
        let hash = self.tile.1.get(usize::try_from(place).ok()?)?;
        Some((*hash, relative(self.data, &self.files.path(name))))
    }

    pub(super) fn full_tile(&mut self, tile: &FullTile) {
        let name = TileName { level: Level::Hashes(tile.level), index: tile.index, width: 256 };
        let covered = name.stands_in(self.sealed);
        let file = relative(self.data, &self.files.path(name));
        match self.files.read(name) {
            Ok(Some(bytes)) => {
                self.tiles += 1;
                let longer =
                    fs::metadata(self.files.path(name)).is_ok_and(|meta| meta.len() > FULL_TILE_BYTES);
                // Level 0 was compared leaf by leaf.
                if longer || tile.level > 0 && !self.lost && to_hashes(&bytes) != tile.hashes {
                    self.found(Finding::new(FindingKind::TileChanged, file).of(&self.origin));
                }
            }
            // A missing tile of level 0 was found by its first leaf.
            Ok(None) if covered && tile.level > 0 => {
                self.found(Finding::new(FindingKind::TileMissing, file).of(&self.origin));
            }
            Ok(None) => {}
            Err(_) => self.found(Finding::new(FindingKind::FileDamaged, file).of(&self.origin)),
        }
    }

    /// Partial tiles on disk, against the edge of the walk. One that is wider than the walk
    /// was written meanwhile and is not judged; one of a full tile was replaced by it.
    pub(super) fn partial_tiles(&mut self) {
        if self.lost || self.contradicted {
            return;
        }
        let edge = self.edge.clone();
        for (name, hashes) in edge.partial_tiles() {
            let mut folder = self.files.path(name.full()).into_os_string();
            folder.push(".p");
            let folder = PathBuf::from(folder);
            let mut widths: Vec<u16> = fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .filter(|width| *width <= name.width)
                .collect();
            widths.sort_unstable();
            let covered = {
                let Level::Hashes(level) = name.level else { continue };
                self.sealed
                    .checked_shr(u32::from(level) * 8)
                    .unwrap_or(0)
                    .saturating_sub(name.index * TILE_WIDTH)
            };
            if covered > 0 && !widths.iter().any(|w| u64::from(*w) == covered) {
                let wanted = TileName { width: u16::try_from(covered).unwrap_or(0), ..name };
                let file = relative(self.data, &self.files.path(wanted));
                if !self.findings.iter().any(|f| f.file == file) {
                    self.found(Finding::new(FindingKind::TileMissing, file).of(&self.origin));
                }
            }
            for width in widths {
                let path = self.files.path(TileName { width, ..name });
                let file = relative(self.data, &path);
                self.tiles += 1;
                let wanted = hashes.get(..usize::from(width)).unwrap_or_default().concat();
                // Gone since the folder was read: the tile has become full.
                let Ok(bytes) = fs::read(&path) else { continue };
                if bytes != wanted && !self.findings.iter().any(|f| f.file == file) {
                    self.found(Finding::new(FindingKind::TileChanged, file).of(&self.origin));
                }
            }
        }
    }
}
