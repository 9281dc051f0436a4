//! What the collecting side does is a proposal until the handling side's receipt (protocol
//! §6.3): set behind what came first, judged again, applied once, or visibly refused.

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::*;

/// 玉环's gateway; the test is 咸安: it answers what is sent and sends events of its own.
struct Handling {
    world: World,
    heard: UnboundedReceiver<(Heard, tokio::sync::oneshot::Sender<Vec<u8>>)>,
    door: Line,
    case: String,
    /// Bodies of the chain as 咸安 has it.
    chain: Vec<Value>,
}

impl Handling {
    /// A case of 玉环's window that 咸安 has received.
    async fn received() -> Self {
        let world = WorldPlan::of_cases().asking().start().await;
        let (addr, mut heard) = Answerer::by_hand(&world.answering).await;
        world.yuhuan.trust_card(&world.answering.card(&format!("https://{addr}")));
        world.yuhuan.reload().await;
        let door = dial(world.yuhuan.door(), Some(&world.answering), Http::Two).await.unwrap();
        let told = world.window().post("/local/v1/applications", &world.local_submit()).await;
        assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
        let case = told.json()["case"].as_str().unwrap().to_owned();
        let (submit, reply) = heard.recv().await.unwrap();
        let body = submit.claims["body"].clone();
        let receipt = json!({"case": case, "seq": 0, "digest": digest_of(&body), "state": "RECEIVED",
                             "received_at": NOW, "awaiting": []});
        reply.send(accepted(&world, &submit, 202, &receipt)).unwrap();
        world.window().case_until(&case, |view| view["state"] == "RECEIVED").await;
        Self { world, heard, door, case, chain: vec![body] }
    }

    fn last(&self) -> (u64, String) {
        (self.chain.len() as u64 - 1, digest_of(self.chain.last().unwrap()))
    }

    /// 咸安's own event arrives at 玉环.
    async fn sends(&mut self, event: &str, data: Value) -> Verdict {
        let (seq, prev) = self.last();
        let body = json!({"seq": seq + 1, "prev": prev, "event": event, "at": self.world.now(),
                          "by": {"org": OFFICE, "officer": "XA0456"}, "data": data});
        let message = self
            .world
            .about(&self.case, "application.event", body.clone())
            .with("/iss", self.world.answering.urn())
            .with("/aud", self.world.asking.urn())
            .signed_by(&self.world.answering.signing)
            .bytes();
        let told = self.door.exchange(message.clone()).await;
        let verdict = Verdict::read(
            told,
            &Due {
                key: &self.world.asking.signing,
                iss: &self.world.asking.urn(),
                aud: &self.world.answering.urn(),
                now: self.world.now(),
                request: &message,
            },
        );
        if verdict.status == 200 {
            self.chain.push(body);
        }
        verdict
    }

    /// The next message that 玉环 sends.
    async fn hears(&mut self) -> (Heard, tokio::sync::oneshot::Sender<Vec<u8>>) {
        let patience = std::time::Duration::from_secs(40);
        tokio::time::timeout(patience, self.heard.recv()).await.expect("a message comes").unwrap()
    }

    /// Takes a proposal into the chain and gives its receipt.
    fn takes(&mut self, heard: &Heard, reply: tokio::sync::oneshot::Sender<Vec<u8>>, state: &str) {
        let body = heard.claims["body"].clone();
        let (seq, prev) = self.last();
        assert_eq!((&body["seq"], &body["prev"]), (&json!(seq + 1), &json!(prev)), "behind the last event");
        let receipt = json!({"case": self.case, "seq": seq + 1, "digest": digest_of(&body), "state": state});
        self.chain.push(body);
        reply.send(accepted(&self.world, heard, 200, &receipt)).unwrap();
    }

    fn gap(&self, heard: &Heard, reply: tokio::sync::oneshot::Sender<Vec<u8>>) {
        reply.send(refused(&self.world, heard, "sequence-gap", 409)).unwrap();
    }

    async fn window_proposes(&self, event: &str, data: Value) -> Value {
        self.world.window_does(&self.case, event, data).await
    }

