//! The disk whose power goes: what had not been flushed is taken back, and chance chooses what of it
//! had reached the disk all the same.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tongban::store::RetentionClass;

use super::journal::{Change, Naming, Unflushed};
use crate::history::Chance;
use crate::process::{Steering, compile};

/// How a cut chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    /// For each file and each folder by itself.
    ByChance,
    /// Everything had reached the disk, but none of the evidence.
    LeavesOnly,
    /// Everything had reached the disk, but none of the leaves.
    EvidenceOnly,
    /// Only what was flushed is there.
    ToTheLastFlush,
}

/// What becomes of the unflushed changes of one file or folder.
#[derive(Clone, Copy)]
enum Fate {
    All,
    None,
    /// The first so many.
    First(usize),
    /// Each by itself, also a part of one.
    Some,
}

/// The text of the steering file that says which flushes are lies.
const ABOUT: usize = 3;
/// Octets that a disk writes as a whole.
const SECTOR: u64 = 512;

pub struct VolatileDisk {
    steering: Steering,
    data: PathBuf,
    journal: PathBuf,
    kept: PathBuf,
}

/// What cuts have found unflushed, and lost.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub files: u64,
    pub changes: u64,
    pub lost: u64,
    pub torn: u64,
    pub names: u64,
    pub names_lost: u64,
}

impl VolatileDisk {
    /// The disk of `data`; its cache is kept in `beside`, on the same disk.
    pub fn under(data: &Path, beside: &Path) -> Self {
        let [journal, kept] = ["journal", "kept"].map(|name| beside.join(name));
        fs::create_dir_all(&kept).unwrap();
        File::create_new(&journal).unwrap();
        let steering = Steering::create(&beside.join("steering"), 2, &[data, &journal, &kept, Path::new("")]);
        Self { steering, data: data.to_owned(), journal, kept }
    }

    /// What is started by this command has this disk.
    pub fn give_to(&self, command: &mut Command) {
        static SHIM: OnceLock<PathBuf> = OnceLock::new();
        command
            .env("LD_PRELOAD", SHIM.get_or_init(|| compile("power")))
            .env("TONGBAN_POWER", &self.steering.path);
    }

    /// From now on a flush of a file whose name ends so does nothing and is said to have done well.
    pub fn lie_about(&self, end: &str) {
        self.steering.set_text(ABOUT, end);
        self.steering.set(0, 1);
    }

    pub fn be_honest(&self) {
        self.steering.set(0, 0);
    }

    /// The power goes, the process being dead.
    pub fn cut(&self, cut: Cut, chance: &Chance) -> Tally {
        let (unflushed, mut tally) = (Unflushed::read(&fs::read(&self.journal).unwrap()), Tally::default());
        let mut places = HashMap::new();
        [&self.data, &self.kept].into_iter().for_each(|folder| files_below(folder, &mut places));
        for (file, changes) in unflushed.files() {
            // One that no name leads to any more is nobody's.
            let Some(path) = places.get(&file) else { continue };
            let fate = cut.of_file(path, changes.len(), chance);
            tally.files += 1;
            tally.changes += changes.len() as u64;
            replay(
                &File::options().read(true).write(true).open(path).unwrap(),
                &changes,
                fate,
                chance,
                &mut tally,
            );
        }
        self.rename(&unflushed, cut, chance, &mut tally);
        // Indexes of WALs are written through memory maps, which nobody journals: anything may be there.
        for path in places.values().filter(|path| path.to_str().unwrap().ends_with("-shm") && path.exists()) {
            fs::write(path, vec![0xa5; usize::try_from(fs::metadata(path).unwrap().len()).unwrap()]).unwrap();
        }
        File::create(&self.journal).unwrap();
        fs::remove_dir_all(&self.kept).unwrap();
        fs::create_dir(&self.kept).unwrap();
        tally
    }

    /// Takes names back, the last one first: of each folder's changes the first ones stay.
    fn rename(&self, unflushed: &Unflushed, cut: Cut, chance: &Chance, tally: &mut Tally) {
        let mut folders: BTreeMap<&Path, Vec<&Naming>> = BTreeMap::new();
        unflushed.names().for_each(|naming| folders.entry(naming.folder()).or_default().push(naming));
        let mut stay: BTreeMap<&Path, usize> =
            folders.iter().map(|(folder, names)| (*folder, cut.of_folder(names.len(), chance))).collect();
        let mut lost = Vec::new();
        for naming in unflushed.names() {
            tally.names += 1;
            let stay = stay.get_mut(naming.folder()).unwrap();
            match stay.checked_sub(1) {
                Some(more) => *stay = more,
                None => lost.push(naming),
            }
        }
        tally.names_lost += lost.len() as u64;
        lost.iter().rev().for_each(|naming| self.take_back(naming));
    }

