//! What was changed behind the ledger's back is found and named.

use base64::Engine as _;

use super::super::proof::Proof;
use super::super::verify::FindingKind;
use super::*;

/// A log of 300 leaves at rest, with everything in its files.
async fn log_at_rest() -> Home {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..299).await;
    assert!(ledger.flush().await);
    drop(ledger);
    // There is an index if there was time to make one; without it findings are of leaves alone.
    let index = place.dir.path().join("ledger/2026h2/2026-11.index.db");
    crate::store::sqlite::remove_index(&index).unwrap();
    place.assert_sound();
    place
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= mask;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn one_flipped_byte_of_a_leaf_is_named_with_file_and_index() {
    let place = log_at_rest().await;
    let month = "ledger/2026h2/2026-11.db";
    for n in [0_u32, 17, 298] {
        let copy = place.copy();
        let path = copy.dir.path().join(month);
        let bytes = std::fs::read(&path).unwrap();
        let wanted = format!("\"x\":\"exchange-{n:014}\"");
        let at = bytes.windows(wanted.len()).position(|w| w == wanted.as_bytes()).unwrap();
        flip(&path, at + 20, 1);
        let verdict = copy.verdict();
        let finding = &verdict.findings[0];
        assert_eq!((finding.kind, finding.file.as_str()), (FindingKind::LeafChanged, month));
        let shown = verify::find(place.dir.path(), &format!("exchange-{n:014}")).unwrap();
        assert_eq!((finding.index, verdict.findings.len()), (Some(shown[0].index), 1));
    }
}

#[tokio::test]
async fn a_flip_anywhere_in_tile_or_checkpoint_is_named_with_the_file() {
    let place = log_at_rest().await;
    for (file, kind) in [
        ("tile/0/000", FindingKind::TileChanged),
        ("tile/0/001.p/44", FindingKind::TileChanged),
        ("tile/1/000.p/1", FindingKind::TileChanged),
        ("checkpoint", FindingKind::CheckpointInvalid),
    ] {
        let file = format!("tiles/{ORIGIN}/{file}");
        let length = std::fs::metadata(place.dir.path().join(&file)).unwrap().len() as usize;
        for at in [0, length / 3, length - 1] {
            let copy = place.copy();
            flip(&copy.dir.path().join(&file), at, 0x10);
            let verdict = copy.verdict();
            let told: Vec<_> = verdict.findings.iter().map(|f| (f.kind, f.file.clone())).collect();
            assert_eq!(told, [(kind, file.clone())], "byte {at}");
        }
        let copy = place.copy();
        std::fs::remove_file(copy.dir.path().join(&file)).unwrap();
        let verdict = copy.verdict();
        assert_eq!((verdict.findings.len(), &verdict.findings[0].file), (1, &file), "{:?}", verdict.findings);
    }
}

#[tokio::test]
async fn rewriting_removing_and_moving_leaves_is_found() {
    let place = log_at_rest().await;
    let month = "ledger/2026h2/2026-11.db";
    let changed = |sql: &str| {
        let copy = place.copy();
        let connection = rusqlite::Connection::open(copy.dir.path().join(month)).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let verdict = copy.verdict();
        assert!(!verdict.sound);
        (verdict.findings[0].kind, verdict.findings[0].index)
    };
    let forged = br#"{"me":"421202","t":"in","ts":1795276800000,"v":1}"#;
    let hash = hex::encode(tree::leaf_hash(forged));
    let forge = format!(
        "UPDATE leaf SET leaf='{}', hash=x'{hash}', exchange=NULL WHERE idx=100",
        String::from_utf8_lossy(forged)
    );
    assert_eq!(changed(&forge), (FindingKind::LeafRewritten, Some(100)));
    assert_eq!(changed("DELETE FROM leaf WHERE idx=100"), (FindingKind::LeafMissing, Some(100)));
    assert_eq!(changed("DELETE FROM leaf WHERE idx>=290"), (FindingKind::LeafMissing, Some(290)));
    assert_eq!(changed("DELETE FROM leaf"), (FindingKind::LeafMissing, Some(0)));
    assert_eq!(
        changed("UPDATE leaf SET idx=9223372036854775800 WHERE idx=299"),
        (FindingKind::LeafMissing, Some(299))
    );
    assert_eq!(changed("UPDATE leaf SET hash=zeroblob(32) WHERE idx=7"), (FindingKind::HashChanged, Some(7)));
    assert_eq!(changed("UPDATE leaf SET exchange='other' WHERE idx=7"), (FindingKind::IndexChanged, Some(7)));
    let taken = "UPDATE batch SET taken=zeroblob(40) WHERE first=0";
    assert_eq!(changed(taken), (FindingKind::MemoryChanged, Some(0)));
    let swap = "UPDATE leaf SET idx=-1 WHERE idx=7; UPDATE leaf SET idx=7 WHERE idx=8; UPDATE leaf SET idx=8 WHERE idx=-1";
    assert_eq!(changed(swap), (FindingKind::LeafRewritten, Some(7)));
}

