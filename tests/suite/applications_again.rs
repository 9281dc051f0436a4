//! What must arrive is sent until its receipt is there: the same message gets the same bytes
//! (protocol §3.4), whatever happened in between.

use serde_json::{Value, json};
use tongban::casebook::{AnswerRow, Write};
use tongban::envelope::id_key;

use crate::support::*;

/// A good message, a refused one of each step behind the first use, by name.
fn messages(world: &World) -> Vec<(&'static str, Draft)> {
    let first = digest_of(&world.submit_body());
    let event = |seq, event: &str, data| {
        world.about(CASE, "application.event", world.window_event(seq, &first, event, data))
    };
    vec![
        ("accepted", world.submit_of(CASE)),
        ("no agreement", world.submit_of(CASE).with("/agreement", "421202-331083-1999")),
        ("schema", world.submit_of(&case_number(3)).with("/body/mode", "x")),
        ("content", world.submit_of(&case_number(3)).with("/body/mode", "online")),
        ("unknown", world.about(&case_number(4), "application.status", json!({"case": case_number(4)}))),
        ("gap", event(2, "withdraw", json!({}))),
        ("illegal", event(1, "ack", json!({}))),
        ("status", world.about(CASE, "application.status", json!({"case": CASE}))),
    ]
}

async fn row(world: &World, message: &Draft) -> AnswerRow {
    let key = hex::encode(id_key(message.claims["iss"].as_str().unwrap(), message.jti()));
    world.xianan.running().house.casebook.answer(&key).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_repeated_byte_for_byte_also_after_a_restart() {
    let mut world = WorldPlan::of_cases().start().await;
    let mut told: Vec<(&str, Vec<u8>, Told)> = Vec::new();
    for (name, message) in messages(&world) {
        let message = message.bytes();
        let first = world.line().await.exchange(message.clone()).await;
        let again = world.line().await.exchange(message.clone()).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{name}");
        told.push((name, message, first));
    }
    let leaves = world.xianan.leaves().await.len();
    let clock = world.clock.clone();
    world.xianan.stop().await;
    world.xianan.start(&clock).await;
    let line = world.dial(&world.asking, Http::Two).await.unwrap();
    // An hour later the message is still alive, and its answer still the first.
    world.clock.advance(1_800_000);
    for (name, message, first) in told {
        let again = line.exchange(message).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{name}");
    }
    let kinds = world.xianan.leaves().await;
    assert!(kinds[leaves..].iter().all(|leaf| leaf["t"] != "in"), "a repeat is no new exchange");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_once_have_one_effect_and_one_answer() {
    let world = WorldPlan::of_cases().start().await;
    for (name, message) in messages(&world) {
        let verdicts = world.ask_all(vec![message.bytes(); 64]).await;
        let first = &verdicts[0].told;
        for verdict in &verdicts {
            assert_eq!((verdict.status, &verdict.told.body), (first.status, &first.body), "{name}");
        }
        let leaves = world.xianan.leaves().await;
        assert_eq!(leaves.iter().filter(|leaf| leaf["x"] == message.jti()).count(), 1, "{name}");
    }
    let cases = world.office().get("/local/v1/applications").await.json();
    assert_eq!(cases["applications"].as_array().unwrap().len(), 1);
    assert_eq!(world.office().notices("case.event").await.len(), 1);
}

/// The same case in sixty-four messages of their own: one effect, equal receipts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_parcel_in_many_messages_is_applied_once() {
    let world = WorldPlan::of_cases().start().await;
    let verdicts = world.ask_all((0..64).map(|_| world.submit_of(CASE).bytes()).collect()).await;
    for verdict in &verdicts {
        assert_eq!((verdict.status, &verdict.outcome), (202, &verdicts[0].outcome));
    }
    let withdraw = world.window_event(1, &digest_of(&world.submit_body()), "withdraw", json!({}));
    let events = (0..64).map(|_| world.about(CASE, "application.event", withdraw.clone()).bytes()).collect();
    for verdict in world.ask_all(events).await {
        assert_eq!((verdict.status, &verdict.outcome["state"]), (200, &json!("WITHDRAWN")));
    }
    assert_eq!(world.status_of(CASE).await["events"].as_array().unwrap().len(), 2);
    assert_eq!(world.office().notices("case.event").await.len(), 2);
}

/// The leaf stood, the answer was neither stored nor sent: it is signed when it is asked for,
/// with the place it was promised, and from then on it stays the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_crash_left_unsigned_is_signed_once() {
    let world = WorldPlan::of_cases().start().await;
    for (name, message) in messages(&world) {
        let bytes = message.bytes();
        let before = world.ask(bytes.clone()).await;
        let stored = row(&world, &message).await;
        assert!(stored.signed.is_some() && stored.place.is_some(), "{name}");
        let lost = AnswerRow { signed: None, ..stored };
        world.xianan.running().house.casebook.write(vec![Write::Answer(lost)]).await.unwrap();
        let late = world.ask_all(vec![bytes; 16]).await;
        for verdict in &late {
            assert_eq!(verdict.told.body, late[0].told.body, "{name}");
            assert_eq!((verdict.status, &verdict.outcome), (before.status, &before.outcome), "{name}");
            let place = |verdict: &Verdict| verdict.claims.as_ref().unwrap()["log"].clone();
            assert_eq!(place(verdict), place(&before), "{name}: the promise is the same");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_under_a_used_id_is_refused() {
    let world = WorldPlan::of_cases().start().await;
    let message = world.submit_of(CASE);
    let bytes = message.bytes();
    assert_eq!(world.ask(bytes.clone()).await.status, 202);
    let other = world.ask(message.with("/body/applicant/mobile", "13900000001")).await;
    assert_eq!((other.status, other.code()), (409, "jti-reuse"));
    let again = world.ask(bytes).await;
    assert_eq!(again.status, 202, "and the first is answered as before");
}

/// A refused message of a step before the first use is judged anew: its code is the step's.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_early_is_refused_again_and_again() {
    let world = WorldPlan::of_cases().start().await;
    let early = world.submit_of(CASE).with("/iat", NOW + 60).with("/exp", NOW + 120);
    for _ in 0..2 {
        assert_eq!(world.ask(&early).await.code(), "not-yet-valid");
    }
    assert_eq!(world.office().get("/local/v1/applications").await.json()["applications"], json!([]) as Value);
}
