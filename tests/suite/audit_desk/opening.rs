//! Evidence: asked for by one, allowed by another, opened by an auditor's key only.

use serde_json::{Value, json};
use tongban::audit::unseal::{AuditorPrivateKey, UnsealFault};
use tongban::audit::{DeskFault, Errand, Opened, Request};

use crate::support::*;

pub fn index_of(verdict: &Verdict) -> u64 {
    verdict.claims.as_ref().unwrap()["log"]["index"].as_u64().unwrap()
}

async fn ask_for(world: &World, of: Vec<u64>) -> Request {
    let told = world.xianan.done(errand(LI, Errand::OpenRequest { shard: None, of })).await;
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
    let request = ask_for(&world, vec![index]).await;
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
async fn a_request_nobody_allows_ends_and_one_for_nothing_is_none() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.ping()).await);
    let request = ask_for(&world, vec![index]).await;
    world.clock.advance(24 * 3_600_000);
    assert_eq!(gateway.send(approve(ZHAO, &request)).await, Err(DeskFault::NoSuchRequest));
    let wrong = |of: Vec<u64>| errand(LI, Errand::OpenRequest { shard: None, of });
    assert_eq!(gateway.send(wrong(vec![999_999])).await, Err(DeskFault::NoSuchLeaf));
    for of in [vec![], vec![0], (0..101).collect()] {
        assert!(matches!(gateway.send(wrong(of)).await, Err(DeskFault::Asked(_))));
    }
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
