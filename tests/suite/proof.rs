//! The promise in every answer (protocol §3.2, §7): its leaf stands under a checkpoint that the
//! card's key signed, anybody's tools can check that, its parties can fetch the proof, and
//! nobody learns of a person from it. Checked with the published crates `signed_note` and
//! `tlog_tiles`, none of our own code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::tile::{Tile, TileHashReader, TileReader};
use tlog_tiles::tlog::{Error, Hash, check_record, prove_record, record_hash};
use tongban::ledger::{Leaf, LeafKind};

use crate::support::*;

const LOG: &str = "/v1/log/tongban/421202/2030h1";

/// Where an answer promised to stand.
fn promise(verdict: &Verdict) -> (u64, String) {
    let log = &verdict.claims.as_ref().unwrap()["log"];
    assert_eq!(log["origin"], "tongban/421202/2030h1");
    (log["index"].as_u64().unwrap(), log["leaf"].as_str().unwrap().to_owned())
}

async fn flush(world: &World) {
    assert!(world.xianan.running().house.ledger.flush().await);
}

/// The verifier key that stands on the gateway's card.
async fn vkey(world: &World) -> String {
    let card = world.line().await.get("/v1/card").await.json();
    assert_eq!(card["ledger"]["origin"], "tongban/421202/2030h1");
    card["ledger"]["vkey"].as_str().unwrap().to_owned()
}

/// A checkpoint that the key signed, opened by foreign tools.
fn checkpoint(note: &[u8], vkey: &str) -> tlog_tiles::Checkpoint {
    let verifier = StandardVerifier::new(vkey).unwrap();
    let note = Note::from_bytes(note).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(checkpoint.origin(), "tongban/421202/2030h1");
    assert_eq!(checkpoint.extension(), "");
    checkpoint
}

async fn served_checkpoint(world: &World) -> tlog_tiles::Checkpoint {
    let told = world.line().await.get(&format!("{LOG}/checkpoint")).await;
    assert_eq!((told.status, told.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(told.header("cache-control"), Some("no-store"), "the next one is another");
    checkpoint(&told.body, &vkey(world).await)
}

/// Tiles as a partner fetches them.
struct OverHttp(Line);

impl TileReader for OverHttp {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let fetch = async |tile: &Tile| {
            // The crate writes Go's paths, which name the height.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let told = self.0.get(&format!("{LOG}/{path}")).await;
            assert_eq!(told.status, 200, "{path}");
            assert_eq!(told.header("content-type"), Some("application/octet-stream"));
            assert_eq!(told.header("cache-control"), Some("public, max-age=31536000, immutable"));
            told.body.to_vec()
        };
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut all = Vec::new();
                for tile in tiles {
                    all.push(fetch(tile).await);
                }
                Ok(all)
            })
        })
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// Proves by tiles over HTTP that `leaf` stands at `index`.
async fn prove(world: &World, index: u64, leaf: Hash) {
    let checkpoint = served_checkpoint(world).await;
    let tiles = OverHttp(world.line().await.clone());
    let reader = TileHashReader::new(checkpoint.size(), *checkpoint.hash(), &tiles);
    let proof = prove_record(checkpoint.size(), index, &reader).unwrap();
    check_record(&proof, checkpoint.size(), *checkpoint.hash(), index, leaf).unwrap();
}

/// A `.tlog-proof` file, read by its specification alone.
struct ProofFile {
    leaf: Vec<u8>,
    index: u64,
    path: Vec<Hash>,
    note: Vec<u8>,
}

