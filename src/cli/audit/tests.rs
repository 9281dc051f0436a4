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
        workers: None,
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

/// A log of three leaves whose checkpoint two witnesses cosigned, and the policy that names them.
async fn witnessed(dir: &Path) -> (Vec<crate::witness::CosignerKey>, Vec<u8>) {
    use crate::ledger::note::{Note, note_of};
    use crate::witness::CosignerKey;
    log(dir).await;
    let origin = "tongban/421202/2026h2";
    let checkpoint = dir.join("tiles").join(origin).join("checkpoint");
    let plain = std::fs::read(&checkpoint).unwrap();
    let note = Note::parse(&plain).unwrap();
    let keys: Vec<_> = (1..=2).map(|n| CosignerKey::from_seed(&[n; 32], &format!("w{n}"))).collect();
    let now = Now::from_secs(1_795_276_800);
    let lines: Vec<_> = keys.iter().map(|key| key.cosign(note.text(), now)).collect();
    let cosigned = note_of(note.text(), note.signatures().iter().chain(&lines));
    std::fs::write(checkpoint.with_file_name("cosigned"), &cosigned).unwrap();
    (keys, cosigned)
}

#[tokio::test]
async fn a_proof_is_checked_against_a_policy_without_the_logs_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (keys, _) = witnessed(&data).await;
    let verdict = crate::ledger::verify::verify(&data, None).unwrap();
    assert!(verdict.sound, "{:?}", verdict.findings);
    let vkey = verdict.logs[0].vkey.clone().unwrap();
    let (file, policy) = (dir.path().join("one.tlog-proof"), dir.path().join("policy"));
    let name = file.to_str().unwrap();
    assert_eq!(audit(&["proof", "1", "--dir", data.to_str().unwrap(), "-o", name]), Exit::Well);
    let check = |text: String| {
        std::fs::write(&policy, text).unwrap();
        audit(&["proof", "--check", name, "--policy", policy.to_str().unwrap(), "--json"])
    };
    let log = format!("log {vkey}\n");
    let (one, two) = (keys[0].vkey().to_string(), keys[1].vkey().to_string());
    let stranger = crate::witness::CosignerKey::from_seed(&[9; 32], "w9").vkey().to_string();
    let both = format!("witness a {one}\nwitness b {two}\ngroup g all a b\nquorum g\n");
    assert_eq!(check(format!("{log}{both}")), Exit::Well);
    assert_eq!(
        check(format!("{log}witness a {one}\nwitness c {stranger}\ngroup g all a c\nquorum g\n")),
        Exit::Found
    );
    assert_eq!(check(format!("{log}quorum none\n")), Exit::Well);
    assert_eq!(check(format!("{log}quorum nobody\n")), Exit::Usage);
    let other = LedgerKey::from_pem(LedgerKey::generate_pem().unwrap().as_bytes()).unwrap();
    let other = other.vkey("tongban/421202/2026h2").unwrap();
    assert_eq!(check(format!("log {other}\n{both}")), Exit::Found, "another log's key");
    // A cosignature that does not hold is no cosignature fewer, it is a forged proof.
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.rfind("w2 ").unwrap() + 30;
    let forged =
        format!("{}{}{}", &text[..at], if &text[at..=at] == "A" { "B" } else { "A" }, &text[at + 1..]);
    std::fs::write(&file, forged).unwrap();
    assert_eq!(check(format!("{log}{both}")), Exit::Found);
}

#[tokio::test]
async fn a_cosigned_checkpoint_beyond_the_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    witnessed(dir.path()).await;
    let tiles = dir.path().join("tiles/tongban/421202/2026h2");
    let text = std::fs::read_to_string(tiles.join("cosigned")).unwrap();
    std::fs::write(tiles.join("cosigned"), text.replace("2026h2\n3\n", "2026h2\n4\n")).unwrap();
    assert_eq!(audit(&["verify", dir.path().to_str().unwrap()]), Exit::Found);
}

#[tokio::test]
async fn the_witnesses_standing_is_told_and_a_late_quorum_found() {
    use crate::witness::{Policy, Witness};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let (keys, cosigned) = witnessed(dir.path()).await;
    assert_eq!(audit(&["witness", "status", "--dir", data]), Exit::Well, "nobody has to");
    let text = format!("witness a {}\nquorum a\n", keys[0].vkey());
    let file = dir.path().join("policy");
    std::fs::write(&file, &text).unwrap();
    let policy = file.to_str().unwrap();
    assert_eq!(audit(&["witness", "status", "--dir", data, "--policy", policy]), Exit::Found, "never met");
    for (at, says) in [(Clock::system().now(), Exit::Well), (Now::from_secs(1_600_000_000), Exit::Found)] {
        let _ = std::fs::remove_file(dir.path().join("witness.db"));
        let region = Region::parse("421202").unwrap();
        let witness = Witness::open(dir.path(), region, Policy::parse(text.as_bytes()).ok(), at).unwrap();
        let plain = std::fs::read(dir.path().join("tiles/tongban/421202/2026h2/checkpoint")).unwrap();
        let taken = witness.take_cosignature("331083", keys[0].vkey(), &plain, &cosigned, at).unwrap();
        assert!(taken.is_some() && witness.join(&plain, at).unwrap().judged.quorum);
        drop(witness);
        for json in [None, Some("--json")] {
            let arguments = ["witness", "status", "--dir", data, "--policy", policy];
            let arguments: Vec<_> = arguments.into_iter().chain(json).collect();
            assert_eq!(audit(&arguments), says, "{at:?}");
        }
    }
}
