//! What an auditor's tool reads from strangers: signed notes, checkpoints, proofs, tile
//! paths, verifier keys, leaves. What parses is written back as the same bytes, or reads the
//! same again where the format leaves room.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tongban::ledger::checkpoint::Checkpoint;
use tongban::ledger::leaf::{Leaf, is_canonical};
use tongban::ledger::note::{Note, Vkey};
use tongban::ledger::proof::Proof;
use tongban::ledger::tiles::TileName;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::parse(bytes) {
        assert!(note.text().ends_with('\n') && !note.signatures().is_empty());
        if let Ok(checkpoint) = Checkpoint::parse_text(note.text()) {
            assert_eq!(checkpoint.text(), note.text(), "a checkpoint has one spelling");
        }
    }
    if let Ok(proof) = Proof::parse(bytes) {
        assert_eq!(Proof::parse(&proof.to_bytes()).as_ref(), Ok(&proof));
        assert_eq!(proof.to_bytes(), bytes, "a proof has one spelling");
        let vkey = Vkey::new("tongban/421202/2026h2", [7; 32]).expect("a good name");
        assert!(proof.verify(&vkey).is_err(), "nobody has that key");
    }
    if let Some(leaf) = Leaf::from_bytes(bytes) {
        if let Some(written) = leaf.to_bytes() {
            assert!(is_canonical(&written));
            assert_eq!(Leaf::from_bytes(&written).and_then(|leaf| leaf.to_bytes()), Some(written));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse_text(text) {
        assert_eq!(checkpoint.text(), text);
    }
    if let Some(name) = TileName::parse(text) {
        assert_eq!(name.to_string(), text, "a tile has one path");
        assert!(name.full().is_full());
        let _ = name.stands_in(u64::MAX);
    }
    if let Ok(vkey) = Vkey::parse(text) {
        assert_eq!(vkey.to_string(), text, "a verifier key has one spelling");
    }
});
