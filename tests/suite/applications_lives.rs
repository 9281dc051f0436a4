//! Whole lives of applications over two gateways: in parts, at once, supplemented, with
//! something to follow, evaluated, corrected (domain reference §7.5, §7.7).

use serde_json::{Value, json};

use crate::support::*;

fn accept() -> Value {
    json!({"doc_no": "受1", "project_type": "2", "promise_date": "2030-03-25"})
}

fn grant() -> Value {
    json!({"outcome": "grant", "decision_no": "准1"})
}

fn deny() -> Value {
    json!({"outcome": "deny", "decision_no": "决1", "reason": "部分事项未办成", "appeal": "六十日内可复议"})
}

fn delivery(world: &World) -> Value {
    json!({"method": "electronic", "signer": "测试甲", "at": world.now()})
}

/// From acceptance to the archive, the applicant's way.
async fn granted_and_closed(world: &World, case: &str) {
    world.office_does(case, "accept", accept()).await;
    world.office_does(case, "decide", grant()).await;
    world.office_does(case, "issue_license", json!({"licenses": [MARRIAGE_ID]})).await;
    world.office_does(case, "deliver", delivery(world)).await;
    world.office_does(case, "close", json!({"archive_digest": "d".repeat(43)})).await;
    world.agreed(case, |view| view["state"] == "CLOSED").await;
}

