//! What somebody with the disk in hand does to one ledger is named by the other side, with the
//! proof that stands behind it; what was lost on the way is told apart.

use serde_json::Value;
use tongban::ledger::{Leaf, LeafHash, LeafKind, Promise};
use tongban::reconcile::State;

use super::{Comparing, TO_THE_HOUR, data, differences, windows};
use crate::process::run;
use crate::support::*;

/// Changes the stored leaves of a running gateway, as whoever owns the disk can.
fn change(gateway: &Gateway, sql: &str) {
    let month = rusqlite::Connection::open(gateway.ledger_file()).unwrap();
    assert!(month.execute(sql, []).unwrap() > 0, "{sql}");
}

fn drop_leaf(gateway: &Gateway, kind: &str, x: &str) {
    change(gateway, &format!("DELETE FROM leaf WHERE exchange='{x}' AND kind='{kind}'"));
}

/// Says another result.
fn alter_leaf(gateway: &Gateway, kind: &str, x: &str) {
    let month = rusqlite::Connection::open(gateway.ledger_file()).unwrap();
    let old: String = month
        .query_row("SELECT CAST(leaf AS TEXT) FROM leaf WHERE exchange=? AND kind=?", [x, kind], |row| {
            row.get(0)
        })
        .unwrap();
    let mut leaf: Value = serde_json::from_str(&old).unwrap();
    leaf["rd"] = b64([7; 32]).into();
    let text = String::from_utf8(tongban::json::jcs(&leaf)).unwrap();
    let done =
        month.execute("UPDATE leaf SET leaf=? WHERE exchange=? AND kind=?", rusqlite::params![text, x, kind]);
    assert_eq!(done.unwrap(), 1);
}

/// Writes what never happened into a ledger.
async fn make_up(gateway: &Gateway, peer: &str, kind: LeafKind, x: &str) {
    let hash = |n: u8| Some(LeafHash([n; 32]));
    let leaf = Leaf {
        x: Some(x.into()),
        peer: Some(peer.into()),
        op: Some("ping".into()),
        iat: Some(NOW),
        rq: hash(1),
        rd: (kind != LeafKind::OutSent).then_some(LeafHash([2; 32])),
        status: (kind != LeafKind::OutSent).then_some(200),
        pl: (kind == LeafKind::OutDone).then(|| Promise {
            index: 1,
            leaf: LeafHash([3; 32]),
            origin: format!("tongban/{peer}/2030h1"),
        }),
        ..Leaf::new(kind)
    };
    gateway.running().house.ledger.record(leaf.into()).await.unwrap();
}

const MADE_UP: &str = "made-up-exchange-of-the-test";

/// Compares what was tampered with: the class and the proof that 玉环 gives, and 咸安.
async fn both_tell(pair: &Comparing) -> [(String, String); 2] {
    for gateway in [&pair.world.xianan, &pair.world.yuhuan] {
        assert!(gateway.running().house.ledger.flush().await);
    }
    pair.wait(TO_THE_HOUR);
    pair.yuhuan().await;
    // Nothing is asked back at once; the other side looks into it after its minute.
    pair.xianan().await;
    assert_eq!(windows(&pair.world.xianan, YUHUAN)[0].state, State::Open);
    pair.wait(61);
    pair.xianan().await;
    pair.wait(61);
    pair.yuhuan().await;
    pair.xianan().await;
    for (gateway, peer) in [(&pair.world.xianan, YUHUAN), (&pair.world.yuhuan, XIANAN)] {
        let [row] = &windows(gateway, peer)[..] else { panic!() };
        assert_eq!(row.state, State::Differs);
        // Counted in the file: where a leaf is gone, no walk comes past it.
        let month = rusqlite::Connection::open(gateway.ledger_file()).unwrap();
        let count = "SELECT count(*) FROM leaf WHERE kind='recon'";
        let looks: i64 = month.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(looks, 1, "each has looked once");
    }
    [&pair.world.yuhuan, &pair.world.xianan].map(|gateway| {
        let [row] = &differences(gateway)[..] else { panic!("{:?}", differences(gateway)) };
        (row.kind.to_owned(), row.proof["by"].as_str().unwrap().to_owned())
    })
}

fn told(class: &str, by: &str) -> (String, String) {
    (class.to_owned(), by.to_owned())
}

