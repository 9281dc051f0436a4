//! To whoever audits from outside: a log at a URL is checked over mutual TLS with nothing but what
//! its door gives out, and a door that lies is found out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tongban::clock::Clock;
use tongban::config::Config;
use tongban::house::Trust;
use tongban::ledger::LedgerKey;
use tongban::ledger::checkpoint::Checkpoint;
use tongban::ledger::tiles::Edge;
use tongban::ledger::tree::leaf_hash;
use tongban::peer::{Credentials, partner_server_config};

use crate::process::{Home, Pair, Ran, Served, run, until};
use crate::support::{BINHAI, Member};

/// Both gateways run; 玉环 has asked 咸安 once, and every leaf is under a checkpoint.
fn acquainted() -> (Pair, [Served; 2]) {
    let pair = Pair::make();
    let serving = [pair.xianan.serve(), pair.yuhuan.serve()];
    pair.yuhuan.run(&["partner", "ping", "421202"]).ended(0);
    sealed(&pair);
    (pair, serving)
}

fn sealed(pair: &Pair) {
    until("every leaf is under a checkpoint", || {
        pair.xianan.verify().logs.iter().all(|log| log.sealed == log.leaves).then_some(())
    });
}

fn url(home: &Home) -> String {
    format!("https://{}", home.doors.partner)
}

