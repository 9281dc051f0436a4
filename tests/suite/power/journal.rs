//! The journal that `shim.c` writes, read: what had not been flushed when the power went.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A change of one file's bytes, with what stood there before.
pub enum Change {
    Write { at: u64, size: u64, before: u64, old: Vec<u8> },
    Length { after: u64, before: u64, old: Vec<u8> },
}

/// A change of a folder's names. `kept` is what a name stood for until then.
#[derive(Clone, Debug)]
pub enum Naming {
    Made(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, kept: Option<u64> },
    Removed { path: PathBuf, kept: Option<u64> },
    FolderMade(PathBuf),
    FolderRemoved(PathBuf),
}

impl Naming {
    /// Whose flush makes it durable.
    pub fn folder(&self) -> &Path {
        let (Self::Made(path)
        | Self::Renamed { to: path, .. }
        | Self::Removed { path, .. }
        | Self::FolderMade(path)
        | Self::FolderRemoved(path)) = self;
        path.parent().unwrap()
    }
}

/// Changes that no flush covers, in their order: of each file by its inode, and of names.
#[derive(Default)]
pub struct Unflushed {
    files: HashMap<u64, Vec<(usize, Change)>>,
    names: Vec<(usize, Naming)>,
}

struct Record<'a> {
    kind: u64,
    file: u64,
    number: u64,
    before: u64,
    at: u64,
    size: u64,
    names: Vec<PathBuf>,
    old: &'a [u8],
}

/// Of a record before its names: seven words, the first of them two halves.
const HEAD: usize = 56;

impl Unflushed {
    pub fn read(mut journal: &[u8]) -> Self {
        let (mut unflushed, mut begun) = (Self::default(), HashMap::new());
        // A record that the kill cut off belongs to a change that was never begun.
        for place in 0.. {
            let Some(record) = Record::next(&mut journal) else { break };
            unflushed.note(place, record, &mut begun);
        }
        unflushed
    }

    fn note(&mut self, place: usize, record: Record<'_>, begun: &mut HashMap<u64, usize>) {
        let Record { file, before, at, size, names, .. } = record;
        let (old, mut names) = (record.old.to_vec(), names.into_iter());
        let (kept, mut name) = ((record.number > 0).then_some(record.number), || names.next().unwrap());
        let naming = match record.kind {
            1 => return self.change(place, file, Change::Write { at, size, before, old }),
            2 => return self.change(place, file, Change::Length { after: at, before, old }),
            3 => {
                begun.insert(record.number, place);
                return;
            }
            4 => return self.flushed(begun[&record.number], file, &name()),
            5 => {
                // The number of a file that is gone for good may be another's.
                self.files.remove(&file);
                Naming::Made(name())
            }
            6 => Naming::Renamed { from: name(), to: name(), kept },
            7 => Naming::Removed { path: name(), kept },
            8 => Naming::FolderMade(name()),
            9 => Naming::FolderRemoved(name()),
            other => panic!("a record of kind {other}"),
        };
        self.names.push((place, naming));
    }

    fn change(&mut self, place: usize, file: u64, change: Change) {
        self.files.entry(file).or_default().push((place, change));
    }

    /// Covers what stands before its beginning.
    fn flushed(&mut self, begun: usize, file: u64, path: &Path) {
        if let Some(changes) = self.files.get_mut(&file) {
            changes.retain(|(place, _)| *place > begun);
        }
        self.names.retain(|(place, naming)| *place > begun || naming.folder() != path);
    }

    /// By inode, in a fixed order.
    pub fn files(&self) -> Vec<(u64, Vec<&Change>)> {
        let mut files: Vec<_> = self.files.iter().filter(|(_, changes)| !changes.is_empty()).collect();
        files.sort_unstable_by_key(|(_, changes)| changes[0].0);
        files.iter().map(|(file, changes)| (**file, changes.iter().map(|(_, one)| one).collect())).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &Naming> {
        self.names.iter().map(|(_, naming)| naming)
    }
}

impl<'a> Record<'a> {
    fn next(journal: &mut &'a [u8]) -> Option<Self> {
        let (head, rest) = journal.split_at_checked(HEAD)?;
        let word = |at: usize| u64::from_le_bytes(*head[at * 8..].first_chunk().unwrap());
        let (kind, name) = (word(0) & u64::from(u32::MAX), usize::try_from(word(0) >> 32).unwrap());
        let (name, rest) = rest.split_at_checked(name)?;
        let (old, rest) = rest.split_at_checked(usize::try_from(word(6)).unwrap())?;
        *journal = rest;
        let names = name.split(|octet| *octet == 0).filter(|one| !one.is_empty());
        let names = names.map(|one| String::from_utf8(one.to_vec()).unwrap().into()).collect();
        Some(Self {
            kind,
            file: word(1),
            number: word(2),
            before: word(3),
            at: word(4),
            size: word(5),
            names,
            old,
        })
    }
}
