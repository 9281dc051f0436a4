//! Evidence: asked for by one, allowed by another, opened by an auditor's key only.

use serde_json::{Value, json};
use tongban::audit::unseal::{AuditorPrivateKey, UnsealFault};
use tongban::audit::{DeskFault, Errand, Opened, Request};

use crate::reconciling::Comparing;
use crate::support::*;

pub fn index_of(verdict: &Verdict) -> u64 {
    verdict.claims.as_ref().unwrap()["log"]["index"].as_u64().unwrap()
}

async fn ask_for(gateway: &Gateway, of: Vec<u64>) -> Request {
    let told = gateway.done(errand(LI, Errand::OpenRequest { shard: None, of })).await;
    serde_json::from_value(told).unwrap()
}

fn approve(by: &str, request: &Request) -> tongban::audit::Sent {
    errand(by, Errand::OpenApprove { request: request.id.clone() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_opened_on_the_word_of_two_with_a_key_the_gateway_has_not() {
    let world = World::start().await;
    let gateway = &world.xianan;
    let key = gateway.admit_auditors().await;
    let message = world.lookup().bytes();
    let verdict = world.ask(message.clone()).await;
    let index = index_of(&verdict);
    let request = ask_for(gateway, vec![index]).await;
    let fetch = |by: &str| errand(by, Errand::Opened { request: request.id.clone() });
    assert_eq!(gateway.send(fetch(LI)).await, Err(DeskFault::NotApproved));
    assert_eq!(gateway.send(approve(LI, &request)).await, Err(DeskFault::SamePerson));
    assert_eq!(gateway.send(approve(SUN, &request)).await, Err(DeskFault::NotAllowed));
    let opens = async || gateway.leaves().await.into_iter().filter(|leaf| leaf["t"] == "open").count();
    assert_eq!(opens().await, 0);
    let opened: Opened = serde_json::from_value(gateway.done(approve(ZHAO, &request)).await).unwrap();
    let leaf = gateway.leaves().await.into_iter().find(|leaf| leaf["t"] == "open").unwrap();
    assert_eq!((&leaf["by"], &leaf["of"]), (&json!(LI), &json!([index])));
    let [released] = opened.released.try_into().ok().unwrap();
    let unsealed = key.open(&released).unwrap();
    assert!(unsealed.misfits.is_empty());
    assert_eq!(unsealed.content["request"].as_str().unwrap().as_bytes(), message);
    let result: Value = serde_json::from_str(unsealed.content["result"].as_str().unwrap()).unwrap();
    assert_eq!(result, verdict.outcome);
    // A wrapped key that was changed is told as that, not as somebody else's.
    let mut rewrapped = released.clone();
    rewrapped.epoch = rewrapped.epoch.replace("\"tag\":\"", "\"tag\":\"A");
    assert_eq!(key.open(&rewrapped).err(), Some(UnsealFault::OtherEpoch));
    let (stranger, _) = AuditorPrivateKey::generate().unwrap();
    let stranger = AuditorPrivateKey::from_jwk(&stranger).unwrap();
    assert_eq!(stranger.open(&released).err(), Some(UnsealFault::NotForThisKey));

    // Either of the two may fetch it while it lasts, nobody else, and no second leaf is made.
    for by in [LI, ZHAO] {
        let again: Opened = serde_json::from_value(gateway.done(fetch(by)).await).unwrap();
        assert!(again.released == [released.clone()], "{by}");
    }
    gateway.done(approve(WANG, &request)).await;
    assert_eq!(gateway.send(fetch(WANG)).await, Err(DeskFault::NotAllowed));
    assert_eq!(opens().await, 1);
    world.clock.advance(24 * 3_600_000);
    assert_eq!(gateway.send(fetch(LI)).await, Err(DeskFault::NoSuchRequest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_of_both_sides_names_the_certificate_that_the_other_showed() {
    let pair = Comparing::start().await;
    let (yuhuan, xianan) = (&pair.world.yuhuan, &pair.world.xianan);
    let keys = (yuhuan.admit_auditors().await, xianan.admit_auditors().await);
    let [exchange, ..] = pair.exchange().await;
    for (gateway, key, kind, other) in
        [(yuhuan, &keys.0, "out.done", xianan), (xianan, &keys.1, "in", yuhuan)]
    {
        let leaves = gateway.leaves().await;
        let is_it = |leaf: &Value| leaf["t"] == kind && leaf["x"] == exchange.as_str();
        let index = leaves.iter().position(is_it).unwrap() as u64;
        let request = ask_for(gateway, vec![index]).await;
        let opened: Opened = serde_json::from_value(gateway.done(approve(ZHAO, &request)).await).unwrap();
        let content = key.open(&opened.released[0]).unwrap().content;
        assert_eq!(content["certificate"], other.member.certificate_text(), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_nobody_allows_ends_and_one_for_nothing_is_none() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.ping()).await);
    let request = ask_for(gateway, vec![index]).await;
    world.clock.advance(24 * 3_600_000);
    assert_eq!(gateway.send(approve(ZHAO, &request)).await, Err(DeskFault::NoSuchRequest));
    let wrong = |of: Vec<u64>| errand(LI, Errand::OpenRequest { shard: None, of });
    assert_eq!(gateway.send(wrong(vec![999_999])).await, Err(DeskFault::NoSuchLeaf));
    for of in [vec![], vec![0], (0..101).collect()] {
        assert!(matches!(gateway.send(wrong(of)).await, Err(DeskFault::Asked(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_the_second_person_refuses_is_over_and_stands_in_tree_and_register() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.ping()).await);
    let request = ask_for(gateway, vec![index]).await;
    let refuse = |by: &str| errand(by, Errand::OpenRefuse { request: request.id.clone() });
    assert_eq!(gateway.send(refuse(LI)).await, Err(DeskFault::SamePerson));
    assert_eq!(gateway.send(refuse(SUN)).await, Err(DeskFault::NotAllowed));
    assert_eq!(gateway.done(refuse(ZHAO)).await, json!({"refused": request.id}));
    // Nothing can be had on it any more, and it cannot be refused a second time.
    for sent in
        [refuse(ZHAO), approve(WANG, &request), errand(LI, Errand::Opened { request: request.id.clone() })]
    {
        assert_eq!(gateway.send(sent).await, Err(DeskFault::NoSuchRequest));
    }
    let leaves = gateway.leaves().await;
    let opens: Vec<&Value> = leaves.iter().filter(|leaf| leaf["t"] == "open").collect();
    let [leaf] = &opens[..] else { panic!("{opens:?}") };
    assert_eq!(
        (&leaf["by"], &leaf["n"], leaf.get("of")),
        (&json!(LI), &json!(0), None),
        "nothing was opened"
    );
    let entries = gateway.done(errand(LI, Errand::Registers { act: None, by: None, before: None })).await;
    let entry = &entries[0];
    assert_eq!((&entry["act"], &entry["by"], &entry["with"]), (&json!("open"), &json!(LI), &json!(ZHAO)));
    assert_eq!(entry["what"], json!({"refused": true, "request": request.id}));
    let rd: [u8; 32] = hex::decode(entry["rd"].as_str().unwrap()).unwrap().try_into().unwrap();
    assert_eq!(leaf["rd"], b64(rd), "the leaf commits to the entry");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_more_leaves_than_one_leaf_can_name_is_several() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let facts = |of: Vec<u64>| tongban::audit::ExportFacts {
        shard: "2030h1".into(),
        sha256: "ab".repeat(32),
        leaves: 10_000,
        of,
    };
    let told = gateway.done(errand(LI, Errand::Export { facts: facts((0..9_000).rev().collect()) })).await;
    assert_eq!(told["leaves"].as_array().unwrap().len(), 3);
    let leaves = gateway.leaves().await;
    let exports: Vec<&Value> = leaves.iter().filter(|leaf| leaf["t"] == "export").collect();
    let parts: Vec<usize> = exports.iter().map(|leaf| leaf["of"].as_array().unwrap().len()).collect();
    assert_eq!(parts, [4096, 4096, 808]);
    let all: Vec<u64> =
        exports.iter().flat_map(|l| l["of"].as_array().unwrap()).map(|i| i.as_u64().unwrap()).collect();
    assert_eq!(all, (0..9_000).collect::<Vec<_>>(), "each once, in order");
    assert!(exports.iter().all(|leaf| leaf["n"] == 10_000 && leaf["past"] == "tongban/421202/2030h1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_looked_at_and_then_opened_like_anything_else() {
    let world = World::start().await;
    let gateway = &world.xianan;
    let key = gateway.admit_auditors().await;
    for _ in 0..6 {
        world.ask(world.ping()).await;
    }
    let sampled = gateway.done(errand(LI, Errand::Sample { shard: None, n: 3 })).await;
    assert_eq!((sampled["of"].as_array().unwrap().len(), &sampled["damaged"]), (3, &json!([])));
    let request: Request = serde_json::from_value(sampled["request"].clone()).unwrap();
    let opened: Opened = serde_json::from_value(gateway.done(approve(ZHAO, &request)).await).unwrap();
    assert_eq!(opened.released.len(), 3);
    assert!(opened.released.iter().all(|released| key.open(released).unwrap().misfits.is_empty()));
}