    async fn view(&self, so: impl Fn(&Value) -> bool) -> Value {
        self.world.window().case_until(&self.case, so).await
    }
}

fn accepted(world: &World, heard: &Heard, status: u16, result: &Value) -> Vec<u8> {
    let answer = answer_to(heard, &world.answering, world.now(), result).with("/status", status);
    http(status, RESPONSE_TYPE, answer.bytes())
}

fn refused(world: &World, heard: &Heard, code: &str, status: u16) -> Vec<u8> {
    let problem = json!({"type": format!("urn:tongban:problem:{code}"), "title": "no", "title_zh": "否",
        "status": status, "code": code, "detail": "no", "retry": "no", "trace": "0123456789abcdef0123456789abcdef"});
    let answer =
        answer_to(heard, &world.answering, world.now(), &json!({})).without("/result").bent(|claims| {
            claims["status"] = status.into();
            claims["problem"] = problem;
        });
    http(status, RESPONSE_TYPE, answer.bytes())
}

fn names(view: &Value) -> Vec<String> {
    let events = view["events"].as_array().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

fn supplement_wanted() -> Value {
    json!({"notice_no": "补1", "items": [{"material": "M2", "reason": "不清"}], "due": "2030-03-25"})
}

fn accept() -> Value {
    json!({"doc_no": "受1", "project_type": "2", "promise_date": "2030-03-25"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_crosses_an_event_is_set_behind_it_and_applied() {
    let mut handling = Handling::received().await;
    let proposed = handling.window_proposes("withdraw", json!({})).await;
    assert_eq!((&proposed["state"], &proposed["transport"]), (&json!("RECEIVED"), &json!("waiting")));
    let (first, reply) = handling.hears().await;
    assert_eq!(first.claims["body"]["seq"], 1);
    // 咸安 was first: its notice is on its way while the withdrawal arrives there.
    handling.gap(&first, reply);
    assert_eq!(handling.sends("need_supplement", supplement_wanted()).await.status, 200);
    let (second, reply) = handling.hears().await;
    assert_ne!(second.claims["jti"], first.claims["jti"], "signed anew");
    handling.takes(&second, reply, "WITHDRAWN");
    let view = handling.view(|view| view["state"] == "WITHDRAWN").await;
    assert_eq!(names(&view), ["submit", "need_supplement", "withdraw"]);
    let digests: Vec<String> = handling.chain.iter().map(digest_of).collect();
    let told: Vec<&str> =
        view["events"].as_array().unwrap().iter().map(|event| event["digest"].as_str().unwrap()).collect();
    assert_eq!(told, digests, "one chain");
    assert_eq!(view["parcels"].as_array().unwrap().len(), 2, "one parcel, twice sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_comes_too_late_ends_visibly_and_is_not_sent_again() {
    let mut handling = Handling::received().await;
    let proposed = handling.window_proposes("withdraw", json!({})).await;
    let (first, reply) = handling.hears().await;
    handling.gap(&first, reply);
    assert_eq!(handling.sends("accept", accept()).await.status, 200);
    let deny = json!({"outcome": "deny", "decision_no": "决1", "reason": "不符", "appeal": "可复议"});
    assert_eq!(handling.sends("decide", deny).await.status, 200);
    // It may have been set behind the acceptance and sent before the decision came.
    let refused =
        |view: &Value| view["parcels"].as_array().unwrap().iter().any(|parcel| parcel["state"] == "refused");
    let view = loop {
        let view = handling.world.window().case(&handling.case).await;
        if refused(&view) {
            break view;
        }
        if let Ok((again, reply)) = handling.heard.try_recv() {
            handling.gap(&again, reply);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(names(&view), ["submit", "accept", "decide"], "nothing of it was applied");
    let parcel = view["parcels"].as_array().unwrap().iter().find(|parcel| parcel["event"] == "withdraw");
    assert_eq!(parcel.unwrap()["reason"], "illegal-transition");
    assert_eq!(view["transport"], "refused");
    let of_it = |notice: &Value| notice["data"]["parcel"] == proposed["parcel"];
    let notice = handling.world.window().notice_until("parcel.ended", of_it).await;
    assert_eq!(notice["data"]["reason"], "illegal-transition");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_handling_side_ends_a_proposal_and_the_next_one_goes_on() {
    let mut handling = Handling::received().await;
    let first = handling.window_proposes("withdraw", json!({})).await;
    let second = handling.window_proposes("request_correction", correction("a")).await;
    assert_ne!(first["parcel"], second["parcel"]);
    let (heard, reply) = handling.hears().await;
    reply.send(refused(&handling.world, &heard, "illegal-transition", 409)).unwrap();
    let (heard, reply) = handling.hears().await;
    assert_eq!(heard.claims["body"]["event"], "request_correction");
    handling.takes(&heard, reply, "RECEIVED");
    let view = handling.view(|view| view["corrections"].as_array().unwrap().len() == 1).await;
    assert_eq!((&view["state"], names(&view).len()), (&json!("RECEIVED"), 2));
    handling.view(|view| view["transport"] == "delivered").await;
    let notice = handling.world.window().notice_until("parcel.ended", |_| true).await;
    assert_eq!(notice["data"]["parcel"], first["parcel"]);
}

fn correction(letter: &str) -> Value {
    json!({"id": letter.repeat(22), "exchange": "x".repeat(22), "license_id": MARRIAGE_ID,
           "field": "registered_on", "claimed": "2026-01-06", "evidence": ["M2"], "due": "2030-04-01"})
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_of_one_case_leave_one_after_the_other() {
    let mut handling = Handling::received().await;
    for letter in ["a", "b", "c"] {
        handling.window_proposes("request_correction", correction(letter)).await;
    }
    for letter in ["a", "b", "c"] {
        let (heard, reply) = handling.hears().await;
        assert_eq!(heard.claims["body"]["data"]["id"], letter.repeat(22));
        assert!(handling.heard.try_recv().is_err(), "nothing else is under way");
        handling.takes(&heard, reply, "RECEIVED");
    }
    let view = handling.view(|view| view["corrections"].as_array().unwrap().len() == 3).await;
    assert_eq!(names(&view).len(), 4);
    assert_eq!(view["transport"], "delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_event_of_the_handling_side_proves_a_proposal_whose_receipt_was_lost() {
    let mut handling = Handling::received().await;
    assert_eq!(handling.sends("need_supplement", supplement_wanted()).await.status, 200);
    handling.window_proposes("supplement", json!({"materials": [upload("M2", b"abd")]})).await;
    let (heard, reply) = handling.hears().await;
    // Applied there, and the answer lost.
    handling.chain.push(heard.claims["body"].clone());
    drop(reply);
    let proof = handling.sends("accept", accept()).await;
    assert_eq!(proof.status, 200, "{}", proof.outcome);
    let view = handling.view(|view| view["state"] == "ACCEPTED").await;
    assert_eq!(names(&view), ["submit", "need_supplement", "supplement", "accept"]);
    assert_eq!(view["materials"][0]["reference"], hex_of(b"abd"));
    // The parcel still wants its receipt, with the same bytes; it changes nothing any more.
    let (again, reply) = handling.hears().await;
    assert_eq!(again.body, heard.body);
    let receipt = json!({"case": handling.case, "seq": 2, "digest": digest_of(&again.claims["body"]),
                         "state": "RECEIVED"});
    reply.send(accepted(&handling.world, &again, 200, &receipt)).unwrap();
    let view = handling.view(|view| view["transport"] == "delivered").await;
    assert_eq!((&view["state"], names(&view).len()), (&json!("ACCEPTED"), 4));
}

/// An event that continues something we never said is out of sequence, and refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_behind_one_that_is_not_known_here_is_told_so() {
    let mut handling = Handling::received().await;
    let missing = json!({"seq": 1, "prev": "x"});
    handling.chain.push(missing);
    let early = handling.sends("accept", accept()).await;
    assert_eq!((early.status, early.code()), (409, "sequence-gap"));
    assert_eq!(names(&handling.view(|_| true).await), ["submit"]);
}