/// The first leaf at 咸安 that names 玉环.
fn of_yuhuan(pair: &Pair) -> (u64, Value) {
    let leaves = pair.xianan.leaves();
    let (stored, leaf) =
        leaves.into_iter().find(|(_, leaf)| leaf["peer"] == "331083" && leaf["t"] == "in").unwrap();
    (stored.index, leaf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_checks_a_running_log_over_mutual_tls_and_what_it_kept_from_before() {
    let (pair, serving) = acquainted();
    let (url, root) = (url(&pair.xianan), pair.root.path());
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let (kept, proof) = (path("kept.checkpoint"), path("one.tlog-proof"));
    let (index, leaf) = of_yuhuan(&pair);
    let at = index.to_string();
    let vkey = pair.xianan.card["ledger"]["vkey"].as_str().unwrap();
    let check = |more: &[&str]| pair.yuhuan.run(&[&["audit", "check", &url, "--json"], more].concat());

    let verdict = check(&["--save", &kept, "--entry", &at, "--entry", "0", "--promises"]).ended(0).json();
    let log = &verdict["logs"][0];
    assert_eq!((&verdict["sound"], &log["vkey"]), (&json!(true), &json!(vkey)));
    let told = |at: usize| (log["entries"][at]["state"].clone(), log["entries"][at]["leaf"].clone());
    assert_eq!(told(0), (json!("proven"), leaf.clone()));
    assert_eq!(told(1).0, "withheld", "the first leaf names no partner");
    assert_eq!(log["promises"], 1, "what the answer to the ping promised");
    let origin = log["origin"].as_str().unwrap();
    let published = fs::read(pair.xianan.data().join(format!("tiles/{origin}/checkpoint"))).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), published);

    // The same by the other commands, and in words.
    let shown = pair.yuhuan.run(&["audit", "show", &at, "--url", &url, "--json"]).ended(0).json();
    assert_eq!(shown["leaf"], leaf);
    pair.yuhuan.run(&["audit", "proof", &at, "--url", &url, "-o", &proof]).ended(0);
    run(&["audit", "proof", "--check", &proof, "--vkey", vkey]).ended(0);
    pair.yuhuan.run(&["audit", "show", "0", "--url", &url]).ended(1);
    let words = pair.yuhuan.run(&["audit", "verify", &url, "--checkpoint", &kept]).ended(0).out;
    assert!(words.contains("与留存的") && words.trim_end().ends_with("sound 账本完好"), "{words}");

    // It grows, and continues what was kept.
    pair.yuhuan.run(&["partner", "ping", "421202"]).ended(0);
    sealed(&pair);
    let grown = check(&["--since", &kept, "--save", &kept]).ended(0).json();
    assert!(grown["logs"][0]["size"].as_u64() > log["size"].as_u64());
    assert_eq!(grown["logs"][0]["since"], log["size"]);
    assert_ne!(fs::read(&kept).unwrap(), published, "the newer one is kept");
    pair.yuhuan.run(&["audit", "consistency", &kept, "--url", &url]).ended(0);

    // Whose cosignatures are enough is the caller's policy.
    let policy = path("policy");
    let witness = pair.yuhuan.run(&["audit", "witness", "key"]).ended(0).out;
    fs::write(&policy, format!("log {vkey}\n{witness}quorum none\n")).unwrap();
    check(&["--policy", &policy]).ended(0);
    let nobody = tongban::witness::CosignerKey::open(&root.join("w1"), pair.yuhuan.region).unwrap();
    fs::write(&policy, format!("log {vkey}\nwitness nobody {}\nquorum nobody\n", nobody.vkey())).unwrap();
    let found = check(&["--policy", &policy]).ended(2).json();
    assert_eq!(found["findings"][0]["kind"], "quorum-missing");
    drop(serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_without_a_gateway_shows_a_members_certificate_and_nobody_else_is_let_in() {
    let (pair, serving) = acquainted();
    let (url, root) = (url(&pair.xianan), pair.root.path());
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let card = path("card.json");
    fs::write(&card, pair.xianan.card.to_string()).unwrap();
    let as_member = |chain: &Path, key: &Path, card: &str| {
        let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
        run(&["audit", "check", &url, "--certificate", chain, "--private-key", key, "--card", card])
    };
    let (chain, key) = (pair.yuhuan.file("keys/tls.crt"), pair.yuhuan.file("keys/tls.key"));
    as_member(&chain, &key, &card).ended(0);
    run(&["audit", "check", &url, "--identity", pair.yuhuan.dir.to_str().unwrap()]).ended(0);
    // A certificate that 咸安 does not know, and a card of somebody else.
    let stranger = Member::pinned(BINHAI, Clock::system().now());
    let (theirs, their_key) = (root.join("binhai.crt"), root.join("binhai.key"));
    fs::write(&theirs, &stranger.chain_pem).unwrap();
    tongban::keys::write_private_file(&their_key, stranger.key_pem.as_bytes()).unwrap();
    let refused = as_member(&theirs, &their_key, &card).ended(1);
    assert!(refused.err.contains(&url), "{refused:?}");
    let other = path("other.json");
    fs::write(&other, stranger.card(&url).to_string()).unwrap();
    as_member(&chain, &key, &other).ended(1);
    // No card, no address.
    let unknown = pair.yuhuan.run(&["audit", "check", "https://127.0.0.1:1"]);
    unknown.refused_in_one_line(&["https://127.0.0.1:1", "--card"]);
    pair.yuhuan.run(&["audit", "check", "https://127.0.0.1:1/log"]).ended(64);
    drop(serving);
    let silent = pair.yuhuan.run(&["audit", "check", &url]).ended(1);
    assert!(silent.err.contains("cannot be reached") || silent.err.contains("TLS"), "{silent:?}");
}

/// What a door gives out, by its path.
type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A door with 咸安's own certificate that gives out whatever it likes.
async fn liar(home: &Home, files: Files) -> String {
    let config = Config::load(&home.file("gateway.toml")).unwrap_or_else(|faults| panic!("{faults:?}"));
    let clock = Clock::system();
    let (trust, _) = Trust::load(&config, clock.now()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let read = |path: &str| fs::read(home.file(path)).unwrap();
    let credentials = Credentials::new(&read("keys/tls.crt"), &read("keys/tls.key"), home.region).unwrap();
    let tls = partner_server_config(credentials, Arc::new(ArcSwap::new(trust.directory)), clock).unwrap();
    let tls = TlsAcceptor::from(tls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, files) = (tls.clone(), files.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let serve = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let found = files.lock().unwrap().get(request.uri().path()).cloned();
                    let status = if found.is_some() { 200 } else { 404 };
                    let body = Full::new(Bytes::from(found.unwrap_or_default()));
                    async move {
                        Ok::<_, std::convert::Infallible>(
                            Response::builder().status(status).body(body).unwrap(),
                        )
                    }
                });
                drop(
                    http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), serve)
                        .await,
                );
            });
        }
    });
    format!("https://{addr}")
}

