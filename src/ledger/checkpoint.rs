//! The checkpoint: a signed statement of a log's size and root (c2sp.org/tlog-checkpoint).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::LedgerKey;
use super::note::{Note, NoteFault, Vkey};
use super::tree::Hash;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    #[error("{0}")]
    Note(#[from] NoteFault),
    #[error("is not a checkpoint")]
    Malformed,
    #[error("speaks of another log")]
    OtherOrigin,
}

/// What a checkpoint says. We write no extension lines and accept none: cosignatures of the
/// newer type do not cover them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The three lines that are signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    pub fn parse_text(text: &str) -> Result<Self, CheckpointFault> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointFault::Malformed)?.split('\n');
        let mut line = || lines.next().ok_or(CheckpointFault::Malformed);
        let (origin, size, root) = (line()?, line()?, line()?);
        let digits = size.bytes().all(|b| b.is_ascii_digit()) && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| digits).ok_or(CheckpointFault::Malformed)?;
        let root = STANDARD.decode(root).ok().and_then(|r| r.try_into().ok());
        let root = root.ok_or(CheckpointFault::Malformed)?;
        if origin.is_empty() || lines.next().is_some() {
            return Err(CheckpointFault::Malformed);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Signs as the log itself: the key's name is the origin.
    pub fn sign(&self, key: &LedgerKey) -> Option<Vec<u8>> {
        key.sign_note(&self.text(), &self.origin)
    }

    /// Opens a checkpoint note of the log whose verifier key is `vkey`.
    pub fn open(note: &[u8], vkey: &Vkey) -> Result<Self, CheckpointFault> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse_text(note.verify(&[vkey])?)?;
        if checkpoint.origin == vkey.name() { Ok(checkpoint) } else { Err(CheckpointFault::OtherOrigin) }
    }

    /// What the note says, without believing it: for finding out whose it claims to be.
    pub fn peek(note: &[u8]) -> Result<Self, CheckpointFault> {
        Self::parse_text(Note::parse(note)?.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreign_crate_reads_our_checkpoint() {
        let ours = Checkpoint { origin: "tongban/421202/2026h2".into(), size: 600, root: [7; 32] };
        let foreign = tlog_tiles::Checkpoint::from_bytes(ours.text().as_bytes()).unwrap();
        assert_eq!(
            (foreign.origin(), foreign.size(), foreign.hash().0),
            ("tongban/421202/2026h2", 600, [7; 32])
        );
    }

    #[test]
    fn a_checkpoint_is_believed_from_its_own_log_only() {
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let ours = Checkpoint { origin: "tongban/421202/2026h2".into(), size: 0, root: [0; 32] };
        let note = ours.sign(&key).unwrap();
        assert_eq!(Checkpoint::open(&note, &key.vkey(&ours.origin).unwrap()), Ok(ours.clone()));
        let other = key.vkey("tongban/421202/2027h1").unwrap();
        assert_eq!(Checkpoint::open(&note, &other), Err(CheckpointFault::Note(NoteFault::Unsigned)));
        let relabelled = key.sign_note(&ours.text(), other.name()).unwrap();
        assert_eq!(Checkpoint::open(&relabelled, &other), Err(CheckpointFault::OtherOrigin));
    }

    #[test]
    fn sizes_have_one_spelling_and_extensions_none() {
        let root = STANDARD.encode([0; 32]);
        for text in ["o\n03\n", "o\n+3\n", "o\n-1\n", "o\n\n", "\n3\n", "o\n18446744073709551616\n"] {
            assert!(Checkpoint::parse_text(&format!("{text}{root}\n")).is_err(), "{text}");
        }
        assert!(Checkpoint::parse_text(&format!("o\n3\n{root}\nmore\n")).is_err());
        assert!(Checkpoint::parse_text(&format!("o\n3\n{root}")).is_err());
        assert!(Checkpoint::parse_text(&format!("o\n3\n{root}\n")).is_ok());
    }
}
