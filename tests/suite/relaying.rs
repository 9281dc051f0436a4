//! A parcel is on its way until its receipt is stored: what leaves, what is kept, what ends it
//! (protocol §6.3).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tongban::casebook::{Page, ParcelRow, ParcelState, Write};
use tongban::clock::Now;
use tongban::keys::Algorithm;
use tongban::relay;

use crate::support::*;

/// 玉环's gateway with a parcel for 咸安, which answers what the test says.
struct Relaying {
    world: World,
    partner: Answerer,
    heard: Arc<Mutex<Vec<Heard>>>,
}

const DIGEST: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

fn parcel(id: &str, seq: u64) -> ParcelRow {
    let business = json!({"item": DUTY_ITEM, "case": CASE, "basis": "statutory_duty", "purpose": "新生儿户口登记",
        "operator": "YH0123", "agreement": AGREEMENT});
    ParcelRow {
        id: id.into(),
        partner: XIANAN.into(),
        line: CASE.into(),
        seq,
        op: "application.event".into(),
        digest: DIGEST.into(),
        business: business.as_object().unwrap().clone(),
        body: json!({"seq": seq}),
        state: ParcelState::Waiting,
        reason: None,
        sent: None,
        attempts: 0,
        not_before: 0,
        made: NOW * 1000,
        ended: None,
        receipt: None,
    }
}

fn receipt(heard: &Heard) -> Value {
    json!({"case": CASE, "seq": heard.claims["body"]["seq"], "digest": DIGEST, "state": "RECEIVED"})
}

impl Relaying {
    async fn start() -> Self {
        let world = World::plan().asking().start().await;
        let partner = Answerer::open(&world.answering).await;
        world.yuhuan.trust_card(&world.answering.card(&partner.endpoint()));
        world.yuhuan.reload().await;
        Self { world, partner, heard: Arc::default() }
    }

    /// The answers, one after the other; the last one again and again.
    fn says(&self, answers: Vec<fn(&Heard, &Member) -> Vec<u8>>) {
        let (member, heard) = (self.world.answering.clone(), Arc::clone(&self.heard));
        self.partner.says(move |request| {
            let mut heard = heard.lock().unwrap();
            let answer = answers.get(heard.len()).or(answers.last()).unwrap();
            let bytes = answer(&request, &member);
            heard.push(request);
            bytes
        });
    }

    async fn put(&self, row: ParcelRow) {
        self.casebook().write(vec![Write::Parcel(row)]).await.unwrap();
    }

    fn casebook(&self) -> &tongban::casebook::Casebook {
        &self.world.yuhuan.running().house.casebook
    }

    /// The row once it is in this state.
    async fn row(&self, id: &str, state: ParcelState) -> ParcelRow {
        let mut changes = self.casebook().changes();
        let there = async {
            loop {
                let row = self.casebook().get::<ParcelRow>(id).await.unwrap().unwrap();
                if row.state == state {
                    return row;
                }
                assert!(changes.next().await);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), there).await.expect("the parcel comes to its end")
    }

    fn jtis(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|heard| heard.claims["jti"].as_str().unwrap().to_owned()).collect()
    }

    /// `t/code` of the leaves of these exchanges.
    async fn leaves(&self) -> Vec<String> {
        let jtis = self.jtis();
        let leaves = self.world.yuhuan.leaves().await;
        let ours = leaves.iter().filter(|leaf| jtis.iter().any(|jti| leaf["x"] == *jti));
        ours.map(|leaf| format!("{}/{}", leaf["t"].as_str().unwrap(), leaf["code"].as_str().unwrap_or("-")))
            .collect()
    }

    /// Waits until so many attempts have been counted as this.
    async fn counts(&self, outcome: &str, attempts: f64) {
        let name = format!("tongban_deliveries_total{{partner=\"421202\",outcome=\"{outcome}\"}}");
        let counted = async {
            while (self.world.yuhuan.metric(&name).await - attempts).abs() > 0.1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), counted).await.expect(outcome);
    }

    async fn notices(&self) -> Vec<(String, Value)> {
        let notices = self.casebook().notices(Page { after: 0, most: 10 }).await.unwrap();
        notices.into_iter().map(|listed| (listed.row.kind, listed.row.body)).collect()
    }
}

