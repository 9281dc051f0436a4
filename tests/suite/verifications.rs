//! 免证办 (protocol §6.4): shared data first, then the department's timed verification, then a
//! commitment, then a file; each case shows how every material was proven, by whom, when.

use serde_json::{Value, json};
use tongban::keys::Algorithm;

use crate::support::*;

/// M2 in every way, and its department answers in two working days.
fn plan() -> WorldPlan {
    WorldPlan::of_cases().item(|item| {
        item["verification_limit"] = json!({"value": 2, "unit": "working_day"});
    })
}

/// The material still to be shown, with these hints.
fn hinted(submit: &mut Value, hints: Value) {
    let mut material = json!({"code": "M2"});
    for (name, value) in hints.as_object().unwrap() {
        material[name] = value.clone();
    }
    submit["body"]["materials"] = json!([material]);
}

fn question() -> Value {
    json!({"license": {"holder": {"type": "111", "number": JIA}}, "claims": {"cert_no": "J331083-2026-000001"},
           "question": "登记是否有效?"})
}

/// Signed by the citizen's authority, for 咸安 through 玉环.
fn commitment(world: &World) -> Value {
    let signed = world.authorization().without("/status").text();
    json!({"text_digest": "d".repeat(43), "authorization": signed, "due": "2030-04-01"})
}

/// A submit whose only material is to be verified; the case and the verification.
async fn asked(world: &World) -> (String, Value) {
    let case = world.submitted(|submit| hinted(submit, question())).await;
    let open = |list: &Value| list["verifications"].as_array().is_some_and(|all| all.len() == 1);
    let list = world.office().until("/local/v1/verifications?state=open", open).await;
    (case, list["verifications"][0].clone())
}

