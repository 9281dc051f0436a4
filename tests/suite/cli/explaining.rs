//! `explain`: the door's own checks, shown one by one, without acting.

use std::fs;

use serde_json::{Value, json};
use tongban::clock::Clock;

use crate::process::{Message, Pair, feed};

/// The order of protocol §3.4.
const CHECKS: [&str; 19] = [
    "member",
    "size",
    "characters",
    "header",
    "typ",
    "kid",
    "alg",
    "signature",
    "payload",
    "op-size",
    "envelope",
    "issuer",
    "audience",
    "times",
    "first-use",
    "agreement",
    "body",
    "license",
    "authorization",
];

fn explain(pair: &Pair, more: &[&str], input: &[u8]) -> crate::process::Ran {
    let config = pair.xianan.config();
    feed(&[&["explain", "--config", &config], more].concat(), input)
}

#[test]
fn an_accepted_message_passes_every_check_in_order() {
    let pair = Pair::make();
    let message = pair.lookup(&pair.authorize(1).jws);
    let file = pair.root.path().join("message.jwt");
    fs::write(&file, [&message.bytes[..], b"\n"].concat()).unwrap();
    // Twice: nothing is used up by it, and nothing is stored.
    for _ in 0..2 {
        let told = explain(&pair, &["--as", "331083", "--json", file.to_str().unwrap()], b"").ended(0).json();
        assert_eq!(
            (&told["accepted"], &told["status"], &told["code"]),
            (&json!(true), &json!(200), &Value::Null)
        );
        let checks = told["checks"].as_array().unwrap();
        assert_eq!(checks.iter().map(|c| c["check"].as_str().unwrap()).collect::<Vec<_>>(), CHECKS);
        assert!(checks.iter().all(|check| check["outcome"] == "passed"), "{told}");
    }
    let lines = explain(&pair, &["--as", "331083"], &message.bytes).ended(0).out;
    let shown: Vec<_> = lines.lines().filter_map(|l| l.strip_prefix("✓ ")?.split(' ').next()).collect();
    assert_eq!(shown, CHECKS);
    assert!(lines.contains("通过") && !pair.xianan.file("data/ledger").exists(), "{lines}");
}

#[test]
fn a_refused_message_shows_where_it_stopped_and_what_was_not_reached() {
    let pair = Pair::make();
    let message = pair.lookup("");
    let told = explain(&pair, &["--as", "331083", "--json"], &message.bytes).ended(2).json();
    let failed = told["step"].as_str().unwrap();
    let outcomes = told["checks"].as_array().unwrap().iter().map(|check| {
        let at = check["check"].as_str().unwrap();
        let place = |word| CHECKS.iter().position(|check| *check == word).unwrap();
        let due = match place(at).cmp(&place(failed)) {
            std::cmp::Ordering::Less => "passed",
            std::cmp::Ordering::Equal => "failed",
            std::cmp::Ordering::Greater => "not-reached",
        };
        assert_eq!(check["outcome"], due, "{told}");
    });
    assert_eq!(outcomes.count(), CHECKS.len());

    let late = Clock::system().now().secs() + 1000;
    let told = explain(&pair, &["--as", "331083", "--at", &late.to_string()], &message.bytes).ended(2).out;
    assert!(told.contains("✗ times") && told.contains("401 message-expired"), "{told}");
    assert!(told.contains("· first-use"), "{told}");
    let stranger = explain(&pair, &["--as", "320922"], &message.bytes).ended(2).out;
    assert!(stranger.contains("✗ member") && stranger.contains("403 not-a-member"), "{stranger}");
    explain(&pair, &[], &message.bytes).ended(64);
    explain(&pair, &["--as", "331083", "/nowhere"], b"").refused_in_one_line(&["/nowhere"]);
}

fn line(id: impl Into<Value>, peer: &str, message: &Message) -> String {
    let body = std::str::from_utf8(&message.bytes).unwrap();
    json!({"id": id.into(), "peer": peer, "at": Clock::system().now().secs(), "body": body}).to_string()
}

#[test]
fn lines_are_answered_one_by_one_under_their_ids() {
    let pair = Pair::make();
    let token = pair.authorize(1).jws;
    let (ping, lookup) = (pair.ping(), pair.lookup(&token));
    let at = Clock::system().now().secs();
    let input = [
        line("a", "331083", &ping),
        line(7, "331083", &lookup),
        String::new(),
        line(json!({"n": [1]}), "331083", &lookup),
        line("stranger", "320922", &ping),
        // What a hostile peer may send: half a surrogate pair, in the body or beside a whole one.
        format!(r#"{{"id":"half","peer":"331083","at":{at},"body":"\ud800"}}"#),
        format!(r#"{{"id":"😀 \ud83d\ude00 \\ud800 \n","peer":"331083","at":{at},"body":"a\uDFFFb"}}"#),
        json!({"id": "old", "peer": "331083", "at": at + 1000,
            "body": std::str::from_utf8(&ping.bytes).unwrap()})
        .to_string(),
    ];
    let ran = explain(&pair, &["--jsonl"], input.join("\n").as_bytes()).ended(0);
    let verdicts: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let due = [
        json!({"id": "a", "accepted": true, "status": 200, "code": null, "reason": null}),
        json!({"id": 7, "accepted": true, "status": 200, "code": null, "reason": null}),
        json!({"id": {"n": [1]}, "accepted": true, "status": 200, "code": null, "reason": null}),
        json!({"id": "stranger", "accepted": false, "status": 403, "code": "not-a-member", "reason": null}),
        json!({"id": "half", "accepted": false, "status": 400, "code": "malformed", "reason": "characters"}),
        json!({"id": "😀 😀 \\ud800 \n", "accepted": false, "status": 400, "code": "malformed", "reason": "characters"}),
        json!({"id": "old", "accepted": false, "status": 401, "code": "message-expired", "reason": null}),
    ];
    assert_eq!(verdicts, due);
}

#[test]
fn a_line_that_is_none_is_named_and_the_others_are_answered() {
    let pair = Pair::make();
    let ping = pair.ping();
    let mut input = line(1, "331083", &ping).into_bytes();
    input.extend(b"\n{\"id\":2\n[]\n{\"id\":3,\"peer\":\"331083\",\"body\":\"\xff\xfe\"}\n");
    input.extend(line(4, "331083", &ping).into_bytes());
    let ran = explain(&pair, &["--jsonl"], &input).ended(1);
    let ids: Vec<_> =
        ran.out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].clone()).collect();
    assert_eq!(ids, [1, 3, 4], "{ran:?}");
    for number in [2, 3] {
        assert!(ran.err.contains(&format!("line {number}: ")), "{ran:?}");
    }
}