fn accepted(heard: &Heard, member: &Member) -> Vec<u8> {
    http(200, RESPONSE_TYPE, answer_to(heard, member, NOW, &receipt(heard)).bytes())
}

fn cut(_: &Heard, _: &Member) -> Vec<u8> {
    Vec::new()
}

fn refused(heard: &Heard, member: &Member, code: &str, status: u16, retry: &str) -> Vec<u8> {
    let problem = json!({"type": format!("urn:tongban:problem:{code}"), "title": "no", "title_zh": "否",
        "status": status, "code": code, "detail": "no", "retry": retry, "trace": "0123456789abcdef0123456789abcdef"});
    let answer = answer_to(heard, member, NOW, &json!({})).without("/result").bent(|claims| {
        claims["status"] = status.into();
        claims["problem"] = problem;
    });
    http(status, RESPONSE_TYPE, answer.bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parcel_is_delivered_when_its_receipt_is_stored_with_the_leaf() {
    let relaying = Relaying::start().await;
    relaying.says(vec![accepted]);
    relaying.put(parcel("P1", 1)).await;
    let row = relaying.row("P1", ParcelState::Delivered).await;
    let heard = relaying.heard.lock().unwrap()[0].clone();
    assert_eq!(heard.claims["body"], json!({"seq": 1}));
    assert_eq!((&heard.claims["iat"], &heard.claims["exp"]), (&json!(NOW), &json!(NOW + 24 * 3600)));
    for name in ["item", "case", "basis", "purpose", "operator", "agreement"] {
        assert_eq!(heard.claims[name], row.business[name], "{name}");
    }
    let stored = row.receipt.unwrap();
    assert_eq!(stored.split('.').count(), 3, "the partner's signed response, as it came");
    assert_eq!((row.sent, row.ended, row.reason), (None, Some(NOW * 1000), None));
    assert_eq!(relaying.leaves().await, ["out.sent/-", "out.done/-"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_brings_the_same_bytes_again() {
    let relaying = Relaying::start().await;
    relaying.says(vec![cut, cut, accepted]);
    relaying.put(parcel("P1", 1)).await;
    let row = relaying.row("P1", ParcelState::Delivered).await;
    let bodies: Vec<Vec<u8>> =
        relaying.heard.lock().unwrap().iter().map(|heard| heard.body.clone()).collect();
    assert_eq!((bodies.len(), row.attempts), (3, 3));
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    let failed = "out.failed/partner-unreachable";
    assert_eq!(
        relaying.leaves().await,
        ["out.sent/-", failed, "out.sent/-", failed, "out.sent/-", "out.done/-"]
    );
}

/// A first answer that is no receipt, and how the ledger calls it.
type NoReceipt = (fn(&Heard, &Member) -> Vec<u8>, &'static str);

fn no_receipts() -> [NoReceipt; 4] {
    [
        (|heard, member| refused(heard, member, "message-expired", 401, "yes"), "out.done/message-expired"),
        (|heard, member| refused(heard, member, "sequence-gap", 409, "no"), "out.done/sequence-gap"),
        // A receipt of something else.
        (
            |heard, member| {
                let mut other = receipt(heard);
                other["seq"] = 9.into();
                http(200, RESPONSE_TYPE, answer_to(heard, member, NOW, &other).bytes())
            },
            "out.failed/partner-answer-invalid",
        ),
        // Nobody's signature.
        (
            |heard, member| {
                let stranger = new_key(Algorithm::Es256);
                let forged = answer_to(heard, member, NOW, &receipt(heard)).signed_by(&stranger);
                http(200, RESPONSE_TYPE, forged.bytes())
            },
            "out.failed/partner-answer-invalid",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_answer_that_is_no_receipt_the_message_is_signed_anew() {
    let relaying = Relaying::start().await;
    let (member, heard) = (relaying.world.answering.clone(), Arc::clone(&relaying.heard));
    relaying.partner.says(move |request| {
        let mut heard = heard.lock().unwrap();
        let seq = &request.claims["body"]["seq"];
        let again = heard.iter().any(|other| other.claims["body"]["seq"] == *seq);
        let at = usize::try_from(seq.as_u64().unwrap()).unwrap() - 1;
        let bytes = if again { accepted(&request, &member) } else { no_receipts()[at].0(&request, &member) };
        heard.push(request);
        bytes
    });
    for (seq, _) in (1..).zip(no_receipts()) {
        relaying.put(ParcelRow { line: format!("V{seq}"), ..parcel(&format!("P{seq}"), seq) }).await;
    }
    for (seq, (_, end)) in (1..).zip(no_receipts()) {
        relaying.row(&format!("P{seq}"), ParcelState::Delivered).await;
        let heard: Vec<Heard> = {
            let heard = relaying.heard.lock().unwrap();
            heard.iter().filter(|heard| heard.claims["body"]["seq"] == seq).cloned().collect()
        };
        let [first, second] = &heard[..] else { panic!("two attempts") };
        assert_ne!(first.claims["jti"], second.claims["jti"], "{end}");
        let leaves = relaying.world.yuhuan.leaves().await;
        let last = leaves.iter().rfind(|leaf| leaf["x"] == first.claims["jti"]).unwrap();
        assert_eq!(format!("{}/{}", last["t"].as_str().unwrap(), last["code"].as_str().unwrap()), end);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_refusal_ends_a_parcel_visibly_and_a_person_may_send_it_again() {
    let relaying = Relaying::start().await;
    relaying.says(vec![|heard, member| refused(heard, member, "illegal-transition", 409, "no"), accepted]);
    relaying.put(parcel("P1", 1)).await;
    relaying.put(parcel("P2", 2)).await;
    let refused = relaying.row("P1", ParcelState::Refused).await;
    assert_eq!(refused.reason.as_deref(), Some("illegal-transition"));
    assert!(refused.receipt.is_some(), "the signed refusal is kept");
    relaying.row("P2", ParcelState::Delivered).await;
    let [(kind, body)] = &relaying.notices().await[..] else { panic!("one notice") };
    assert_eq!(
        (kind.as_str(), &body["parcel"], &body["reason"]),
        ("parcel.ended", &json!("P1"), &json!("illegal-transition"))
    );

    let now = Now::from_secs(NOW + 60);
    assert_eq!(relay::redrive(relaying.casebook(), "P2", now).await, Err(relay::RedriveFault::NotEnded));
    assert_eq!(relay::redrive(relaying.casebook(), "P9", now).await, Err(relay::RedriveFault::Unknown));
    relaying.world.clock.advance(60_000);
    relay::redrive(relaying.casebook(), "P1", now).await.unwrap();
    relaying.row("P1", ParcelState::Delivered).await;
    let jtis = relaying.jtis();
    assert!(jtis.len() == 3 && jtis[0] != jtis[2], "with a message of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_is_away_costs_delay_and_its_backlog_is_counted() {
    let relaying = Relaying::start().await;
    relaying.says(vec![cut, cut, cut, cut, cut, cut, accepted]);
    for n in 1..=8 {
        relaying.put(ParcelRow { line: format!("V{n}"), ..parcel(&format!("P{n}"), n) }).await;
    }
    for n in 1..=8 {
        relaying.row(&format!("P{n}"), ParcelState::Delivered).await;
    }
    // Counted right after the row says so.
    relaying.counts("delivered", 8.0).await;
    relaying.counts("unreachable", 6.0).await;
    assert!(relaying.world.yuhuan.metric("tongban_partner_breaker{partner=\"421202\"}").await.abs() < 0.1);
}