fn answer(outcome: &str) -> Value {
    json!({"outcome": outcome, "note": "经查", "by": {"org": OFFICE, "officer": "XA0789"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_department_is_asked_and_its_answer_stands_in_the_case_on_both_sides() {
    for (outcome, standing) in [("confirmed", "proven"), ("refuted", "refuted"), ("unable", "unable")] {
        let world = World::pair(plan()).await;
        let (case, asked) = asked(&world).await;
        assert_eq!((&asked["case"], &asked["material"]), (&json!(case), &json!("M2")));
        assert_eq!(asked["request"]["license"]["type"], MARRIAGE, "the type that stands for the material");
        assert_eq!(asked["due"], shanghai("2030-03-20T23:59:59"), "two working days");
        let view = world.window().case(&case).await;
        assert_eq!(
            (&view["materials"][0]["standing"], &view["materials"][0]["evidence"]),
            (&json!("awaited"), &json!("timed_verification"))
        );
        assert_eq!(view["materials"][0]["reference"], asked["id"]);

        world.clock.advance(3_600_000);
        let id = asked["id"].as_str().unwrap();
        let place = format!("/local/v1/verifications/{id}/answer");
        assert_eq!(world.office().post(&place, &json!({"outcome": "perhaps"})).await.status, 422);
        let told = world.office().post(&place, &answer(outcome)).await;
        assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
        let second = world.office().post(&place, &answer("confirmed")).await;
        assert_eq!((second.status, second.json()["code"].as_str()), (409, Some("illegal-transition")));

        for door in [world.window(), world.office()] {
            let view = door.case_until(&case, |view| view["materials"][0]["standing"] == standing).await;
            let material = &view["materials"][0];
            assert_eq!(
                (&material["by"], &material["at"]),
                (&json!("XA0789"), &json!(NOW + 3600)),
                "who and when"
            );
        }
        let notice = world.window().notice_until("verification.answered", |_| true).await;
        assert_eq!((&notice["data"]["id"], &notice["data"]["outcome"]), (&asked["id"], &json!(outcome)));
        let ours = world.window().get("/local/v1/verifications?side=asking&state=answered").await.json();
        assert_eq!(ours["verifications"][0]["answer"]["note"], "经查");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_department_is_reminded_and_its_time_runs_out_on_both_sides() {
    let world = World::pair(plan()).await;
    let (case, asked) = asked(&world).await;
    assert_eq!(world.office().notices("verification.due").await.len(), 0);
    world.move_to("2030-03-20T12:00:00");
    let reminder = world.office().notice_until("verification.due", |_| true).await;
    assert_eq!(reminder["data"]["id"], asked["id"]);
    world.move_to("2030-03-20T23:59:59");
    world.move_to("2030-03-21T00:00:02");
    for door in [world.window(), world.office()] {
        door.notice_until("verification.lapsed", |notice| notice["data"]["id"] == asked["id"]).await;
        let view = door.case_until(&case, |view| view["materials"][0]["standing"] == "lapsed").await;
        assert_eq!(view["materials"][0]["standing_zh"], "逾期未答复");
    }
    let lapsed = world.office().get("/local/v1/verifications?state=lapsed").await.json();
    assert_eq!(lapsed["verifications"].as_array().unwrap().len(), 1);
    assert_eq!(world.office().notices("verification.due").await.len(), 1, "reminded once");

    // Late is better than never, and the case says when.
    let place = format!("/local/v1/verifications/{}/answer", asked["id"].as_str().unwrap());
    assert_eq!(world.office().post(&place, &answer("confirmed")).await.status, 202);
    let view = world.window().case_until(&case, |view| view["materials"][0]["standing"] == "proven").await;
    assert_eq!(view["materials"][0]["at"], shanghai("2030-03-21T00:00:02"));
}

/// The lookup's token names the case, so the window numbers it.
fn looked_up(world: &World, submit: &mut Value, number: &str) {
    submit["case"] = CASE.into();
    let mut hints = question();
    hints["license"]["holder"]["number"] = number.into();
    hints["fields"] = json!(["cert_no", "registered_on"]);
    hints["authorization"] = world.authorization_of("111", number).text().into();
    hinted(submit, hints);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_register_has_nobody_is_asked_for() {
    let world = World::pair(plan()).await;
    world.publish(&[]);
    world.xianan.reload().await;
    let case = world.submitted(|submit| looked_up(&world, submit, JIA)).await;
    let (ours, theirs) = world.agreed(&case, |_| true).await;
    for view in [&ours, &theirs] {
        let material = &view["materials"][0];
        assert_eq!((&material["evidence"], &material["standing"]), (&json!("shared_data"), &json!("proven")));
        assert_eq!((&material["by"], &material["at"]), (&json!("YH0123"), &json!(NOW)));
    }
    let exchange = ours["materials"][0]["reference"].as_str().unwrap();
    let leaves = world.xianan.leaves().await;
    let lookup = leaves.iter().find(|leaf| leaf["x"] == exchange).expect("the lookup stands in the ledger");
    assert_eq!((&lookup["op"], &lookup["dec"]), (&json!("license.query"), &json!("permit")));
    let list = world.office().get("/local/v1/verifications").await.json();
    assert_eq!(list["verifications"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_register_has_not_is_shown_in_the_next_agreed_way() {
    let world = World::pair(plan()).await;
    world.publish(&[]);
    world.xianan.reload().await;
    let mut submit = world.local_submit();
    looked_up(&world, &mut submit, DING);
    let told = world.window().post("/local/v1/applications", &submit).await.json();
    assert_eq!(told["materials"][0]["evidence"], "timed_verification", "{told}");
    assert_eq!(told["materials"][0]["tried"], json!([{"evidence": "shared_data", "reason": "not-found"}]));

    // Without a question there is the commitment, and without it the file.
    let case = world
        .submitted(|submit| hinted(submit, json!({"commitment": commitment(&world), "upload": file()})))
        .await;
    let view = world.office().case(&case).await;
    assert_eq!(
        (&view["materials"][0]["evidence"], &view["materials"][0]["standing"]),
        (&json!("commitment"), &json!("committed"))
    );
    let case = world.submitted(|submit| hinted(submit, json!({"upload": file()}))).await;
    let view = world.office().case(&case).await;
    assert_eq!(
        (&view["materials"][0]["evidence"], &view["materials"][0]["standing"]),
        (&json!("upload"), &json!("awaited"))
    );
    world.window().brings(b"abc").await;
    let view = world.office().case_until(&case, |view| view["awaiting"] == json!([])).await;
    assert_eq!(view["materials"][0]["standing"], "proven");
    world.window().case_until(&case, |view| view["awaiting"] == json!([])).await;
}

fn file() -> Value {
    json!({"sha256": hex_of(b"abc"), "bytes": 3, "media_type": "application/pdf"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_is_checked_and_the_case_shows_what_was_found() {
    let world = World::pair(plan()).await;
    let case = world.submitted(|submit| hinted(submit, json!({"commitment": commitment(&world)}))).await;
    let accept = json!({"doc_no": "受1", "project_type": "2", "promise_date": "2030-03-25"});
    world.office_does(&case, "accept", accept).await;
    let check = json!({"material": "M2", "outcome": "fulfilled", "check_mode": "online"});
    world.office_does(&case, "verify_commitment", check).await;
    let (ours, _) = world.agreed(&case, |view| view["materials"][0]["standing"] == "proven").await;
    assert_eq!(ours["materials"][0]["by"], "XA0456");
    let found = json!({"material": "M2", "outcome": "false", "check_mode": "onsite", "action": "revoke"});
    world.office_does(&case, "verify_commitment", found).await;
    let (ours, _) = world.agreed(&case, |view| view["materials"][0]["standing"] == "refuted").await;
    assert_eq!(ours["state"], "TERMINATED", "虚假承诺");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_its_authority_did_not_sign_for_this_pair_does_not_leave() {
    let world = World::pair(plan()).await;
    let forged = world.authorization().without("/status").forged_by(&new_key(Algorithm::Es256));
    let others = world.authorization().without("/status").with("/client_id", "urn:tongban:gw:320922");
    for (token, rule) in [(forged, "signature-mismatch"), (others, "client")] {
        let mut submit = world.local_submit();
        let mut given = commitment(&world);
        given["authorization"] = token.text().into();
        hinted(&mut submit, json!({"commitment": given}));
        let told = world.window().post("/local/v1/applications", &submit).await;
        assert_eq!(told.status, 422);
        let fault = &told.json()["errors"][0];
        assert_eq!(fault["pointer"], "/body/materials/0/commitment/authorization");
        assert_eq!(fault["rule"], rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_hints_are_told_all_at_once_and_before_anybody_is_asked() {
    let world = World::pair(plan().item(|item| {
        item["materials"].as_array_mut().unwrap().push(file_material("M5", "optional"));
    }))
    .await;
    world.publish(&[]);
    world.xianan.reload().await;
    let mut submit = world.local_submit();
    looked_up(&world, &mut submit, JIA);
    let good = submit.clone();
    let materials = submit["body"]["materials"].as_array_mut().unwrap();
    let hints = &mut materials[0];
    hints["ask"] = "999999".into();
    hints["colour"] = "red".into();
    hints["fields"] = json!("cert_no");
    hints["license"]["holder"]["number"] = "42120219000101001A".into();
    hints["claims"] = json!({"cert_no": 1});
    materials.push(json!({"code": "M5", "commitment": {"text_digest": "short", "authorization": "a.b.c",
                                                       "due": "2030-04-01"}}));
    materials.push(json!({"code": "M5"}));
    submit["body"]["applicant"]["name"] = "".into();
    let told = world.window().post("/local/v1/applications", &submit).await;
    assert_eq!(told.status, 422);
    let errors = told.json()["errors"].as_array().unwrap().clone();
    let mut pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/body/applicant/name",
            "/body/materials/0",
            "/body/materials/0/ask",
            "/body/materials/0/claims/cert_no",
            "/body/materials/0/fields",
            "/body/materials/0/license/holder/number",
            "/body/materials/1/commitment/text_digest",
            "/body/materials/2",
        ]
    );
    // Nobody was asked: the authorization for one use is still good.
    let leaves = world.yuhuan.leaves().await;
    assert!(leaves.iter().all(|leaf| leaf["t"] != "out.sent"), "{leaves:?}");
    let told = world.window().post("/local/v1/applications", &good).await;
    assert_eq!((told.status, &told.json()["materials"][0]["evidence"]), (202, &json!("shared_data")));
}
