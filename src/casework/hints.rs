//! What a local submit says of materials that are still to be shown, and whether it holds:
//! judged whole before anybody is asked, so that no authorization is used up for a submit
//! that could not be taken.

use serde_json::{Map, Value, json};

use super::Undone;
use super::plan::SubmitPlan;
use crate::answer::{Code, Refusal};
use crate::case::{MaterialTerms, VerificationRequestBody};
use crate::clock::Now;
use crate::domain::{Evidence, Region};
use crate::fault::Fault;
use crate::house::House;
use crate::license::LicenseQuery;
use crate::schema::Admissible;

/// The members besides `code`.
const HINTS: [&str; 9] =
    ["ask", "license", "fields", "authorization", "claims", "question", "commitment", "upload", "name"];

/// An id of the right form, where the true one is not known yet.
const SOME_ID: &str = "0000000000000000000000";

/// One material's hints.
#[derive(Clone, Copy)]
pub(super) struct Hints<'a> {
    given: &'a Value,
    terms: &'a MaterialTerms,
    /// Where they stand in the local request.
    pub pointer: &'a str,
}

impl<'a> Hints<'a> {
    pub fn new(given: &'a Value, terms: &'a MaterialTerms, pointer: &'a str) -> Self {
        Self { given, terms, pointer }
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.given.get(name)
    }

    pub fn name(&self) -> Value {
        self.get("name").cloned().unwrap_or_else(|| self.terms.name.clone().into())
    }

    /// Whose register or department is asked: the handling side's, or who is named.
    pub fn ask(&self, handling: Region) -> Option<Region> {
        match self.get("ask") {
            None => Some(handling),
            Some(named) => named.as_str().and_then(|named| Region::parse(named).ok()),
        }
    }

    /// The license the material stands for, with its holder.
    fn license(&self) -> Option<Value> {
        let given = self.get("license")?;
        let kind = given.get("type").cloned().or_else(|| self.terms.license.clone().map(Value::from))?;
        let mut license = given.as_object()?.clone();
        license.insert("type".into(), kind);
        Some(Value::Object(license))
    }

    /// The body of a lookup, if enough is given for one.
    pub fn lookup(&self) -> Option<Value> {
        let (license, fields) = self.license().zip(self.get("fields"))?;
        Some(json!({"license": license, "mode": "read", "fields": fields}))
    }

    /// The body of a question to the department, without id and due, if enough is given.
    pub fn question(&self) -> Option<Value> {
        let (license, question) = self.license().zip(self.get("question"))?;
        Some(json!({
            "material": self.terms.code,
            "license": {"type": license.get("type"), "holder": license.get("holder")},
            "claims": self.get("claims").cloned().unwrap_or_else(|| json!({})),
            "question": question,
        }))
    }

    /// Whether enough is given for this way.
    fn allows(&self, way: Evidence) -> bool {
        match way {
            Evidence::SharedData => self.lookup().is_some(),
            Evidence::TimedVerification => self.question().is_some(),
            Evidence::Commitment => self.get("commitment").is_some(),
            Evidence::Upload => self.get("upload").is_some(),
        }
    }

    fn faults(&self, house: &House, plan: &SubmitPlan, now: Now) -> Vec<Fault> {
        let mut faults = Vec::new();
        let known = |name: &str| name == "code" || HINTS.contains(&name);
        if self.given.as_object().is_some_and(|given| given.keys().any(|name| !known(name))) {
            let words = ("has a member that is not known here", "含有未知成员");
            faults.push(Fault::new("", "additionalProperties", words.0, words.1));
        }
        if self.ask(plan.to).is_none_or(|asked| asked == house.me) {
            let words = ("is not the region code of a partner", "不是伙伴的行政区划代码");
            faults.push(Fault::new("/ask", "region", words.0, words.1));
        }
        if self.get("authorization").is_some_and(|given| !given.is_string()) {
            faults.push(Fault::new("/authorization", "type", "must be a string", "必须是字符串"));
        }
        let ways = || self.terms.evidence.iter().copied();
        if let Some(body) = self.lookup().filter(|_| ways().any(|way| way == Evidence::SharedData)) {
            faults.extend(told::<LicenseQuery>(house, &body, now));
        }
        if let Some(mut body) =
            self.question().filter(|_| ways().any(|way| way == Evidence::TimedVerification))
            && let Some(whole) = body.as_object_mut()
        {
            whole.insert("id".into(), SOME_ID.into());
            whole.insert("due".into(), "2030-01-01T00:00:00+08:00".into());
            let more = told::<VerificationRequestBody>(house, &body, now);
            let known: Vec<String> = faults.iter().map(|fault| fault.pointer.clone()).collect();
            faults.extend(more.into_iter().filter(|fault| !known.contains(&fault.pointer)));
        }
        if !ways().any(|way| self.allows(way)) {
            faults.push(no_way(""));
        }
        faults.into_iter().map(|fault| fault.under(self.pointer)).collect()
    }

