//! What holds when everything comes at once: one answer per message, as many uses as were
//! given, one register call, everybody's own share of the door.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::*;

/// Requests on one connection: below the door's limit of streams.
const ON_A_LINE: usize = 50;

/// 玉环 sends all of these at the same time, over as many connections as it takes.
async fn at_once(world: &World, messages: Vec<Vec<u8>>) -> Vec<Verdict> {
    let mut under_way = JoinSet::new();
    let all = Arc::new(tokio::sync::Barrier::new(messages.len()));
    for share in messages.chunks(ON_A_LINE) {
        let line = world.dial(&world.asking, Http::Two).await.unwrap();
        // The first answer brings the connection's settings.
        assert_eq!(line.get("/v1/card").await.status, 200);
        for message in share {
            let (line, message, all) = (line.clone(), message.clone(), Arc::clone(&all));
            under_way.spawn(async move {
                all.wait().await;
                (line.exchange(message.clone()).await, message)
            });
        }
    }
    under_way.join_all().await.into_iter().map(|(told, message)| world.read(told, &message)).collect()
}

fn counted(verdicts: &[Verdict]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.word()).or_default() += 1;
    }
    counts
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_identical_requests_one_is_answered() {
    let world = World::start().await;
    for message in [world.ping(), world.lookup()] {
        let verdicts = at_once(&world, vec![message.bytes(); 64]).await;
        assert_eq!(counted(&verdicts), counts(&[("ok", 1), ("replay", 63)]));
    }
    // The same id over different contents: one again, the others are told that it is taken.
    let ping = world.ping();
    let bent = (0..64).map(|n| ping.clone().with("/exp", world.now() + 30 + n).bytes()).collect();
    assert_eq!(counted(&at_once(&world, bent).await), counts(&[("ok", 1), ("jti-reuse", 63)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_authorization_for_n_uses_answers_n_of_100_requests() {
    let world = World::start().await;
    for uses in [1, 7] {
        let token = world.authorization().with("/authorization_details/0/max_uses", uses);
        let lookups = (0..100).map(|_| world.lookup().authorized(&token).bytes()).collect();
        let verdicts = at_once(&world, lookups).await;
        assert_eq!(counted(&verdicts), counts(&[("ok", uses), ("authorization-used-up", 100 - uses)]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_concurrent_misses_are_one_register_call() {
    let library = Library::open().await;
    let settings = library.settings().replace("timeout_ms = 1000", "timeout_ms = 30000");
    let world = World::plan().register(settings).start().await;
    library.shut_gate();
    let lookups = (0..500).map(|_| world.lookup().bytes()).collect();
    let lookup = world.xianan.running().house.lookup.clone();
    let gate = library.clone();
    // Opened when all of them wait for the register.
    let opening = tokio::spawn(async move {
        while lookup.stats().misses < 500 {
            tokio::task::yield_now().await;
        }
        gate.open_gate();
    });
    let verdicts = at_once(&world, lookups).await;
    opening.await.unwrap();
    assert_eq!(counted(&verdicts), counts(&[("ok", 500)]));
    assert!(verdicts.iter().all(|verdict| verdict.outcome["found"] == true));
    assert_eq!(library.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_answers_share_a_place_in_the_ledger() {
    let world = World::start().await;
    let lookups = (0..100).map(|_| world.lookup().bytes()).collect();
    let mut places: Vec<u64> = at_once(&world, lookups)
        .await
        .iter()
        .map(|verdict| verdict.claims.as_ref().unwrap()["log"]["index"].as_u64().unwrap())
        .collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{places:?}");
}

/// Waits for something that will certainly come, and would hang the test if it did not.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// 玉环 asks about one holder each; the library's gate is shut, so that none is answered yet.
async fn held_at_the_library(world: &World, library: &Library, holders: &[&str]) -> JoinSet<Verdict> {
    let mut held = JoinSet::new();
    for (at, number) in holders.iter().enumerate() {
        let lookup = world
            .lookup_of(&world.asking)
            .authorized(&world.authorization_of("111", number))
            .with("/body/license/holder/number", *number)
            .bytes();
        let (line, asker, key) = (world.line().await.clone(), world.asking.clone(), world.answering.clone());
        let now = world.now();
        held.spawn(async move {
            let told = line.exchange(lookup.clone()).await;
            let due = Due { key: &key.signing, iss: &key.urn(), aud: &asker.urn(), now, request: &lookup };
            Verdict::read(told, &due)
        });
        until(|| library.calls() == at + 1).await;
    }
    held
}

fn quota(requests_per_second: u32, burst: u32, concurrent: u32) -> Value {
    json!({"requests_per_second": requests_per_second, "burst": burst, "concurrent": concurrent,
        "per_day": 200_000})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_over_its_agreed_concurrency_waits_while_another_is_served() {
    let library = Library::open().await;
    let settings = library.settings().replace("timeout_ms = 1000", "timeout_ms = 30000");
    let world =
        World::plan().register(settings).agreement(|a| a["quota"] = quota(1000, 2000, 4)).start().await;
    library.shut_gate();
    let mut held = held_at_the_library(&world, &library, &[JIA, YI, BING, DING]).await;

    let late = world.lookup().bytes();
    let refused = world.ask(late.clone()).await;
    assert_eq!((refused.word().as_str(), refused.status, refused.signed), ("rate-limited", 429, false));
    assert_eq!(refused.told.header("retry-after"), Some("1"));
    // Whatever it asks: the budget is the partner's, before any signature is read.
    assert_eq!(world.ask(world.ping()).await.word(), "rate-limited");
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let ping = world.ping_of(&world.binhai).bytes();
    assert_eq!(world.read_as(&world.binhai, line.exchange(ping.clone()).await, &ping).word(), "ok");

    library.open_gate();
    while let Some(verdict) = held.join_next().await {
        assert_eq!(verdict.unwrap().word(), "ok");
    }
    // Places come back with the answers, and the refused message was never used.
    assert_eq!(world.ask(late).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_crowd_no_more_than_the_agreed_burst_is_answered() {
    let world = World::plan().agreement(|a| a["quota"] = quota(5, 7, 64)).start().await;
    let lookups: Vec<Vec<u8>> = (0..40).map(|_| world.lookup().bytes()).collect();
    let verdicts = at_once(&world, lookups).await;
    assert_eq!(counted(&verdicts), counts(&[("ok", 7), ("rate-limited", 33)]));
    for verdict in verdicts.iter().filter(|verdict| verdict.code() == "rate-limited") {
        assert!(!verdict.signed);
        assert!(verdict.told.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    // A second later there are five more.
    world.clock.advance(1000);
    let lookups = (0..40).map(|_| world.lookup().bytes()).collect();
    assert_eq!(counted(&at_once(&world, lookups).await), counts(&[("ok", 5), ("rate-limited", 35)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_at_the_agreements_quota_does_not_burn_the_id() {
    let library = Library::open().await;
    let settings = library.settings().replace("timeout_ms = 1000", "timeout_ms = 30000");
    let mut tight = agreement();
    tight["quota"] = quota(1000, 2000, 2);
    let mut generous = agreement();
    generous["id"] = "421202-331083-2021".into();
    let world = World::plan().register(settings).agreements(vec![tight, generous]).start().await;
    library.shut_gate();
    let mut held = held_at_the_library(&world, &library, &[JIA, YI]).await;

    // The partner has room, this agreement has none; the claims were read, nothing was used.
    let token = world.authorization();
    let late = world.lookup().authorized(&token);
    for _ in 0..3 {
        let refused = world.ask(&late).await;
        assert_eq!((refused.word().as_str(), refused.signed), ("rate-limited", false));
    }
    assert_eq!(world.ask(world.ping()).await.word(), "ok");

    library.open_gate();
    while let Some(verdict) = held.join_next().await {
        assert_eq!(verdict.unwrap().word(), "ok");
    }
    assert_eq!(world.ask(&late).await.word(), "ok", "neither its id nor its authorization was used");
    assert_eq!(world.ask(&late).await.word(), "replay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asker_that_hangs_up_has_asked_all_the_same() {
    let library = Library::open().await;
    let settings = library.settings().replace("timeout_ms = 1000", "timeout_ms = 30000");
    let world = World::plan().register(settings).start().await;
    for http in [Http::One, Http::Two] {
        let token = world.authorization();
        let lookup = world.lookup().authorized(&token).with("/body/max_age", 0);
        let (calls, size) = (library.calls(), world.xianan.running().house.ledger.health().size);
        library.shut_gate();
        let (line, body) = (world.dial(&world.asking, http).await.unwrap(), lookup.bytes());
        let asking = tokio::spawn(async move { line.try_exchange(body).await });
        until(|| library.calls() == calls + 1).await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled(), "{http:?}");
        library.open_gate();
        until(|| world.xianan.running().house.ledger.health().size > size).await;
        assert_eq!(world.ask(&lookup).await.word(), "replay", "{http:?}");
        let again = world.lookup().authorized(&token);
        assert_eq!(world.ask(again).await.word(), "authorization-used-up", "{http:?}");
    }
}
