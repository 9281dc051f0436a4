//! From nothing to a gateway that knows its partners.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Home, Pair, day_plan, feed, run};
use crate::support::{Http, dial};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn init_makes_a_private_directory_that_passes_check() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("咸安 1");
    let ran = run(&["init", "--region", "421202", text(&home)]).ended(0);
    for step in ["tongban card", "tongban partner add", "tongban license import", "tongban serve"] {
        assert!(ran.out.contains(step), "{step}: {}", ran.out);
    }
    let folders = [
        "",
        "keys",
        "data",
        "trust",
        "trust/partners",
        "trust/authorities",
        "trust/agreements",
        "trust/auditors",
    ];
    for folder in folders {
        assert_eq!(mode(&home.join(folder)), 0o700, "{folder}");
    }
    for key in ["sign.jwk", "ledger.key", "tls.key", "local.token"] {
        assert_eq!(mode(&home.join("keys").join(key)), 0o600, "{key}");
    }
    let config = home.join("gateway.toml");
    let checked = run(&["check", "--config", text(&config)]).ended(0);
    assert!(checked.out.contains("all is well 一切正常"), "{checked:?}");
    let token = fs::read_to_string(home.join("keys/local.token")).unwrap();
    assert!(!fs::read_to_string(&config).unwrap().contains(token.trim()), "only the digest is configured");
}

#[test]
fn check_tells_what_serve_would_refuse_of_a_register() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("gw");
    run(&["init", "--region", "421202", "--name", "咸宁市咸安区", text(&home)]).ended(0);
    let config = home.join("gateway.toml");
    let embedded = fs::read_to_string(&config).unwrap();
    let http = "kind = \"http\"\nurl = \"http://127.0.0.1:9/{type}\"\nheader = {}\n\
                holders = { list = \"/holders\", name = \"/name\", type_code = \"/type\", code = \"/code\" }";
    assert!(embedded.contains("kind = \"embedded\""));
    fs::write(&config, embedded.replace("kind = \"embedded\"", http)).unwrap();
    let (checked, served) =
        (run(&["check", "--config", text(&config)]).ended(2), run(&["serve", "--config", text(&config)]));
    let fault = checked.out.trim();
    assert!(
        fault.starts_with("the register cannot be opened") && served.err.contains(fault),
        "{checked:?} {served:?}"
    );
}

