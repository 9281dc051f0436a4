//! Sends what the description describes, and what it does not, to both regions' own doors: every
//! answer comes soon, has a described status and a described shape, and blames the caller, a
//! partner or a full house, never the gateway itself.

use std::collections::HashMap;
use std::time::Duration;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::description;
use super::odd::{Call, distort};
use super::shapes::{Chance, Shapes};
use crate::support::*;

/// Calls to each door.
const CALLS: usize = 1500;
/// A body beyond this may be refused before it was written (bytes).
const LARGE: usize = 32 * 1024;
/// No call may hang. Far above what a partner's silence costs here.
const SOON: Duration = Duration::from_secs(10);

const OPS: [&str; 6] = [
    "license.query",
    "application.submit",
    "application.event",
    "application.status",
    "verification.request",
    "verification.answer",
];

/// One operation of the description.
pub struct Operation {
    pub method: String,
    pub path: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    pub responses: Map<String, Value>,
}

pub fn operations(description: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let shared = item["parameters"].as_array().cloned().unwrap_or_default();
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            let own = operation["parameters"].as_array().cloned().unwrap_or_default();
            found.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                parameters: shared.iter().chain(&own).cloned().collect(),
                body: operation["requestBody"]["content"]
                    .get("application/json")
                    .map(|c| c["schema"].clone()),
                responses: operation["responses"].as_object().unwrap().clone(),
            });
        }
    }
    found
}

/// What is known of a door by now, to be asked for again.
#[derive(Default)]
struct Known {
    cases: Vec<String>,
    ids: Vec<String>,
}

struct Caller {
    shapes: Shapes,
    validators: HashMap<String, Validator>,
    chance: Chance,
    known: Known,
}

impl Caller {
    fn draw(&mut self, operation: &Operation) -> Call {
        let (path, placed) = self.path(operation);
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut body = Vec::new();
        if let Some(schema) = &operation.body {
            let kind = if self.chance.one_in(40) { "text/plain" } else { "application/json" };
            headers.push(("content-type".into(), kind.to_owned()));
            body = self.body(schema);
        } else if operation.method == "PUT" {
            headers.push((
                "content-digest".into(),
                tongban::material::MaterialDigest::of(b"abc").content_digest(),
            ));
            body = b"abc".to_vec();
        }
        let key = operation.parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
        if key && self.chance.one_in(4) {
            let keys = ["k", "another", "", &"k".repeat(129)].map(str::to_owned);
            headers.push(("idempotency-key".into(), self.chance.pick(&keys).clone()));
        }
        Call { method: operation.method.clone(), path, headers, body, placed, ..Call::default() }
    }

    fn path(&mut self, operation: &Operation) -> (String, bool) {
        let mut placed = true;
        let parts: Vec<String> = operation
            .path
            .split('/')
            .map(|part| {
                if !part.starts_with('{') {
                    return part.to_owned();
                }
                let odd = ["x", "%2e%2e", "K", "%00", &"9".repeat(2000)].map(str::to_owned);
                let known = match part {
                    "{case}" => self.known.cases.clone(),
                    "{region}" => vec![XIANAN.to_owned(), YUHUAN.to_owned(), "110101".to_owned()],
                    "{sha256}" => vec![tongban::material::MaterialDigest::of(b"abc").to_string()],
                    _ => self.known.ids.clone(),
                };
                if known.is_empty() || self.chance.one_in(6) {
                    placed = false;
                    self.chance.pick(&odd).clone()
                } else {
                    self.chance.pick(&known).clone()
                }
            })
            .collect();
        let mut asked = Vec::new();
        for parameter in operation.parameters.iter().filter(|parameter| parameter["in"] == "query") {
            if self.chance.one_in(2) {
                let name = parameter["name"].as_str().unwrap();
                let value = match self.shapes.made(&parameter["schema"], &mut self.chance, 0) {
                    Value::String(text) if !self.chance.one_in(4) => encoded(&text),
                    _ => (*self.chance.pick(&["", "-1", "%ff", "ALL", "99999999999999999999", "1=2"]))
                        .to_owned(),
                };
                asked.push(format!("{name}={value}"));
            }
        }
        let query = if asked.is_empty() { String::new() } else { format!("?{}", asked.join("&")) };
        (format!("{}{query}", parts.join("/")), placed)
    }

