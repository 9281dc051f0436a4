//! Two thousand random edits of a small log's files (and eight thousand of a package in
//! `packages.rs`), every one found: octets flipped, cut out, put in, swapped, cut off, or taken
//! from another region's file. As many as `TONGBAN_RANDOM_EDITS` says instead: the gate makes ten
//! thousand of each (`scripts/random-edits`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tongban::ledger::verify::verify;

use super::made::{County, Keys, copy_of};

const EDITS: usize = 2_000;

/// How many edits this run makes: as usual, or as many as somebody asked for.
pub fn edits(usual: usize) -> usize {
    std::env::var("TONGBAN_RANDOM_EDITS").map_or(usual, |many| many.parse().unwrap())
}
const THREADS: usize = 4;

/// Numbers that a failure can be repeated from (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// One edit that changes the bytes.
pub fn edit(bytes: &[u8], foreign: &[u8], chance: &mut Chance) -> Vec<u8> {
    loop {
        let mut edited = bytes.to_vec();
        let at = chance.below(bytes.len());
        let length = 1 + chance.below(40).min(bytes.len() - at - 1);
        match chance.below(6) {
            0 => edited[at] ^= 1 << chance.below(8),
            1 => drop(edited.drain(at..at + length)),
            2 => drop(edited.splice(at..at, (0..length).map(|n| n as u8 ^ at as u8).collect::<Vec<_>>())),
            3 => {
                let other = chance.below(bytes.len() - length);
                let (a, b) = (bytes[at..at + length].to_vec(), bytes[other..other + length].to_vec());
                edited[other..other + length].copy_from_slice(&a);
                edited[at..at + length].copy_from_slice(&b);
            }
            4 => edited.truncate(at),
            _ => {
                let from = chance.below(foreign.len().saturating_sub(length));
                let piece = foreign.get(from..from + length).unwrap_or_default();
                edited[at..at + piece.len()].copy_from_slice(piece);
            }
        }
        if edited != bytes {
            return edited;
        }
    }
}

/// One edit of a file. What ends in many zeros is edited where it does not, half of the time.
fn edit_file(bytes: &[u8], foreign: &[u8], chance: &mut Chance) -> Vec<u8> {
    let used = bytes.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    if used * 2 > bytes.len() || chance.below(2) == 0 {
        return edit(bytes, foreign, chance);
    }
    let (begins, rest) = bytes.split_at(used);
    [&edit(begins, foreign, chance), rest].concat()
}

/// The files that hold leaves, evidence, vaults, tiles and checkpoints, below a data directory.
pub fn files(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("/tiles/")
                || name.ends_with(".sealed")
                || name.ends_with(".db") && !name.ends_with(".index.db")
            {
                found.push(path.strip_prefix(data).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn thousands_of_random_edits_of_a_log_are_all_found() {
    let (root, keys) = (tempfile::tempdir().unwrap(), Arc::new(Keys::new()));
    let (mut here, mut there) = (
        County::open(&root.path().join("a"), "421202", &keys),
        County::open(&root.path().join("b"), "331083", &keys),
    );
    let places = here.answers(12).await;
    here.order(Some("hold"), &[&places[1]]).await;
    here.order(None, &[&places[4]]).await;
    there.answers(12).await;
    let (data, other) = (here.close().await, there.close().await);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tamper-small");
    let _ = fs::remove_dir_all(&kept);
    copy_of(&data, &kept.join("a"));
    copy_of(&other, &kept.join("b"));
    let public = keys.ledger().public();
    assert_eq!(verify(&data, Some(public)).unwrap().findings, []);
    let files = files(&data);
    assert!(files.len() >= 8, "{files:?}");
    let (taken, missed) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (data, other, files, taken, missed) = (&data, &other, &files, &taken, &missed);
            let copy = copy_of(data, &root.path().join(thread.to_string()));
            scope.spawn(move || {
                loop {
                    let number = taken.fetch_add(1, Ordering::Relaxed);
                    if number >= edits(EDITS) {
                        return;
                    }
                    let mut chance = Chance(number as u64);
                    let file = &files[number % files.len()];
                    let bytes = fs::read(data.join(file)).unwrap();
                    let theirs = other.join(file.to_str().unwrap().replace("421202", "331083"));
                    let foreign = fs::read(theirs).unwrap_or_default();
                    fs::write(copy.join(file), edit_file(&bytes, &foreign, &mut chance)).unwrap();
                    let found = verify(&copy, Some(public)).map_or(true, |verdict| !verdict.sound);
                    if !found {
                        missed.lock().unwrap().push((number, file.clone()));
                    }
                    fs::write(copy.join(file), bytes).unwrap();
                    for suffix in ["-wal", "-shm"] {
                        let _ = fs::remove_file(copy.join(format!("{}{suffix}", file.display())));
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{missed:?}");
}
