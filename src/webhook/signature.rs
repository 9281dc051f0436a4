//! How a receiver knows that a notice came from this gateway, now and unchanged:
//! `Tongban-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>`.

use std::path::Path;

use aws_lc_rs::hmac;

use crate::clock::Now;
use crate::keys::{KeyFileFault, read_private_file};

/// Bytes: 128 bits, less could be guessed from one signed notice.
const LEAST_SECRET: usize = 16;

/// Shared with one receiver. No `Debug`.
pub struct Secret(hmac::Key);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    #[error("{0}")]
    File(#[from] KeyFileFault),
    #[error("{0}: a webhook's secret has at least 16 bytes")]
    TooShort(String),
}

impl Secret {
    /// From a 0600 file; white space around the secret is not part of it.
    pub fn load(path: &Path) -> Result<Self, SecretFault> {
        let bytes = read_private_file(path)?;
        Self::from_bytes(bytes.trim_ascii()).ok_or_else(|| SecretFault::TooShort(path.display().to_string()))
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= LEAST_SECRET).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The header's value.
    pub fn sign(&self, body: &[u8], now: Now) -> String {
        let t = now.secs().to_string();
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(t.as_bytes());
        signed.update(b".");
        signed.update(body);
        format!("t={t},v1={}", hex::encode(signed.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_time_and_body() {
        let secret = Secret::from_bytes(b"0123456789abcdef").unwrap();
        let signed = secret.sign(br#"{"kind":"case.state"}"#, Now::from_secs(1_795_276_800));
        // printf '1795276800.{"kind":"case.state"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(signed, EXPECTED);
        assert!(Secret::from_bytes(b"0123456789abcde").is_none());
    }

    const EXPECTED: &str = "t=1795276800,v1=266e29308bff3f1bb931832f61507cd1f7a548eb03b17658233f13c0cd02e7c2";
}