/// Everything that a directory's tile files would be served as.
fn files_of(home: &Home) -> (String, BTreeMap<String, Vec<u8>>) {
    let origin = home.card["ledger"]["origin"].as_str().unwrap().to_owned();
    let mut found = Vec::new();
    let root = home.data().join("tiles").join(&origin);
    crate::support::read_below(&root, &mut found);
    let mut files: BTreeMap<String, Vec<u8>> = found
        .into_iter()
        .map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), bytes))
        .map(|(path, bytes)| (format!("/v1/log/{origin}/{path}"), bytes))
        .collect();
    files.insert("/v1/card".to_owned(), home.card.to_string().into_bytes());
    (origin, files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_lies_is_found_out_over_the_same_mutual_tls() {
    let (pair, serving) = acquainted();
    let root = pair.root.path();
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let (kept, card) = (path("kept.checkpoint"), path("card.json"));
    fs::write(&card, pair.xianan.card.to_string()).unwrap();
    let yesterday = files_of(&pair.xianan).1;
    pair.yuhuan.run(&["partner", "ping", "421202"]).ended(0);
    sealed(&pair);
    pair.yuhuan.run(&["audit", "check", &url(&pair.xianan), "--save", &kept]).ended(0);
    let [here, there] = serving;
    assert_eq!((here.stop(), there.stop()), (0, 0));

    let (origin, honest) = files_of(&pair.xianan);
    // A stop records and signs too.
    let tile = honest.keys().rfind(|path| path.contains("/tile/0/")).unwrap().clone();
    let files: Files = Arc::new(Mutex::new(honest.clone()));
    let door = liar(&pair.xianan, files.clone()).await;
    let check = |more: &[&str]| -> Ran {
        pair.yuhuan.run(&[&["audit", "check", &door, "--card", &card, "--json"], more].concat())
    };
    let serve = |served: BTreeMap<String, Vec<u8>>| *files.lock().unwrap() = served;
    let finding = |ran: Ran| -> Vec<String> {
        let findings = ran.ended(2).json()["findings"].as_array().unwrap().clone();
        findings
            .iter()
            .map(|found| {
                format!("{} {}", found["kind"].as_str().unwrap(), found["message"].as_str().unwrap())
            })
            .collect()
    };
    check(&["--since", &kept]).ended(0);

    // A tile with one bit changed.
    let mut altered = honest.clone();
    altered.get_mut(&tile).unwrap()[3] ^= 1;
    serve(altered);
    let found = finding(check(&[]));
    let name = tile.strip_prefix(&format!("/v1/log/{origin}/")).unwrap();
    assert!(found.len() == 1 && found[0].contains(name), "{found:?}");

    // Yesterday's log: sound in itself, and older than what was kept.
    serve(yesterday);
    check(&[]).ended(0);
    let found = finding(check(&["--since", &kept]));
    assert!(found.len() == 1 && found[0].starts_with("checkpoint-behind"), "{found:?}");

    // Another tree under the true key: only what was kept shows the fork.
    let key = LedgerKey::from_pem(&fs::read(pair.xianan.file("keys/ledger.key")).unwrap()).unwrap();
    let size = Checkpoint::peek(&honest[&format!("/v1/log/{origin}/checkpoint")]).unwrap().size;
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    (0..size).for_each(|index| edge.push(leaf_hash(&index.to_be_bytes()), &mut full));
    let mut forked = honest.clone();
    forked.retain(|path, _| !path.contains("/tile/"));
    for (name, hashes) in edge.partial_tiles() {
        forked.insert(format!("/v1/log/{origin}/{name}"), hashes.concat());
    }
    let signed = Checkpoint { origin: origin.clone(), size, root: edge.root() }.sign(&key).unwrap();
    forked.insert(format!("/v1/log/{origin}/checkpoint"), signed);
    serve(forked.clone());
    check(&[]).ended(0);
    let before = fs::read(&kept).unwrap();
    let found = finding(check(&["--since", &kept, "--save", &kept]));
    assert!(found.len() == 1 && found[0].starts_with("checkpoint-contradicted"), "{found:?}");
    assert_eq!(fs::read(&kept).unwrap(), before, "what shows the fork is not replaced by it");
    // 玉环's own log remembers what was promised.
    let found = finding(check(&["--promises"]));
    assert!(found.iter().all(|found| found.starts_with("promise-broken")) && found.len() == 2, "{found:?}");

    // A checkpoint that nobody signed.
    let mut unsigned = honest;
    unsigned.get_mut(&format!("/v1/log/{origin}/checkpoint")).unwrap()[10] ^= 1;
    serve(unsigned);
    assert!(finding(check(&[]))[0].starts_with("checkpoint-invalid"));
}
