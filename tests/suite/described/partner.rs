//! Sends the partner door what its description describes, and what it does not: signed messages
//! whose bodies and claims are made from the schemas, so that chance reaches behind the
//! signature, and calls that no partner would make. Every answer has a described status, media
//! type and shape; a refusal has its code's own status; nothing but a described "later" is a
//! 5xx; the gateway goes on answering, and its ledger holds.

mod said;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hyper::Method;
use jsonschema::Validator;
use serde_json::{Value, json};
use tongban::answer::Code;
use tongban::ledger::LedgerKey;
use tongban::ledger::verify::verify;

use super::fuzz::{Operation, operations};
use super::odd::{Call, distort};
use super::shapes::{Chance, Shapes};
use crate::support::*;

/// Calls of a run that is part of `cargo test`; `TONGBAN_FUZZ_CALLS` makes it longer.
const CALLS: u64 = 1500;
/// `TONGBAN_SEED` plays another one.
const SEED: u64 = 0x5eed_0003;
/// No call may hang. Far above what any of them costs here.
const SOON: Duration = Duration::from_secs(10);
/// Cases, and files of cases, that are remembered to be spoken of again.
const KEPT: usize = 24;
/// A body beyond this may be refused before it was written (bytes).
const LARGE: usize = 32 * 1024;

const OPS: [&str; 8] = [
    "ping",
    "license.query",
    "application.submit",
    "application.event",
    "application.status",
    "verification.request",
    "verification.answer",
    "ledger.reconcile",
];

fn description() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.partner.json")).unwrap()
}

/// A case that was taken, and what its next event continues.
#[derive(Clone)]
struct Known {
    case: String,
    next: u64,
    prev: String,
}

struct Partner<'a> {
    world: &'a World,
    schemas: Value,
    shapes: Shapes,
    validators: HashMap<String, Validator>,
    chance: Chance,
    known: Vec<Known>,
    serial: u32,
    log: LedgerKey,
    told: BTreeMap<String, usize>,
}

impl<'a> Partner<'a> {
    fn new(world: &'a World, description: &Value, seed: u64, log: LedgerKey) -> Self {
        Self {
            world,
            schemas: description["components"]["schemas"].clone(),
            shapes: Shapes::of(description).with_edges(),
            validators: HashMap::new(),
            chance: Chance(seed),
            known: Vec::new(),
            serial: 0,
            log,
            told: BTreeMap::new(),
        }
    }

    fn made(&mut self, schema: &Value) -> Value {
        self.shapes.made(schema, &mut self.chance, 0)
    }

    /// The answer against the description; what it tells is kept.
    fn judge(&mut self, operation: &Operation, call: &Call, told: &Told) {
        let what = || {
            let sent: String = call.shown().chars().take(3000).collect();
            let answer: String = String::from_utf8_lossy(&told.body).chars().take(900).collect();
            format!("{sent}\n→ {} {:?} {answer}", told.status, told.headers)
        };
        // HEAD has no body to look at.
        if call.refused_by_http(told) || call.method == "HEAD" {
            assert!(told.status < 500, "{}", what());
            *self.told.entry(format!("http {}", told.status)).or_default() += 1;
            return;
        }
        let described = operation.responses.get(&told.status.to_string());
        let described = described.unwrap_or_else(|| panic!("not described: {}", what()));
        let kind = told.header("content-type").unwrap_or_default().to_owned();
        let plain = kind.split(';').next().unwrap();
        let content = described["content"].as_object();
        if told.body.is_empty() {
            assert!(told.status < 500, "{}", what());
            let silent = content.is_none() || content.unwrap().keys().all(|kind| !kind.contains("jwt"));
            assert!(silent, "an empty body: {}", what());
            *self.told.entry(told.status.to_string()).or_default() += 1;
            return;
        }
        let content = content.and_then(|content| content.get(plain));
        let content = content.unwrap_or_else(|| panic!("{kind} is not described: {}", what()));
        let word = match plain {
            "application/tongban-response+jwt" => self.judge_signed(call, told, &what),
            "application/problem+json" => {
                self.meets(&json!({"$ref": "#/components/schemas/problem"}), &told.json(), &what);
                self.judge_problem(&told.json(), told, &what)
            }
            "application/json" => {
                self.meets(&content["schema"], &told.json(), &what);
                told.status.to_string()
            }
            _ => told.status.to_string(),
        };
        *self.told.entry(word).or_default() += 1;
    }

    fn judge_signed(&mut self, call: &Call, told: &Told, what: &dyn Fn() -> String) -> String {
        let verdict = self.world.read(told.clone(), &call.body);
        let claims = verdict.claims.clone().unwrap();
        let op = claims["op"].as_str().unwrap().to_owned();
        let known = OPS.contains(&op.as_str());
        let schema = if known { format!("response-of.{op}") } else { "response".to_owned() };
        self.meets(&json!({"$ref": format!("#/components/schemas/{schema}")}), &claims, what);
        if verdict.status >= 300 {
            return self.judge_problem(&verdict.outcome, told, what);
        }
        if let (true, Some(digest)) =
            (call.op.as_deref() == Some("application.submit"), verdict.outcome["digest"].as_str())
        {
            let case = verdict.outcome["case"].as_str().unwrap().to_owned();
            let fresh = self.known.iter().all(|known| known.case != case);
            if fresh && self.known.len() < KEPT {
                self.known.push(Known { case, next: 1, prev: digest.to_owned() });
            }
        }
        if op == "application.event" {
            let result = &verdict.outcome;
            if let Some(known) = self.known.iter_mut().find(|known| result["case"] == known.case.as_str()) {
                known.next = result["seq"].as_u64().unwrap() + 1;
                known.prev = result["digest"].as_str().unwrap().to_owned();
            }
        }
        format!("{op} {}", verdict.status)
    }

