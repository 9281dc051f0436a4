//! What an auditor's tool reads from strangers: signed notes, checkpoints, proofs, tile
//! paths, verifier keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tongban::ledger::{Checkpoint, Note, Proof, TilePath, VerifierKey};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::parse(bytes) {
        let _ = Checkpoint::parse(note.text());
    }
    let _ = Proof::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = TilePath::parse(text);
        let _ = VerifierKey::parse(text);
    }
});
