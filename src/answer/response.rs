//! The signed response of protocol §3.2. Made only from what the ledger has recorded: the
//! place it promises is the proof.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{self, Typ};
use crate::keys::{SignFault, SigningKey};
use crate::ledger::Place;

/// Seconds an answer may be believed: it answers a caller that is waiting for it.
const LIFE: i64 = 120;

/// Everything a response says.
pub struct Response<'a> {
    pub me: Region,
    pub to: Region,
    pub now: Now,
    /// Absent when the request had no well-formed id.
    pub request_jti: Option<&'a str>,
    /// SHA-256 of the exact request body.
    pub request_digest: [u8; 32],
    pub op: &'static str,
    pub status: u16,
    /// The result or problem whose digest the leaf carries.
    pub outcome: Value,
    pub place: &'a Place,
}

impl Response<'_> {
    pub fn sign(self, key: &SigningKey) -> Result<Vec<u8>, SignFault> {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut req = Map::new();
        if let Some(jti) = self.request_jti {
            req.insert("jti".into(), jti.into());
        }
        req.insert("digest".into(), b64(&self.request_digest).into());
        let iat = self.now.secs();
        let mut claims = Map::new();
        claims.insert("ver".into(), 1.into());
        claims.insert("iss".into(), self.me.gateway_urn().into());
        claims.insert("aud".into(), self.to.gateway_urn().into());
        claims.insert("iat".into(), iat.into());
        claims.insert("exp".into(), (iat + LIFE).into());
        claims.insert("jti".into(), envelope::new_message_id().into());
        claims.insert("req".into(), Value::Object(req));
        claims.insert("op".into(), self.op.into());
        claims.insert("status".into(), self.status.into());
        let name = if self.status < 300 { "result" } else { "problem" };
        claims.insert(name.into(), self.outcome);
        claims.insert(
            "log".into(),
            json!({
                "origin": &*self.place.origin,
                "index": self.place.index,
                "leaf": b64(&self.place.leaf_hash),
            }),
        );
        envelope::seal(key, Typ::Response, &Value::Object(claims))
    }
}
