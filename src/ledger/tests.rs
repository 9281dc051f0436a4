//! The ledger as its callers see it.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{self as std_mpsc};

use base64::Engine as _;
use tempfile::TempDir;
use tlog_tiles::tile::{Tile, TileHashReader, TileReader};
use tlog_tiles::tlog;

use super::checkpoint::Checkpoint;
use super::proof::Proof;
use super::verify::{FindingKind, verify};
use super::*;
use crate::clock::Now;
use crate::store::{Engine, FreeSpace, Month};

/// 2026-11-22T00:00:00+08:00.
const START: i64 = 1_795_276_800;
const DAY_MS: i64 = 86_400_000;

struct Home {
    dir: TempDir,
    clock: Clock,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: Clock::by_hand(Now::from_secs(START)) }
    }

    fn settings(&self) -> LedgerSettings {
        self.settings_in(self.dir.path())
    }

    fn settings_in(&self, dir: &Path) -> LedgerSettings {
        LedgerSettings {
            data_dir: dir.to_owned(),
            region: Region::parse("421202").unwrap(),
            key: LedgerKey::from_seed(&[1; 32]).unwrap(),
            auditors: Vec::new(),
            clock: self.clock.clone(),
            workers: None,
        }
    }

    fn open(&self) -> (Ledger, Recovered) {
        Ledger::open(self.settings()).unwrap()
    }

    /// Opens with an engine of the test's making around the real one.
    fn open_with(&self, wrap: impl FnOnce(Box<dyn Engine>) -> Box<dyn Engine>) -> Ledger {
        let (lock, engine, heads, shelf) = sqlite::open(self.dir.path()).unwrap();
        let hands = start::Hands {
            engine: wrap(Box::new(engine)),
            heads: Box::new(heads),
            shelf: Box::new(shelf),
            carrier: Box::new(carrier::Nobody),
        };
        Ledger::start(self.settings(), hands, Some(lock)).unwrap().0
    }

    fn verdict(&self) -> verify::Verdict {
        verify(self.dir.path(), Some(LedgerKey::from_seed(&[1; 32]).unwrap().public())).unwrap()
    }

    fn assert_sound(&self) -> verify::Verdict {
        let verdict = self.verdict();
        assert!(verdict.sound, "{:#?}", verdict.findings);
        verdict
    }

    /// Copies the data directory as it lies on disk: what a kill at this moment leaves.
    fn copy(&self) -> Self {
        let to = tempfile::tempdir().unwrap();
        copy_tree(self.dir.path(), to.path());
        Self { dir: to, clock: self.clock.clone() }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn exchange(kind: LeafKind, x: &str) -> Leaf {
    let mut leaf = Leaf::new(kind);
    leaf.x = Some(x.into());
    leaf.op = Some("license.query".into());
    leaf.peer = Some("331083".into());
    leaf.rq = Some(LeafHash([7; 32]));
    leaf
}

fn answered(n: u32) -> Entry {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&n.to_be_bytes());
    Entry {
        leaf: exchange(LeafKind::In, &format!("exchange-{n:014}")),
        used_id: Some(UsedId { key, content: [9; 16], expires: START + 100 }),
        take_use: None,
        deed: None,
        evidence: None,
    }
}

async fn record_many(ledger: &Ledger, numbers: std::ops::Range<u32>) -> Vec<Place> {
    let mut tasks = tokio::task::JoinSet::new();
    for n in numbers {
        let ledger = ledger.clone();
        tasks.spawn(async move { ledger.record(answered(n)).await.unwrap() });
    }
    let mut places = tasks.join_all().await;
    places.sort_by_key(|place| place.index);
    places
}

const ORIGIN: &str = "tongban/421202/2026h2";

/// Reads our tiles the way the foreign crate wants them.
struct Foreign<'a>(&'a Ledger);
impl TileReader for Foreign<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog::Error> {
        Ok(tiles
            .iter()
            .map(|tile| self.0.tile(ORIGIN, &tile.path().replacen("tile/8/", "tile/", 1)).unwrap().unwrap())
            .collect())
    }
    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn foreign_checkpoint(ledger: &Ledger) -> tlog_tiles::Checkpoint {
    use signed_note::{Note, StandardVerifier, VerifierList};
    let vkey = ledger.vkey(ORIGIN).unwrap().to_string();
    let note = Note::from_bytes(&ledger.checkpoint(ORIGIN).unwrap()).unwrap();
    note.verify(&VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())])).unwrap();
    tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap()
}