#[tokio::test]
async fn any_flipped_byte_of_a_store_at_rest_is_found() {
    let place = log_at_rest().await;
    // With an index, too: each of its rows is then of a leaf that cannot be read.
    let (ledger, _) = place.open();
    assert!(ledger.index().await);
    drop(ledger);
    for (file, flips) in [("ledger/2026h2/2026-11.db", 40), ("ledger/state.db", 10)] {
        let length = std::fs::metadata(place.dir.path().join(file)).unwrap().len() as usize;
        // A fixed odd stride walks over all kinds of pages and places in them.
        for (n, at) in (0..length).step_by((length / flips) | 1).enumerate() {
            let copy = place.copy();
            flip(&copy.dir.path().join(file), at, 1 << (n % 8));
            let verdict = copy.verdict();
            assert!(!verdict.sound, "{file} byte {at}");
            assert!(
                verdict.findings.iter().any(|f| f.file == file),
                "{file} byte {at}: {:?}",
                verdict.findings
            );
        }
    }
}

#[tokio::test]
async fn a_store_killed_in_the_middle_of_work_is_sound() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..50).await;
    assert!(ledger.flush().await);
    record_many(&ledger, 50..60).await;
    let killed = place.copy();
    killed.assert_sound();
    drop(killed.open());
    killed.assert_sound();
}

#[tokio::test]
async fn verification_works_beside_a_running_gateway_and_without_a_given_key() {
    let place = Home::new();
    let (ledger, _) = place.open();
    record_many(&ledger, 0..20).await;
    assert!(ledger.flush().await);
    record_many(&ledger, 20..30).await;
    let verdict = verify(place.dir.path(), None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
    assert_eq!((verdict.logs[0].leaves, verdict.logs[0].key), (31, verify::KeySource::Genesis));
    let other = verify(place.dir.path(), Some([3; 32])).unwrap();
    assert!(other.findings.iter().any(|f| f.kind == FindingKind::KeyDiffers));
    assert!(other.findings.iter().any(|f| f.kind == FindingKind::CheckpointInvalid));
    assert!(verify(&place.dir.path().join("nowhere"), None).is_err());
}

#[tokio::test]
async fn a_leaf_is_shown_and_proven_from_the_directory_alone() {
    let place = log_at_rest().await;
    let shown = verify::find(place.dir.path(), "exchange-00000000000005").unwrap();
    assert!(shown[0].sealed && shown[0].leaf["x"] == "exchange-00000000000005");
    let by_index = verify::find(place.dir.path(), &shown[0].index.to_string()).unwrap();
    assert_eq!(by_index, shown);
    assert_eq!(verify::find(place.dir.path(), &format!("2026h2/{}", shown[0].index)).unwrap(), shown);
    let proof = verify::proof(place.dir.path(), &shown[0].index.to_string()).unwrap();
    let vkey = LedgerKey::from_seed(&[1; 32]).unwrap().vkey(ORIGIN).unwrap();
    let proven = Proof::parse(&proof.to_bytes()).unwrap().verify(&vkey).unwrap();
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tree::leaf_hash(&proven.leaf));
    assert_eq!(hash, shown[0].leaf_hash);
    assert!(matches!(verify::find(place.dir.path(), "999"), Err(verify::LookFault::NoSuchLeaf)));
}
