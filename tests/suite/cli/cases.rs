//! Applications from the shell, across two running gateways: hand in, look, act, answer.

use std::fs;

use serde_json::{Value, json};
use tongban::clock::{Clock, Now};

use crate::process::{Home, Pair, Ran, day_plan, finish, tongban, until};
use crate::support::{AGREEMENT, ITEM, JIA};

const WINDOW: [&str; 4] = ["--org", "11331083TECT000279", "--officer", "YH0123"];
const OFFICE: [&str; 4] = ["--org", "11421202TECT000191", "--officer", "XA0456"];
/// A case number that is well formed and nobody's.
const NOBODYS: &str = "K3310834212022026101200000001M";

/// Two counties whose agreement lets applications travel.
fn counties() -> Pair {
    let pair = Pair::make();
    let mut agreement = day_plan();
    agreement["items"][0]["ops"] = json!([
        "license.query",
        "application.submit",
        "application.event",
        "application.status",
        "verification.request",
        "verification.answer"
    ]);
    let materials = agreement["items"][0]["materials"].as_array_mut().unwrap();
    materials.push(json!({"code": "M5", "name": "申请表", "necessity": "optional", "evidence": ["upload"]}));
    for home in [&pair.xianan, &pair.yuhuan] {
        home.trust_agreement(&agreement);
        // Years that no notice has fixed yet, whenever the test runs.
        fs::create_dir_all(home.file("calendar")).unwrap();
        for year in 2027..2040 {
            let made = json!({"year": year, "notice": "测试", "published": "2026-11-01",
                              "off": [format!("{year}-01-01")], "work": []});
            home.write(&format!("calendar/{year}.json"), &made);
        }
        home.edit_config("[store]", "[calendar]\nfolder = \"calendar\"\n\n[store]");
    }
    pair
}

/// An application whose marriage certificate the department is asked about.
fn application() -> Value {
    json!({
        "to": "421202", "item": ITEM, "basis": "consent", "operator": "YH0123", "agreement": AGREEMENT,
        "purpose": "新生儿户口登记",
        "body": {
            "mode": "multi_joint", "parent": null, "native": {"collecting": "YH2026101200017"},
            "collecting": {"region": "331083", "place": "331083001", "org": WINDOW[1], "officer": "YH0123",
                "collected_at": 1_790_000_000, "identity_check": "id_card_reader"},
            "handling": {"region": "421202", "org": OFFICE[1]},
            "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": JIA,
                "mobile": "13900000000", "agent": null},
            "form": {},
            "materials": [
                {"code": "M2", "license": {"holder": {"type": "111", "number": JIA}},
                 "claims": {"cert_no": "J331083-2026-000001"}, "question": "证号是否相符?"},
                {"code": "M5"}
            ],
            "authorizations": []
        }
    })
}

fn case(home: &Home, line: &str, more: &[&str]) -> Ran {
    let words: Vec<&str> = ["case"].into_iter().chain(line.split_whitespace()).collect();
    let config = home.config();
    let words = [&words, more, &["--config", &config]].concat();
    // A window in which no cell is broken.
    finish(tongban().args(words).env("COLUMNS", "400"), b"")
}

/// Looks at a case until it stands so.
fn seen(home: &Home, number: &str, state: &str) -> Value {
    until(&format!("{number} at {}: {state}", home.region), || {
        let view = case(home, &format!("show {number} --json"), &[]);
        let view = if view.code == 0 { view.json() } else { return None };
        (view["state"] == state && view["transport"] == "delivered").then_some(view)
    })
}

