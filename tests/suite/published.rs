//! To vendors: what stands under `docs/` is what the program judges by. Every message's schema as
//! one file that needs no other, and both doors as OpenAPI.
//!
//! `TONGBAN_UPDATE=1 cargo test --test suite published` writes the files anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tongban::answer::Code;
use tongban::envelope::Op;

use crate::advised::published;
use crate::described::{Bundle, Shapes};
use crate::support::*;

const ID: &str = "urn:tongban:schema:";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn json_file(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// `license:marriage-certificate` is `licenses/marriage-certificate`.
fn source(name: &str) -> Value {
    let file = name.replacen("license:", "licenses/", 1).replacen("form:", "forms/", 1);
    json_file(&format!("schemas/{file}.json"))
}

/// Names of the documents that vendors and operators write or read, by folder.
fn documents() -> Vec<String> {
    let mut names = Vec::new();
    for (folder, prefix) in [("schemas", ""), ("schemas/licenses", "license:"), ("schemas/forms", "form:")] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = file.strip_suffix(".json").filter(|name| *name != "local-openapi");
            names.extend(name.map(|name| format!("{prefix}{name}")));
        }
    }
    // Shared values: they stand in each file that needs them.
    names.retain(|name| !["types", "codes"].contains(&&**name));
    names.sort();
    names
}

/// Every reference below `value`, as `(document, definition)`; `home` is the document it stands in.
fn references(value: &Value, home: &str, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(members) => {
            if let Some(place) = members.get("$ref").and_then(Value::as_str) {
                let place = place.strip_prefix(ID).unwrap_or(place);
                let (document, definition) = place.split_once("#/$defs/").unwrap_or((place, ""));
                let document = if document.is_empty() { home } else { document };
                found.insert((document.to_owned(), definition.to_owned()));
            }
            members.values().for_each(|member| references(member, home, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, home, found)),
        _ => {}
    }
}

/// One document with what it refers to below its `$defs`, each under its own `$id` (JSON Schema
/// 2020-12 §9.3, compound documents): only the definitions that are needed.
fn compound(name: &str) -> Value {
    let mut whole = source(name);
    let mut needed = BTreeSet::new();
    references(&whole, name, &mut needed);
    loop {
        let before = needed.len();
        for (document, definition) in needed.clone() {
            if document != name {
                let other = source(&document);
                let part = if definition.is_empty() { &other } else { &other["$defs"][&definition] };
                references(part, &document, &mut needed);
            }
        }
        if needed.len() == before {
            break;
        }
    }
    let others: BTreeSet<&String> =
        needed.iter().map(|(document, _)| document).filter(|d| *d != name).collect();
    for document in others {
        let mut other = source(document);
        let of_it: BTreeSet<&str> =
            needed.iter().filter(|(d, _)| d == document).map(|(_, definition)| &**definition).collect();
        if !of_it.contains("") {
            let definitions: Map<String, Value> = other["$defs"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(definition, _)| of_it.contains(definition.as_str()))
                .map(|(definition, schema)| (definition.clone(), schema.clone()))
                .collect();
            other = json!({"$id": other["$id"], "$defs": definitions});
        }
        other.as_object_mut().unwrap().shift_remove("$schema");
        if whole.get("$defs").is_none() {
            whole["$defs"] = json!({});
        }
        whole["$defs"][document.as_str()] = other;
    }
    whole
}

fn file_of(name: &str) -> String {
    format!("{}.json", name.replace(':', "-"))
}

#[test]
fn every_schema_is_published_as_one_file_that_needs_no_other() {
    let mut index = "# Schemas of messages and papers 报文与文件的 JSON Schema

JSON Schema 2020-12, made from [`schemas/`](../../schemas/README.md), which the gateway compiles and judges by; a test fails where both differ.
Each file holds what it refers to, under its own `$id`, and can be used alone. Formats such as `case-number` are explained there and annotations
to other validators; check characters and the like are said in [PROTOCOL.md](../../conformance/PROTOCOL.md) §1. Both doors:
[`openapi.local.json`](../openapi.local.json) (a region's own systems; also served at `/local/v1/openapi.json`) and
[`openapi.partner.json`](../openapi.partner.json) (between gateways).
由 `schemas/` 生成并经测试核对;每个文件自含所引用的定义,可单独使用。

| file 文件 | 内容 | document |
|---|---|---|
"
    .to_owned();
    for name in documents() {
        let whole = compound(&name);
        let file = file_of(&name);
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .build(&whole)
            .unwrap_or_else(|fault| panic!("{file} does not stand alone: {fault}"));
        published(&format!("docs/schemas/{file}"), &format!("{whole:#}\n"));
        let says = |member: &str| whole[member].as_str().unwrap_or_default();
        index += &format!("| [`{file}`]({file}) | {} | {} |\n", says("title_zh"), says("title"));
    }
    published("docs/schemas/README.md", &index);
    let listed: BTreeSet<String> =
        documents().iter().map(|name| file_of(name)).chain(["README.md".into()]).collect();
    let there = fs::read_dir(root().join("docs/schemas")).unwrap();
    let there: BTreeSet<String> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, listed);
}

