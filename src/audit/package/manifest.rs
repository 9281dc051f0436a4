//! The manifest: what a package holds, signed by the key that signs the log.
//!
//! A flattened JWS (RFC 7515 §7.2.2) over the SHA-256 of every member. It is signed with the
//! *ledger* key, not the gateway's message key: a verifier then needs one key, the one on the
//! card that it needs for the checkpoint anyway; and the message key, which is in use online for
//! every answer, cannot make a package. A checkpoint's text ends in a line feed, a JWS signing
//! input has none, so neither signature can be taken for the other. The manifest says that nothing
//! was taken out of the package or put in since it was made; that the leaves are the log's, the
//! tree says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json::jcs;
use crate::ledger::evidence::Field;
use crate::ledger::{LedgerKey, Vkey};

/// Version of the package's shape.
pub const PACKAGE_VERSION: u8 = 1;
/// `typ` of the manifest's header.
const TYPE: &str = "tongban-package+json";

/// What is signed. It has no time of its own, so that the same package has the same bytes; the
/// checkpoint's cosignatures and the `export` leaf say when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Origin of the log.
    pub log: String,
    /// In the order of the archive, the manifest itself excepted.
    pub members: Vec<Member>,
    pub selection: Selected,
    /// Leaves under the package's checkpoint.
    pub size: u64,
    pub v: u8,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    /// Lower-case hex, as `sha256sum` prints it.
    pub sha256: String,
    pub size: u64,
}

/// What the package was asked to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Selected {
    /// Every leaf from `from` up to, not including, `to`.
    Range { from: u64, to: u64 },
    /// These leaves.
    Leaves { of: Vec<u64> },
    /// Every leaf of these exchanges.
    Exchanges { of: Vec<String> },
    /// Every leaf stamped from `from` up to, not including, `to` (milliseconds), with a neighbour
    /// on either side: the leaves `first..end`. `matches` are those that the warrant finds.
    Window { end: u64, field: Field, first: u64, from: i64, matches: Vec<u64>, to: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    #[error("is not a manifest")]
    Malformed,
    #[error("is signed by another key")]
    OtherKey,
    #[error("has a signature that does not hold")]
    BadSignature,
}

impl Manifest {
    /// The bytes of `manifest.json`; `None` when the origin cannot name a key.
    pub fn sign(&self, key: &LedgerKey) -> Option<Vec<u8>> {
        let kid = kid(&key.vkey(&self.log)?);
        let header = jcs(&json!({"alg": "EdDSA", "kid": kid, "typ": TYPE}));
        let (protected, payload) =
            (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(jcs(&serde_json::to_value(self).ok()?)));
        let signature = URL_SAFE_NO_PAD.encode(key.sign_jws(&format!("{protected}.{payload}"))?);
        let mut bytes = jcs(&json!({"payload": payload, "protected": protected, "signature": signature}));
        bytes.push(b'\n');
        Some(bytes)
    }

    /// Reads the manifest without believing it.
    pub fn peek(bytes: &[u8]) -> Result<Self, ManifestFault> {
        Parts::read(bytes).and_then(|parts| parts.manifest().ok_or(ManifestFault::Malformed))
    }

    /// Believes the manifest if the log's key signed it.
    pub fn open(bytes: &[u8], vkey: &Vkey) -> Result<Self, ManifestFault> {
        let parts = Parts::read(bytes)?;
        let manifest = parts.manifest().ok_or(ManifestFault::Malformed)?;
        if parts.header().as_ref() != Some(&json!({"alg": "EdDSA", "kid": kid(vkey), "typ": TYPE})) {
            return Err(ManifestFault::OtherKey);
        }
        let signature = URL_SAFE_NO_PAD.decode(&parts.signature).map_err(|_| ManifestFault::Malformed)?;
        let signed = format!("{}.{}", parts.protected, parts.payload);
        if vkey.name() == manifest.log && vkey.signed(signed.as_bytes(), &signature) {
            Ok(manifest)
        } else {
            Err(ManifestFault::BadSignature)
        }
    }
}

/// `<origin>+<key id>`: the vkey without the key.
fn kid(vkey: &Vkey) -> String {
    format!("{}+{}", vkey.name(), hex::encode(vkey.key_id()))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    payload: String,
    protected: String,
    signature: String,
}

impl Parts {
    /// One spelling only: canonical JSON and a line feed.
    fn read(bytes: &[u8]) -> Result<Self, ManifestFault> {
        let body = bytes.strip_suffix(b"\n").ok_or(ManifestFault::Malformed)?;
        canonical(body).ok_or(ManifestFault::Malformed)
    }

    fn header(&self) -> Option<Value> {
        canonical(&URL_SAFE_NO_PAD.decode(&self.protected).ok()?)
    }

    fn manifest(&self) -> Option<Manifest> {
        canonical(&URL_SAFE_NO_PAD.decode(&self.payload).ok()?)
    }
}

/// A value out of canonical JSON.
pub fn canonical<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (jcs(&value) == bytes).then(|| serde_json::from_value(value).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "tongban/421202/2026h2";

    fn manifest() -> Manifest {
        Manifest {
            log: ORIGIN.into(),
            members: vec![Member { name: "policy".into(), sha256: "00".repeat(32), size: 7 }],
            selection: Selected::Window {
                end: 9,
                field: Field::Citizen,
                first: 3,
                from: 1_795_276_800_000,
                matches: vec![4],
                to: 1_795_363_200_000,
            },
            size: 600,
            v: PACKAGE_VERSION,
        }
    }

    #[test]
    fn a_manifest_is_believed_from_its_logs_key_only() {
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let bytes = manifest().sign(&key).unwrap();
        assert_eq!(bytes, manifest().sign(&key).unwrap(), "the same twice");
        assert_eq!(Manifest::open(&bytes, &key.vkey(ORIGIN).unwrap()), Ok(manifest()));
        let stranger = LedgerKey::from_seed(&[2; 32]).unwrap();
        assert_eq!(Manifest::open(&bytes, &stranger.vkey(ORIGIN).unwrap()), Err(ManifestFault::OtherKey));
        let other_log = key.vkey("tongban/421202/2027h1").unwrap();
        assert_eq!(Manifest::open(&bytes, &other_log), Err(ManifestFault::OtherKey));
    }

    #[test]
    fn no_bit_of_a_manifest_may_differ() {
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let (bytes, vkey) = (manifest().sign(&key).unwrap(), key.vkey(ORIGIN).unwrap());
        for at in 0..bytes.len() {
            for bit in [0, 5] {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(Manifest::open(&changed, &vkey).is_err(), "{at}");
            }
        }
        assert!(Manifest::open(&[&bytes[..], b"\n"].concat(), &vkey).is_err());
    }
}
