//! The moment a case is played in: its clock, its ids, and what the directives of the case data
//! (`{"$time": 60}`, `{"$case": "here"}`, …) stand for in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Map, Value};

use super::message::{Draft, Message};
use super::scene::Scene;
use super::window::{Window, reconciliation};
use super::{b64, b64url, digest_of, sha256};
use crate::clock::Now;
use crate::domain::{CaseNumber, Region, TimeLimit, due};

/// Of the file that the scene's application names, three bytes: `abc`.
const FILE_DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A word or place in the case data that this version does not know, or that has no value here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the case data holds something unknown to this version: {0}")]
pub struct Unfilled(pub String);

/// What a message received by the partner's door says, for answers to it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub text: String,
    pub claims: Value,
}

/// One case being played.
#[derive(Clone)]
pub struct Moment {
    pub scene: Arc<Scene>,
    /// Seconds; stands still for the whole case, so that what is said twice is the same.
    pub at: i64,
    /// Makes numbers and files of this case unlike those of others.
    name: String,
    letters: [char; 4],
    /// Messages sent so far, one a step; `None` where a step sent none.
    pub sent: Vec<Option<Message>>,
    /// Bodies by the base message they came from, as they were really sent.
    pub bodies: BTreeMap<String, Value>,
}

impl Moment {
    pub fn new(scene: Arc<Scene>, at: i64) -> Self {
        Self { scene, at, name: new_id(), letters: letters(), sent: Vec::new(), bodies: BTreeMap::new() }
    }

    /// The case's own file in place of `abc`, wherever the case data speak of it.
    pub fn file(&self, text: &str) -> String {
        let own = |c: char| match "abcd".find(c) {
            Some(nth) if text.len() <= 3 => self.letters.get(nth).copied().unwrap_or(c),
            _ => c,
        };
        text.chars().map(own).collect()
    }

    /// A header value with `{sha256:…}` as RFC 9530 writes a digest.
    pub fn digest_header(&self, value: &str) -> String {
        match value.strip_prefix("{sha256:").and_then(|rest| rest.strip_suffix('}')) {
            Some(text) => format!("sha-256=:{}:", b64(&sha256(self.file(text).as_bytes()))),
            None => value.to_owned(),
        }
    }

    /// The case data with the case's own file in it.
    pub fn with_own_file(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text == FILE_DIGEST => {
                hex::encode(sha256(self.file("abc").as_bytes())).into()
            }
            Value::Array(items) => items.iter().map(|item| self.with_own_file(item)).collect(),
            Value::Object(members) => {
                let own = |(name, value): (&String, &Value)| (name.clone(), self.with_own_file(value));
                Value::Object(members.iter().map(own).collect())
            }
            other => other.clone(),
        }
    }

    pub fn case_number(&self, name: &str, collecting: &str, handling: &str) -> Result<String, Unfilled> {
        let hash = sha256(format!("{}/{name}", self.name).as_bytes());
        let serial = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 100_000_000;
        let region =
            |member: &str| Region::parse(self.scene.region(member)).map_err(|_| Unfilled(member.to_owned()));
        CaseNumber::compose(
            region(collecting)?,
            region(handling)?,
            Now::from_secs(self.at).shanghai_day(),
            serial,
        )
        .map(|case| case.as_str().to_owned())
        .map_err(|_| Unfilled("$case".into()))
    }

    /// A value of the case data outside a message, such as an expected result.
    pub fn fill(&self, value: &Value) -> Result<Value, Unfilled> {
        Filler::new(self, self.at, None).fill(&self.with_own_file(value))
    }

    /// The message that a step sent (counted from 1).
    pub fn step(&self, nth: u64) -> Result<&Message, Unfilled> {
        let nth = usize::try_from(nth).unwrap_or_default();
        let found = nth.checked_sub(1).and_then(|at| self.sent.get(at)).and_then(Option::as_ref);
        found.ok_or_else(|| Unfilled(format!("step {nth}")))
    }
}

/// Four letters from ranges of their own; no two cases of a run have the same first three.
fn letters() -> [char; 4] {
    const RANGE: u32 = 23;
    static START: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = START.get_or_init(|| {
        let random = uuid::Uuid::new_v4().as_u128() % u128::from(RANGE.pow(3));
        u32::try_from(random).unwrap_or_default()
    });
    let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let letter = |nth: u32| {
        let within = (number / RANGE.pow(nth)) % RANGE;
        char::from_u32(u32::from(b'!') + RANGE * nth + within).unwrap_or('-')
    };
    [letter(0), letter(1), letter(2), letter(3)]
}

/// 128 random bits.
pub fn new_id() -> String {
    b64url(uuid::Uuid::new_v4().as_bytes())
}

/// Turns directives into values for one message.
pub struct Filler<'a> {
    moment: &'a Moment,
    at: i64,
    request: Option<&'a Asked>,
    /// What `$new` has made for this message, by name.
    own: BTreeMap<String, String>,
    /// The change that the message's authorization gets.
    pub authorization: Option<Value>,
}

impl<'a> Filler<'a> {
    pub fn new(moment: &'a Moment, at: i64, request: Option<&'a Asked>) -> Self {
        Self { moment, at, request, own: BTreeMap::new(), authorization: None }
    }

