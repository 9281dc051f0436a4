//! `serve`: what it refuses to start with, each in one clear line, and how it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tongban::clock::{Clock, Now};
use tongban::ledger::{Leaf, LeafKind, Ledger, LedgerKey, LedgerSettings};

use crate::process::{Home, Pair, until};
use crate::support::{AGREEMENT, Http, ITEM, JIA, MARRIAGE, dial};

fn home() -> (tempfile::TempDir, Home) {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), "421202");
    (root, home)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_that_others_can_reach_is_not_used() {
    for key in ["keys/sign.jwk", "keys/ledger.key", "keys/tls.key"] {
        let (_root, home) = home();
        for mode in [0o644, 0o620, 0o604] {
            set_mode(&home.file(key), mode);
            home.serve_to_its_end().refused_in_one_line(&[key, &format!("{mode:04o}"), "0600"]);
        }
        set_mode(&home.file(key), 0o600);
        let real = home.file("keys/real");
        fs::rename(home.file(key), &real).unwrap();
        home.serve_to_its_end().refused_in_one_line(&[key, "no such file"]);
        symlink(&real, home.file(key)).unwrap();
        home.serve_to_its_end().refused_in_one_line(&[key, "symbolic link"]);
        fs::remove_file(home.file(key)).unwrap();
        fs::create_dir(home.file(key)).unwrap();
        home.serve_to_its_end().refused_in_one_line(&[key, "regular file"]);
        assert!(!home.file("data/ledger").exists(), "nothing was begun");
    }
}

#[test]
fn a_key_of_another_user_is_not_used() {
    let (_root, home) = home();
    if rustix::process::geteuid().is_root() {
        chown(home.file("keys/sign.jwk"), Some(65_534), None).unwrap();
    } else {
        // Everybody has a file of root's.
        home.edit_config("keys/sign.jwk", "/etc/passwd");
    }
    home.serve_to_its_end().refused_in_one_line(&["owned by another user"]);
}

#[test]
fn a_key_file_without_a_key_is_named() {
    for (key, word) in
        [("keys/sign.jwk", "private JWK"), ("keys/ledger.key", "Ed25519"), ("keys/tls.crt", "keys/tls.crt")]
    {
        let (_root, home) = home();
        fs::write(home.file(key), "{}").unwrap();
        home.serve_to_its_end().refused_in_one_line(&[key, word]);
    }
}

#[test]
fn published_example_keys_serve_in_a_demonstration_only() {
    let (_root, home) = home();
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs-example/421202");
    let take = |name: &str| {
        fs::write(home.file("keys").join(name), fs::read(published.join(name)).unwrap()).unwrap();
    };
    take("sign.jwk");
    home.serve_to_its_end().refused_in_one_line(&["[signing] key", "example key", "公开示例"]);
    for name in ["ledger.key", "tls.crt", "tls.key"] {
        take(name);
    }
    let ran = home.serve_to_its_end().ended(64);
    assert_eq!(ran.err.lines().filter(|line| line.contains("published example key")).count(), 3, "{ran:?}");
    home.run(&["check"]).ended(2);
    home.run(&["check", "--demo"]).ended(0);
    let serving = home.serve_by(home.serve_command().arg("--demo"));
    assert_eq!(serving.get("/readyz").0, 200);
    assert_eq!(serving.stop(), 0);
}

#[test]
fn a_setting_that_cannot_be_meant_ends_with_64_and_names_its_place() {
    for (from, to, words) in [
        ("data_dir", "data_dri", &["data_dri", "gateway.toml"][..]),
        ("code = \"421202\"", "code = \"999999\"", &["gateway.toml"]),
        ("kind = \"sqlite\"", "kind = \"postgres\"", &["[store] kind"]),
        ("[signing]", "[singing]", &["gateway.toml"]),
    ] {
        let (_root, home) = home();
        home.edit_config(from, to);
        home.serve_to_its_end().refused_in_one_line(words);
    }
}

#[test]
fn plain_http_beyond_loopback_is_refused() {
    let (_root, home) = home();
    let local = format!("listen = \"{}\"", home.doors.local);
    home.edit_config(&local, "listen = \"0.0.0.0:8080\"");
    home.serve_to_its_end().refused_in_one_line(&["[local_listener] listen", "loopback"]);
}

#[test]
fn a_door_that_is_taken_is_named_by_its_address() {
    let (_root, home) = home();
    for door in [home.doors.partner, home.doors.local] {
        let _taken = TcpListener::bind(door).unwrap();
        home.serve_to_its_end().refused_in_one_line(&[&door.to_string()]);
    }
}

#[test]
fn a_second_process_on_the_same_ledger_is_refused() {
    let (_root, home) = home();
    let first = home.serve();
    home.serve_to_its_end().refused_in_one_line(&["ledger"]);
    assert_eq!(first.get("/readyz").0, 200);
    assert_eq!(first.stop(), 0);
}