impl ProofFile {
    fn read(file: &[u8]) -> Self {
        let (head, note) = std::str::from_utf8(file).unwrap().split_once("\n\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
        let leaf = STANDARD.decode(lines.next().unwrap().strip_prefix("extra ").unwrap()).unwrap();
        let index = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
        let path = lines.map(|line| Hash::parse_hash(line).unwrap()).collect();
        Self { leaf, index, path, note: note.as_bytes().to_vec() }
    }

    /// The leaf, if the proof leads from it to what the key signed.
    fn proven(&self, vkey: &str) -> Value {
        let checkpoint = checkpoint(&self.note, vkey);
        let leaf = record_hash(&self.leaf);
        check_record(&self.path, checkpoint.size(), *checkpoint.hash(), self.index, leaf).unwrap();
        serde_json::from_slice(&self.leaf).unwrap()
    }
}

async fn entry(world: &World, index: u64) -> ProofFile {
    let told = world.line().await.get(&format!("{LOG}/entry/{index}")).await;
    assert_eq!((told.status, told.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    let file = ProofFile::read(&told.body);
    assert_eq!(file.index, index);
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answers_leaf_stands_under_the_checkpoint_that_the_cards_key_signs() {
    let world = World::start().await;
    let mut promises = Vec::new();
    for message in [world.ping(), world.lookup(), world.lookup().with("/agreement", "none")] {
        promises.push(promise(&world.ask(message).await));
    }
    flush(&world).await;
    let key = vkey(&world).await;
    for (index, leaf) in &promises {
        let file = entry(&world, *index).await;
        file.proven(&key);
        let hash = record_hash(&file.leaf);
        assert_eq!(*leaf, b64(hash.0), "the promised leaf is the one in the tree");
        prove(&world, *index, hash).await;
    }
    assert!(promises.is_sorted(), "one after the other");
    let size = served_checkpoint(&world).await.size();
    assert_eq!(size, promises.last().unwrap().0 + 1, "and nothing beside them");
    // Nothing changed, nothing is signed anew; the next answer has the next place.
    flush(&world).await;
    assert_eq!(served_checkpoint(&world).await.size(), size);
    assert_eq!(promise(&world.ask(world.ping()).await).0, size);
    assert_eq!(world.line().await.get(&format!("{LOG}/entry/{size}")).await.status, 404, "not covered yet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaf_names_the_exchange_by_digests() {
    let world = World::start().await;
    let token = world.authorization();
    let lookup = world.lookup().authorized(&token);
    let refused = lookup.clone().with("/jti", world.ping().jti());
    let mut leaves = Vec::new();
    for message in [&world.ping(), &lookup, &refused] {
        let bytes = message.bytes();
        let verdict = world.ask(bytes.clone()).await;
        flush(&world).await;
        let file = entry(&world, promise(&verdict).0).await;
        let leaf = file.proven(&vkey(&world).await);
        assert_eq!(file.leaf, tongban::json::jcs(&leaf), "one line of JCS");
        assert_eq!((&leaf["v"], &leaf["t"], &leaf["ts"]), (&json!(1), &json!("in"), &json!(NOW * 1000)));
        assert_eq!((&leaf["me"], &leaf["peer"]), (&json!(XIANAN), &json!(YUHUAN)));
        assert_eq!((&leaf["x"], &leaf["op"]), (&message.claims["jti"], &message.claims["op"]));
        assert_eq!((&leaf["status"], &leaf["sz"]), (&json!(verdict.status), &json!([bytes.len()])));
        assert_eq!(leaf["rq"], b64(sha256(&bytes)), "the exact request");
        assert_eq!(leaf["rd"], b64(sha256(&tongban::json::jcs(&verdict.outcome))), "the exact outcome");
        leaves.push(leaf);
    }
    let [ping, answered, used_up] = &leaves[..] else { unreachable!() };
    // JCS of so small a result can be written here.
    let result = format!("{{\"time\":{NOW},\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(ping["rd"], b64(sha256(result.as_bytes())));
    assert_eq!((&ping["dec"], ping.get("item"), ping.get("agr")), (&json!("permit"), None, None));

    let agreed = b64(sha256(&tongban::json::jcs(&agreement())));
    let consented = b64(sha256(format!("{IDP}\0{}", token.jti()).as_bytes()));
    for leaf in [answered, used_up] {
        assert_eq!((&leaf["item"], &leaf["lt"]), (&json!(ITEM), &json!(MARRIAGE)));
        assert_eq!((&leaf["agr"], &leaf["auth"]), (&json!(agreed), &json!(consented)));
        assert_eq!(leaf["case"], answered["case"], "one case, one tag");
    }
    assert_eq!((&answered["dec"], answered.get("code")), (&json!("permit"), None));
    assert_eq!((&used_up["dec"], &used_up["code"]), (&json!("deny"), &json!("authorization-used-up")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_shown_to_its_parties_and_to_nobody_else() {
    let world = World::start().await;
    let theirs = promise(&world.ask(world.lookup()).await).0;
    let binhai = world.dial(&world.binhai, Http::Two).await.unwrap();
    let ping = world.ping_of(&world.binhai).bytes();
    let ours = promise(&world.read_as(&world.binhai, binhai.exchange(ping.clone()).await, &ping)).0;
    flush(&world).await;
    let status = async |line: &Line, index: u64| {
        let told = line.get(&format!("{LOG}/entry/{index}")).await;
        assert!(told.status == 200 || told.body.is_empty(), "and not even that it is there");
        told.status
    };
    let yuhuan = world.line().await.clone();
    assert_eq!((status(&yuhuan, theirs).await, status(&yuhuan, ours).await), (200, 404));
    assert_eq!((status(&binhai, theirs).await, status(&binhai, ours).await), (404, 200));
    // Leaves of the gateway's own affairs have no second party.
    for index in 0..theirs {
        assert_eq!((status(&yuhuan, index).await, status(&binhai, index).await), (404, 404), "{index}");
    }
    // Hashes are everybody's: a member without an agreement may watch the log.
    assert_eq!(binhai.get(&format!("{LOG}/checkpoint")).await.status, 200);
    let size = served_checkpoint(&world).await.size();
    assert_eq!(binhai.get(&format!("{LOG}/tile/0/000.p/{size}")).await.status, 200);
    // Whole bundles name others: auditors only.
    for path in ["tile/entries/000", &format!("tile/entries/000.p/{size}"), "tile/entries/x001/000"] {
        let told = yuhuan.get(&format!("{LOG}/{path}")).await;
        assert_eq!((told.status, told.body.len()), (404, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_are_not_exactly_the_logs_are_not_found() {
    let world = World::start().await;
    let index = promise(&world.ask(world.ping()).await).0;
    flush(&world).await;
    let line = world.line().await;
    let size = served_checkpoint(&world).await.size();
    let mut paths: Vec<String> = [
        "",
        "/",
        "/checkpoint/",
        "/checkpoint.json",
        "//checkpoint",
        "/CHECKPOINT",
        "/entry",
        "/entry/",
        "/entry/-1",
        "/entry/+1",
        "/entry/00",
        "/entry/1e0",
        "/entry/%31",
        "/entry/18446744073709551615",
        "/entry/18446744073709551616",
        "/tile",
        "/tile/0",
        "/tile/0/",
        "/tile/0/0",
        "/tile/0/00",
        "/tile/0/000",
        "/tile/0/0000",
        "/tile/0/x000/000",
        "/tile/00/000.p/1",
        "/tile/64/000.p/1",
        "/tile/-1/000.p/1",
        "/tile/1/000.p/1",
        "/tile/8/0/000.p/1",
        "/tile/0/000.p",
        "/tile/0/000.p/",
        "/tile/0/000.p/0",
        "/tile/0/000.p/01",
        "/tile/0/000.p/256",
        "/tile/0/000.p/1/",
        "/tile/0/001.p/1",
        "/tile/0/../0/000.p/1",
        "/tile/0/%30%30%30.p/1",
        "/tile/data/000.p/1",
        "/tile/entries/000.p/1",
        "/../../../gateway.toml",
        "/tile/0/..%2f..%2f..%2fgateway.toml",
    ]
    .map(|path| format!("{LOG}{path}"))
    .into();
    paths.push(format!("{LOG}/tile/0/000.p/{}", size + 1));
    for origin in [
        "tongban/331083/2030h1",
        "tongban/421202/2029h2",
        "tongban/421202/2030h3",
        "tongban/421202/2030H1",
        "x/421202/2030h1",
        "421202/2030h1",
        "tongban%2F421202%2F2030h1",
    ] {
        for what in ["checkpoint".to_owned(), format!("entry/{index}"), "tile/0/000.p/1".to_owned()] {
            paths.push(format!("/v1/log/{origin}/{what}"));
        }
    }
    for path in paths {
        let told = line.get(&path).await;
        assert_eq!((told.status, told.body.len()), (404, 0), "{path}");
    }
    for path in ["checkpoint".to_owned(), format!("entry/{index}"), format!("tile/0/000.p/{size}")] {
        assert_eq!(line.get(&format!("{LOG}/{path}")).await.status, 200, "{path}");
        let put = line.call(hyper::Method::PUT, &format!("{LOG}/{path}"), &[], Vec::new()).await.unwrap();
        assert_eq!((put.status, put.header("allow")), (405, Some("GET")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_and_partial_tiles_carry_a_log_beyond_256_leaves() {
    let world = World::start().await;
    let first = promise(&world.ask(world.ping()).await).0;
    flush(&world).await;
    let early = served_checkpoint(&world).await.size();
    let ledger = world.xianan.running().house.ledger.clone();
    let mut more = tokio::task::JoinSet::new();
    for _ in 0..600 {
        let ledger = ledger.clone();
        more.spawn(async move { ledger.record(Leaf::new(LeafKind::Incident).into()).await.is_ok() });
    }
    assert!(more.join_all().await.into_iter().all(|recorded| recorded));
    let last = promise(&world.ask(world.lookup()).await).0;
    assert!(last > 600);
    flush(&world).await;
    for index in [first, last] {
        let file = entry(&world, index).await;
        file.proven(&vkey(&world).await);
        prove(&world, index, record_hash(&file.leaf)).await;
    }
    let line = world.line().await;
    let tile = async |path: &str| {
        let told = line.get(&format!("{LOG}/tile/{path}")).await;
        (told.status, told.body)
    };
    let size = served_checkpoint(&world).await.size();
    let (edge, full) = (size % 256, size / 256);
    for (path, hashes) in [
        ("0/000".to_owned(), 256),
        ("0/001".to_owned(), 256),
        (format!("0/{full:03}.p/{edge}"), edge),
        (format!("1/000.p/{full}"), full),
    ] {
        let (status, body) = tile(&path).await;
        assert_eq!((status, body.len() as u64), (200, hashes * 32), "{path}");
    }
    for path in [
        format!("0/{full:03}"),
        format!("0/{full:03}.p/{}", edge + 1),
        format!("1/000.p/{}", full + 1),
        "1/000".to_owned(),
    ] {
        assert_eq!(tile(&path).await.0, 404, "{path}: the tree does not reach so far");
    }
    // What an earlier checkpoint stood on is still there, and is a part of what there is now.
    let (_, whole) = tile("0/000").await;
    let (status, part) = tile(&format!("0/000.p/{early}")).await;
    assert_eq!(status, 200);
    assert_eq!(part, whole[..part.len()]);
}

/// Where log lines go in a test that reads them.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every file under a directory but the register's, which is the county's own.
fn files(at: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path.is_file() && !path.file_name().unwrap().to_str().unwrap().starts_with("register.db") {
            all.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

/// On one thread, so that this test's subscriber hears all that its gateway's tasks say.
#[tokio::test]
async fn no_person_stands_in_the_ledger_the_log_or_the_metrics() {
    let heard = Heard::default();
    let writer = heard.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // While there is one dispatcher only, `tracing` lets whatever thread meets an event first
    // decide for all whether it is of interest; other tests' threads have no subscriber.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let listening = tracing::subscriber::set_default(subscriber);
    let mut world = World::start().await;
    let token = world.authorization();
    let verify = json!({"license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA, "name": "测试·甲"}},
        "mode": "verify", "expect": {"cert_no": "J331083-2026-000001"}});
    let by_id = json!({"type": MARRIAGE, "license_id": MARRIAGE_ID});
    let planted =
        |message: Draft| message.with("/operator", "OPERATOR-7310").with("/purpose", "目的七三一零");
    for (message, says) in [
        (world.lookup().authorized(&token), "ok"),
        (world.lookup().authorized(&token), "authorization-used-up"),
        (world.lookup().with("/body", verify), "ok"),
        (world.lookup().with("/body/license", by_id), "ok"),
        (world.duty(), "ok"),
        (world.lookup().authorized(&world.authorization_of("111", BING)), "authorization-invalid/holder"),
        (world.lookup().with("/body/license/holder/number", "421202190001010019"), "schema-violation"),
        (world.lookup().with("/body/fields", vec![CANARY]), "field-not-agreed"),
        (world.lookup().with("/op", CANARY), "unknown-op"),
        (world.lookup().header("kid", CANARY), "signature-invalid/kid-not-yours"),
        (world.lookup().with("/iss", world.binhai.urn()), "issuer-mismatch"),
    ] {
        assert_eq!(world.ask(planted(message)).await.word(), says);
    }
    let notice = json!({"type": MARRIAGE, "holder": {"type": "111", "number": JIA}});
    assert_eq!(world.xianan.local().post("/local/v1/licenses/changed", &notice).await.status, 200);
    let metrics = world.xianan.local().get("/metrics").await.body.to_vec();
    flush(&world).await;

    let mut places = BTreeMap::new();
    let mut look = |home: &Path| files(&home.join("data"), &mut places);
    look(&world.xianan.home);
    world.xianan.stop().await;
    look(&world.xianan.home);
    drop(listening);
    assert!(places.len() >= 4, "leaves, head, checkpoint, tiles: {:?}", places.keys());
    let log = heard.0.lock().unwrap().clone();
    assert!(String::from_utf8_lossy(&log).contains("authorization-used-up"), "the log was heard");
    places.insert("the log".to_owned(), log);
    places.insert("the metrics".to_owned(), metrics);
    let holder = token.claims["holder"].as_str().unwrap().to_owned();
    let secrets = [
        JIA,
        BING,
        "421202190001010019",
        "测试",
        "J331083",
        MARRIAGE_ID,
        COMPANY,
        CASE,
        "OPERATOR-7310",
        "目的七三一零",
        "p-3f9c2d1e8b7a4c56",
        &holder,
        CANARY,
        token.jti(),
    ];
    for (place, bytes) in &places {
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {place}");
        }
    }
    let leaves: usize =
        places.values().map(|bytes| bytes.windows(13).filter(|w| *w == b"\"op\":\"license").count()).sum();
    assert!(leaves > 0, "the leaves were among what was searched");
}
