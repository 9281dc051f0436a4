//! The house keeps its shape: a room looks only at the rooms before it, and files stay
//! readable. Reads every `use crate::` and every `crate::` path below `src/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each top-level module may look at, besides itself. Ground first, then the rooms in
/// the order a request meets them, then corridors, doors and the whole.
const MAY_LOOK_AT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("fault", &[]),
    ("domain", &["clock", "fault"]),
    ("json", &["clock", "fault"]),
    ("folder", &["clock", "fault", "json"]),
    ("account", &["fault", "folder"]),
    ("keys", &["clock", "fault", "json"]),
    ("schema", &["clock", "fault", "domain", "json", "folder"]),
    ("store", &["clock", "fault", "domain", "json", "keys"]),
    ("ledger", &["clock", "fault", "domain", "json", "keys", "store"]),
    ("material", &["clock", "domain"]),
    ("casebook", &["clock", "fault", "domain", "json", "store", "ledger"]),
    ("witness", &["clock", "domain", "keys", "store", "ledger"]),
    ("audit", GROUND),
    ("peer", GROUND),
    ("web", &["peer"]),
    ("envelope", &["ground", "peer"]),
    // Knows partners, and what an op is for; no message.
    ("admission", &["ground", "envelope"]),
    // Knows leaves, notes and the names of ops; no message and no partner's key set.
    ("reconcile", &["ground", "envelope"]),
    ("policy", &["ground", "peer", "envelope"]),
    ("authorization", &["ground", "peer", "web", "envelope", "policy"]),
    // `license` comes after `authorization` in the corridor and still knows nothing of it:
    // whether one may ask was decided before.
    ("license", &["ground", "policy"]),
    // `case` and `license` do not know each other.
    ("case", &["ground", "policy"]),
    // Knows no case and no license: parcels, partners and their quotas.
    ("relay", &["ground", "envelope", "policy"]),
    ("webhook", &["ground", "peer", "relay"]),
    ("answer", &["ground", "peer", "envelope", "policy", "authorization", "license", "case"]),
    ("config", &["ground", "audit", "license", "relay", "webhook"]),
    ("telemetry", &[]),
    ("casework", &["ground", "rooms", "telemetry", "house", "outbound"]),
    ("inbound", &["ground", "rooms", "telemetry", "house", "casework"]),
    ("outbound", &["ground", "rooms", "telemetry", "house", "casework"]),
    // Looks at what was refused; decides nothing.
    ("diagnosis", &["ground", "rooms", "inbound"]),
    ("house", &["ground", "rooms", "config", "telemetry", "casework", "inbound", "outbound"]),
    (
        "door",
        &["ground", "rooms", "config", "telemetry", "house", "casework", "inbound", "outbound", "diagnosis"],
    ),
    (
        "gateway",
        &["ground", "rooms", "config", "telemetry", "house", "casework", "inbound", "outbound", "door"],
    ),
    (
        "cli",
        &[
            "ground",
            "rooms",
            "config",
            "telemetry",
            "house",
            "casework",
            "inbound",
            "outbound",
            "door",
            "gateway",
            "diagnosis",
            "conformance",
        ],
    ),
    // What plays gateways from outside shares nothing with ours but plain values.
    ("conformance", &["clock", "domain"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

const GROUND: &[&str] = &[
    "clock", "fault", "domain", "json", "folder", "account", "keys", "schema", "store", "ledger", "material",
    "casebook", "witness",
];
const ROOMS: &[&str] = &[
    "audit",
    "peer",
    "web",
    "envelope",
    "admission",
    "reconcile",
    "policy",
    "authorization",
    "license",
    "case",
    "relay",
    "webhook",
    "answer",
];

/// `store` is below those that keep files of their own, and only they may know which engine
/// lies there.
const KNOWN_TO_KEEPERS_ONLY: &str = "store";

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if is_test(&path) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// A room's tests may look around, for example at every twin of a schema.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    name == "tests" || name.ends_with("_tests")
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The top-level module a file belongs to.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(src()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that the text looks at: the word after each `crate::`, also in `use crate::{a, b}`.
fn looks_at(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let joined = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
            let rest = &line[at + "crate::".len()..];
            if joined {
                continue;
            }
            if let Some(group) = rest.strip_prefix('{') {
                rooms.extend(group.split(',').map(first_word));
            } else {
                rooms.push(first_word(rest));
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn allowed(room: &str) -> Vec<&'static str> {
    let (_, list) = MAY_LOOK_AT.iter().find(|(name, _)| *name == room).unwrap_or_else(|| {
        panic!("src/{room} is a new room: give it a line in MAY_LOOK_AT");
    });
    let mut rooms = Vec::new();
    for name in *list {
        match *name {
            "ground" => rooms.extend(GROUND),
            "rooms" => rooms.extend(ROOMS),
            other => rooms.push(other),
        }
    }
    rooms
}

#[test]
fn every_room_looks_only_at_the_rooms_before_it() {
    let mut files = Vec::new();
    sources(&src(), &mut files);
    let known: Vec<&str> = MAY_LOOK_AT.iter().map(|(name, _)| *name).collect();
    let mut wrong = BTreeMap::new();
    for path in &files {
        let room = room_of(path);
        let allowed = allowed(&room);
        for other in looks_at(&fs::read_to_string(path).unwrap()) {
            let is_room = known.contains(&other.as_str());
            if is_room && other != room && !allowed.contains(&other.as_str()) {
                wrong
                    .entry(format!("{} → {other}", path.strip_prefix(src()).unwrap().display()))
                    .or_insert(());
            }
        }
    }
    assert!(wrong.is_empty(), "rooms that look the wrong way: {:#?}", wrong.keys());
}

#[test]
fn only_who_keeps_files_knows_that_there_is_a_storage_engine() {
    let mut files = Vec::new();
    sources(&src(), &mut files);
    for path in files {
        let room = room_of(&path);
        if ["store", "ledger", "casebook", "witness", "audit", "reconcile"].contains(&room.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !looks_at(&text).iter().any(|r| r == KNOWN_TO_KEEPERS_ONLY),
            "{} looks at the store",
            path.display()
        );
    }
}

#[test]
fn the_direction_test_can_fail() {
    assert_eq!(
        looks_at("use crate::{clock::Now, door};\nlet x = crate::gateway::start();"),
        ["clock", "door", "gateway"]
    );
    assert!(looks_at("// crate::door\nuse mycrate::door;").is_empty());
    assert!(!allowed("peer").contains(&"envelope") && allowed("envelope").contains(&"peer"));
}