#[test]
fn an_application_is_handed_in_followed_and_decided_from_the_shell() {
    let pair = counties();
    let (window, office) = (&pair.yuhuan, &pair.xianan);
    let _served = (office.serve(), window.serve());
    let (file, scan) = (window.file("application.json"), window.file("form.pdf"));
    fs::write(&file, application().to_string()).unwrap();
    fs::write(&scan, b"%PDF-1.7 synthetic").unwrap();
    let attach = format!("M5={}", scan.display());
    let apply = ["apply", file.to_str().unwrap(), "--attach", &attach, "--key", "window-1"];

    let told = window.run(&apply).ended(0);
    assert!(told.err.contains("idempotency key 幂等键 window-1"), "{told:?}");
    for word in ["部门限时核验 timed_verification", "上传材料 upload", "RELAYED 已转递"] {
        assert!(told.out.contains(word), "{word}: {told:?}");
    }
    let again = window.run(&[&apply[..], &["--json"]].concat()).ended(0).json();
    let number = again["case"].as_str().unwrap();
    assert!(told.out.contains(number), "the same key, the same case: {told:?}");
    assert_eq!(again["awaiting"], json!([]), "the file is on the own shelf");

    let view = seen(window, number, "RECEIVED");
    assert_eq!(view["role"], "collecting");
    assert_eq!(seen(office, number, "RECEIVED")["role"], "handling");
    let listed = case(office, "list --role handling --state received --partner 331083", &[]).ended(0);
    assert!(listed.out.contains(number) && listed.out.contains("RECEIVED 已接收"), "{listed:?}");
    assert!(!case(office, "list --role collecting", &[]).ended(0).out.contains(number));

    // The department answers.
    let asked = until("the question is there", || {
        let page = case(office, "verifications --state open --json", &[]).ended(0).json();
        page["verifications"].as_array().unwrap().first().cloned()
    });
    let id = asked["id"].as_str().unwrap();
    let shown = case(office, "verifications", &[]).ended(0);
    assert!(shown.out.contains("证号是否相符?") && shown.out.contains("待答复 open"), "{shown:?}");
    let answered = case(office, &format!("answer {id} confirmed --note 属实"), &OFFICE).ended(0);
    assert!(answered.out.contains("已答复 answered"), "{answered:?}");
    let twice = case(office, &format!("answer {id} refuted"), &OFFICE).ended(1);
    assert!(twice.err.contains("illegal-transition"), "{twice:?}");
    until("the answer is at the window", || {
        let page = case(window, "verifications --side asking --json", &[]).ended(0).json();
        (page["verifications"][0]["outcome"] == "confirmed").then_some(())
    });

    // The office accepts; the window may not, and its own act waits for the receipt.
    let in_a_week = Now::from_secs(Clock::system().now().secs() + 7 * 86_400).shanghai_day();
    let data = json!({"doc_no": "1", "project_type": "2", "promise_date": in_a_week.to_string()}).to_string();
    let wrong = case(window, &format!("event {number} accept"), &[&["--data", &data][..], &WINDOW].concat());
    assert!(wrong.ended(1).err.contains("illegal-transition"));
    let accepted =
        case(office, &format!("event {number} accept"), &[&["--data", &data][..], &OFFICE].concat());
    assert!(accepted.ended(0).out.contains("ACCEPTED 已受理"));
    seen(window, number, "ACCEPTED");
    let withdrawn = case(window, &format!("event {number} withdraw"), &WINDOW).ended(0);
    assert!(withdrawn.out.contains("proposed"), "{withdrawn:?}");
    seen(window, number, "WITHDRAWN");
    let at_last = seen(office, number, "WITHDRAWN");
    assert_eq!(at_last["events"], seen(window, number, "WITHDRAWN")["events"], "one chain");

    let shown = case(window, &format!("show {number}"), &[]).ended(0);
    for word in ["WITHDRAWN 已撤回", "结婚证", "已证明 proven", "收件地 collecting", "accept"] {
        assert!(shown.out.contains(word), "{word}: {shown:?}");
    }
    let notices = case(window, "notices --limit 500", &[]).ended(0);
    for kind in ["case.event", "verification.answered", "verification.delivered"] {
        assert!(notices.out.contains(kind), "{kind}: {notices:?}");
    }
    let delivered = case(window, "parcels --state delivered", &[]).ended(0);
    assert!(delivered.out.contains("application.submit") && delivered.out.contains("已送达 delivered"));
    assert!(!case(window, "parcels", &[]).ended(0).out.contains(number), "nothing is undeliverable");
    let report = case(office, "report --json", &[]).ended(0).json();
    assert_eq!(
        (&report["partners"][0]["partner"], &report["partners"][0]["ended"]),
        (&json!("331083"), &json!(1))
    );
    assert!(case(office, "report", &[]).ended(0).out.contains("平均用时"));
}

#[test]
fn what_cannot_be_done_ends_with_1_and_its_code() {
    let pair = counties();
    let _served = pair.yuhuan.serve();
    let home = &pair.yuhuan;
    for (line, code) in [
        (format!("show {NOBODYS}"), "unknown-case"),
        (format!("event {NOBODYS} withdraw {}", WINDOW.join(" ")), "unknown-case"),
        (format!("answer 0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22 unable {}", WINDOW.join(" ")), "unknown-case"),
        ("redrive 0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22".to_owned(), "unknown-parcel"),
        ("list --cursor abc".to_owned(), "bad-query"),
    ] {
        let ran = case(home, &line, &[]).ended(1);
        assert!(ran.err.contains(code) && ran.out.is_empty(), "{line}: {ran:?}");
        let told = case(home, &line, &["--json"]).ended(1).json();
        assert_eq!(told["code"], code, "{line}");
    }
    let file = home.file("application.json");
    fs::write(&file, json!({"to": "421202"}).to_string()).unwrap();
    let ran = home.run(&["apply", file.to_str().unwrap()]).ended(1);
    assert!(ran.err.contains("schema-violation") && ran.err.contains("/item"), "{ran:?}");
    fs::write(&file, "{\"to\":1,\"to\":2}").unwrap();
    let ran = home.run(&["apply", file.to_str().unwrap()]).ended(2);
    assert!(ran.err.contains("fault(s)"), "{ran:?}");
}

#[test]
fn what_cannot_be_meant_ends_with_64_and_is_not_sent() {
    let pair = Pair::make();
    let home = &pair.yuhuan;
    for line in [
        "show K331083".to_owned(),
        format!("event {NOBODYS} acept {}", WINDOW.join(" ")),
        format!("event {NOBODYS} withdraw"),
        format!("answer x maybe {}", WINDOW.join(" ")),
        "redrive ../x".to_owned(),
        "list --state ARRIVED".to_owned(),
        "parcels --state lost".to_owned(),
        "notices --limit 501".to_owned(),
        format!("event {NOBODYS} accept --data {{ {}", WINDOW.join(" ")),
    ] {
        let ran = case(home, &line, &[]).ended(64);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{line}: {ran:?}");
    }
    home.run(&["apply", "/nowhere.json"]).refused_in_one_line(&["/nowhere.json"]);
}
