//! The faults of `conformance/mutations.json`, each a change to what comes or what goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64URL;
use bytes::Bytes;
use serde_json::{Value, json};
use tongban::clock::Clock;
use tongban::conformance::Scene;
use tongban::conformance::wire::{Answer, Request, Silence, Wire};
use uuid::Uuid;

use super::mutant::plain;

pub struct Fault {
    name: String,
    scene: Arc<Scene>,
    /// Answers and checkpoints from before.
    kept: Mutex<HashMap<Vec<u8>, Answer>>,
}

const RESPONSE: &str = "application/tongban-response+jwt";
const PROBLEM: &str = "application/problem+json";

/// A message in its parts, as far as it has any.
struct Jws {
    header: Value,
    claims: Value,
}

fn opened(body: &[u8]) -> Option<Jws> {
    let text = std::str::from_utf8(body).ok()?;
    let mut parts = text.split('.').map(|part| serde_json::from_slice(&B64URL.decode(part).ok()?).ok());
    let (header, claims) = (parts.next()??, parts.next()??);
    Some(Jws { header, claims }).filter(|jws: &Jws| jws.claims.is_object())
}

fn digest(bytes: &[u8]) -> String {
    B64URL.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

impl Fault {
    pub fn none(scene: Arc<Scene>) -> Self {
        Self::new("", scene)
    }

    pub fn new(name: &str, scene: Arc<Scene>) -> Self {
        Self { name: name.to_owned(), scene, kept: Mutex::default() }
    }

    pub fn serves(&self, whom: &str) -> bool {
        self.name == format!("serves-{whom}")
    }

    fn signed(&self, key: &str, typ: &str, claims: &Value) -> Vec<u8> {
        let key = self.scene.keys.get(key).unwrap();
        let header = json!({"alg": key.alg, "typ": typ, "kid": key.kid}).to_string();
        let signed = format!("{}.{}", B64URL.encode(header), B64URL.encode(claims.to_string()));
        format!("{signed}.{}", B64URL.encode(key.sign(signed.as_bytes()))).into_bytes()
    }

    /// One request through the faulty gateway.
    pub async fn play(&self, wire: &Wire, caller: &str, request: Request) -> Result<Answer, Silence> {
        let exchange = request.path == "/v1/exchange";
        let first = self.kept.lock().unwrap().get(request.body.as_ref()).cloned();
        match (self.name.as_str(), first) {
            ("answers-replays", Some(first)) if exchange => return Ok(first),
            ("stale-checkpoint", _) if request.path.ends_with("/checkpoint") => {
                let key = b"checkpoint".to_vec();
                let kept = self.kept.lock().unwrap().get(&key).cloned();
                if let Some(kept) = kept {
                    return Ok(kept);
                }
                let answer = wire.call(caller, &request).await?;
                self.kept.lock().unwrap().insert(key, answer.clone());
                return Ok(answer);
            }
            ("entries-for-anybody", _) if request.path.contains("/entry/") => {
                return wire.call("asking", &request).await;
            }
            _ => {}
        }
        let mut changed = request.clone();
        if exchange && let Some(body) = self.believes(&request.body) {
            changed.body = Bytes::from(body);
        }
        let answer = wire.call(caller, &changed).await?;
        if !exchange {
            return Ok(self.serves_log(&request.path, answer));
        }
        let mut told = self.tells(&request, answer, changed.body != request.body);
        if self.name == "counts-refusals-as-uses" && told.status == 403 {
            self.use_up(wire, caller, &request).await;
        }
        if self.name == "answers-replays" {
            self.kept.lock().unwrap().insert(request.body.to_vec(), told.clone());
        }
        if self.name == "another-receipt" && told.status == 202 {
            let claims = opened(&told.body).unwrap().claims;
            told.body = Bytes::from(self.signed("answering", "tongban-response+jwt", &claims));
        }
        Ok(told)
    }

    /// A message as a gateway that believes too much takes it.
    fn believes(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut jws = opened(body)?;
        let now = Clock::system().now().secs();
        let asking = self.scene.urn("asking");
        let claims = &mut jws.claims;
        match self.name.as_str() {
            "skips-audience" => claims["aud"] = self.scene.urn("answering").into(),
            "skips-issuer" => claims["iss"] = asking.clone().into(),
            "accepts-expired" if claims["exp"].as_i64()? <= now - 30 => {
                claims["iat"] = now.into();
                claims["exp"] = (now + 60).into();
            }
            "accepts-long-lives" => claims["exp"] = (claims["iat"].as_i64()? + 60).into(),
            "accepts-unknown-members" => {
                claims.as_object_mut()?.remove("extra");
            }
            "lax-json" | "ignores-signature" => {}
            "accepts-alg-none" if jws.header["alg"] == "none" => {}
            "accepts-der" if std::str::from_utf8(body).ok()?.rsplit('.').next()?.len() > 90 => {}
            "never-counts-uses" => self.authorize_anew(claims, |_| {})?,
            "skips-status-list" => self.authorize_anew(claims, |token| {
                token["status"]["status_list"]["idx"] = 4711.into();
            })?,
            _ => return None,
        }
        Some(self.signed("asking", "tongban-request+jwt", claims))
    }

    /// The citizen's authorization under a new id.
    fn authorize_anew(&self, claims: &mut Value, change: impl Fn(&mut Value)) -> Option<()> {
        let mut token = opened(claims["authorization"].as_str()?.as_bytes())?.claims;
        let id = B64URL.encode(Uuid::new_v4());
        let holder = &claims["body"]["license"]["holder"];
        let parts = [id.as_str(), holder["type"].as_str()?, holder["number"].as_str()?];
        token["holder"] = digest(parts.join("\0").as_bytes()).into();
        token["jti"] = id.into();
        change(&mut token);
        let token = self.signed("authority", "tongban-authorization+jwt", &token);
        claims["authorization"] = String::from_utf8(token).ok()?.into();
        Some(())
    }

    /// A good lookup with the authorization of one that was refused.
    async fn use_up(&self, wire: &Wire, caller: &str, request: &Request) {
        let mut claims = opened(&request.body).unwrap().claims;
        claims["jti"] = B64URL.encode(Uuid::new_v4()).into();
        claims["body"]["fields"] = json!(["cert_no"]);
        let body = Bytes::from(self.signed("asking", "tongban-request+jwt", &claims));
        wire.call(caller, &Request { body, ..request.clone() }).await.unwrap();
    }

    fn serves_log(&self, path: &str, mut answer: Answer) -> Answer {
        if self.name == "altered-tile" && path.contains("/tile/0/") && answer.status == 200 {
            let mut bytes = answer.body.to_vec();
            bytes[0] ^= 1;
            answer.body = Bytes::from(bytes);
        }
        answer
    }

    /// An answer as a gateway that answers wrongly gives it.
    fn tells(&self, request: &Request, mut answer: Answer, changed: bool) -> Answer {
        let Some(mut jws) = opened(&answer.body) else {
            return match self.name.as_str() {
                "signed-before-signature" => self.sign_unsigned(request, &answer),
                _ => answer,
            };
        };
        let claims = &mut jws.claims;
        let mut key = "answering";
        if changed {
            // What came, as the caller knows it.
            claims["req"]["digest"] = digest(&request.body).into();
        }
        let licenses = claims.pointer("/result/licenses/0").is_some();
        match self.name.as_str() {
            "unsigned-refusals" if claims.get("problem").is_some() => {
                return plain(answer.status, PROBLEM, claims["problem"].to_string().into_bytes());
            }
            "not-found-is-refused" if claims["result"]["found"] == false => {
                let problem =
                    json!({"type": "urn:tongban:problem:not-found", "status": 404, "code": "not-found"});
                return plain(404, PROBLEM, problem.to_string().into_bytes());
            }
            "wrong-digest" => claims["req"]["digest"] = digest(b"another request").into(),
            "retired-key" => key = "answering-retired",
            "status-differs" => claims["status"] = 202.into(),
            "promise-of-another-leaf" => claims["log"]["leaf"] = digest(b"another leaf").into(),
            "echoes" if claims.get("problem").is_some() => {
                let received = opened(&request.body).map(|jws| jws.claims["operator"].clone());
                claims["problem"]["detail"] = received.unwrap_or_default();
            }
            "one-fault-at-a-time" if claims["problem"]["errors"].is_array() => {
                claims["problem"]["errors"].as_array_mut().unwrap().truncate(1);
            }
            "tells-more-than-asked" if licenses => {
                claims["result"]["licenses"][0]["data"]["authority"] = "测试民政局".into();
            }
            "shows-when-verifying" | "data-of-revoked" if licenses => {
                claims["result"]["licenses"][0]["data"] = json!({"cert_no": "J331083-2026-000001"});
            }
            _ if !changed => return answer,
            _ => {}
        }
        answer.body = Bytes::from(self.signed(key, "tongban-response+jwt", claims));
        answer
    }

    fn sign_unsigned(&self, request: &Request, answer: &Answer) -> Answer {
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let now = Clock::system().now().secs();
        let claims = json!({
            "ver": 1, "iss": self.scene.urn("answering"), "aud": self.scene.urn("asking"), "iat": now, "exp": now + 60,
            "jti": B64URL.encode(Uuid::new_v4()), "req": {"digest": digest(&request.body)}, "op": "unknown",
            "status": answer.status, "problem": problem,
            "log": {"origin": self.scene.origin("answering", now), "index": 0, "leaf": digest(b"leaf")},
        });
        plain(answer.status, RESPONSE, self.signed("answering", "tongban-response+jwt", &claims))
    }
}
