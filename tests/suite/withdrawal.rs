//! What is withdrawn is withdrawn, for connections that are open already too (protocol §2,
//! §3.3, §8): keys, members, agreements, authorities, tokens, certificates. And what is half
//! written changes nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tongban::cli::pki::{CertificateAuthority, Subject, Validity};
use tongban::envelope::{Typ, seal};
use tongban::keys::{Algorithm, SigningKey};

use crate::support::*;

const DAY_MS: i64 = 86_400_000;

/// 玉环's card as 咸安 has it, bent.
async fn trust_bent(world: &World, bend: impl FnOnce(&mut Value)) {
    let mut card = world.asking.card("https://127.0.0.1:9");
    bend(&mut card);
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
}

async fn trust_keys(world: &World, keys: Vec<Value>) {
    trust_bent(world, |card| card["jwks"]["keys"] = keys.into()).await;
}

/// The agreement in force, bent.
async fn agree(world: &World, bend: impl FnOnce(&mut Value)) {
    let mut agreed = agreement();
    bend(&mut agreed);
    world.xianan.trust_agreement(&agreed);
    world.xianan.reload().await;
}

async fn authorize(world: &World, bend: impl FnOnce(&mut Value)) {
    let mut document = world.authority.document();
    bend(&mut document);
    put(&authority_file(world), document.to_string());
    world.xianan.reload().await;
}

fn authority_file(world: &World) -> PathBuf {
    world.xianan.home.join("trust/authorities/mengsuban.json")
}

async fn lookup(world: &World) -> String {
    world.ask(world.lookup()).await.word()
}

