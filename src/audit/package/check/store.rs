//! A package's members, from the archive or from the folder it was unpacked into.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::super::tar::{BLOCK, padding, read_header};

/// Octets of a member that is read as a whole: proofs, evidence, lists of facts.
const LARGEST_READ: u64 = 64 << 20;
/// Octets read at once.
const PIECE: usize = 256 << 10;

pub struct Store {
    /// In the order of the archive.
    names: Vec<String>,
    places: BTreeMap<String, Place>,
    archive: Option<File>,
}

enum Place {
    /// Offset and size.
    In(u64, u64),
    File(PathBuf),
}

impl Store {
    /// `Err` within `Ok`: it is there and is not written as a package is.
    pub fn open(path: &Path) -> io::Result<Result<Self, &'static str>> {
        if path.is_dir() {
            let mut store = Self { names: Vec::new(), places: BTreeMap::new(), archive: None };
            store.folder(path, path)?;
            return Ok(Ok(store));
        }
        Self::tar(File::open(path)?)
    }

    fn folder(&mut self, root: &Path, folder: &Path) -> io::Result<()> {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        entries.sort();
        for path in entries {
            if path.is_dir() {
                self.folder(root, &path)?;
            } else {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                self.names.push(name.clone());
                self.places.insert(name, Place::File(path));
            }
        }
        Ok(())
    }

    fn tar(file: File) -> io::Result<Result<Self, &'static str>> {
        let end = file.metadata()?.len();
        let (mut names, mut places, mut at) = (Vec::new(), BTreeMap::new(), 0);
        loop {
            let mut block = [0; BLOCK];
            if at + BLOCK as u64 > end {
                return Ok(Err("the archive is cut short 归档不完整"));
            }
            file.read_exact_at(&mut block, at)?;
            if block == [0; BLOCK] {
                let mut rest = [1; BLOCK];
                if end != at + 2 * BLOCK as u64 {
                    return Ok(Err("the archive does not end as a package does 归档结尾有误"));
                }
                file.read_exact_at(&mut rest, at + BLOCK as u64)?;
                if rest != [0; BLOCK] {
                    return Ok(Err("the archive does not end as a package does 归档结尾有误"));
                }
                return Ok(Ok(Self { names, places, archive: Some(file) }));
            }
            let Some((name, size)) = read_header(&block) else {
                return Ok(Err("a header is not one of a package 文件头有误"));
            };
            let behind = at + BLOCK as u64 + size;
            let next = behind + padding(size);
            if next > end {
                return Ok(Err("the archive is cut short 归档不完整"));
            }
            let mut zeros = vec![0; usize::try_from(padding(size)).unwrap_or(0)];
            file.read_exact_at(&mut zeros, behind)?;
            if zeros.iter().any(|octet| *octet != 0) {
                return Ok(Err("something stands between two members 文件间有多余字节"));
            }
            if places.insert(name.clone(), Place::In(at + BLOCK as u64, size)).is_some() {
                return Ok(Err("a member stands twice 文件重复"));
            }
            names.push(name);
            at = next;
        }
    }

    pub fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    pub fn size(&self, name: &str) -> Option<u64> {
        match self.places.get(name)? {
            Place::In(_, size) => Some(*size),
            Place::File(path) => std::fs::metadata(path).ok().map(|meta| meta.len()),
        }
    }

    /// A small member as a whole.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(name)?.take(LARGEST_READ).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub fn digest(&self, name: &str) -> io::Result<[u8; 32]> {
        let (mut context, mut piece) = (Context::new(&SHA256), vec![0; PIECE]);
        let mut reader = self.reader(name)?;
        loop {
            let read = reader.read(&mut piece)?;
            if read == 0 {
                return Ok(context.finish().as_ref().try_into().unwrap_or([0; 32]));
            }
            context.update(piece.get(..read).unwrap_or_default());
        }
    }

    /// A member of any size, as a stream.
    pub fn reader(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        match (self.places.get(name), &self.archive) {
            (Some(Place::In(at, size)), Some(file)) => {
                Ok(Box::new(BufReader::with_capacity(PIECE, Slice { file, at: *at, left: *size })))
            }
            (Some(Place::File(path)), _) => Ok(Box::new(BufReader::with_capacity(PIECE, File::open(path)?))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A part of a file.
struct Slice<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(into.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
