//! The public keys of one owner in one role.

use josekit::jws::JwsVerifier;
use serde_json::Value;

use super::Algorithm;
use super::jwk::{self, JwkFault};
use super::jws::{Hashed, Verifier};
use crate::clock::Now;
use crate::fault::{Fault, MOST_FAULTS};

/// Keys in one set: enough to rotate by overlap, few enough to look through (protocol §8).
pub const MOST_KEYS: usize = 8;

/// A public key of one owner, its verifier built. No `Debug`, no `Clone`.
pub struct VerifyingKey {
    kid: String,
    alg: Algorithm,
    signature_len: usize,
    verifier: Verifier,
    from: Option<i64>,
    until: Option<i64>,
}

impl VerifyingKey {
    /// One public JWK; every rule of `jwk` applies.
    pub fn from_jwk(jwk: &Value) -> Result<Self, JwkFault> {
        let public = jwk::read_public(jwk)?;
        Ok(Self {
            verifier: Verifier::new(&public)?,
            signature_len: public.signature_len(),
            kid: public.kid,
            alg: public.alg,
            from: public.from,
            until: public.until,
        })
    }

    /// RFC 7638 SHA-256 thumbprint, 43 characters.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// Whether a signature by this key can have this many bytes.
    pub fn signature_len_ok(&self, bytes: usize) -> bool {
        bytes == self.signature_len
    }

    /// Whether `signature` is this key's over `signing_input`.
    pub fn verify(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        self.signature_len_ok(signature.len()) && self.verifier.verify(signing_input, signature).is_ok()
    }

    /// [`VerifyingKey::verify`] of what is hashed already.
    pub fn verify_hashed(&self, signing_input: &Hashed<'_>, signature: &[u8]) -> bool {
        self.signature_len_ok(signature.len()) && self.verifier.verify_hashed(signing_input, signature)
    }

    /// Within `nbf` (inclusive) and `exp` (exclusive), where they are given.
    pub fn in_force(&self, now: Now) -> bool {
        self.from.is_none_or(|from| from <= now.secs()) && self.until.is_none_or(|until| now.secs() < until)
    }
}

/// The public keys of one owner in one role (1 to 8, rotating by overlap).
#[derive(Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// Reads a JWK Set `{"keys":[…]}`; pointers are relative to the set. Whole or not at all.
    pub fn from_jwks(jwks: &Value) -> Result<Self, Vec<Fault>> {
        let Some(list) = jwks.get("keys").and_then(Value::as_array) else {
            return Err(vec![Fault::new("/keys", "type", "must be a list of keys", "必须是密钥列表")]);
        };
        if list.is_empty() || list.len() > MOST_KEYS {
            return Err(vec![Fault::new(
                "/keys",
                "key-count",
                "must hold 1 to 8 keys",
                "密钥数量必须为 1 至 8 个",
            )]);
        }
        let mut set = Self::default();
        let mut faults = Vec::new();
        for (place, jwk) in list.iter().enumerate() {
            match VerifyingKey::from_jwk(jwk) {
                Ok(key) if set.kids().any(|kid| kid == key.kid) => {
                    faults.push(
                        Fault::new("", "key-duplicate", "the same key stands here twice", "密钥重复")
                            .under(&format!("/keys/{place}")),
                    );
                }
                Ok(key) => set.keys.push(key),
                Err(fault) => faults.push(fault.fault().under(&format!("/keys/{place}"))),
            }
        }
        faults.truncate(MOST_FAULTS);
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }

    /// The key of that id if it is in force at `now`.
    pub fn find(&self, kid: &str, now: Now) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid == kid && key.in_force(now))
    }

    /// Every registered key, in force or not.
    pub fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// Every registered id, in force or not.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(VerifyingKey::kid)
    }
}