#[tokio::test]
async fn a_foreign_verifier_accepts_checkpoint_tiles_and_proofs() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..300).await;
    assert!(ledger.flush().await);
    let older = foreign_checkpoint(&ledger);
    record_many(&ledger, 300..700).await;
    assert!(ledger.flush().await);
    let newer = foreign_checkpoint(&ledger);
    assert_eq!((older.size(), newer.size()), (301, 701));
    let (size, root) = (newer.size(), *newer.hash());
    let tiles = Foreign(&ledger);
    let reader = TileHashReader::new(size, root, &tiles);
    let consistency = tlog::prove_tree(size, older.size(), &reader).unwrap();
    tlog::check_tree(&consistency, size, root, older.size(), *older.hash()).unwrap();
    for index in [0, 255, 256, 511, 512, 700] {
        let entry = ledger.entry(ORIGIN, index).unwrap().unwrap();
        let leaf = tlog::record_hash(&entry.leaf);
        let theirs = tlog::prove_record(size, index, &reader).unwrap();
        let ours = Proof::parse(&entry.proof).unwrap();
        assert_eq!(ours.path, theirs.iter().map(|h| h.0).collect::<Vec<_>>());
        tlog::check_record(&theirs, size, root, index, leaf).unwrap();
        assert_eq!(ours.verify(&ledger.vkey(ORIGIN).unwrap()).unwrap().index, index);
    }
    let bundle = ledger.tile(ORIGIN, "tile/entries/002.p/189").unwrap().unwrap();
    let first = usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
    assert_eq!(bundle[2..2 + first], ledger.entry(ORIGIN, 512).unwrap().unwrap().leaf);
    place.assert_sound();
}

#[tokio::test]
async fn nothing_beyond_the_checkpoint_or_of_another_log_is_served() {
    let place = Home::new();
    let (ledger, _) = place.open();
    assert!(ledger.flush().await);
    let seen = ledger.record(answered(1)).await.unwrap();
    assert_eq!((seen.index, &*seen.origin), (1, ORIGIN));
    let checkpoint = Checkpoint::peek(&ledger.checkpoint(ORIGIN).unwrap()).unwrap();
    if checkpoint.size == 1 {
        // The sealer has not come round yet.
        assert_eq!(ledger.entry(ORIGIN, 1).unwrap(), None);
    }
    assert!(ledger.flush().await);
    let entry = ledger.entry(ORIGIN, 1).unwrap().unwrap();
    assert_eq!((entry.me.as_deref(), entry.peer.as_deref()), (Some("421202"), Some("331083")));
    assert_eq!(ledger.entry(ORIGIN, 2).unwrap(), None);
    assert_eq!(ledger.entry(ORIGIN, u64::MAX).unwrap(), None);
    for path in [
        "tile/0/000",
        "tile/0/000.p/3",
        "tile/1/000.p/1",
        "tile/entries/000.p/3",
        "checkpoint",
        "tile/0/../000",
    ] {
        assert_eq!(ledger.tile(ORIGIN, path).unwrap(), None, "{path}");
    }
    for origin in
        ["tongban/331083/2026h2", "tongban/421202/2026h3", "tongban/421202/2025h1", "2026h2", "../2026h2"]
    {
        assert_eq!(ledger.checkpoint(origin), None, "{origin}");
        assert_eq!(ledger.entry(origin, 0).unwrap(), None);
    }
}

#[tokio::test]
async fn one_use_is_taken_exactly_once_under_a_hundred_at_once_and_after_a_restart() {
    let place = Home::new();
    let (ledger, _) = place.open();
    let entry = |n: u32, max| Entry {
        take_use: Some(TakeUse { token: [5; 32], max, expires: START + 900 }),
        ..answered(n)
    };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (ledger, entry) = (ledger.clone(), entry(n, 1));
        tasks.spawn(async move { ledger.record(entry).await });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|o| **o == Err(RecordFault::UsedUp)).count(), 99);
    assert_eq!((ledger.uses(&[5; 32]), ledger.uses(&[6; 32])), (1, 0));
    drop(ledger);
    let (ledger, recovered) = place.open();
    assert_eq!((ledger.uses(&[5; 32]), recovered.size), (1, 2));
    assert_eq!(ledger.record(entry(200, 1)).await, Err(RecordFault::UsedUp));
    assert!(ledger.record(entry(201, 2)).await.is_ok());
    assert_eq!(ledger.uses(&[5; 32]), 2);
    place.clock.advance(901_000);
    drop(ledger);
    assert_eq!(place.open().0.uses(&[5; 32]), 0);
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_recorded_leaf() {
    let place = Home::new();
    let (ledger, _) = place.open();
    for (step, numbers) in [0..1, 1..40, 40..300].into_iter().enumerate() {
        let places = record_many(&ledger, numbers.clone()).await;
        if step == 1 {
            assert!(ledger.flush().await);
        }
        let killed = place.copy();
        let (reopened, recovered) = killed.open();
        assert_eq!(recovered.size, u64::from(numbers.end) + 1);
        assert_eq!(recovered.used_ids.len(), numbers.end as usize);
        let next = reopened.record(answered(1000)).await.unwrap();
        assert_eq!(next.index, recovered.size);
        assert!(reopened.flush().await);
        for promised in &places {
            let entry = reopened.entry(ORIGIN, promised.index).unwrap().unwrap();
            assert_eq!(tree::leaf_hash(&entry.leaf), promised.leaf_hash);
        }
        drop(reopened);
        killed.assert_sound();
    }
}

