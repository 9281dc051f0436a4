use std::ffi::OsString;
use std::path::Path;

use super::super::{Exit, run};
use crate::clock::{Clock, Now};
use crate::domain::Region;
use crate::ledger::{Leaf, LeafKind, Ledger, LedgerKey, LedgerSettings};

const X: &str = "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22";

/// A data directory with three leaves and its ledger's verifier key.
async fn log(dir: &Path) -> String {
    let settings = LedgerSettings {
        data_dir: dir.to_owned(),
        region: Region::parse("421202").unwrap(),
        key: LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap(),
        auditors: Vec::new(),
        clock: Clock::by_hand(Now::from_secs(1_795_276_800)),
    };
    let (ledger, recovered) = Ledger::open(settings).unwrap();
    let mut leaf = Leaf::new(LeafKind::In);
    leaf.x = Some(X.into());
    ledger.record(leaf.into()).await.unwrap();
    ledger.record(Leaf::new(LeafKind::Config).into()).await.unwrap();
    assert!(ledger.flush().await);
    ledger.vkey(&recovered.origin).unwrap().to_string()
}

fn audit(arguments: &[&str]) -> Exit {
    run(["tongban", "audit"].iter().chain(arguments).map(OsString::from))
}

#[tokio::test]
async fn a_sound_log_ends_with_0_a_changed_one_with_2_and_none_with_64() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let vkey = log(&data).await;
    let (home, data) = (dir.path().to_str().unwrap(), data.to_str().unwrap());
    assert_eq!(audit(&["verify", data]), Exit::Well);
    assert_eq!(audit(&["verify", home, "--json"]), Exit::Well);
    assert_eq!(audit(&["verify", data, "--vkey", &vkey]), Exit::Well);
    let stranger = LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap();
    let stranger = stranger.vkey("tongban/421202/2026h2").unwrap().to_string();
    assert_eq!(audit(&["verify", data, "--vkey", &stranger]), Exit::Found);
    assert_eq!(audit(&["verify", data, "--vkey", "nonsense"]), Exit::Usage);
    assert_eq!(audit(&["verify", "/nowhere"]), Exit::Usage);
    let month = Path::new(data).join("ledger/2026h2/2026-11.db");
    let mut bytes = std::fs::read(&month).unwrap();
    let at = bytes.windows(X.len()).position(|w| w == X.as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&month, bytes).unwrap();
    assert_eq!(audit(&["verify", data]), Exit::Found);
}

#[tokio::test]
async fn a_leaf_is_shown_and_its_proof_travels() {
    let dir = tempfile::tempdir().unwrap();
    let vkey = log(dir.path()).await;
    let data = dir.path().to_str().unwrap();
    for what in [X, "0", "2026h2/2"] {
        assert_eq!(audit(&["show", what, "--dir", data]), Exit::Well, "{what}");
    }
    assert_eq!(audit(&["show", "9", "--dir", data]), Exit::Failed);
    let file = dir.path().join("one.tlog-proof");
    let name = file.to_str().unwrap();
    assert_eq!(audit(&["proof", "1", "--dir", data, "-o", name]), Exit::Well);
    assert_eq!(audit(&["proof", "--check", name, "--vkey", &vkey]), Exit::Well);
    let changed = std::fs::read_to_string(&file).unwrap().replace("index 1\n", "index 2\n");
    std::fs::write(&file, changed).unwrap();
    assert_eq!(audit(&["proof", "--check", name, "--vkey", &vkey]), Exit::Found);
    assert_eq!(audit(&["proof"]), Exit::Usage);
}
