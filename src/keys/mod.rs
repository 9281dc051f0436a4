//! Keys: what may sign what. A key is registered with one algorithm and one role; the
//! verifier is built when the key is loaded, never per message.

mod private_file;

pub use private_file::{KeyFileFault, read_private_file, write_private_file};

use std::path::Path;

use serde_json::Value;

use crate::clock::Now;
use crate::fault::Fault;

/// A signature algorithm, the property of a registered key (protocol §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Es256,
    Ps256,
    EdDsa,
    Ed25519,
}

/// A public key in force for one role of one owner. No `Debug`, no `Clone`.
pub struct VerifyingKey {
    kid: String,
    alg: Algorithm,
}

impl VerifyingKey {
    /// RFC 7638 SHA-256 thumbprint, 43 characters.
    pub fn kid(&self) -> &str {
        &self.kid
    }
    pub fn alg(&self) -> Algorithm {
        self.alg
    }
}

/// The public keys of one owner in one role (at most 8, rotating by overlap).
#[derive(Default)]
pub struct KeySet {}

impl KeySet {
    /// Reads a JWK Set `{"keys":[…]}`; pointers are relative to the set.
    pub fn from_jwks(_jwks: &Value) -> Result<Self, Vec<Fault>> {
        Err(vec![])
    }
    /// The key of that id if it is in force at `now`.
    pub fn find(&self, _kid: &str, _now: Now) -> Option<&VerifyingKey> {
        None
    }
    /// Every registered id, in force or not.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

/// A private signing key. No `Debug`, no `Clone`, wiped when dropped.
pub struct SigningKey {}

impl SigningKey {
    /// Loads a private JWK file: regular, not a symlink, 0600, owned by this user.
    pub fn load(path: &Path) -> Result<Self, KeyFileFault> {
        Err(KeyFileFault::Missing(path.display().to_string()))
    }
}
