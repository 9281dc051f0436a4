//! An application travels (protocol §6): taken once, moved in order, told the same on both
//! sides; what is wrong changes nothing and is recorded.

use serde_json::{Value, json};

use crate::support::*;

/// SHA-256 of `abc`.
const FILE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn submit(world: &World) -> Draft {
    world.submit_of(CASE)
}

fn about_case(world: &World, op: &str, body: Value) -> Draft {
    world.about(CASE, op, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_is_taken_once_and_its_message_gets_the_same_bytes_again() {
    let world = WorldPlan::of_cases().start().await;
    let message = submit(&world).bytes();
    let first = world.line().await.exchange(message.clone()).await;
    let verdict = world.read(first.clone(), &message);
    assert_eq!(verdict.status, 202, "{:?}", verdict.outcome);
    let receipt = &verdict.outcome;
    assert_eq!(receipt["case"], CASE);
    assert_eq!(receipt["seq"], 0);
    assert_eq!(receipt["digest"], digest_of(&world.submit_body()));
    assert_eq!(receipt["state"], "RECEIVED");
    assert_eq!(receipt["received_at"], NOW);
    assert_eq!(receipt["awaiting"], json!([FILE]));

    let again = world.line().await.exchange(message).await;
    assert_eq!((again.status, &again.body), (202, &first.body), "byte for byte");

    // The same parcel under a new jti: the same receipt; another body: refused, nothing changed.
    let parcel = world.ask(submit(&world)).await;
    assert_eq!((parcel.status, &parcel.outcome), (202, receipt));
    let other = world.ask(submit(&world).with("/body/applicant/mobile", "13900000001")).await;
    assert_eq!((other.status, other.code()), (409, "duplicate-case"));
    let seen = world.status_of(CASE).await;
    assert_eq!(seen["events"].as_array().unwrap().len(), 1);
    assert_eq!((&seen["state"], &seen["transport"]), (&json!("RECEIVED"), &json!("delivered")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_from_the_side_that_may_and_once() {
    let world = WorldPlan::of_cases().start().await;
    let unknown = world.ask(about_case(&world, "application.status", json!({"case": CASE}))).await;
    assert_eq!((unknown.status, unknown.code()), (404, "unknown-case"));
    assert_eq!(world.ask(submit(&world)).await.status, 202);
    let first = digest_of(&world.submit_body());
    let send = async |body: Value| world.ask(about_case(&world, "application.event", body)).await;

    let gap = send(world.window_event(2, &first, "withdraw", json!({}))).await;
    assert_eq!((gap.status, gap.code()), (409, "sequence-gap"));
    let stale = send(world.window_event(1, &digest_of(&json!({})), "withdraw", json!({}))).await;
    assert_eq!((stale.status, stale.code()), (409, "sequence-gap"));
    let theirs = send(world.window_event(1, &first, "ack", json!({}))).await;
    assert_eq!((theirs.status, theirs.code()), (409, "illegal-transition"));
    let shape = send(world.window_event(1, &first, "withdraw", json!({"why": "x"}))).await;
    assert_eq!((shape.status, shape.code()), (422, "schema-violation"));
    assert_eq!(world.status_of(CASE).await["events"].as_array().unwrap().len(), 1, "nothing changed");

    let withdraw = world.window_event(1, &first, "withdraw", json!({}));
    let done = send(withdraw.clone()).await;
    assert_eq!(done.status, 200, "{:?}", done.outcome);
    assert_eq!(
        done.outcome,
        json!({"case": CASE, "seq": 1, "digest": digest_of(&withdraw), "state": "WITHDRAWN"})
    );
    let again = send(withdraw.clone()).await;
    assert_eq!((again.status, &again.outcome), (200, &done.outcome), "the same parcel, the same receipt");
    let after = send(world.window_event(2, &digest_of(&withdraw), "withdraw", json!({}))).await;
    assert_eq!((after.status, after.code()), (409, "illegal-transition"));
    let seen = world.status_of(CASE).await;
    assert_eq!(
        seen["events"][1],
        json!({"seq": 1, "event": "withdraw", "at": NOW, "digest": digest_of(&withdraw)})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partner_knows_nothing_of_a_case() {
    let world = WorldPlan::of_cases().start().await;
    assert_eq!(world.ask(submit(&world)).await.status, 202);
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let message = about_case(&world, "application.status", json!({"case": CASE}))
        .bent(|claims| claims["iss"] = world.binhai.urn().into())
        .signed_by(&world.binhai.signing)
        .bytes();
    let told = line.exchange(message).await;
    assert_eq!(told.status, 403, "no agreement names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_case_names_may_be_brought_and_completes_it() {
    let world = WorldPlan::of_cases().start().await;
    let put = async |line: &Line| {
        let says = format!("sha-256=:{}:", base64_of(FILE));
        line.call(
            hyper::Method::PUT,
            &format!("/v1/materials/{FILE}"),
            &[("content-digest", says.as_str())],
            b"abc".to_vec(),
        )
        .await
        .unwrap()
    };
    assert_eq!(put(world.line().await).await.status, 404, "nobody named it yet");
    assert_eq!(world.ask(submit(&world)).await.status, 202);
    assert_eq!(put(world.line().await).await.status, 201);
    assert_eq!(put(world.line().await).await.status, 200, "already there");
    let view = world.xianan.local().get(&format!("/local/v1/applications/{CASE}")).await.json();
    assert_eq!(view["awaiting"], json!([]), "{view}");
    assert_eq!(view["materials"][0]["standing"], "proven");
}

fn base64_of(hex: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(hex::decode(hex).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_submits_and_the_handling_side_decides() {
    let world = World::pair(WorldPlan::of_cases()).await;
    let case = world.submitted(|_| ()).await;
    let view = world.office().case(&case).await;
    assert_eq!((&view["role"], &view["state"]), (&json!("handling"), &json!("RECEIVED")));
    let accept = json!({"doc_no": "受2030-1", "project_type": "2", "promise_date": "2030-03-20"});
    world.office_does(&case, "accept", accept).await;
    let deny = json!({"outcome": "deny", "decision_no": "决2030-1", "reason": "材料不符",
                      "appeal": "六十日内可申请行政复议"});
    world.office_does(&case, "decide", deny).await;
    world.office_does(&case, "deliver", json!({"method": "electronic", "signer": "测试甲", "at": NOW})).await;
    world.window().case_until(&case, |view| view["state"] == "DELIVERED").await;
    let evaluation =
        json!({"role": "handling", "channel": "二维码", "satisfaction": "1", "times": 1, "at": NOW});
    world.window_does(&case, "evaluate", evaluation).await;
    let (ours, _) = world.agreed(&case, |view| view["events"].as_array().unwrap().len() == 5).await;
    let parcels = ours["parcels"].as_array().unwrap();
    assert!(parcels.iter().all(|parcel| parcel["state"] == "delivered"), "{parcels:?}");
}
