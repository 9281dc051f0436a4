//! Tiles of c2sp.org/tlog-tiles: names, widths, and the right edge of a growing tree.
//!
//! Promises: a path is either the one canonical spelling of a tile or refused; a full tile
//! is handed out exactly once while the tree grows. Leaves files to `tile_files`.

use std::fmt;

use super::tree::{Hash, root_of};

/// Hashes in a full tile (tlog-tiles: height 8).
pub const TILE_WIDTH: u64 = 256;

/// The longest path a client may ask for: level, 7 groups for 2^63 leaves, partial width.
const LONGEST_PATH: usize = 64;

/// What a tile holds: hashes of one level, or the entries themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Hashes(u8),
    Entries,
}

/// The name of a tile: `tile/<L>/<N>[.p/<W>]`. A full tile has `width` 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileName {
    pub level: Level,
    pub index: u64,
    pub width: u16,
}

impl TileName {
    /// Parses the untrusted path below the log's prefix, for example `tile/0/x001/234.p/5`.
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > LONGEST_PATH {
            return None;
        }
        let mut parts = path.split('/');
        if parts.next()? != "tile" {
            return None;
        }
        let level = match parts.next()? {
            "entries" => Level::Entries,
            text => Level::Hashes(canonical(text, 63)?.try_into().ok()?),
        };
        let mut index: u64 = 0;
        let mut width = 256;
        loop {
            let group = parts.next()?;
            if let Some(more) = group.strip_prefix('x') {
                index = index.checked_mul(1000)?.checked_add(three_digits(more)?)?;
                continue;
            }
            let digits = match group.strip_suffix(".p") {
                Some(digits) => {
                    width = canonical(parts.next()?, 255).filter(|w| *w >= 1)?;
                    digits
                }
                None => group,
            };
            index = index.checked_mul(1000)?.checked_add(three_digits(digits)?)?;
            break;
        }
        let name = Self { level, index, width: width.try_into().ok()? };
        // Leading zero groups spell the same number; only the canonical spelling is a name.
        (parts.next().is_none() && name.to_string() == path).then_some(name)
    }

    /// Does the tree of `size` leaves reach this far? (A narrower tile belongs to an earlier tree.)
    pub fn stands_in(&self, size: u64) -> bool {
        let at_level = match self.level {
            Level::Entries => size,
            Level::Hashes(level) => size.checked_shr(u32::from(level) * 8).unwrap_or(0),
        };
        let Some(start) = self.index.checked_mul(TILE_WIDTH) else { return false };
        start.checked_add(u64::from(self.width)).is_some_and(|end| end <= at_level)
    }

    /// How wide this tile is in the tree of `size` leaves; `None` where it has nothing yet.
    pub fn width_in(&self, size: u64) -> Option<u16> {
        let Level::Hashes(level) = self.level else { return None };
        let at_level = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
        let width = at_level.saturating_sub(self.index.saturating_mul(TILE_WIDTH)).min(TILE_WIDTH);
        u16::try_from(width).ok().filter(|width| *width > 0)
    }

    pub fn is_full(&self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The same tile, full.
    pub fn full(mut self) -> Self {
        self.width = 256;
        self
    }
}

fn canonical(text: &str, most: u64) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|v| plain && *v <= most)?;
    (text.len() == 1 || !text.starts_with('0')).then_some(value)
}

