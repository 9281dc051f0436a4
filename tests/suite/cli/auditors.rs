//! To auditors at a shell: the same errand through a running gateway's socket and on its
//! directory at rest; evidence opens with the auditor's own key, away from the gateway.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::process::{Pair, Ran, copy, run};
use crate::support::*;

/// One lookup at a gateway with accounts and one auditor's key, made by `audit key`.
async fn looked_up() -> (Pair, crate::process::Served, PathBuf) {
    let pair = Pair::make();
    settle_auditors(&pair.xianan.dir);
    fs::remove_file(pair.xianan.file("trust/auditors/li.jwk")).unwrap();
    let key = pair.root.path().join("li.jwk");
    run(&["audit", "key", key.to_str().unwrap()]).ended(0);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let public = key.with_extension("pub.jwk");
    assert!(!fs::read_to_string(&public).unwrap().contains("\"d\""));
    fs::copy(public, pair.xianan.file("trust/auditors/li.jwk")).unwrap();
    let serving = pair.xianan.serve();
    let line = pair.dial().await;
    let token = pair.authorize(1);
    assert_eq!(pair.ask(&line, &pair.lookup(&token.jws)).await.word(), "ok");
    (pair, serving, key)
}

fn act(pair: &Pair, by: &str, arguments: &[&str]) -> Ran {
    // While the gateway runs, `--offline` says nothing: at rest no partner is there to be asked.
    let who = ["--as", by, "--purpose", PURPOSE, "--order", ORDER, "--offline"];
    pair.xianan.run(&[&["audit"], arguments, &who].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_errand_is_the_same_through_the_socket_and_at_rest() {
    let (pair, serving, _) = looked_up().await;
    let socket = pair.xianan.file("data/admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let found = |by: &str| act(&pair, by, &["search", "--citizen", JIA, "--json"]);
    let rows = |ran: Ran| ran.ended(0).json()["rows"].clone();
    let running = rows(found(LI));
    assert_eq!(running.as_array().unwrap().len(), 1);
    let refused = found(SUN).ended(1);
    assert_eq!(refused.json()["code"], "not-allowed");
    let refused = pair.xianan.run(&["audit", "search", "--as", LI]).ended(64);
    assert!(refused.err.contains("--purpose") && refused.err.contains("--order"), "{refused:?}");
    assert_eq!(serving.stop(), 0);
    assert!(!socket.exists());
    let unasked = pair.xianan.run(&[
        "audit",
        "search",
        "--citizen",
        JIA,
        "--as",
        LI,
        "--purpose",
        PURPOSE,
        "--order",
        ORDER,
    ]);
    unasked.refused_in_one_line(&["--offline", "旧副本"]);
    assert_eq!(rows(found(LI)), running, "at rest, with the store's lock");
    assert_eq!(found("nobody").ended(1).json()["code"], "no-such-account");
    let table = act(&pair, LI, &["search", "--citizen", JIA]).ended(0);
    assert!(table.out.contains("license.query") && table.err.contains("recorded as leaf"), "{table:?}");
    let entries = pair.xianan.run(&["audit", "registers", "--as", LI, "--offline", "--json"]).ended(0).json();
    let offline: Vec<&Value> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.get("offline").unwrap_or(&Value::Null))
        .collect();
    // The newest first: two at rest, and the one while the gateway ran.
    assert_eq!(offline, [&json!(true), &json!(true), &Value::Null], "{entries}");
    let check = |more: &[&str]| pair.xianan.run(&[&["audit", "registers", "--check"], more].concat());
    let bound = check(&["--json"]).ended(0).json();
    assert_eq!((&bound["sound"], &bound["entries"], &bound["leaves"]), (&true.into(), &3.into(), &3.into()));
    // Of a copy that somebody took an entry out of, without an account.
    let data = pair.root.path().join("copy");
    copy(&pair.xianan.file("data"), &data);
    let registers = rusqlite::Connection::open(data.join("audit.db")).unwrap();
    assert_eq!(registers.execute("DELETE FROM entry WHERE n=2", []).unwrap(), 1);
    drop(registers);
    let found = check(&["--dir", data.to_str().unwrap()]).ended(2);
    assert!(found.out.contains("的登记缺失") && found.out.contains("is missing"), "{found:?}");
    let verdict = pair.xianan.verify();
    assert!(verdict.sound, "{:?}", verdict.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_opens_at_the_auditors_own_machine() {
    let (pair, serving, key) = looked_up().await;
    let key = key.to_str().unwrap();
    let found = act(&pair, LI, &["search", "--citizen", JIA, "--json"]).ended(0).json();
    let index = found["rows"][0]["index"].to_string();
    let open = |more: &[&str]| act(&pair, LI, &[&["open", &index, "--json"], more].concat());
    let asked = open(&[]).ended(0).json();
    assert_eq!(open(&[]).ended(0).json()["id"], asked["id"], "asking twice is asking once");
    let id = asked["id"].as_str().unwrap();
    let approve = |by: &str| pair.xianan.run(&["audit", "open", "--approve", id, "--as", by, "--json"]);
    assert!(approve(LI).ended(1).err.contains("same-person"));
    approve(ZHAO).ended(0);
    let bundle = pair.root.path().join("released.json");
    let bundle = bundle.to_str().unwrap();
    open(&["-o", bundle]).ended(0);
    assert_eq!(serving.stop(), 0);
    let unsealed = run(&["audit", "open", "--bundle", bundle, "--key", key, "--json"]).ended(0).json();
    assert_eq!(unsealed["sound"], true);
    let request = unsealed["opened"][0]["content"]["request"].as_str().unwrap();
    let claims: Value = serde_json::from_slice(&payload_of(request)).unwrap();
    assert_eq!(claims["body"]["license"]["holder"]["number"], JIA);
    let text = run(&["audit", "open", "--bundle", bundle, "--key", key]).ended(0).out;
    assert!(text.contains(JIA) && text.contains("result: "), "{text}");
    let other = pair.root.path().join("other.jwk");
    let other = other.to_str().unwrap();
    run(&["audit", "key", other]).ended(0);
    let refused = run(&["audit", "open", "--bundle", bundle, "--key", other]).ended(2).out;
    assert!(refused.contains("not sealed to this key"), "{refused}");
    run(&["audit", "key", other]).ended(64);
}

fn payload_of(jws: &str) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warrant_proves_a_copy_complete_without_a_gateway_and_without_a_record() {
    let (pair, serving, _) = looked_up().await;
    let warrant = pair.root.path().join("warrant.json");
    let warrant = warrant.to_str().unwrap();
    act(&pair, LI, &["warrant", "--citizen", JIA, "-o", warrant]).ended(0);
    let checked = act(&pair, LI, &["completeness", "--warrant", warrant, "--json"]).ended(0).json();
    assert_eq!((&checked["complete"], &checked["matching"]), (&json!(true), &json!(1)));
    assert_eq!(serving.stop(), 0);
    let kept = tempfile::tempdir().unwrap();
    copy(&pair.xianan.data(), kept.path());
    let dir = kept.path().to_str().unwrap();
    let on_copy = || run(&["audit", "completeness", "--warrant", warrant, "--dir", dir, "--json"]);
    let again = on_copy().ended(0).json();
    assert_eq!((&again["complete"], &again["matching"]), (&json!(true), &json!(1)));
    let vault = fs::read_dir(kept.path().join("ledger"))
        .unwrap()
        .filter_map(|shard| fs::read_dir(shard.unwrap().path()).ok())
        .flatten()
        .map(|file| file.unwrap().path())
        .find(|path| path.to_str().unwrap().ends_with(".provision.sealed"))
        .unwrap();
    crate::tamper::rows::write(&vault, &[]);
    let found = on_copy().ended(2).json();
    assert_eq!(found["uncovered"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(pair.xianan.leaves().iter().filter(|(_, leaf)| leaf["t"] == "search").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holding_erasing_and_sampling_are_told_in_both_languages() {
    let (pair, serving, _) = looked_up().await;
    let found = act(&pair, LI, &["search", "--citizen", JIA, "--json"]).ended(0).json();
    let index = found["rows"][0]["index"].to_string();
    assert!(act(&pair, LI, &["hold", &index]).ended(0).out.contains(&format!("[{index}]")));
    let erase = |more: &[&str]| act(&pair, ZHAO, &[&["erase", &index], more].concat());
    assert!(erase(&["--legal-basis", "法律依据"]).ended(1).err.contains("保全"));
    act(&pair, ZHAO, &["release", &index]).ended(0);
    assert!(erase(&[]).ended(0).out.contains("已限制处理: 1"));
    assert!(erase(&["--legal-basis", "法律依据"]).ended(0).out.contains("已删除: 1"));
    erase(&["--citizen", JIA]).ended(64);
    let sampled = act(&pair, WANG, &["sample", "-n", "5"]).ended(0);
    assert!(sampled.out.contains("已抽查") && sampled.out.contains("--approve"), "{sampled:?}");
    assert!(act(&pair, ZHAO, &["retention"]).ended(0).out.is_empty());
    let subject = act(&pair, LI, &["subject", "--citizen", JIA]).ended(0).out;
    assert!(subject.contains("nothing found") && subject.contains(LI), "{subject}");
    let link = pair.xianan.run(&["console", "link", "nobody"]).ended(1);
    assert!(link.err.contains("no-such-account"), "{link:?}");
    let link = pair.xianan.run(&["console", "link", LI]).ended(0).out;
    assert!(link.starts_with(&format!("https://{}/link/", pair.xianan.doors.console)), "{link}");
    assert_eq!(serving.stop(), 0);
    assert!(pair.xianan.run(&["console", "link", LI]).ended(1).err.contains("no gateway runs"));
}
