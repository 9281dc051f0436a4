//! What a gateway still knows after a restart: used ids, counted uses, its ledger.

use tongban::gateway::{self, Options, StartFault};

use crate::support::*;

/// 玉环 on a new connection: the door is another one after a restart.
async fn ask_anew(world: &World, message: Vec<u8>) -> Verdict {
    let line = world.dial(&world.asking, Http::Two).await.unwrap();
    let told = line.exchange(message.clone()).await;
    world.read(told, &message)
}

async fn restart(world: &mut World) {
    let clock = world.clock.clone();
    world.xianan.stop().await;
    world.xianan.start(&clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_ids_and_counted_uses_survive() {
    let mut world = World::start().await;
    let token = world.authorization().with("/authorization_details/0/max_uses", 2);
    let (ping, lookup) = (world.ping(), world.lookup().authorized(&token));
    for message in [&ping, &lookup] {
        assert_eq!(ask_anew(&world, message.bytes()).await.word(), "ok");
    }
    restart(&mut world).await;
    for message in [&ping, &lookup] {
        assert_eq!(ask_anew(&world, message.bytes()).await.word(), "replay");
        let other = message.clone().with("/exp", NOW + 59).bytes();
        assert_eq!(ask_anew(&world, other).await.word(), "jti-reuse");
    }
    let again = || world.lookup().authorized(&token).bytes();
    assert_eq!(ask_anew(&world, again()).await.word(), "ok", "the second use");
    assert_eq!(ask_anew(&world, again()).await.word(), "authorization-used-up");
    restart(&mut world).await;
    let again = world.lookup().authorized(&token).bytes();
    assert_eq!(ask_anew(&world, again).await.word(), "authorization-used-up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_goes_on_where_it_stood() {
    let mut world = World::start().await;
    let verdict = ask_anew(&world, world.lookup().bytes()).await;
    let before = world.xianan.leaves().await;
    restart(&mut world).await;
    let after = world.xianan.leaves().await;
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after[before.len()]["code"], "start");
    let index = verdict.claims.unwrap()["log"]["index"].as_u64().unwrap();
    assert_eq!(after[usize::try_from(index).unwrap()]["t"], "in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_behind_the_ledger_does_not_start() {
    let mut world = World::start().await;
    world.xianan.stop().await;
    world.clock.advance(-3_600_000);
    let config = world.xianan.config();
    let faults = gateway::start(config, world.clock.clone(), Options::default()).await.err().unwrap();
    assert!(matches!(faults[..], [StartFault::ClockBehindLedger(3_600)]), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_usable_ca_no_door_opens() {
    let mut world = World::plan().crl().start().await;
    world.xianan.stop().await;
    put(&world.xianan.home.join("trust/ca.crt"), "no certificate");
    put(&world.xianan.home.join("trust/ca.crl"), "no list");
    let config = world.xianan.config();
    let faults = gateway::start(config, world.clock.clone(), Options::default()).await.err().unwrap();
    let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for file in ["ca.crt", "ca.crl"] {
        assert!(text.contains(file), "{file} is not told in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_card_is_left_out_and_the_other_partners_are_served() {
    let mut world = World::start().await;
    let mut card = world.binhai.pinning_card("https://127.0.0.1:9");
    card["jwks"]["keys"] = serde_json::json!([]);
    world.xianan.trust_card(&card);
    put(&world.xianan.agreement_file("broken"), "{");
    restart(&mut world).await;
    assert_eq!(ask_anew(&world, world.lookup().bytes()).await.word(), "ok");
    let stranger = match world.dial(&world.binhai, Http::Two).await {
        Err(_) => true,
        Ok(line) => line.try_exchange(world.ping_of(&world.binhai).bytes()).await.is_err(),
    };
    assert!(stranger, "who has no readable card is nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_directory_has_one_gateway() {
    let world = World::start().await;
    let config = world.xianan.config();
    let second = gateway::start(config, world.clock.clone(), Options::default()).await;
    assert!(matches!(second.err().unwrap()[..], [StartFault::Ledger(_)]));
}