fn three_digits(text: &str) -> Option<u64> {
    let plain = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

impl fmt::Display for TileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (place, group) in groups.iter().enumerate().rev() {
            if place > 0 {
                write!(f, "x{group:03}/")?;
            } else {
                write!(f, "{group:03}")?;
            }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// A full tile that the growing tree has just left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct FullTile {
    pub level: u8,
    pub index: u64,
    pub hashes: Vec<Hash>,
}

/// The right edge of a tree: at every level the hashes of the tile that is not full yet.
/// Enough to append and to tell the root; 8 KiB a level.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of `size` leaves, from its partial tiles, lowest level first.
    pub fn from_levels(size: u64, levels: Vec<Vec<Hash>>) -> Self {
        Self { size, levels }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash; every tile that became full goes to `full`, lowest level first.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        self.size += 1;
        let mut carry = leaf;
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.levels.len() <= at {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(at) else { return };
            hashes.push(carry);
            if (hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(hashes);
            carry = root_of(&hashes);
            let through = self.size.checked_shr((u32::from(level) + 1) * 8).unwrap_or(0);
            full.push(FullTile { level, index: through.saturating_sub(1), hashes });
        }
    }

    /// The root of all leaves so far.
    pub fn root(&self) -> Hash {
        let mut carry: Option<Hash> = None;
        for hashes in &self.levels {
            if hashes.is_empty() {
                continue;
            }
            let mut items = hashes.clone();
            items.extend(carry);
            carry = Some(root_of(&items));
        }
        carry.unwrap_or_else(super::tree::empty_root)
    }

    /// The partial tiles of the present size, lowest level first; none is empty.
    pub fn partial_tiles(&self) -> impl Iterator<Item = (TileName, &[Hash])> {
        (0_u8..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()).map(|(level, hashes)| {
            let through = self.size.checked_shr(u32::from(level) * 8).unwrap_or(0);
            let width = u16::try_from(hashes.len()).unwrap_or(u16::MAX);
            (TileName { level: Level::Hashes(level), index: through / TILE_WIDTH, width }, hashes.as_slice())
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::tile::Tile;

    use super::super::tree::{leaf_hash, root_of};
    use super::*;

    #[test]
    fn names_are_spelt_as_in_the_specification() {
        let name = TileName { level: Level::Hashes(0), index: 1_234_067, width: 256 };
        assert_eq!(name.to_string(), "tile/0/x001/x234/067");
        let partial = TileName { level: Level::Entries, index: 5, width: 7 };
        assert_eq!(partial.to_string(), "tile/entries/005.p/7");
        for name in [name, partial] {
            assert_eq!(TileName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_a_name() {
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p",
            "tile/0/000/",
            "tile/0/x000/001",
            "tile/0/000.p/1/2",
            "tile/0/../0",
            "tile/+1/000",
            "tile/0/x001",
            "tile/data/000",
            "/tile/0/000",
            "tile/0/000.p/+1",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(TileName::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_tile_stands_only_in_a_tree_that_reaches_it() {
        let at = |path: &str, size| TileName::parse(path).unwrap().stands_in(size);
        assert!(
            at("tile/0/272", 70_000) && at("tile/0/273.p/112", 70_000) && !at("tile/0/273.p/113", 70_000)
        );
        assert!(at("tile/1/000", 70_000) && at("tile/1/001.p/17", 70_000) && !at("tile/1/001.p/18", 70_000));
        assert!(
            at("tile/2/000.p/1", 70_000) && !at("tile/2/000.p/2", 70_000) && !at("tile/63/000.p/1", 70_000)
        );
    }

    #[test]
    fn seventy_thousand_leaves_leave_the_tiles_of_the_reference() {
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        for i in 0..70_000_u32 {
            edge.push(leaf_hash(&i.to_be_bytes()), &mut full);
        }
        let at = |level| full.iter().filter(|t| t.level == level).count();
        assert_eq!((at(0), at(1)), (273, 1));
        assert!(full.iter().filter(|t| t.level == 0).map(|t| t.index).eq(0..273));
        let partial: Vec<_> = edge.partial_tiles().map(|(name, _)| name.to_string()).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    }

    proptest! {
        #[test]
        fn the_edge_tells_the_root_of_the_plain_tree(size in 0_usize..1500) {
            let leaves: Vec<_> = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
            let mut edge = Edge::default();
            leaves.iter().for_each(|leaf| edge.push(*leaf, &mut Vec::new()));
            prop_assert_eq!(edge.root(), root_of(&leaves));
        }

        #[test]
        fn any_text_parses_or_is_refused_and_names_agree_with_the_foreign_crate(text in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
            if let Some(name) = TileName::parse(&text) {
                prop_assert_eq!(name.to_string(), text.clone());
                let (level, is_data) = match name.level {
                    Level::Hashes(level) => (level, false),
                    Level::Entries => (0, true),
                };
                let foreign = Tile::new(8, level, name.index, name.width.into(), is_data).path();
                let foreign = foreign.replacen("tile/8/", "tile/", 1).replace("tile/data/", "tile/entries/");
                prop_assert_eq!(foreign, text);
            }
        }
    }
}
