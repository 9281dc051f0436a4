//! What a county gets when it looks a license up (protocol §4): exactly what it asked, agreed
//! and authorized, of the age it wants, signed, and nothing beside it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::*;

const CERT_NO: &str = "J331083-2026-000001";
/// How old a record of these types may be (seconds; `schemas/licenses`).
const AGE: i64 = 60;

/// A question and the authorization of `who` (type, number) that covers exactly it.
fn covered(world: &World, who: (&str, &str), body: Value) -> Draft {
    let names = match body["fields"].as_array() {
        Some(fields) => json!(fields),
        None => json!(body["expect"].as_object().unwrap().keys().collect::<Vec<_>>()),
    };
    let token = world
        .authorization_of(who.0, who.1)
        .with("/authorization_details/0/actions", vec![body["mode"].as_str().unwrap()])
        .with("/authorization_details/0/datatypes", vec![body["license"]["type"].as_str().unwrap()])
        .with("/authorization_details/0/fields", names);
    world.lookup().with("/body", body).authorized(&token)
}

fn of_holder(kind: &str, number: &str) -> Value {
    json!({"type": kind, "holder": {"type": "111", "number": number}})
}

fn by_id(kind: &str, id: &str) -> Value {
    json!({"type": kind, "license_id": id})
}

fn read(license: Value, fields: &[&str]) -> Value {
    json!({"license": license, "mode": "read", "fields": fields})
}

fn verify(license: Value, expect: Value) -> Value {
    json!({"license": license, "mode": "verify", "expect": expect})
}

/// 玉环 reads these fields of somebody's marriage certificate.
fn marriage_of(world: &World, number: &str, fields: &[&str]) -> Draft {
    covered(world, ("111", number), read(of_holder(MARRIAGE, number), fields))
}

async fn found(world: &World, message: Draft) -> Value {
    let verdict = world.ask(message).await;
    assert_eq!(verdict.word(), "ok", "{}", verdict.outcome);
    verdict.outcome
}

