//! Whether an answer is what its step expects.

use serde_json::Value;

use super::super::message::Message;
use super::super::signed::{Exchange, believe};
use super::super::wire::Answer;
use super::steps::Play;
use super::{Stopped, checks, trail};

/// An answer that was as expected; for steps that look back at it.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub answer: Answer,
    /// Of a signed response.
    pub claims: Option<Value>,
}

impl Heard {
    pub(super) fn result(&self) -> Option<&Value> {
        self.claims.as_ref()?.get("result")
    }
}

/// An answer and what is expected of it.
pub(super) struct Judged<'a> {
    pub expect: &'a Value,
    pub answer: &'a Answer,
    /// What it answers, when that was a message.
    pub message: Option<&'a Message>,
}

impl Play<'_> {
    pub(super) async fn judge(&mut self, judged: &Judged<'_>) -> Result<Heard, Stopped> {
        let (expect, answer) = (judged.expect, judged.answer);
        self.trail.came = Some(trail::answer(answer));
        let status = expect.get("status").and_then(Value::as_u64);
        let signed = expect.get("signed").and_then(Value::as_bool);
        let claims = match (signed, judged.message) {
            (Some(true), Some(message)) => {
                Some(self.believed(judged, message).map_err(|why| said(judged, why))?)
            }
            _ => None,
        };
        let heard = Heard { answer: answer.clone(), claims };
        if status.is_some_and(|status| status != u64::from(answer.status)) {
            return Err(said(judged, String::new()));
        }
        if signed == Some(false) {
            unsigned(answer).map_err(|why| said(judged, why))?;
        }
        let problem = match &heard.claims {
            Some(claims) => claims.get("problem").cloned(),
            None => serde_json::from_slice(&answer.body).ok(),
        };
        refused_as(expect, problem.as_ref()).map_err(|why| said(judged, why))?;
        self.resulted(expect, &heard)?;
        for (name, value) in expect.get("headers").and_then(Value::as_object).into_iter().flatten() {
            let found = answer.header(name).unwrap_or_default();
            if !value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(found)) {
                return Err(format!("expected the header {name}: {value}, got {found}").into());
            }
        }
        for check in expect.get("check").and_then(Value::as_array).into_iter().flatten() {
            let check = check.as_str().unwrap_or_default();
            checks::check(self, check, judged, &heard, problem.as_ref()).await?;
        }
        if let Some(members) = expect.get("leaf").and_then(Value::as_object) {
            checks::leaf_has(self, members, &heard)?;
        }
        Ok(heard)
    }

    fn believed(&self, judged: &Judged<'_>, message: &Message) -> Result<Value, String> {
        let scene = &self.stage.ground.scene;
        let target = scene.members().find(|(name, _)| *name == self.stage.target);
        let keys = target.map(|(_, member)| scene.jwks(member)).unwrap_or_default();
        let exchange = Exchange {
            iss: scene.urn(self.stage.target),
            aud: scene.urn(&message.sender),
            keys: &keys,
            request: &message.body,
            request_claims: &message.claims,
            now: self.stage.clock.now().secs(),
        };
        believe(judged.answer, &exchange)
    }

    fn resulted(&self, expect: &Value, heard: &Heard) -> Result<(), Stopped> {
        for (pointer, wanted) in expect.get("result").and_then(Value::as_object).into_iter().flatten() {
            let wanted = self.moment.fill(wanted)?;
            let found = heard.result().and_then(|result| result.pointer(pointer));
            if found != Some(&wanted) {
                let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
                return Err(format!("expected {wanted} at {pointer} of the result, got {found}").into());
            }
        }
        for pointer in expect.get("absent").and_then(Value::as_array).into_iter().flatten() {
            let pointer = pointer.as_str().unwrap_or_default();
            if heard.result().is_some_and(|result| result.pointer(pointer).is_some()) {
                return Err(format!("there is something at {pointer} of the result").into());
            }
        }
        Ok(())
    }
}

/// An unsigned refusal is a problem (clause R-2) of its own status.
fn unsigned(answer: &Answer) -> Result<(), String> {
    let media_type = answer.header("content-type").unwrap_or_default();
    if !media_type.starts_with("application/problem+json") {
        return Err(format!("expected an unsigned problem, got {media_type}"));
    }
    let problem: Value = serde_json::from_slice(&answer.body).map_err(|_| "the problem is no JSON")?;
    if problem.get("status").and_then(Value::as_u64) != Some(answer.status.into()) {
        return Err("the problem's status is not HTTP's".into());
    }
    Ok(())
}

/// Code, reason, rule and pointers of a refusal.
fn refused_as(expect: &Value, problem: Option<&Value>) -> Result<(), String> {
    let found = |name: &str| problem.and_then(|problem| problem.get(name)?.as_str()).unwrap_or("none");
    for name in ["code", "reason"] {
        if let Some(wanted) = expect.get(name).and_then(Value::as_str)
            && wanted != found(name)
        {
            return Err(format!("its {name} is {}", found(name)));
        }
    }
    let errors = problem.and_then(|problem| problem.get("errors")?.as_array());
    let errors = errors.map_or(&[][..], Vec::as_slice);
    let told = |name: &str, wanted: &Value| errors.iter().any(|error| error.get(name) == Some(wanted));
    for pointer in expect.get("errors").and_then(Value::as_array).into_iter().flatten() {
        if !told("pointer", pointer) {
            let pointers: Vec<_> = errors.iter().filter_map(|error| error.get("pointer")?.as_str()).collect();
            return Err(format!("no error at {pointer}, but at {pointers:?}"));
        }
    }
    match expect.get("rule") {
        Some(rule) if !told("rule", rule) => Err(format!("no error of the rule {rule}")),
        _ => Ok(()),
    }
}

/// Expected and found in one line.
fn said(judged: &Judged<'_>, why: String) -> Stopped {
    let word = |name: &str| judged.expect.get(name).map(|value| format!(" {value}")).unwrap_or_default();
    let signed = match judged.expect.get("signed").and_then(Value::as_bool) {
        Some(true) => " signed",
        Some(false) => " unsigned",
        None => "",
    };
    let wanted = format!("expected{}{signed}{}{}", word("status"), word("code"), word("reason"));
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let came = super::steps::word_of(&Ok(judged.answer.clone()));
    Stopped::Failed(format!("{wanted}; got {} {came}{why}", judged.answer.status))
}
