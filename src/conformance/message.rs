//! Messages as the case data describe them: a base message of the scene with one thing changed.

use serde_json::{Value, json};

use super::b64url;
use super::change::{REFUSALS, bent, claimed, edited, respelled, written};
use super::moment::{Asked, Filler, Moment, Unfilled, new_id};

/// A message ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The whole body: the three parts with dots, unless a change made something else of it.
    pub body: Vec<u8>,
    pub claims: Value,
    pub header: Value,
    /// The scene's message it was made from.
    pub base: String,
    /// Whose TLS identity brings it.
    pub sender: String,
    /// For an answer: what HTTP says.
    pub http_status: u16,
    /// The name of the key that signed.
    key: String,
    encoded: [String; 3],
}

impl Message {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A message being made.
pub struct Draft<'a> {
    moment: &'a Moment,
    base: String,
    sender: String,
    at: i64,
    key: String,
    header_key: String,
    typ: String,
    http_status: u16,
    template: Value,
    request: Option<&'a Asked>,
}

/// The single changes of a `change`, in their order.
fn changes(change: Option<&Value>) -> Vec<(String, Value)> {
    let Some(change) = change else { return Vec::new() };
    let single = |one: &Value| {
        let (word, argument) = one.as_object()?.iter().next()?;
        Some((word.clone(), argument.clone()))
    };
    match change.get("both").and_then(Value::as_array) {
        Some(all) => all.iter().filter_map(single).collect(),
        None => single(change).into_iter().collect(),
    }
}

impl<'a> Draft<'a> {
    /// From a name, or `{"like", "key"?, "from"?, "item"?}`.
    pub fn of(moment: &'a Moment, base: &Value) -> Result<Self, Unfilled> {
        let name = base.as_str().or_else(|| base.get("like")?.as_str()).unwrap_or_default();
        let unknown = || Unfilled(format!("message {name}"));
        let document = moment.scene.message(name).ok_or_else(unknown)?;
        let document = moment.with_own_file(document);
        let text = |from: &Value, member: &str| from.get(member).and_then(Value::as_str).map(str::to_owned);
        let mut template = document.get("payload").ok_or_else(unknown)?.clone();
        if let Some(item) = base.get("item") {
            put(&mut template, "item", item.clone());
        }
        let sender = text(base, "from").unwrap_or_else(|| "asking".into());
        if sender != "asking" {
            put(&mut template, "iss", json!({ "$member": sender }));
        }
        let key = text(base, "key").or_else(|| text(&document, "key")).ok_or_else(unknown)?;
        let status = document.get("http_status").and_then(Value::as_u64);
        Ok(Self {
            moment,
            base: name.to_owned(),
            sender,
            at: moment.at,
            header_key: key.clone(),
            key,
            typ: text(&document, "typ").ok_or_else(unknown)?,
            http_status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
            template,
            request: None,
        })
    }

    /// The same words again under a new id.
    pub fn renewed(moment: &'a Moment, sent: &Message) -> Self {
        let mut template = sent.claims.clone();
        put(&mut template, "jti", json!({"$new": "id"}));
        let typ = sent.header.get("typ").and_then(Value::as_str).unwrap_or_default();
        Self {
            moment,
            base: sent.base.clone(),
            sender: sent.sender.clone(),
            at: moment.at,
            key: sent.key.clone(),
            header_key: sent.key.clone(),
            typ: typ.to_owned(),
            http_status: sent.http_status,
            template,
            request: None,
        }
    }

    pub fn at(mut self, at: i64) -> Self {
        self.at = at;
        self
    }

    pub fn answering(mut self, request: &'a Asked) -> Self {
        self.request = Some(request);
        self
    }