#[tokio::test]
async fn an_answer_taken_out_of_the_answering_ledger_is_proven_by_the_askers() {
    let pair = Comparing::start().await;
    let [x, ..] = pair.exchange().await;
    let leaf =
        pair.world.yuhuan.leaves().await.into_iter().find(|l| l["x"] == x && l["t"] == "out.done").unwrap();
    // Read once, and gone now.
    pair.xianan().await;
    drop_leaf(&pair.world.xianan, "in", &x);
    let classes = both_tell(&pair).await;
    assert_eq!(classes, [told("peer-lacks", "partner-answer"), told("i-lack", "own-tree")]);
    // The promise, the leaf whose evidence holds the signed answer, and the signed list without it.
    let row = &differences(&pair.world.yuhuan)[0];
    assert_eq!((&row.proof["promise"], &row.proof["exchange"]), (&leaf["pl"], &x.clone().into()));
    assert_eq!((&row.proof["unchanged"], &row.proof["asked_by"]), (&true.into(), &YUHUAN.into()));
    let book = rusqlite::Connection::open(data(&pair.world.yuhuan).join("reconcile.db")).unwrap();
    let jws: String = book.query_row("SELECT jws FROM statement", [], |row| row.get(0)).unwrap();
    let said = open(jws.as_bytes(), &pair.world.answering.signing, "tongban-response+jwt");
    assert_eq!(said["result"]["items"].as_array().unwrap().len(), 2, "{said}");
    // Whoever asks at the command line sees it, in words and as JSON.
    let dir = data(&pair.world.yuhuan);
    let told = run(&["audit", "reconcile", "--dir", dir.to_str().unwrap()]).ended(2).out;
    for words in [x.as_str(), "漏记或删除", "not logged, or deleted", "promises tongban/421202/2030h1#"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    let json = run(&["audit", "reconcile", "--json", "--peer", XIANAN, "--dir", dir.to_str().unwrap()])
        .ended(2)
        .json();
    assert_eq!((&json["sound"], &json["days"][0]["disputed"]), (&false.into(), &1.into()), "{json}");
    assert_eq!(json["days"][0]["differences"][0]["kind"], "peer-lacks");
    let other = run(&["audit", "reconcile", "--peer", BINHAI, "--dir", dir.to_str().unwrap()]).ended(0).out;
    assert!(other.contains("尚无对账记录"), "{other}");
}

#[tokio::test]
async fn a_request_taken_out_of_the_asking_ledger_is_proven_by_the_answerers() {
    let pair = Comparing::start().await;
    let [x, ..] = pair.exchange().await;
    // Read once, and gone now.
    pair.yuhuan().await;
    drop_leaf(&pair.world.yuhuan, "out.done", &x);
    drop_leaf(&pair.world.yuhuan, "out.sent", &x);
    assert_eq!(both_tell(&pair).await, [told("i-lack", "own-tree"), told("peer-lacks", "partner-request")]);
}

#[tokio::test]
async fn a_result_changed_in_either_ledger_is_told_by_both() {
    for changed in ["answering", "asking"] {
        let pair = Comparing::start().await;
        let [x, ..] = pair.exchange().await;
        let (gateway, kind) = match changed {
            "answering" => (&pair.world.xianan, "in"),
            _ => (&pair.world.yuhuan, "out.done"),
        };
        pair.yuhuan().await;
        pair.xianan().await;
        alter_leaf(gateway, kind, &x);
        let classes = both_tell(&pair).await;
        assert_eq!(
            classes,
            [told("hash-mismatch", "partner-answer"), told("hash-mismatch", "partner-request")]
        );
        // Each knows from its own signed tree whose leaf it was.
        let unchanged = |gateway: &Gateway| differences(gateway)[0].proof["unchanged"].clone();
        assert_eq!(unchanged(&pair.world.yuhuan), changed == "answering");
        assert_eq!(unchanged(&pair.world.xianan), changed == "asking");
    }
}

#[tokio::test]
async fn an_exchange_made_up_by_either_side_is_told_by_the_other_as_forged() {
    for (by_answering, kind) in [(true, LeafKind::In), (true, LeafKind::OutDone), (false, LeafKind::OutDone)]
    {
        let pair = Comparing::start().await;
        pair.exchange().await;
        let (xianan, yuhuan) = (&pair.world.xianan, &pair.world.yuhuan);
        let (liar, peer) = if by_answering { (xianan, YUHUAN) } else { (yuhuan, XIANAN) };
        make_up(liar, peer, kind, MADE_UP).await;
        let [at_yuhuan, at_xianan] = both_tell(&pair).await;
        let honest = if by_answering { at_yuhuan } else { at_xianan };
        assert_eq!(honest, told("forged", "partner-statement"), "{kind:?}");
    }
}

#[tokio::test]
async fn answers_lost_on_the_way_are_settled_and_signed() {
    let pair = Comparing::start().await;
    pair.exchange().await;
    let (xianan, yuhuan) = (&pair.world.xianan, &pair.world.yuhuan);
    for (asks, answers, at, from, x) in [
        (yuhuan, xianan, XIANAN, YUHUAN, "lost-between-the-two-number-1"),
        (xianan, yuhuan, YUHUAN, XIANAN, "lost-between-the-two-number-2"),
    ] {
        make_up(asks, at, LeafKind::OutSent, x).await;
        make_up(answers, from, LeafKind::In, x).await;
    }
    // Sent, and never arrived: nobody has it.
    make_up(yuhuan, XIANAN, LeafKind::OutSent, "lost-before-it-came-number-3").await;
    pair.wait(TO_THE_HOUR);
    pair.yuhuan().await;
    for (gateway, peer) in [(yuhuan, XIANAN), (xianan, YUHUAN)] {
        let [row] = &windows(gateway, peer)[..] else { panic!() };
        assert_eq!((row.state, row.count, row.note.is_some()), (State::Agreed, 5, true));
        assert!(differences(gateway).is_empty());
    }
}
