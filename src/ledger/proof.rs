//! One leaf with its proof, in a file that can be checked offline (c2sp.org/tlog-proof@v1).
//!
//! The leaf's bytes ride in `extra`: the format does not authenticate that line, the
//! inclusion path does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointFault};
use super::leaf::LARGEST_LEAF;
use super::note::{LARGEST_NOTE, Vkey};
use super::tree::{Hash, MOST_PROOF_HASHES, leaf_hash, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Bytes: a note, 63 hashes of 45 and the largest leaf in base64, rounded up.
pub const LARGEST_PROOF: usize = LARGEST_NOTE + 2 * LARGEST_LEAF;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    #[error("is not a c2sp.org/tlog-proof@v1 file")]
    Malformed,
    #[error("carries no leaf")]
    NoLeaf,
    #[error("its checkpoint {0}")]
    Checkpoint(#[from] CheckpointFault),
    #[error("does not lead from the leaf to the checkpoint's root")]
    NotIncluded,
}

/// A parsed proof file, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub leaf: Option<Vec<u8>>,
    pub index: u64,
    pub path: Vec<Hash>,
    pub checkpoint: Vec<u8>,
}

/// What a proof that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    pub leaf: Vec<u8>,
    pub index: u64,
    pub checkpoint: Checkpoint,
}

impl Proof {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{HEADER}\n");
        if let Some(leaf) = &self.leaf {
            text.push_str(&format!("extra {}\n", STANDARD.encode(leaf)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.checkpoint);
        bytes
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFault> {
        Self::parse_text(bytes).ok_or(ProofFault::Malformed)
    }

    fn parse_text(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LARGEST_PROOF {
            return None;
        }
        // The first blank line ends the proof; the note behind it has one of its own.
        let (head, note) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != HEADER {
            return None;
        }
        let leaf = match lines.peek()?.strip_prefix("extra ") {
            Some(extra) => {
                let leaf = STANDARD.decode(extra).ok()?;
                lines.next();
                Some(leaf)
            }
            None => None,
        };
        let digits = lines.next()?.strip_prefix("index ")?;
        let canonical =
            digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let index = digits.parse().ok().filter(|_| canonical)?;
        let path: Vec<Hash> =
            lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect::<Option<_>>()?;
        (path.len() <= MOST_PROOF_HASHES).then(|| Self {
            leaf,
            index,
            path,
            checkpoint: note.as_bytes().to_vec(),
        })
    }

    /// Believes the proof if the log's key signed the checkpoint and the path leads to it.
    pub fn verify(self, vkey: &Vkey) -> Result<Proven, ProofFault> {
        let leaf = self.leaf.ok_or(ProofFault::NoLeaf)?;
        let checkpoint = Checkpoint::open(&self.checkpoint, vkey)?;
        let included =
            verify_inclusion(&self.path, self.index, checkpoint.size, &leaf_hash(&leaf), &checkpoint.root);
        if included {
            Ok(Proven { leaf, index: self.index, checkpoint })
        } else {
            Err(ProofFault::NotIncluded)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key::LedgerKey;
    use super::super::tree::node_hash;
    use super::*;

    fn two_leaves() -> (Proof, Vkey) {
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let origin = "tongban/421202/2026h2".to_owned();
        let (first, second) = (leaf_hash(b"one"), leaf_hash(b"two"));
        let checkpoint = Checkpoint { origin: origin.clone(), size: 2, root: node_hash(&first, &second) };
        let proof = Proof {
            leaf: Some(b"two".to_vec()),
            index: 1,
            path: vec![first],
            checkpoint: checkpoint.sign(&key).unwrap(),
        };
        (proof, key.vkey(&origin).unwrap())
    }

    #[test]
    fn a_proof_travels_as_a_file_and_holds() {
        let (proof, vkey) = two_leaves();
        let bytes = proof.to_bytes();
        assert!(bytes.starts_with(b"c2sp.org/tlog-proof@v1\nextra dHdv\nindex 1\n"));
        let proven = Proof::parse(&bytes).unwrap().verify(&vkey).unwrap();
        assert_eq!((proven.leaf.as_slice(), proven.index, proven.checkpoint.size), (b"two".as_slice(), 1, 2));
    }

    #[test]
    fn a_changed_leaf_index_or_checkpoint_is_refused() {
        let (proof, vkey) = two_leaves();
        let other_leaf = Proof { leaf: Some(b"three".to_vec()), ..proof.clone() };
        assert_eq!(other_leaf.verify(&vkey), Err(ProofFault::NotIncluded));
        let other_place = Proof { index: 0, ..proof.clone() };
        assert_eq!(other_place.verify(&vkey), Err(ProofFault::NotIncluded));
        assert_eq!(Proof { leaf: None, ..proof.clone() }.verify(&vkey), Err(ProofFault::NoLeaf));
        let text = String::from_utf8(proof.to_bytes()).unwrap().replace("2026h2\n2\n", "2026h2\n3\n");
        assert!(matches!(
            Proof::parse(text.as_bytes()).unwrap().verify(&vkey),
            Err(ProofFault::Checkpoint(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(at in 0_usize..300, byte in any::<u8>()) {
            let mut bytes = two_leaves().0.to_bytes();
            if let Some(b) = bytes.get_mut(at) { *b = byte; }
            let _ = Proof::parse(&bytes);
        }
    }
}
