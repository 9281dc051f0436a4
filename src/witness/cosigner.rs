//! Cosignatures of type 0x04 (c2sp.org/tlog-cosignature): a witness's dated word that a
//! checkpoint is of the largest consistent tree it has seen under that origin.
//!
//! The key has this one role: the ledger's key signs checkpoints, never cosignatures
//! (protocol §3). It is made where it is needed first and stays in the data directory.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::WitnessFault;
use crate::clock::Now;
use crate::domain::Region;
use crate::keys::{KeyFileFault, read_private_file, write_private_file};
use crate::ledger::LedgerKey;
use crate::ledger::key::pair_from_pem;
use crate::ledger::note::{
    Note, NoteFault, SignatureLine, VkeyFault, is_key_name, key_id, read_vkey, write_vkey,
};

/// Signature type of an Ed25519 cosignature.
pub const COSIGNATURE: u8 = 0x04;
/// Bytes of the time that stands before the signature.
const TIME_BYTES: usize = 8;

/// The name under which a region's gateway cosigns. The digit is for a second key beside it.
pub fn cosigner_name(region: Region) -> String {
    format!("tongban/{region}/w1")
}

/// A witness's verifier key: `<name>+<key id>+<base64(0x04 ‖ public key)>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignerVkey {
    name: String,
    public: [u8; 32],
}

impl CosignerVkey {
    pub fn new(name: &str, public: [u8; 32]) -> Option<Self> {
        is_key_name(name).then(|| Self { name: name.to_owned(), public })
    }

    pub fn parse(text: &str) -> Result<Self, VkeyFault> {
        let (name, public) = read_vkey(text, COSIGNATURE)?;
        Ok(Self { name, public })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// `SHA256(name ‖ 0x0A ‖ 0x04 ‖ public key)[0:4]`.
    pub fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, COSIGNATURE, &self.public)
    }

    /// Is this line under this key's name and id?
    pub fn claims(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.key_id == self.key_id()
    }

    /// When this witness cosigned the note (seconds since 1970); `None` when it did not. A line
    /// of its that does not hold is a fault, as for every known key.
    pub fn cosigned_at(&self, note: &Note) -> Result<Option<i64>, NoteFault> {
        let mut latest = None;
        for line in note.signatures().iter().filter(|line| self.claims(line)) {
            latest = latest.max(Some(self.time_of(note.text(), line)?));
        }
        Ok(latest)
    }

    /// The time of one line of this witness's under a note's text.
    pub fn time_of(&self, text: &str, line: &SignatureLine) -> Result<i64, NoteFault> {
        let (time, signature) =
            line.signature.split_first_chunk::<TIME_BYTES>().ok_or(NoteFault::BadSignature)?;
        let time = i64::try_from(u64::from_be_bytes(*time)).map_err(|_| NoteFault::BadSignature)?;
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(message(time, text).as_bytes(), signature)
            .map_err(|_| NoteFault::BadSignature)?;
        Ok(time)
    }
}

impl std::fmt::Display for CosignerVkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&write_vkey(&self.name, COSIGNATURE, &self.public))
    }
}

