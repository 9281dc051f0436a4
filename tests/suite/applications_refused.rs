//! What is wrong about an application is refused with a clear word, changes nothing, and is
//! recorded (protocol §3.4, §6, §12).

use serde_json::{Value, json};

use crate::support::*;

/// [`ITEM`] with a second material, and another item with the same operations.
fn plan() -> WorldPlan {
    WorldPlan::of_cases().agreement(|agreement| {
        let materials = agreement["items"][0]["materials"].as_array_mut().unwrap();
        materials.push(file_material("M5", "optional"));
        agreement["items"][1]["ops"] = json!(CASE_OPS);
    })
}

/// A wrong message, the code and the pointers that it deserves.
struct Wrong {
    name: &'static str,
    message: Draft,
    says: &'static str,
    pointers: Vec<&'static str>,
}

fn wrong(name: &'static str, message: Draft, says: &'static str, pointers: &[&'static str]) -> Wrong {
    Wrong { name, message, says, pointers: pointers.to_vec() }
}

/// All of them are refused so, each in its own leaf, and nobody's case or question is another.
async fn all_refused(world: &World, wrongs: Vec<Wrong>) {
    let before = (world.status_of(CASE).await["events"].clone(), everything(world).await);
    for Wrong { name, message, says, pointers } in wrongs {
        let bytes = message.bytes();
        let verdict = world.ask(bytes.clone()).await;
        assert_eq!(verdict.code(), says, "{name}: {}", verdict.outcome);
        assert!(verdict.signed, "{name}");
        let mut told = verdict.pointers();
        told.sort_unstable();
        assert_eq!(told, pointers, "{name}: {}", verdict.outcome);
        let leaves = world.xianan.leaves().await;
        let leaf = leaves.iter().rfind(|leaf| leaf["x"] == message.jti()).expect(name);
        assert_eq!((&leaf["t"], &leaf["dec"], &leaf["code"]), (&json!("in"), &json!("deny"), &json!(says)));
        let again = world.ask(bytes).await;
        assert_eq!(again.code(), says, "{name}, the same message again");
    }
    assert_eq!((world.status_of(CASE).await["events"].clone(), everything(world).await), before);
}

/// What 咸安's own systems see.
async fn everything(world: &World) -> Vec<Value> {
    let mut seen = Vec::new();
    for place in ["applications", "verifications", "notices"] {
        seen.push(world.office().get(&format!("/local/v1/{place}")).await.json());
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn events_out_of_turn_and_of_other_cases_are_refused() {
    let world = plan().start().await;
    assert_eq!(world.ask(world.submit_of(CASE)).await.status, 202);
    let first = digest_of(&world.submit_body());
    let event = |seq, prev: &str, event: &str, data| {
        world.about(CASE, "application.event", world.window_event(seq, prev, event, data))
    };
    let accept = json!({"doc_no": "受1", "project_type": "2", "promise_date": "2030-03-25"});
    let withdraw = || event(1, &first, "withdraw", json!({}));
    let of_another_item =
        || withdraw().with("/item", DUTY_ITEM).with("/basis", "statutory_duty").with("/purpose", "核验");
    let elsewhere = case_number(9);
    all_refused(
        &world,
        vec![
            wrong("the other side's act", event(1, &first, "accept", accept), "illegal-transition", &[]),
            wrong(
                "before its time",
                event(1, &first, "supplement", json!({"materials": [upload("M2", b"x")]})),
                "illegal-transition",
                &[],
            ),
            wrong("never on the wire", event(1, &first, "relay", json!({})), "illegal-transition", &[]),
            wrong("too early in the chain", event(2, &first, "withdraw", json!({})), "sequence-gap", &[]),
            wrong(
                "behind another event",
                event(1, &digest_of(&json!({})), "withdraw", json!({})),
                "sequence-gap",
                &[],
            ),
            wrong(
                "event 0 is the submit",
                event(0, &first, "withdraw", json!({})),
                "schema-violation",
                &["/body/seq"],
            ),
            wrong(
                "more data than its name has",
                event(1, &first, "withdraw", json!({"why": 1})),
                "schema-violation",
                &["/body/data/why"],
            ),
            wrong(
                "from the future",
                withdraw().with("/body/at", NOW + 31),
                "schema-violation",
                &["/body/at"],
            ),
            wrong(
                "an unknown case",
                world.about(
                    &elsewhere,
                    "application.event",
                    world.window_event(1, &first, "withdraw", json!({})),
                ),
                "unknown-case",
                &[],
            ),
            wrong(
                "status of an unknown case",
                world.about(&elsewhere, "application.status", json!({"case": elsewhere})),
                "unknown-case",
                &[],
            ),
            wrong(
                "a body about another case",
                world.about(CASE, "application.status", json!({"case": elsewhere})),
                "schema-violation",
                &["/body/case"],
            ),
            wrong("under another item", of_another_item(), "schema-violation", &["/item"]),
            wrong(
                "status under another item",
                of_another_item().with("/op", "application.status").with("/body", json!({"case": CASE})),
                "schema-violation",
                &["/item"],
            ),
            wrong("an item without events", withdraw().with("/item", QUIET_ITEM), "op-not-agreed", &[]),
            wrong(
                "a broken case number",
                withdraw().with("/case", "K3310834212022026101200000001N"),
                "schema-violation",
                &["/case"],
            ),
            wrong("no case at all", withdraw().without("/case"), "schema-violation", &["/case"]),
            wrong(
                "a citizen's authorization",
                withdraw().authorized(&world.authorization()),
                "schema-violation",
                &["/authorization"],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submits_that_disagree_with_claims_or_agreement_are_refused() {
    let world = plan().start().await;
    assert_eq!(world.ask(world.submit_of(CASE)).await.status, 202);
    let new = || world.submit_of(&case_number(7));
    let numbered = |collecting, handling| world.submit_of(&number_between(collecting, handling, 7));
    let material = |with: Value| new().with("/body/materials", json!([upload("M2", b"abc"), with]));
    let shared = json!({"code": "M5", "name": "x", "evidence": "shared_data", "exchange": "0".repeat(22)});
    let huge = json!({"code": "M5", "name": "x", "evidence": "upload", "sha256": "0".repeat(64),
                      "bytes": 50 * 1024 * 1024 + 1, "media_type": "application/pdf"});
    all_refused(
        &world,
        vec![
            wrong(
                "an altered material",
                world.submit_of(CASE).with("/body/materials/0", upload("M2", b"abd")),
                "duplicate-case",
                &[],
            ),
            wrong(
                "another applicant",
                world.submit_of(CASE).with("/body/applicant/name", "测试乙"),
                "duplicate-case",
                &[],
            ),
            wrong(
                "a number of other regions",
                numbered(BINHAI, XIANAN),
                "schema-violation",
                &["/body/collecting/region"],
            ),
            wrong(
                "a number for other regions",
                numbered(YUHUAN, BINHAI),
                "schema-violation",
                &["/body/handling/region"],
            ),
            wrong(
                "collected by others",
                new().with("/body/collecting/region", BINHAI),
                "schema-violation",
                &["/body/collecting/region"],
            ),
            wrong(
                "handled by others",
                new().with("/body/handling/region", BINHAI),
                "schema-violation",
                &["/body/handling/region"],
            ),
            wrong("another mode", new().with("/body/mode", "online"), "schema-violation", &["/body/mode"]),
            wrong(
                "a part of itself",
                new().with("/body/parent", case_number(7)),
                "schema-violation",
                &["/body/parent"],
            ),
            wrong(
                "a material of no item",
                material(upload("M9", b"x")),
                "schema-violation",
                &["/body/materials/1/code"],
            ),
            wrong(
                "a way that is not agreed",
                material(shared),
                "schema-violation",
                &["/body/materials/1/evidence"],
            ),
            wrong("a file above 50 MiB", material(huge), "schema-violation", &["/body/materials/1/bytes"]),
            wrong(
                "without what is required",
                new().with("/body/materials", json!([])),
                "schema-violation",
                &["/body/materials"],
            ),
            wrong(
                "several at once",
                new()
                    .without("/body/mode")
                    .with("/body/applicant/id_number", YI[1..].to_owned())
                    .with("/body/collecting/officer", "")
                    .with("/body/collecting/place", "12")
                    .with("/body/materials/0/sha256", "abc"),
                "schema-violation",
                &[
                    "/body/applicant/id_number",
                    "/body/collecting/officer",
                    "/body/collecting/place",
                    "/body/materials/0/sha256",
                    "/body/mode",
                ],
            ),
            wrong("too long a life", new().with("/exp", NOW + 86_401), "lifetime-too-long", &[]),
        ],
    )
    .await;
    let day = world.ask(new().with("/exp", NOW + 86_400)).await;
    assert_eq!(day.status, 202, "a day is not too long: {}", day.outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_and_answers_that_fit_nothing_are_refused() {
    let world = plan().start().await;
    assert_eq!(world.ask(world.submit_of(CASE)).await.status, 202);
    let body = json!({"id": "V".repeat(22), "material": "M2",
        "license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
        "claims": {"cert_no": "J331083-2026-000001"}, "question": "登记是否有效?",
        "due": "2030-03-20T23:59:59+08:00"});
    let ask = |body: &Value| world.about(CASE, "verification.request", body.clone());
    let answer = json!({"id": "W".repeat(22), "outcome": "confirmed", "note": "", "at": NOW,
                        "by": {"org": WINDOW, "officer": "YH0123"}});
    let question = ask(&body);
    let first = world.ask(&question).await;
    assert_eq!(first.status, 200, "{}", first.outcome);
    assert_eq!(first.outcome, json!({"id": "V".repeat(22), "received_at": NOW, "due": body["due"]}));
    let again = world.ask(ask(&body)).await;
    assert_eq!(again.outcome, first.outcome, "the same question in a new message");
    let other = || ask(&body).with("/body/id", "U".repeat(22));
    all_refused(
        &world,
        vec![
            wrong(
                "other words under a known id",
                ask(&body).with("/body/question", "?"),
                "duplicate-case",
                &[],
            ),
            wrong(
                "a type of no agreement",
                other().with("/body/license/type", DIVORCE),
                "license-not-agreed",
                &[],
            ),
            wrong(
                "a type nobody knows",
                other().with("/body/license/type", NO_TYPE),
                "unknown-license-type",
                &[],
            ),
            wrong(
                "a type of another region",
                other().with("/body/license/type", BUSINESS),
                "license-not-agreed",
                &[],
            ),
            wrong(
                "a type of another material",
                other().with("/body/license/type", HOUSEHOLD),
                "schema-violation",
                &["/body/license/type"],
            ),
            wrong(
                "a material nobody verifies",
                other().with("/body/material", "M5"),
                "schema-violation",
                &["/body/material"],
            ),
            wrong(
                "a material of no item",
                other().with("/body/material", "M9"),
                "schema-violation",
                &["/body/material"],
            ),
            wrong(
                "a day without a clock",
                other().with("/body/due", "2030-03-20"),
                "schema-violation",
                &["/body/due"],
            ),
            wrong("two minutes and more", other().with("/exp", NOW + 121), "lifetime-too-long", &[]),
            wrong(
                "an answer to nothing",
                world.about(CASE, "verification.answer", answer),
                "unknown-case",
                &[],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_may_be_large_and_nothing_else_may() {
    let world = plan().start().await;
    let long = |draft: Draft, octets: usize| draft.with("/body/form", json!({"note": "x".repeat(octets)}));
    let large = world.ask(long(world.submit_of(CASE), 100 * 1024)).await;
    assert_eq!(large.status, 202, "{}", large.outcome);
    let too_large =
        world.line().await.exchange(long(world.submit_of(&case_number(7)), 200 * 1024).bytes()).await;
    assert_eq!(too_large.status, 413, "unread, so unsigned");
    assert_eq!(too_large.json()["code"], "too-large");
    let claims = json!({"id": "V".repeat(22), "question": "x".repeat(40 * 1024)});
    let question = world.ask(world.about(CASE, "verification.request", claims)).await;
    assert_eq!((question.status, question.code(), question.signed), (413, "too-large", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partner_finds_no_case_no_question_and_no_file_of_ours() {
    let other = "421202-320922-2020";
    let world = plan().also(|agreement| {
        let text = agreement.to_string().replace(YUHUAN, BINHAI).replace(AGREEMENT, other);
        *agreement = text.parse().unwrap();
    });
    let world = world.start().await;
    assert_eq!(world.ask(world.submit_of(CASE)).await.status, 202);
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let binhai = async |draft: Draft| {
        let message = draft.with("/iss", world.binhai.urn()).with("/agreement", other);
        let message = message.signed_by(&world.binhai.signing).bytes();
        world.read_as(&world.binhai, line.exchange(message.clone()).await, &message)
    };
    let first = digest_of(&world.submit_body());
    let withdraw = world.window_event(1, &first, "withdraw", json!({}));
    assert_eq!(binhai(world.about(CASE, "application.event", withdraw)).await.code(), "unknown-case");
    assert_eq!(
        binhai(world.about(CASE, "application.status", json!({"case": CASE}))).await.code(),
        "unknown-case"
    );
    let taken = binhai(world.submit_of(CASE).with("/body/collecting/region", BINHAI)).await;
    assert_eq!((taken.code(), taken.pointers()), ("schema-violation", vec!["/body/collecting/region"]));
    let digest = tongban::material::MaterialDigest::of(b"abc");
    let put = line
        .call(
            hyper::Method::PUT,
            &format!("/v1/materials/{digest}"),
            &[("content-digest", &digest.content_digest())],
            b"abc".to_vec(),
        )
        .await
        .unwrap();
    assert_eq!(put.status, 404);
    // A case of its own cannot be made a part of ours, which would then wait for it.
    let part = number_between(BINHAI, XIANAN, 1);
    let theirs = world.submit_of(&part).with("/body/collecting/region", BINHAI).with("/body/parent", CASE);
    let theirs = binhai(theirs).await;
    assert_eq!(theirs.status, 202, "{}", theirs.outcome);
    assert_eq!(world.office().case(CASE).await["parts"], json!([]));
    assert_eq!(world.status_of(CASE).await["state"], "RECEIVED");
}
