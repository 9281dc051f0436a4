//! An auditor opens what was released, on a machine of his own, with a key the gateway never
//! has.
//!
//! ```text
//! epoch key = the JWE's payload, by josekit: ECDH-ES+A256KW with the auditor's private JWK
//! record key = HKDF-SHA256(epoch key ‖ r), evidence = AES-256-GCM, bound to the leaf
//! ```
//!
//! Promises: what opens is what the leaf names (`ek`, `ev`, `rh`), and what it says fits the leaf's
//! `rq`, `rs` and `rd`; else [`Unsealed::misfits`] says which does not.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwe::{self, ECDH_ES_A256KW};
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::Released;
use crate::json::jcs;
use crate::ledger::evidence::{epoch_commitment, open_sealed};
use crate::ledger::{Leaf, LeafHash};

const ALGORITHM: &str = "ECDH-ES+A256KW";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealFault {
    #[error("is not an auditor's private P-256 JWK")]
    Key,
    #[error("no key could be made")]
    NoKey,
    #[error("is not a released bundle")]
    Bundle,
    #[error("the epoch's wrapped key is not the one the leaf names")]
    OtherEpoch,
    #[error("the evidence was not sealed to this key")]
    NotForThisKey,
    #[error("{0}")]
    Evidence(#[from] crate::ledger::evidence::OpenFault),
    #[error("what opened is not evidence")]
    Content,
}

/// An auditor's private key. No `Debug`, no `Clone`.
pub struct AuditorPrivateKey {
    kid: String,
    jwk: Jwk,
}

/// What an exchange said. No `Debug`: it is about a citizen.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsealed {
    /// Members `certificate`, `register`, `request`, `response`, `result`, as far as they are
    /// there; all texts.
    pub content: Map<String, Value>,
    /// Members of the leaf (`rq`, `rs`, `rd`) that the content does not fit.
    pub misfits: Vec<&'static str>,
}

impl AuditorPrivateKey {
    /// A new pair: the private JWK, and the public one for `[ledger] auditors`.
    pub fn generate() -> Result<(Value, Value), UnsealFault> {
        let made = Jwk::generate_ec_key(EcCurve::P256).map_err(|_| UnsealFault::NoKey)?;
        let mut members: Map<String, Value> = made.into();
        let kid = thumbprint(&members);
        for (name, value) in [("alg", ALGORITHM), ("kid", kid.as_str()), ("use", "enc")] {
            members.insert(name.to_owned(), value.into());
        }
        let mut public = members.clone();
        public.remove("d");
        Ok((Value::Object(members), Value::Object(public)))
    }

    pub fn from_jwk(jwk: &Value) -> Result<Self, UnsealFault> {
        let members = jwk.as_object().ok_or(UnsealFault::Key)?;
        let says = |name: &str, value: &str| members.get(name).and_then(Value::as_str) == Some(value);
        if !says("kty", "EC") || !says("crv", "P-256") || !members.contains_key("d") {
            return Err(UnsealFault::Key);
        }
        let kid = thumbprint(members);
        let mut kept = members.clone();
        kept.insert("kid".to_owned(), kid.clone().into());
        let jwk = Jwk::from_map(kept).map_err(|_| UnsealFault::Key)?;
        ECDH_ES_A256KW.decrypter_from_jwk(&jwk).map_err(|_| UnsealFault::Key)?;
        Ok(Self { kid, jwk })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Opens one released leaf.
    pub fn open(&self, released: &Released) -> Result<Unsealed, UnsealFault> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| UnsealFault::Bundle);
        let (leaf, r, sealed) =
            (bytes(&released.leaf)?, Zeroizing::new(bytes(&released.r)?), bytes(&released.sealed)?);
        let said = Leaf::from_bytes(&leaf).ok_or(UnsealFault::Bundle)?;
        // Before the key is looked for: a wrapping that was changed is told as that.
        if said.ek.is_some_and(|ek| ek != epoch_commitment(&released.epoch)) {
            return Err(UnsealFault::OtherEpoch);
        }
        let key = self.epoch_key(&released.epoch)?;
        let opened = open_sealed(&key, &r, &leaf, &sealed)?;
        let content: Map<String, Value> =
            serde_json::from_slice(&opened).map_err(|_| UnsealFault::Content)?;
        let leaf = Leaf::from_bytes(&leaf).ok_or(UnsealFault::Bundle)?;
        Ok(Unsealed { misfits: misfits(&leaf, &content), content })
    }

    /// The epoch's key out of its wrapping.
    pub fn epoch_key(&self, wrapped: &str) -> Result<Zeroizing<[u8; 32]>, UnsealFault> {
        #[derive(Deserialize)]
        struct Payload {
            key: String,
        }
        let decrypter = ECDH_ES_A256KW.decrypter_from_jwk(&self.jwk).map_err(|_| UnsealFault::Key)?;
        let selected = |header: &jwe::JweHeader| {
            let ours = header.claim("kid").and_then(Value::as_str) == Some(self.kid.as_str());
            Ok(ours.then_some(&decrypter as &dyn jwe::JweDecrypter))
        };
        let (payload, _) =
            jwe::deserialize_json_with_selector(wrapped, selected).map_err(|_| UnsealFault::NotForThisKey)?;
        let payload = Zeroizing::new(payload);
        let mut said: Payload = serde_json::from_slice(&payload).map_err(|_| UnsealFault::Content)?;
        let bytes = URL_SAFE_NO_PAD.decode(&said.key).map(Zeroizing::new);
        said.key.zeroize();
        let bytes = bytes.map_err(|_| UnsealFault::Content)?;
        bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| UnsealFault::Content)
    }
}

/// Which hashes of the leaf the content does not have.
fn misfits(leaf: &Leaf, content: &Map<String, Value>) -> Vec<&'static str> {
    let hash = |name: &str| {
        let text = content.get(name).and_then(Value::as_str)?;
        Some(LeafHash(digest(&SHA256, text.as_bytes()).as_ref().try_into().ok()?))
    };
    let said = [
        ("rq", leaf.rq, hash("request")),
        ("rs", leaf.rs, hash("response")),
        ("rd", leaf.rd, hash("result").or_else(|| hash("register"))),
    ];
    let misfit = |named: Option<LeafHash>, found: Option<LeafHash>| found.is_some() && named != found;
    said.into_iter().filter(|(_, named, found)| misfit(*named, *found)).map(|(name, ..)| name).collect()
}

/// RFC 7638.
fn thumbprint(members: &Map<String, Value>) -> String {
    let member = |name: &str| members.get(name).cloned().unwrap_or_default();
    let canonical = json!({"crv": member("crv"), "kty": member("kty"), "x": member("x"), "y": member("y")});
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &jcs(&canonical)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::evidence::AuditorKey;

    #[test]
    fn a_pair_is_one_key_and_its_public_half_is_taken_as_an_auditors() {
        let (private, public) = AuditorPrivateKey::generate().unwrap();
        assert!(public.get("d").is_none() && private.get("d").is_some());
        let key = AuditorPrivateKey::from_jwk(&private).unwrap();
        assert_eq!(AuditorKey::read(&public).unwrap().kid(), key.kid());
        assert!(AuditorPrivateKey::from_jwk(&public).is_err());
    }
}
