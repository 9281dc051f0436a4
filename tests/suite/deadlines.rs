//! Time runs the same on both sides of a case (protocol §6.5): limits in working days, pauses,
//! what the clock does by itself, and a year whose calendar nobody published.

use serde_json::{Value, json};

use crate::support::*;

/// 行政许可 by its code: silence accepts.
const PERMIT: &str = "11421202TECT0001914000109001000";

fn limits(item: &mut Value) {
    item["promise_limit"] = json!({"value": 5, "unit": "working_day"});
    item["legal_limit"] = json!({"value": 20, "unit": "working_day"});
}

fn plan(moment: &str) -> WorldPlan {
    WorldPlan::of_cases().begun_at(shanghai(moment)).item(limits)
}

/// A case whose file is there.
async fn complete(world: &World, bend: impl FnOnce(&mut Value)) -> String {
    world.window().brings(b"abc").await;
    let case = world.submitted(bend).await;
    for door in [world.window(), world.office()] {
        door.case_until(&case, |view| view["awaiting"] == json!([])).await;
    }
    case
}

fn accept(promise: &str) -> Value {
    json!({"doc_no": "受1", "project_type": "2", "promise_date": promise})
}

/// `2026-10-13T23:59:59 green`, once both sides and the partner's status say so.
async fn clock(world: &World, case: &str) -> String {
    let (ours, theirs) = world.agreed(case, |_| true).await;
    assert_eq!(ours["clock"], theirs["clock"], "both sides show the same");
    assert_eq!(ours["supervision"], theirs["supervision"]);
    assert_eq!(world.status_of(case).await["clock"], ours["clock"]);
    let clock = &ours["clock"];
    let due = clock["due"].as_i64().map_or("-".to_owned(), |due| {
        let due = jiff::Timestamp::from_second(due).unwrap();
        jiff::tz::Offset::constant(8).to_datetime(due).to_string()
    });
    let paused = if clock["paused"] == true { " paused" } else { "" };
    format!("{due} {}{paused}", clock["colour"].as_str().unwrap())
}