fn part_of<'a>(view: &'a Value, case: &str) -> &'a Value {
    view["parts"].as_array().unwrap().iter().find(|part| part["case"] == case).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_is_decided_when_its_parts_have_ended() {
    let world = World::pair(WorldPlan::of_cases()).await;
    let parent = world.submitted(|_| ()).await;
    let child = async || world.submitted(|submit| submit["body"]["parent"] = parent.clone().into()).await;
    let (first, second) = (child().await, child().await);
    for door in [world.window(), world.office()] {
        let view = door.case_until(&parent, |view| view["parts"].as_array().unwrap().len() == 2).await;
        assert_eq!(part_of(&view, &first)["granted"], false);
    }
    world.office_does(&parent, "accept", accept()).await;
    let by = json!({"org": OFFICE, "officer": "XA0456"});
    let decides = async |data: Value| {
        let event = json!({"event": "decide", "by": by, "data": data});
        world.office().act(&parent, &event).await.status
    };
    assert_eq!(decides(grant()).await, 409, "its parts are open");
    granted_and_closed(&world, &first).await;
    assert_eq!(decides(grant()).await, 409, "one part is open");
    world.window_does(&second, "withdraw", json!({})).await;
    for door in [world.window(), world.office()] {
        let parts =
            |view: &Value| (part_of(view, &first)["state"].clone(), part_of(view, &second)["state"].clone());
        door.case_until(&parent, |view| parts(view) == (json!("CLOSED"), json!("WITHDRAWN"))).await;
    }
    assert_eq!(decides(grant()).await, 409, "one part was not granted");
    assert_eq!(decides(deny()).await, 202);
    world.agreed(&parent, |view| view["state"] == "DECIDED_DENY").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_whose_parts_were_granted_is_granted_in_whatever_order_they_came() {
    let world = World::pair(WorldPlan::of_cases()).await;
    let (parent, other) = (case_number(1), case_number(2));
    let child = async |parent: &str| world.submitted(|submit| submit["body"]["parent"] = parent.into()).await;
    // The part is there before its parent.
    let part = child(&parent).await;
    granted_and_closed(&world, &part).await;
    world.submitted(|submit| submit["case"] = parent.clone().into()).await;
    for door in [world.window(), world.office()] {
        let view = door.case_until(&parent, |view| view["parts"].as_array().unwrap().len() == 1).await;
        assert_eq!(
            (&part_of(&view, &part)["state"], &part_of(&view, &part)["granted"]),
            (&json!("CLOSED"), &json!(true))
        );
    }
    world.office_does(&parent, "accept", accept()).await;
    world.office_does(&parent, "decide", grant()).await;
    world.agreed(&parent, |view| view["state"] == "DECIDED_GRANT").await;

    // Two that name each other are parts of nobody, and do not wait for each other.
    let third = case_number(3);
    let [one, two] = [(&other, &third), (&third, &other)]
        .map(|(case, parent)| world.submit_of(case).with("/body/parent", parent.clone()).bytes());
    for verdict in world.ask_all(vec![one, two]).await {
        assert_eq!(verdict.status, 202, "{}", verdict.outcome);
    }
    let event = world.window_event(
        1,
        &digest_of(&{
            let mut body = world.submit_body();
            body["parent"] = third.clone().into();
            body
        }),
        "withdraw",
        json!({}),
    );
    assert_eq!(world.ask(world.about(&other, "application.event", event)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_on_the_spot_is_done_in_one_breath() {
    let world = World::pair(WorldPlan::of_cases().item(|item| {
        item["project_type"] = "1".into();
        item["promise_limit"] = json!({"value": 0, "unit": "working_day"});
    }))
    .await;
    let case = world.submitted(|_| ()).await;
    let mut at_once = accept();
    at_once["project_type"] = "1".into();
    world.office_does(&case, "accept", at_once).await;
    world.office_does(&case, "decide", grant()).await;
    world.office_does(&case, "deliver", delivery(&world)).await;
    world.office_does(&case, "close", json!({"archive_digest": "d".repeat(43)})).await;
    let (ours, _) = world.agreed(&case, |view| view["state"] == "CLOSED").await;
    let seqs: Vec<u64> =
        ours["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missing_is_supplemented_with_a_new_file() {
    let world = World::pair(WorldPlan::of_cases()).await;
    world.window().brings(b"abc").await;
    let case = world.submitted(|_| ()).await;
    world.office().case_until(&case, |view| view["awaiting"] == json!([])).await;
    let items = json!([{"material": "M2", "reason": "不清"}]);
    let notice = json!({"notice_no": "补1", "items": items, "due": "2030-03-25"});
    world.office_does(&case, "need_supplement", notice.clone()).await;
    world.agreed(&case, |view| view["state"] == "SUPPLEMENT_PENDING").await;
    let by = json!({"org": WINDOW, "officer": "YH0123"});
    let other = json!({"event": "supplement", "by": by, "data": {"materials": [upload("M9", b"new")]}});
    let refused = world.window().act(&case, &other).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (422, Some("schema-violation")));
    world.window_does(&case, "supplement", json!({"materials": [upload("M2", b"new")]})).await;
    world
        .agreed(&case, |view| view["state"] == "RECEIVED" && view["awaiting"] == json!([hex_of(b"new")]))
        .await;
    world.window().brings(b"new").await;
    let (ours, theirs) = world.agreed(&case, |view| view["awaiting"] == json!([])).await;
    assert_eq!(ours["materials"], theirs["materials"]);
    assert_eq!(
        (&ours["materials"][0]["standing"], &ours["materials"][0]["reference"]),
        (&json!("proven"), &json!(hex_of(b"new")))
    );
    // One notice, once and for all.
    let by = json!({"org": OFFICE, "officer": "XA0456"});
    let again = json!({"event": "need_supplement", "by": by, "data": notice});
    assert_eq!(world.office().act(&case, &again).await.status, 409);
    world.office_does(&case, "accept", accept()).await;
    world.agreed(&case, |view| view["state"] == "ACCEPTED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_follow_later_follows_as_a_supplement() {
    let world = World::pair(WorldPlan::of_cases().item(|item| {
        item["materials"].as_array_mut().unwrap().push(file_material("M6", "tolerant"));
        item["promise_limit"] = json!({"value": 5, "unit": "working_day"});
    }))
    .await;
    let case = world.submitted(|_| ()).await;
    let mut tolerant = accept();
    tolerant["missing"] = json!(["M6"]);
    tolerant["commitment"] =
        json!({"text_digest": "d".repeat(43), "authorization": "a.b.c", "due": "2030-03-22"});
    tolerant["due"] = json!("2030-03-22");
    world.office_does(&case, "accept_tolerant", tolerant).await;
    world.agreed(&case, |view| view["state"] == "ACCEPTED_TOLERANT").await;
    world.window().brings(b"later").await;
    world.window_does(&case, "supplement", json!({"materials": [upload("M6", b"later")]})).await;
    world
        .office()
        .case_until(&case, |view| {
            view["materials"]
                .as_array()
                .unwrap()
                .iter()
                .any(|material| material["code"] == "M6" && material["standing"] == "proven")
        })
        .await;
    world.office_does(&case, "tolerance_filled", json!({"materials": ["M6"]})).await;
    let (ours, _) = world.agreed(&case, |view| view["state"] == "ACCEPTED").await;
    assert_eq!(ours["acceptance"]["tolerance"]["filled"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_evaluation_is_put_right_and_followed_up() {
    let world = World::pair(WorldPlan::of_cases()).await;
    let case = world.submitted(|_| ()).await;
    world
        .office_does(
            &case,
            "refuse",
            json!({"doc_no": "不受1", "reason": "非本机关职权", "authority": "测试局"}),
        )
        .await;
    world.window().case_until(&case, |view| view["state"] == "NOT_ACCEPTED").await;
    let evaluate = |role: &str, satisfaction: &str, times: u8| json!({"role": role, "channel": "短信", "satisfaction": satisfaction, "times": times, "at": world.now()});
    let by = json!({"org": WINDOW, "officer": "YH0123"});
    let follow = json!({"event": "evaluate", "by": by, "data": evaluate("handling", "1", 2)});
    assert_eq!(world.window().act(&case, &follow).await.status, 409, "no follow-up without a first");
    world.window_does(&case, "evaluate", evaluate("handling", "5", 1)).await;
    world.window_does(&case, "evaluate", evaluate("collecting", "1", 1)).await;
    world.agreed(&case, |view| view["evaluations"].as_array().unwrap().len() == 2).await;
    let rectify = json!({"role": "handling", "times": 1, "measures": "已培训", "called_back_at": world.now(),
                         "result": "满意"});
    world.office_does(&case, "rectify", rectify).await;
    world.agreed(&case, |view| view["evaluations"][0]["rectified_at"].is_i64()).await;
    world.window_does(&case, "evaluate", evaluate("handling", "2", 2)).await;
    let (ours, theirs) = world.agreed(&case, |view| view["evaluations"].as_array().unwrap().len() == 3).await;
    assert_eq!(ours["evaluations"], theirs["evaluations"]);
    assert_eq!(ours["state"], "NOT_ACCEPTED", "none of it moves the case");
    let report = world.window().get("/local/v1/reports/timeliness").await.json();
    assert_eq!(
        (&report["partners"][0]["handled_by"], &report["partners"][0]["bad_evaluations"]),
        (&json!(XIANAN), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_drops_the_cached_record_and_comes_back_answered() {
    let world = World::pair(WorldPlan::of_cases()).await;
    world.publish(&[]);
    world.xianan.reload().await;
    let lookup = async || {
        let verdict = world.ask(world.lookup()).await;
        assert_eq!(verdict.status, 200, "{}", verdict.outcome);
    };
    let from = async |source: &str| {
        world.xianan.metric(&format!("tongban_license_answers_total{{source=\"{source}\"}}")).await as i64
    };
    lookup().await;
    lookup().await;
    assert_eq!(from("cache").await, 1);
    let case = world.submitted(|_| ()).await;
    let request = json!({"id": "c".repeat(22), "exchange": "x".repeat(22), "license_id": MARRIAGE_ID,
        "field": "registered_on", "claimed": "2026-01-06", "evidence": ["M2"], "due": "2030-04-01"});
    world.window_does(&case, "request_correction", request).await;
    world.agreed(&case, |view| view["corrections"].as_array().unwrap().len() == 1).await;
    let asked = from("register").await;
    lookup().await;
    assert_eq!((from("cache").await, from("register").await), (1, asked + 1), "the register is asked again");
    world
        .office_does(
            &case,
            "answer_correction",
            json!({"id": "c".repeat(22), "outcome": "corrected", "note": "已更正"}),
        )
        .await;
    let (ours, _) = world.agreed(&case, |view| view["corrections"][0]["answered"].is_array()).await;
    assert_eq!(ours["corrections"][0]["answered"], json!([NOW, "corrected"]));
}
