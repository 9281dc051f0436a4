//! Disks that are full or fail, files that are held, and more than can be written.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{self as std_mpsc};

use super::*;
use crate::store::{FreeSpace, Month};

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
