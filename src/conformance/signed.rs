//! Whether an answer is a signed response to a message (clauses S-1 to S-5), checked apart from the
//! gateway's own code.

use serde_json::Value;

use super::wire::Answer;
use super::{b64url, sha256, unb64url};

const MEDIA_TYPE: &str = "application/tongban-response+jwt";
const MEMBERS: [&str; 12] =
    ["ver", "iss", "aud", "iat", "exp", "jti", "req", "op", "status", "result", "problem", "log"];
/// Seconds that clocks may be apart, and that a response lives at most.
const SKEW: i64 = 30;
const LIFE: i64 = 120;

/// Whom the response is between, and what was sent.
pub struct Exchange<'a> {
    pub iss: String,
    pub aud: String,
    /// The answering member's keys, as its card lists them.
    pub keys: &'a [Value],
    pub request: &'a [u8],
    pub request_claims: &'a Value,
    pub now: i64,
}

/// The claims of a response that holds; else what is wrong with it.
pub fn believe(answer: &Answer, exchange: &Exchange<'_>) -> Result<Value, String> {
    let media_type = answer.header("content-type").unwrap_or_default();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(format!("the answer is not signed: its media type is {media_type}"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| "the response is not ASCII")?;
    let parts: Vec<&str> = text.split('.').collect();
    let &[header, payload, signature] = parts.as_slice() else {
        return Err("the response has not three parts".into());
    };
    let object = |part: &str| -> Option<Value> {
        serde_json::from_slice(&unb64url(part)?).ok().filter(Value::is_object)
    };
    let header_members = object(header).ok_or("the response's header is no JSON object")?;
    let names = header_members.as_object().map(|members| members.len());
    let member = |name: &str| header_members.get(name).and_then(Value::as_str);
    if names != Some(3) || member("typ") != Some("tongban-response+jwt") {
        return Err("the response's header is not alg, typ, kid of a response".into());
    }
    let key = exchange.keys.iter().find(|key| key.get("kid").and_then(Value::as_str) == member("kid"));
    let key = key.ok_or("the response's kid is no key of the answering member")?;
    if key.get("alg").and_then(Value::as_str) != member("alg") {
        return Err("the response's alg is not the key's".into());
    }
    let in_force = |name: &str, holds: fn(i64, i64) -> bool| {
        key.get(name).and_then(Value::as_i64).is_none_or(|at| holds(exchange.now, at))
    };
    if !in_force("nbf", |now, at| now >= at) || !in_force("exp", |now, at| now < at) {
        return Err("the response's key is not in force".into());
    }
    let signed = format!("{header}.{payload}");
    if !unb64url(signature).is_some_and(|s| super::keys::holds(key, signed.as_bytes(), &s)) {
        return Err("the response's signature does not hold".into());
    }
    let claims = object(payload).ok_or("the response's payload is no JSON object")?;
    claimed(&claims, answer.status, exchange)?;
    Ok(claims)
}

fn claimed(claims: &Value, status: u16, exchange: &Exchange<'_>) -> Result<(), String> {
    if let Some(name) =
        claims.as_object().into_iter().flatten().map(|(n, _)| n).find(|n| !MEMBERS.contains(&n.as_str()))
    {
        return Err(format!("the response has a member {name}"));
    }
    let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str);
    let number = |pointer: &str| claims.pointer(pointer).and_then(Value::as_i64);
    if text("/iss") != Some(&exchange.iss) || text("/aud") != Some(&exchange.aud) {
        return Err("the response's iss and aud are not the two members".into());
    }
    if text("/req/digest") != Some(b64url(&sha256(exchange.request)).as_str()) {
        return Err("req.digest is not of the request's bytes".into());
    }
    // A message whose id was missing or no id gets the digest alone (S-2).
    if let Some(jti) = claims.pointer("/req/jti")
        && exchange.request_claims.get("jti") != Some(jti)
    {
        return Err("req.jti is not the request's".into());
    }
    if number("/status") != Some(status.into()) {
        return Err("the claimed status is not HTTP's".into());
    }
    let (iat, exp) = (number("/iat").unwrap_or(i64::MAX), number("/exp").unwrap_or_default());
    if iat > exchange.now + SKEW || exchange.now >= exp + SKEW || exp <= iat || exp - iat > LIFE {
        return Err("the response's times are not around now, or its life is too long".into());
    }
    if claims.get("result").is_some() == claims.get("problem").is_some() {
        return Err("there is not exactly one of result and problem".into());
    }
    if claims.get("result").is_some() != (200..300).contains(&status) {
        return Err("result or problem does not fit the status".into());
    }
    if number("/log/index").is_none() || text("/log/origin").is_none() || text("/log/leaf").is_none() {
        return Err("there is no promise in log".into());
    }
    Ok(())
}