async fn ping(world: &World) -> String {
    world.ask(world.ping()).await.word()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_taken_from_a_card_is_nobodys() {
    let world = World::start().await;
    let next = new_key(Algorithm::Es256);
    let by_next = || world.ping().signed_by(&next);
    assert_eq!(ping(&world).await, "ok");
    assert_eq!(world.ask(by_next()).await.word(), "signature-invalid/kid-not-yours");
    // Rotation by overlap: both, then the new one alone.
    trust_keys(&world, vec![world.asking.signing.public_jwk(), next.public_jwk()]).await;
    assert_eq!(ping(&world).await, "ok");
    assert_eq!(world.ask(by_next()).await.word(), "ok");
    trust_keys(&world, vec![next.public_jwk()]).await;
    assert_eq!(world.ask(by_next()).await.word(), "ok");
    let refused = world.ask(world.ping()).await;
    assert_eq!(refused.word(), "signature-invalid/kid-not-yours");
    assert!(!refused.signed, "for all we know somebody else wrote it");
    // An authorization bound to the old key does not come with the new one.
    let bound = world.lookup().signed_by(&next);
    assert_eq!(world.ask(bound).await.word(), "authorization-invalid/key-binding");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_in_force_from_its_nbf_until_its_exp_and_no_file_need_change() {
    let world = World::start().await;
    let next = new_key(Algorithm::Es256);
    let (mut old, mut new) = (world.asking.signing.public_jwk(), next.public_jwk());
    old["exp"] = (NOW + 200).into();
    new["nbf"] = (NOW + 100).into();
    trust_keys(&world, vec![old, new]).await;
    for (at, by_old, by_new) in [
        (99, "ok", "signature-invalid/kid-not-yours"),
        (100, "ok", "ok"),
        (199, "ok", "ok"),
        (200, "signature-invalid/kid-not-yours", "ok"),
    ] {
        world.clock.advance((NOW + at) * 1000 - world.clock.now().ms());
        assert_eq!(ping(&world).await, by_old, "at {at} s");
        assert_eq!(world.ask(world.ping().signed_by(&next)).await.word(), by_new, "at {at} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_none_any_more_is_told_so_on_its_open_connection() {
    let world = World::start().await;
    let old = world.dial(&world.asking, Http::One).await.unwrap();
    let refused = async || {
        let verdict = world.ask(world.lookup()).await;
        assert_eq!((verdict.word().as_str(), verdict.status, verdict.signed), ("not-a-member", 403, false));
        let log = format!("/v1/log/{}/checkpoint", world.xianan.running().house.ledger.origin());
        for path in ["/v1/card", &log] {
            assert_eq!(old.get(path).await.status, 403, "{path}");
        }
    };
    for status in ["suspended", "removed"] {
        trust_bent(&world, |card| card["status"] = status.into()).await;
        refused().await;
        trust_bent(&world, |_| ()).await;
        assert_eq!(lookup(&world).await, "ok");
    }
    fs::remove_file(world.xianan.card_file(YUHUAN)).unwrap();
    world.xianan.reload().await;
    refused().await;
    // A stranger now: no new handshake either.
    let again = match world.dial(&world.asking, Http::Two).await {
        Err(_) => true,
        Ok(line) => line.try_exchange(world.ping().bytes()).await.is_err(),
    };
    assert!(again);
    trust_bent(&world, |_| ()).await;
    assert_eq!(lookup(&world).await, "ok", "the connection was never closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_taken_from_a_card_ends_what_it_allowed() {
    let world = World::start().await;
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let ping = async || {
        let ping = world.ping_of(&world.binhai).bytes();
        world.read_as(&world.binhai, line.exchange(ping.clone()).await, &ping).word()
    };
    assert_eq!(ping().await, "ok");
    world.xianan.trust_card(&world.binhai.card("https://127.0.0.1:9"));
    world.xianan.reload().await;
    assert_eq!(ping().await, "not-a-member");
    world.xianan.trust_card(&world.binhai.pinning_card("https://127.0.0.1:9"));
    world.xianan.reload().await;
    assert_eq!(ping().await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_agreed_is_refused() {
    let world = World::start().await;
    assert_eq!(lookup(&world).await, "ok");
    agree(&world, |a| a["items"][0]["licenses"][0]["fields"] = json!(["cert_no"])).await;
    assert_eq!(lookup(&world).await, "field-not-agreed");
    agree(&world, |a| a["items"][0]["licenses"][0]["holder_region"] = json!([YUHUAN])).await;
    assert_eq!(lookup(&world).await, "license-not-agreed");
    agree(&world, |a| a["items"][0]["ops"] = json!(["application.submit"])).await;
    assert_eq!(lookup(&world).await, "op-not-agreed");
    agree(&world, |a| drop(a["items"].as_array_mut().unwrap().remove(0))).await;
    assert_eq!(lookup(&world).await, "item-not-agreed");
    // The same with somebody else.
    agree(&world, |a| {
        *a = serde_json::from_str(&a.to_string().replace(YUHUAN, BINHAI)).unwrap();
        a["id"] = AGREEMENT.into();
    })
    .await;
    assert_eq!(lookup(&world).await, "no-agreement");
    agree(&world, |a| a["valid_to"] = "2030-03-17".into()).await;
    assert_eq!(lookup(&world).await, "no-agreement", "its last day was yesterday");
    agree(&world, |a| a["valid_to"] = "2030-03-18".into()).await;
    assert_eq!(lookup(&world).await, "ok", "its last day is today");
    fs::remove_file(world.xianan.agreement_file(AGREEMENT)).unwrap();
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "no-agreement");
    assert_eq!(ping(&world).await, "ok", "ping needs none");
    // Two files that contradict each other: neither holds.
    agree(&world, |_| ()).await;
    assert_eq!(lookup(&world).await, "ok");
    let mut other = agreement();
    other["name"] = "另一份".into();
    put(&world.xianan.home.join("trust/agreements/zz.json"), other.to_string());
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "no-agreement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_ends_at_midnight_in_shanghai_without_anybody_touching_it() {
    let world = World::plan().agreement(|a| a["valid_to"] = "2030-03-18".into()).start().await;
    // NOW is 2030-03-18 01:46:40 in Shanghai.
    let midnight = 22 * 3600 + 13 * 60 + 20;
    let duty = async || world.ask(world.duty()).await.word();
    world.clock.advance((midnight - 1) * 1000);
    assert_eq!(duty().await, "ok");
    world.clock.advance(1000);
    assert_eq!(duty().await, "no-agreement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_suspended_speaks_for_nobody() {
    let world = World::start().await;
    let token = world.authorization().with("/authorization_details/0/max_uses", 100);
    let again = async || world.ask(world.lookup().authorized(&token)).await.word();
    assert_eq!(again().await, "ok");
    authorize(&world, |document| document["status"] = "suspended".into()).await;
    assert_eq!(again().await, "authorization-invalid/kid-not-theirs", "remembered tokens too");
    assert_eq!(lookup(&world).await, "authorization-invalid/kid-not-theirs");
    authorize(&world, |_| ()).await;
    assert_eq!(again().await, "ok");
    // Its key is replaced: what the old one signed is nobody's, its status list included.
    let next = new_key(Algorithm::Es256);
    authorize(&world, |document| document["jwks"]["keys"] = json!([next.public_jwk()])).await;
    assert_eq!(again().await, "authorization-invalid/kid-not-theirs");
    let by_next = world.lookup().authorized(&world.authorization().signed_by(&next));
    assert_eq!(world.ask(by_next).await.word(), "status-stale");
    // By overlap both are believed.
    let old = world.authority.key.public_jwk();
    authorize(&world, |document| document["jwks"]["keys"] = json!([old, next.public_jwk()])).await;
    assert_eq!(again().await, "ok");
    let by_next = world.lookup().authorized(&world.authorization().signed_by(&next));
    assert_eq!(world.ask(by_next).await.word(), "ok");
    fs::remove_file(authority_file(&world)).unwrap();
    world.xianan.reload().await;
    assert_eq!(again().await, "authorization-invalid/kid-not-theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_authorization_is_refused_although_the_record_lies_in_the_cache() {
    let world = World::start().await;
    let token = world.authorization().with("/authorization_details/0/max_uses", 100);
    let again = async || world.ask(world.lookup().authorized(&token)).await;
    assert_eq!(again().await.outcome["source"], "register");
    assert_eq!(again().await.outcome["source"], "cache");
    world.publish(&[LIST_INDEX]);
    world.xianan.reload().await;
    assert_eq!(again().await.word(), "authorization-revoked");
    // Another's token stands elsewhere in the list.
    let other = world.authorization().with("/status/status_list/idx", LIST_INDEX + 1);
    assert_eq!(world.ask(world.lookup().authorized(&other)).await.outcome["source"], "cache");
    // The operator's file has the word: taken back, it is taken back.
    put(&list_file(&world), world.authority.status_list(&[], world.now() - 1));
    world.xianan.reload().await;
    assert_eq!(again().await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_a_whole_province_is_read_when_it_changes_and_when_it_returns() {
    let world = World::start().await;
    // Random bits do not compress: a signed file between one and two mebibytes.
    let mut bits = vec![0; 1_000_000];
    aws_lc_rs::rand::fill(&mut bits).unwrap();
    bits[usize::try_from(LIST_INDEX / 8).unwrap()] = 0xff;
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&bits).unwrap();
    let claims = json!({"sub": LIST, "iat": NOW, "exp": NOW + 60,
        "status_list": {"bits": 1, "lst": b64(zlib.finish().unwrap())}});
    let list = seal(&world.authority.key, Typ::StatusList, &claims).unwrap();
    assert!(list.len() > 1024 * 1024);
    put(&list_file(&world), &list);
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "authorization-revoked");
    let next = new_key(Algorithm::Es256);
    authorize(&world, |document| document["jwks"]["keys"] = json!([next.public_jwk()])).await;
    authorize(&world, |_| ()).await;
    assert_eq!(lookup(&world).await, "authorization-revoked");
}

fn list_file(world: &World) -> PathBuf {
    world.xianan.home.join("trust/authorities/lists/7.jwt")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_list_past_its_exp_closes_the_door_on_cache_hits_too() {
    let world = World::start().await;
    world.clock.advance((LIST_LIFE - 10) * 1000);
    let token = world.authorization().with("/authorization_details/0/max_uses", 100);
    let again = async || world.ask(world.lookup().authorized(&token)).await;
    assert_eq!(again().await.word(), "ok");
    assert_eq!(again().await.outcome["source"], "cache");
    world.clock.advance(9_999);
    assert_eq!(again().await.outcome["source"], "cache");
    world.clock.advance(1);
    let stale = again().await;
    assert_eq!((stale.word().as_str(), stale.signed), ("status-stale", true));
    // That the file is gone opens nothing.
    fs::remove_file(list_file(&world)).unwrap();
    world.xianan.reload().await;
    assert_eq!(again().await.word(), "status-stale");
    world.publish(&[]);
    world.xianan.reload().await;
    assert_eq!(again().await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_on_the_revocation_list_ends_its_open_connections() {
    let world = World::plan().crl().start().await;
    let old = world.dial(&world.asking, Http::One).await.unwrap();
    assert_eq!(lookup(&world).await, "ok");
    let now = world.clock.now();
    put(&crl_file(&world), crl(&world.ca, 2, std::slice::from_ref(&world.asking.serial), now));
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "not-a-member");
    assert_eq!(old.exchange(world.ping().bytes()).await.status, 403);
    let again = match world.dial(&world.asking, Http::Two).await {
        Err(_) => true,
        Ok(line) => line.try_exchange(world.ping().bytes()).await.is_err(),
    };
    assert!(again, "no new handshake");
    // Its next certificate is another one.
    let renewed = Member::certified(YUHUAN, &world.ca, now);
    let line = world.dial(&renewed, Http::Two).await.unwrap();
    let ping = world.ping().bytes();
    assert_eq!(world.read(line.exchange(ping.clone()).await, &ping).word(), "ok");
}

fn crl_file(world: &World) -> PathBuf {
    world.xianan.home.join("trust/ca.crl")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_list_past_its_next_update_closes_the_door() {
    let world = World::plan().crl().start().await;
    assert_eq!(ping(&world).await, "ok");
    let ready = async || world.xianan.local().get("/readyz").await.json()["parts"].to_string();
    assert!(ready().await.contains(r#""part":"crl","ready":true"#));
    world.clock.advance(7 * DAY_MS - 1000);
    assert_eq!(ping(&world).await, "ok");
    world.clock.advance(2000);
    assert_eq!(ping(&world).await, "not-a-member", "nobody can say whether it was revoked");
    assert!(ready().await.contains(r#""part":"crl","ready":false"#));
    put(&crl_file(&world), crl(&world.ca, 2, &[], world.clock.now()));
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_is_replaced_takes_its_certificates_with_it() {
    let world = World::start().await;
    assert_eq!(ping(&world).await, "ok");
    let validity = Validity { from: world.clock.now(), days: 800 };
    let other = CertificateAuthority::generate("Other CA", validity).unwrap();
    let file = world.xianan.home.join("trust/ca.crt");
    put(&file, other.certificate_pem());
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "not-a-member");
    put(&file, other.certificate_pem() + &world.ca.certificate_pem());
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_ends_on_an_open_connection_at_its_last_second() {
    let world = World::start().await;
    let subject = Subject::gateway(&world.asking.region, &[]);
    let short = world.ca.issue(&subject, Validity { from: world.clock.now(), days: 1 }).unwrap();
    let mut member = world.asking.clone();
    member.chain_pem.clone_from(&short.certificate_pem);
    member.key_pem = short.private_key_pem.to_string();
    let line = world.dial(&member, Http::Two).await.unwrap();
    let ping = async || {
        let ping = world.ping().bytes();
        world.read(line.exchange(ping.clone()).await, &ping).word()
    };
    assert_eq!(ping().await, "ok");
    world.clock.advance(DAY_MS + 1000);
    assert_eq!(ping().await, "not-a-member");
}

/// What stands half-written in the way of every file: the first half, and then something that
/// is no more whole.
fn halve(file: &Path) -> Vec<u8> {
    let whole = fs::read(file).unwrap();
    fs::write(file, &whole[..whole.len() / 2]).unwrap();
    whole
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_file_changes_nothing_and_is_counted() {
    let world = World::plan().crl().start().await;
    let home = &world.xianan.home;
    let files = [
        world.xianan.card_file(YUHUAN),
        world.xianan.agreement_file(AGREEMENT),
        authority_file(&world),
        list_file(&world),
        crl_file(&world),
        home.join("trust/ca.crt"),
        home.join("keys/sign.jwk"),
        home.join("keys/tls.crt"),
        home.join("keys/tls.key"),
    ];
    assert_eq!(lookup(&world).await, "ok");
    let refused = "tongban_trust_files_refused_total";
    for (before, file) in files.iter().enumerate() {
        let before = f64::from(u32::try_from(before).unwrap());
        assert_eq!(world.xianan.metric(refused).await, before);
        let whole = halve(file);
        world.xianan.reload().await;
        assert_eq!(lookup(&world).await, "ok", "{}", file.display());
        assert!(world.dial(&world.asking, Http::One).await.is_ok(), "{}", file.display());
        assert_eq!(world.xianan.metric(refused).await, before + 1.0, "{}", file.display());
        // Told once, however long it stands there.
        world.xianan.reload().await;
        assert_eq!(world.xianan.metric(refused).await, before + 1.0, "{}", file.display());
        fs::write(file, whole).unwrap();
        world.xianan.reload().await;
        assert_eq!(lookup(&world).await, "ok", "{}", file.display());
    }
    let changes = world.xianan.changes().await;
    assert_eq!(changes.iter().filter(|change| change.ends_with("/refused")).count(), files.len());
    // Looked at again and again, nothing more is said.
    for _ in 0..3 {
        world.xianan.reload().await;
    }
    assert_eq!(world.xianan.changes().await, changes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_stands_in_the_ledger() {
    let world = World::plan().crl().start().await;
    let mut expected = vec!["config/start"];
    assert_eq!(world.xianan.changes().await, expected);
    let mut now_also = async |changes: &[&'static str]| {
        world.xianan.reload().await;
        expected.extend(changes);
        assert_eq!(world.xianan.changes().await, expected);
    };
    let stranger = Member::certified("150421", &world.ca, world.clock.now());
    let card = stranger.card("https://127.0.0.1:9");
    world.xianan.trust_card(&card);
    now_also(&["config/added"]).await;
    fs::remove_file(world.xianan.card_file("150421")).unwrap();
    now_also(&["config/removed"]).await;
    // A key that is another member's already.
    world.xianan.trust_card(&with_keys(card, &[&world.asking.signing]));
    now_also(&["config/added", "config/refused"]).await;
    assert_eq!(world.ask(world.ping()).await.word(), "ok", "the member keeps its key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registered_algorithm_signs_requests_under_its_own_name() {
    let world = World::start().await;
    let keys = [Algorithm::Ps256, Algorithm::EdDsa, Algorithm::Ed25519].map(new_key);
    trust_keys(&world, keys.iter().map(|key| key.public_jwk()).collect()).await;
    for key in &keys {
        assert_eq!(world.ask(world.ping().signed_by(key)).await.word(), "ok", "{}", key.alg().name());
    }
    // Two names for one computation: the registered one counts.
    let swapped = world.ping().signed_by(&keys[1]).header("alg", "Ed25519");
    assert_eq!(world.ask(swapped).await.word(), "signature-invalid/alg-not-registered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_on_two_cards_opens_nothing_for_the_second_and_stays_with_its_owner() {
    let world = World::start().await;
    let mut thief = world.binhai.pinning_card("https://127.0.0.1:9");
    thief["jwks"]["keys"] = json!([world.asking.signing.public_jwk()]);
    world.xianan.trust_card(&thief);
    world.xianan.reload().await;
    if let Ok(line) = world.dial(&world.binhai, Http::Two).await {
        let message = world.ping_of(&world.binhai).signed_by(&world.asking.signing).bytes();
        if let Ok(told) = line.try_exchange(message.clone()).await {
            assert_ne!(world.read_as(&world.binhai, told, &message).word(), "ok");
        }
    }
    assert_eq!(ping(&world).await, "ok", "its owner does not lose it");
}
