use super::*;
use crate::clock::{Clock, Now};
use crate::ledger::{Leaf, LeafHash, LeafKind, Ledger, LedgerKey, LedgerSettings};
use crate::reconcile::{Difference, DifferenceKind, Item, Outcome, State, Verdict, Window, root};

/// A full hour.
const HOUR: i64 = 1_900_000_800;

struct Scene {
    dir: tempfile::TempDir,
    clock: Clock,
    ledger: Ledger,
    book: Book,
}

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

fn peer() -> Region {
    region("331083")
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::by_hand(Now::from_secs(HOUR));
    let settings = LedgerSettings {
        data_dir: dir.path().to_owned(),
        region: region("421202"),
        key: LedgerKey::from_seed(&[1; 32]).unwrap(),
        auditors: Vec::new(),
        clock: clock.clone(),
        workers: None,
    };
    let (ledger, _) = Ledger::open(settings).unwrap();
    let book = Book::open(dir.path()).unwrap();
    Scene { dir, clock, ledger, book }
}

fn leaf(kind: LeafKind, x: u8, iat: i64) -> Leaf {
    Leaf {
        x: Some(format!("exchange-of-the-tests-{x:03}")),
        peer: Some("331083".into()),
        op: Some("ping".into()),
        iat: Some(iat),
        rq: Some(LeafHash([x; 32])),
        rd: (kind != LeafKind::OutSent).then_some(LeafHash([x; 32])),
        status: (kind != LeafKind::OutSent).then_some(200),
        ..Leaf::new(kind)
    }
}

impl Scene {
    async fn record(&self, leaves: &[Leaf]) {
        for leaf in leaves {
            self.ledger.record(leaf.clone().into()).await.unwrap();
        }
    }

    fn own(&self, window: Window) -> Own {
        self.book.follow(&self.ledger).unwrap();
        self.book.own(&self.ledger, peer(), window).unwrap()
    }

    fn change(&self, sql: &str) {
        let month = self.dir.path().join("ledger/2030h1/2030-03.db");
        Connection::open(month).unwrap().execute_batch(sql).unwrap();
    }
}

fn all() -> Window {
    Window { from: HOUR, to: HOUR + 3_600 }
}

#[tokio::test]
async fn an_exchange_counts_once_by_the_leaf_that_was_answered() {
    let scene = scene();
    let refused =
        |code: &str, kind, x| Leaf { code: Some(code.into()), status: Some(409), ..leaf(kind, x, HOUR) };
    scene
        .record(&[
            // Asked, sent again, answered.
            leaf(LeafKind::OutSent, 1, HOUR),
            Leaf { rd: None, status: None, ..leaf(LeafKind::OutFailed, 1, HOUR) },
            leaf(LeafKind::OutSent, 1, HOUR),
            leaf(LeafKind::OutDone, 1, HOUR),
            // Answered, then a repeat and a reuse of its id refused.
            leaf(LeafKind::In, 2, HOUR),
            refused("replay", LeafKind::In, 2),
            refused("jti-reuse", LeafKind::In, 2),
            // Refused with a signature; sent and lost.
            refused("no-agreement", LeafKind::In, 3),
            leaf(LeafKind::OutSent, 4, HOUR),
            // Somebody else's, another time's, and comparing itself.
            Leaf { peer: Some("320922".into()), ..leaf(LeafKind::In, 5, HOUR) },
            leaf(LeafKind::In, 6, HOUR + 3_600),
            Leaf { op: Some("ledger.reconcile".into()), ..leaf(LeafKind::In, 7, HOUR) },
        ])
        .await;
    let own = scene.own(all());
    let mut seen: Vec<_> = own.answered.iter().map(|m| (m.item.rq[0], m.asked, m.item.outcome)).collect();
    seen.sort_unstable_by_key(|(x, ..)| *x);
    assert_eq!(seen, [(1, true, Outcome::Done), (2, false, Outcome::Done), (3, false, Outcome::Refused)]);
    assert_eq!(own.unanswered.iter().map(|m| m.item.rq[0]).collect::<Vec<_>>(), [4]);
    assert!(own.lost.is_empty() && !own.holes && own.list().is_sorted());
}

#[tokio::test]
async fn what_is_taken_out_of_the_log_or_changed_in_it_is_read_as_it_is_now() {
    let scene = scene();
    scene
        .record(&[leaf(LeafKind::In, 1, HOUR), leaf(LeafKind::In, 2, HOUR), leaf(LeafKind::In, 3, HOUR)])
        .await;
    let before = scene.own(all());
    assert_eq!(before.answered.len(), 3);
    scene.change(&format!(
        "DELETE FROM leaf WHERE exchange LIKE '%-001'; \
         UPDATE leaf SET leaf=replace(leaf, '{}', '{}') WHERE exchange LIKE '%-002'",
        LeafHash([2; 32]),
        LeafHash([9; 32])
    ));
    let own = scene.own(all());
    assert_eq!(own.answered.len(), 2);
    assert_eq!(own.lost, [crate::reconcile::item::x_of("exchange-of-the-tests-001")].into());
    let changed = own.answered.iter().find(|mine| !mine.sound).unwrap();
    assert_eq!((changed.item.rq, changed.item.rd), ([9; 32], [9; 32]));
    // A book that is made anew knows no more what stood there, only that something is gone.
    std::fs::remove_file(scene.dir.path().join("reconcile.db")).unwrap();
    std::fs::remove_file(scene.dir.path().join("reconcile.db-wal")).unwrap();
    let book = Book::open(scene.dir.path()).unwrap();
    book.follow(&scene.ledger).unwrap();
    let own = book.own(&scene.ledger, peer(), all()).unwrap();
    assert!(own.lost.is_empty() && own.holes);
}

