//! A file's name: the SHA-256 of its bytes.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BYTES: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaterialDigest([u8; BYTES]);

/// Why a `Content-Digest` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentDigestFault {
    #[error("it has no sha-256")]
    Missing,
    #[error("its sha-256 is not 32 bytes between colons (RFC 9530)")]
    Syntax,
}

impl MaterialDigest {
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_finished(&digest::digest(&SHA256, bytes)).unwrap_or(Self([0; BYTES]))
    }

    /// 64 lower-case hex digits: one file, one name.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let lower = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (lower && hex::decode_to_slice(hex, &mut bytes).is_ok()).then_some(Self(bytes))
    }

    pub(super) fn from_finished(digest: &digest::Digest) -> Option<Self> {
        digest.as_ref().try_into().ok().map(Self)
    }

    /// The SHA-256 of a `Content-Digest` header: a dictionary of byte sequences (RFC 9530 §2,
    /// RFC 8941 §3.2). Other algorithms are passed over; of two the last counts.
    pub fn from_content_digest(header: &str) -> Result<Self, ContentDigestFault> {
        let mut found = None;
        for member in header.split(',') {
            // A key without a value is no digest of anything.
            let Some((key, value)) = member.trim_matches([' ', '\t']).split_once('=') else { continue };
            if key == "sha-256" {
                found = Some(value);
            }
        }
        let value = found.ok_or(ContentDigestFault::Missing)?;
        let value = value.split(';').next().unwrap_or_default();
        let encoded = value.strip_prefix(':').and_then(|v| v.strip_suffix(':'));
        let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(ContentDigestFault::Syntax)
    }

    /// The header value that says it.
    pub fn content_digest(&self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(self.0))
    }
}

impl fmt::Display for MaterialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MaterialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaterialDigest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_name_is_64_lower_case_hex_digits() {
        let empty = MaterialDigest::of(b"");
        assert_eq!(empty.to_string(), EMPTY);
        assert_eq!(MaterialDigest::parse(EMPTY), Some(empty));
        for other in [&EMPTY.to_uppercase(), &EMPTY[1..], &format!("{EMPTY}00"), "../../../etc/passwd", ""] {
            assert_eq!(MaterialDigest::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_content_digest_is_read_as_rfc_9530_writes_it() {
        // RFC 9530 appendix B.1: `{"hello": "world"}` with a line feed.
        let hello = MaterialDigest::of(b"{\"hello\": \"world\"}\n");
        let text = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(hello.content_digest(), text);
        let read = MaterialDigest::from_content_digest;
        assert_eq!(read(text), Ok(hello));
        assert_eq!(read(&format!("sha-512=:AA==:,\t {text};p=1")), Ok(hello));
        assert_eq!(read(&format!("sha-256=:AA==:, {text}")), Ok(hello));
        assert_eq!(read("sha-512=:AA==:"), Err(ContentDigestFault::Missing));
        assert_eq!(read(""), Err(ContentDigestFault::Missing));
        for odd in ["sha-256=:AA==:", "sha-256=AA", &text.replace('=', ""), &format!("sha-256={EMPTY}")] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