#[tokio::test]
async fn used_ids_return_until_they_have_expired() {
    let place = Home::new();
    let (ledger, first) = place.open();
    assert!(first.used_ids.is_empty());
    ledger.record(answered(3)).await.unwrap();
    drop(ledger);
    let used = answered(3).used_id.unwrap();
    assert_eq!(place.open().1.used_ids, [used]);
    place.clock.advance(101_000);
    assert!(place.open().1.used_ids.is_empty());
}

#[tokio::test]
async fn sends_without_an_end_are_handed_back_also_over_the_turn_of_a_year() {
    let place = Home::new();
    place.clock.advance(39 * DAY_MS); // 2026-12-31
    let (ledger, _) = place.open();
    let record = async |kind, x: &str| ledger.record(exchange(kind, x).into()).await.unwrap();
    record(LeafKind::OutSent, "ended-in-the-same-year").await;
    record(LeafKind::OutDone, "ended-in-the-same-year").await;
    record(LeafKind::OutSent, "ended-in-the-next-year").await;
    let lost = record(LeafKind::OutSent, "lost-in-between-000000").await;
    place.clock.advance(DAY_MS);
    record(LeafKind::OutFailed, "ended-in-the-next-year").await;
    record(LeafKind::OutSent, "lost-in-the-next-year0").await;
    drop(ledger);
    let (_, recovered) = place.open();
    let open: Vec<_> = recovered.open_sends.iter().map(|s| s.leaf.x.clone().unwrap()).collect();
    assert_eq!(open, ["lost-in-between-000000", "lost-in-the-next-year0"]);
    assert_eq!(
        (&*recovered.open_sends[0].origin, recovered.open_sends[0].index),
        (&*lost.origin, lost.index)
    );
    assert_eq!(&*recovered.origin, "tongban/421202/2027h1");
}

#[tokio::test]
async fn months_and_half_years_turn_and_every_log_names_the_one_before() {
    let place = Home::new();
    let (ledger, _) = place.open();
    for n in 0..3 {
        ledger.record(answered(n)).await.unwrap();
        place.clock.advance(10 * DAY_MS);
    }
    place.clock.advance(10 * DAY_MS); // 2027-01-01
    let turned = ledger.record(answered(4)).await.unwrap();
    assert_eq!((&*turned.origin, turned.index), ("tongban/421202/2027h1", 1));
    assert!(ledger.flush().await);
    // The old log: genesis, three, close; its final checkpoint is still served.
    let note = ledger.checkpoint(ORIGIN).unwrap();
    assert_eq!(Checkpoint::peek(&note).unwrap().size, 5);
    let last = Leaf::from_bytes(&ledger.entry(ORIGIN, 4).unwrap().unwrap().leaf).unwrap();
    assert_eq!(last.t, LeafKind::Close);
    let genesis = Leaf::from_bytes(&ledger.entry(&turned.origin, 0).unwrap().unwrap().leaf).unwrap();
    assert_eq!((genesis.past.as_deref(), genesis.ck), (Some(ORIGIN), Some(LeafHash(tree::sha256(&note)))));
    // A clock that steps back does not reopen the old log.
    place.clock.advance(-10 * DAY_MS);
    assert_eq!(&*ledger.record(answered(5)).await.unwrap().origin, &*turned.origin);
    drop(ledger);
    let (_, recovered) = place.open();
    assert_eq!((&*recovered.origin, recovered.size), ("tongban/421202/2027h1", 3));
    let verdict = place.assert_sound();
    assert_eq!(verdict.logs.iter().map(|l| l.leaves).collect::<Vec<_>>(), [5, 3]);
    for file in ["2026h2/2026-11.db", "2026h2/2026-12.db", "2027h1/2027-01.db"] {
        assert!(place.dir.path().join("ledger").join(file).is_file(), "{file}");
    }
}

