//! The body of `add-checkpoint` (c2sp.org/tlog-witness): an old size, a consistency proof,
//! an empty line, a checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ledger::tree::{Hash, MOST_PROOF_HASHES};

/// Bytes: 63 hashes and a checkpoint with a hundred cosignatures have 20 KiB.
pub const LARGEST_REQUEST: usize = 64 << 10;

/// What a log brings to its witness; nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    pub old: u64,
    pub proof: Vec<Hash>,
    pub note: Vec<u8>,
}

impl AddCheckpoint {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.note);
        bytes
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LARGEST_REQUEST {
            return None;
        }
        // The first blank line ends the proof; the note behind it has one of its own.
        let (head, note) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = read_size(lines.next()?.strip_prefix("old ")?)?;
        let proof: Vec<Hash> =
            lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect::<Option<_>>()?;
        (proof.len() <= MOST_PROOF_HASHES).then(|| Self { old, proof, note: note.as_bytes().to_vec() })
    }
}

/// A tree size as these formats write it: decimal, one spelling, at most 2^63 − 1.
pub fn read_size(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|size| digits && i64::try_from(*size).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_travels() {
        let request = AddCheckpoint { old: 512, proof: vec![[7; 32], [8; 32]], note: b"a\n\nb\n".to_vec() };
        let bytes = request.to_bytes();
        assert!(bytes.starts_with(b"old 512\nBwcH"));
        assert_eq!(AddCheckpoint::parse(&bytes), Some(request));
        let first = AddCheckpoint { old: 0, proof: vec![], note: b"a\n".to_vec() };
        assert_eq!(first.to_bytes(), b"old 0\n\na\n");
        assert_eq!(AddCheckpoint::parse(&first.to_bytes()), Some(first));
    }

    #[test]
    fn a_size_has_one_spelling_and_a_proof_63_hashes() {
        for size in ["", "01", "+1", "-1", " 1", "1 ", "9223372036854775808", "18446744073709551616", "x"] {
            assert_eq!(read_size(size), None, "{size}");
        }
        assert_eq!(read_size("9223372036854775807"), Some(i64::MAX.unsigned_abs()));
        let with =
            |n: usize| format!("old 1\n{}\nnote\n", format!("{}\n", STANDARD.encode([0; 32])).repeat(n));
        assert!(AddCheckpoint::parse(with(63).as_bytes()).is_some());
        assert!(AddCheckpoint::parse(with(64).as_bytes()).is_none());
        for text in ["old 1\nnote", "old 1\nAAAA\n\nnote\n", "new 1\n\nnote\n", "old 1 \n\nnote\n", ""] {
            assert!(AddCheckpoint::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = AddCheckpoint::parse(&bytes);
        }
    }
}
