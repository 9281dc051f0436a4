//! Killed as soon as a durable step shows on the disk: what was begun there is finished,
//! made again or never happened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use tongban::clock::Clock;
use tongban::keys::write_private_file;
use tongban::store::{Month, Shard};

use super::{Asked, Load, ask_again, every_promise_is_kept};
use crate::process::{Home, PATIENCE, Pair};

/// Waits without a pause, so that the kill follows the step at once.
fn spin(what: &str, mut seen: impl FnMut() -> bool) {
    let began = Instant::now();
    while !seen() {
        assert!(began.elapsed() < PATIENCE, "still waiting: {what}");
        std::hint::spin_loop();
    }
}

/// What of a file or folder changes when it is written to or replaced.
fn mark(path: &Path) -> Option<(u64, u64, std::time::SystemTime)> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.modified().unwrap()))
}

/// The folder of a log, whatever half-year it is.
fn only_below(folder: &Path) -> PathBuf {
    let folders = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir()).max().unwrap_or_else(|| folder.join("none-yet"))
}

/// The month file being written, or the place where it will be.
fn month(data: &Path) -> PathBuf {
    let shard = only_below(&data.join("ledger"));
    let files = fs::read_dir(&shard).into_iter().flatten().map(|entry| entry.unwrap().path());
    files
        // Vaults and indexes have a word between: 2026-11.other.db.
        .filter(|path| path.extension().is_some_and(|e| e == "db"))
        .filter(|path| path.file_stem().is_some_and(|month| !month.to_string_lossy().contains('.')))
        .max()
        .unwrap_or_else(|| shard.join("none-yet"))
}

fn beside(path: PathBuf, ending: &str) -> PathBuf {
    let mut name = path.into_os_string();
    name.push(ending);
    name.into()
}

fn log(data: &Path) -> PathBuf {
    only_below(&data.join("tiles/tongban/421202"))
}

type Place = fn(&Path) -> PathBuf;

/// In the order in which an exchange reaches them.
const STEPS: [(&str, Place); 4] = [
    ("leaves are written", |data| beside(month(data), "-wal")),
    ("a tile is written", newest_tile),
    ("a checkpoint is kept", |data| data.join("ledger/state.db-wal")),
    ("a checkpoint is published", |data| log(data).join("checkpoint")),
];

/// Partial tiles of the lowest level come and go: the newest stands for them all.
fn newest_tile(data: &Path) -> PathBuf {
    let level = log(data).join("tile/0");
    let folders = fs::read_dir(&level).into_iter().flatten().map(|entry| entry.unwrap().path());
    folders.max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok()).unwrap_or(level)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_durable_step_it_keeps_every_promise() {
    let pair = Arc::new(Pair::make());
    let token = pair.authorize(100);
    assert_eq!(pair.xianan.serve().stop(), 0);
    let mut asked = Vec::new();
    for (step, place) in STEPS.iter().chain(&STEPS) {
        let mut serving = pair.xianan.serve();
        let line = pair.dial().await;
        for exchange in asked.iter().rev().take(2) {
            ask_again(&pair, &line, exchange).await;
        }
        let look = || {
            let path = place(&pair.xianan.data());
            mark(&path).map(|mark| (path, mark))
        };
        let before = look();
        let load = Load::begin(&pair, &token).await;
        spin(step, || look() != before);
        serving.kill();
        asked.extend(load.end().await);
        every_promise_is_kept(&pair, &asked);
    }
    assert_eq!(pair.xianan.serve().stop(), 0);
    every_promise_is_kept(&pair, &asked);
}

/// Nobody asks any more: the files are left at rest, each with its sum.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_its_files_come_to_rest_it_keeps_every_promise() {
    let pair = Arc::new(Pair::make());
    let [month_sum, heads_sum]: [Place; 2] =
        [|data| beside(month(data), ".sha256"), |data| data.join("ledger/state.db.sha256")];
    let mut asked = Vec::new();
    for place in [month_sum, heads_sum, month_sum] {
        let mut serving = pair.xianan.serve();
        let line = pair.dial().await;
        let path = place(&pair.xianan.data());
        let before = mark(&path);
        let message = pair.ping();
        let verdict = Some(pair.ask(&line, &message).await);
        asked.push(Asked { message, verdict });
        spin("the sum is written anew", || mark(&path) != before && path.exists());
        serving.kill();
        every_promise_is_kept(&pair, &asked);
    }
    assert_eq!(pair.xianan.serve().stop(), 0);
    every_promise_is_kept(&pair, &asked);
}

#[test]
fn killed_at_every_step_of_its_first_start_it_starts_all_the_same() {
    let firsts: [(&str, Place); 9] = [
        ("the folder", |data| data.join("ledger")),
        ("the lock", |data| data.join("ledger/lock")),
        ("the file of checkpoints", |data| data.join("ledger/state.db")),
        ("the key of case tags", |data| data.join("ledger/case.key")),
        ("the month's file", month),
        ("the month's first leaf", |data| beside(month(data), "-wal")),
        ("the tiles' folder", |data| data.join("tiles")),
        ("the first tile", |data| log(data).join("tile/0/000.p")),
        ("the first checkpoint", |data| log(data).join("checkpoint")),
    ];
    let root = tempfile::tempdir().unwrap();
    for (number, (step, place)) in firsts.into_iter().enumerate() {
        let home = Home::make(&root.path().join(number.to_string()), "421202");
        let mut command = home.serve_command();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        spin(step, || place(&home.data()).exists());
        child.kill().unwrap();
        child.wait().unwrap();
        let serving = home.serve();
        assert_eq!(serving.get("/readyz").0, 200, "{step}: {}", serving.log());
        assert_eq!(serving.stop(), 0, "{step}");
        assert!(home.verify().sound, "{step}");
        let genesis = home.leaves().iter().filter(|(_, leaf)| leaf["t"] == "genesis").count();
        assert_eq!(genesis, 1, "{step}");
    }
}

/// The same, not left to the scheduler: the files as a stop at the worst place leaves them.
#[test]
fn what_a_stop_left_half_made_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), "421202");
    let now = Clock::system().now();
    let shard = home.data().join("ledger").join(Shard::at(now).to_string());
    fs::create_dir_all(&shard).unwrap();
    fs::write(shard.join(format!("{}.db", Month::at(now))), "").unwrap();
    write_private_file(&home.file("data/ledger/case.new"), b"half a key").unwrap();
    assert_eq!(home.serve().stop(), 0);
    assert!(home.verify().sound);
    assert_eq!(fs::metadata(home.file("data/ledger/case.key")).unwrap().len(), 32);
}
