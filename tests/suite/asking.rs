//! The asking side: what a window gets at its own gateway's door, and what the gateway
//! believes of a partner's answer: nothing, before every check of protocol §3.2.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::*;

const QUERY: &str = "/local/v1/licenses/query";

/// What a window system sends: [`World::lookup`] without what the gateway adds.
fn query(world: &World) -> Value {
    let mut claims = world.lookup().claims;
    let claims = claims.as_object_mut().unwrap();
    for made_by_the_gateway in ["ver", "iss", "aud", "iat", "exp", "jti", "op"] {
        claims.shift_remove(made_by_the_gateway);
    }
    claims.insert("to".into(), XIANAN.into());
    Value::Object(claims.clone())
}

fn ends(leaves: &[Value]) -> Vec<(&str, Option<&str>)> {
    leaves
        .iter()
        .filter(|leaf| leaf["t"].as_str().unwrap().starts_with("out."))
        .map(|leaf| (leaf["t"].as_str().unwrap(), leaf["code"].as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_in_yuhuan_gets_xianans_answer_and_both_ledgers_tell_it() {
    let world = World::plan().asking().start().await;
    let told = world.yuhuan.local().post(QUERY, &query(&world)).await;
    assert_eq!(told.status, 200, "{:?}", told.body);
    let told = told.json();
    assert_eq!(told["partner"], XIANAN);
    assert_eq!(told["result"]["licenses"][0]["data"]["cert_no"], "J331083-2026-000001");

    let exchange = told["exchange"].as_str().unwrap();
    let of = |leaves: Vec<Value>| -> Vec<Value> {
        leaves.into_iter().filter(|leaf| leaf["x"] == exchange).collect()
    };
    let (asked, answered) = (of(world.yuhuan.leaves().await), of(world.xianan.leaves().await));
    assert_eq!(ends(&asked), [("out.sent", None), ("out.done", None)]);
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0]["t"], "in");
    assert_eq!((&asked[0]["rq"], &asked[1]["rq"]), (&answered[0]["rq"], &answered[0]["rq"]));
    assert_eq!(asked[1]["status"], 200);
    assert!(asked[1]["rs"].is_string());
    assert_eq!(told["log"]["leaf"], b64(tlog_tiles::tlog::record_hash(answered[0].to_string().as_bytes()).0));
    for leaf in asked.iter().chain(&answered) {
        assert!(!leaf.to_string().contains(JIA) && !leaf.to_string().contains(CASE), "no personal data");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partners_refusal_comes_through_with_its_own_status_and_words() {
    let world = World::plan().asking().start().await;
    let mut asked = query(&world);
    asked["body"]["fields"] = json!(["cert_no", "man"]);
    let told = world.yuhuan.local().post(QUERY, &asked).await;
    assert_eq!(told.status, 403);
    let told = told.json();
    assert_eq!((&told["code"], &told["signed"]), (&json!("field-not-agreed"), &json!(true)));
    assert_eq!(told["title_zh"], "协议未包含所请求的字段");
    assert!(told["log"]["index"].is_u64() && told["exchange"].is_string());
    assert_eq!(ends(&world.yuhuan.leaves().await)[1], ("out.done", Some("field-not-agreed")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_says_whether_a_pair_is_ready() {
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let told = local.post("/local/v1/partners/421202/ping", &json!({})).await;
    assert_eq!(told.status, 200, "{:?}", told.body);
    assert_eq!(told.json()["result"]["time"], NOW);
    let partners = local.get("/local/v1/partners").await.json();
    assert_eq!(partners["partners"][0]["region"], XIANAN);
    assert_eq!(partners["partners"][0]["up"], true);
    assert_eq!(
        local.post("/local/v1/partners/320922/ping", &json!({})).await.status,
        404,
        "no partner of ours"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_door_knows_its_callers_and_what_each_may() {
    let hash = hex::encode(sha256(b"only-changed"));
    let client = format!(
        "\n[[local_listener.client]]\nname = \"证照库\"\ntoken_sha256 = \"{hash}\"\nmay = [\"register.changed\"]\n"
    );
    let world = World::plan().asking().configured(&client).start().await;
    let door = world.yuhuan.local().door;
    for token in [None, Some("wrong"), Some("")] {
        let stranger = Local { door, token: token.map(str::to_owned) };
        let told = stranger.post(QUERY, &query(&world)).await;
        assert_eq!(told.status, 401, "{token:?}");
        assert_eq!(told.header("www-authenticate"), Some("Bearer"));
        assert_eq!(told.json()["code"], "token-required");
    }
    let register = Local { door, token: Some("only-changed".into()) };
    let told = register.post(QUERY, &query(&world)).await;
    assert_eq!((told.status, told.json()["code"].as_str()), (403, Some("not-permitted")));
    let notice = json!({"license_id": MARRIAGE_ID});
    assert_eq!(register.post("/local/v1/licenses/changed", &notice).await.status, 200);
    assert!(ends(&world.yuhuan.leaves().await).is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_of_a_query_are_told_at_once_before_anything_is_sent() {
    let world = World::plan().asking().start().await;
    let local = world.yuhuan.local();
    let mut asked = query(&world);
    asked["item"] = "11421202TECT0001924000709001000".into();
    asked["operator"] = "".into();
    asked["body"]["license"]["holder"]["number"] = "421202190001010019".into();
    asked["body"]["max_age"] = json!(-1);
    let told = local.post(QUERY, &asked).await;
    assert_eq!(told.status, 422);
    let problem = told.json();
    let mut pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/body/license/holder/number", "/body/max_age", "/item", "/operator"]);
    assert!(!problem.to_string().contains("421202190001010019"), "no value comes back");

    let mut shapeless = query(&world);
    shapeless["to"] = json!(421_202);
    shapeless["why"] = json!("because");
    shapeless.as_object_mut().unwrap().shift_remove("purpose");
    let problem = local.post(QUERY, &shapeless).await.json();
    assert_eq!(problem["code"], "schema-violation");
    assert!(problem["errors"].as_array().unwrap().len() >= 2, "{problem}");

    for (headers, body, status) in [
        (vec![("content-type", "application/json")], "{\"to\":1,\"to\":2}", 400),
        (vec![("content-type", "application/json")], "[]", 400),
        (vec![("content-type", "text/plain")], "{}", 415),
    ] {
        assert_eq!(local.call("POST", QUERY, &headers, body.into()).await.status, status, "{body}");
    }
    let large = "x".repeat(64 * 1024 + 1);
    let told = local.call("POST", QUERY, &[("content-type", "application/json")], large.into()).await;
    assert_eq!(told.status, 413);
    let mut elsewhere = query(&world);
    elsewhere["to"] = BINHAI.into();
    assert_eq!(local.post(QUERY, &elsewhere).await.status, 404);
    assert!(ends(&world.yuhuan.leaves().await).is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_is_found_where_only_one_names_the_item() {
    let world = World::plan().asking().start().await;
    let mut asked = query(&world);
    asked.as_object_mut().unwrap().shift_remove("agreement");
    assert_eq!(world.yuhuan.local().post(QUERY, &asked).await.status, 200);
    let mut second = agreement();
    second["id"] = "421202-331083-2029".into();
    world.yuhuan.trust_agreement(&second);
    world.yuhuan.reload().await;
    let mut asked = query(&world);
    asked.as_object_mut().unwrap().shift_remove("agreement");
    let told = world.yuhuan.local().post(QUERY, &asked).await;
    assert_eq!((told.status, told.json()["errors"][0]["pointer"].as_str()), (422, Some("/agreement")));
}

/// A world whose 咸安 is played by `manners`.
async fn with_partner(
    member: impl FnOnce(&World) -> Member,
    manners: impl Fn(&Scene, Asked) -> Said + Send + Sync + 'static,
) -> World {
    let world = World::plan().asking().start().await;
    let scene = world.scene.clone();
    let stub = Stub::open(&member(&world), move |asked| manners(&scene, asked)).await;
    world.yuhuan.trust_card(&world.answering.card(&format!("https://{}", stub.addr)));
    world.yuhuan.reload().await;
    world
}

/// What the window is told when 咸安 answers like this: code, reason, and the end in the ledger.
async fn told_by(manners: impl Fn(&Scene, Asked) -> Said + Send + Sync + 'static) -> (String, String) {
    let world = with_partner(|world| world.answering.clone(), manners).await;
    ask_and_read(&world).await
}

async fn ask_and_read(world: &World) -> (String, String) {
    let told = world.yuhuan.local().post(QUERY, &query(world)).await;
    let told = told.json();
    assert_eq!(told.get("result"), None, "not a word is believed");
    let (code, reason) = (told["code"].as_str().unwrap(), told["reason"].as_str().unwrap_or_default());
    let leaves = world.yuhuan.leaves().await;
    assert_eq!(ends(&leaves), [("out.sent", None), ("out.failed", Some(code))]);
    assert!(told["exchange"].is_string(), "the exchange can be named");
    (code.to_owned(), reason.to_owned())
}

const FOUND: &str = r#"{"found":false,"source":"register","as_of":1900000000,"licenses":[]}"#;

fn result() -> Value {
    FOUND.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_true_answer_by_hand_is_believed() {
    let world = with_partner(
        |world| world.answering.clone(),
        |scene, asked| Said::signed(&scene.response(&asked, result())),
    )
    .await;
    let told = world.yuhuan.local().post(QUERY, &query(&world)).await;
    assert_eq!(told.status, 200, "{:?}", told.body);
    assert_eq!(told.json()["result"], result());
    assert_eq!(ends(&world.yuhuan.leaves().await), [("out.sent", None), ("out.done", None)]);
}

macro_rules! not_believed {
    ($($test:ident = $reason:literal: |$scene:ident, $asked:ident| $said:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let told = told_by(|$scene, $asked| $said).await;
                assert_eq!(told, ("partner-answer-invalid".to_owned(), $reason.to_owned()));
            }
        )*
    };
}

not_believed! {
    an_answer_that_is_no_jws_is_not_believed = "characters": |_scene, _asked|
        Said::Answer { status: 200, content_type: "application/tongban-response+jwt", body: b"{}".to_vec() };
    a_request_sent_back_is_not_believed = "typ": |_scene, asked|
        Said::Answer { status: 200, content_type: "application/tongban-response+jwt", body: asked.body.to_vec() };
    an_answer_by_the_askers_own_key_is_not_believed = "kid-not-yours": |scene, asked|
        Said::signed(&scene.response(&asked, result()).signed_by(&scene.asking.signing));
    an_answer_by_a_retired_key_is_not_believed = "kid-not-yours": |scene, asked|
        Said::signed(&scene.response(&asked, result()).signed_by(&scene.answering.retired));
    an_answer_with_another_alg_is_not_believed = "alg-not-registered": |scene, asked|
        Said::signed(&scene.response(&asked, result()).header("alg", "none"));
    a_forged_answer_is_not_believed = "signature-mismatch": |scene, asked|
        Said::signed(&scene.response(&asked, result()).forged_by(&scene.binhai.signing));
    an_answer_that_names_a_member_twice_is_not_believed = "JSON": |scene, asked| {
        let answer = scene.response(&asked, result());
        let text = answer.claims.to_string();
        Said::signed(&answer.raw_payload(format!("{{\"ver\":1,{}", &text[1..])))
    };
    an_answer_in_anothers_name_is_not_believed = "issuer": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/iss", scene.binhai.urn()));
    an_answer_for_somebody_else_is_not_believed = "audience": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/aud", scene.binhai.urn()));
    an_answer_to_another_id_is_not_believed = "request-jti": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/req/jti", "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22"));
    an_answer_to_other_bytes_is_not_believed = "request-digest": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/req/digest", b64([7; 32])));
    an_answer_whose_status_changed_on_the_way_is_not_believed = "status": |scene, asked| {
        let body = scene.response(&asked, result()).bytes();
        Said::Answer { status: 503, content_type: "application/tongban-response+jwt", body }
    };
    an_expired_answer_is_not_believed = "times": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/iat", NOW - 120).with("/exp", NOW - 60));
    an_answer_of_tomorrow_is_not_believed = "times": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/iat", NOW + 60).with("/exp", NOW + 120));
    an_answer_that_lives_too_long_is_not_believed = "times": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/exp", NOW + 121));
    an_answer_that_comes_after_its_exp_is_not_believed = "times": |scene, asked| {
        let answer = scene.response(&asked, result());
        scene.clock.advance(90_000);
        Said::signed(&answer)
    };
    an_answer_with_an_unknown_member_is_not_believed = "schema": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/extra", 1));
    an_answer_without_a_promise_is_not_believed = "schema": |scene, asked|
        Said::signed(&scene.response(&asked, result()).without("/log"));
    an_answer_without_a_result_is_not_believed = "schema": |scene, asked|
        Said::signed(&scene.response(&asked, result()).without("/result"));
    an_answer_to_another_op_is_not_believed = "op": |scene, asked|
        Said::signed(&scene.response(&asked, result()).with("/op", "ping"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_swapped_for_an_earlier_one_is_not_believed() {
    let first: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let world = with_partner(
        |world| world.answering.clone(),
        move |scene, asked| {
            let fresh = scene.response(&asked, result()).bytes();
            let body = first.lock().unwrap().get_or_insert(fresh).clone();
            Said::Answer { status: 200, content_type: "application/tongban-response+jwt", body }
        },
    )
    .await;
    let local = world.yuhuan.local();
    assert_eq!(local.post(QUERY, &query(&world)).await.status, 200);
    let told = local.post(QUERY, &query(&world)).await;
    assert_eq!(told.status, 502);
    assert_eq!(told.json()["reason"], "request-jti");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_refusal_is_a_hint_and_no_fact() {
    for (status, body) in [
        (503, r#"{"code":"overloaded","detail":"<script>"}"#),
        (403, r#"{"code":"not-a-member"}"#),
        (200, r#"{"found":true}"#),
        (302, ""),
    ] {
        let world = with_partner(
            |world| world.answering.clone(),
            move |_, _| Said::Answer { status, content_type: "application/problem+json", body: body.into() },
        )
        .await;
        let told = world.yuhuan.local().post(QUERY, &query(&world)).await;
        assert_eq!(told.status, 502);
        let told = told.json();
        assert_eq!((&told["code"], &told["partner_status"]), (&json!("partner-refused"), &json!(status)));
        assert_eq!(told["hint"].as_str().is_some(), body.contains("code"));
        assert!(!told.to_string().contains("script"), "none of its text comes through");
        assert_eq!(ends(&world.yuhuan.leaves().await)[1], ("out.failed", Some("partner-refused")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_answer_under_another_media_type_is_unsigned() {
    let told = told_by(|scene, asked| {
        let body = scene.response(&asked, result()).bytes();
        Said::Answer { status: 200, content_type: "application/jwt", body }
    });
    assert_eq!(told.await.0, "partner-refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_is_an_end_too() {
    let half = told_by(|scene, asked| Said::Half(scene.response(&asked, result()).bytes())).await;
    assert_eq!(half.0, "partner-unreachable");
    assert_eq!(told_by(|_, _| Said::HangsUp).await.0, "partner-unreachable");
    let large = told_by(|_, _| Said::Answer {
        status: 200,
        content_type: "application/tongban-response+jwt",
        body: vec![b'A'; 2 * 1024 * 1024],
    });
    assert_eq!(large.await.0, "partner-unreachable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_somebody_who_is_not_the_partner() {
    let answers = |scene: &Scene, asked: Asked| Said::signed(&scene.response(&asked, result()));
    // Another member's certificate; the partner's name without its CA or pin; a server that is gone.
    let other = with_partner(|world| Member::certified(BINHAI, &world.ca, world.clock.now()), answers).await;
    assert_eq!(ask_and_read(&other).await.0, "partner-unreachable");
    let impostor = with_partner(|world| Member::pinned(XIANAN, world.clock.now()), answers).await;
    assert_eq!(ask_and_read(&impostor).await.0, "partner-unreachable");
    let world = World::plan().asking().start().await;
    world.yuhuan.trust_card(&world.answering.card("https://127.0.0.1:9"));
    world.yuhuan.reload().await;
    assert_eq!(ask_and_read(&world).await.0, "partner-unreachable");
    let partners = world.yuhuan.local().get("/local/v1/partners").await.json();
    assert_eq!(partners["partners"][0]["up"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_recorded_is_not_sent() {
    let world = with_partner(|world| world.answering.clone(), |_, _| panic!("nothing may be sent")).await;
    let month = rusqlite::Connection::open(world.yuhuan.ledger_file()).unwrap();
    month.execute_batch("ALTER TABLE leaf RENAME TO gone").unwrap();
    let told = world.yuhuan.local().post(QUERY, &query(&world)).await;
    assert_eq!(told.status, 503);
    assert_eq!(told.json()["code"], "ledger-unavailable");
    assert_eq!(told.header("retry-after"), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_recorded_is_not_told() {
    let home: Arc<Mutex<Option<std::path::PathBuf>>> = Arc::default();
    let breaks = Arc::clone(&home);
    let world = with_partner(
        |world| world.answering.clone(),
        move |scene, asked| {
            let file = breaks.lock().unwrap().take().unwrap();
            let month = rusqlite::Connection::open(file).unwrap();
            month.execute_batch("ALTER TABLE leaf RENAME TO gone").unwrap();
            Said::signed(&scene.response(&asked, result()))
        },
    )
    .await;
    *home.lock().unwrap() = Some(world.yuhuan.ledger_file());
    let told = world.yuhuan.local().post(QUERY, &query(&world)).await;
    assert_eq!(told.status, 503);
    assert_eq!(told.json()["code"], "ledger-unavailable");
    assert_eq!(told.json().get("result"), None);
}
