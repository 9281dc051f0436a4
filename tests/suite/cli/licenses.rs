//! Licenses in, and asked for across two running gateways.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Home, Pair, Ran, until};
use crate::support::{AGREEMENT, DING, ITEM, JIA, MARRIAGE, licenses, marriage};

fn import(home: &Home, lines: &[String], more: &[&str]) -> Ran {
    let file = home.file("new.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    home.run(&[&["license", "import", file.to_str().unwrap()], more].concat())
}

#[test]
fn import_refuses_line_by_line_and_loads_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), "421202");
    let bent = |bend: &dyn Fn(&mut Value)| {
        let mut license = marriage();
        bend(&mut license);
        license.to_string()
    };
    let lines = [
        marriage().to_string(),
        "{\"license_id\":".to_owned(),
        bent(&|l| l["holders"][0]["code"] = "420111111111111111".into()),
        bent(&|l| {
            (l["status"], l["issued_on"]) = ("99".into(), "2026-02-30".into());
        }),
        marriage().to_string().replace("\"status\":", "\"status\":\"01\",\"status\":"),
        licenses()[3].to_string(),
    ];
    let ran = import(&home, &lines, &[]).ended(2);
    for (line, rule) in [(2, ""), (3, "/holders/0/code"), (4, "/status"), (4, "/issued_on"), (5, "")] {
        let start = format!("line {line} 第{line}行: ");
        assert!(ran.err.lines().any(|l| l.starts_with(&start) && l.contains(rule)), "{start}{rule}: {ran:?}");
    }
    assert!(!ran.err.contains("line 1 ") && !ran.err.contains("line 6 "), "{ran:?}");
    assert!(!ran.err.contains("420111111111111111"), "no value is repeated: {ran:?}");
    assert!(ran.out.starts_with("6 lines 行: 2 new"), "{ran:?}");

    let again = import(&home, &lines, &["--json"]).ended(2).json();
    assert_eq!(
        (&again["lines"], &again["unchanged"], &again["refused_lines"]),
        (&json!(6), &json!(2), &json!(4))
    );
    let refused: Vec<_> =
        again["refused"].as_array().unwrap().iter().map(|r| r["line"].as_u64().unwrap()).collect();
    assert_eq!(refused, [2, 3, 4, 5]);
    let good = [lines[0].clone(), lines[5].clone()];
    assert_eq!(import(&home, &good, &["--json"]).ended(0).json()["unchanged"], 2);
    home.run(&["license", "import", "/nowhere.jsonl"]).refused_in_one_line(&["/nowhere.jsonl"]);
}

#[test]
fn license_types_are_listed_with_what_their_schemas_say() {
    let types = crate::process::run(&["license", "types", "--json"]).ended(0).json();
    let types = types.as_array().unwrap();
    assert!(types.len() >= 12);
    let kind = types.iter().find(|kind| kind["code"] == MARRIAGE).unwrap();
    assert_eq!((&kind["name"], &kind["cache"]["negative_seconds"]), (&json!("结婚证"), &json!(30)));
    let table = crate::process::run(&["license", "types"]).ended(0).out;
    assert!(types.iter().all(|kind| table.contains(kind["code"].as_str().unwrap())), "{table}");
}

/// What a window types, but for the holder and what is asked.
fn query(pair: &Pair, more: &[&str]) -> Ran {
    let always = ["query", "--to", "421202", "--type", MARRIAGE, "--item", ITEM, "--agreement", AGREEMENT];
    let who = ["--purpose", "新生儿户口登记", "--operator", "YH0123"];
    pair.yuhuan.run(&[&always[..], &who, more].concat())
}

fn authorize(pair: &Pair, number: &str, more: &[&str]) -> Ran {
    let issuer = pair.root.path().join("mengsuban");
    let jkt = format!("@{}", pair.yuhuan.file("card.json").display());
    let always =
        ["authorize", "issue", "--issuer", issuer.to_str().unwrap(), "--me", "421202", "--client", "331083"];
    let what =
        ["--jkt", &jkt, "--holder-number", number, "--type", MARRIAGE, "--fields", "cert_no", "--item", ITEM];
    crate::process::run(&[&always[..], &what, more].concat()).ended(0)
}

