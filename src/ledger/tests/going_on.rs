//! What a ledger that is opened again remembers, and how one log follows another.

use super::super::checkpoint::Checkpoint;
use super::*;

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