#[tokio::test]
async fn an_older_or_changed_store_is_never_continued() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..5).await;
    drop(ledger);
    let backup = place.copy();
    let (ledger, _) = place.open();
    record_many(&ledger, 5..10).await;
    assert!(ledger.flush().await);
    drop(ledger);
    // The month from the backup under the newer head, then without any head but the file.
    let month = "ledger/2026h2/2026-11.db";
    let restored = place.copy();
    std::fs::copy(backup.dir.path().join(month), restored.dir.path().join(month)).unwrap();
    let refused = |place: &Home| match Ledger::open(place.settings()) {
        Err(LedgerFault::RolledBack { signed, found, .. }) => (signed, found),
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(refused(&restored), (11, 6));
    std::fs::remove_file(restored.dir.path().join("ledger/state.db")).unwrap();
    assert_eq!(refused(&restored), (11, 6));
    // Another log altogether, of the same length and key.
    let other = Home::new();
    let (ledger, _) = other.open();
    record_many(&ledger, 50..60).await;
    drop(ledger);
    let swapped = place.copy();
    std::fs::copy(other.dir.path().join(month), swapped.dir.path().join(month)).unwrap();
    assert_eq!(refused(&swapped), (11, 11));
    std::fs::remove_dir_all(swapped.dir.path().join("ledger/2026h2")).unwrap();
    assert_eq!(refused(&swapped), (11, 0));
    let mut settings = place.settings();
    settings.key = LedgerKey::from_seed(&[2; 32]).unwrap();
    assert!(matches!(Ledger::open(settings), Err(LedgerFault::OtherKey { .. })));
}

#[tokio::test]
async fn tiles_that_were_lost_are_made_again_from_the_leaves() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..600).await;
    assert!(ledger.flush().await);
    drop(ledger);
    std::fs::remove_dir_all(place.dir.path().join("tiles")).unwrap();
    let (ledger, _) = place.open();
    record_many(&ledger, 600..601).await;
    assert!(ledger.flush().await);
    assert!(ledger.entry(ORIGIN, 3).unwrap().is_some());
    place.assert_sound();
}

/// They are not flushed when they are written; found by cutting the power.
#[tokio::test]
async fn partial_tiles_that_a_power_cut_tore_are_made_again() {
    let place = Home::new();
    let (ledger, _) = place.open();
    for more in [0..299, 299..309] {
        record_many(&ledger, more).await;
        assert!(ledger.flush().await);
    }
    drop(ledger);
    place.assert_sound();
    let tile = |name: &str| place.dir.path().join(format!("tiles/{ORIGIN}/tile/{name}"));
    let older = std::fs::read(tile("0/001.p/44")).unwrap();
    std::fs::write(tile("0/001.p/44"), vec![0; older.len()]).unwrap();
    std::fs::write(tile("1/000.p/1"), "").unwrap();
    std::fs::write(tile("0/001.p/60"), "of leaves that are not there").unwrap();
    std::fs::remove_file(tile("0/001.p/54")).unwrap();
    assert!(!place.verdict().sound);
    let (ledger, _) = place.open();
    assert_eq!(ledger.tile(ORIGIN, "tile/0/001.p/44").unwrap(), Some(older));
    place.assert_sound();
    record_many(&ledger, 309..330).await;
    assert!(ledger.flush().await);
    drop(ledger);
    place.assert_sound();
}

/// Does to each append what the next of `faults` says, then what the real engine does.
struct Scripted {
    real: Box<dyn Engine>,
    faults: Arc<Mutex<Vec<Script>>>,
    free: Option<FreeSpace>,
}

enum Script {
    Fail(StoreFault),
    FailAfterStoring(StoreFault),
}

impl Engine for Scripted {
    fn append(&mut self, shard: Shard, month: Month, first: u64, rows: &[Row]) -> Result<(), StoreFault> {
        match self.faults.lock().unwrap().pop() {
            Some(Script::Fail(fault)) => Err(fault),
            Some(Script::FailAfterStoring(fault)) => {
                self.real.append(shard, month, first, rows)?;
                Err(fault)
            }
            None => self.real.append(shard, month, first, rows),
        }
    }
    fn free_space(&self) -> Option<FreeSpace> {
        self.free
    }
}

fn scripted(place: &Home, free: Option<FreeSpace>) -> (Ledger, Arc<Mutex<Vec<Script>>>) {
    let faults = Arc::new(Mutex::new(Vec::new()));
    let script = faults.clone();
    let ledger = place.open_with(|real| Box::new(Scripted { real, faults: script, free }));
    (ledger, faults)
}

#[tokio::test]
async fn a_full_disk_refuses_and_counts_nothing() {
    let place = Home::new();
    let (ledger, faults) = scripted(&place, None);
    faults.lock().unwrap().push(Script::Fail(StoreFault::Full));
    let entry =
        Entry { take_use: Some(TakeUse { token: [1; 32], max: 1, expires: START + 9 }), ..answered(1) };
    assert_eq!(ledger.record(entry.clone()).await, Err(RecordFault::Unavailable));
    let health = ledger.health();
    assert_eq!((health.writable, health.low_disk, health.poisoned), (false, true, None));
    assert_eq!((ledger.uses(&[1; 32]), health.size), (0, 1));
    drop(ledger);
    let (ledger, _) = place.open();
    assert_eq!(ledger.record(entry).await.unwrap().index, 1);
}

