//! To a partner: another's silence does not slow it, its own return brings what waited within
//! the quota that was agreed (protocol §6.3), and no file stands in another's way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use tongban::casebook::{OutgoingCount, ParcelRow, ParcelState, Write};

use crate::history::{application, case_plan};
use crate::support::*;

const DIGEST: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `n`th parcel to a partner, in a line of its own.
fn parcel(partner: &str, n: u64) -> Write {
    let business = json!({"item": DUTY_ITEM, "case": CASE, "basis": "statutory_duty", "purpose": "新生儿户口登记",
        "operator": "YH0123", "agreement": AGREEMENT});
    Write::Parcel(ParcelRow {
        id: format!("{partner}-{n}"),
        partner: partner.into(),
        line: format!("{partner}-{n}"),
        seq: n,
        op: "application.event".into(),
        digest: DIGEST.into(),
        business: business.as_object().unwrap().clone(),
        body: json!({"seq": n}),
        state: ParcelState::Waiting,
        reason: None,
        sent: None,
        attempts: 0,
        not_before: 0,
        made: NOW * 1000,
        ended: None,
        receipt: None,
    })
}

fn accepted(heard: &Heard, member: &Member) -> Vec<u8> {
    let receipt =
        json!({"case": CASE, "seq": heard.claims["body"]["seq"], "digest": DIGEST, "state": "RECEIVED"});
    http(200, RESPONSE_TYPE, answer_to(heard, member, NOW, &receipt).bytes())
}

async fn count(world: &World, partner: &str, state: ParcelState) -> u64 {
    let counts: Vec<OutgoingCount> =
        world.yuhuan.running().house.casebook.outgoing_counts(state).await.unwrap();
    counts.iter().find(|count| count.partner == partner).map_or(0, |count| count.count)
}

async fn all_delivered(world: &World, partner: &str, many: u64) {
    let began = Instant::now();
    while count(world, partner, ParcelState::Delivered).await < many {
        if began.elapsed() > PATIENCE {
            panic!("{partner}: {:#?}", world.yuhuan.leaves().await.iter().rev().take(6).collect::<Vec<_>>());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_that_does_not_answer_does_not_slow_another() {
    const MANY: u64 = 150;
    let world = World::plan().asking().start().await;
    let (silent, mut unanswered) = Answerer::by_hand(&world.answering).await;
    let prompt = Answerer::open(&world.binhai).await;
    let member = world.binhai.clone();
    prompt.says(move |heard| accepted(&heard, &member));
    world.yuhuan.trust_card(&world.answering.card(&format!("https://{silent}")));
    world.yuhuan.trust_card(&world.binhai.pinning_card(&prompt.endpoint()));
    world.yuhuan.reload().await;
    let both = (1..=MANY).flat_map(|n| [parcel(XIANAN, n), parcel(BINHAI, n)]).collect();
    world.yuhuan.running().house.casebook.write(both).await.unwrap();

    // Not one call to the silent one is answered before the other has everything.
    let (first, reply) = unanswered.recv().await.unwrap();
    all_delivered(&world, BINHAI, MANY).await;
    assert_eq!(count(&world, XIANAN, ParcelState::Delivered).await, 0);
    assert_eq!(count(&world, XIANAN, ParcelState::Waiting).await, MANY);

    // Late is not never.
    let member = world.answering.clone();
    drop(reply.send(accepted(&first, &member)));
    tokio::spawn(async move {
        while let Some((heard, reply)) = unanswered.recv().await {
            drop(reply.send(accepted(&heard, &member)));
        }
    });
    all_delivered(&world, XIANAN, MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partners_return_brings_what_waited_within_its_quota() {
    const MANY: u64 = 300;
    const QUOTA: usize = 100;
    let plan = World::plan().agreement(|agreement| {
        agreement["quota"] =
            json!({"requests_per_second": QUOTA, "burst": QUOTA, "concurrent": 32, "per_day": 200_000});
    });
    let world = plan.asking().start().await;
    let partner = Answerer::open(&world.answering).await;
    world.yuhuan.trust_card(&world.answering.card(&partner.endpoint()));
    world.yuhuan.reload().await;
    // Away: every connection breaks, until the couriers have noticed.
    let cuts = Arc::new(AtomicUsize::new(0));
    let cut = Arc::clone(&cuts);
    partner.says(move |_| {
        cut.fetch_add(1, Ordering::Relaxed);
        Vec::new()
    });
    world
        .yuhuan
        .running()
        .house
        .casebook
        .write((1..=MANY).map(|n| parcel(XIANAN, n)).collect())
        .await
        .unwrap();
    let began = Instant::now();
    while cuts.load(Ordering::Relaxed) < 6 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&world, XIANAN, ParcelState::Delivered).await, 0);

    let heard: Arc<Mutex<Vec<(Instant, Value)>>> = Arc::default();
    let (member, hears) = (world.answering.clone(), Arc::clone(&heard));
    partner.says(move |request| {
        hears.lock().unwrap().push((Instant::now(), request.claims["body"]["seq"].clone()));
        accepted(&request, &member)
    });
    all_delivered(&world, XIANAN, MANY).await;
    let mut heard = std::mem::take(&mut *heard.lock().unwrap());
    assert_eq!(heard.len(), usize::try_from(MANY).unwrap(), "each once: nothing was lost on the way");
    heard.sort_by_key(|(at, _)| *at);
    let fastest = heard.windows(QUOTA + 1).map(|some| some[QUOTA].0 - some[0].0).min().unwrap();
    assert!(fastest >= Duration::from_secs(1), "{QUOTA} and one more in {fastest:?}");
}

/// A file of three octets.
fn file(n: usize) -> (String, Vec<u8>) {
    let bytes = format!("{n:03}").into_bytes();
    (hex::encode(sha256(&bytes)), bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_nobody_brings_do_not_keep_another_from_its_partner() {
    const NOBODY_BRINGS: usize = 12;
    let years =
        concat!("\n[calendar]\nfolder = \"", env!("CARGO_MANIFEST_DIR"), "/tests/vectors/calendar\"\n");
    let plan = World::plan().configured(years).agreement(|plan| *plan = case_plan(plan.take()));
    let world = plan.asking().start().await;
    let window = world.yuhuan.local();
    let mut last = String::new();
    for n in 0..=NOBODY_BRINGS {
        let mut submit = application(&format!("YH{n}"), NOW);
        submit["body"]["materials"][0]["sha256"] = file(n).0.into();
        let told = window.post("/local/v1/applications", &submit).await;
        assert_eq!(told.status, 202, "{}", String::from_utf8_lossy(&told.body));
        told.json()["case"].as_str().unwrap().clone_into(&mut last);
    }
    let (digest, bytes) = file(NOBODY_BRINGS);
    let says = format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(sha256(&bytes)));
    let path = format!("/local/v1/materials/{digest}");
    let put = window.call("PUT", &path, &[("content-digest", says.as_str())], bytes.into()).await;
    assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
    let began = Instant::now();
    loop {
        let view = window.get(&format!("/local/v1/applications/{last}")).await.json();
        if view["awaiting"] == json!([]) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{view:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
