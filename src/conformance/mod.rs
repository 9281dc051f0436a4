//! The conformance suite: plays the cases of `conformance/cases/` against any gateway, from outside.
//!
//! Promises: shares nothing with the gateway but plain values, so that one mistake cannot hide
//! in both; what was not asked is told as not run, never as passed; every case that is not
//! green says what was expected and what came. Leaves arguments and exit codes to the command
//! line, and the vectors to `conformance/vectors/`.

pub mod cases;
mod change;
pub mod keys;
pub mod message;
pub mod moment;
pub mod play;
pub mod report;
pub mod scene;
pub mod signed;
pub mod tree;
mod window;
pub mod wire;

pub use cases::{Case, Role, Selection};
pub use play::{Operator, Outcome, Played, Run, RunSettings, Trail, run};
pub use scene::{Ground, Scene};

/// What keeps the suite from running at all; what a case finds is an [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum ConformanceFault {
    #[error("{0}: cannot be read or written ({1})")]
    File(String, std::io::ErrorKind),
    #[error("{0}: is not what `tongban conformance scene` writes")]
    Scene(String),
    #[error("{0}: is no embedded case file of this version")]
    Data(&'static str),
    #[error("a key or certificate of the scene cannot be made")]
    Key,
    #[error("{0}: is no address of a gateway")]
    Address(String),
    #[error("the target does not answer; is it running on the scene?")]
    NoTarget,
    #[error("the partner's door cannot listen at its address ({0})")]
    Door(std::io::ErrorKind),
}

/// b64url without padding.
pub(crate) fn b64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn unb64url(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn unb64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// b64url SHA-256 of the canonical form (RFC 8785).
pub(crate) fn digest_of(value: &serde_json::Value) -> String {
    b64url(&sha256(&serde_json_canonicalizer::to_vec(value).unwrap_or_default()))
}
