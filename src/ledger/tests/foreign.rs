//! What other programs make of our log.

use tlog_tiles::tile::{Tile, TileHashReader, TileReader};
use tlog_tiles::tlog;

use super::super::checkpoint::Checkpoint;
use super::super::proof::Proof;
use super::*;

/// Reads our tiles the way the foreign crate wants them.
struct Foreign<'a>(&'a Ledger);
impl TileReader for Foreign<'_> {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog::Error> {
        Ok(tiles
            .iter()
            .map(|tile| self.0.tile(ORIGIN, &tile.path().replacen("tile/8/", "tile/", 1)).unwrap().unwrap())
            .collect())
    }
    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn foreign_checkpoint(ledger: &Ledger) -> tlog_tiles::Checkpoint {
    use signed_note::{Note, StandardVerifier, VerifierList};
    let vkey = ledger.vkey(ORIGIN).unwrap().to_string();
    let note = Note::from_bytes(&ledger.checkpoint(ORIGIN).unwrap()).unwrap();
    note.verify(&VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())])).unwrap();
    tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap()
}

#[tokio::test]
async fn a_foreign_verifier_accepts_checkpoint_tiles_and_proofs() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..300).await;
    assert!(ledger.flush().await);
    let older = foreign_checkpoint(&ledger);
    record_many(&ledger, 300..700).await;
    assert!(ledger.flush().await);
    let newer = foreign_checkpoint(&ledger);
    assert_eq!((older.size(), newer.size()), (301, 701));
    let (size, root) = (newer.size(), *newer.hash());
    let tiles = Foreign(&ledger);
    let reader = TileHashReader::new(size, root, &tiles);
    let consistency = tlog::prove_tree(size, older.size(), &reader).unwrap();
    tlog::check_tree(&consistency, size, root, older.size(), *older.hash()).unwrap();
    for index in [0, 255, 256, 511, 512, 700] {
        let entry = ledger.entry(ORIGIN, index).unwrap().unwrap();
        let leaf = tlog::record_hash(&entry.leaf);
        let theirs = tlog::prove_record(size, index, &reader).unwrap();
        let ours = Proof::parse(&entry.proof).unwrap();
        assert_eq!(ours.path, theirs.iter().map(|h| h.0).collect::<Vec<_>>());
        tlog::check_record(&theirs, size, root, index, leaf).unwrap();
        assert_eq!(ours.verify(&ledger.vkey(ORIGIN).unwrap()).unwrap().index, index);
    }
    let bundle = ledger.tile(ORIGIN, "tile/entries/002.p/189").unwrap().unwrap();
    let first = usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
    assert_eq!(bundle[2..2 + first], ledger.entry(ORIGIN, 512).unwrap().unwrap().leaf);
    place.assert_sound();
}

#[tokio::test]
async fn nothing_beyond_the_checkpoint_or_of_another_log_is_served() {
    let place = Home::new();
    let (ledger, _) = place.open();
    assert!(ledger.flush().await);
    let seen = ledger.record(answered(1)).await.unwrap();
    assert_eq!((seen.index, &*seen.origin), (1, ORIGIN));
    let checkpoint = Checkpoint::peek(&ledger.checkpoint(ORIGIN).unwrap()).unwrap();
    if checkpoint.size == 1 {
        // The sealer has not come round yet.
        assert_eq!(ledger.entry(ORIGIN, 1).unwrap(), None);
    }
    assert!(ledger.flush().await);
    let entry = ledger.entry(ORIGIN, 1).unwrap().unwrap();
    assert_eq!((entry.me.as_deref(), entry.peer.as_deref()), (Some("421202"), Some("331083")));
    assert_eq!(ledger.entry(ORIGIN, 2).unwrap(), None);
    assert_eq!(ledger.entry(ORIGIN, u64::MAX).unwrap(), None);
    for path in [
        "tile/0/000",
        "tile/0/000.p/3",
        "tile/1/000.p/1",
        "tile/entries/000.p/3",
        "checkpoint",
        "tile/0/../000",
    ] {
        assert_eq!(ledger.tile(ORIGIN, path).unwrap(), None, "{path}");
    }
    for origin in
        ["tongban/331083/2026h2", "tongban/421202/2026h3", "tongban/421202/2025h1", "2026h2", "../2026h2"]
    {
        assert_eq!(ledger.checkpoint(origin), None, "{origin}");
        assert_eq!(ledger.entry(origin, 0).unwrap(), None);
    }
}
