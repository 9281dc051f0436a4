//! A partner that answers a comparison wrongly decides nothing: the window stays undecided and
//! is asked for again.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tongban::gateway::reconciling::round;
use tongban::ledger::{LedgerKey, note::Note};
use tongban::reconcile::{Item, Outcome, State};

use super::{TO_THE_HOUR, differences, region, windows};
use crate::support::*;

/// 玉环's gateway, and a 咸安 that says what the test says.
struct Scripted {
    world: World,
    partner: Answerer,
    key: Arc<LedgerKey>,
    heard: Arc<Mutex<Vec<Value>>>,
}

const ORIGIN: &str = "tongban/421202/2030h1";

fn bytes(text: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// Both signatures under what was proposed.
fn countersigned(key: &LedgerKey, proposal: &Value) -> Value {
    let first = bytes(&proposal["note"]);
    let text = Note::parse(&first).unwrap().text().to_owned();
    let second = key.sign_note(&text, ORIGIN).unwrap();
    let both = tongban::reconcile::joined(&first, &second).unwrap();
    json!({"note": b64(both)})
}

fn items(all: &[Item], more: bool) -> Value {
    json!({"items": all.iter().map(|item| item.to_text()).collect::<Vec<_>>(), "more": more})
}

fn item(n: u8) -> Item {
    Item { x: [n; 16], rq: [n; 32], rd: [n; 32], outcome: Outcome::Done }
}

impl Scripted {
    async fn start() -> Self {
        let world = World::plan().asking().start().await;
        let partner = Answerer::open(&world.answering).await;
        let key = Arc::new(LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap());
        let mut card = world.answering.card(&partner.endpoint());
        card["ledger"] = json!({"origin": ORIGIN, "vkey": key.vkey(ORIGIN).unwrap().to_string()});
        world.yuhuan.trust_card(&card);
        world.yuhuan.reload().await;
        let scripted = Self { world, partner, key, heard: Arc::default() };
        scripted.round().await.unwrap();
        scripted.world.clock.advance(TO_THE_HOUR * 1000);
        scripted
    }

    /// Every answer in its turn; the last one again and again.
    fn says(&self, results: impl Fn(&LedgerKey, &Value, usize) -> Value + Send + 'static) {
        let (member, key, heard) = (self.world.answering.clone(), self.key.clone(), self.heard.clone());
        let clock = self.world.clock.clone();
        heard.lock().unwrap().clear();
        self.partner.says(move |request| {
            let mut heard = heard.lock().unwrap();
            let proposal = request.claims["body"].clone();
            let result = results(&key, &proposal, heard.len());
            heard.push(proposal);
            http(200, RESPONSE_TYPE, answer_to(&request, &member, clock.now().secs(), &result).text())
        });
    }

    async fn round(&self) -> Result<(), String> {
        let house = &self.world.yuhuan.running().house;
        round(house, region(XIANAN)).await.map(drop).map_err(|fault| fault.to_string())
    }
}

#[tokio::test]
async fn a_wrong_answer_decides_nothing_and_the_true_one_does() {
    let scripted = Scripted::start().await;
    type Says = fn(&LedgerKey, &Value, usize) -> Value;
    let wrong: [(&str, Says); 10] = [
        ("our own note alone", |_, proposal, _| json!({"note": proposal["note"]})),
        ("signed by a key that is on no card", |_, proposal, _| {
            let stranger = LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap();
            countersigned(&stranger, proposal)
        }),
        ("another text", |key, _, _| {
            let text =
                "exchange-recon/v1\n331083 421202\n0 60\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
            json!({"note": b64(key.sign_note(text, ORIGIN).unwrap())})
        }),
        ("without our signature", |key, proposal, _| {
            let text = Note::parse(&bytes(&proposal["note"])).unwrap().text().to_owned();
            json!({"note": b64(key.sign_note(&text, ORIGIN).unwrap())})
        }),
        ("no note", |_, _, _| json!({"note": "AAAA"})),
        ("the same items and no signature", |_, _, _| items(&[], false)),
        ("out of order", |_, _, _| items(&[item(2), item(1)], false)),
        ("an endless list", |_, _, _| items(&[item(1)], true)),
        ("a list that has no end and no items", |_, _, _| items(&[], true)),
        ("a note on the second page", |key, proposal, n| {
            if n == 0 { items(&[item(1)], true) } else { countersigned(key, proposal) }
        }),
    ];
    for (what, says) in wrong {
        scripted.says(says);
        assert!(scripted.round().await.is_err(), "{what}");
        assert!(windows(&scripted.world.yuhuan, XIANAN).is_empty(), "{what}");
    }
    for (what, result) in [
        ("neither", json!({})),
        ("both", json!({"note": "AAAA", "items": [], "more": false})),
        ("something else", json!({"note": "AAAA", "hint": 1})),
    ] {
        scripted.says(move |_, _, _| result.clone());
        assert!(scripted.round().await.is_err(), "{what}");
    }
    scripted.says(|key, proposal, _| countersigned(key, proposal));
    scripted.round().await.unwrap();
    let [row] = &windows(&scripted.world.yuhuan, XIANAN)[..] else { panic!() };
    assert_eq!(row.state, State::Agreed);
}

#[tokio::test]
async fn a_list_in_pages_is_read_to_its_end_and_what_is_made_up_is_named() {
    let scripted = Scripted::start().await;
    scripted.says(|_, proposal, _| match proposal.get("after") {
        None => items(&[item(1), item(2)], true),
        Some(_) => items(&[item(3)], false),
    });
    scripted.round().await.unwrap();
    let heard = scripted.heard.lock().unwrap().clone();
    assert_eq!((heard.len(), &heard[1]["after"]), (2, &item(2).to_text().into()));
    assert_eq!(heard[0]["window"], heard[1]["window"]);
    let rows = differences(&scripted.world.yuhuan);
    assert!(rows.len() == 3 && rows.iter().all(|row| row.kind == "forged"), "{rows:?}");
}

#[tokio::test]
async fn a_partner_that_knows_no_comparing_is_asked_again_later() {
    let scripted = Scripted::start().await;
    let (member, now) = (scripted.world.answering.clone(), scripted.world.now());
    scripted.partner.says(move |request| {
        let problem = json!({"type": "urn:tongban:problem:unknown-op", "title": "Unknown operation", "title_zh": "未知操作",
            "status": 422, "code": "unknown-op", "detail": "x", "retry": "no", "trace": "t"});
        let answer = answer_to(&request, &member, now, &json!({})).without("/result").with("/status", 422);
        http(422, RESPONSE_TYPE, answer.with("/problem", problem).text())
    });
    let fault = scripted.round().await.unwrap_err();
    assert!(fault.contains("unknown-op"), "{fault}");
    scripted.says(|key, proposal, _| countersigned(key, proposal));
    scripted.round().await.unwrap();
    let [row] = &windows(&scripted.world.yuhuan, XIANAN)[..] else { panic!() };
    assert_eq!(row.state, State::Agreed);
}
