//! Crashes between the steps of an act: nothing stays half done.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act::Intent;
use super::unseal::AuditorPrivateKey;
use super::*;
use crate::account::Role;
use crate::clock::Now;
use crate::ledger::evidence::{AuditorKey, Evidence};
use crate::ledger::{Leaf, LeafKind, LedgerKey, LedgerSettings, Mark, RetentionClass};

pub(super) struct Home {
    pub dir: tempfile::TempDir,
    clock: Clock,
    public: Value,
}

impl Home {
    pub fn new() -> Self {
        let (_, public) = AuditorPrivateKey::generate().unwrap();
        let clock = Clock::by_hand(Now::from_secs(1_900_000_000));
        Self { dir: tempfile::tempdir().unwrap(), clock, public }
    }

    /// A process begins; it ends when the desk is dropped.
    pub fn open(&self) -> Desk {
        let region = Region::parse("421202").unwrap();
        let data_dir = self.dir.path().to_owned();
        let settings = LedgerSettings {
            data_dir: data_dir.clone(),
            region,
            key: LedgerKey::from_seed(&[1; 32]).unwrap(),
            auditors: vec![Arc::new(AuditorKey::read(&self.public).unwrap())],
            clock: self.clock.clone(),
            workers: None,
        };
        let ledger = Ledger::open(settings).unwrap().0;
        let clock = self.clock.clone();
        Desk::open(DeskSettings {
            ledger,
            clock,
            region,
            data_dir,
            periods: Periods::default(),
            offline: false,
        })
        .unwrap()
    }
}

/// An exchange with evidence.
pub(super) async fn exchange(desk: &Desk) -> Mark {
    let mut evidence = Evidence::new(RetentionClass::Provision);
    evidence.result = Some(b"{}".to_vec());
    let leaf = Leaf { op: Some("license.query".into()), ..Leaf::new(LeafKind::In) };
    let entry = crate::ledger::Entry { evidence: Some(evidence), ..leaf.into() };
    desk.inner.ledger.record(entry).await.unwrap().mark
}

pub(super) fn mandate() -> Mandate {
    Mandate::new(Actor::new("zhao-security".into(), Role::Security), "核查", "1").unwrap()
}

#[tokio::test]
async fn an_erasure_that_a_leaf_announced_is_done_after_a_crash() {
    let home = Home::new();
    let desk = home.open();
    let at = exchange(&desk).await;
    let intent = Intent { n: 1, shard: Some(at.shard), of: vec![at.index], ..Intent::new(Act::Erase) };
    desk.record(&mandate(), intent).await.unwrap();
    assert!(desk.vaults().row(at).unwrap().is_some());
    drop(desk);
    let desk = home.open();
    assert_eq!(desk.settle().await, Ok(1));
    assert!(desk.vaults().row(at).unwrap().is_none());
    assert_eq!(desk.settle().await, Ok(0));
    let [entry] = desk.registers().list(&RegisterFilter::default(), 9).unwrap().try_into().unwrap();
    assert!(entry.done && entry.leaf.is_some());
}

#[tokio::test]
async fn an_entry_without_a_leaf_is_an_act_that_did_not_happen() {
    let home = Home::new();
    let desk = home.open();
    let at = exchange(&desk).await;
    let entry = Entry {
        act: Act::Erase,
        at: 1,
        by: "zhao-security".into(),
        id: "1".into(),
        n: 1,
        of: vec![at.index],
        offline: false,
        order: "1".into(),
        purpose: "核查".into(),
        role: Role::Security,
        shard: Some(at.shard.to_string()),
        what: json!({}),
        with: None,
    };
    desk.registers().begin(&entry, &[]).unwrap();
    drop(desk);
    let desk = home.open();
    assert_eq!(desk.settle().await, Ok(0));
    assert!(desk.vaults().row(at).unwrap().is_some());
    assert_eq!(desk.registers().list(&RegisterFilter::default(), 9).unwrap(), []);

    // The leaf came through, and the crash before its place was noted.
    desk.registers().begin(&entry, &[]).unwrap();
    let leaf = Leaf { past: Some("tongban/421202/2030h1".into()), ..entry.leaf() };
    let stands = desk.inner.ledger.record(leaf.into()).await.unwrap().mark;
    drop(desk);
    let desk = home.open();
    assert_eq!(desk.settle().await, Ok(1));
    let [found] = desk.registers().list(&RegisterFilter::default(), 9).unwrap().try_into().unwrap();
    assert_eq!((found.mark(), found.done), (Some(stands), true));
    assert!(desk.vaults().row(at).unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let home = Home::new();
    let desk = home.open();
    let at = exchange(&desk).await;
    let order = EraseOrder { of: vec![at.index], legal_basis: Some("法".into()), ..EraseOrder::default() };
    let long = Intent { code: Some("x".repeat(70_000)), ..Intent::new(Act::Erase) };
    assert!(matches!(desk.record(&mandate(), long).await, Err(DeskFault::Record(_))));
    assert_eq!(desk.registers().list(&RegisterFilter::default(), 9).unwrap(), [], "it did not happen");
    assert_eq!((desk.settle().await, desk.registers().unplaced()), (Ok(0), Ok(vec![])));
    assert!(desk.vaults().row(at).unwrap().is_some());
    assert_eq!(desk.erase(&mandate(), &order).await.unwrap().erased.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_leaves_no_bytes_whoever_reads_beside_it() {
    let home = Home::new();
    let desk = home.open();
    let at = exchange(&desk).await;
    let secret = desk.vaults().row(at).unwrap().unwrap().1.r;
    let folder = home.dir.path().join("ledger/2030h1");
    let reader = rusqlite::Connection::open(folder.join("2030-03.provision.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM erased;").unwrap();
    let open = std::fs::File::open(folder.join("2030-03.provision.sealed")).unwrap();
    let order = EraseOrder { of: vec![at.index], legal_basis: Some("法".into()), ..EraseOrder::default() };
    let erased = desk.erase(&mandate(), &order).await.unwrap().erased;
    assert_eq!(erased, [format!("{}/{}", at.shard, at.index)]);
    drop((reader, open));
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(32).any(|window| window == secret), "{}", file.display());
    }
}
