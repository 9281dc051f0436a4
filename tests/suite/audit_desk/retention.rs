//! Retention: each month goes when its class's period is over, not a day before, and not while
//! something in it is held.

use std::collections::BTreeSet;

use serde_json::json;
use tongban::audit::Errand;
use tongban::clock::Clock;

use super::opening::index_of;
use crate::support::*;

/// Midnight in Shanghai.
fn midnight(day: &str) -> i64 {
    let at: jiff::Timestamp = format!("{day}T00:00:00+08:00").parse().unwrap();
    at.as_millisecond()
}

fn move_to(clock: &Clock, ms: i64) {
    clock.advance(ms - clock.now().ms());
}

/// The vaults and their indexes that lie there.
fn vaults(gateway: &Gateway) -> BTreeSet<String> {
    let named =
        |name: &str| name.ends_with(".db") && (name.contains(".provision.") || name.contains(".other."));
    let files = gateway.bytes_below("ledger").into_iter();
    files
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|n| named(n))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_class_goes_at_its_own_midnight_and_a_leaf_says_so_first() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    world.ask(world.lookup()).await;
    world.ask(world.ping()).await;
    assert!(gateway.running().house.ledger.index().await);
    let all = vaults(gateway);
    let names =
        |class: &str| BTreeSet::from([format!("2030-03.{class}.db"), format!("2030-03.{class}.index.db")]);
    assert!(all.is_superset(&names("provision")) && all.is_superset(&names("other")), "{all:?}");
    let desk = gateway.desk();
    for (class, goes) in [("other", "2030-10-01"), ("provision", "2033-04-01")] {
        move_to(&world.clock, midnight(goes) - 1);
        assert!(desk.retain().await.unwrap().dropped.iter().all(|month| month.month != "2030-03"));
        assert!(vaults(gateway).is_superset(&names(class)), "not a moment before {goes}");
        move_to(&world.clock, midnight(goes));
        let run = desk.retain().await.unwrap();
        let [gone] = run
            .dropped
            .iter()
            .filter(|month| month.month == "2030-03")
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert_eq!((gone.class.as_str(), gone.held), (class, 0));
        assert!(vaults(gateway).is_disjoint(&names(class)));
        let shown = gateway.done(errand(LI, Errand::Show { what: gone.leaf.clone().unwrap() })).await;
        let leaf = &shown[0]["leaf"];
        assert_eq!(
            (&leaf["t"], &leaf["op"], &leaf["code"]),
            (&json!("erase"), &json!("drop"), &json!(format!("2030-03.{class}")))
        );
        assert_eq!(leaf["n"], gone.rows);
    }
    assert_eq!(desk.retain().await.unwrap().dropped, [], "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_row_keeps_its_month_and_what_was_dropped_is_told_as_dropped() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let (lookup, ping) =
        (index_of(&world.ask(world.lookup()).await), index_of(&world.ask(world.ping()).await));
    let log = gateway.running().house.ledger.origin();
    let log = log.rsplit('/').next().unwrap().to_owned();
    gateway.done(errand(LI, Errand::Hold { shard: None, of: vec![lookup] })).await;
    move_to(&world.clock, midnight("2033-04-01"));
    let run = gateway.desk().retain().await.unwrap();
    assert!(run.kept.iter().any(|month| (month.class.as_str(), month.held) == ("provision", 1)), "{run:?}");
    let state = async |index: u64| {
        gateway.done(errand(LI, Errand::Show { what: format!("{log}/{index}") })).await[0]["evidence"].clone()
    };
    assert_eq!((state(lookup).await, state(ping).await), (json!("held"), json!("dropped")));
    gateway.done(errand(ZHAO, Errand::Release { shard: Some(log.clone()), of: vec![lookup] })).await;
    assert_eq!(
        gateway.done(errand(ZHAO, Errand::Retention {})).await["dropped"].as_array().unwrap().len(),
        1
    );
    assert_eq!(state(lookup).await, json!("dropped"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_does_its_round_at_start() {
    let mut world = World::start().await;
    world.xianan.admit_auditors().await;
    world.ask(world.ping()).await;
    let clock = world.clock.clone();
    world.xianan.stop().await;
    move_to(&clock, midnight("2030-10-01"));
    world.xianan.start(&clock).await;
    let mut dropped = false;
    while !dropped {
        tokio::task::yield_now().await;
        dropped = !vaults(&world.xianan).contains("2030-03.other.db");
    }
    let drops = world.xianan.leaves().await.into_iter().filter(|leaf| leaf["op"] == "drop").count();
    assert!(drops >= 1);
}