#[test]
fn init_takes_nothing_that_is_there_and_no_unknown_region() {
    let root = tempfile::tempdir().unwrap();
    let there = root.path().join("there");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("note"), "mine").unwrap();
    run(&["init", "--region", "421202", text(&there)]).refused_in_one_line(&[text(&there), "目录非空"]);
    assert_eq!(fs::read_dir(&there).unwrap().count(), 1);
    run(&["init", "--region", "421202", text(&there.join("note"))]).refused_in_one_line(&["note"]);
    for region in ["999999", "42120", "421281x", "４２１２０２"] {
        let fresh = root.path().join("fresh");
        let ran = run(&["init", "--region", region, text(&fresh)]).ended(64);
        assert!(ran.err.contains("六位行政区划代码"), "{ran:?}");
        assert!(!fresh.exists());
    }
    for endpoint in ["http://gw.example", "https://gw.example/path", "gw.example"] {
        let fresh = root.path().join("fresh");
        run(&["init", "--region", "421202", text(&fresh), "--endpoint", endpoint]).ended(64);
        assert!(!fresh.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_is_the_same_from_the_file_the_command_and_the_door() {
    let pair = Pair::make();
    let printed = pair.xianan.run(&["card"]).ended(0).json();
    let kept: Value = serde_json::from_slice(&fs::read(pair.xianan.file("card.json")).unwrap()).unwrap();
    assert_eq!(printed, kept);
    let _serving = pair.xianan.serve();
    let line = dial(pair.xianan.doors.partner, Some(&pair.asker), Http::One).await.unwrap();
    assert_eq!(line.get("/v1/card").await.json(), kept);
    assert!(!printed.to_string().contains("\"d\""), "nothing private");
}

#[test]
fn check_tells_all_faults_at_once() {
    let pair = Pair::make();
    let home = &pair.xianan;
    assert_eq!(
        home.run(&["check", "--json"]).ended(0).json(),
        json!({"ok": true, "faults": [], "auditors": 0})
    );

    for key in ["keys/sign.jwk", "keys/ledger.key"] {
        fs::set_permissions(home.file(key), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut card = pair.yuhuan.card.clone();
    (card["endpoint"], card["status"]) = ("http://plain.example".into(), "resting".into());
    home.write("trust/partners/331083.json", &card);
    let mut agreement = day_plan();
    (agreement["parties"], agreement["valid_from"]) = (json!(["421202"]), "yesterday".into());
    home.trust_agreement(&agreement);
    home.write("trust/authorities/mengsuban.json", &json!({"id": "urn:tongban:idp:x"}));

    let found = home.run(&["check", "--json"]).ended(2).json();
    assert_eq!(found["ok"], false);
    let faults: Vec<&str> = found["faults"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    let told = |words: &[&str]| faults.iter().any(|fault| words.iter().all(|word| fault.contains(word)));
    for words in [
        ["keys/sign.jwk", "0644"],
        ["keys/ledger.key", "0644"],
        ["331083.json", "/endpoint"],
        ["331083.json", "/status"],
        ["421202-331083-2020.json", "/parties"],
        ["421202-331083-2020.json", "/valid_from"],
        ["mengsuban.json", "/jwks"],
    ] {
        assert!(told(&words), "{words:?}: {faults:#?}");
    }
    let lines = home.run(&["check"]).ended(2).out;
    assert_eq!(lines.lines().collect::<Vec<_>>(), faults, "the same, a line each");
}

#[test]
fn a_card_is_taken_up_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let (home, other) = (Home::make(root.path(), "421202"), Home::make(root.path(), "331083"));
    let stored = || fs::read_dir(home.file("trust/partners")).unwrap().count();
    let config = home.config();
    let add = |card: &Value, more: &[&str]| {
        let arguments = [&["partner", "add", "-", "--config", &config], more].concat();
        feed(&arguments, card.to_string().as_bytes())
    };

    let mut bad = other.card.clone();
    (bad["endpoint"], bad["region"], bad["surprise"]) = ("http://x".into(), "999999".into(), 1.into());
    let ran = add(&bad, &[]).ended(2);
    for pointer in ["/endpoint", "/region", "/surprise"] {
        assert!(ran.out.contains(pointer), "all faults at once: {ran:?}");
    }
    let json = add(&bad, &["--json"]).ended(2).json();
    assert!(json["faults"].as_array().unwrap().len() >= 3, "{json}");
    add(&home.card, &[]).ended(2);
    feed(&["partner", "add", "-", "--config", &home.config()], b"{\"id\":1,\"id\":2}").ended(2);
    home.run(&["partner", "add", "/nowhere.json"]).refused_in_one_line(&["/nowhere.json"]);
    assert_eq!(stored(), 0);

    let added = add(&other.card, &[]).ended(0).out;
    let kid = other.card["jwks"]["keys"][0]["kid"].as_str().unwrap();
    let aloud: Vec<String> =
        kid.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    assert!(added.contains(&aloud.join(" ")) && added.contains("by phone"), "{added}");
    assert_eq!(add(&other.card, &["--json"]).ended(0).json()["changed"], false);

    let mut moved = other.card.clone();
    moved["endpoint"] = "https://elsewhere.example:8443".into();
    let ran = add(&moved, &[]).ended(1);
    assert!(ran.err.contains("--replace"), "{ran:?}");
    add(&moved, &["--replace"]).ended(0);

    let mut twin = other.card.clone();
    let rename = |value: &mut Value| *value = value.as_str().unwrap().replace("331083", "320922").into();
    for pointer in ["/id", "/region", "/ledger/origin", "/ledger/vkey"] {
        rename(twin.pointer_mut(pointer).unwrap());
    }
    add(&twin, &[]).ended(2);
    assert_eq!(stored(), 1);
    let listed = home.run(&["partner", "list"]).ended(0).out;
    assert!(listed.contains("331083") && listed.contains("elsewhere.example:8443"), "{listed}");
}

#[test]
fn an_agreement_is_a_table_for_lawyers_or_a_list_of_faults() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("agreement.json");
    let check = |agreement: &Value, more: &[&str]| {
        fs::write(&file, agreement.to_string()).unwrap();
        run(&[&["agreement", "check", text(&file)], more].concat())
    };
    let table = check(&day_plan(), &[]).ended(0).out;
    let words = ["咸安—玉环跨省联办协议", "新生儿户口登记", "结婚证", "2020-08-01", "多地联办", "Basis 依据"];
    for word in words {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert_eq!(check(&day_plan(), &["--json"]).ended(0).json()["ok"], true);

    let mut bad = day_plan();
    (bad["valid_to"], bad["parties"]) = ("2019-01-01".into(), json!(["421202", "421202"]));
    bad["items"][0]["code"] = "11421202TECT000191".into();
    bad["items"][1]["bases"] = json!(["whim"]);
    let ran = check(&bad, &[]).ended(2);
    for pointer in ["/parties", "/items/0/code", "/items/1/bases/0"] {
        assert!(ran.out.contains(pointer), "all faults at once: {ran:?}");
    }
    run(&["agreement", "check", "/nowhere.json"]).refused_in_one_line(&["/nowhere.json"]);
}