#[tokio::test]
async fn a_quiet_pair_waits_for_its_hour_and_a_busy_one_for_its_minute() {
    let scene = scene();
    let next = || scene.book.next(peer(), scene.clock.now()).unwrap();
    scene.record(&[leaf(LeafKind::In, 1, HOUR)]).await;
    scene.book.follow(&scene.ledger).unwrap();
    // A new pair begins with its first exchange, two minutes after its iat.
    assert_eq!(scene.book.pair(peer(), scene.clock.now()).unwrap().since, HOUR);
    assert_eq!(next(), None);
    scene.clock.advance(3_600_000 + 599_000);
    assert_eq!(next(), None, "the hour is not settled");
    scene.clock.advance(1_000);
    assert_eq!(next(), Some(all()));
    let verdict = Verdict { window: all(), count: 1, root: [1; 32], lost: 0, proposed: true };
    scene.book.agreed(peer(), &verdict, b"note", scene.clock.now()).unwrap();
    assert_eq!(next(), None);
    // Two hundred and fifty-six in two minutes: the window ends with the minute of the last.
    let busy = HOUR + 3_600 + 300;
    for n in 0..256 {
        let x = Some(format!("exchange-of-the-tests-busy-{n}"));
        scene.record(&[Leaf { x, ..leaf(LeafKind::In, 1, busy + n / 4) }]).await;
    }
    scene.book.follow(&scene.ledger).unwrap();
    scene.clock.advance(1_300_000);
    assert_eq!(next(), Some(Window { from: HOUR + 3_600, to: busy + 240 }));
}

#[tokio::test]
async fn hours_and_days_tell_what_is_agreed_disputed_and_missing() {
    let scene = scene();
    let now = Now::from_secs(HOUR + 4 * 3_600 + 600);
    scene.record(&[leaf(LeafKind::In, 1, HOUR)]).await;
    scene.book.follow(&scene.ledger).unwrap();
    scene.book.pair(peer(), scene.clock.now()).unwrap();
    let verdict = |from: i64, to: i64| Verdict {
        window: Window { from: HOUR + from, to: HOUR + to },
        count: 1,
        root: root(&[]),
        lost: 0,
        proposed: true,
    };
    scene.book.agreed(peer(), &verdict(0, 3_600), b"note", now).unwrap();
    let x = [7; 16];
    let theirs = Item { x, rq: [1; 32], rd: [1; 32], outcome: Outcome::Done };
    let difference = Difference { kind: DifferenceKind::Forged, x, mine: None, theirs: Some(theirs) };
    let found = [(difference, serde_json::json!({"by": "partner-statement"}))];
    scene.book.differs(peer(), &verdict(3_600, 3_660), &found, &["a.b.c".to_owned()], now).unwrap();
    scene.book.opened(peer(), &verdict(3_660, 3_720), now).unwrap();
    let [day] = &days(scene.dir.path(), None, None, now).unwrap()[..] else { panic!() };
    assert_eq!((day.agreed, day.disputed, day.unsigned_minutes, day.differences.len()), (1, 2, 178, 1));
    let told: Vec<_> = day.hours.iter().map(|h| (h.agreed, h.disputed, h.missing)).collect();
    assert_eq!(told, [(60, 0, 0), (0, 2, 58), (0, 0, 60), (0, 0, 60)]);
    assert!(days(scene.dir.path(), Some("320922"), None, now).unwrap().is_empty());
    assert_eq!(days(scene.dir.path(), None, Some(day.day), now).unwrap().len(), 1);
    assert!(days(&scene.dir.path().join("nowhere"), None, None, now).unwrap().is_empty());
    // Looked into and unchanged, a window stays; agreed at last, its differences are history.
    scene.book.opened(peer(), &verdict(3_600, 3_660), now).unwrap();
    let later = Now::from_secs(now.secs() + 1);
    let window = verdict(3_660, 3_720).window;
    assert_eq!(scene.book.to_look_into(peer(), later).unwrap(), Some(window));
    scene.book.agreed(peer(), &verdict(3_600, 3_660), b"note", now).unwrap();
    assert!(days(scene.dir.path(), None, None, now).unwrap()[0].differences.is_empty());
    let [agreed, ..] = &windows_between(scene.dir.path(), "331083", HOUR, HOUR + 60).unwrap()[..] else {
        panic!()
    };
    assert_eq!((agreed.state, agreed.note.as_deref()), (State::Agreed, Some("note")));
}

#[tokio::test]
async fn pairs_begun_together_begin_with_their_first_exchange_or_now_and_only_once() {
    let scene = scene();
    scene.record(&[leaf(LeafKind::In, 1, HOUR - 7_200)]).await;
    scene.book.follow(&scene.ledger).unwrap();
    let pairs = [peer(), region("110101")];
    scene.book.begin_pairs(&pairs, Now::from_secs(HOUR)).unwrap();
    scene.book.begin_pairs(&pairs, Now::from_secs(HOUR + 3_600)).unwrap();
    let since = |of| scene.book.pair(of, Now::from_secs(HOUR + 7_200)).unwrap().since;
    // An exchange counts when its message can live no longer.
    let first = HOUR - 7_200 + crate::envelope::Op::Ping.longest_life();
    assert_eq!(pairs.map(since), [first, HOUR].map(Window::minute));
}
