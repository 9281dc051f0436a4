//! The gateway's own keys and certificates: renewed without a restart, and never those that
//! somebody else may hold.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tongban::gateway::{self, Options};
use tongban::keys::{Algorithm, SigningKey};

use crate::support::*;

fn published(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("certs-example/421202").join(name)).unwrap()
}

/// 玉环's card as 咸安 has it, with these keys.
async fn trust_keys(world: &World, keys: &[&Arc<SigningKey>]) {
    world.xianan.trust_card(&with_keys(world.asking.card("https://127.0.0.1:9"), keys));
    world.xianan.reload().await;
}

async fn ping(world: &World) -> String {
    world.ask(world.ping()).await.word()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_own_certificate_is_renewed_without_a_restart() {
    let world = World::plan().asking().start().await;
    let door = world.xianan.door();
    let shown = async || shown_certificate(door, &world.asking).await;
    let first = shown().await;
    let card = async || world.line().await.get("/v1/card").await.json();
    let pin = |card: &Value| card["tls"]["spki_sha256"][0].as_str().unwrap().to_owned();
    assert_eq!(pin(&card().await), world.answering.pin);
    assert_eq!(local_ping(&world).await.status, 200);

    let renewed = Member::certified(XIANAN, &world.ca, world.clock.now());
    let keys = world.xianan.home.join("keys");
    // Two files, one after the other: what lies between is refused, the old pair stays.
    fs::write(keys.join("tls.crt"), &renewed.chain_pem).unwrap();
    world.xianan.reload().await;
    assert_eq!(shown().await, first);
    fs::write(keys.join("tls.key"), &renewed.key_pem).unwrap();
    world.xianan.reload().await;
    assert_ne!(shown().await, first);
    assert_eq!(pin(&card().await), renewed.pin, "the card says so");
    assert_eq!(ping(&world).await, "ok", "who was connected stays connected");
    assert_eq!(local_ping(&world).await.status, 200);
    // The asking side connects anew and sees the new certificate.
    let card = renewed.pinning_card(&format!("https://{door}"));
    world.yuhuan.trust_card(&with_keys(card, &[&world.answering.signing]));
    world.yuhuan.reload().await;
    assert_eq!(local_ping(&world).await.status, 200);

    // Another region's certificate is not ours, whoever issued it.
    let foreign = Member::certified(BINHAI, &world.ca, world.clock.now());
    let second = shown().await;
    fs::write(keys.join("tls.crt"), &foreign.chain_pem).unwrap();
    fs::write(keys.join("tls.key"), &foreign.key_pem).unwrap();
    world.xianan.reload().await;
    assert_eq!(shown().await, second);
    let changes = world.xianan.changes().await;
    assert_eq!(changes, ["config/start", "key/refused", "key/renewed", "key/refused"]);
}

async fn local_ping(world: &World) -> Told {
    world
        .yuhuan
        .local()
        .call("POST", &format!("/local/v1/partners/{XIANAN}/ping"), &[], Default::default())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_own_signing_key_is_renewed_and_partners_with_both_keys_believe_it() {
    let world = World::plan().asking().start().await;
    let endpoint = format!("https://{}", world.xianan.door());
    assert_eq!(local_ping(&world).await.status, 200);
    let next = SigningKey::generate(Algorithm::Es256).unwrap();
    let new = Arc::new(SigningKey::from_jwk(&next).unwrap());

    fs::write(world.xianan.home.join("keys/sign.jwk"), next.to_string()).unwrap();
    world.xianan.reload().await;
    let card = world.line().await.get("/v1/card").await.json();
    assert_eq!(card["jwks"]["keys"][0], new.public_jwk());
    let told = local_ping(&world).await;
    assert_eq!(
        (told.status, &told.json()["reason"]),
        (502, &json!("kid-not-yours")),
        "not before its card says so"
    );

    let both = [&world.answering.signing, &new];
    world.yuhuan.trust_card(&with_keys(world.answering.card(&endpoint), &both));
    world.yuhuan.reload().await;
    assert_eq!(local_ping(&world).await.status, 200);
    // And the other way round: the asking side's own key.
    let next = SigningKey::generate(Algorithm::Es256).unwrap();
    let theirs = Arc::new(SigningKey::from_jwk(&next).unwrap());
    trust_keys(&world, &[&world.asking.signing, &theirs]).await;
    assert_eq!(local_ping(&world).await.status, 200);
    fs::write(world.yuhuan.home.join("keys/sign.jwk"), next.to_string()).unwrap();
    world.yuhuan.reload().await;
    assert_eq!(local_ping(&world).await.status, 200);
    trust_keys(&world, &[&theirs]).await;
    assert_eq!(local_ping(&world).await.status, 200);
    assert_eq!(ping(&world).await, "signature-invalid/kid-not-yours", "the old key");

    assert_eq!(
        world.xianan.changes().await,
        ["config/start", "key/renewed", "config/changed", "config/changed"]
    );
    assert_eq!(world.yuhuan.changes().await, ["config/start", "config/changed", "key/renewed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_key_file_is_taken_once_its_mode_is_mended() {
    let mut world = World::start().await;
    let file = world.xianan.home.join("keys/sign.jwk");
    let next = SigningKey::generate(Algorithm::Es256).unwrap();
    let mode = |bits| fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
    mode(0o644);
    fs::write(&file, next.to_string()).unwrap();
    for _ in 0..2 {
        world.xianan.reload().await;
        assert_eq!(ping(&world).await, "ok", "still signed by the old key");
    }
    // Not a byte of it changes.
    mode(0o600);
    world.xianan.reload().await;
    world.scene.answering.signing = Arc::new(SigningKey::from_jwk(&next).unwrap());
    assert_eq!(ping(&world).await, "ok", "signed by the new one");
    assert_eq!(
        world.xianan.changes().await,
        ["config/start", "key/refused", "key/renewed"],
        "told once each"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_everybody_can_read_is_not_taken_by_a_renewal_either() {
    let world = World::plan().local_tls().start().await;
    let keys = world.xianan.home.join("keys");
    let doors = [(world.xianan.door(), "tls"), (world.xianan.running().local_addr.unwrap(), "local")];
    for (door, name) in doors {
        let before = shown_certificate(door, &world.asking).await;
        fs::write(keys.join(format!("{name}.crt")), published("tls.crt")).unwrap();
        fs::write(keys.join(format!("{name}.key")), published("tls.key")).unwrap();
        world.xianan.reload().await;
        assert_eq!(shown_certificate(door, &world.asking).await, before, "{name}");
    }
    put(&world.xianan.home.join("trust/ca.crt"), published("../ca.crt"));
    world.xianan.reload().await;
    assert!(world.dial(&world.asking, Http::One).await.is_ok(), "the CA is still ours");
    fs::write(keys.join("sign.jwk"), published("sign.jwk")).unwrap();
    world.xianan.reload().await;
    assert_eq!(ping(&world).await, "ok", "still signed by the old key");
    assert_eq!(
        world.xianan.changes().await,
        ["config/start", "key/refused", "key/refused", "config/refused", "key/refused"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_ca_that_everybody_can_sign_with_no_door_opens_outside_a_demonstration() {
    let mut world = World::start().await;
    world.xianan.stop().await;
    put(&world.xianan.home.join("trust/ca.crt"), published("../ca.crt"));
    let start = async |demo| {
        let options = Options { demo, ..Options::default() };
        gateway::start(world.xianan.config(), world.clock.clone(), options).await
    };
    let faults = start(false).await.err().unwrap();
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert!(fault.to_string().contains("ca.crt") && fault.to_string().contains("公开的示例CA"), "{fault}");
    start(true).await.unwrap_or_else(|faults| panic!("{faults:?}")).stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_doors_certificate_is_renewed_without_a_restart() {
    let world = World::plan().local_tls().start().await;
    let door = world.xianan.running().local_addr.unwrap();
    let shown = async || shown_certificate(door, &world.asking).await;
    let first = shown().await;
    // Known by its host name: whose gateway the certificate names does not matter here.
    let renewed = Member::certified(BINHAI, &world.ca, world.clock.now());
    let keys = world.xianan.home.join("keys");
    fs::write(keys.join("local.crt"), &renewed.chain_pem).unwrap();
    world.xianan.reload().await;
    assert_eq!(shown().await, first, "half a pair changes nothing");
    fs::write(keys.join("local.key"), &renewed.key_pem).unwrap();
    world.xianan.reload().await;
    assert_ne!(shown().await, first);
    assert_eq!(world.xianan.changes().await, ["config/start", "key/refused", "key/renewed"]);
}
