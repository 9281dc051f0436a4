//! When more comes than the gateway can do: lookups go first, what ends a case last, and
//! whether it lives and what it has logged can be asked throughout.

use serde_json::{Value, json};
use tongban::admission::{Admission, Class, Place};
use tongban::domain::Region;

use crate::support::*;

/// Other regions, that fill the line to where this class may join no more.
fn filled(admission: &Admission, class: Class) -> Vec<Place> {
    let regions = ["110101", "120101", "130102", "140105", "210102", "220102", "230102", "310101", "320102"];
    let mut places = Vec::new();
    for region in regions.map(|code| Region::parse(code).unwrap()) {
        places.extend(std::iter::from_fn(|| admission.enter(region, || class).ok()));
    }
    places
}

/// What became of one message of each class, from the first to be given up to the last.
async fn one_of_each(world: &World, serial: u32) -> Vec<(u16, String)> {
    let case = case_number(serial);
    let event = world.window_event(1, &digest_of(&world.submit_body()), "withdraw", json!({}));
    let messages = [
        world.lookup(),
        world.about(&case, "application.status", json!({"case": case})),
        world.submit_of(&case),
        world.about(&case, "application.event", event),
    ];
    let mut told = Vec::new();
    for message in messages {
        let verdict = world.ask(message).await;
        assert_eq!(verdict.signed, verdict.word() != "overloaded");
        if verdict.word() == "overloaded" {
            let wait: u32 = verdict.told.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=3).contains(&wait));
        }
        told.push((verdict.status, verdict.word()));
    }
    told
}

/// What must be served however full it is.
async fn still_told(world: &World) {
    let house = &world.xianan.running().house;
    let line = world.line().await;
    assert_eq!(line.get("/v1/card").await.status, 200);
    assert!(house.ledger.flush().await);
    let origin = house.ledger.origin();
    assert_eq!(line.get(&format!("/v1/log/{origin}/checkpoint")).await.status, 200);
    let partial = house.ledger.health().sealed_size % 256;
    assert_eq!(line.get(&format!("/v1/log/{origin}/tile/0/000.p/{partial}")).await.status, 200);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(world.office().get(path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_are_given_up_first_and_what_carries_a_case_on_last() {
    let world = WorldPlan::of_cases().start().await;
    let (ok, no) = ((200, "ok".to_owned()), (503, "overloaded".to_owned()));
    let (taken, unknown) = ((202, "ok".to_owned()), (404, "unknown-case".to_owned()));
    let admission = &world.xianan.running().house.admission;
    let told = one_of_each(&world, 1).await;
    assert_eq!(told, [ok.clone(), unknown.clone(), taken.clone(), ok.clone()], "a quiet gateway");

    let mut shed = Vec::new();
    for (serial, class) in (2..).zip(Class::ALL) {
        let full = filled(admission, class);
        still_told(&world).await;
        shed.push(one_of_each(&world, serial).await);
        drop(full);
    }
    assert_eq!(
        shed,
        [
            vec![no.clone(), unknown, taken.clone(), ok.clone()],
            vec![no.clone(), no.clone(), taken, ok],
            vec![no.clone(), no.clone(), no.clone(), (404, "unknown-case".to_owned())],
            vec![no.clone(), no.clone(), no.clone(), no],
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_turned_away_was_not_done_and_is_counted() {
    let world = WorldPlan::of_cases().start().await;
    let house = &world.xianan.running().house;
    let (message, size) = (world.lookup().bytes(), house.ledger.health().size);
    for http in [Http::One, Http::Two] {
        let line = world.dial(&world.asking, http).await.unwrap();
        let full = filled(&house.admission, Class::Lookup);
        for _ in 0..3 {
            let refused = world.read(line.exchange(message.clone()).await, &message);
            assert_eq!((refused.word().as_str(), refused.status, refused.signed), ("overloaded", 503, false));
        }
        drop(full);
        // On the same connection, which a refusal leaves open.
        assert_eq!(line.get("/v1/card").await.status, 200);
    }
    assert_eq!(house.ledger.health().size, size, "nothing was recorded of it");
    house.record_unsigned_counts().await;
    assert_eq!(world.xianan.metric("tongban_shed_total{class=\"lookup\"}").await, 6.0);
    let leaves = world.xianan.leaves().await;
    let counted: Vec<&Value> = leaves.iter().filter(|leaf| leaf["code"] == "overloaded").collect();
    assert_eq!(counted.len(), 1);
    assert_eq!((&counted[0]["t"], &counted[0]["n"]), (&json!("incident"), &json!(6)));
    // Its id and its authorization are as new.
    assert_eq!(world.ask(message).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_partner_leaves_the_others_their_places() {
    let world = World::start().await;
    let admission = &world.xianan.running().house.admission;
    let flood: Vec<Place> =
        std::iter::from_fn(|| admission.enter(world.binhai.region, || Class::Lookup).ok()).collect();
    assert!(flood.len() >= 150, "{}", flood.len());
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let lookup = world.lookup_of(&world.binhai).bytes();
    assert_eq!(line.exchange(lookup).await.status, 503);
    assert_eq!(world.ask(world.lookup()).await.word(), "ok");
}
