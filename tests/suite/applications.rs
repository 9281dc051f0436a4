//! An application travels (protocol §6): taken once, moved in order, told the same on both
//! sides; what is wrong changes nothing and is recorded.

use serde_json::{Value, json};

use crate::support::*;

/// SHA-256 of `abc`.
const FILE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const WINDOW: &str = "11331083TECT000279";
const OFFICE: &str = "11421202TECT000191";

const OPS: [&str; 6] = [
    "license.query",
    "application.submit",
    "application.event",
    "application.status",
    "verification.request",
    "verification.answer",
];

/// What 玉环's window submits for [`ITEM`].
fn submit_body() -> Value {
    json!({
        "mode": "multi_joint", "parent": null, "native": {"collecting": "YH2026101200017"},
        "collecting": {"region": YUHUAN, "place": "331083001", "org": WINDOW, "officer": "YH0123",
                       "collected_at": NOW, "identity_check": "id_card_reader"},
        "handling": {"region": XIANAN, "org": OFFICE},
        "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": JIA,
                      "mobile": "13900000000", "agent": null},
        "form": {},
        "materials": [{"code": "M2", "name": "结婚证", "evidence": "upload", "sha256": FILE, "bytes": 3,
                       "media_type": "application/pdf"}],
        "authorizations": []
    })
}

/// The item with everything a case needs.
fn plan() -> WorldPlan {
    let years =
        concat!("\n[calendar]\nfolder = \"", env!("CARGO_MANIFEST_DIR"), "/tests/vectors/calendar\"\n");
    World::plan().configured(years).agreement(|agreement| {
        agreement["items"][0]["ops"] = json!(OPS);
        agreement["items"][0]["materials"][0]["evidence"] =
            json!(["shared_data", "timed_verification", "commitment", "upload"]);
    })
}

/// A message of 玉环's about [`CASE`].
fn about_case(world: &World, op: &str, body: Value) -> Draft {
    let exp = world.now() + if op.starts_with("application.") { 3600 } else { 60 };
    world.lookup_of(&world.asking).with("/op", op).with("/exp", exp).with("/body", body)
}

fn submit(world: &World) -> Draft {
    about_case(world, "application.submit", submit_body())
}

/// base64url SHA-256 of JCS(body): here the bodies' members are sorted by the test itself.
fn digest(body: &Value) -> String {
    b64(sha256(&tongban::json::jcs(body)))
}

fn event(seq: u64, prev: &str, event: &str, data: Value) -> Value {
    json!({"seq": seq, "prev": prev, "event": event, "at": NOW, "by": {"org": WINDOW, "officer": "YH0123"},
           "data": data})
}