#[tokio::test]
async fn a_file_that_somebody_holds_is_waited_for_and_not_given_up() {
    let place = Home::new();
    let (ledger, faults) = scripted(&place, None);
    faults.lock().unwrap().push(Script::Fail(StoreFault::Locked));
    assert_eq!(ledger.record(answered(1)).await, Err(RecordFault::Unavailable));
    assert!(ledger.health().writable);
    assert_eq!(ledger.record(answered(1)).await.unwrap().index, 1);
}

#[tokio::test]
async fn a_reader_that_stays_for_long_stops_neither_writing_nor_closing() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..10).await;
    let reader = rusqlite::Connection::open(place.dir.path().join("ledger/2026h2/2026-11.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM leaf;").unwrap();
    record_many(&ledger, 10..20).await;
    assert!(ledger.flush().await);
    drop(ledger);
    place.assert_sound();
    let (ledger, recovered) = place.open();
    assert_eq!(recovered.size, 21);
    drop((ledger, reader));
    place.assert_sound();
}

#[tokio::test]
async fn a_failed_flush_ends_all_recording_until_a_restart_finds_what_was_stored() {
    let place = Home::new();
    let (ledger, faults) = scripted(&place, None);
    let broken = StoreFault::Broken { what: "append", code: 1034 };
    faults.lock().unwrap().push(Script::FailAfterStoring(broken));
    assert_eq!(ledger.record(answered(1)).await, Err(RecordFault::Unavailable));
    assert_eq!(ledger.record(answered(2)).await, Err(RecordFault::Unavailable));
    assert!(ledger.health().poisoned.is_some() && !ledger.health().writable);
    assert!(!ledger.flush().await);
    drop(ledger);
    let (ledger, recovered) = place.open();
    assert_eq!((recovered.size, recovered.used_ids.len()), (2, 1));
    assert_eq!(ledger.record(answered(3)).await.unwrap().index, 2);
    assert!(ledger.flush().await);
    place.assert_sound();
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_before_sqlite_does() {
    for (free, total) in [(LEAST_FREE_BYTES - 1, LEAST_FREE_BYTES), (100 << 20, 100 << 30)] {
        let place = Home::new();
        let (ledger, _) = scripted(&place, Some(FreeSpace { free, total }));
        assert_eq!(ledger.record(answered(1)).await, Err(RecordFault::Unavailable));
        assert!(ledger.health().low_disk && ledger.health().free_disk == Some(free));
    }
}

/// Waits at the first append after `hold` was set until told to go on.
struct Gate {
    real: Box<dyn Engine>,
    hold: Arc<AtomicU32>,
    go: std_mpsc::Receiver<()>,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl Engine for Gate {
    fn append(&mut self, shard: Shard, month: Month, first: u64, rows: &[Row]) -> Result<(), StoreFault> {
        if self.hold.swap(0, Ordering::SeqCst) == 1 {
            let _ = self.go.recv();
        }
        self.batches.lock().unwrap().push(rows.len());
        self.real.append(shard, month, first, rows)
    }
    fn free_space(&self) -> Option<FreeSpace> {
        None
    }
}

#[tokio::test]
async fn what_waits_goes_into_one_commit_and_too_much_waiting_is_said() {
    let place = Home::new();
    let (let_go, go) = std_mpsc::channel();
    let (hold, batches) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (held, seen) = (hold.clone(), batches.clone());
    let ledger = place.open_with(|real| Box::new(Gate { real, hold: held, go, batches: seen }));
    hold.store(1, Ordering::SeqCst);
    let start = |n| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.record(answered(n)).await })
    };
    let first = start(0);
    while hold.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    let most = u32::try_from(LONGEST_QUEUE).unwrap();
    let waiting: Vec<_> = (1..=most).map(start).collect();
    while ledger.health().queue_depth < LONGEST_QUEUE {
        tokio::task::yield_now().await;
    }
    assert_eq!(ledger.record(answered(0)).await, Err(RecordFault::Overloaded));
    let_go.send(()).unwrap();
    assert!(first.await.unwrap().is_ok());
    for task in waiting {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(*batches.lock().unwrap(), [1, 1, 1024, 1024, 1024, 1024]);
}

#[tokio::test]
async fn a_leaf_too_long_for_a_bundle_is_refused_alone() {
    let place = Home::new();
    let (ledger, _) = place.open();
    let leaf = exchange(LeafKind::In, &"x".repeat(70_000));
    assert_eq!(ledger.record(leaf.into()).await, Err(RecordFault::TooLong));
    assert_eq!(ledger.record(answered(1)).await.unwrap().index, 1);
}