    fn body(&mut self, schema: &Value) -> Vec<u8> {
        let mut body = self.shapes.made(schema, &mut self.chance, 0);
        let bends = *self.chance.pick(&[0, 0, 1, 2]);
        for _ in 0..bends {
            bend(&mut body, &mut self.chance);
        }
        let mut bytes = body.to_string().into_bytes();
        match self.chance.below(30) {
            0 => bytes.truncate(self.chance.below(bytes.len())),
            1 => bytes = b"{\"a\":1,\"a\":2}".to_vec(),
            2 => bytes = b"{\"a\":\"\xff\"}".to_vec(),
            3 => bytes.clear(),
            4 => bytes = vec![b' '; 300 * 1024],
            5 => bytes = [b"{\"a\":".repeat(40), b"1".to_vec(), b"}".repeat(40)].concat(),
            _ => {}
        }
        bytes
    }

    /// The answer against the description; what it tells is kept.
    fn judge(&mut self, operation: &Operation, call: &Call, told: &Told) {
        let what = || {
            let sent: String = call.shown().chars().take(2000).collect();
            let answer: String = String::from_utf8_lossy(&told.body).chars().take(600).collect();
            format!("{sent}\n→ {} {answer}", told.status)
        };
        // HEAD has no body to look at.
        if call.refused_by_http(told) || call.method == "HEAD" {
            assert!(told.status < 500, "{}", what());
            return;
        }
        let described = operation.responses.get(&told.status.to_string());
        let described = described.unwrap_or_else(|| panic!("not described: {}", what()));
        assert!(told.status < 500 || [502, 503, 504].contains(&told.status), "{}", what());
        let kind = told.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap().to_owned();
        let content = described["content"].as_object();
        assert_eq!(content.is_none(), told.body.is_empty(), "a body where one is described: {}", what());
        let Some(content) = content.and_then(|content| content.get(&kind)) else {
            assert!(content.is_none(), "{kind} is not described: {}", what());
            return;
        };
        let Some(schema) = content.get("schema") else { return };
        if !kind.contains("json") {
            return;
        }
        let answer = told.json();
        let shapes = &self.shapes;
        let validator = self.validators.entry(schema.to_string()).or_insert_with(|| shapes.validator(schema));
        let faults: Vec<_> =
            validator.iter_errors(&answer).map(|f| format!("{} {f}", f.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:?}: {}", what());
        self.learn(&answer);
    }

    fn learn(&mut self, answer: &Value) {
        const KEPT: usize = 24;
        if let Some(case) = answer["case"].as_str().filter(|_| self.known.cases.len() < KEPT) {
            self.known.cases.push(case.to_owned());
        }
        for list in ["verifications", "parcels"] {
            let ids = answer[list].as_array().into_iter().flatten().filter_map(|line| line["id"].as_str());
            for id in ids.map(str::to_owned) {
                if self.known.ids.len() < KEPT && !self.known.ids.contains(&id) {
                    self.known.ids.push(id);
                }
            }
        }
    }
}

/// One member or item becomes something else.
pub fn bend(value: &mut Value, chance: &mut Chance) {
    let deeper = match value {
        Value::Object(members) => !members.is_empty() && !chance.one_in(4),
        Value::Array(items) => !items.is_empty() && !chance.one_in(4),
        _ => false,
    };
    if deeper {
        match value {
            Value::Object(members) => {
                let at = chance.below(members.len());
                return bend(members.values_mut().nth(at).unwrap(), chance);
            }
            Value::Array(items) => {
                let at = chance.below(items.len());
                return bend(&mut items[at], chance);
            }
            _ => {}
        }
    }
    match (chance.below(12), &mut *value) {
        (0..4, Value::Object(members)) if !members.is_empty() => {
            let name = members.keys().nth(chance.below(members.len())).unwrap().clone();
            members.remove(&name);
        }
        (4..6, Value::Object(members)) => {
            members.insert("odd".into(), json!({"deep": [[[1]]]}));
        }
        (6, Value::Array(items)) => items.extend((0..80).map(|n| json!(n))),
        (n, _) => {
            // What is no strict JSON of the protocol is refused before it is looked at: rarer.
            let strict = [
                json!(null),
                json!(true),
                json!(-1),
                json!(""),
                json!("x".repeat(9000)),
                json!("４２１２０２"),
                json!([]),
                json!({}),
                json!([{}, null]),
                json!(0),
                json!("x"),
                json!(9_007_199_254_740_991_i64),
            ];
            let odd = [
                json!(1.5),
                json!(9_007_199_254_740_993_i64),
                json!("\u{202e}"),
                json!([[[[[[[[[[[[1]]]]]]]]]]]]),
            ];
            *value = if chance.one_in(8) { chance.pick(&odd).clone() } else { strict[n].clone() };
        }
    }
}

/// For a query: what is no letter or digit as its bytes.
fn encoded(text: &str) -> String {
    let byte =
        |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).take(3000).collect()
}