    pub(super) fn moment(&self) -> &'a Moment {
        self.moment
    }

    /// Ids first: other members are made from them.
    pub fn fill_message(&mut self, template: &Value) -> Result<Value, Unfilled> {
        if template.get("jti").is_some_and(|jti| *jti == serde_json::json!({"$new": "id"})) {
            self.own.insert("id".into(), new_id());
        }
        self.fill(template)
    }

    pub fn fill(&mut self, value: &Value) -> Result<Value, Unfilled> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => match directive(members) {
                Some((word, argument)) => self.directive(word, argument),
                None => {
                    let mut filled = Map::new();
                    for (name, value) in members {
                        filled.insert(name.clone(), self.fill(value)?);
                    }
                    Ok(Value::Object(filled))
                }
            },
            other => Ok(other.clone()),
        }
    }

    fn directive(&mut self, word: &str, argument: &Value) -> Result<Value, Unfilled> {
        let unknown = || Unfilled(format!("${word}"));
        let text = || argument.as_str().ok_or_else(unknown);
        let number = || argument.as_i64().ok_or_else(unknown);
        let pair = || Some((argument.get(0)?, argument.get(1)?));
        let moment = self.moment;
        Ok(match word {
            "time" => (self.at + number()?).into(),
            "datetime" => shanghai(self.at + number()?, "%Y-%m-%dT%H:%M:%S+08:00").into(),
            "day" => shanghai(self.at + number()? * 86_400, "%Y-%m-%d").into(),
            "new" => self.own.entry(text()?.to_owned()).or_insert_with(new_id).clone().into(),
            "member" => moment.scene.urn(text()?).into(),
            "kid" => moment.scene.keys.kid(text()?).into(),
            "case" => moment.case_number(text()?, "asking", "answering")?.into(),
            "case_of" => {
                let (collecting, handling) = pair().ok_or_else(unknown)?;
                let name = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(unknown);
                moment.case_number("here", &name(collecting)?, &name(handling)?)?.into()
            }
            "holder" => {
                let (kind, number) = pair().ok_or_else(unknown)?;
                let (kind, number) =
                    (kind.as_str().ok_or_else(unknown)?, number.as_str().ok_or_else(unknown)?);
                let id = self.own.get("id").ok_or_else(unknown)?;
                b64url(&sha256([id.as_str(), kind, number].join("\0").as_bytes())).into()
            }
            "signed" => {
                let change = self.authorization.clone();
                Draft::of(moment, argument)?.at(self.at).build(change.as_ref(), None)?.text().into()
            }
            "event" => match moment.bodies.get(text()?) {
                Some(body) => digest_of(body).into(),
                None => {
                    let base = moment.scene.message(text()?).ok_or_else(unknown)?;
                    let body = base.pointer("/payload/body").ok_or_else(unknown)?;
                    digest_of(&moment.fill(body)?).into()
                }
            },
            "event_of" => {
                let nth = argument.as_u64().ok_or_else(unknown)?;
                digest_of(moment.step(nth)?.claims.get("body").ok_or_else(unknown)?).into()
            }
            "step" => {
                let (nth, pointer) = pair().ok_or_else(unknown)?;
                let sent = moment.step(nth.as_u64().ok_or_else(unknown)?)?;
                let pointer =
                    pointer.as_str().and_then(|p| p.strip_prefix("/payload")).ok_or_else(unknown)?;
                sent.claims.pointer(pointer).ok_or_else(unknown)?.clone()
            }
            "digest_text" => b64url(&sha256(text()?.as_bytes())).into(),
            "agreement" => {
                let found = moment.scene.agreements().find(|agreement| agreement.get("id") == Some(argument));
                digest_of(found.ok_or_else(unknown)?).into()
            }
            "due" => {
                let limit: TimeLimit = serde_json::from_value(serde_json::json!({
                    "value": argument.get(0), "unit": argument.get(1),
                }))
                .map_err(|_| unknown())?;
                let end =
                    due(Now::from_secs(self.at), limit, &moment.scene.calendar).map_err(|_| unknown())?;
                end.secs().into()
            }
            "minute" => ((self.at + number()? * 60).div_euclid(60) * 60).into(),
            "recon" => {
                reconciliation(moment, self.at, text()?, Window::long_ago(self.at)).ok_or_else(unknown)?
            }
            "origin" => moment.scene.origin(text()?, self.at).into(),
            "request" => {
                let asked = self.request.ok_or_else(unknown)?;
                let member = |pointer: &str| asked.claims.pointer(pointer).cloned().ok_or_else(unknown);
                match text()? {
                    "jti" => member("/jti")?,
                    "op" => member("/op")?,
                    "digest" => b64url(&sha256(asked.text.as_bytes())).into(),
                    "event" => digest_of(&member("/body")?).into(),
                    "verification" => member("/body/id")?,
                    _ => return Err(unknown()),
                }
            }
            _ => return Err(unknown()),
        })
    }
}

/// `{"$word": argument}`.
fn directive(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = members.iter().next().filter(|_| members.len() == 1)?;
    Some((name.strip_prefix('$')?, argument))
}

fn shanghai(secs: i64, format: &str) -> String {
    let at = Timestamp::from_second(secs).unwrap_or_default();
    Offset::constant(8).to_datetime(at).strftime(format).to_string()
}