/// A log of 300 leaves at rest, with everything in its files.
async fn log_at_rest() -> Home {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..299).await;
    assert!(ledger.flush().await);
    drop(ledger);
    // There is an index if there was time to make one; without it findings are of leaves alone.
    let index = place.dir.path().join("ledger/2026h2/2026-11.index.db");
    crate::store::sqlite::remove_index(&index).unwrap();
    place.assert_sound();
    place
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= mask;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn one_flipped_byte_of_a_leaf_is_named_with_file_and_index() {
    let place = log_at_rest().await;
    let month = "ledger/2026h2/2026-11.db";
    for n in [0_u32, 17, 298] {
        let copy = place.copy();
        let path = copy.dir.path().join(month);
        let bytes = std::fs::read(&path).unwrap();
        let wanted = format!("\"x\":\"exchange-{n:014}\"");
        let at = bytes.windows(wanted.len()).position(|w| w == wanted.as_bytes()).unwrap();
        flip(&path, at + 20, 1);
        let verdict = copy.verdict();
        let finding = &verdict.findings[0];
        assert_eq!((finding.kind, finding.file.as_str()), (FindingKind::LeafChanged, month));
        let shown = verify::find(place.dir.path(), &format!("exchange-{n:014}")).unwrap();
        assert_eq!((finding.index, verdict.findings.len()), (Some(shown[0].index), 1));
    }
}

#[tokio::test]
async fn a_flip_anywhere_in_tile_or_checkpoint_is_named_with_the_file() {
    let place = log_at_rest().await;
    for (file, kind) in [
        ("tile/0/000", FindingKind::TileChanged),
        ("tile/0/001.p/44", FindingKind::TileChanged),
        ("tile/1/000.p/1", FindingKind::TileChanged),
        ("checkpoint", FindingKind::CheckpointInvalid),
    ] {
        let file = format!("tiles/{ORIGIN}/{file}");
        let length = std::fs::metadata(place.dir.path().join(&file)).unwrap().len() as usize;
        for at in [0, length / 3, length - 1] {
            let copy = place.copy();
            flip(&copy.dir.path().join(&file), at, 0x10);
            let verdict = copy.verdict();
            let told: Vec<_> = verdict.findings.iter().map(|f| (f.kind, f.file.clone())).collect();
            assert_eq!(told, [(kind, file.clone())], "byte {at}");
        }
        let copy = place.copy();
        std::fs::remove_file(copy.dir.path().join(&file)).unwrap();
        let verdict = copy.verdict();
        assert_eq!((verdict.findings.len(), &verdict.findings[0].file), (1, &file), "{:?}", verdict.findings);
    }
}

#[tokio::test]
async fn rewriting_removing_and_moving_leaves_is_found() {
    let place = log_at_rest().await;
    let month = "ledger/2026h2/2026-11.db";
    let changed = |sql: &str| {
        let copy = place.copy();
        let connection = rusqlite::Connection::open(copy.dir.path().join(month)).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let verdict = copy.verdict();
        assert!(!verdict.sound);
        (verdict.findings[0].kind, verdict.findings[0].index)
    };
    let forged = br#"{"me":"421202","t":"in","ts":1795276800000,"v":1}"#;
    let hash = hex::encode(tree::leaf_hash(forged));
    let forge = format!(
        "UPDATE leaf SET leaf='{}', hash=x'{hash}', exchange=NULL WHERE idx=100",
        String::from_utf8_lossy(forged)
    );
    assert_eq!(changed(&forge), (FindingKind::LeafRewritten, Some(100)));
    assert_eq!(changed("DELETE FROM leaf WHERE idx=100"), (FindingKind::LeafMissing, Some(100)));
    assert_eq!(changed("DELETE FROM leaf WHERE idx>=290"), (FindingKind::LeafMissing, Some(290)));
    assert_eq!(changed("DELETE FROM leaf"), (FindingKind::LeafMissing, Some(0)));
    assert_eq!(
        changed("UPDATE leaf SET idx=9223372036854775800 WHERE idx=299"),
        (FindingKind::LeafMissing, Some(299))
    );
    assert_eq!(changed("UPDATE leaf SET hash=zeroblob(32) WHERE idx=7"), (FindingKind::HashChanged, Some(7)));
    assert_eq!(changed("UPDATE leaf SET exchange='other' WHERE idx=7"), (FindingKind::IndexChanged, Some(7)));
    let taken = "UPDATE batch SET taken=zeroblob(40) WHERE first=0";
    assert_eq!(changed(taken), (FindingKind::MemoryChanged, Some(0)));
    let swap = "UPDATE leaf SET idx=-1 WHERE idx=7; UPDATE leaf SET idx=7 WHERE idx=8; UPDATE leaf SET idx=8 WHERE idx=-1";
    assert_eq!(changed(swap), (FindingKind::LeafRewritten, Some(7)));
}