fn message(time: i64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Cosigns. No `Debug`, no `Clone`.
pub struct CosignerKey {
    pair: Ed25519KeyPair,
    vkey: CosignerVkey,
}

impl CosignerKey {
    /// Loads the key of `region`'s gateway, or makes it (0600).
    pub fn open(path: &Path, region: Region) -> Result<Self, WitnessFault> {
        if !path.exists() {
            make(path)?;
        }
        let unusable = || WitnessFault::Key { path: path.display().to_string() };
        let pem = read_private_file(path)?;
        let pair = pair_from_pem(&pem).map_err(|_| unusable())?;
        Self::of(pair, &cosigner_name(region)).ok_or_else(unusable)
    }

    fn of(pair: Ed25519KeyPair, name: &str) -> Option<Self> {
        let public = pair.public_key().as_ref().try_into().ok()?;
        let vkey = CosignerVkey::new(name, public)?;
        Some(Self { pair, vkey })
    }

    #[cfg(test)]
    pub fn from_seed(seed: &[u8; 32], name: &str) -> Self {
        Self::of(Ed25519KeyPair::from_seed_unchecked(seed).unwrap(), name).unwrap()
    }

    pub fn vkey(&self) -> &CosignerVkey {
        &self.vkey
    }

    /// The cosignature of a note's text.
    pub fn cosign(&self, text: &str, now: Now) -> SignatureLine {
        let time = now.secs().max(0);
        let mut signature = time.unsigned_abs().to_be_bytes().to_vec();
        signature.extend_from_slice(self.pair.sign(message(time, text).as_bytes()).as_ref());
        SignatureLine { name: self.vkey.name.clone(), key_id: self.vkey.key_id(), signature }
    }
}

/// Beside, then renamed: a stop in between must not leave half a key for good.
fn make(path: &Path) -> Result<(), WitnessFault> {
    let pem = LedgerKey::generate_pem().map_err(|_| WitnessFault::NoRandom)?;
    let beside = path.with_extension("new");
    let io = |e: std::io::Error| KeyFileFault::Io(beside.display().to_string(), e.kind());
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e).into()),
        _ => write_private_file(&beside, pem.as_bytes())?,
    }
    // Durable under its name before anybody is told its public half.
    std::fs::rename(&beside, path)
        .and_then(|()| std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
        .map_err(io)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::note::note_of;

    const VKEY: &str = "gateway.county-b.example/w1+1705b48e+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU";
    const TEXT: &str =
        "exchange-log.county-a.example/2026h2\n3\nZSKXuVBARaYAlCvN+a5cJAC+QtUROcf7Y6s+5Dn/EQ0=\n";
    const LINE: &str = "\u{2014} gateway.county-b.example/w1 FwW0jgAAAABpRziAZz90gn+eplQ+iBjXJdZSkWlA778JByvSlz3pDMOsxrY0forf57DCnZYw38SUuEAcpZp/iuoW+WOlpNvqNA5oBA==";

    #[test]
    fn the_reference_vector_is_cosigned_byte_for_byte() {
        let key = CosignerKey::from_seed(&[2; 32], "gateway.county-b.example/w1");
        assert_eq!(key.vkey().to_string(), VKEY);
        assert_eq!(CosignerVkey::parse(VKEY).as_ref(), Ok(key.vkey()));
        let line = key.cosign(TEXT, Now::from_secs(1_766_275_200));
        assert_eq!(line.to_string(), LINE);
        let note = Note::parse(&note_of(TEXT, [&line])).unwrap();
        assert_eq!(key.vkey().cosigned_at(&note), Ok(Some(1_766_275_200)));
    }

    #[test]
    fn another_text_time_or_key_does_not_hold() {
        let key = CosignerKey::from_seed(&[2; 32], "w1");
        let line = key.cosign(TEXT, Now::from_secs(5));
        let note = |text: &str, line: &SignatureLine| Note::parse(&note_of(text, [line])).unwrap();
        let other = TEXT.replace("\n3\n", "\n4\n");
        assert_eq!(key.vkey().cosigned_at(&note(&other, &line)), Err(NoteFault::BadSignature));
        let mut later = line.clone();
        later.signature[7] ^= 1;
        assert_eq!(key.vkey().cosigned_at(&note(TEXT, &later)), Err(NoteFault::BadSignature));
        let mut short = line.clone();
        short.signature.truncate(7);
        assert_eq!(key.vkey().cosigned_at(&note(TEXT, &short)), Err(NoteFault::BadSignature));
        let stranger = CosignerKey::from_seed(&[3; 32], "w1");
        assert_eq!(stranger.vkey().cosigned_at(&note(TEXT, &line)), Ok(None), "unknown keys are ignored");
    }

    #[test]
    fn a_ledger_key_is_no_cosigner_key() {
        let ledger = LedgerKey::from_seed(&[1; 32]).unwrap().vkey("tongban/421202/w1").unwrap();
        assert!(CosignerVkey::parse(&ledger.to_string()).is_err());
        assert!(crate::ledger::Vkey::parse(VKEY).is_err());
    }

    #[test]
    fn the_key_is_made_once_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness.key");
        let region = Region::parse("421202").unwrap();
        let vkey = CosignerKey::open(&path, region).unwrap().vkey().clone();
        assert_eq!(CosignerKey::open(&path, region).unwrap().vkey(), &vkey);
        assert_eq!(vkey.name(), "tongban/421202/w1");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(CosignerKey::open(&path, region), Err(WitnessFault::KeyFile(_))));
    }
}