/// The payload of a compact JWS as it was signed, byte for byte.
fn payload(told: &Told) -> String {
    let text = std::str::from_utf8(&told.body).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A marriage certificate of its own serial number.
fn another_marriage(serial: u32, holder: &str, status: &str) -> Value {
    let mut license = revoked_marriage();
    license["license_id"] = license_id(MARRIAGE, &format!("J331083202600{serial:05}"), "001").into();
    license["number"] = format!("J331083-2026-0{serial:05}").into();
    license["data"]["cert_no"] = license["number"].clone();
    license["holders"][0]["code"] = holder.into();
    license["status"] = status.into();
    license
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_returns_exactly_the_asked_fields_in_the_protocols_form() {
    let world = World::start().await;
    let verdict = world.ask(world.lookup()).await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&verdict.outcome).unwrap(), @r#"
    {
      "found": true,
      "source": "register",
      "as_of": 1900000000,
      "licenses": [
        {
          "license_id": "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N",
          "type": "111000000000131433001",
          "name": "结婚证",
          "issuer": {
            "code": "11331083TECT000279",
            "name": "测试民政局"
          },
          "issued_on": "2026-01-05",
          "valid_from": "2026-01-05",
          "valid_to": null,
          "long_term": true,
          "status": "01",
          "data": {
            "cert_no": "J331083-2026-000001",
            "registered_on": "2026-01-05"
          }
        }
      ]
    }
    "#);
    // What was read here is what was signed there: no member more, no other order.
    assert!(payload(&verdict.told).contains(&format!("\"result\":{}", verdict.outcome)));

    for fields in [&["op_type"][..], &["registered_on", "cert_no"], &["authority", "op_type", "cert_no"]] {
        let outcome = found(&world, marriage_of(&world, JIA, fields)).await;
        let data = outcome["licenses"][0]["data"].as_object().unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), fields, "in the order of the question");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_the_license_does_not_have_is_left_out() {
    let world = World::start().await;
    let body = read(of_holder(HOUSEHOLD, JIA), &["members", "address"]);
    let outcome = found(&world, covered(&world, ("111", JIA), body)).await;
    assert_eq!(outcome["licenses"][0]["data"], json!({"address": "咸安区测试路1号"}));
    let body = verify(of_holder(HOUSEHOLD, JIA), json!({"members": "", "address": "咸安区测试路1号"}));
    let outcome = found(&world, covered(&world, ("111", JIA), body)).await;
    assert_eq!(outcome["licenses"][0]["match"], json!({"members": false, "address": true}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_says_yes_or_no_and_never_the_value() {
    let world = World::start().await;
    let expect = json!({"cert_no": CERT_NO, "registered_on": "2026-01-06", "authority": "测试民政局 ", "op_type": "IA"});
    let verdict = world.ask(covered(&world, ("111", JIA), verify(of_holder(MARRIAGE, JIA), expect))).await;
    let license = &verdict.outcome["licenses"][0];
    assert_eq!(
        license["match"],
        json!({"cert_no": true, "registered_on": false, "authority": false, "op_type": true})
    );
    assert_eq!(license.get("data"), None);
    let text = payload(&verdict.told);
    for value in [CERT_NO, "\"IA\"", "2026-01-06", "测试民政局 "] {
        assert!(!text.contains(value), "{value} stands in {text}");
    }
    // Who may read may verify.
    let asked = world.authorization().with("/authorization_details/0/fields", vec!["cert_no"]);
    let body = verify(of_holder(MARRIAGE, JIA), json!({"cert_no": "J331083-2026-000002"}));
    let outcome = found(&world, world.lookup().with("/body", body).authorized(&asked)).await;
    assert_eq!(outcome["licenses"][0]["match"], json!({"cert_no": false}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_license_id_only_a_holder_of_the_license_may_consent() {
    let world = World::start().await;
    let body = || read(by_id(MARRIAGE, MARRIAGE_ID), &["cert_no"]);
    for holder in [JIA, YI] {
        let outcome = found(&world, covered(&world, ("111", holder), body())).await;
        assert_eq!(outcome["licenses"][0]["license_id"], MARRIAGE_ID);
        assert_eq!(outcome["licenses"][0]["data"], json!({"cert_no": CERT_NO}));
    }
    for stranger in [("111", BING), ("112", JIA), ("001", COMPANY)] {
        let verdict = world.ask(covered(&world, stranger, body())).await;
        assert_eq!(verdict.word(), "authorization-invalid/holder", "{stranger:?}");
        assert!(verdict.signed && verdict.outcome.get("licenses").is_none());
        assert!(!payload(&verdict.told).contains("J331083"), "nothing of the license");
    }
    // A license that is not there has no holder; and the type of a license is part of its id.
    let nowhere = license_id(MARRIAGE, "J33108320260000099", "001");
    let outcome =
        found(&world, covered(&world, ("111", JIA), read(by_id(MARRIAGE, &nowhere), &["cert_no"]))).await;
    assert_eq!(outcome["found"], false);
    // A statutory duty needs no holder's consent, and no holder is checked then.
    let duty = world.duty();
    let by_holder = found(&world, duty).await;
    let id = by_holder["licenses"][0]["license_id"].as_str().unwrap();
    let duty = world.duty().with("/body/license", by_id(BUSINESS, id));
    assert_eq!(found(&world, duty).await["licenses"], by_holder["licenses"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_name_must_be_the_holders() {
    let world = World::start().await;
    let named = |name: &str| {
        let mut license = of_holder(MARRIAGE, JIA);
        license["holder"]["name"] = name.into();
        covered(&world, ("111", JIA), read(license, &["cert_no"]))
    };
    // The dot of a name has several code points.
    for name in ["测试·甲", "测试•甲", "测试・甲"] {
        assert_eq!(found(&world, named(name)).await["found"], true, "{name}");
    }
    // Not even the name of the other holder.
    for name in ["测试甲", "测试乙", "测试·甲甲"] {
        let outcome = found(&world, named(name)).await;
        assert_eq!(outcome["found"], false, "{name}");
        assert_eq!(outcome["licenses"], json!([]));
        assert_eq!(outcome["ways"], json!(["commitment", "timed_verification", "upload"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_x_is_the_same_number() {
    let world = World::start().await;
    let small = JIA.to_lowercase();
    assert_ne!(small, JIA);
    // The authorization speaks of the normalised number (protocol §3.3).
    let message = covered(&world, ("111", JIA), read(of_holder(MARRIAGE, &small), &["cert_no"]));
    let outcome = found(&world, message).await;
    assert_eq!(outcome["licenses"][0]["license_id"], MARRIAGE_ID);
    // And it is the same record.
    assert_eq!(found(&world, marriage_of(&world, JIA, &["cert_no"])).await["source"], "cache");
    let wrong = covered(&world, ("111", &small), read(of_holder(MARRIAGE, &small), &["cert_no"]));
    assert_eq!(world.ask(wrong).await.word(), "authorization-invalid/holder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_is_an_answer_with_the_ways_that_remain() {
    let world = World::start().await;
    let verdict = world.ask(marriage_of(&world, DING, &["cert_no"])).await;
    insta::assert_snapshot!(
        verdict.outcome,
        @r#"{"found":false,"source":"register","as_of":1900000000,"licenses":[],"ways":["commitment","timed_verification","upload"]}"#
    );
    // A license for which the agreement names no material: all three ways.
    let body = read(of_holder(HOUSEHOLD, DING), &["address"]);
    let outcome = found(&world, covered(&world, ("111", DING), body)).await;
    assert_eq!(outcome["ways"], json!(["timed_verification", "commitment", "upload"]));

    let strict = World::plan()
        .agreement(|agreement| {
            agreement["items"][0]["materials"][0]["evidence"] = json!(["upload", "shared_data"]);
        })
        .start()
        .await;
    let outcome = found(&strict, marriage_of(&strict, DING, &["cert_no"])).await;
    assert_eq!(outcome["ways"], json!(["upload"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_license_is_found_with_its_status_and_nothing_more() {
    let holders = [("03", BING), ("04", DING), ("07", WARD)];
    let licenses =
        holders.iter().zip(10..).map(|((status, holder), serial)| another_marriage(serial, holder, status));
    let world = World::plan().licenses(licenses.collect()).start().await;
    for (status, holder) in holders {
        let reading = read(of_holder(MARRIAGE, holder), &["cert_no"]);
        let verifying = verify(of_holder(MARRIAGE, holder), json!({"cert_no": CERT_NO}));
        for body in [reading, verifying] {
            let outcome = found(&world, covered(&world, ("111", holder), body)).await;
            let license = outcome["licenses"][0].as_object().unwrap();
            assert_eq!((&outcome["found"], &license["status"]), (&json!(true), &json!(status)));
            assert!(!license.contains_key("data") && !license.contains_key("match"), "{license:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withheld_expired_or_moved_license_is_found_with_status_and_data() {
    let holders = [("02", BING), ("05", DING), ("06", WARD), ("99", JIA)];
    let licenses = holders.iter().zip(10..).map(|((status, holder), serial)| {
        let mut license = another_marriage(serial, holder, status);
        if *status == "99" {
            license["status_description"] = "测试".into();
        }
        license
    });
    let world = World::plan().licenses(licenses.collect()).start().await;
    for ((status, holder), serial) in holders.into_iter().zip(10..) {
        let number = format!("J331083-2026-0{serial:05}");
        let outcome = found(&world, marriage_of(&world, holder, &["cert_no"])).await;
        assert_eq!(outcome["licenses"][0]["status"], status);
        assert_eq!(outcome["licenses"][0]["data"], json!({"cert_no": number}));
        let body = verify(of_holder(MARRIAGE, holder), json!({"cert_no": number}));
        let outcome = found(&world, covered(&world, ("111", holder), body)).await;
        assert_eq!(outcome["licenses"][0]["match"], json!({"cert_no": true}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_licenses_of_a_holder_are_told_the_newest_first() {
    let mut later = another_marriage(20, JIA, "01");
    later["issued_on"] = "2027-02-03".into();
    later["valid_from"] = "2027-02-03".into();
    let world = World::plan().licenses(vec![marriage(), later]).start().await;
    let outcome = found(&world, marriage_of(&world, JIA, &["cert_no"])).await;
    let told: Vec<&Value> =
        outcome["licenses"].as_array().unwrap().iter().map(|l| &l["data"]["cert_no"]).collect();
    assert_eq!(told, ["J331083-2026-000020", CERT_NO]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_how_old_it_is_and_is_never_older_than_it_may_be() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    let ask = async |max_age: Option<i64>| {
        let mut message = marriage_of(&world, JIA, &["cert_no"]);
        if let Some(max_age) = max_age {
            message = message.with("/body/max_age", max_age);
        }
        let outcome = found(&world, message).await;
        let (source, as_of) = (outcome["source"].as_str().unwrap(), outcome["as_of"].as_i64().unwrap());
        (source.to_owned(), as_of - NOW, library.calls())
    };
    let cache = |as_of: i64, calls: usize| ("cache".to_owned(), as_of, calls);
    let register = |as_of: i64, calls: usize| ("register".to_owned(), as_of, calls);
    assert_eq!(ask(None).await, register(0, 1));
    assert_eq!(ask(None).await, cache(0, 1), "the second asks nobody");
    let unauthorized = world.lookup().without("/authorization");
    assert_eq!(world.ask(unauthorized).await.word(), "authorization-missing", "the cache excuses nobody");
    assert_eq!(ask(Some(0)).await, register(0, 2), "an age of nothing asks the register");
    world.clock.advance(AGE * 1000);
    assert_eq!(ask(None).await, cache(0, 2), "as old as it may be");
    world.clock.advance(1);
    assert_eq!(ask(None).await, register(AGE, 3), "and one moment older");
    world.clock.advance(20_000);
    assert_eq!(ask(Some(21)).await, cache(AGE, 3));
    assert_eq!(ask(Some(20)).await, cache(AGE, 3));
    assert_eq!(ask(Some(19)).await, register(AGE + 20, 4), "the asker's own limit");
    world.clock.advance((AGE + 1) * 1000);
    assert_eq!(ask(Some(86_400)).await, register(2 * AGE + 21, 5), "which cannot widen the type's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_found_is_remembered_for_half_a_minute_and_a_fault_not_at_all() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    library.says(Says::Status(503));
    assert_eq!(world.ask(world.lookup()).await.word(), "register-unavailable");
    library.says(Says::Licenses(Vec::new()));
    assert_eq!(found(&world, world.lookup()).await["found"], false);
    library.says(Says::Licenses(licenses()));
    world.clock.advance(30_000);
    assert_eq!(found(&world, world.lookup()).await["source"], "cache");
    world.clock.advance(1_000);
    assert_eq!(found(&world, world.lookup()).await["found"], true);
    assert_eq!(library.calls(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_register_is_down_only_a_type_that_allows_it_is_told_stale() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    found(&world, world.lookup()).await;
    found(&world, world.duty()).await;
    library.says(Says::Status(503));
    world.clock.advance(61_000);
    assert_eq!(world.ask(world.lookup()).await.word(), "register-unavailable", "marriage: never");
    let told = found(&world, world.duty()).await;
    assert_eq!(
        (&told["source"], &told["stale"], &told["as_of"]),
        (&json!("cache"), &json!(true), &json!(NOW))
    );
    assert_eq!(told["licenses"][0]["data"]["name"], "测试有限公司");
    // Never for `verify`, and never beyond what the asker bears.
    let verify = world
        .duty()
        .without("/body/fields")
        .with("/body/mode", "verify")
        .with("/body/expect", json!({"name": "测试有限公司"}));
    assert_eq!(world.ask(verify).await.word(), "register-unavailable");
    assert_eq!(world.ask(world.duty().with("/body/max_age", 0)).await.word(), "register-unavailable");
    // An hour later nobody is told any more.
    world.clock.advance(3_600_000);
    world.publish(&[]);
    world.xianan.reload().await;
    assert_eq!(world.ask(world.duty()).await.word(), "register-unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_register_says_has_changed_is_dropped_at_once() {
    let library = Library::open().await;
    let world = World::plan().register(library.settings()).start().await;
    let questions = || {
        let reading = |license: Value| read(license, &["cert_no"]);
        [of_holder(MARRIAGE, JIA), of_holder(MARRIAGE, YI), by_id(MARRIAGE, MARRIAGE_ID)].map(reading)
    };
    let status = async || {
        let mut told = Vec::new();
        for body in questions() {
            let who = body["license"]["holder"]["number"].as_str().unwrap_or(JIA).to_owned();
            let outcome = found(&world, covered(&world, ("111", &who), body)).await;
            let status = outcome["licenses"][0]["status"].as_str().unwrap().to_owned();
            told.push(format!("{} {status}", outcome["source"].as_str().unwrap()));
        }
        told
    };
    let notices = [
        json!({"license_id": MARRIAGE_ID}),
        json!({"type": MARRIAGE, "holder": {"type": "111", "number": JIA.to_lowercase()}}),
    ];
    for notice in notices {
        library.says(Says::Licenses(licenses()));
        assert_eq!(world.xianan.local().post("/local/v1/licenses/changed", &notice).await.status, 200);
        assert_eq!(status().await, ["register 01"; 3]);
        let mut revoked = marriage();
        revoked["status"] = "03".into();
        library.says(Says::Licenses(vec![revoked]));
        assert_eq!(status().await, ["cache 01"; 3], "nobody has told yet");
        assert_eq!(world.xianan.local().post("/local/v1/licenses/changed", &notice).await.status, 200);
        assert_eq!(status().await, ["register 03"; 3], "{notice}");
    }
    // A notice that names nothing well is a fault of its sender and drops nothing.
    let told = world.xianan.local().post("/local/v1/licenses/changed", &json!({"license_id": "1.2.3"})).await;
    assert_eq!(told.status, 422);
    assert_eq!(status().await, ["cache 03"; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_beside_the_running_gateway_is_told_at_once() {
    let world = World::start().await;
    let status = async |number: &str| {
        let outcome = found(&world, marriage_of(&world, number, &["cert_no"])).await;
        (outcome["source"].clone(), outcome["licenses"][0]["status"].clone())
    };
    assert_eq!(status(JIA).await, (json!("register"), json!("01")));
    assert_eq!(status(JIA).await, (json!("cache"), json!("01")));
    assert_eq!(status(YI).await, (json!("register"), json!("01")));
    assert_eq!(status(DING).await, (json!("register"), Value::Null));
    world.xianan.import(&[marriage_revoked_later(), another_marriage(30, DING, "01")], world.clock.now());
    assert_eq!(status(JIA).await, (json!("register"), json!("03")));
    assert_eq!(status(YI).await, (json!("register"), json!("03")), "the other holder's as well");
    assert_eq!(status(DING).await, (json!("register"), json!("01")), "and that there was none");
    assert_eq!(status(DING).await, (json!("cache"), json!("01")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_shared_is_refused_even_where_it_is_agreed_and_authorized() {
    let mut license = marriage();
    license["data"]["photo"] = "photo/0001".into();
    let world = World::plan().licenses(vec![license]).start().await;
    assert!(agreement()["items"][0]["licenses"][0]["fields"].to_string().contains("photo"), "it is agreed");
    let license = || of_holder(MARRIAGE, JIA);
    for body in [
        read(license(), &["photo"]),
        read(license(), &["cert_no", "photo"]),
        verify(license(), json!({"photo": "photo/0001"})),
    ] {
        let verdict = world.ask(covered(&world, ("111", JIA), body)).await;
        assert_eq!(verdict.word(), "field-not-agreed");
        assert!(!payload(&verdict.told).contains("photo/0001"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobodys_terms_or_consent_are_served_to_somebody_else() {
    // 滨海 has agreed on other fields of the same license.
    let mut theirs = agreement();
    theirs["id"] = "320922-421202-2026".into();
    theirs["parties"] = json!([BINHAI, XIANAN]);
    theirs["items"].as_array_mut().unwrap().truncate(1);
    theirs["items"][0]["collecting"] = json!([BINHAI]);
    theirs["items"][0]["licenses"] = json!([{"type": MARRIAGE, "holder_region": [XIANAN], "modes": ["read"],
        "fields": ["authority"]}]);
    let library = Library::open().await;
    let world =
        World::plan().agreements(vec![agreement(), theirs]).register(library.settings()).start().await;
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let binhai = async |fields: &[&str]| {
        let token = world
            .authorization()
            .with("/client_id", world.binhai.urn())
            .with("/cnf/jkt", world.binhai.signing.kid())
            .with("/authorization_details/0/fields", fields.to_vec());
        let message = world
            .lookup_of(&world.binhai)
            .with("/agreement", "320922-421202-2026")
            .with("/body/fields", fields.to_vec())
            .authorized(&token)
            .bytes();
        world.read_as(&world.binhai, line.exchange(message.clone()).await, &message)
    };
    let first = found(&world, marriage_of(&world, JIA, &["cert_no"])).await;
    assert_eq!(first["licenses"][0]["data"], json!({"cert_no": CERT_NO}));
    // The same record, cut anew.
    let other = binhai(&["authority"]).await.outcome;
    assert_eq!(
        (&other["source"], &other["licenses"][0]["data"]),
        (&json!("cache"), &json!({"authority": "测试民政局"}))
    );
    let second = found(&world, marriage_of(&world, JIA, &["op_type", "registered_on"])).await;
    assert_eq!(second["source"], "cache");
    assert_eq!(second["licenses"][0]["data"], json!({"op_type": "IA", "registered_on": "2026-01-05"}));
    assert_eq!(library.calls(), 1);
    // Neither may reach into the other's terms, nor one consent into another's.
    assert_eq!(binhai(&["cert_no"]).await.word(), "field-not-agreed");
    assert_eq!(binhai(&["authority", "cert_no"]).await.word(), "field-not-agreed");
    let narrow = marriage_of(&world, JIA, &["cert_no"]).with("/body/fields", vec!["cert_no", "authority"]);
    assert_eq!(world.ask(narrow).await.word(), "authorization-insufficient");
    // A consent given to the one is none for the other.
    let message = world
        .lookup_of(&world.binhai)
        .with("/agreement", "320922-421202-2026")
        .with("/body/fields", vec!["authority"])
        .authorized(&world.authorization().with("/authorization_details/0/fields", vec!["authority"]))
        .bytes();
    let told = line.exchange(message.clone()).await;
    assert_eq!(world.read_as(&world.binhai, told, &message).word(), "authorization-invalid/client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guardian_opens_the_wards_licenses_and_not_their_own() {
    let mut household = expired_household();
    household["license_id"] = license_id(HOUSEHOLD, "H0000000002", "001").into();
    household["holders"] = json!([{"name": "测试丁", "type_code": "111", "code": WARD}]);
    household["data"]["household_no"] = "000000002".into();
    let world =
        World::plan().licenses(vec![marriage(), expired_household(), household.clone()]).start().await;
    let guarded = |license: Value| {
        let message = covered(&world, ("111", JIA), read(license, &["household_no"]));
        let token = world
            .authorization()
            .with("/authorization_details/0/datatypes", vec![HOUSEHOLD])
            .with("/authorization_details/0/fields", vec!["household_no"]);
        let ward = holder(token.jti(), "111", WARD);
        message.authorized(&token.with("/guardian", json!({"holder": ward, "relation": "51"})))
    };
    let id = household["license_id"].as_str().unwrap();
    for license in [of_holder(HOUSEHOLD, WARD), by_id(HOUSEHOLD, id)] {
        let outcome = found(&world, guarded(license)).await;
        assert_eq!(outcome["licenses"][0]["data"], json!({"household_no": "000000002"}));
    }
    let own = expired_household()["license_id"].as_str().unwrap().to_owned();
    for license in [of_holder(HOUSEHOLD, JIA), by_id(HOUSEHOLD, &own)] {
        assert_eq!(world.ask(guarded(license)).await.word(), "authorization-invalid/holder");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statutory_duty_needs_no_authorization_but_one_that_is_shown_is_checked() {
    let world = World::start().await;
    for basis in ["statutory_duty", "emergency"] {
        let outcome = found(&world, world.duty().with("/basis", basis)).await;
        let data = json!({"uscc": COMPANY, "name": "测试有限公司"});
        assert_eq!(outcome["licenses"][0]["data"], data, "{basis}");
    }
    let token = || {
        world
            .authorization_of("001", COMPANY)
            .without("/authorization_details/0/case")
            .with("/authorization_details/0/item", DUTY_ITEM)
            .with("/authorization_details/0/datatypes", vec![BUSINESS])
            .with("/authorization_details/0/fields", vec!["uscc", "name"])
    };
    let once = token();
    assert_eq!(world.ask(world.duty().authorized(&once)).await.word(), "ok");
    assert_eq!(world.ask(world.duty().authorized(&once)).await.word(), "authorization-used-up");
    let shown = async |token: Draft| world.ask(world.duty().authorized(&token)).await.word();
    assert_eq!(shown(token().with("/aud", world.binhai.urn())).await, "authorization-invalid/audience");
    assert_eq!(
        shown(token().with("/authorization_details/0/fields", vec!["uscc"])).await,
        "authorization-insufficient"
    );
    let past = token().with("/iat", NOW - 700).with("/nbf", NOW - 700).with("/exp", NOW - 600);
    assert_eq!(shown(past).await, "authorization-expired");
    // The item of the usual lookup allows consent only.
    assert_eq!(world.ask(world.lookup().with("/basis", "statutory_duty")).await.word(), "basis-not-agreed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_signed_by_the_key_on_the_card_for_this_very_request() {
    let world = World::start().await;
    let card = world.line().await.get("/v1/card").await.json();
    let kids: Vec<&Value> = card["jwks"]["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    for message in [world.lookup(), world.ping(), world.lookup().with("/agreement", "none")] {
        let bytes = message.bytes();
        let verdict = world.ask(bytes.clone()).await;
        let told = &verdict.told;
        let header: Value = {
            let text = std::str::from_utf8(&told.body).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap()).unwrap()).unwrap()
        };
        assert_eq!(kids, [&header["kid"]]);
        let claims = verdict.claims.as_ref().unwrap();
        let outcome = if told.status == 200 { "result" } else { "problem" };
        let members = ["ver", "iss", "aud", "iat", "exp", "jti", "req", "op", "status", outcome, "log"];
        assert_eq!(claims.as_object().unwrap().keys().collect::<Vec<_>>(), members);
        assert_eq!(claims["iss"], "urn:tongban:gw:421202");
        assert_eq!(claims["aud"], "urn:tongban:gw:331083");
        assert_eq!(claims["req"], json!({"jti": message.jti(), "digest": b64(sha256(&bytes))}));
        assert_eq!((&claims["op"], &claims["status"]), (&message.claims["op"], &json!(told.status)));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(NOW), &json!(NOW + 120)));
        let jti = claims["jti"].as_str().unwrap();
        assert!(jti.len() >= 22 && jti != message.jti());
        assert_eq!(claims["log"]["origin"], "tongban/421202/2030h1");

        assert_eq!(told.header("content-type"), Some("application/tongban-response+jwt"));
        assert_eq!(told.header("cache-control"), Some("no-store"));
        assert_eq!(told.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(told.header("content-encoding"), None);
        assert!(told.body.is_ascii(), "the whole body is the message");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_a_whole_exchange() {
    let world = World::start().await;
    let first = world.ask(world.ping()).await;
    assert_eq!(first.outcome, json!({"time": NOW, "version": env!("CARGO_PKG_VERSION")}));
    world.clock.advance(5_000);
    let second = world.ask(world.ping()).await;
    assert_eq!(second.outcome["time"], NOW + 5);
    let index = |verdict: &Verdict| verdict.claims.as_ref().unwrap()["log"]["index"].as_u64().unwrap();
    assert_eq!(index(&second), index(&first) + 1, "each has its leaf");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_card_is_served_with_the_keys_that_sign() {
    let world = World::start().await;
    let card = world.line().await.get("/v1/card").await.json();
    assert_eq!(card["id"], "urn:tongban:gw:421202");
    assert_eq!(card["jwks"]["keys"], json!([world.answering.signing.public_jwk()]));
    assert_eq!(card["tls"]["spki_sha256"], json!([world.answering.pin]));
    assert_eq!(card["ledger"]["origin"], "tongban/421202/2030h1");
    assert!(!card.to_string().contains("\"d\""), "a card is public");
}
