//! Search, subject report, uses of an authorization: each recorded before it is told.

use serde_json::{Value, json};
use tongban::audit::{DeskFault, Errand, Page, Question};
use tongban::ledger::evidence::Field;

use crate::support::*;

fn of_jia() -> Question {
    Question { citizen: Some(JIA.into()), ..Question::default() }
}

fn kinds(leaves: &[Value], kind: &str) -> Vec<Value> {
    leaves.iter().filter(|leaf| leaf["t"] == kind).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_searched_without_a_purpose_an_order_and_the_role_for_it() {
    let world = World::start().await;
    world.xianan.admit_auditors().await;
    let sent = |by: &str, purpose: &str, order: &str| {
        let mut sent = errand(by, search(of_jia()));
        (sent.purpose, sent.order) = (purpose.into(), order.into());
        sent
    };
    for (by, purpose, order, fault) in [
        (LI, "", ORDER, DeskFault::Purpose),
        (LI, PURPOSE, " ", DeskFault::Order),
        (LI, JIA, ORDER, DeskFault::PersonalData),
        (ZHAO, PURPOSE, ORDER, DeskFault::NotAllowed),
        (SUN, PURPOSE, ORDER, DeskFault::NotAllowed),
        ("nobody", PURPOSE, ORDER, DeskFault::NoSuchAccount),
        ("(gateway)", PURPOSE, ORDER, DeskFault::NoSuchAccount),
    ] {
        assert_eq!(world.xianan.send(sent(by, purpose, order)).await, Err(fault), "{by} {purpose} {order}");
    }
    assert!(kinds(&world.xianan.leaves().await, "search").is_empty(), "what was refused is no search");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_one_citizens_exchanges_and_is_itself_a_leaf() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let lookup = world.ask(world.lookup()).await;
    assert_eq!(lookup.word(), "ok");
    assert_eq!(world.ask(world.duty()).await.word(), "ok");
    assert_eq!(world.ask(world.ping()).await.word(), "ok");
    let found = gateway.done(errand(LI, search(of_jia()))).await;
    let [row] = found["rows"].as_array().unwrap().clone().try_into().unwrap();
    assert_eq!(row["index"], lookup.claims.unwrap()["log"]["index"]);
    assert_eq!(
        (&row["kind"], &row["peer"], &row["op"], &row["dec"], &row["evidence"]),
        (&json!("in"), &json!(YUHUAN), &json!("license.query"), &json!("permit"), &json!("kept"))
    );
    let leaves = gateway.leaves().await;
    let [leaf] = kinds(&leaves, "search").try_into().unwrap();
    assert_eq!((&leaf["by"], &leaf["n"]), (&json!(LI), &json!(1)));
    let place: usize = found["leaf"].as_str().unwrap().split_once('/').unwrap().1.parse().unwrap();
    assert_eq!(leaves[place], leaf);
    let [entry] = gateway
        .done(errand(LI, Errand::Registers { act: None, by: None, before: None }))
        .await
        .as_array()
        .unwrap()
        .clone()
        .try_into()
        .unwrap();
    assert_eq!((&entry["purpose"], &entry["order"]), (&json!(PURPOSE), &json!(ORDER)));
    assert_eq!((&entry["leaf"], &entry["what"]), (&found["leaf"], &json!({"sought": ["citizen"]})));
    let rd: Vec<u8> = hex::decode(entry["rd"].as_str().unwrap()).unwrap();
    assert_eq!(leaf["rd"], b64(rd), "the register's line is the leaf's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_and_facet_finds_what_has_it_and_nothing_else() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let began = world.clock.now().ms();
    world.ask(world.lookup()).await;
    world.clock.advance(86_400_000);
    assert_eq!(world.ask(world.duty()).await.word(), "ok");
    assert_eq!(world.ask(world.lookup().with("/agreement", "none")).await.word(), "no-agreement");
    world.ask(world.ping()).await;
    let count = async |bend: fn(&mut Question)| {
        let mut question = Question::default();
        bend(&mut question);
        let found = gateway.done(errand(LI, search(question))).await;
        found["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == "in").count()
    };
    assert_eq!(count(|q| q.citizen = Some("42120219000101001x".into())).await, 2, "in any spelling");
    assert_eq!(count(|q| q.license = Some(MARRIAGE_ID.into())).await, 1, "that the answer told");
    assert_eq!(count(|q| q.case = Some(CASE.into())).await, 2);
    assert_eq!(count(|q| q.operator = Some(format!("{YUHUAN}:YH0123"))).await, 3);
    assert_eq!(count(|q| q.operator = Some(format!("{XIANAN}:YH0123"))).await, 0);
    assert_eq!(count(|q| q.partner = Some(YUHUAN.into())).await, 4);
    assert_eq!(count(|q| q.op = Some("ping".into())).await, 1);
    assert_eq!(count(|q| q.item = Some(DUTY_ITEM.into())).await, 1);
    assert_eq!(count(|q| q.license_type = Some(BUSINESS.into())).await, 1);
    assert_eq!(count(|q| q.decision = Some("deny".into())).await, 1);
    assert_eq!(count(|q| q.code = Some("no-agreement".into())).await, 1);
    assert_eq!(
        count(|q| (q.citizen, q.decision) = (Some(JIA.into()), Some("deny".into()))).await,
        1,
        "all that is named must hold"
    );
    let within = |from: Option<i64>, to: Option<i64>| {
        errand(LI, search(Question { citizen: Some(JIA.into()), from, to, ..Question::default() }))
    };
    for (from, to, n) in [
        (Some(began), Some(began + 1), 1),
        (Some(began + 1), None, 1),
        (None, Some(began), 0),
        (None, Some(began + 86_400_001), 2),
    ] {
        let found = gateway.done(within(from, to)).await;
        assert_eq!(found["rows"].as_array().unwrap().len(), n, "{from:?} {to:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_while_the_log_grows() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    for _ in 0..45 {
        world.ask(world.ping()).await;
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let question = Box::new(Question { op: Some("ping".into()), ..Question::default() });
        let page = Page { after: after.clone(), rows: Some(20) };
        let found = gateway.done(errand(LI, Errand::Search { question, page })).await;
        seen.extend(found["rows"].as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap()));
        pages += 1;
        world.ask(world.ping()).await;
        match found["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (45, 3));
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");
    for rows in [19, 201] {
        let page = Page { after: None, rows: Some(rows) };
        let refused = gateway.send(errand(LI, Errand::Search { question: Box::default(), page })).await;
        assert!(matches!(refused, Err(DeskFault::Asked(_))), "{rows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_report_tells_who_looked_and_which_auditors_looked_into_that() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let token = world.authorization();
    world.ask(world.lookup().authorized(&token)).await;
    gateway.done(errand(WANG, search(of_jia()))).await;
    gateway.done(errand(WANG, search(Question { op: Some("ping".into()), ..Question::default() }))).await;
    let subject = Errand::Subject { field: Field::Citizen, value: JIA.into(), from: None, to: None };
    let report = gateway.done(errand(LI, subject)).await;
    let [row] = report["rows"].as_array().unwrap().clone().try_into().unwrap();
    assert_eq!((&row["peer"], &row["item"]), (&json!(YUHUAN), &json!(ITEM)));
    let auth = sha256(format!("{IDP}\0{}", token.claims["jti"].as_str().unwrap()).as_bytes());
    assert_eq!(row["auth"], b64(auth));
    let [act] = report["acts"].as_array().unwrap().clone().try_into().unwrap();
    assert_eq!((&act["by"], &act["act"]), (&json!(WANG), &json!("search")), "only who sought this citizen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_use_of_an_authorization_is_told() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let token = world.authorization();
    for word in ["ok", "authorization-used-up"] {
        assert_eq!(world.ask(world.lookup().authorized(&token)).await.word(), word);
    }
    world.ask(world.lookup()).await;
    let jti = token.claims["jti"].as_str().unwrap().to_owned();
    let uses = gateway.done(errand(LI, Errand::Authorization { iss: IDP.into(), jti })).await;
    let told: Vec<&str> =
        uses["rows"].as_array().unwrap().iter().map(|row| row["dec"].as_str().unwrap()).collect();
    assert_eq!((told, &uses["taken"]), (vec!["deny", "permit"], &json!(1)));
}
