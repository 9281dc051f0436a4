//! An answer, read as a partner reads it: signed ones verified here with aws-lc alone, not
//! with the gateway's own reader.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tongban::keys::SigningKey;

use super::message::{b64, sha256};
use super::partner::Told;

/// What the other side said.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub status: u16,
    pub signed: bool,
    /// The claims of a signed response.
    pub claims: Option<Value>,
    /// `result` or `problem`.
    pub outcome: Value,
    pub told: Told,
}

/// To whom an answer is due.
pub struct Due<'a> {
    pub key: &'a SigningKey,
    pub iss: &'a str,
    pub aud: &'a str,
    pub now: i64,
    pub request: &'a [u8],
}

impl Verdict {
    /// Checks everything protocol §3.2 says of a signed response, §3.5 of a refusal.
    pub fn read(told: Told, due: &Due<'_>) -> Self {
        let content_type = told.header("content-type").unwrap_or_default().to_owned();
        let verdict = match content_type.as_str() {
            "application/tongban-response+jwt" => Self::signed(told, due),
            "application/problem+json" => {
                Self { status: told.status, signed: false, claims: None, outcome: told.json(), told }
            }
            other => panic!("neither a response nor a problem: {} {other:?}", told.status),
        };
        if !(200..300).contains(&verdict.status) {
            verdict.check_problem();
        }
        verdict
    }

    fn signed(told: Told, due: &Due<'_>) -> Self {
        let claims = open(&told.body, due.key, "tongban-response+jwt");
        assert_eq!(claims["ver"], 1);
        assert_eq!(claims["iss"], due.iss);
        assert_eq!(claims["aud"], due.aud);
        assert_eq!(claims["status"], told.status);
        assert_eq!(claims["req"]["digest"], b64(sha256(due.request)));
        let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert!(iat <= due.now && due.now < exp && exp - iat <= 120, "an answer of now");
        assert!(claims["log"]["index"].is_u64() && claims["log"]["leaf"].is_string(), "a promise");
        let success = (200..300).contains(&told.status);
        assert_eq!(claims.get("result").is_some(), success);
        assert_eq!(claims.get("problem").is_some(), !success);
        let outcome = claims[if success { "result" } else { "problem" }].clone();
        Self { status: told.status, signed: true, claims: Some(claims), outcome, told }
    }

    fn check_problem(&self) {
        let problem = &self.outcome;
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("urn:tongban:problem:{code}"));
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].as_str().unwrap().is_ascii());
        assert!(!problem["title_zh"].as_str().unwrap().is_ascii(), "both languages");
        assert!(!problem["trace"].as_str().unwrap().is_empty());
        let wait = self.told.header("retry-after").map(|secs| secs.parse::<u32>().unwrap());
        assert_eq!(wait.is_some_and(|secs| secs > 0), problem["retry"] == "after", "{code}");
    }

    pub fn code(&self) -> &str {
        self.outcome["code"].as_str().unwrap_or("ok")
    }

    pub fn reason(&self) -> Option<&str> {
        self.outcome["reason"].as_str()
    }

    /// `code` or `code/reason`: what most tests compare.
    pub fn word(&self) -> String {
        match self.reason() {
            Some(reason) => format!("{}/{reason}", self.code()),
            None => self.code().to_owned(),
        }
    }

    /// The pointers of `errors`.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.outcome["errors"].as_array();
        errors.into_iter().flatten().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    /// The answer as the partner got it, opened: where a planted value would be found.
    pub fn whole_text(&self) -> String {
        format!("{:?} {} {:?}", self.told.headers, self.outcome, self.claims)
    }
}

/// The claims of a compact JWS by an ES256 key whose header is exactly ours.
pub fn open(message: &[u8], key: &SigningKey, typ: &str) -> Value {
    let text = std::str::from_utf8(message).unwrap();
    let (input, signature) = text.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
    assert_eq!(header, serde_json::json!({"alg": "ES256", "typ": typ, "kid": key.kid()}));
    let jwk = key.public_jwk();
    let coordinate = |name: &str| decoded(jwk[name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(input.as_bytes(), &decoded(signature))
        .expect("the answer's signature holds");
    serde_json::from_slice(&decoded(payload)).unwrap()
}