/// Working days of the world's years: a deadline can be reckoned.
fn calendar(dir: &std::path::Path) {
    for year in [2030, 2031] {
        let calendar = json!({"year": year, "notice": "测试", "published": "2029-11-05",
                              "off": [format!("{year}-01-01")], "work": []});
        std::fs::write(dir.join(format!("{year}.json")), calendar.to_string()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_the_answer_is_one_that_is_described() {
    let folder = tempfile::tempdir().unwrap();
    calendar(folder.path());
    let world = World::plan()
        .agreement(|agreement| agreement["items"][0]["ops"] = json!(OPS))
        .configured(&format!("\n[calendar]\nfolder = \"{}\"\n", folder.path().display()))
        .asking()
        .start()
        .await;
    let description = description();
    let operations = operations(&description);
    let talkative: Vec<&Operation> = operations.iter().filter(|operation| operation.body.is_some()).collect();
    let mut taken = 0;
    for (seed, door) in [(0x5eed_0001, world.yuhuan.local()), (0x5eed_0002, world.xianan.local())] {
        let mut caller = Caller {
            shapes: Shapes::of(&description).with_edges(),
            validators: HashMap::new(),
            chance: Chance(seed),
            known: Known { cases: vec![CASE.to_owned()], ..Known::default() },
        };
        for _ in 0..CALLS {
            // The ones with a body are the ones with something to get wrong.
            let mut operation = &operations[caller.chance.below(operations.len())];
            if operation.body.is_none() && caller.chance.one_in(2) {
                operation = talkative[caller.chance.below(talkative.len())];
            }
            let mut call = caller.draw(operation);
            if caller.chance.one_in(20) {
                distort(&mut call, &mut caller.chance);
            }
            let same = |other: &&Operation| other.path == operation.path && other.method == call.method;
            let operation = operations.iter().find(same).unwrap_or(operation);
            let headers: Vec<(&str, &str)> =
                call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = door.try_call(&call.method, &call.path, &headers, call.body.clone().into());
            let told = tokio::time::timeout(SOON, answer).await;
            let told = match told.unwrap_or_else(|_| panic!("hangs: {}", call.shown())) {
                Ok(told) => told,
                // Whoever refuses a large body unread may hang up on its sender.
                Err(why) => {
                    assert!(call.odd || call.body.len() > LARGE, "{why}: {}", call.shown());
                    continue;
                }
            };
            taken += usize::from(told.status == 202 && operation.body.is_some());
            caller.judge(operation, &call, &told);
        }
    }
    assert!(taken > 50, "the valid ones are taken: {taken}");
}