#[tokio::test]
async fn any_flipped_byte_of_a_store_at_rest_is_found() {
    let place = log_at_rest().await;
    // With an index, too: each of its rows is then of a leaf that cannot be read.
    let (ledger, _) = place.open();
    assert!(ledger.index().await);
    drop(ledger);
    for (file, flips) in [("ledger/2026h2/2026-11.db", 40), ("ledger/state.db", 10)] {
        let length = std::fs::metadata(place.dir.path().join(file)).unwrap().len() as usize;
        // A fixed odd stride walks over all kinds of pages and places in them.
        for (n, at) in (0..length).step_by((length / flips) | 1).enumerate() {
            let copy = place.copy();
            flip(&copy.dir.path().join(file), at, 1 << (n % 8));
            let verdict = copy.verdict();
            assert!(!verdict.sound, "{file} byte {at}");
            assert!(
                verdict.findings.iter().any(|f| f.file == file),
                "{file} byte {at}: {:?}",
                verdict.findings
            );
        }
    }
}

#[tokio::test]
async fn a_store_killed_in_the_middle_of_work_is_sound() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..50).await;
    assert!(ledger.flush().await);
    record_many(&ledger, 50..60).await;
    let killed = place.copy();
    killed.assert_sound();
    drop(killed.open());
    killed.assert_sound();
}

#[tokio::test]
async fn verification_works_beside_a_running_gateway_and_without_a_given_key() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..20).await;
    assert!(ledger.flush().await);
    record_many(&ledger, 20..30).await;
    let verdict = verify(place.dir.path(), None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
    assert_eq!((verdict.logs[0].leaves, verdict.logs[0].key), (31, verify::KeySource::Genesis));
    let other = verify(place.dir.path(), Some([3; 32])).unwrap();
    assert!(other.findings.iter().any(|f| f.kind == FindingKind::KeyDiffers));
    assert!(other.findings.iter().any(|f| f.kind == FindingKind::CheckpointInvalid));
    assert!(verify(&place.dir.path().join("nowhere"), None).is_err());
}

#[tokio::test]
async fn a_leaf_is_shown_and_proven_from_the_directory_alone() {
    let place = log_at_rest().await;
    let shown = verify::find(place.dir.path(), "exchange-00000000000005").unwrap();
    assert!(shown[0].sealed && shown[0].leaf["x"] == "exchange-00000000000005");
    let by_index = verify::find(place.dir.path(), &shown[0].index.to_string()).unwrap();
    assert_eq!(by_index, shown);
    assert_eq!(verify::find(place.dir.path(), &format!("2026h2/{}", shown[0].index)).unwrap(), shown);
    let proof = verify::proof(place.dir.path(), &shown[0].index.to_string()).unwrap();
    let vkey = LedgerKey::from_seed(&[1; 32]).unwrap().vkey(ORIGIN).unwrap();
    let proven = Proof::parse(&proof.to_bytes()).unwrap().verify(&vkey).unwrap();
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tree::leaf_hash(&proven.leaf));
    assert_eq!(hash, shown[0].leaf_hash);
    assert!(matches!(verify::find(place.dir.path(), "999"), Err(verify::LookFault::NoSuchLeaf)));
}

/// Evidence for `answered(n)`, of one retention class.
fn with_evidence(n: u32, class: RetentionClass) -> Entry {
    let evidence = evidence::Evidence {
        request: Some(bytes::Bytes::from(format!("request {n}"))),
        subjects: vec![evidence::Subject::new(evidence::Field::Case, format!("K{n}"))],
        ..evidence::Evidence::new(class)
    };
    Entry { evidence: Some(evidence), ..answered(n) }
}

fn an_auditor() -> Arc<AuditorKey> {
    use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
    let mut public = EcKeyPair::generate(EcCurve::P256).unwrap().to_jwk_public_key();
    public.set_key_use("enc");
    public.set_algorithm("ECDH-ES+A256KW");
    Arc::new(AuditorKey::read(&serde_json::Value::Object(public.as_ref().clone())).unwrap())
}