    /// A code of the table with its own status; what is the gateway's own trouble says "later".
    fn judge_problem(&self, problem: &Value, told: &Told, what: &dyn Fn() -> String) -> String {
        let word = problem["code"].as_str().unwrap();
        let code = Code::from_word(word).unwrap_or_else(|| panic!("{word}: {}", what()));
        let other = [413, 422].contains(&told.status);
        assert!(code.status() == told.status || other, "{}", what());
        if told.status >= 500 {
            assert!([503, 504].contains(&told.status), "{}", what());
            assert_eq!(problem["retry"], "after", "{}", what());
            assert!(told.header("retry-after").is_some(), "{}", what());
        }
        match problem["reason"].as_str() {
            Some(reason) => format!("{word}/{reason}"),
            None => word.to_owned(),
        }
    }

    fn meets(&mut self, schema: &Value, answer: &Value, what: &dyn Fn() -> String) {
        let shapes = &self.shapes;
        let validator = self.validators.entry(schema.to_string()).or_insert_with(|| shapes.validator(schema));
        let faults: Vec<_> =
            validator.iter_errors(answer).map(|f| format!("{} {f}", f.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:?}: {}", what());
    }
}

/// A connection over which this call can be made.
async fn line_of(world: &World, http: Http) -> Line {
    world.dial(&world.asking, http).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_partner_sends_the_answer_is_one_that_is_described() {
    let from_env = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let (calls, seed) =
        (from_env("TONGBAN_FUZZ_CALLS").unwrap_or(CALLS), from_env("TONGBAN_SEED").unwrap_or(SEED));
    let world = WorldPlan::of_cases().start().await;
    let log = LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap();
    let mut card = world.asking.card("https://127.0.0.1:9");
    let origin = "tongban/331083/2030h1";
    card["ledger"] = json!({"origin": origin, "vkey": log.vkey(origin).unwrap().to_string()});
    world.xianan.trust_card(&card);
    world.xianan.reload().await;
    let description = description();
    let operations = operations(&description);
    let (exchange, others): (Vec<_>, Vec<_>) =
        operations.iter().partition(|operation| operation.path == "/v1/exchange");
    let mut partner = Partner::new(&world, &description, seed, log);
    let mut lines = [line_of(&world, Http::One).await, line_of(&world, Http::Two).await];
    for nth in 0..calls {
        if nth % 100 == 99 {
            // Quotas fill again.
            world.clock.advance(1000);
        }
        let operation = if partner.chance.one_in(4) { *partner.chance.pick(&others) } else { exchange[0] };
        let mut call = partner.draw(operation);
        if partner.chance.one_in(12) {
            distort(&mut call, &mut partner.chance);
        }
        let same = |other: &&Operation| other.path == operation.path && other.method == call.method;
        let operation = operations.iter().find(same).unwrap_or(operation);
        let which = partner.chance.below(2);
        let headers: Vec<(&str, &str)> =
            call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = Method::from_bytes(call.method.as_bytes()).unwrap();
        let answer = lines[which].call(method, &call.path, &headers, call.body.clone());
        let told = tokio::time::timeout(SOON, answer).await;
        let told = told.unwrap_or_else(|_| panic!("hangs: {nth} {}", call.shown()));
        let told = match told {
            Ok(told) => told,
            // Whoever refuses a large body unread may hang up on its sender.
            Err(why) => {
                assert!(call.odd || call.body.len() > LARGE, "{nth} {why}: {}", call.shown());
                let http = if which == 0 { Http::One } else { Http::Two };
                lines[which] = line_of(&world, http).await;
                *partner.told.entry("hung up".into()).or_default() += 1;
                continue;
            }
        };
        // A connection that the door ends after its answer is replaced.
        if told.header("connection") == Some("close") || told.status == 413 {
            lines = [line_of(&world, Http::One).await, line_of(&world, Http::Two).await];
        }
        partner.judge(operation, &call, &told);
    }
    // Deep enough to mean something: every op succeeded, and refusals of every step were met.
    let told = &partner.told;
    for op in OPS.iter().filter(|op| !["ledger.reconcile", "verification.answer"].contains(op)) {
        let taken: usize =
            told.iter().filter(|(word, _)| word.starts_with(&format!("{op} 2"))).map(|(_, n)| n).sum();
        assert!(taken > 0, "{op} was never taken: {told:?}");
    }
    for word in [
        "malformed/JSON",
        "schema-violation",
        "unknown-case",
        "signature-invalid/signature-mismatch",
        "media-type",
    ] {
        assert!(told.contains_key(word), "{word} was never met: {told:?}");
    }
    let refusals =
        told.keys().filter(|word| Code::from_word(word.split('/').next().unwrap()).is_some()).count();
    assert!(refusals >= 20, "{told:?}");
    println!("{calls} calls with seed {seed}: {told:?}");
    assert_eq!(world.ask(world.ping()).await.status, 200, "it goes on");
    assert!(world.xianan.running().house.ledger.flush().await);
    let verdict = verify(&world.xianan.home.join("data"), None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
}
