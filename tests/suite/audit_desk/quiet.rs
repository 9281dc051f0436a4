//! Canaries: what a citizen, an official or a key is lies nowhere that it can be read: not in
//! leaves, vaults, index, registers, metrics, tiles, log.

use serde_json::Value;
use tongban::audit::{EraseOrder, Errand, Question, Request};
use tongban::ledger::evidence::Field;

use super::opening::index_of;
use crate::process::Pair;
use crate::support::*;

/// What must not be read: each in the forms in which it could lie there.
fn canaries(token: &str, jti: &str, home: &std::path::Path) -> Vec<Vec<u8>> {
    let text = |value: &str| value.as_bytes().to_vec();
    let mut all = vec![
        text(JIA),
        text(&JIA.to_lowercase()),
        text("测试甲"),
        text("测试·甲"),
        text("YH0123"),
        text("新生儿户口登记核验父母婚姻状况"),
        text("J331083-2026-000001"),
        text(COMPANY),
        text(token),
        text(token.split('.').nth(1).unwrap()),
        text(jti),
        text(CASE),
        text(MARRIAGE_ID),
        b64(JIA).into_bytes(),
        hex::encode(JIA).into_bytes(),
        sha256(JIA.as_bytes()).to_vec(),
        b64(sha256(JIA.as_bytes())).into_bytes(),
    ];
    let key: Value = serde_json::from_slice(&std::fs::read(home.join("keys/sign.jwk")).unwrap()).unwrap();
    all.push(text(key["d"].as_str().unwrap()));
    for entry in std::fs::read_dir(home.join("data/ledger/search")).unwrap() {
        let key = std::fs::read(entry.unwrap().path()).unwrap();
        all.extend([b64(&key).into_bytes(), hex::encode(&key).into_bytes(), key]);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_planted_number_name_token_or_key_can_be_read_anywhere() {
    let world = World::plan().asking().start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    world.yuhuan.admit_auditors().await;
    let token = world.authorization();
    let lookup = world.lookup().authorized(&token);
    let index = index_of(&world.ask(lookup.clone()).await);
    assert_eq!(world.ask(lookup).await.word(), "replay");
    for message in [world.duty(), world.lookup().with("/agreement", "none"), world.ping()] {
        world.ask(message).await;
    }
    let jia = || Question { citizen: Some(JIA.into()), ..Question::default() };
    gateway.done(errand(LI, search(jia()))).await;
    gateway.done(errand(LI, search(Question { case: Some(CASE.into()), ..jia() }))).await;
    let subject = |field, value: &str| Errand::Subject { field, value: value.into(), from: None, to: None };
    gateway.done(errand(LI, subject(Field::Citizen, JIA))).await;
    gateway.done(errand(LI, subject(Field::Operator, &format!("{YUHUAN}:YH0123")))).await;
    let jti = token.claims["jti"].as_str().unwrap().to_owned();
    gateway.done(errand(LI, Errand::Authorization { iss: IDP.into(), jti: jti.clone() })).await;
    let warrant =
        Errand::Warrant { shard: None, field: Field::Citizen, value: JIA.into(), from: None, to: None };
    gateway.done(errand(LI, warrant)).await;
    let request = gateway.done(errand(LI, Errand::OpenRequest { shard: None, of: vec![index] })).await;
    let request: Request = serde_json::from_value(request).unwrap();
    gateway.done(errand(ZHAO, Errand::OpenApprove { request: request.id })).await;
    let order = EraseOrder { question: Some(jia()), restrict: true, ..EraseOrder::default() };
    gateway.done(errand(ZHAO, Errand::Erase { order: Box::new(order) })).await;
    assert!(gateway.running().house.ledger.index().await && gateway.running().house.ledger.flush().await);

    let mut files = gateway.bytes_below("ledger");
    files.retain(|(path, _)| path.extension().is_none_or(|end| end != "key"));
    for name in ["audit.db", "audit.db-wal"] {
        files.extend(gateway.bytes_below(name));
    }
    let metrics = gateway.local().get("/metrics").await;
    files.push(("metrics".into(), metrics.body.to_vec()));
    assert!(files.iter().any(|(path, _)| path.ends_with("audit.db")) && files.len() > 8);
    for canary in canaries(&token.text(), &jti, &gateway.home) {
        let found = holding(&files, &canary);
        assert!(found.is_empty(), "{} in {found:?}", String::from_utf8_lossy(&canary));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_process_says_nothing_of_whom_it_is_about() {
    let pair = Pair::make();
    let (_, _) = settle_auditors(&pair.xianan.dir);
    let mut command = pair.xianan.serve_command();
    command.env("TONGBAN_LOG", "debug");
    let serving = pair.xianan.serve_by(&mut command);
    let line = pair.dial().await;
    let token = pair.authorize(1);
    for _ in 0..2 {
        pair.ask(&line, &pair.lookup(&token.jws)).await;
    }
    let run = |arguments: &[&str]| {
        let act = ["--as", LI, "--purpose", PURPOSE, "--order", ORDER, "--json"];
        pair.xianan.run(&[arguments, &act[..]].concat())
    };
    let found = run(&["audit", "search", "--citizen", JIA]).ended(0).json();
    assert_eq!(found["rows"].as_array().unwrap().len(), 2, "{found}");
    run(&["audit", "subject", "--citizen", JIA]).ended(0);
    run(&["audit", "search", "--citizen", JIA, "--rows", "7"]).ended(1);
    let log = serving.log();
    assert_eq!(serving.stop(), 0);
    assert!(log.len() > 500, "it says something: {log}");
    let text = [("serve.log".into(), log.into_bytes())];
    for canary in [JIA, "测试甲", "YH0123", token.jws.as_str(), "J331083-2026-000001"] {
        assert_eq!(holding(&text, canary.as_bytes()).len(), 0, "{canary}");
    }
}