#[tokio::test]
async fn evidence_stands_in_its_classs_vault_and_is_gone_when_it_was_erased() {
    use crate::store::sqlite::Vaults;
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let mut places = Vec::new();
    for (n, class) in
        [(1, RetentionClass::Provision), (2, RetentionClass::Other), (3, RetentionClass::Provision)]
    {
        places.push(ledger.record(with_evidence(n, class)).await.unwrap());
    }
    let vaults = Vaults::of_data_dir(home.dir.path());
    let row = |n: usize| vaults.row(places[n].mark).unwrap();
    for (n, class) in
        [(0, RetentionClass::Provision), (1, RetentionClass::Other), (2, RetentionClass::Provision)]
    {
        let (file, stored) = row(n).unwrap();
        let leaf =
            ledger.inner.shelf.leaves(places[n].mark.shard, places[n].index..places[n].index + 1).unwrap();
        let leaf = Leaf::from_bytes(&leaf[0].leaf).unwrap();
        assert_eq!((file.class, stored.sum_fits), (class, true));
        assert_eq!(leaf.ev, Some(LeafHash(tree::sha256(&stored.sealed))));
        assert!(file.epoch(stored.epoch).unwrap().is_some() && leaf.tags.len() == 1);
    }
    let shard = places[0].mark.shard;
    let hold = VaultOrder::Hold { shard, of: vec![places[2].index], leaf: places[1].mark };
    assert_eq!(ledger.obey(hold).await.unwrap(), [places[2].index]);
    let (_, gone) = row(0).unwrap();
    let erase =
        || VaultOrder::Erase { shard, of: vec![places[0].index, places[2].index], leaf: places[1].mark };
    assert_eq!(ledger.obey(erase()).await.unwrap(), [places[0].index], "a held row stays");
    assert!(row(0).is_none() && row(2).is_some());
    let folder = home.dir.path().join("ledger").join(shard.to_string());
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |secret: &[u8]| bytes.windows(secret.len()).any(|w| w == secret);
        assert!(!holds(&gone.r) && !holds(&gone.tokens) && !holds(&gone.sealed[..32]));
    }
    ledger.obey(VaultOrder::Release { shard, of: vec![places[2].index] }).await.unwrap();
    assert_eq!(ledger.obey(erase()).await.unwrap(), [places[2].index]);
    let month = vaults.list(shard).unwrap()[0].0;
    ledger.obey(VaultOrder::Drop { shard, month, class: RetentionClass::Other }).await.unwrap();
    assert_eq!(vaults.list(shard).unwrap(), [(month, RetentionClass::Provision)]);
    // Every leaf still verifies; but nothing in the tree ordered any of this.
    assert!(ledger.flush().await);
    drop(ledger);
    let findings = verify(home.dir.path(), None).unwrap().findings;
    let unproven = FindingKind::ErasureUnproven;
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [unproven, FindingKind::EvidenceMissing, unproven], "{findings:#?}");
}

impl Home {
    /// As after a stop between the vault's commit and the leaf's: a row so many places further on.
    fn leaves_a_row_behind(&self, shard: Shard, further: u64) -> Month {
        let month = Month::at(Now::from_secs(START));
        let folder = self.dir.path().join("ledger").join(shard.to_string());
        let vault = rusqlite::Connection::open(folder.join(format!("{month}.provision.db"))).unwrap();
        let copy =
            format!("INSERT INTO vault SELECT idx+{further}, epoch, r, tokens, sealed, sum FROM vault");
        vault.execute(&copy, []).unwrap();
        month
    }
}

#[tokio::test]
async fn evidence_whose_leaf_was_never_stored_is_taken_away() {
    use crate::store::sqlite::Vaults;
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let first = ledger.record(with_evidence(1, RetentionClass::Provision)).await.unwrap();
    drop(ledger);
    let month = home.leaves_a_row_behind(first.mark.shard, 7);
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let second = ledger.record(with_evidence(2, RetentionClass::Provision)).await.unwrap();
    let vaults = Vaults::of_data_dir(home.dir.path());
    let file = vaults.open(first.mark.shard, month, RetentionClass::Provision).unwrap().unwrap();
    assert_eq!(file.span().unwrap(), Some((first.index, second.index)));
}

/// As [`evidence_whose_leaf_was_never_stored_is_taken_away`]; found by killing gateways under load.
#[tokio::test]
async fn evidence_without_a_leaf_goes_before_a_leaf_of_another_class_takes_its_place() {
    let home = Home::new();
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let first = ledger.record(with_evidence(1, RetentionClass::Provision)).await.unwrap();
    drop(ledger);
    home.leaves_a_row_behind(first.mark.shard, 1);
    let (ledger, _) = home.open();
    ledger.seal_to(vec![an_auditor()]);
    let second = ledger.record(with_evidence(2, RetentionClass::Other)).await.unwrap();
    assert_eq!(second.index, first.index + 1);
    let third = ledger.record(with_evidence(3, RetentionClass::Provision)).await.unwrap();
    assert!(ledger.flush().await);
    drop(ledger);
    let verdict = verify(home.dir.path(), None).unwrap();
    assert!(verdict.sound, "{:#?}", verdict.findings);
    assert_eq!(verdict.logs[0].evidence.present, third.index - first.index + 1);
}
