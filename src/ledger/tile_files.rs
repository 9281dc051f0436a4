//! Tiles and the checkpoint as files, laid out so that any static file server and any
//! tlog-tiles tool can read them:
//!
//! ```text
//! <data>/tiles/tongban/421202/2026h2/checkpoint
//! <data>/tiles/tongban/421202/2026h2/cosigned          the last one with its witnesses' word
//! <data>/tiles/tongban/421202/2026h2/tile/0/000        a full tile, 8 192 bytes, never changed
//! <data>/tiles/tongban/421202/2026h2/tile/0/001.p/17   a partial one, gone when 001 is full
//! ```
//!
//! Promises: a file is whole or not there (written beside, renamed), a full tile is flushed
//! before its name. Everything here can be made again from the month files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::tiles::{Edge, FullTile, Level, TILE_WIDTH, TileName};
use super::tree::{Hash, Subtrees, root_of};

#[derive(Clone, Debug)]
pub struct TileFiles {
    root: PathBuf,
}

impl TileFiles {
    pub fn new(data: &Path, origin: &str) -> Self {
        Self { root: data.join("tiles").join(origin) }
    }

    pub fn path(&self, name: TileName) -> PathBuf {
        self.root.join(name.to_string())
    }

    pub fn checkpoint_path(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    /// Writes a full tile and takes its partial forerunners away: whoever asks for one of
    /// those gets it cut from the full one.
    pub fn write_full(&self, tile: &FullTile) -> io::Result<()> {
        let name = TileName { level: Level::Hashes(tile.level), index: tile.index, width: 256 };
        let path = self.path(name);
        write_whole(&path, &tile.hashes.concat(), Flush::Yes)?;
        match fs::remove_dir_all(partial_folder(&path)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Partial tiles are not flushed: after a power cut they are [mended](Self::mend_partials) at
    /// start.
    pub fn write_partial(&self, name: TileName, hashes: &[Hash]) -> io::Result<()> {
        write_whole(&self.path(name), &hashes.concat(), Flush::No)
    }

    /// Makes the partial tiles again that a power cut lost or tore, and says how many: those of
    /// `sealed` leaves and every other, of an earlier tree, that the right edge still has. One that
    /// reaches beyond the leaves there are goes.
    pub fn mend_partials(&self, edge: &Edge, sealed: u64) -> io::Result<usize> {
        let mut mended = 0;
        for (name, hashes) in edge.partial_tiles() {
            let mut widths = widths_in(&partial_folder(&self.path(name.full())))?;
            widths.extend(name.width_in(sealed));
            for width in widths {
                let name = TileName { width, ..name };
                let wanted = hashes.get(..usize::from(width));
                if let Some(wanted) = wanted {
                    if read_if_there(&self.path(name))?.is_none_or(|bytes| bytes != wanted.concat()) {
                        self.write_partial(name, wanted)?;
                        mended += 1;
                    }
                } else {
                    fs::remove_file(self.path(name))?;
                    mended += 1;
                }
            }
        }
        Ok(mended)
    }

    /// Not flushed either: the store's head is what counts.
    pub fn write_checkpoint(&self, note: &[u8]) -> io::Result<()> {
        write_whole(&self.checkpoint_path(), note, Flush::No)
    }

    /// The last checkpoint with its witnesses' cosignatures; kept elsewhere too. Flushed: a torn one
    /// would stay until witnesses answer again.
    pub fn write_cosigned(&self, note: &[u8]) -> io::Result<()> {
        write_whole(&self.cosigned_path(), note, Flush::Yes)
    }

    pub fn cosigned(&self) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.cosigned_path())
    }

    pub fn cosigned_path(&self) -> PathBuf {
        self.root.join("cosigned")
    }

    pub fn checkpoint(&self) -> io::Result<Option<Vec<u8>>> {
        read_if_there(&self.checkpoint_path())
    }

    /// A tile's bytes; a partial one also out of the full one that has replaced it.
    pub fn read(&self, name: TileName) -> io::Result<Option<Vec<u8>>> {
        let exact = read_if_there(&self.path(name))?;
        let bytes = if exact.is_some() { exact } else { read_if_there(&self.path(name.full()))? };
        let length = usize::from(name.width) * size_of::<Hash>();
        Ok(bytes.and_then(|mut bytes| {
            (bytes.len() >= length).then(|| {
                bytes.truncate(length);
                bytes
            })
        }))
    }

    pub fn read_hashes(&self, name: TileName) -> io::Result<Option<Vec<Hash>>> {
        Ok(self.read(name)?.map(|bytes| to_hashes(&bytes)))
    }
}

pub fn to_hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks::<32>().0.to_vec()
}

fn partial_folder(full: &Path) -> PathBuf {
    let mut path = full.as_os_str().to_owned();
    path.push(".p");
    path.into()
}

/// The partial tiles of one folder.
fn widths_in(folder: &Path) -> io::Result<BTreeSet<u16>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let width = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.filter_map(|entry| entry.map(width).transpose()).collect()
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[derive(PartialEq)]
enum Flush {
    Yes,
    No,
}

fn write_whole(path: &Path, bytes: &[u8], flush: Flush) -> io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    if flush == Flush::Yes {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&beside, path)?;
    if flush == Flush::Yes {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The subtrees of the tree of `size` leaves, out of its tile files.
pub struct PublishedTree<'a> {
    pub files: &'a TileFiles,
    pub size: u64,
}

impl Subtrees for PublishedTree<'_> {
    type Fault = io::Error;

    fn subtree(&self, level: u32, index: u64) -> io::Result<Hash> {
        let (tile_level, height) = (level / 8, level % 8);
        let first = index << height;
        let tile = first / TILE_WIDTH;
        let at_level = self.size.checked_shr(tile_level * 8).unwrap_or(0);
        let width = at_level.saturating_sub(tile * TILE_WIDTH).min(TILE_WIDTH);
        let name = TileName {
            level: Level::Hashes(u8::try_from(tile_level).unwrap_or(u8::MAX)),
            index: tile,
            width: u16::try_from(width).unwrap_or(0),
        };
        let hashes = self.files.read_hashes(name)?.unwrap_or_default();
        let start = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
        let wanted = hashes.get(start..start.saturating_add(1 << height));
        wanted.map(root_of).ok_or_else(|| io::Error::from(ErrorKind::NotFound))
    }
}