async fn status(world: &World) -> Value {
    let verdict = world.ask(about_case(world, "application.status", json!({"case": CASE}))).await;
    assert_eq!(verdict.status, 200, "{:?}", verdict.outcome);
    verdict.outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_is_taken_once_and_its_message_gets_the_same_bytes_again() {
    let world = plan().start().await;
    let message = submit(&world).bytes();
    let first = world.line().await.exchange(message.clone()).await;
    let verdict = world.read(first.clone(), &message);
    assert_eq!(verdict.status, 202, "{:?}", verdict.outcome);
    let receipt = &verdict.outcome;
    assert_eq!(receipt["case"], CASE);
    assert_eq!(receipt["seq"], 0);
    assert_eq!(receipt["digest"], digest(&submit_body()));
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
    let seen = status(&world).await;
    assert_eq!(seen["events"].as_array().unwrap().len(), 1);
    assert_eq!((&seen["state"], &seen["transport"]), (&json!("RECEIVED"), &json!("delivered")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_from_the_side_that_may_and_once() {
    let world = plan().start().await;
    let unknown = world.ask(about_case(&world, "application.status", json!({"case": CASE}))).await;
    assert_eq!((unknown.status, unknown.code()), (404, "unknown-case"));
    assert_eq!(world.ask(submit(&world)).await.status, 202);
    let first = digest(&submit_body());
    let send = async |body: Value| world.ask(about_case(&world, "application.event", body)).await;

    let gap = send(event(2, &first, "withdraw", json!({}))).await;
    assert_eq!((gap.status, gap.code()), (409, "sequence-gap"));
    let stale = send(event(1, &digest(&json!({})), "withdraw", json!({}))).await;
    assert_eq!((stale.status, stale.code()), (409, "sequence-gap"));
    let theirs = send(event(1, &first, "ack", json!({}))).await;
    assert_eq!((theirs.status, theirs.code()), (409, "illegal-transition"));
    let shape = send(event(1, &first, "withdraw", json!({"why": "x"}))).await;
    assert_eq!((shape.status, shape.code()), (422, "schema-violation"));
    assert_eq!(status(&world).await["events"].as_array().unwrap().len(), 1, "nothing changed");

    let withdraw = event(1, &first, "withdraw", json!({}));
    let done = send(withdraw.clone()).await;
    assert_eq!(done.status, 200, "{:?}", done.outcome);
    assert_eq!(
        done.outcome,
        json!({"case": CASE, "seq": 1, "digest": digest(&withdraw), "state": "WITHDRAWN"})
    );
    let again = send(withdraw.clone()).await;
    assert_eq!((again.status, &again.outcome), (200, &done.outcome), "the same parcel, the same receipt");
    let after = send(event(2, &digest(&withdraw), "withdraw", json!({}))).await;
    assert_eq!((after.status, after.code()), (409, "illegal-transition"));
    let seen = status(&world).await;
    assert_eq!(
        seen["events"][1],
        json!({"seq": 1, "event": "withdraw", "at": NOW, "digest": digest(&withdraw)})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partner_knows_nothing_of_a_case() {
    let world = plan().start().await;
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
    let world = plan().start().await;
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

/// What 玉环's window sends to its own gateway.
fn local_submit() -> Value {
    json!({"to": XIANAN, "item": ITEM, "basis": "consent", "purpose": "新生儿户口登记", "operator": "YH0123",
           "agreement": AGREEMENT, "body": submit_body()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_submits_and_the_handling_side_decides() {
    let world = plan().asking().start().await;
    world.xianan.trust_card(&world.asking.card(&format!("https://{}", world.yuhuan.door())));
    world.xianan.reload().await;
    let window = world.yuhuan.local();
    let told = window.post("/local/v1/applications", &local_submit()).await;
    assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
    let case = told.json()["case"].as_str().unwrap().to_owned();
    let at_xianan = world.xianan.local();
    let view = eventually(&at_xianan, &case, |view| view["state"] == "RECEIVED").await;
    assert_eq!(view["role"], "handling");
    eventually(&window, &case, |view| view["transport"] == "delivered").await;

    let act = async |event: &str, data: Value| {
        let body = json!({"event": event, "by": {"org": OFFICE, "officer": "XA0456"}, "data": data});
        let told = at_xianan.post(&format!("/local/v1/applications/{case}/events"), &body).await;
        assert_eq!(told.status, 202, "{event}: {}", String::from_utf8_lossy(&told.body));
    };
    act("accept", json!({"doc_no": "受2030-1", "project_type": "2", "promise_date": "2030-03-20"})).await;
    act(
        "decide",
        json!({"outcome": "deny", "decision_no": "决2030-1", "reason": "材料不符",
                         "appeal": "六十日内可申请行政复议"}),
    )
    .await;
    act("deliver", json!({"method": "electronic", "signer": "测试甲", "at": NOW})).await;
    let view = eventually(&window, &case, |view| view["state"] == "DELIVERED").await;
    let evaluation = json!({"event": "evaluate", "by": {"org": WINDOW, "officer": "YH0123"},
        "data": {"role": "handling", "channel": "二维码", "satisfaction": "1", "times": 1, "at": NOW}});
    let told = window.post(&format!("/local/v1/applications/{case}/events"), &evaluation).await;
    assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
    let ours = eventually(&window, &case, |view| view["events"].as_array().unwrap().len() == 5).await;
    let theirs = eventually(&at_xianan, &case, |view| view["events"].as_array().unwrap().len() == 5).await;
    assert_eq!(ours["events"], theirs["events"], "one chain");
    assert!(view["parcels"].as_array().unwrap().iter().all(|parcel| parcel["state"] == "delivered"));
}

/// Asks until it is so; the suite's own deadline ends what never comes.
async fn eventually(door: &Local, case: &str, so: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let told = door.get(&format!("/local/v1/applications/{case}")).await;
        let view = told.json();
        if told.status == 200 && so(&view) {
            return view;
        }
        assert!(std::time::Instant::now() < deadline, "{view:#}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
