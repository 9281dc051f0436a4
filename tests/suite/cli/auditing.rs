//! The ledger from outside: sound beside a running gateway, in a copy, and not after one
//! flipped bit.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Pair, Ran, Served, copy, run, until};

/// A pair whose answering ledger holds some exchanges, every leaf under a checkpoint.
async fn exchanges() -> (Pair, Served, Vec<String>) {
    let pair = Pair::make();
    let serving = pair.xianan.serve();
    let line = pair.dial().await;
    let token = pair.authorize(1).jws;
    let mut ids = Vec::new();
    for message in [pair.ping(), pair.lookup(&token), pair.lookup(&token)] {
        pair.ask(&line, &message).await;
        ids.push(message.jti);
    }
    until("every leaf is under a checkpoint", || {
        pair.xianan.verify().logs.iter().all(|log| log.sealed == log.leaves).then_some(())
    });
    (pair, serving, ids)
}

fn audit(arguments: &[&str]) -> Ran {
    run(&[&["audit"], arguments].concat())
}

/// Files below `dir`, as paths from there.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_ledger_and_its_copy_are_verified_shown_and_proven() {
    let (pair, serving, ids) = exchanges().await;
    let home = &pair.xianan;
    let vkey = home.card["ledger"]["vkey"].as_str().unwrap();

    let live = home.run(&["audit", "verify"]).ended(0).out;
    assert!(live.trim_end().ends_with("sound 账本完好") && live.contains(vkey), "{live}");
    assert_eq!(serving.stop(), 0);
    let kept = pair.root.path().join("copy");
    copy(&home.data(), &kept);
    let kept = kept.to_str().unwrap();
    let verdict = audit(&["verify", kept, "--vkey", vkey, "--json"]).ended(0).json();
    assert_eq!((&verdict["sound"], &verdict["logs"][0]["key"]), (&json!(true), &json!("given")));
    assert_eq!(verdict["logs"][0]["sealed"], verdict["logs"][0]["leaves"]);
    let stranger = pair.yuhuan.card["ledger"]["vkey"].as_str().unwrap();
    audit(&["verify", kept, "--vkey", stranger]).ended(2);
    audit(&["verify", "/nowhere"]).refused_in_one_line(&["/nowhere", "没有账本"]);

    let leaves = audit(&["show", &ids[1], "--dir", kept, "--json"]).ended(0).json();
    let leaf = &leaves[0]["leaf"];
    assert_eq!((&leaf["x"], &leaf["dec"], &leaf["status"]), (&json!(ids[1]), &json!("permit"), &json!(200)));
    let table = audit(&["show", &ids[2], "--dir", kept]).ended(0).out;
    assert!(table.contains("authorization-used-up") && table.contains("授权摘要"), "{table}");
    audit(&["show", "999999", "--dir", kept]).ended(1);

    let proof = pair.root.path().join("one.tlog-proof");
    let proof = proof.to_str().unwrap();
    audit(&["proof", &ids[1], "--dir", kept, "-o", proof]).ended(0);
    let proven = audit(&["proof", "--check", proof, "--vkey", vkey, "--json"]).ended(0).json();
    assert_eq!((&proven["sound"], &proven["leaf"]), (&json!(true), leaf));
    home.run(&["audit", "proof", "--check", proof]).ended(0);
    audit(&["proof", "--check", proof, "--vkey", stranger]).ended(2);
    // A policy names the log's key, and whose cosignatures are enough.
    let policy = pair.root.path().join("policy");
    let witness = pair.yuhuan.run(&["audit", "witness", "key"]).ended(0).out;
    fs::write(&policy, format!("log {vkey}\nquorum none\n")).unwrap();
    let by_policy = || audit(&["verify", "--proof", proof, "--policy", policy.to_str().unwrap(), "--json"]);
    assert_eq!(by_policy().ended(0).json()["leaf"], *leaf);
    fs::write(&policy, format!("log {vkey}\n{witness}quorum 331083\n")).unwrap();
    let found = by_policy().ended(2).json();
    assert!(found["fault"].as_str().unwrap().contains("见证不足"), "{found}");
    fs::write(&policy, format!("log {stranger}\nquorum none\n")).unwrap();
    by_policy().refused_in_one_line(&["gateway.toml"]);
    audit(&["verify", kept, "--policy", policy.to_str().unwrap()]).ended(64);

    // It only grew: between two sizes, and since a checkpoint that was kept.
    let grew = audit(&["consistency", "1", "3", "--dir", kept, "--vkey", vkey, "--json"]).ended(0).json();
    assert_eq!((&grew["consistent"], &grew["old"], &grew["new"]), (&json!(true), &json!(1), &json!(3)));
    let published = home.data().join(format!("tiles/{}/checkpoint", grew["origin"].as_str().unwrap()));
    let published = published.to_str().unwrap();
    assert!(
        audit(&["consistency", "2", published, "--dir", kept, "--vkey", vkey])
            .ended(0)
            .out
            .contains("只增不改")
    );
    audit(&["consistency", published, "--dir", kept, "--vkey", stranger]).ended(64);
    audit(&["consistency", "3", "99999", "--dir", kept, "--vkey", vkey]).ended(1);
    let text = fs::read_to_string(proof).unwrap();
    let (at, _) = text.match_indices("index ").next().unwrap();
    fs::write(proof, [&text[..at + 6], "1", &text[at + 6..]].concat()).unwrap();
    let found = audit(&["proof", "--check", proof, "--vkey", vkey]).ended(2).out;
    assert!(found.contains("证明不成立"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_made_for_a_reason_and_checked_without_the_gateway() {
    let (pair, serving, ids) = exchanges().await;
    // Accounts are read when somebody acts: here the command itself, with the store in its hand.
    assert_eq!(serving.stop(), 0);
    let home = &pair.xianan;
    let vkey = home.card["ledger"]["vkey"].as_str().unwrap();
    let path = |name: &str| pair.root.path().join(name).to_str().unwrap().to_owned();
    let (whole, one) = (path("whole.tar"), path("one.tar"));
    fs::create_dir_all(home.dir.join("trust/console")).unwrap();
    let account = json!({"name": "li-auditor", "title": "李审计", "role": "audit", "spki_sha256": [], "status": "active"});
    fs::write(home.dir.join("trust/console/li-auditor.json"), account.to_string()).unwrap();
    let why = ["--as", "li-auditor", "--purpose", "投诉核查", "--order", "咸审〔2026〕1号"];
    let export = |what: &[&str], out: &str| {
        home.run(&[&["audit", "export", "-o", out, "--offline"], what, &why].concat())
    };
    let unasked = home.run(&[&["audit", "export", "-o", &whole, "--range", "0.."][..], &why].concat());
    unasked.refused_in_one_line(&["--offline"]);
    assert!(!Path::new(&whole).exists(), "what cannot be recorded is not handed out");
    let made = export(&["--range", "0..", "--json"], &whole).ended(0).json();
    export(&["--exchange", &ids[1]], &one).ended(0);
    let verdict = audit(&["check", &whole, "--vkey", vkey, "--json"]).ended(0).json();
    assert_eq!((&verdict["sound"], &verdict["leaves"]), (&json!(true), &made["leaves"]));
    let told = audit(&["check", &one]).ended(0).out;
    assert!(told.contains("包内自述") && told.trim_end().ends_with("sound 完好"), "{told}");
    let stranger = pair.yuhuan.card["ledger"]["vkey"].as_str().unwrap();
    audit(&["check", &one, "--vkey", stranger]).ended(2);
    let mut bytes = fs::read(&one).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&one, bytes).unwrap();
    assert!(audit(&["check", &one, "--vkey", vkey]).ended(2).out.contains("✗"));
    audit(&["check", "/nowhere"]).ended(1);
    export(&[], &one).ended(64);
    export(&["--exchange", "0190f3a2-7c1e-7d4b-9a51-000000000000"], &one).ended(1);
    // A part of a log, proven alone.
    let range = home.run(&["audit", "verify", "--range", "1..3", "--json"]).ended(0).json();
    assert_eq!(range["logs"][0]["leaves"], 2);
    home.run(&["audit", "verify", "--range", "3..1"]).ended(64);
}

/// Where a word stands.
fn word(word: &str) -> impl Fn(&[u8]) -> usize {
    let word = word.to_owned();
    move |bytes| bytes.windows(word.len()).position(|w| w == word.as_bytes()).expect("the word is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_is_found_and_named_by_its_file() {
    let (pair, serving, ids) = exchanges().await;
    assert_eq!(serving.stop(), 0);
    let data = pair.xianan.data();
    let vkey = pair.xianan.card["ledger"]["vkey"].as_str().unwrap();
    let finding = |file: &str, place: &dyn Fn(&[u8]) -> usize| -> Value {
        let kept = tempfile::tempdir().unwrap();
        copy(&data, kept.path());
        let path = kept.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let at = place(&bytes);
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let verdict =
            audit(&["verify", kept.path().to_str().unwrap(), "--vkey", vkey, "--json"]).ended(2).json();
        let found = verdict["findings"].as_array().unwrap().iter().find(|f| f["file"] == file).cloned();
        found.unwrap_or_else(|| panic!("{file} at {at} is not named: {verdict}"))
    };
    let all = files(&data);
    let named = |what: &dyn Fn(&&String) -> bool| all.iter().filter(what).cloned().collect::<Vec<_>>();
    let [month] = named(&|f| f.ends_with(".db") && !f.ends_with(".index.db") && f.matches('/').count() == 2)
        .try_into()
        .unwrap();

    let leaf = finding(&month, &word(&format!("\"x\":\"{}\"", ids[1])));
    assert!(leaf["index"].is_u64() && leaf["message_zh"].as_str().unwrap().contains("条记录"), "{leaf}");
    finding(&month, &word("authorization-used-up"));
    finding("ledger/state.db", &word("tongban/421202/"));
    let [checkpoint] = named(&|f| f.ends_with("/checkpoint")).try_into().unwrap();
    for place in [0, 30, 60, 120] {
        finding(&checkpoint, &|bytes: &[u8]| place.min(bytes.len() - 2));
    }
    let tiles = named(&|f| f.contains("/tile/"));
    assert!(!tiles.is_empty());
    for tile in tiles {
        finding(&tile, &|bytes: &[u8]| bytes.len() / 2);
    }

    // The words for people, once.
    let path = data.join(&month);
    let mut bytes = fs::read(&path).unwrap();
    let at = word(&ids[1])(&bytes);
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let lines = pair.xianan.run(&["audit", "verify"]).ended(2).out;
    assert!(lines.contains(&format!("✗ {month}: leaf ")), "{lines}");
    assert!(lines.trim_end().ends_with("changed 账本被改动"), "{lines}");
}
