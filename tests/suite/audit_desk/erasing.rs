//! Erasure: what is erased is gone from the disk, every proof stays valid, and nothing is
//! hidden by it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tongban::audit::{Completeness, DeskFault, EraseOrder, Errand, Opened, Question, Request, Warrant};
use tongban::ledger::evidence::Field;
use tongban::ledger::verify::verify;
use tongban::ledger::{Mark, Shard};
use tongban::store::sqlite::{StoredVault, TokenWriter, Vaults};

use super::opening::index_of;
use crate::support::*;
use crate::tamper;

/// The period that the law asks for, and a day (ms).
const AFTER_FLOOR: i64 = 3 * 366 * 86_400_000;

fn vault_row(gateway: &Gateway, index: u64) -> Option<StoredVault> {
    let shard = Shard::at(tongban::clock::Now::from_secs(NOW));
    let found = Vaults::of_data_dir(&gateway.home.join("data")).row(Mark { shard, index }).unwrap();
    found.map(|(_, row)| row)
}

fn order_of(of: Vec<u64>, bend: impl FnOnce(&mut EraseOrder)) -> Errand {
    let shard = Some(Shard::at(tongban::clock::Now::from_secs(NOW)).to_string());
    let mut order = EraseOrder { shard, of, ..EraseOrder::default() };
    bend(&mut order);
    Errand::Erase { order: Box::new(order) }
}

fn all_of_jia(bend: impl FnOnce(&mut EraseOrder)) -> Errand {
    let question = Some(Question { citizen: Some(JIA.into()), ..Question::default() });
    let mut order = EraseOrder { question, ..EraseOrder::default() };
    bend(&mut order);
    Errand::Erase { order: Box::new(order) }
}

async fn found(gateway: &Gateway) -> Vec<Value> {
    let question = Question { citizen: Some(JIA.into()), ..Question::default() };
    gateway.done(errand(LI, search(question))).await["rows"].as_array().unwrap().clone()
}

/// The warrant for 测试·甲, and what a check with it says.
async fn check(gateway: &Gateway) -> Completeness {
    let errand_of = |errand_: Errand| errand(LI, errand_);
    let shard = Some(Shard::at(tongban::clock::Now::from_secs(NOW)).to_string());
    let asked = Errand::Warrant { shard, field: Field::Citizen, value: JIA.into(), from: None, to: None };
    let told = gateway.done(errand_of(asked)).await;
    let warrant: Warrant = serde_json::from_value(told["warrant"].clone()).unwrap();
    let told = gateway.done(errand_of(Errand::Completeness { warrant })).await;
    serde_json::from_value(told).unwrap()
}