fn rules(view: &Value) -> Vec<&str> {
    view["supervision"].as_array().unwrap().iter().map(|record| record["rule"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_crosses_the_national_day_has_the_same_colours_on_both_sides() {
    let world = World::pair(plan("2026-09-29T10:00:00")).await;
    let case = complete(&world, |_| ()).await;
    assert_eq!(clock(&world, &case).await, "2026-10-12T23:59:59 green", "five working days for the notice");
    world.move_to("2026-09-30T10:00:00");
    world.office_does(&case, "accept", accept("2026-12-31")).await;
    for (moment, shown) in [
        ("2026-09-30T10:00:00", "2026-10-13T23:59:59 green"),
        ("2026-10-07T12:00:00", "2026-10-13T23:59:59 green"),
        ("2026-10-11T23:59:59", "2026-10-13T23:59:59 green"),
        ("2026-10-12T00:00:00", "2026-10-13T23:59:59 yellow"),
        ("2026-10-13T23:59:59", "2026-10-13T23:59:59 yellow"),
        ("2026-10-14T00:00:00", "2026-10-13T23:59:59 red"),
    ] {
        world.move_to(moment);
        assert_eq!(clock(&world, &case).await, shown, "{moment}");
    }
    for door in [world.window(), world.office()] {
        for kind in ["deadline.soon", "deadline.overdue"] {
            let of_case =
                |notice: &Value| notice["data"]["case"] == case && notice["data"]["state"] == "ACCEPTED";
            door.notice_until(kind, of_case).await;
        }
    }
    world.move_to("2026-11-04T00:00:00");
    for door in [world.window(), world.office()] {
        door.notice_until("deadline.legal_overdue", |notice| notice["data"]["case"] == case).await;
        let view = door.case(&case).await;
        assert_eq!((&view["legal_overdue"], rules(&view)), (&json!(true), vec!["S03", "S04"]));
        let told: Vec<Value> = door.notices("deadline.overdue").await;
        assert_eq!(told.len(), 1, "once, not every second: {told:?}");
    }
    let deny = json!({"outcome": "deny", "decision_no": "决1", "reason": "不符", "appeal": "可复议"});
    world.office_does(&case, "decide", deny).await;
    assert_eq!(clock(&world, &case).await, "2026-11-18T23:59:59 green", "ten days for the delivery");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_accepts_a_permit_by_the_clock_and_dates_it_back() {
    let world = World::pair(plan("2026-10-12T09:00:00").item(|item| item["code"] = PERMIT.into())).await;
    let case = complete(&world, |submit| submit["item"] = PERMIT.into()).await;
    world.move_to("2026-10-19T23:59:59");
    world.office().notice_until("deadline.soon", |_| true).await;
    assert_eq!(world.office().case(&case).await["state"], "RECEIVED", "the last second is in time");
    world.move_to("2026-10-20T00:00:00");
    let (ours, theirs) = world.agreed(&case, |view| view["state"] == "ACCEPTED").await;
    let last = &ours["events"][1];
    assert_eq!(
        (&last["event"], &last["officer"], &last["from"]),
        (&json!("deemed_accepted"), &json!("clock"), &json!("handling"))
    );
    assert_eq!(ours["acceptance"]["at"], shanghai("2026-10-12T09:00:00"));
    assert_eq!((rules(&ours), rules(&theirs)), (vec!["S01", "S02", "S03"], vec!["S01", "S02", "S03"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supplied_in_time_ends_the_case_by_the_clock() {
    let world = World::pair(plan("2026-10-12T09:00:00").item(|item| {
        item["materials"].as_array_mut().unwrap().push(file_material("M6", "tolerant"));
    }))
    .await;
    let asked = complete(&world, |_| ()).await;
    let notice =
        json!({"notice_no": "补1", "items": [{"material": "M2", "reason": "不清"}], "due": "2026-10-15"});
    world.office_does(&asked, "need_supplement", notice).await;
    assert_eq!(clock_of_paused(&world, &asked).await, "2026-10-15T23:59:59 green paused");
    let tolerated = complete(&world, |_| ()).await;
    let mut tolerant = accept("2026-10-19");
    tolerant["missing"] = json!(["M6"]);
    tolerant["commitment"] =
        json!({"text_digest": "d".repeat(43), "authorization": "a.b.c", "due": "2026-10-16"});
    tolerant["due"] = json!("2026-10-16");
    world.office_does(&tolerated, "accept_tolerant", tolerant).await;
    world.agreed(&tolerated, |view| view["state"] == "ACCEPTED_TOLERANT").await;

    world.move_to("2026-10-16T00:00:00");
    let (ours, _) = world.agreed(&asked, |view| view["state"] == "TERMINATED").await;
    assert_eq!(ours["events"][2]["event"], "lapse");
    assert_eq!(world.office().case(&tolerated).await["state"], "ACCEPTED_TOLERANT");
    world.move_to("2026-10-17T00:00:00");
    let (ours, _) = world.agreed(&tolerated, |view| view["state"] == "TERMINATED").await;
    assert_eq!(ours["events"][2]["event"], "tolerance_expired");
}

async fn clock_of_paused(world: &World, case: &str) -> String {
    world.agreed(case, |view| view["clock"]["paused"] == true).await;
    clock(world, case).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_special_procedure_stops_the_clock_and_one_extension_moves_it() {
    let world = World::pair(plan("2026-10-12T09:00:00")).await;
    let case = complete(&world, |_| ()).await;
    world.office_does(&case, "accept", accept("2026-10-30")).await;
    assert_eq!(clock(&world, &case).await, "2026-10-19T23:59:59 green");
    world.move_to("2026-10-13T09:00:00");
    let special = json!({"kind": "2", "name": "现场核查", "reason": "需核查住所", "approver": "XA0001",
                         "limit": {"value": 5, "unit": "working_day"}});
    world.office_does(&case, "start_special", special).await;
    world.move_to("2026-10-16T09:00:00");
    assert_eq!(clock(&world, &case).await, "2026-10-19T23:59:59 green paused");
    world.office_does(&case, "end_special", json!({"result": "属实"})).await;
    assert_eq!(clock(&world, &case).await, "2026-10-22T23:59:59 green");
    let extend = json!({"working_days": 10, "approver": "XA0001", "reason": "情况复杂"});
    world.office_does(&case, "extend", extend.clone()).await;
    assert_eq!(clock(&world, &case).await, "2026-11-05T23:59:59 green");
    let by = json!({"org": OFFICE, "officer": "XA0456"});
    let again = world.office().act(&case, &json!({"event": "extend", "by": by, "data": extend})).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (409, Some("illegal-transition")));
}

/// A made-up year: nobody has published it when these tests are written.
fn year_2027() -> Value {
    json!({"year": 2027, "title": "Invented", "title_zh": "虚构", "notice": "测试〔2026〕1号",
           "published": "2026-11-01", "off": ["2027-01-01"], "work": []})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_meets_an_unpublished_year_waits_for_it_and_is_not_guessed() {
    let years = tempfile::tempdir().unwrap();
    let plan = WorldPlan::of_cases_with_years(years.path())
        .begun_at(shanghai("2026-12-28T09:00:00"))
        .item(limits)
        .item(|item| item["code"] = PERMIT.into());
    let world = World::pair(plan).await;
    let case = complete(&world, |submit| submit["item"] = PERMIT.into()).await;
    for door in [world.window(), world.office()] {
        assert_eq!(door.case(&case).await["clock"], Value::Null);
    }
    let status = world.about(&case, "application.status", json!({"case": case})).with("/item", PERMIT);
    let told = world.ask(status).await;
    assert_eq!((told.status, told.code(), told.signed), (503, "calendar-unpublished", true));
    let by = json!({"org": OFFICE, "officer": "XA0456"});
    let event = json!({"event": "accept", "by": by, "data": accept("2026-12-31")});
    let refused = world.office().act(&case, &event).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("calendar-unpublished")));
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert_eq!(world.office().case(&case).await["events"].as_array().unwrap().len(), 1, "nothing changed");

    put(&years.path().join("2027.json"), year_2027().to_string());
    world.xianan.reload().await;
    world.yuhuan.reload().await;
    let (ours, theirs) = world.agreed(&case, |view| view["clock"]["due"].is_i64()).await;
    assert_eq!(ours["clock"], theirs["clock"]);
    assert_eq!(ours["clock"]["due"], shanghai("2027-01-05T23:59:59"));
    // The clock of a case that could not be reckoned runs again by itself, into another half year.
    world.move_to("2027-01-06T00:00:00");
    world.agreed(&case, |view| view["state"] == "ACCEPTED").await;
}