#[test]
fn a_broken_ca_file_stops_the_start_and_is_named() {
    let (_root, home) = home();
    let config = fs::read_to_string(home.file("gateway.toml")).unwrap();
    let config = config.replace("client_ca = []", "client_ca = [\"trust/ca.crt\"]");
    fs::write(home.file("gateway.toml"), config).unwrap();
    fs::write(home.file("trust/ca.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    home.serve_to_its_end().refused_in_one_line(&["trust/ca.crt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_ledger_is_refused() {
    let (_root, home) = home();
    let ahead = Clock::by_hand(Now::from_secs(Clock::system().now().secs() + 3600));
    let key = LedgerKey::from_pem(&fs::read(home.file("keys/ledger.key")).unwrap()).unwrap();
    let settings = LedgerSettings {
        data_dir: home.data(),
        region: home.region,
        key,
        auditors: Vec::new(),
        clock: ahead,
        workers: None,
    };
    let (ledger, _) = Ledger::open(settings).unwrap();
    ledger.record(Leaf::new(LeafKind::Config).into()).await.unwrap();
    assert!(ledger.flush().await);
    drop(ledger);
    home.serve_to_its_end().refused_in_one_line(&["clock is behind", "系统时钟"]);
}

#[test]
fn sigterm_lets_the_exchange_in_flight_end() {
    let pair = Pair::make();
    let (_answering, asking) = (pair.xianan.serve(), pair.yuhuan.serve());
    let door = pair.yuhuan.doors.local;
    let bearer = fs::read_to_string(pair.yuhuan.file("keys/local.token")).unwrap();
    let question = json!({"to": "421202", "item": ITEM, "agreement": AGREEMENT, "basis": "consent",
        "purpose": "新生儿户口登记", "operator": "YH0123", "authorization": pair.authorize(1).jws,
        "body": {"license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
            "mode": "read", "fields": ["cert_no"]}})
    .to_string();
    let mut call = TcpStream::connect(door).unwrap();
    write!(
        call,
        "POST /local/v1/licenses/query HTTP/1.1\r\nHost: {door}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        bearer.trim(),
        question.len()
    )
    .unwrap();
    let mut answer = BufReader::new(call.try_clone().unwrap());
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "the exchange has begun: {line}");

    asking.signal(Signal::TERM);
    until("no new call is taken", || TcpStream::connect(door).is_err().then_some(()));
    call.write_all(question.as_bytes()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200") && rest.contains("J331083-2026-000001"), "{rest}");
    let mut asking = asking;
    assert_eq!(asking.wait(), 0);
    assert!(asking.log().contains("draining"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_brings_a_withdrawal_into_force_at_once() {
    let pair = Pair::make();
    let serving = pair.xianan.serve();
    let line = pair.dial().await;
    assert_eq!(pair.ask(&line, &pair.ping()).await.word(), "ok");
    let mut card = pair.yuhuan.card.clone();
    card["status"] = "suspended".into();
    pair.xianan.write("trust/partners/331083.json", &card);
    serving.reload();
    let refused = line.try_exchange(pair.ping().bytes).await;
    assert!(refused.is_err() || refused.is_ok_and(|told| told.status == 403), "on the open connection");
    let anew = dial(pair.xianan.doors.partner, Some(&pair.asker), Http::One).await;
    if let Ok(line) = anew {
        assert!(line.try_exchange(pair.ping().bytes).await.map_or(true, |told| told.status == 403));
    }
    let (_, last) = pair.xianan.leaves().pop().unwrap();
    assert_eq!((&last["t"], &last["code"]), (&Value::from("config"), &Value::from("changed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_continues_the_same_log() {
    let pair = Pair::make();
    let mut promised = Vec::new();
    for _ in 0..2 {
        let serving = pair.xianan.serve();
        let line = pair.dial().await;
        let claims = pair.ask(&line, &pair.ping()).await.claims.unwrap();
        promised.push((claims["log"]["index"].as_u64().unwrap(), claims["log"]["leaf"].clone()));
        drop(line);
        assert_eq!(serving.stop(), 0);
    }
    assert!(promised[0].0 < promised[1].0);
    let leaves = pair.xianan.leaves();
    let genesis = leaves.iter().filter(|(_, leaf)| leaf["t"] == "genesis").count();
    assert_eq!(genesis, 1);
    for (index, hash) in promised {
        let stored = &leaves[usize::try_from(index).unwrap()].0;
        assert_eq!(
            (stored.index, crate::support::b64(stored.hash)),
            (index, hash.as_str().unwrap().to_owned())
        );
    }
    let verdict = pair.xianan.verify();
    assert!(verdict.sound && verdict.logs[0].sealed == verdict.logs[0].leaves, "{verdict:?}");
}
