//! Keyed tags of case numbers: the log can be searched for a case by whoever holds the
//! key, and says nothing about cases to anybody else.

use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::LedgerFault;
use crate::keys::read_or_make_secret;

/// Bytes of the key: the block HMAC-SHA256 is as strong as.
const KEY_BYTES: usize = 32;
/// Bytes of HMAC-SHA256 kept: enough that two cases never meet.
const TAG_BYTES: usize = 16;

/// Makes tags. No `Debug`, no `Clone`.
pub struct CaseTags(hmac::Key);

impl CaseTags {
    /// Loads the key, or makes it (0600) when the log is new.
    pub fn open(path: &Path) -> Result<Self, LedgerFault> {
        let key = read_or_make_secret::<KEY_BYTES>(path)?;
        Ok(Self::of(key.as_ref()))
    }

    fn of(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// `HMAC-SHA256(key, "case" ‖ 0x00 ‖ number)[0:16]`, base64url.
    pub fn tag(&self, case: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"case\0");
        context.update(case.as_bytes());
        let tag = context.sign();
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..TAG_BYTES).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_same_after_a_restart_and_another_under_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("case.key");
        let tag = CaseTags::open(&path).unwrap().tag("K1");
        assert_eq!((tag.len(), &CaseTags::open(&path).unwrap().tag("K1")), (22, &tag));
        assert_ne!(CaseTags::open(&path).unwrap().tag("K2"), tag);
        assert_ne!(CaseTags::open(&dir.path().join("other.key")).unwrap().tag("K1"), tag);
    }

    #[test]
    fn a_short_or_readable_key_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("case.key");
        CaseTags::open(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(CaseTags::open(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(CaseTags::open(&path).is_err());
    }
}
