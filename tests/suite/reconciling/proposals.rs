//! A partner that proposes wrongly gets nothing signed.

use serde_json::{Value, json};
use tongban::ledger::LedgerKey;
use tongban::reconcile::{Proposal, Statement, Window, root};

use super::{Comparing, region};
use crate::support::*;

const ORIGIN: &str = "tongban/331083/2030h1";

struct Proposing {
    world: World,
    key: LedgerKey,
}

impl Proposing {
    /// 玉环 by hand, with a ledger key that stands on its card.
    async fn start() -> Self {
        let world = World::start().await;
        let key = LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap();
        let mut card = world.asking.card("https://127.0.0.1:9");
        card["ledger"] = json!({"origin": ORIGIN, "vkey": key.vkey(ORIGIN).unwrap().to_string()});
        world.xianan.trust_card(&card);
        world.xianan.reload().await;
        Self { world, key }
    }

    fn settled(&self) -> Window {
        let to = self.world.now() - self.world.now() % 60 - 600;
        Window { from: to - 60, to }
    }

    /// The empty window, proposed as it should be.
    fn body(&self, window: Window) -> Value {
        let statement = Statement::of(region(YUHUAN), region(XIANAN), window, 0, root(&[]));
        let note = self.key.sign_note(&statement.text(), ORIGIN).unwrap();
        Proposal::body(window, 0, &root(&[]), &note, &[], None)
    }

    async fn ask(&self, body: Value) -> Verdict {
        let ping = self.world.ping();
        self.world.ask(ping.with("/op", "ledger.reconcile").with("/body", body).text()).await
    }
}

#[tokio::test]
async fn a_true_proposal_is_countersigned_and_needs_no_agreement() {
    let proposing = Proposing::start().await;
    let verdict = proposing.ask(proposing.body(proposing.settled())).await;
    assert_eq!(verdict.word(), "ok");
    // The same once more, in a message of its own: the same signature, and one leaf.
    proposing.ask(proposing.body(proposing.settled())).await;
    let leaves = proposing.world.xianan.leaves().await;
    assert_eq!(leaves.iter().filter(|leaf| leaf["t"] == "recon").count(), 1);
}

#[tokio::test]
async fn what_is_not_signed_not_settled_or_no_window_is_refused_and_told_where() {
    let proposing = Proposing::start().await;
    let settled = proposing.settled();
    let good = proposing.body(settled);
    let bent = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let note = |text: String, key: &LedgerKey| b64(key.sign_note(&text, ORIGIN).unwrap()).into();
    let statement = Statement::of(region(YUHUAN), region(XIANAN), settled, 0, root(&[]));
    let stranger = LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap();
    let late = Window { from: settled.from + 60, to: settled.to + 60 };
    let old = Window { from: settled.from - 35 * 86_400, to: settled.to - 35 * 86_400 };
    let mut extra = good.clone();
    extra["hint"] = 1.into();
    for (what, body, pointer) in [
        ("unsettled", proposing.body(late), "/body/window/to"),
        ("too old", proposing.body(old), "/body/window/from"),
        ("too long", proposing.body(Window { from: settled.to - 3_660, ..settled }), "/body/window/to"),
        (
            "no minutes",
            proposing.body(Window { from: settled.from + 1, to: settled.to + 1 }),
            "/body/window/from",
        ),
        ("another count", bent("/count", 1.into()), "/body/note"),
        ("another root", bent("/root", b64([7; 32]).into()), "/body/note"),
        ("a stranger's signature", bent("/note", note(statement.text(), &stranger)), "/body/note"),
        ("no note", bent("/note", "AAAA".into()), "/body/note"),
        ("something more", extra, "/body/hint"),
    ] {
        let verdict = proposing.ask(body).await;
        assert_eq!(verdict.code(), "schema-violation", "{what}");
        assert!(verdict.pointers().contains(&pointer), "{what}: {:?}", verdict.pointers());
    }
    // A card without a ledger key: nothing can be believed.
    proposing.world.xianan.trust_card(&proposing.world.asking.card("https://127.0.0.1:9"));
    proposing.world.xianan.reload().await;
    let verdict = proposing.ask(good).await;
    assert_eq!((verdict.code(), verdict.pointers()), ("schema-violation", vec!["/body/note"]));
    let leaves = proposing.world.xianan.leaves().await;
    assert!(leaves.iter().all(|leaf| leaf["t"] != "recon"));
}

#[tokio::test]
async fn a_root_that_is_not_ours_gets_our_items_and_no_signature() {
    let pair = Comparing::start().await;
    pair.exchange().await;
    pair.wait(super::TO_THE_HOUR);
    // Nothing was exchanged, says 玉环's gateway with its true key.
    let house = &pair.world.yuhuan.running().house;
    let window = Window { from: NOW - NOW % 60, to: NOW - NOW % 60 + 240 };
    let statement = Statement::of(region(YUHUAN), region(XIANAN), window, 0, root(&[]));
    let note = house.ledger.sign_reconciliation(statement.text()).await.unwrap();
    let body = Proposal::body(window, 0, &root(&[]), &note, &[], None);
    let message = pair.world.ping().with("/op", "ledger.reconcile").with("/body", body);
    let verdict = pair.world.ask(message.text()).await;
    assert_eq!(verdict.outcome["items"].as_array().unwrap().len(), 3, "{}", verdict.outcome);
    assert!(verdict.outcome.get("note").is_none());
    // No other text is ever signed with the ledger key.
    assert_eq!(house.ledger.sign_reconciliation("tongban/331083/2030h1\n1\nAAAA\n".into()).await, None);
}
