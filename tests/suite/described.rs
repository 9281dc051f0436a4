//! To vendors: the API description is the door. It lists what is served and nothing else, its
//! schemas are the partners' own, its examples are taken, and whatever is sent, the answer is
//! one that stands in it.

mod fuzz;
mod odd;
mod partner;
mod shapes;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

pub use shapes::Shapes;

pub fn description() -> Value {
    serde_json::from_str(include_str!("../../schemas/local-openapi.json")).unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// `/local/v1/a/{}`: a parameter's name says nothing.
fn plain(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// The paths in the doors' own sources: the patterns of `CaseRoute::of` and `Route::of`.
fn routed() -> BTreeSet<String> {
    let between = |text: &str, start: &str, end: &str| {
        let from = text.find(start).unwrap_or_else(|| panic!("{start}"));
        text[from..from + text[from..].find(end).unwrap_or_else(|| panic!("{end}"))].to_owned()
    };
    let mut paths = BTreeSet::new();
    let cases = between(&read("src/door/local/cases.rs"), "match parts.as_slice() {", "_ => None");
    for line in cases.lines().filter_map(|line| line.trim().strip_prefix('[')?.split_once("] =>")) {
        let parts = line.0.split(", ").map(|part| match part.strip_prefix('"') {
            Some(word) => word.trim_end_matches('"').to_owned(),
            None => "{}".to_owned(),
        });
        paths.insert(format!("/local/v1/{}", parts.collect::<Vec<_>>().join("/")));
    }
    let door = between(&read("src/door/local.rs"), "match path.strip_prefix(\"/local/v1/\")? {", "rest if");
    for line in door.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>")) {
        paths.insert(format!("/local/v1/{}", line.0));
    }
    // What the door tells apart by more than words.
    paths.extend(["/local/v1/materials/{}", "/local/v1/partners/{}/ping"].map(str::to_owned));
    paths.extend(["/healthz", "/readyz", "/metrics"].map(str::to_owned));
    paths
}

#[test]
fn every_route_of_the_door_is_described_and_nothing_else() {
    let described = description();
    let listed: BTreeSet<String> =
        described["paths"].as_object().unwrap().keys().map(|path| plain(path)).collect();
    assert_eq!(listed, routed());
}

/// A schema of `schemas/` as a description carries it.
pub struct Bundle;

impl Bundle {
    fn source(name: &str) -> Value {
        serde_json::from_str(&read(&format!("schemas/{name}.json"))).unwrap()
    }

    /// References become components, names of files go.
    fn translated(value: &Value, home: &str) -> Value {
        let literal = |name: &str| {
            name.starts_with("x-") || ["const", "enum", "default", "example", "examples"].contains(&name)
        };
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !["$schema", "$id", "$defs"].contains(&name.as_str()))
                .map(|(name, inner)| {
                    let inner = match (name.as_str(), inner.as_str()) {
                        ("$ref", Some(place)) => Self::reference(place, home).into(),
                        _ if literal(name) => inner.clone(),
                        _ => Self::translated(inner, home),
                    };
                    (name.clone(), inner)
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Array(items) => items.iter().map(|item| Self::translated(item, home)).collect(),
            other => other.clone(),
        }
    }

    fn reference(place: &str, home: &str) -> String {
        let place = place.trim_start_matches("urn:tongban:schema:");
        let Some((file, name)) = place.split_once("#/$defs/") else {
            return format!("#/components/schemas/{place}");
        };
        let file = if file.is_empty() { home } else { file };
        format!("#/components/schemas/{file}.{name}")
    }

    /// What `x-source` says, as it must stand in the description of the local door.
    fn of(source: &str) -> Value {
        let mut bundled = Self::plain(source);
        Self::as_a_window_sends_it(source, &mut bundled);
        bundled
    }

    /// The schema itself.
    pub fn plain(source: &str) -> Value {
        let (file, name) = source.split_once("#/$defs/").unwrap_or((source, ""));
        let whole = Self::source(file);
        let found = if name.is_empty() { &whole } else { &whole["$defs"][name] };
        let mut bundled = Self::translated(found, file);
        bundled["x-source"] = source.into();
        bundled
    }

    /// The bodies of the local door leave out what the gateway adds.
    fn as_a_window_sends_it(source: &str, body: &mut Value) {
        let without = |body: &mut Value, names: &[&str]| {
            let members = body["properties"].as_object_mut().unwrap();
            names.iter().for_each(|name| drop(members.remove(*name)));
        };
        match source {
            "application-submit" => {
                body["properties"]["materials"]["items"] = json!({"anyOf": [
                    {"$ref": "#/components/schemas/application-submit.material"},
                    {"$ref": "#/components/schemas/MaterialToShow"}]});
            }
            "application-event" => {
                without(body, &["seq", "prev"]);
                body["required"] = json!(["event", "by"]);
                let local = ["collect", "reject_form", "resubmit", "route", "relay"];
                let events = body["properties"]["event"]["enum"].as_array_mut().unwrap();
                events.retain(|event| !local.contains(&event.as_str().unwrap()));
            }
            "verification-answer" => {
                without(body, &["id"]);
                body["required"] = json!(["outcome", "by"]);
            }
            _ => {}
        }
    }
}

#[test]
fn bodies_are_described_by_the_very_schemas_the_gateway_judges_with() {
    let described = description();
    let mut seen = 0;
    for (name, schema) in described["components"]["schemas"].as_object().unwrap() {
        let Some(source) = schema["x-source"].as_str() else { continue };
        let mut expected = Bundle::of(source);
        for own in ["description", "example"] {
            // A component may say more in its own words.
            if let Some(words) = schema.get(own) {
                expected[own] = words.clone();
            }
        }
        assert_eq!(schema, &expected, "{name} is not {source} as it stands today");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_reference_leads_somewhere_and_every_example_meets_its_schema() {
    let described = description();
    let shapes = Shapes::of(&described);
    for (name, schema) in described["components"]["schemas"].as_object().unwrap() {
        let validator = shapes.validator(&json!({"$ref": format!("#/components/schemas/{name}")}));
        if let Some(example) = schema.get("example") {
            let faults: Vec<_> = validator.iter_errors(example).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{name}: {faults:?}");
        }
    }
    for (kind, hook) in described["webhooks"].as_object().unwrap() {
        let content = &hook["post"]["requestBody"]["content"]["application/json"];
        let validator = shapes.validator(&content["schema"]);
        let faults: Vec<_> =
            validator.iter_errors(&content["example"]).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{kind}: {faults:?}");
    }
}

#[test]
fn every_kind_of_notice_in_the_sources_is_described_as_a_webhook() {
    let described = description();
    let mut kinds: BTreeSet<&str> =
        described["webhooks"].as_object().unwrap().keys().map(String::as_str).collect();
    // Told in the list alone.
    kinds.insert("webhook.given-up");
    let listed =
        described["components"]["schemas"]["Notice"]["properties"]["kind"]["enum"].as_array().unwrap();
    assert_eq!(listed.iter().map(|kind| kind.as_str().unwrap()).collect::<BTreeSet<_>>(), kinds);
    let groups = [
        "case",
        "verification",
        "deadline",
        "commitment",
        "special",
        "rectification",
        "correction",
        "parcel",
    ];
    let mut told = BTreeSet::new();
    for file in ["notices", "verification", "timers"].map(|name| format!("src/casework/{name}.rs")) {
        let text = read(&file);
        told.extend(
            text.split('"')
                .filter(|word| {
                    let Some((group, rest)) = word.split_once('.') else { return false };
                    groups.contains(&group)
                        && !rest.is_empty()
                        && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                })
                .map(str::to_owned),
        );
    }
    for kind in &told {
        assert!(kinds.contains(kind.as_str()), "{kind}");
    }
    assert!(told.len() > 10, "{told:?}");
}
