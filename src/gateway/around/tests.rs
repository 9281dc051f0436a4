//! The values that the console's pages show of witnesses and windows.

use super::*;
use crate::ledger::LedgerKey;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::note_of;
use crate::reconcile::{Book, Difference as Differing, DifferenceKind, Verdict, Window as Span};
use crate::witness::{CosignerKey, cosigner_name};

const NOW: Now = Now::from_secs(1_900_002_000);
const ORIGIN: &str = "tongban/421202/2030h1";
const BEFORE: &str = "tongban/421202/2029h2";
/// A full hour.
const HOUR: i64 = 1_899_997_200;

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

fn witness_of(seed: u8, code: &str) -> CosignerKey {
    CosignerKey::from_seed(&[seed; 32], &cosigner_name(region(code)))
}

/// 玉环, 滨海 and 咸宁 are asked for; two of them are enough.
fn policy() -> Policy {
    let mut text = String::new();
    for (name, seed, code) in [("yuhuan", 1, "331083"), ("binhai", 2, "320922"), ("xianning", 3, "421200")] {
        text.push_str(&format!("witness {name} {}\n", witness_of(seed, code).vkey()));
    }
    Policy::parse((text + "group partners 2 yuhuan binhai xianning\nquorum partners\n").as_bytes()).unwrap()
}

struct Scene {
    dir: tempfile::TempDir,
    witness: Witness,
}

impl Scene {
    fn with(policy: Option<Policy>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let witness = Witness::open(dir.path(), region("421202"), policy, NOW).unwrap();
        Self { dir, witness }
    }

    /// A partner cosigned our log of this name at this size, so many seconds ago.
    fn cosigned(&self, origin: &str, size: u64, by: &CosignerKey, code: &str, ago: i64) {
        let note = own_note(origin, size);
        let parsed = Note::parse(&note).unwrap();
        let at = Now::from_secs(NOW.secs() - ago);
        let line = by.cosign(parsed.text(), at);
        let answer = note_of("", [&line]);
        let took = self.witness.take_cosignature(code, by.vkey(), &note, &answer, at).unwrap();
        assert_eq!(took, Some(at.secs()));
    }

    fn seen(&self) -> Neighbours {
        let seen = Seen::at(self.dir.path(), &self.witness, ORIGIN, NOW).unwrap();
        Neighbours(Arc::new(ArcSwap::from_pointee(seen)))
    }
}

fn own_note(origin: &str, size: u64) -> Vec<u8> {
    let key = LedgerKey::from_seed(&[9; 32]).unwrap();
    Checkpoint { origin: origin.into(), size, root: [7; 32] }.sign(&key).unwrap()
}

#[test]
fn cosigners_are_told_by_log_with_size_and_time() {
    let scene = Scene::with(None);
    scene.cosigned(ORIGIN, 40, &witness_of(1, "331083"), "331083", 30);
    scene.cosigned(BEFORE, 900, &witness_of(2, "320922"), "320922", 90);
    let seen = scene.seen();
    let told = |origin| seen.cosigners(origin);
    assert_eq!(told(ORIGIN), [Cosigner { name: "331083".into(), size: 40, at: NOW.secs() - 30 }]);
    assert_eq!(told(BEFORE), [Cosigner { name: "320922".into(), size: 900, at: NOW.secs() - 90 }]);
    assert_eq!(
        (told("tongban/421202/2031h1"), seen.quorum()),
        (vec![], None),
        "without a policy none is asked"
    );
}

#[test]
fn the_quorum_counts_signatures_of_this_log_within_the_hour() {
    let scene = Scene::with(Some(policy()));
    let none = scene.seen().quorum().unwrap();
    assert_eq!((none.signed, none.of, none.need, none.met), (0, 3, 2, false));
    scene.cosigned(ORIGIN, 40, &witness_of(1, "331083"), "331083", 30);
    // Too long ago, of another log, and somebody whom the policy does not name.
    scene.cosigned(ORIGIN, 38, &witness_of(2, "320922"), "320922", QUORUM_LATE + 1);
    scene.cosigned(BEFORE, 90, &witness_of(3, "421200"), "421200", 30);
    scene.cosigned(ORIGIN, 40, &witness_of(4, "420000"), "420000", 30);
    let one = scene.seen().quorum().unwrap();
    assert_eq!(
        (one.signed, one.met, &one.missing[..]),
        (1, false, &["binhai".into(), "xianning".into()][..])
    );
    // Another size of the same log counts: it has seen it as well.
    scene.cosigned(ORIGIN, 41, &witness_of(3, "421200"), "421200", QUORUM_LATE);
    let two = scene.seen().quorum().unwrap();
    assert_eq!(two, Quorum { need: 2, of: 3, signed: 2, missing: vec!["binhai".into()], met: true });
}