    /// Puts a member into the claims before anything is changed.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        put(&mut self.template, name, value);
        self
    }

    pub fn build(mut self, change: Option<&Value>, request: Option<&'a Asked>) -> Result<Message, Unfilled> {
        self.request = request.or(self.request);
        let changes: Vec<_> =
            changes(change).into_iter().map(|(word, how)| (word, self.moment.with_own_file(&how))).collect();
        let mut authorization = None;
        for (word, how) in &changes {
            self.before(word, how, &mut authorization)?;
        }
        let mut filler = Filler::new(self.moment, self.at, self.request);
        filler.authorization = authorization;
        let mut claims = filler.fill_message(&self.template)?;
        let key =
            |name: &str| self.moment.scene.keys.get(name).ok_or_else(|| Unfilled(format!("key {name}")));
        let named = key(&self.header_key)?;
        let mut header = json!({"alg": named.alg, "typ": self.typ, "kid": named.kid});
        for (word, how) in &changes {
            claimed(&mut header, &mut claims, &mut filler, self.at, word, how)?;
        }
        let mut parts = [header.to_string().into_bytes(), claims.to_string().into_bytes()];
        for (word, how) in &changes {
            written(&mut parts, word, how)?;
        }
        let [first, second] = parts.map(|part| b64url(&part));
        let signature = key(&self.key)?.sign(format!("{first}.{second}").as_bytes());
        let encoded = [first, second, b64url(&signature)];
        let mut message = Message {
            body: encoded.join(".").into_bytes(),
            claims,
            header,
            base: self.base,
            sender: self.sender,
            http_status: self.http_status,
            key: self.key,
            encoded,
        };
        for (word, how) in &changes {
            message.signed(word, how)?;
        }
        Ok(message)
    }

    /// What is changed in the template.
    fn before(&mut self, word: &str, how: &Value, authorization: &mut Option<Value>) -> Result<(), Unfilled> {
        let text = || how.as_str().map(str::to_owned).ok_or_else(|| Unfilled(word.to_owned()));
        match word {
            "key" => {
                self.key = text()?;
                self.header_key = self.key.clone();
            }
            "forge" => self.key = text()?,
            "clock" => self.at += how.as_i64().unwrap_or_default(),
            "authorization" => *authorization = Some(how.clone()),
            "problem" => {
                let code = text()?;
                let row = REFUSALS.iter().find(|(_, codes, _)| codes.split(' ').any(|known| known == code));
                let (status, _, retry) = row.ok_or_else(|| Unfilled(code.clone()))?;
                self.http_status = *status;
                put(&mut self.template, "status", (*status).into());
                if let Some(problem) = self.template.get_mut("problem") {
                    put(problem, "type", format!("urn:tongban:problem:{code}").into());
                    put(problem, "code", code.into());
                    put(problem, "status", (*status).into());
                    put(problem, "retry", (*retry).into());
                }
            }
            "http" => {
                if let Some(status) = how.get("status").and_then(Value::as_u64) {
                    self.http_status = u16::try_from(status).unwrap_or(self.http_status);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Message {
    /// What is changed after the signature.
    pub fn signed(&mut self, word: &str, how: &Value) -> Result<(), Unfilled> {
        let unknown = || Unfilled(word.to_owned());
        match word {
            "signature" => {
                let signature = super::unb64url(&self.encoded[2]).unwrap_or_default();
                self.encoded[2] =
                    b64url(&bent(signature, how.as_str().unwrap_or_default()).ok_or_else(unknown)?);
                self.body = self.encoded.join(".").into_bytes();
            }
            "signed_over" => {
                let mut other = self.claims.clone();
                put(&mut other, "jti", new_id().into());
                self.encoded[1] = b64url(other.to_string().as_bytes());
                self.body = self.encoded.join(".").into_bytes();
            }
            "message" => {
                if let Some(parts) = how.get("parts").and_then(Value::as_array) {
                    let part = |part: &Value| match part.as_u64() {
                        Some(nth) => self.encoded.get(usize::try_from(nth).ok()?).cloned(),
                        None => part.as_str().map(str::to_owned),
                    };
                    let parts: Option<Vec<String>> = parts.iter().map(part).collect();
                    self.body = parts.ok_or_else(unknown)?.join(".").into_bytes();
                } else if let Some(nth) = how.get("respell").and_then(Value::as_u64) {
                    let nth = usize::try_from(nth).unwrap_or_default();
                    let part = self.encoded.get_mut(nth).ok_or_else(unknown)?;
                    *part = respelled(part).ok_or_else(unknown)?;
                    self.body = self.encoded.join(".").into_bytes();
                } else {
                    self.body = edited(&self.body, how)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// This message with a change that comes after its signature.
    pub fn bent(mut self, change: Option<&Value>) -> Result<Self, Unfilled> {
        for (word, how) in changes(change) {
            self.signed(&word, &how)?;
        }
        Ok(self)
    }
}

pub(super) fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::cases::{self, Role};
    use super::super::keys::holds;
    use super::super::scene::Scene;
    use super::*;

    #[test]
    fn every_message_of_every_case_can_be_made() {
        let scene = Arc::new(Scene::embedded().unwrap());
        let mut made = 0;
        for case in cases::all().unwrap() {
            let mut moment = Moment::new(scene.clone(), 1_794_000_000);
            for step in &case.steps {
                let Some(send) = step.get("send").filter(|_| case.role == Role::Answering) else {
                    moment.sent.push(None);
                    continue;
                };
                let message = match send.get("base") {
                    Some(base) => Draft::of(&moment, base).unwrap().build(send.get("change"), None),
                    None => match send.get("renew").and_then(Value::as_u64) {
                        Some(nth) => {
                            Draft::renewed(&moment, moment.step(nth).unwrap()).build(send.get("change"), None)
                        }
                        None => {
                            let nth = send.get("repeat").and_then(Value::as_u64).unwrap();
                            moment.step(nth).unwrap().clone().bent(send.get("change"))
                        }
                    },
                };
                moment.sent.push(Some(message.unwrap_or_else(|fault| panic!("{}: {fault}", case.id))));
                made += 1;
            }
        }
        assert!(made > 400, "{made}");
    }

    #[test]
    fn an_unchanged_message_is_signed_by_its_sender_and_respelling_keeps_its_bytes() {
        let scene = Arc::new(Scene::embedded().unwrap());
        let moment = Moment::new(scene.clone(), 1_794_000_000);
        let lookup = Draft::of(&moment, &"lookup".into()).unwrap().build(None, None).unwrap();
        let text = lookup.text();
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let signature = super::super::unb64url(signature).unwrap();
        assert!(holds(&scene.keys.get("asking").unwrap().public, signed.as_bytes(), &signature));
        let change = json!({"message": {"respell": 2}});
        let respelled = Draft::of(&moment, &"lookup".into()).unwrap().build(Some(&change), None).unwrap();
        let text = respelled.text();
        assert_eq!(
            super::super::unb64url(text.rsplit('.').next().unwrap()),
            None,
            "strict readers refuse it"
        );
    }
}
