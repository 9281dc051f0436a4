//! 免证办: a material without a way is shown in the first way of the agreement's order that is
//! possible: shared data, the department's timed verification, a commitment, an upload
//! (protocol §6.4). Nobody is asked for paper before the ways that need none were tried.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Undone;
use super::ours::SubmitPlan;
use super::verification::NewQuestion;
use crate::answer::Refusal;
use crate::case::MaterialTerms;
use crate::casebook::Write;
use crate::clock::Now;
use crate::domain::{Evidence, Region};
use crate::envelope::{self, Op};
use crate::fault::Fault;
use crate::house::House;
use crate::outbound::{self, Question};

/// What became of a submit's materials.
#[derive(Default)]
pub(super) struct Shown {
    /// Per material: how it is shown, and what was tried before.
    pub told: Vec<Value>,
    /// Questions to departments that go with the case.
    pub writes: Vec<Write>,
}

/// What a local submit may say of a material that is still to be shown, besides `code` and
/// `name`.
const HINTS: [&str; 9] =
    ["ask", "license", "fields", "authorization", "claims", "question", "commitment", "upload", "name"];

impl House {
    /// Gives every material of the plan its evidence.
    pub(super) async fn resolve_materials(
        self: &Arc<Self>,
        plan: &mut SubmitPlan,
        now: Now,
    ) -> Result<Shown, Undone> {
        let mut shown = Shown::default();
        let mut faults = Vec::new();
        let materials = plan.body.get("materials").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut resolved = Vec::with_capacity(materials.len());
        for (nth, material) in materials.into_iter().enumerate() {
            let pointer = format!("/body/materials/{nth}");
            let code = material.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
            let terms = plan.terms.material(&code).cloned();
            let (Some(terms), None) = (terms, material.get("evidence")) else {
                shown.told.push(json!({"code": code, "evidence": material.get("evidence")}));
                resolved.push(material);
                continue;
            };
            let work = Work { house: self, plan, terms: &terms, hints: &material, pointer: &pointer, now };
            match work.resolve(&mut shown).await? {
                Some(material) => resolved.push(material),
                None => {
                    let words = ("cannot be shown in any agreed way with what is given", "无可用的提供方式");
                    faults.push(Fault::new(pointer, "way", words.0, words.1));
                }
            }
        }
        if !faults.is_empty() {
            return Err(Refusal::schema(faults).into());
        }
        if let Some(body) = plan.body.as_object_mut() {
            body.insert("materials".into(), resolved.into());
        }
        Ok(shown)
    }
}

struct Work<'a> {
    house: &'a Arc<House>,
    plan: &'a SubmitPlan,
    terms: &'a MaterialTerms,
    hints: &'a Value,
    pointer: &'a str,
    now: Now,
}

impl Work<'_> {
    async fn resolve(&self, shown: &mut Shown) -> Result<Option<Value>, Undone> {
        let known = |name: &str| name == "code" || HINTS.contains(&name);
        if self.hints.as_object().is_some_and(|hints| hints.keys().any(|name| !known(name))) {
            let words = ("has a member that is not known here", "含有未知成员");
            let fault = Fault::new(self.pointer, "additionalProperties", words.0, words.1);
            return Err(Refusal::schema(vec![fault]).into());
        }
        let mut tried = Vec::new();
        for way in &self.terms.evidence {
            let found = match way {
                Evidence::SharedData => self.shared_data(&mut tried).await,
                Evidence::TimedVerification => self.timed_verification(shown)?,
                Evidence::Commitment => {
                    self.hints.get("commitment").map(|commitment| json!({"commitment": commitment}))
                }
                Evidence::Upload => self.hints.get("upload").cloned(),
            };
            let Some(Value::Object(proof)) = found else { continue };
            let mut material = Map::new();
            material.insert("code".into(), self.terms.code.clone().into());
            material.insert("name".into(), self.name());
            material.insert("evidence".into(), way.name().into());
            material.extend(proof);
            shown.told.push(json!({
                "code": self.terms.code,
                "evidence": way.name(),
                "exchange": material.get("exchange"),
                "verification": material.get("verification"),
                "tried": tried,
            }));
            return Ok(Some(Value::Object(material)));
        }
        Ok(None)
    }

    fn name(&self) -> Value {
        self.hints.get("name").cloned().unwrap_or_else(|| self.terms.name.clone().into())
    }

    fn ask(&self) -> Region {
        let named = self.hints.get("ask").and_then(Value::as_str);
        named.and_then(|region| Region::parse(region).ok()).unwrap_or(self.plan.to)
    }

    /// The license the material stands for, with its holder.
    fn license(&self) -> Option<Value> {
        let given = self.hints.get("license")?;
        let kind = given.get("type").cloned().or_else(|| self.terms.license.clone().map(Value::from))?;
        let mut license = given.as_object()?.clone();
        license.insert("type".into(), kind);
        Some(Value::Object(license))
    }

    /// A lookup; its exchange id goes into the case.
    async fn shared_data(&self, tried: &mut Vec<Value>) -> Option<Value> {
        let (license, fields) = self.license().zip(self.hints.get("fields").cloned())?;
        let mut business = self.plan.business.clone();
        if let Some(authorization) = self.hints.get("authorization") {
            business.insert("authorization".into(), authorization.clone());
        }
        let body = json!({"license": license, "mode": "read", "fields": fields});
        let question = Question { to: self.ask(), op: Op::LicenseQuery, business, body };
        // Spawned: an exchange that was sent is brought to its end whoever hangs up.
        let asked = tokio::spawn(outbound::ask(self.house.clone(), question)).await;
        let (exchange, reason) = match asked {
            Ok(Ok(answered)) => {
                let found = answered.outcome.get("found").and_then(Value::as_bool) == Some(true);
                let code = answered.outcome.get("code").and_then(Value::as_str).unwrap_or("not-found");
                (found.then_some(answered.exchange), code.to_owned())
            }
            Ok(Err((_, fault))) => (None, fault.word().to_owned()),
            Err(_) => (None, "interrupted".to_owned()),
        };
        if exchange.is_none() {
            tried.push(json!({"evidence": Evidence::SharedData.name(), "reason": reason}));
        }
        exchange.map(|exchange| json!({"exchange": exchange}))
    }

    /// A question to the department; it leaves with the case.
    fn timed_verification(&self, shown: &mut Shown) -> Result<Option<Value>, Undone> {
        let Some((license, question)) = self.license().zip(self.hints.get("question")) else {
            return Ok(None);
        };
        let id = envelope::new_message_id();
        let holder_only = json!({"type": license.get("type"), "holder": license.get("holder")});
        let body = json!({
            "material": self.terms.code,
            "license": holder_only,
            "claims": self.hints.get("claims").cloned().unwrap_or_else(|| json!({})),
            "question": question,
        });
        let question = NewQuestion {
            id: &id,
            to: self.ask(),
            case: self.plan.number.as_str(),
            limit: self.plan.terms.verification_limit,
            business: &self.plan.business,
            body,
            pointer: self.pointer.to_owned(),
        };
        shown.writes.extend(self.house.question_ours(question, self.now)?);
        Ok(Some(json!({"verification": id})))
    }
}
