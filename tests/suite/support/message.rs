//! Messages, true ones and bent ones: every part can be replaced, and what is signed is what
//! is sent.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tongban::keys::SigningKey;

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

/// A signed message before it is signed.
#[derive(Clone)]
pub struct Draft {
    pub claims: Value,
    header: Value,
    raw_header: Option<Vec<u8>>,
    raw_payload: Option<Vec<u8>>,
    key: Arc<SigningKey>,
}

impl Draft {
    pub fn new(typ: &str, key: &Arc<SigningKey>, claims: Value) -> Self {
        Self {
            claims,
            header: json!({"alg": key.alg().name(), "typ": typ, "kid": key.kid()}),
            raw_header: None,
            raw_payload: None,
            key: Arc::clone(key),
        }
    }

    /// Bends the claims.
    pub fn bent(mut self, bend: impl FnOnce(&mut Value)) -> Self {
        bend(&mut self.claims);
        self
    }

    /// Sets one claim; `pointer` may name a member that is not there yet.
    pub fn with(self, pointer: &str, value: impl Into<Value>) -> Self {
        let (value, pointer) = (value.into(), pointer.to_owned());
        self.bent(|claims| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            match claims.pointer_mut(parent).unwrap() {
                Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
                object => object[name] = value,
            }
        })
    }

    pub fn without(self, pointer: &str) -> Self {
        self.bent(|claims| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            claims.pointer_mut(parent).unwrap().as_object_mut().unwrap().shift_remove(name).unwrap();
        })
    }

    /// Carries this authorization.
    pub fn authorized(self, token: &Self) -> Self {
        self.with("/authorization", token.text())
    }

    /// Sets a header member; the signature covers it.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Exactly these bytes as the header.
    pub fn raw_header(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.raw_header = Some(bytes.as_ref().to_vec());
        self
    }

    /// Exactly these bytes as the payload.
    pub fn raw_payload(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.raw_payload = Some(bytes.as_ref().to_vec());
        self
    }

    /// Signed by another key, the header saying so.
    pub fn signed_by(mut self, key: &Arc<SigningKey>) -> Self {
        self.header["alg"] = key.alg().name().into();
        self.header["kid"] = key.kid().into();
        self.key = Arc::clone(key);
        self
    }

    /// Signed by another key under the first one's name.
    pub fn forged_by(mut self, key: &Arc<SigningKey>) -> Self {
        self.key = Arc::clone(key);
        self
    }

    pub fn header_text(&self) -> String {
        self.header.to_string()
    }

    pub fn jti(&self) -> &str {
        self.claims["jti"].as_str().unwrap()
    }

    pub fn text(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| self.header.to_string().into_bytes());
        let payload = self.raw_payload.clone().unwrap_or_else(|| self.claims.to_string().into_bytes());
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", b64(signature))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.text().into_bytes()
    }
}

impl From<Draft> for Vec<u8> {
    fn from(draft: Draft) -> Self {
        draft.bytes()
    }
}

impl From<&Draft> for Vec<u8> {
    fn from(draft: &Draft) -> Self {
        draft.bytes()
    }
}
