//! 免证办: a material without a way is shown in the first way of the agreement's order that is
//! possible: shared data, the department's timed verification, a commitment, an upload
//! (protocol §6.4). Nobody is asked for paper before the ways that need none were tried.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Undone;
use super::hints::{self, Hints, no_way};
use super::plan::SubmitPlan;
use super::verification::NewQuestion;
use crate::answer::Refusal;
use crate::case::MaterialTerms;
use crate::casebook::Write;
use crate::clock::Now;
use crate::domain::{Evidence, Region};
use crate::envelope::{self, Op};
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
            let Some(terms) = plan.terms_of_hints(&material).cloned() else {
                let told = |name: &str| material.get(name).cloned().unwrap_or_default();
                shown.told.push(json!({"code": told("code"), "evidence": told("evidence")}));
                resolved.push(material);
                continue;
            };
            let hints = Hints::new(&material, &terms, &pointer);
            let work = Work { house: self, plan, terms: &terms, hints, now };
            match work.resolve(&mut shown).await? {
                Some(material) => resolved.push(material),
                None => faults.push(no_way(&pointer)),
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
    hints: Hints<'a>,
    now: Now,
}

impl Work<'_> {
    async fn resolve(&self, shown: &mut Shown) -> Result<Option<Value>, Undone> {
        let mut tried = Vec::new();
        for way in self.terms.evidence.iter().copied() {
            let found = match way {
                Evidence::SharedData => self.shared_data(&mut tried).await,
                Evidence::TimedVerification => self.timed_verification(shown)?,
                Evidence::Commitment => {
                    self.hints.get("commitment").map(|commitment| json!({"commitment": commitment}))
                }
                Evidence::Upload => self.hints.get("upload").cloned(),
            };
            let Some(Value::Object(proof)) = found else { continue };
            let material = hints::shown(&self.hints, way, proof);
            shown.told.push(json!({
                "code": self.terms.code,
                "evidence": way.name(),
                "exchange": material.get("exchange"),
                "verification": material.get("verification"),
                "tried": tried,
            }));
            return Ok(Some(material));
        }
        Ok(None)
    }

    fn ask(&self) -> Region {
        self.hints.ask(self.plan.to).unwrap_or(self.plan.to)
    }

    /// A lookup; its exchange id goes into the case.
    async fn shared_data(&self, tried: &mut Vec<Value>) -> Option<Value> {
        let body = self.hints.lookup()?;
        let mut business = self.plan.business.clone();
        if let Some(authorization) = self.hints.get("authorization") {
            business.insert("authorization".into(), authorization.clone());
        }
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
        let Some(body) = self.hints.question() else { return Ok(None) };
        let id = envelope::new_message_id();
        let question = NewQuestion {
            id: &id,
            to: self.ask(),
            case: self.plan.number.as_str(),
            limit: self.plan.terms.verification_limit,
            business: &self.plan.business,
            body,
            pointer: self.hints.pointer.to_owned(),
        };
        shown.writes.extend(self.house.question_ours(question, self.now)?);
        Ok(Some(json!({"verification": id})))
    }
}