async fn verified(gateway: &Gateway) {
    assert!(gateway.running().house.ledger.flush().await);
    let verdict = verify(&gateway.home.join("data"), None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_is_gone_from_every_byte_and_the_log_stays_whole() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let (jia, other) = (index_of(&world.ask(world.lookup()).await), index_of(&world.ask(world.duty()).await));
    assert!(gateway.running().house.ledger.index().await, "the tokens stand in the index too");
    let (row, kept) = (vault_row(gateway, jia).unwrap(), vault_row(gateway, other).unwrap());
    // The official of both exchanges is the same, and so is the day: that token stays.
    let shared: Vec<Vec<u8>> = kept.tokens.chunks_exact(17).map(<[u8]>::to_vec).collect();
    let secrets = |row: &StoredVault| {
        let own = |token: &&[u8]| row.index == other || !shared.iter().any(|known| known == token);
        let tokens = row.tokens.chunks_exact(17).filter(own).map(|token| token[1..].to_vec());
        [row.r.clone(), row.sealed[..64].to_vec()].into_iter().chain(tokens).collect::<Vec<_>>()
    };
    let below = || gateway.bytes_below("ledger");
    for secret in secrets(&row) {
        assert!(!holding(&below(), &secret).is_empty(), "they are found while they are there");
    }
    let by_law = all_of_jia(|order| order.legal_basis = Some("个人信息保护法第四十七条".into()));
    let told = gateway.done(errand(ZHAO, by_law)).await;
    assert_eq!(told["erased"], json!([format!("{}/{jia}", Shard::at(world.clock.now()))]));
    for secret in secrets(&row) {
        assert_eq!(holding(&below(), &secret), Vec::<std::path::PathBuf>::new());
    }
    for secret in secrets(&kept) {
        assert!(!holding(&below(), &secret).is_empty(), "others keep theirs");
    }
    verified(gateway).await;
    let leaf = gateway.leaves().await.into_iter().find(|leaf| leaf["t"] == "erase").unwrap();
    assert_eq!((&leaf["by"], &leaf["of"]), (&json!(ZHAO), &json!([jia])));
    assert_eq!(leaf["past"], gateway.running().house.ledger.origin());

    assert_eq!(found(gateway).await, Vec::<Value>::new());
    let shown = gateway.done(errand(LI, Errand::Show { what: jia.to_string() })).await;
    assert_eq!((&shown[0]["evidence"], &shown[0]["acts"][0]["act"]), (&json!("erased"), &json!("erase")));
    let complete = check(gateway).await;
    assert!(complete.complete, "{complete:?}");
    assert_eq!((complete.erased, complete.matching), (1, 0));
    let asked = Errand::OpenRequest { shard: None, of: vec![jia] };
    let request: Request = serde_json::from_value(gateway.done(errand(LI, asked)).await).unwrap();
    let approved = gateway.done(errand(ZHAO, Errand::OpenApprove { request: request.id })).await;
    let opened: Opened = serde_json::from_value(approved).unwrap();
    assert_eq!((opened.released.len(), opened.absent.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_evidence_is_not_erased_until_it_is_released() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.lookup()).await);
    let other = index_of(&world.ask(world.ping()).await);
    let held = gateway.done(errand(LI, Errand::Hold { shard: None, of: vec![index, 0] })).await;
    assert_eq!((&held["of"], &held["absent"]), (&json!([index]), &json!([0])));
    let now = |of: Vec<u64>| order_of(of, |order| order.legal_basis = Some("法律依据".into()));
    assert_eq!(gateway.send(errand(ZHAO, now(vec![other, index]))).await, Err(DeskFault::Held(index)));
    assert!(
        vault_row(gateway, index).is_some() && vault_row(gateway, other).is_some(),
        "nothing of it is done"
    );
    let release = Errand::Release { shard: None, of: vec![index] };
    assert_eq!(gateway.send(errand(LI, release.clone())).await, Err(DeskFault::NotAllowed));
    gateway.done(errand(ZHAO, release)).await;
    gateway.done(errand(ZHAO, now(vec![other, index]))).await;
    assert!(vault_row(gateway, index).is_none() && vault_row(gateway, other).is_none());
    let words: Vec<Value> = gateway
        .leaves()
        .await
        .into_iter()
        .filter(|leaf| leaf["t"] == "erase")
        .map(|leaf| leaf["op"].clone())
        .collect();
    assert_eq!(words, [json!("hold"), json!("release"), Value::Null]);
    verified(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_laws_period_is_over_evidence_is_taken_out_of_use_and_not_erased() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.lookup()).await);
    assert_eq!(gateway.send(errand(LI, all_of_jia(|_| ()))).await, Err(DeskFault::NotAllowed));
    let told = gateway.done(errand(ZHAO, all_of_jia(|_| ()))).await;
    assert_eq!((&told["erased"], told["restricted"].as_array().unwrap().len()), (&json!([]), 1));
    assert!(vault_row(gateway, index).is_some());
    assert_eq!(found(gateway).await, Vec::<Value>::new(), "nobody finds it by whom it is about");
    let complete = check(gateway).await;
    assert!(complete.complete && complete.matching == 1, "{complete:?}");
    let asked = Errand::OpenRequest { shard: None, of: vec![index] };
    let request: Request = serde_json::from_value(gateway.done(errand(LI, asked)).await).unwrap();
    let approve = |by: &str| errand(by, Errand::OpenApprove { request: request.id.clone() });
    assert_eq!(gateway.send(approve(WANG)).await, Err(DeskFault::Restricted));
    let opened: Opened = serde_json::from_value(gateway.done(approve(ZHAO)).await).unwrap();
    assert_eq!(opened.released.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_laws_period_an_order_needs_no_other_basis() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.lookup()).await);
    // A held row of the month keeps the month, so that the daily round does not come first.
    let held = index_of(&world.ask(world.duty()).await);
    gateway.done(errand(LI, Errand::Hold { shard: None, of: vec![held] })).await;
    world.clock.advance(AFTER_FLOOR);
    let told = gateway.done(errand(ZHAO, order_of(vec![index], |_| ()))).await;
    assert_eq!((told["erased"].as_array().unwrap().len(), &told["restricted"]), (1, &json!([])));
    assert!(vault_row(gateway, index).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_says_nothing_clear_is_refused() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let index = index_of(&world.ask(world.lookup()).await);
    for wrong in [
        order_of(vec![], |_| ()),
        order_of(vec![index], |order| order.legal_basis = Some(" ".into())),
        order_of(vec![index], |order| (order.restrict, order.legal_basis) = (true, Some("法".into()))),
        order_of(vec![index], |order| order.question = Some(Question::default())),
        all_of_jia(|order| {
            order.question = Some(Question { op: Some("ping".into()), ..Question::default() })
        }),
    ] {
        let refused = gateway.send(errand(ZHAO, wrong)).await;
        assert!(matches!(refused, Err(DeskFault::Asked(_))), "{refused:?}");
    }
    assert_eq!(gateway.send(errand(ZHAO, order_of(vec![999_999], |_| ()))).await, Err(DeskFault::NoSuchLeaf));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_hides_or_invents_is_told_and_so_is_a_secret_that_vanished() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    for _ in 0..3 {
        world.ask(world.lookup()).await;
    }
    let other = index_of(&world.ask(world.duty()).await);
    assert!(gateway.running().house.ledger.index().await);
    let rows: Vec<u64> = found(gateway).await.iter().map(|row| row["index"].as_u64().unwrap()).collect();
    let sound = check(gateway).await;
    assert!(sound.complete && sound.matching == 3 && sound.answered == 3, "{sound:?}");

    let shard = Shard::at(world.clock.now());
    let folder = gateway.home.join(format!("data/ledger/{shard}"));
    let index = folder.join("2030-03.provision.index.db");
    TokenWriter::open(index).unwrap().forget(&[rows[1]]).unwrap();
    let hidden = check(gateway).await;
    assert_eq!((hidden.complete, &hidden.hidden[..], hidden.answered), (false, &[rows[1]][..], 2));

    let vault = folder.join("2030-03.provision.sealed");
    tamper::rows::edit(&vault, |all| all.retain(|row| row.index != other));
    let vanished = check(gateway).await;
    assert_eq!(vanished.uncovered, [other]);
    tamper::rows::edit(&vault, |all| all.iter_mut().find(|row| row.index == rows[0]).unwrap().r = [1; 32]);
    assert_eq!(check(gateway).await.wrong_secret, [rows[0]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warrant_finds_its_subject_and_its_period_only() {
    let world = World::start().await;
    let gateway = &world.xianan;
    gateway.admit_auditors().await;
    let first = index_of(&world.ask(world.lookup()).await);
    let split = world.clock.now().ms() + 1;
    world.clock.advance(60_000);
    world.ask(world.lookup()).await;
    world.ask(world.duty()).await;
    let asked = Errand::Warrant {
        shard: None,
        field: Field::Citizen,
        value: JIA.into(),
        from: None,
        to: Some(split),
    };
    let told = gateway.done(errand(LI, asked)).await;
    let warrant: Warrant = serde_json::from_value(told["warrant"].clone()).unwrap();
    let answered = tongban::audit::answered_by_index(&gateway.home.join("data"), &warrant).unwrap();
    assert_eq!(answered, [first].into());
    let key = std::fs::read(gateway.home.join(format!("data/ledger/search/{}.key", warrant.shard))).unwrap();
    assert_ne!(URL_SAFE_NO_PAD.decode(&warrant.t).unwrap(), key, "the log's own key does not leave");
}
