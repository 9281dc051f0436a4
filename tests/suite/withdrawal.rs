//! What can be withdrawn is withdrawn on open connections too; what is written by halves
//! changes nothing; keys are renewed by overlap.

use std::fs;

use serde_json::{Value, json};
use tongban::clock::Now;
use tongban::keys::{Algorithm, SigningKey, write_private_file};

use crate::support::*;

const AWAY: &str = "https://127.0.0.1:9";

async fn ping(world: &World) -> String {
    world.ask(world.ping()).await.word()
}

async fn lookup(world: &World) -> String {
    world.ask(world.lookup()).await.word()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_left_the_card_signs_nothing_any_more() {
    let world = World::start().await;
    assert_eq!(ping(&world).await, "ok");
    let next = new_key(Algorithm::Es256);
    // Rotation by overlap: first both, then the new one alone.
    let mut card = world.asking.card(AWAY);
    card["jwks"]["keys"] = json!([world.asking.signing.public_jwk(), next.public_jwk()]);
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "ok");
    assert_eq!(world.ask(world.ping().signed_by(&next)).await.word(), "ok");
    card["jwks"]["keys"] = json!([next.public_jwk()]);
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "signature-invalid/kid-not-yours");
    assert_eq!(world.ask(world.ping().signed_by(&next)).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_works_from_its_nbf_until_its_exp() {
    let world = World::start().await;
    let coming = || world.ping().signed_by(&world.asking.coming);
    world.clock.advance((COMING - 1) * 1000);
    assert_eq!(world.ask(coming()).await.word(), "signature-invalid/kid-not-yours");
    world.clock.advance(1000);
    assert_eq!(world.ask(coming()).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registered_algorithm_signs_requests() {
    let world = World::start().await;
    let mut card = world.asking.card(AWAY);
    let keys = [Algorithm::Ps256, Algorithm::EdDsa, Algorithm::Ed25519].map(new_key);
    card["jwks"]["keys"] = keys.iter().map(|key| key.public_jwk()).collect();
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
    for key in &keys {
        assert_eq!(world.ask(world.ping().signed_by(key)).await.word(), "ok", "{}", key.alg().name());
    }
    // Two names for one computation: the registered one counts.
    let swapped = world.ping().signed_by(&keys[1]).header("alg", "Ed25519");
    assert_eq!(world.ask(swapped).await.word(), "signature-invalid/alg-not-registered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_member_is_refused_on_its_open_connection_and_comes_back_on_it() {
    let world = World::start().await;
    let one = world.dial(&world.asking, Http::One).await.unwrap();
    assert_eq!(ping(&world).await, "ok");
    for status in ["suspended", "removed", "active"] {
        let mut card = world.asking.card(AWAY);
        card["status"] = status.into();
        world.xianan.trust_card(&card);
        world.xianan.reload().await;
        let says = if status == "active" { "ok" } else { "not-a-member" };
        assert_eq!(ping(&world).await, says, "{status}, HTTP/2");
        let message = world.ping().bytes();
        let told = one.exchange(message.clone()).await;
        assert_eq!(world.read(told, &message).word(), says, "{status}, HTTP/1.1");
    }
    fs::remove_file(world.xianan.card_file(YUHUAN)).unwrap();
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "not-a-member", "the card is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_that_is_dropped_or_narrowed_is_in_force_at_once() {
    let world = World::start().await;
    assert_eq!(lookup(&world).await, "ok");
    let mut narrowed = agreement();
    narrowed["items"][0]["licenses"][0]["fields"] = json!(["cert_no"]);
    world.xianan.trust_agreement(&narrowed);
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "field-not-agreed");
    fs::remove_file(world.xianan.agreement_file(AGREEMENT)).unwrap();
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "no-agreement");
    world.xianan.trust_agreement(&agreement());
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "ok");
    // Two files with one id: which one would hold is anybody's guess, so none does.
    put(&world.xianan.agreement_file("another"), narrowed.to_string());
    world.xianan.reload().await;
    assert_eq!(lookup(&world).await, "no-agreement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agreement_ends_with_its_last_day_in_shanghai() {
    let world =
        World::plan().agreement(|agreement| agreement["valid_to"] = "2030-03-18".into()).start().await;
    let midnight = 1_900_080_000;
    assert_eq!(Now::from_secs(midnight - 1).shanghai_day().to_string(), "2030-03-18");
    assert_eq!(Now::from_secs(midnight).shanghai_day().to_string(), "2030-03-19");
    world.clock.advance((midnight - 1 - NOW) * 1000);
    assert_eq!(world.ask(world.duty()).await.word(), "ok");
    world.clock.advance(1000);
    assert_eq!(world.ask(world.duty()).await.word(), "no-agreement");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_on_its_open_connection() {
    let world = World::plan().crl().start().await;
    assert_eq!(ping(&world).await, "ok");
    let revoked = crl(&world.ca, 2, std::slice::from_ref(&world.asking.serial), world.clock.now());
    put(&world.xianan.home.join("trust/ca.crl"), revoked);
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "not-a-member");
    let anew = match world.dial(&world.asking, Http::Two).await {
        Err(_) => Err(String::new()),
        Ok(line) => line.try_exchange(world.ping().bytes()).await,
    };
    assert!(anew.is_err(), "and no new handshake");
    // Another certificate of the same member is another matter.
    let mut renewed = Member::certified(YUHUAN, &world.ca, world.clock.now());
    renewed.signing = world.asking.signing.clone();
    let line = world.dial(&renewed, Http::Two).await.unwrap();
    let message = world.ping().bytes();
    assert_eq!(world.read(line.exchange(message.clone()).await, &message).word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_list_past_its_next_update_closes_the_door() {
    let world = World::plan().crl().start().await;
    assert_eq!(ping(&world).await, "ok");
    world.clock.advance((7 * 86_400 + 1) * 1000);
    assert_eq!(ping(&world).await, "not-a-member");
    let ready = world.xianan.local().get("/readyz").await;
    assert!(ready.json()["parts"].to_string().contains("\"part\":\"crl\",\"ready\":false"));
    put(&world.xianan.home.join("trust/ca.crl"), crl(&world.ca, 2, &[], world.clock.now()));
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_is_refused_on_its_open_connection() {
    let world = World::start().await;
    assert_eq!(ping(&world).await, "ok");
    world.clock.advance(401 * 86_400 * 1000);
    assert_eq!(ping(&world).await, "not-a-member");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_authorization_is_refused_on_cache_hits_too_and_an_old_list_does_not_bring_it_back() {
    let world = World::start().await;
    let token = world.authorization().with("/authorization_details/0/max_uses", 10);
    let ask = || world.lookup().authorized(&token);
    assert_eq!(world.ask(ask()).await.outcome["source"], "register");
    assert_eq!(world.ask(ask()).await.outcome["source"], "cache");
    world.publish(&[LIST_INDEX]);
    world.xianan.reload().await;
    assert_eq!(world.ask(ask()).await.word(), "authorization-revoked");
    let list = world.xianan.home.join("trust/authorities/lists/7.jwt");
    put(&list, world.authority.status_list(&[], NOW - 1));
    world.xianan.reload().await;
    assert_eq!(world.ask(ask()).await.word(), "authorization-revoked");
    // A list that somebody else signed, or about something else, changes nothing.
    put(
        &list,
        Draft::new("statuslist+jwt", &world.asking.signing, json!({"sub": LIST, "iat": NOW + 1})).bytes(),
    );
    world.xianan.reload().await;
    assert_eq!(world.ask(ask()).await.word(), "authorization-revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_authority_authorizes_nothing_not_even_what_it_signed_before() {
    let world = World::start().await;
    let token = world.authorization().with("/authorization_details/0/max_uses", 10);
    let ask = || world.lookup().authorized(&token);
    assert_eq!(world.ask(ask()).await.word(), "ok");
    let mut document = world.authority.document();
    document["status"] = "suspended".into();
    let file = world.xianan.home.join("trust/authorities/mengsuban.json");
    put(&file, document.to_string());
    world.xianan.reload().await;
    assert_eq!(world.ask(ask()).await.word(), "authorization-invalid/kid-not-theirs");
    put(&file, world.authority.document().to_string());
    world.xianan.reload().await;
    assert_eq!(world.ask(ask()).await.word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_by_halves_changes_nothing() {
    let world = World::plan().crl().start().await;
    let home = &world.xianan.home;
    let files = [
        world.xianan.card_file(YUHUAN),
        world.xianan.agreement_file(AGREEMENT),
        home.join("trust/authorities/mengsuban.json"),
        home.join("trust/authorities/lists/7.jwt"),
        home.join("trust/ca.crt"),
        home.join("trust/ca.crl"),
        home.join("keys/sign.jwk"),
        home.join("keys/tls.crt"),
        home.join("keys/tls.key"),
    ];
    for file in files {
        let whole = fs::read(&file).unwrap();
        for part in [0, 1, whole.len() / 2, whole.len() - 3] {
            fs::write(&file, &whole[..part]).unwrap();
            world.xianan.reload().await;
            assert_eq!(lookup(&world).await, "ok", "{} of {part} bytes", file.display());
        }
        fs::write(&file, &whole).unwrap();
        world.xianan.reload().await;
        assert_eq!(lookup(&world).await, "ok", "{} whole again", file.display());
    }
    // A new connection meets the same gateway.
    let line = world.dial(&world.asking, Http::Two).await.unwrap();
    let message = world.ping().bytes();
    assert_eq!(world.read(line.exchange(message.clone()).await, &message).word(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_two_cards_claim_stays_with_the_first() {
    let world = World::start().await;
    let mut thief = world.binhai.pinning_card(AWAY);
    thief["jwks"]["keys"] = json!([world.asking.signing.public_jwk()]);
    world.xianan.trust_card(&thief);
    world.xianan.reload().await;
    let line = world.dial(&world.binhai, Http::Two).await.ok();
    if let Some(line) = line {
        let message = world.ping_of(&world.binhai).signed_by(&world.asking.signing).bytes();
        let verdict = world.read_as(&world.binhai, line.exchange(message.clone()).await, &message);
        assert_ne!(verdict.word(), "ok", "a stolen key opens nothing");
    }
    assert_eq!(ping(&world).await, "ok", "and its owner does not lose it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_signing_key_is_renewed_without_a_restart() {
    let mut world = World::start().await;
    let file = world.xianan.home.join("keys/sign.jwk");
    let jwk = SigningKey::generate(Algorithm::Es256).unwrap();
    let renewed = std::sync::Arc::new(SigningKey::from_jwk(&jwk).unwrap());
    // Readable by others: not taken until that is mended, though its content is the same.
    let beside = file.with_file_name("next.jwk");
    write_private_file(&beside, jwk.to_string().as_bytes()).unwrap();
    let mode = |bits| std::os::unix::fs::PermissionsExt::from_mode(bits);
    fs::set_permissions(&beside, mode(0o644)).unwrap();
    fs::rename(&beside, &file).unwrap();
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "ok", "still signed by the old key");
    fs::set_permissions(&file, mode(0o600)).unwrap();
    world.xianan.reload().await;
    world.scene.answering.signing = renewed;
    assert_eq!(ping(&world).await, "ok", "signed by the new one");
    let card = world.line().await.get("/v1/card").await.json();
    assert_eq!(card["jwks"]["keys"], json!([world.answering.signing.public_jwk()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_certificate_is_renewed_as_a_pair() {
    let world = World::start().await;
    let renewed = Member::certified(XIANAN, &world.ca, world.clock.now());
    let keys = world.xianan.home.join("keys");
    fs::write(keys.join("tls.crt"), &renewed.chain_pem).unwrap();
    world.xianan.reload().await;
    let shown = || async { world.line().await.get("/v1/card").await.json()["tls"]["spki_sha256"].clone() };
    assert_eq!(shown().await, json!([world.answering.pin]), "half a pair is none");
    fs::write(keys.join("tls.key"), &renewed.key_pem).unwrap();
    world.xianan.reload().await;
    assert_eq!(shown().await, json!([renewed.pin]));
    assert!(world.dial(&world.asking, Http::Two).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_a_leaf_and_no_change_is_none() {
    let world = World::start().await;
    let configured = |leaves: Vec<Value>| -> Vec<String> {
        let config = leaves.into_iter().filter(|leaf| leaf["t"] == "config");
        config.map(|leaf| leaf["code"].as_str().unwrap().to_owned()).collect()
    };
    let before = configured(world.xianan.leaves().await);
    world.xianan.reload().await;
    assert_eq!(configured(world.xianan.leaves().await), before);
    let mut card = world.asking.card(AWAY);
    card["status"] = "suspended".into();
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
    fs::write(world.xianan.card_file(YUHUAN), "{").unwrap();
    world.xianan.reload().await;
    fs::remove_file(world.xianan.card_file(YUHUAN)).unwrap();
    world.xianan.reload().await;
    let after = configured(world.xianan.leaves().await);
    assert_eq!(after[before.len()..], ["changed", "refused", "removed"]);
}