#[test]
fn a_policy_that_asks_for_nobody_shows_no_quorum() {
    let scene = Scene::with(Some(Policy::parse(b"quorum none\n").unwrap()));
    assert_eq!(scene.seen().quorum(), None);
}

#[test]
fn whom_we_watch_is_told_with_the_newest_of_their_logs() {
    let scene = Scene::with(None);
    let key = LedgerKey::from_seed(&[5; 32]).unwrap();
    let root = crate::ledger::tree::leaf_hash(b"x");
    let origin = "tongban/331083/2030h1";
    let note = Checkpoint { origin: origin.into(), size: 1, root }.sign(&key).unwrap();
    let known = crate::witness::KnownLog { region: region("331083"), public: key.public() };
    let request = crate::witness::AddCheckpoint { old: 0, proof: vec![], note };
    let told = scene.witness.add_checkpoint(Some(known), &request.to_bytes(), NOW).unwrap();
    assert!(matches!(told, crate::witness::Answer::Cosigned(_)), "{told:?}");
    let seen = scene.seen();
    assert_eq!(seen.witnessed(region("331083")), Some((NOW.secs(), 1)));
    assert_eq!(seen.witnessed(region("320922")), None);
}

#[test]
fn windows_are_hours_with_their_items_and_the_oldest_open_one_is_named() {
    let scene = Scene::with(None);
    let book = Book::open(scene.dir.path()).unwrap();
    let peer = region("331083");
    let begun = Now::from_secs(HOUR);
    book.pair(peer, begun).unwrap();
    let verdict = |from: i64, to: i64, count| Verdict {
        window: Span { from, to },
        count,
        root: [1; 32],
        lost: 0,
        proposed: true,
    };
    // Two windows of the first hour are signed, the second hour differs in one exchange.
    book.agreed(peer, &verdict(HOUR, HOUR + 600, 5), b"note", NOW).unwrap();
    book.agreed(peer, &verdict(HOUR + 600, HOUR + 3_600, 7), b"note", NOW).unwrap();
    let differing = Differing { kind: DifferenceKind::PeerLacks, x: [3; 16], mine: None, theirs: None };
    let proof = serde_json::json!({"by": "partner-answer", "exchange": "0190f3a2-x"});
    let nameless = Differing { kind: DifferenceKind::Forged, x: [4; 16], mine: None, theirs: None };
    let found = [(differing, proof), (nameless, serde_json::json!({"by": "none"}))];
    let second = verdict(HOUR + 3_600, HOUR + 3_900, 2);
    book.differs(peer, &second, &found, &[], NOW).unwrap();
    let seen = scene.seen();
    let windows = seen.windows(peer, 0);
    let told: Vec<_> = windows.iter().map(|w| (w.start, w.end, w.items, w.state)).collect();
    assert_eq!(
        told[..2],
        [
            (HOUR, HOUR + 3_600, 12, WindowState::Agreed),
            (HOUR + 3_600, HOUR + 7_200, 2, WindowState::Different)
        ]
    );
    assert_eq!(seen.windows(peer, HOUR + 3_600).len(), windows.len() - 1);
    assert_eq!(seen.windows(region("320922"), 0), []);
    let difference = |exchange: &str, class: &str| Difference {
        exchange: exchange.into(),
        class: class.into(),
        window: HOUR + 3_600,
    };
    let mut differences = seen.differences(peer);
    differences.sort_by(|a, b| a.class.cmp(&b.class));
    // Where this side never had it there is the id's hash only.
    assert_eq!(
        differences,
        [difference(&hex::encode([4; 16]), "forged"), difference("0190f3a2-x", "peer-lacks")]
    );
    assert_eq!(seen.oldest_open_window(), None, "everything that is settled was decided");
    // An hour later nobody has signed what followed.
    let later = Now::from_secs(HOUR + 3 * 3_600 + 601);
    let seen = Seen::at(scene.dir.path(), &scene.witness, ORIGIN, later).unwrap();
    assert_eq!(seen.oldest_open, Some(HOUR + 7_200));
}