#[test]
fn a_window_asks_another_county_from_the_shell() {
    let pair = Pair::make();
    let (answering, asking) = (pair.xianan.serve(), pair.yuhuan.serve());

    let pong = pair.yuhuan.run(&["partner", "ping", "421202"]).ended(0).out;
    assert!(pong.starts_with("421202 answered in "), "{pong}");
    assert_eq!(
        pair.yuhuan.run(&["partner", "ping", "421202", "--json"]).ended(0).json()["partner"],
        "421202"
    );

    let token = authorize(&pair, JIA, &["--max-uses", "3"]).out.trim().to_owned();
    assert_eq!(token.split('.').count(), 3);
    let file = pair.root.path().join("token");
    fs::write(&file, &token).unwrap();
    let by = ["--holder-number", JIA, "--authorization", &format!("@{}", file.display())];
    let read = query(&pair, &[&by[..], &["--read", "cert_no", "--json"]].concat()).ended(0).json();
    assert_eq!(read["result"]["licenses"][0]["data"], json!({"cert_no": "J331083-2026-000001"}));
    let shown = query(&pair, &[&by[..], &["--read", "cert_no"]].concat()).ended(0).out;
    assert!(shown.contains("J331083-2026-000001") && shown.contains("source 来源 cache"), "{shown}");
    let verified =
        query(&pair, &[&by[..], &["--verify", "cert_no=other", "--json"]].concat()).ended(0).json();
    assert_eq!(verified["result"]["licenses"][0]["match"], json!({"cert_no": false}));

    let refused = query(&pair, &[&by[..], &["--read", "cert_no"]].concat()).ended(1);
    assert!(refused.out.is_empty() && refused.err.contains("403 authorization-used-up"), "{refused:?}");
    let json = query(&pair, &[&by[..], &["--read", "cert_no", "--json"]].concat()).ended(1).json();
    assert_eq!(json["code"], "authorization-used-up");
    query(&pair, &["--holder-number", JIA, "--read", "cert_no", "--verify", "a=b"]).ended(64);
    let unknown = pair.yuhuan.run(&["partner", "ping", "320922"]).ended(1);
    assert!(!unknown.err.is_empty(), "{unknown:?}");

    assert_eq!(answering.stop(), 0);
    let away = pair.yuhuan.run(&["partner", "ping", "421202"]).ended(1);
    assert!(away.err.lines().next().unwrap().starts_with("tongban: 50"), "{away:?}");
    assert_eq!(asking.stop(), 0);
    let closed = pair.yuhuan.run(&["partner", "ping", "421202"]).ended(1);
    assert!(closed.err.contains("is `tongban serve` running?"), "{closed:?}");
}

#[test]
fn what_is_imported_beside_a_running_gateway_is_seen_by_the_next_lookup() {
    let pair = Pair::make();
    let _serving = (pair.xianan.serve(), pair.yuhuan.serve());
    let token = authorize(&pair, DING, &["--max-uses", "10"]).out.trim().to_owned();
    let ask = || {
        let by = ["--holder-number", DING, "--authorization", &token, "--read", "cert_no", "--json"];
        query(&pair, &by).ended(0).json()["result"].take()
    };
    assert_eq!((&ask()["found"], &ask()["source"]), (&json!(false), &json!("cache")), "not found is cached");

    let mut license = marriage();
    license["license_id"] = crate::support::license_id(MARRIAGE, "J33108320260000009", "001").into();
    license["number"] = "J331083-2026-000009".into();
    license["data"]["cert_no"] = "J331083-2026-000009".into();
    license["holders"] = json!([{"name": "测试丁", "type_code": "111", "code": DING}]);
    for half in ["man", "woman"] {
        license["data"].as_object_mut().unwrap().remove(half);
    }
    import(&pair.xianan, &[license.to_string()], &[]).ended(0);
    let found = ask();
    assert_eq!(found["licenses"][0]["data"]["cert_no"], "J331083-2026-000009", "{found}");
}

#[test]
fn a_development_authority_issues_and_takes_back() {
    let pair = Pair::make();
    let (answering, _asking) = (pair.xianan.serve(), pair.yuhuan.serve());
    let issued = authorize(&pair, JIA, &["--max-uses", "100", "--json"]).json();
    let token = issued["authorization"].as_str().unwrap();
    let by = ["--holder-number", JIA, "--authorization", token, "--read", "cert_no", "--json"];
    query(&pair, &by).ended(0);

    let issuer = pair.root.path().join("mengsuban");
    let issuer = issuer.to_str().unwrap();
    let index = issued["idx"].to_string();
    crate::process::run(&["authorize", "revoke", "--issuer", issuer, "--idx", "9999"]).ended(1);
    crate::process::run(&["authorize", "revoke", "--issuer", issuer, "--idx", &index]).ended(0);
    // A look that began before the list was published does not count.
    answering.signal(Signal::HUP);
    let code = until("the revocation is in force", || {
        let ran = query(&pair, &by);
        (ran.code != 0).then(|| ran.json()["code"].clone())
    });
    assert_eq!(code, "authorization-revoked");
    crate::process::run(&["authorize", "status", "--issuer", issuer]).ended(0);

    let fresh = pair.root.path().join("fresh");
    let made =
        crate::process::run(&["authorize", "init", "--name", "other", fresh.to_str().unwrap(), "--json"]);
    let trust = made.ended(0).json()["trust_file"].as_str().unwrap().to_owned();
    assert!(fs::read_to_string(trust).unwrap().contains("urn:tongban:idp:other"));
    crate::process::run(&[
        "authorize",
        "init",
        "--name",
        "A B",
        pair.root.path().join("x").to_str().unwrap(),
    ])
    .ended(1);
    crate::process::run(&["authorize", "issue", "--issuer", "/nowhere"]).ended(64);
}
