//! `tongban explain` says what the door says: the same messages through the running gateway
//! and through the program, verdict by verdict.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::*;

/// `tongban explain` of 咸安 with these arguments and this input: exit code and output.
fn explain(world: &World, arguments: &[&str], input: &[u8]) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tongban"))
        .arg("explain")
        .args(arguments)
        .arg("--config")
        .arg(world.xianan.home.join("gateway.toml"))
        .args(["--at", &NOW.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // A program that stops before its input ends closes the pipe: its output tells.
    let _ = writer.join().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_and_the_door_give_the_same_verdict_on_everything() {
    let world = World::start().await;
    world.publish(&[REVOKED_INDEX]);
    world.xianan.reload().await;
    let mut messages: Vec<(String, Vec<u8>)> =
        bent_messages(&world).into_iter().map(|case| (case.name.to_owned(), case.body)).collect();
    for (name, message) in [("ping", world.ping()), ("lookup", world.lookup()), ("duty", world.duty())] {
        messages.push((name.to_owned(), message.bytes()));
    }
    messages.push(("above 256 KiB".to_owned(), vec![b'A'; 256 * 1024 + 1]));

    let door = world.ask_all(messages.iter().map(|(_, body)| body.clone()).collect()).await;
    let lines: String = messages
        .iter()
        .enumerate()
        .map(|(id, (_, body))| {
            let body = std::str::from_utf8(body).unwrap();
            format!("{}\n", json!({"id": id, "peer": YUHUAN, "at": NOW, "body": body}))
        })
        .collect();
    let (exit, told) = explain(&world, &["--jsonl"], lines.as_bytes());
    assert_eq!(exit, 0);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), messages.len());
    let mut differences = Vec::new();
    for ((id, (name, _)), (told, door)) in messages.iter().enumerate().zip(told.iter().zip(&door)) {
        let accepted = door.status == 200;
        let expected = json!({
            "id": id, "accepted": accepted, "status": door.status,
            "code": if accepted { Value::Null } else { door.code().into() }, "reason": door.reason()
        });
        if *told != expected {
            differences.push(format!("{name}: {told} instead of {expected}"));
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_uses_count_as_unused_and_nothing_is_stored() {
    let world = World::start().await;
    let lookup = world.lookup().bytes();
    let before = world.xianan.running().house.ledger.health().size;
    for _ in 0..2 {
        let (exit, told) = explain(&world, &["--as", YUHUAN], &lookup);
        assert_eq!(exit, 0, "{told}");
    }
    assert_eq!(world.xianan.running().house.ledger.health().size, before);
    assert_eq!(world.ask(lookup.clone()).await.word(), "ok", "the door has not seen it yet");
    assert_eq!(explain(&world, &["--as", YUHUAN], &lookup).0, 0, "explain takes it as fresh");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_explained_check_by_check() {
    let world = World::start().await;
    let (exit, told) = explain(&world, &["--as", YUHUAN, "--json"], &world.lookup().with("/ver", 2).bytes());
    assert_eq!(exit, 2, "a check found something");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["code"], "schema-violation");
    assert_eq!(told["errors"][0]["pointer"], "/ver");
    let outcomes: Vec<&str> =
        told["checks"].as_array().unwrap().iter().map(|check| check["outcome"].as_str().unwrap()).collect();
    let failed = outcomes.iter().position(|outcome| *outcome == "failed").unwrap();
    assert!(outcomes[..failed].iter().all(|outcome| *outcome == "passed"));
    assert!(outcomes[failed + 1..].iter().all(|outcome| *outcome == "not-reached"));
    // In words, for a person; a newline at the end of a saved file was never on the wire.
    let saved = [world.ping().bytes(), b"\n".to_vec()].concat();
    let (exit, words) = explain(&world, &["--as", YUHUAN], &saved);
    assert_eq!(exit, 0);
    assert!(words.contains("通过"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_suspended_members_are_explained_as_such() {
    let world = World::start().await;
    let mut card = world.binhai.pinning_card("https://127.0.0.1:9");
    card["status"] = "suspended".into();
    world.xianan.trust_card(&card);
    let ping = world.ping().text();
    let lines: String = [BINHAI, "150421", XIANAN, "elsewhere"]
        .iter()
        .map(|peer| format!("{}\n", json!({"id": peer, "peer": peer, "at": NOW, "body": ping})))
        .collect();
    let (_, told) = explain(&world, &["--jsonl"], lines.as_bytes());
    assert_eq!(told.lines().count(), 4);
    for line in told.lines() {
        let told: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&told["accepted"], &told["code"]), (&json!(false), &json!("not-a-member")), "{line}");
    }
}
