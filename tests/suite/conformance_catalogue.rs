//! The protocol, its cases and its vectors hold together: every clause has a case, every case a
//! clause, every refusal something that provokes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tongban::answer::Code;

use crate::vectors::{rows, text, vectors};

const AREAS: [&str; 11] = [
    "transport",
    "identity",
    "envelope",
    "limits",
    "agreement",
    "authorization",
    "lookup",
    "application",
    "ledger",
    "witness",
    "asking",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn cases() -> Vec<Value> {
    let mut all = Vec::new();
    for area in AREAS {
        let file: Value = serde_json::from_str(&read(&format!("cases/{area}.json"))).unwrap();
        assert_eq!(file["area"], area);
        all.extend(rows(&file["cases"]).iter().cloned());
    }
    all
}

/// A clause of the protocol: its text, and the first and last case it names.
struct Clause {
    text: String,
    named: Option<(String, String)>,
}

fn clauses() -> BTreeMap<String, Clause> {
    let (mut all, mut last) = (BTreeMap::<String, Clause>::new(), None);
    for block in read("PROTOCOL.md").split("\n\n") {
        if block.starts_with("## ") {
            last = None;
        }
        let id = block.strip_prefix("**").and_then(|rest| rest.split_once("** "));
        if let Some((id, text)) = id.filter(|(id, _)| is_clause(id)) {
            let clause = Clause { text: text.to_owned(), named: None };
            assert!(all.insert(id.to_owned(), clause).is_none(), "{id} stands there twice");
            last = Some(id.to_owned());
            continue;
        }
        let Some(clause) = last.as_ref().and_then(|id| all.get_mut(id)) else { continue };
        if block.starts_with("*Inside: ") {
            clause.text.push_str(block);
            continue;
        }
        match block.strip_prefix("*Cases: ").and_then(|rest| rest.trim_end().strip_suffix('*')) {
            Some(named) => {
                let (first, last) = named.split_once(" – ").unwrap_or((named, named));
                clause.named = Some((first.to_owned(), last.to_owned()));
            }
            None => clause.text.push_str(block),
        }
    }
    all
}

/// `E-12`: a letter and a number.
fn is_clause(id: &str) -> bool {
    let (letter, number) = id.split_once('-').unwrap_or_default();
    letter.len() == 1 && letter.bytes().all(|c| c.is_ascii_uppercase()) && number.parse::<u16>().is_ok()
}

/// Everything that `found` says of a value and of what is in it.
fn walk<'v>(value: &'v Value, found: &mut impl FnMut(&'v str, &'v Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found(name, member);
                walk(member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        _ => {}
    }
}

#[test]
fn every_clause_has_a_case_and_every_case_a_clause() {
    let clauses = clauses();
    let mut by_clause: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for case in cases() {
        let (id, clause) = (text(&case, "id"), text(&case, "clause"));
        assert!(clauses.contains_key(clause), "{id} is a case of no clause");
        for language in ["en", "zh"] {
            assert!(!text(&case["title"], language).is_empty(), "{id}");
        }
        assert!(!text(&case["title"], "zh").is_ascii(), "{id}");
        assert!(["answering", "asking", "vectors"].contains(&text(&case, "role")), "{id}");
        let does = ["send", "call", "ask", "steps", "vectors"];
        assert_eq!(does.iter().filter(|word| case.get(**word).is_some()).count(), 1, "{id}");
        assert_eq!(case.get("steps").is_none(), case.get("expect").is_some(), "{id}");
        by_clause.entry(clause.to_owned()).or_default().push(id.to_owned());
        kinds.insert(text(&case, "role").to_owned());
    }
    assert_eq!(kinds.len(), 3);
    let number = |id: &str| id.rsplit_once('.').unwrap().1.parse::<usize>().unwrap();
    for (id, clause) in &clauses {
        let mut numbers: Vec<usize> =
            by_clause.get(id).into_iter().flatten().map(|case| number(case)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "the cases of {id} are numbered");
        let inside = clause.text.contains("*Inside: ");
        assert!(inside == numbers.is_empty(), "{id} has neither cases nor a reason for none, or both");
        let named = clause.named.as_ref().map(|(first, last)| (number(first), number(last)));
        let there = (!numbers.is_empty()).then_some((1, numbers.len()));
        assert_eq!(named, there, "{id} names its cases: run conformance/cases/number.py");
    }
    let total: usize = by_clause.values().map(Vec::len).sum();
    assert!(total >= 150 && clauses.len() > 150, "{total} cases, {} clauses", clauses.len());
}

/// Every `expect` of a case, those of its steps and alternatives included.
fn expectations(case: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    let mut pending: Vec<&Value> = vec![&case["expect"]];
    pending.extend(case["steps"].as_array().into_iter().flatten().map(|step| &step["expect"]));
    while let Some(expect) = pending.pop() {
        pending.extend(["or", "some"].iter().filter_map(|word| expect.get(*word)));
        all.push(expect.clone());
    }
    all
}

#[test]
fn every_refusal_is_provoked_and_expected_as_the_table_has_it() {
    let protocol = read("PROTOCOL.md");
    let (mut codes, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for case in cases() {
        for expect in expectations(&case) {
            let Some(word) = expect["code"].as_str() else { continue };
            let code = Code::from_word(word).unwrap_or_else(|| panic!("{word} of {}", case["id"]));
            codes.insert(word.to_owned());
            reasons.extend(expect["reason"].as_str().map(str::to_owned));
            // An op's size is told by signature (E-10); the answers to a file are all unsigned,
            // with statuses of their own (M-3, M-5).
            let other = ["E-10", "M-3", "M-5"].contains(&text(&case, "clause"));
            assert!(other || expect["signed"] == code.signed(), "{}: {word}", case["id"]);
            assert_eq!(expect["status"], code.status(), "{}: {word}", case["id"]);
        }
        // What an asking gateway is told.
        walk(&case["answer"], &mut |name, value| {
            if let ("problem", Some(word)) = (name, value.as_str()) {
                codes.insert(word.to_owned());
            }
        });
    }
    for code in Code::ALL {
        assert!(codes.contains(code.word()), "{} has no case", code.word());
        let row = protocol
            .lines()
            .find(|line| {
                line.starts_with(&format!("| {} |", code.status()))
                    && line.contains(&format!("`{}`", code.word()))
            })
            .unwrap_or_else(|| panic!("{} stands in no row of R-5 with its status", code.word()));
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(columns[3].starts_with(if code.signed() { "yes" } else { "no" }), "{row}");
        assert_eq!(columns[4], code.retry().word(), "{row}");
    }
    // Every reason that the protocol names is provoked as well.
    let clauses = clauses();
    let named = |id: &str| {
        let text = clauses[id].text.split_once("check that fails:").expect("the reasons of A-2").1.to_owned();
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    };
    for reason in named("A-2").iter().filter(|reason| *reason != "authorization-expired") {
        assert!(reasons.contains(reason), "authorization-invalid/{reason} has no case");
    }
    for row in protocol.lines().filter(|line| line.contains("with `reason`")) {
        for reason in
            row.split("with `reason` ").nth(1).into_iter().flat_map(|rest| rest.split('`').skip(1).step_by(2))
        {
            assert!(reasons.contains(reason), "{reason} has no case");
        }
    }
}

#[test]
fn a_case_bends_one_thing_in_words_that_the_readme_explains() {
    let readme = read("cases/README.md");
    let explained =
        |word: &str| readme.contains(&format!("`{word}")) || readme.contains(&format!("`{word}`"));
    let scene: Value = serde_json::from_str(&read("cases/scene.json")).unwrap();
    let keys = vectors("keys.json");
    let keys: BTreeSet<&str> = rows(&keys["keys"]).iter().map(|key| text(key, "name")).collect();
    let mut words = BTreeSet::new();
    for case in cases() {
        let id = text(&case, "id").to_owned();
        walk(&case, &mut |name, value| match (name, value) {
            ("change", Value::Object(change)) => {
                assert_eq!(change.len(), 1, "{id}");
                let several = change.get("both").and_then(Value::as_array);
                for one in several.map_or_else(|| vec![value], |all| all.iter().collect()) {
                    let one = one.as_object().unwrap();
                    assert_eq!(one.len(), 1, "{id}");
                    words.extend(one.keys().cloned());
                    for pointer in one.get("set").and_then(Value::as_object).into_iter().flatten() {
                        assert!(
                            pointer.0.starts_with("/header/") || pointer.0.starts_with("/payload/"),
                            "{id}"
                        );
                    }
                    assert!(one.get("set").is_none_or(|set| set.as_object().unwrap().len() == 1), "{id}");
                }
            }
            ("check" | "needs", Value::Array(all)) => {
                words.extend(
                    all.iter().map(|word| word.as_str().unwrap().split(':').next().unwrap().to_owned()),
                );
            }
            ("why" | "as", Value::String(word)) => {
                words.insert(word.clone());
            }
            ("base", Value::String(base)) => {
                assert!(scene["messages"].get(base).is_some(), "{id}: no message {base}");
            }
            ("key" | "forge", Value::String(key)) => assert!(keys.contains(&**key), "{id}: no key {key}"),
            (directive, _) if directive.starts_with('$') => {
                words.insert(directive.to_owned());
            }
            ("expect", Value::Object(expect)) => words.extend(expect.keys().cloned()),
            _ => {}
        });
    }
    let members = scene["members"].as_object().unwrap();
    words.retain(|word| !members.contains_key(word));
    // Reasons are the protocol's words.
    let reasons = [
        "characters",
        "parts",
        "base64url",
        "header",
        "typ",
        "JSON",
        "kid-not-yours",
        "alg-not-registered",
        "signature-mismatch",
    ];
    words.retain(|word| !reasons.contains(&&**word));
    let unexplained: Vec<&String> = words.iter().filter(|word| !explained(word)).collect();
    assert!(unexplained.is_empty(), "cases/README.md does not explain {unexplained:?}");
}

#[test]
fn every_case_that_can_be_a_vector_is_one() {
    let all = vectors("requests.json");
    let stored: BTreeSet<&str> = rows(&all["requests"]).iter().map(|row| text(row, "id")).collect();
    let cases = cases();
    let known: BTreeSet<&str> = cases.iter().map(|case| text(case, "id")).collect();
    for id in &stored {
        assert!(known.contains(id) || id.starts_with("good."), "{id} is the vector of no case");
    }
    for case in &cases {
        let one_message = case.get("send").is_some() && case.get("needs").is_none();
        if one_message && case["role"] == "answering" && !stored.contains(text(case, "id")) {
            let grown = case["send"]["change"].get("grow").and_then(Value::as_u64);
            assert!(grown > Some(40_000), "{} has no vector", case["id"]);
        }
        if case["role"] == "vectors" {
            let (file, pointer) =
                text(case, "vectors").split_once('#').unwrap_or((text(case, "vectors"), ""));
            assert!(vectors(file).pointer(pointer).is_some(), "{}", case["id"]);
        }
    }
}
