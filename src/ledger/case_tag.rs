//! Keyed tags of case numbers: the log can be searched for a case by whoever holds the
//! key, and says nothing about cases to anybody else.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::LedgerFault;

/// Bytes of HMAC-SHA256 kept: enough that two cases never meet.
const TAG_BYTES: usize = 16;

/// Makes tags. No `Debug`, no `Clone`.
pub struct CaseTags(hmac::Key);

impl CaseTags {
    /// Loads the key, or makes it (0600) when the log is new.
    pub fn open(path: &Path) -> Result<Self, LedgerFault> {
        let fault =
            |e: std::io::Error| LedgerFault::CaseKey { path: path.display().to_string(), kind: e.kind() };
        match File::options().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let mut key = Zeroizing::new([0_u8; 32]);
                SystemRandom::new()
                    .fill(key.as_mut())
                    .map_err(|_| fault(ErrorKind::Other.into()))
                    .and_then(|()| file.write_all(key.as_ref()).and_then(|()| file.sync_all()).map_err(fault))
                    .inspect_err(|_| drop(std::fs::remove_file(path)))?;
                Ok(Self::of(key.as_ref()))
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let mut key = Zeroizing::new(Vec::with_capacity(33));
                let file = File::open(path).map_err(fault)?;
                if file.metadata().map_err(fault)?.mode() & 0o077 != 0 {
                    return Err(fault(ErrorKind::PermissionDenied.into()));
                }
                file.take(33).read_to_end(&mut key).map_err(fault)?;
                if key.len() == 32 { Ok(Self::of(&key)) } else { Err(fault(ErrorKind::InvalidData.into())) }
            }
            Err(e) => Err(fault(e)),
        }
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
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
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