#[test]
fn true_messages_meet_the_published_schemas_and_bent_ones_do_not() {
    let scene = stage();
    let validator = |file: &str| {
        let schema = json_file(&format!("docs/schemas/{file}.json"));
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).unwrap()
    };
    let (request, query) = (validator("request"), validator("license-query"));
    let (lookup, ping) = (scene.lookup().claims, scene.ping().claims);
    for good in [&lookup, &ping] {
        assert!(
            request.is_valid(good),
            "{:?}",
            request.iter_errors(good).map(|f| f.to_string()).collect::<Vec<_>>()
        );
    }
    assert!(query.is_valid(&lookup["body"]));
    assert!(validator("authorization").is_valid(&scene.authorization().claims));
    for pointer in ["/iss", "/iat", "/op", "/body", "/operator"] {
        assert!(!request.is_valid(&scene.lookup().without(pointer).claims), "{pointer}");
    }
    assert!(!request.is_valid(&scene.lookup().with("/nbf", 1).claims));
    assert!(
        !request.is_valid(&scene.lookup().with("/aud", "https://127.0.0.1").claims),
        "a reference is followed"
    );
    assert!(!query.is_valid(&scene.lookup().with("/body/mode", "copy").claims["body"]));
}

/// The paths with something in each place, and whether it is there.
const PLACES: [(&str, &str); 9] = [
    ("/v1/exchange", "/v1/exchange"),
    ("/v1/card", "/v1/card"),
    (
        "/v1/materials/{sha256}",
        "/v1/materials/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
    ("/v1/log/tongban/{region}/{half}/checkpoint", "/v1/log/tongban/421202/2030h1/checkpoint"),
    ("/v1/log/tongban/{region}/{half}/entry/{index}", "/v1/log/tongban/421202/2030h1/entry/1"),
    ("/v1/log/tongban/{region}/{half}/tile/{level}/{n}", "/v1/log/tongban/421202/2030h1/tile/0/000"),
    (
        "/v1/log/tongban/{region}/{half}/tile/{level}/{n}.p/{width}",
        "/v1/log/tongban/421202/2030h1/tile/0/000.p/1",
    ),
    ("/v1/log/add-checkpoint", "/v1/log/add-checkpoint"),
    ("/v1/witness", "/v1/witness"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_doors_are_published_as_they_are_served() {
    let world = World::start().await;
    let served = world.xianan.local().get("/local/v1/openapi.json").await;
    let text = String::from_utf8(served.body.to_vec()).unwrap();
    published("docs/openapi.local.json", &text);
    assert_eq!(text, include_str!("../../schemas/local-openapi.json"));
    let partner = json_file("docs/openapi.partner.json");
    let mut listed: BTreeSet<&str> =
        partner["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let line = world.line().await;
    let last = ("/v1/log/{origin}/checkpoint", format!("/v1/log/{}/checkpoint", "0".repeat(64)));
    for (path, place) in PLACES.into_iter().map(|(path, place)| (path, place.to_owned())).chain([last]) {
        assert!(listed.remove(path), "{path}");
        let methods: BTreeSet<String> =
            partner["paths"][path].as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        // A place that there is knows which methods it has.
        let told = line.call(hyper::Method::DELETE, &place, &[], Vec::new()).await.unwrap();
        assert_eq!(told.status, 405, "{place}");
        let allowed = told.header("allow").unwrap();
        assert!(methods.contains(allowed), "{place}: {allowed}");
        assert!(partner["paths"][path][allowed.to_lowercase()]["responses"]["405"].is_object());
    }
    assert!(listed.is_empty(), "described, but not served: {listed:?}");
    assert_eq!(line.get("/v1/other").await.status, 404);
}

#[test]
fn the_partner_door_is_described_by_the_schemas_the_gateway_judges_with() {
    let mut partner = json_file("docs/openapi.partner.json");
    let components = partner["components"]["schemas"].as_object_mut().unwrap();
    for schema in components.values_mut() {
        if let Some(source) = schema["x-source"].as_str().map(str::to_owned) {
            *schema = Bundle::plain(&source);
        }
    }
    published("docs/openapi.partner.json", &format!("{partner:#}\n"));
    // Every reference leads somewhere, and every component can be judged by.
    let shapes = Shapes::of(&partner);
    for name in partner["components"]["schemas"].as_object().unwrap().keys() {
        drop(shapes.validator(&json!({"$ref": format!("#/components/schemas/{name}")})));
    }
    let exchange = &partner["paths"]["/v1/exchange"]["post"];
    let ops: BTreeSet<&str> =
        exchange["x-operations"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(ops, Op::ALL.map(Op::name).into());
    // Hubs alone loop; a material has its own path.
    let elsewhere = [Code::RelayLoop, Code::UnknownMaterial];
    for code in Code::ALL.iter().filter(|code| !elsewhere.contains(code)) {
        let response = &exchange["responses"][code.status().to_string()];
        let kind =
            if code.signed() { "application/tongban-response+jwt" } else { "application/problem+json" };
        assert!(response["content"][kind].is_object(), "{code:?}");
    }
    let scene = stage();
    let request = |op: &str| shapes.validator(&exchange["x-operations"][op]["request"]);
    assert!(request("ping").is_valid(&scene.ping().claims));
    assert!(request("license.query").is_valid(&scene.lookup().claims));
    assert!(!request("license.query").is_valid(&scene.lookup().with("/body/mode", "copy").claims));
    assert!(!request("ping").is_valid(&scene.lookup().claims));
}