    /// A proof of the right shape, so that everything else of the submit can be judged; with
    /// where its own members stand among the hints.
    fn stand_in(&self) -> (Evidence, Value, &'static str) {
        if let Some(commitment) = self.get("commitment") {
            return (Evidence::Commitment, json!({"commitment": commitment}), "");
        }
        match self.get("upload") {
            Some(upload) if upload.is_object() => (Evidence::Upload, upload.clone(), "/upload"),
            _ => (Evidence::SharedData, json!({"exchange": SOME_ID}), ""),
        }
    }
}

/// The material cannot be shown.
pub(super) fn no_way(pointer: &str) -> Fault {
    let words = ("cannot be shown in any agreed way with what is given", "无可用的提供方式");
    Fault::new(pointer, "way", words.0, words.1)
}

/// A material as it stands in a submit.
pub(super) fn shown(hints: &Hints<'_>, way: Evidence, proof: Map<String, Value>) -> Value {
    let mut material = Map::new();
    material.insert("code".into(), hints.terms.code.clone().into());
    material.insert("name".into(), hints.name());
    material.insert("evidence".into(), way.name().into());
    for (name, value) in proof {
        material.entry(name).or_insert(value);
    }
    Value::Object(material)
}

fn told<T: Admissible>(house: &House, body: &Value, now: Now) -> Vec<Fault> {
    house.catalog.admit_on::<T>(body, now.shanghai_day()).err().unwrap_or_default()
}

impl House {
    /// All faults of a submit that can be told before anybody is asked.
    pub(super) fn judge_in_advance(&self, plan: &SubmitPlan, now: Now) -> Result<(), Undone> {
        let mut faults = Vec::new();
        let mut body = plan.body.clone();
        let mut stood_in: Vec<(String, Evidence, &'static str)> = Vec::new();
        let materials = body.get_mut("materials").and_then(Value::as_array_mut);
        for (nth, material) in materials.into_iter().flatten().enumerate() {
            let pointer = format!("/body/materials/{nth}");
            let Some(terms) = plan.terms_of_hints(material) else { continue };
            let hints = Hints::new(material, terms, &pointer);
            faults.extend(hints.faults(self, plan, now));
            let (way, proof, members) = hints.stand_in();
            let proof = match proof {
                Value::Object(proof) => proof,
                _ => Map::new(),
            };
            let whole = shown(&hints, way, proof);
            *material = whole;
            stood_in.push((pointer, way, members));
        }
        match self.opened_by(plan, &body, now) {
            Err(Undone::Refused(refusal)) if refusal.code == Code::SchemaViolation => {
                faults.extend(refusal.errors.into_iter().filter_map(|fault| of_the_submit(fault, &stood_in)));
            }
            Err(other) => return Err(other),
            Ok(_) => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::schema(faults).into()) }
    }
}

/// A fault of a stand-in is ours, but for what was taken from the hints.
fn of_the_submit(mut fault: Fault, stood_in: &[(String, Evidence, &'static str)]) -> Option<Fault> {
    for (pointer, way, members) in stood_in {
        let Some(inside) = fault.pointer.strip_prefix(pointer.as_str()) else { continue };
        if !(inside.is_empty() || inside.starts_with('/')) {
            continue;
        }
        let given = match way {
            Evidence::Commitment => inside.starts_with("/commitment"),
            Evidence::Upload => !inside.starts_with("/evidence") && !inside.is_empty(),
            Evidence::SharedData | Evidence::TimedVerification => false,
        };
        let named = inside.starts_with("/name");
        if !given && !named {
            return None;
        }
        if given && !named {
            fault.pointer = format!("{pointer}{members}{inside}");
        }
        return Some(fault);
    }
    Some(fault)
}
