//! What holds when everything comes at once.

use std::collections::BTreeMap;
use std::sync::Arc;

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
