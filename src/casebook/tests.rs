//! Deeds become rows once, in order, also after a crash between the two commits.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::clock::{Clock, Now};
use crate::domain::Region;
use crate::ledger::{Entry, Leaf, LeafKind, Ledger, LedgerKey, LedgerSettings, Recovered};

/// 2026-11-22T00:00:00+08:00.
const START: i64 = 1_795_276_800;

fn settings(data: &Path) -> LedgerSettings {
    LedgerSettings {
        data_dir: data.to_owned(),
        region: Region::parse("421202").unwrap(),
        key: LedgerKey::from_seed(&[1; 32]).unwrap(),
        auditors: Vec::new(),
        clock: Clock::by_hand(Now::from_secs(START)),
        workers: None,
    }
}

fn open(data: &Path) -> (Casebook, Ledger, Recovered) {
    let (book, carrier) = Casebook::open(data).unwrap();
    let (ledger, recovered) = Ledger::open_carrying(settings(data), carrier).unwrap();
    (book, ledger, recovered)
}

fn memo(name: &str, value: i64) -> Write {
    Write::Memo(MemoRow { name: name.into(), value: value.into() })
}

fn parcel(id: &str, line: &str, seq: u64) -> ParcelRow {
    ParcelRow {
        id: id.into(),
        partner: "331083".into(),
        line: line.into(),
        seq,
        op: "application.event".into(),
        digest: String::new(),
        business: serde_json::Map::new(),
        body: json!({}),
        state: ParcelState::Waiting,
        reason: None,
        sent: None,
        attempts: 0,
        not_before: 0,
        made: 1,
        ended: None,
        receipt: None,
    }
}

fn entry(writes: &[Write]) -> Entry {
    Entry { deed: Some(Write::deed(writes)), ..Leaf::new(LeafKind::Event).into() }
}

/// What a kill at this moment leaves on the disk.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to.join(file.file_name()));
        } else {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

fn deeds_on_disk(data: &Path) -> usize {
    let month = data.join("ledger/2026h2/2026-11.db");
    let reader = crate::store::sqlite::open_reader(&month).unwrap();
    let count: i64 = reader.query_row("SELECT count(*) FROM deed", [], |row| row.get(0)).unwrap();
    count.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deed_stands_here_once_its_place_is_settled_and_leaves_the_log() {
    let home = tempfile::tempdir().unwrap();
    let (book, ledger, _) = open(home.path());
    for value in 1..=3 {
        let place = ledger.record(entry(&[memo("serial", value)])).await.unwrap();
        book.settled(place.mark).await.unwrap();
        assert_eq!(book.memo("serial").await.unwrap().unwrap().value, json!(value));
    }
    // The next leaf takes along what is carried.
    ledger.record(Leaf::new(LeafKind::Event).into()).await.unwrap();
    assert_eq!(deeds_on_disk(home.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_the_log_is_carried_at_the_next_start_and_only_once() {
    let home = tempfile::tempdir().unwrap();
    let (data, crashed) = (home.path().join("data"), home.path().join("crashed"));
    // Without a casebook beside it, the ledger keeps every deed: as if the keeper never came to it.
    let (ledger, _) = Ledger::open(settings(&data)).unwrap();
    for value in 1..=5 {
        ledger.record(entry(&[memo("serial", value), memo(&format!("m{value}"), value)])).await.unwrap();
    }
    copy(&data, &crashed);
    drop(ledger);
    let (book, ledger, recovered) = open(&crashed);
    assert_eq!(recovered.deeds.len(), 5);
    book.replay(recovered.deeds.clone()).await.unwrap();
    assert_eq!(book.memo("serial").await.unwrap().unwrap().value, json!(5));
    assert!(book.memo("m1").await.unwrap().is_some());
    // A later write is not undone by carrying the same deeds again.
    book.write(vec![memo("serial", 6)]).await.unwrap();
    book.replay(recovered.deeds).await.unwrap();
    assert_eq!(book.memo("serial").await.unwrap().unwrap().value, json!(6));
    drop((book, ledger));
    let (book, _ledger, recovered) = open(&crashed);
    assert!(recovered.deeds.len() <= 5);
    book.replay(recovered.deeds).await.unwrap();
    assert_eq!(book.memo("serial").await.unwrap().unwrap().value, json!(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_waiting_parcel_of_a_line_is_ready() {
    let home = tempfile::tempdir().unwrap();
    let (book, _ledger, _) = open(home.path());
    let rows = [parcel("a0", "A", 0), parcel("a1", "A", 1), parcel("b0", "B", 0), parcel("b1", "B", 1)];
    book.write(rows.iter().cloned().map(Write::Parcel).collect()).await.unwrap();
    let all = Page { after: 0, most: 10 };
    let ids = |found: Vec<Listed<ParcelRow>>| found.into_iter().map(|l| l.row.id).collect::<Vec<_>>();
    assert_eq!(ids(book.ready_parcels("331083", all).await.unwrap()), ["a0", "b0"]);
    assert!(book.ready_parcels("421202", all).await.unwrap().is_empty());
    let delivered = ParcelRow { state: ParcelState::Delivered, ..parcel("a0", "A", 0) };
    book.write(vec![Write::Parcel(delivered)]).await.unwrap();
    assert_eq!(ids(book.ready_parcels("331083", all).await.unwrap()), ["a1", "b0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_looked_for_among_the_cases_of_one_partner() {
    let home = tempfile::tempdir().unwrap();
    let (book, _ledger, _) = open(home.path());
    let file = |case: &str, partner: &str, there| MaterialRow {
        sha256: "a".into(),
        case: case.into(),
        partner: partner.into(),
        way: MaterialWay::Coming,
        bytes: 7,
        media_type: "application/pdf".into(),
        there,
        reason: None,
    };
    let given_up = MaterialRow { reason: Some("too late".into()), ..file("K3", "220101", false) };
    let all = [file("K1", "331083", true), file("K2", "331083", false), given_up];
    book.write(all.iter().cloned().map(Write::Material).collect()).await.unwrap();
    assert_eq!(book.announced_file("a", "331083").await.unwrap(), Some(all[0].clone()));
    assert_eq!(book.announced_file("a", "110101").await.unwrap(), None);
    assert!(book.has_file_of("a", "331083").await.unwrap());
    assert!(!book.has_file_of("a", "220101").await.unwrap(), "given up is not there");
    assert_eq!(book.awaiting_file("a", "331083").await.unwrap(), [all[1].clone()]);
    assert_eq!(book.awaiting_file("a", "220101").await.unwrap(), [all[2].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_held_by_one_task_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (book, _ledger, _) = open(home.path());
    let held = book.hold("K1").await;
    let other = book.clone();
    let waiting = tokio::spawn(async move { other.hold("K1").await });
    let _free = book.hold("K2").await;
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(held);
    drop(waiting.await.unwrap());
}

#[test]
fn every_row_reads_back_as_it_was_written() {
    let write = Write::Parcel(parcel("p", "K", 3));
    let back: Vec<Write> = serde_json::from_slice(&Write::deed(std::slice::from_ref(&write))).unwrap();
    assert_eq!(back, [write]);
}