    /// The kill may have come between the record and the deed.
    fn take_back(&self, naming: &Naming) {
        let restore = |kept: Option<u64>, path: &Path| {
            if let Some(number) = kept
                && path.parent().unwrap().is_dir()
                && !path.exists()
            {
                fs::rename(self.kept.join(number.to_string()), path).unwrap();
            }
        };
        match naming {
            Naming::Made(path) if path.is_file() => fs::remove_file(path).unwrap(),
            Naming::FolderMade(path) if path.is_dir() => fs::remove_dir_all(path).unwrap(),
            Naming::FolderRemoved(path) if !path.exists() => fs::create_dir_all(path).unwrap(),
            Naming::Renamed { from, to, kept } => {
                if !from.exists() && to.exists() {
                    fs::rename(to, from).unwrap();
                }
                restore(*kept, to);
            }
            Naming::Removed { path, kept } => restore(*kept, path),
            Naming::Made(_) | Naming::FolderMade(_) | Naming::FolderRemoved(_) => {}
        }
    }
}

impl Cut {
    pub fn chosen(chance: &Chance) -> Self {
        match chance.within(0..100) {
            0..20 => Self::LeavesOnly,
            20..30 => Self::EvidenceOnly,
            30..35 => Self::ToTheLastFlush,
            _ => Self::ByChance,
        }
    }

    fn of_file(self, path: &Path, changes: usize, chance: &Chance) -> Fate {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_evidence =
            RetentionClass::ALL.iter().any(|class| name.ends_with(&format!(".{}.sealed", class.name())));
        let is_leaves = name.ends_with(".db-wal") && name.matches('.').count() == 1 && name.starts_with("20");
        let fate = |all| if all { Fate::All } else { Fate::None };
        match self {
            Self::LeavesOnly => fate(!is_evidence),
            Self::EvidenceOnly => fate(!is_leaves),
            Self::ToTheLastFlush => Fate::None,
            Self::ByChance => match chance.within(0..10) {
                0..3 => Fate::All,
                3..5 => Fate::None,
                5..7 => Fate::First(first(changes, chance)),
                _ => Fate::Some,
            },
        }
    }

    /// How many changes of a folder's names stay.
    fn of_folder(self, changes: usize, chance: &Chance) -> usize {
        match self {
            Self::LeavesOnly | Self::EvidenceOnly => changes,
            Self::ToTheLastFlush => 0,
            Self::ByChance => first(changes, chance),
        }
    }
}

/// Of so many the first ones, none and all among the possible.
fn first(of: usize, chance: &Chance) -> usize {
    usize::try_from(chance.within(0..of as u64 + 1)).unwrap()
}

/// Sets a file back to its last flush, and then makes those changes again that reached the disk.
fn replay(file: &File, changes: &[&Change], fate: Fate, chance: &Chance, tally: &mut Tally) {
    let mut written: Vec<Vec<u8>> = changes.iter().rev().map(|change| take_back(file, change)).collect();
    written.reverse();
    for (number, (change, bytes)) in changes.iter().zip(written).enumerate() {
        let (stays, torn) = match fate {
            Fate::All => (true, false),
            Fate::None => (false, false),
            Fate::First(stay) => (number < stay, false),
            Fate::Some => (chance.percent(80), chance.percent(25)),
        };
        match change {
            _ if !stays => tally.lost += 1,
            Change::Length { after, .. } => file.set_len(*after).unwrap(),
            Change::Write { at, .. } if torn => {
                tally.torn += 1;
                write_sectors(file, *at, &bytes, chance);
            }
            Change::Write { at, .. } => file.write_all_at(&bytes, *at).unwrap(),
        }
    }
}

/// What the change had written. All later ones have been taken back before.
fn take_back(file: &File, change: &Change) -> Vec<u8> {
    match change {
        Change::Write { at, size, before, old } => {
            // One that the kill prevented has written less, or nothing.
            let there = file.metadata().unwrap().len().saturating_sub(*at).min(*size);
            let mut written = vec![0; usize::try_from(there).unwrap()];
            file.read_exact_at(&mut written, *at).unwrap();
            file.set_len(*before).unwrap();
            file.write_all_at(old, *at).unwrap();
            written
        }
        Change::Length { after, before, old } => {
            file.set_len(*before).unwrap();
            file.write_all_at(old, *after).unwrap();
            Vec::new()
        }
    }
}

/// Half of the sectors that a write touched.
fn write_sectors(file: &File, mut at: u64, mut bytes: &[u8], chance: &Chance) {
    while !bytes.is_empty() {
        let to_the_next = usize::try_from(SECTOR - at % SECTOR).unwrap();
        let (sector, rest) = bytes.split_at(to_the_next.min(bytes.len()));
        if chance.percent(50) {
            file.write_all_at(sector, at).unwrap();
        }
        at += sector.len() as u64;
        bytes = rest;
    }
}

/// Every file by its inode.
fn files_below(folder: &Path, found: &mut HashMap<u64, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is = fs::symlink_metadata(&path).unwrap();
        if is.is_dir() {
            files_below(&path, found);
        } else if is.is_file() {
            found.insert(is.ino(), path);
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.files += more.files;
        self.changes += more.changes;
        self.lost += more.lost;
        self.torn += more.torn;
        self.names += more.names;
        self.names_lost += more.names_lost;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, changes, lost, torn, names, names_lost } = self;
        write!(
            f,
            "{changes} unflushed changes of {files} files, {lost} lost, {torn} torn; {names} unflushed names, \
             {names_lost} lost"
        )
    }
}
