//! The ledger as its callers see it.

mod faults;
mod foreign;
mod going_on;
mod sealed;
mod verifying;

use std::path::Path;

use tempfile::TempDir;

use super::verify::verify;
use super::*;
use crate::clock::Now;
use crate::store::Engine;

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
