//! The region's own systems and their applications (protocol §9): taken once, listed whole,
//! told of what happens, sent again by a person; each system does what its entry says.

use std::fs;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::*;

const PLACE: &str = "/local/v1/applications";

async fn with_key(door: &Local, key: &str, submit: &Value) -> Told {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    door.call("POST", PLACE, &headers, Bytes::from(submit.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_application_also_at_once_and_after_a_restart() {
    let mut world = World::pair(WorldPlan::of_cases()).await;
    let (window, submit) = (world.window(), world.local_submit());
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let (window, submit) = (window.clone(), submit.clone());
            tokio::spawn(async move { with_key(&window, "one", &submit).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        let told = call.await.unwrap();
        assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
        answers.push(told.json());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let other = submit["body"].clone();
    let mut changed = submit.clone();
    changed["body"]["applicant"]["mobile"] = "13900000001".into();
    let reused = with_key(&window, "one", &changed).await;
    assert_eq!((reused.status, reused.json()["code"].as_str()), (422, Some("idempotency-key-reused")));
    let fresh = with_key(&window, "two", &submit).await.json();
    assert_ne!(fresh["case"], answers[0]["case"], "another key is another application");
    assert_eq!(other, submit["body"]);
    for odd in ["", &"k".repeat(129)] {
        assert_eq!(with_key(&window, odd, &submit).await.status, 400, "{} characters", odd.len());
    }

    let clock = world.clock.clone();
    world.yuhuan.stop().await;
    world.yuhuan.start(&clock).await;
    let again = with_key(&world.window(), "one", &submit).await;
    assert_eq!((again.status, again.json()), (202, answers[0].clone()));
    let listed = world.window().get(PLACE).await.json();
    assert_eq!(listed["applications"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_by_page_without_a_gap_or_a_repeat() {
    let world = WorldPlan::of_cases().start().await;
    let numbers: Vec<String> = (1..=230).map(case_number).collect();
    let messages = numbers.iter().map(|case| world.submit_of(case).bytes()).collect();
    assert!(world.ask_all(messages).await.iter().all(|verdict| verdict.status == 202));
    let withdrawn = &numbers[7];
    let event = world.window_event(1, &digest_of(&world.submit_body()), "withdraw", json!({}));
    assert_eq!(world.ask(world.about(withdrawn, "application.event", event)).await.status, 200);

    let office = world.office();
    let all = async |filter: &str| {
        let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = office.get(&format!("{PLACE}?cursor={cursor}{filter}")).await.json();
            let rows = page["applications"].as_array().unwrap().clone();
            found.extend(rows.iter().map(|row| row["case"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return (found, pages),
            }
        }
    };
    let (mut found, pages) = all("").await;
    assert_eq!(pages, 3);
    found.sort_unstable();
    let mut expected = numbers.clone();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(all("&state=WITHDRAWN").await.0, [withdrawn.as_str()]);
    assert_eq!(all(&format!("&state=RECEIVED&role=handling&partner={YUHUAN}")).await.0.len(), 229);
    assert_eq!(all("&role=collecting").await.0, [""; 0]);
    for odd in ["cursor=x", "cursor=-1", "role=both", "state=OPEN"] {
        assert_eq!(office.get(&format!("{PLACE}?{odd}")).await.status, 400, "{odd}");
    }

    let (mut told, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = office.get(&format!("/local/v1/notices?limit=50&cursor={cursor}")).await.json();
        told.extend(page["notices"].as_array().unwrap().clone());
        cursor = page["next"].as_str().unwrap().to_owned();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(told.len(), 231, "one for each submit, and the withdrawal");
    let of_it: Vec<&Value> = told.iter().filter(|notice| notice["subject"] == **withdrawn).collect();
    let events: Vec<&Value> = of_it.iter().map(|notice| &notice["data"]["event"]).collect();
    assert_eq!(events, ["submit", "withdraw"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_listed_and_sent_again_by_a_person_in_its_order() {
    let world = World::pair(WorldPlan::of_cases().configured("\n[relay]\ngive_up_after_days = 1\n")).await;
    // 咸安 is away: nobody answers there.
    world.yuhuan.trust_card(&world.answering.card("https://127.0.0.1:9"));
    world.yuhuan.reload().await;
    let window = world.window();
    let told = window.post(PLACE, &world.local_submit()).await;
    assert_eq!(told.status, 202, "a partner that is away costs delay, not the application");
    let case = told.json()["case"].as_str().unwrap().to_owned();
    let view = window.case(&case).await;
    assert_eq!((&view["state"], &view["transport"]), (&json!("RELAYED"), &json!("waiting")));
    world.window_does(&case, "withdraw", json!({})).await;
    let waiting = window.get("/local/v1/parcels?state=waiting").await.json();
    assert_eq!(waiting["parcels"].as_array().unwrap().len(), 2);
    world.clock.advance(2 * 86_400_000);
    let view = window.case_until(&case, |view| view["transport"] == "undeliverable").await;
    let states: Vec<&Value> =
        view["parcels"].as_array().unwrap().iter().map(|parcel| &parcel["state"]).collect();
    assert_eq!(states, ["undeliverable", "waiting"], "what is behind it keeps its place");
    let notice = window.notice_until("parcel.ended", |_| true).await;
    let listed = window.get("/local/v1/parcels").await.json();
    let parcel = &listed["parcels"][0];
    assert_eq!((&parcel["id"], &parcel["line"]), (&notice["data"]["parcel"], &json!(case)));
    assert_eq!(parcel["reason"], notice["data"]["reason"]);

    world.yuhuan.trust_card(&world.answering.card(&format!("https://{}", world.xianan.door())));
    world.yuhuan.reload().await;
    let redrive = |id: &str| format!("/local/v1/parcels/{id}/redrive");
    let id = parcel["id"].as_str().unwrap();
    let told = window.post(&redrive(id), &json!({})).await;
    assert_eq!((told.status, told.json()["state"].as_str()), (202, Some("waiting")));
    let (ours, _) = world.agreed(&case, |view| view["state"] == "WITHDRAWN").await;
    assert_eq!(ours["events"].as_array().unwrap().len(), 2, "the submit first, then the withdrawal");
    window.case_until(&case, |view| view["transport"] == "delivered").await;
    for done in [id, "nothing"] {
        let told = window.post(&redrive(done), &json!({})).await;
        assert_eq!((told.status, told.json()["code"].as_str()), (404, Some("unknown-parcel")));
    }
}

/// What each permission opens: `-` is "not yours" (403).
#[tokio::test(flavor = "multi_thread")]
async fn a_system_does_what_its_entry_says_and_nothing_else() {
    let permissions = [
        "application.submit",
        "application.event",
        "application.status",
        "verification.answer",
        "application.*",
        "license.query",
    ];
    let root = tempfile::tempdir().unwrap();
    let (scene, mut xianan, _) = WorldPlan::of_cases().settle(root.path());
    let entry = |may: &str| {
        let hash = tongban::envelope::digest(token_of(may).as_bytes());
        format!(
            "\n[[local_listener.client]]\nname = \"{may}\"\ntoken_sha256 = \"{}\"\nmay = [\"{may}\"]\n",
            hex::encode(hash)
        )
    };
    let entries: String = permissions.iter().map(|may| entry(may)).collect();
    let file = xianan.home.join("gateway.toml");
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find("[console_listener]").unwrap();
    put(&file, format!("{}{entries}\n{}", &text[..at], &text[at..]));
    xianan.start(&scene.clock).await;
    let case = case_number(1);
    let calls = [
        ("POST", PLACE.to_owned()),
        ("GET", PLACE.to_owned()),
        ("GET", format!("{PLACE}/{case}")),
        ("POST", format!("{PLACE}/{case}/events")),
        ("GET", "/local/v1/verifications".to_owned()),
        ("POST", format!("/local/v1/verifications/{}/answer", "V".repeat(22))),
        ("GET", "/local/v1/notices".to_owned()),
        ("GET", "/local/v1/parcels".to_owned()),
        ("POST", "/local/v1/parcels/x/redrive".to_owned()),
        ("GET", "/local/v1/reports/timeliness".to_owned()),
    ];
    let mut told = Vec::new();
    for (method, path) in &calls {
        let mut may = Vec::new();
        for permission in permissions {
            let door = Local { token: Some(token_of(permission)), ..xianan.local() };
            let headers = [("content-type", "application/json")];
            let answer = door.call(method, path, &headers, Bytes::from_static(b"{}")).await;
            assert_ne!(answer.status, 401);
            if answer.status != 403 {
                may.push(permission);
            }
        }
        told.push(format!(
            "{method} {}: {}",
            path.replace(&case, "K").replace(&"V".repeat(22), "V"),
            may.join(" ")
        ));
    }
    assert_eq!(
        told,
        [
            "POST /local/v1/applications: application.submit application.*",
            "GET /local/v1/applications: application.status application.*",
            "GET /local/v1/applications/K: application.status application.*",
            "POST /local/v1/applications/K/events: application.event application.*",
            "GET /local/v1/verifications: verification.answer",
            "POST /local/v1/verifications/V/answer: verification.answer",
            "GET /local/v1/notices: application.status application.*",
            "GET /local/v1/parcels: application.status application.*",
            "POST /local/v1/parcels/x/redrive: application.event application.*",
            "GET /local/v1/reports/timeliness: application.status application.*",
        ]
    );
    xianan.stop().await;
}

fn token_of(permission: &str) -> String {
    format!("{permission}-").repeat(6)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_submit_is_told_whole_and_nothing_is_kept() {
    let world = World::pair(WorldPlan::of_cases()).await;
    let mut submit = world.local_submit();
    submit["to"] = "999999".into();
    submit["basis"] = "because".into();
    submit["colour"] = "red".into();
    submit.as_object_mut().unwrap().shift_remove("purpose");
    let told = world.window().post(PLACE, &submit).await;
    assert_eq!((told.status, told.json()["code"].as_str()), (422, Some("schema-violation")));
    let pointers: Vec<String> = told.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    for pointer in ["/to", "/purpose", ""] {
        assert!(pointers.iter().any(|told| told == pointer), "{pointer}: {pointers:?}");
    }
    let refused = async |bend: &dyn Fn(&mut Value)| {
        let mut submit = world.local_submit();
        bend(&mut submit);
        let told = world.window().post(PLACE, &submit).await;
        told.json()["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(&|submit| submit["item"] = NO_ITEM.into()).await, "unknown-item");
    assert_eq!(refused(&|submit| submit["basis"] = "emergency".into()).await, "basis-not-agreed");
    assert_eq!(refused(&|submit| submit["item"] = DUTY_ITEM.into()).await, "op-not-agreed");
    assert_eq!(refused(&|submit| submit["agreement"] = "421202-331083-2010".into()).await, "no-agreement");
    assert_eq!(refused(&|submit| submit["to"] = BINHAI.into()).await, "no-agreement");
    assert_eq!(
        refused(&|submit| submit["case"] = number_between(BINHAI, XIANAN, 1).into()).await,
        "schema-violation"
    );
    assert_eq!(refused(&|submit| submit["body"]["mode"] = "online".into()).await, "schema-violation");
    for place in ["applications", "parcels?state=waiting", "notices"] {
        let list = world.window().get(&format!("/local/v1/{place}")).await.json();
        let name = place.split('?').next().unwrap();
        assert_eq!(list[name], json!([]), "{place}");
    }
    let unknown = world.window().get(&format!("{PLACE}/{}", case_number(1))).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("unknown-case")));
}

/// The item is agreed there under other terms: the partner's word ends the relay, not the case.
#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_the_partner_refuses_is_told_and_may_be_sent_again_or_withdrawn() {
    let world = World::pair(WorldPlan::of_cases()).await;
    let mut stricter = agreement();
    stricter["items"][0]["ops"] = json!(CASE_OPS);
    stricter["items"][0]["mode"] = "online".into();
    let mut agreed = stricter.clone();
    agreed["items"][0]["mode"] = "multi_joint".into();
    agreed["items"][0]["materials"][0]["evidence"] = json!(["upload"]);
    world.xianan.trust_agreement(&stricter);
    world.xianan.reload().await;
    let window = world.window();
    let submit = async || {
        let told = window.post(PLACE, &world.local_submit()).await;
        assert_eq!(told.status, 202);
        let case = told.json()["case"].as_str().unwrap().to_owned();
        let view = window.case_until(&case, |view| view["state"] == "RELAY_FAILED").await;
        assert_eq!(
            (&view["transport"], &view["parcels"][0]["reason"]),
            (&json!("refused"), &json!("schema-violation"))
        );
        (case, view["parcels"][0]["id"].as_str().unwrap().to_owned())
    };
    let (first, refused) = submit().await;
    let (second, again) = submit().await;
    let notice = window.notice_until("parcel.ended", |notice| notice["data"]["line"] == first.as_str()).await;
    assert_eq!(
        (&notice["data"]["state"], &notice["data"]["reason"]),
        (&json!("refused"), &json!("schema-violation"))
    );
    assert_eq!(world.window_does(&first, "withdraw", json!({})).await["state"], "WITHDRAWN");
    world.xianan.trust_agreement(&agreed);
    world.xianan.reload().await;
    for id in [&refused, &again] {
        let told = window.post(&format!("/local/v1/parcels/{id}/redrive"), &json!({})).await;
        assert_eq!(told.status, 202);
    }
    world.agreed(&second, |view| view["state"] == "RECEIVED").await;
    let view = window.case_until(&first, |view| view["transport"] == "refused").await;
    assert_eq!(
        (&view["state"], &view["parcels"][0]["reason"]),
        (&json!("WITHDRAWN"), &json!("illegal-transition"))
    );
    assert_eq!(world.office().get(&format!("{PLACE}/{first}")).await.status, 404, "it was never there");
}
