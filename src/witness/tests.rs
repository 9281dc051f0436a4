use std::convert::Infallible;
use std::path::Path;

use super::*;
use crate::ledger::LedgerKey;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::Note;
use crate::ledger::tree::{Hash, Subtrees, consistency_proof, empty_root, leaf_hash, root, root_of};

const ORIGIN: &str = "tongban/421202/2026h2";
const NOW: Now = Now::from_secs(1_795_276_800);

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

/// A partner's log: its leaves and its key.
struct Log {
    leaves: Vec<Hash>,
    key: LedgerKey,
}

impl Subtrees for Log {
    type Fault = Infallible;
    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let width = 1_usize << level;
        let start = index as usize * width;
        Ok(root_of(&self.leaves[start..start + width]))
    }
}

impl Log {
    /// Leaves that begin with `start` differ from those that begin otherwise.
    fn of(start: &str, n: u64) -> Self {
        let leaves = (0..n).map(|i| leaf_hash(format!("{start}{i}").as_bytes())).collect();
        Self { leaves, key: LedgerKey::from_seed(&[1; 32]).unwrap() }
    }

    fn checkpoint(&self, origin: &str, size: u64) -> Vec<u8> {
        let root = if size == 0 { empty_root() } else { root(self, size).unwrap() };
        Checkpoint { origin: origin.into(), size, root }.sign(&self.key).unwrap()
    }

    fn bring(&self, old: u64, size: u64) -> AddCheckpoint {
        let proof = consistency_proof(self, old, size).unwrap().unwrap_or_default();
        AddCheckpoint { old, proof, note: self.checkpoint(ORIGIN, size) }
    }

    fn known(&self) -> Option<KnownLog> {
        Some(KnownLog { region: region("421202"), public: self.key.public() })
    }
}

fn open(dir: &Path) -> Witness {
    Witness::open(dir, region("331083"), None, NOW).unwrap()
}

fn witness() -> (tempfile::TempDir, Witness, Log) {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path());
    (dir, witness, Log::of("", 40))
}

impl Witness {
    fn told(&self, log: &Log, request: &AddCheckpoint) -> Answer {
        self.add_checkpoint(log.known(), &request.to_bytes(), NOW).unwrap()
    }
}

#[test]
fn a_log_that_grows_is_cosigned_and_the_line_holds_under_the_published_key() {
    let (_dir, witness, log) = witness();
    for (old, size) in [(0, 0), (0, 3), (3, 3), (3, 17), (17, 40), (40, 40)] {
        let request = log.bring(old, size);
        let Answer::Cosigned(line) = witness.told(&log, &request) else { panic!("{old} → {size}") };
        let note = Note::parse(&[&request.note, line.as_bytes()].concat()).unwrap();
        let published = CosignerVkey::parse(&witness.vkey().to_string()).unwrap();
        assert_eq!(published.cosigned_at(&note), Ok(Some(NOW.secs())));
        let kept = witness.last_cosigned(&id_of(ORIGIN)).unwrap().unwrap();
        assert_eq!(kept, [&request.note, line.as_bytes()].concat());
    }
    assert_eq!(witness.last_cosigned(&id_of("tongban/421202/2027h1")).unwrap(), None);
}

#[test]
fn every_refusal_has_its_answer_in_the_order_of_the_protocol() {
    let (_dir, witness, log) = witness();
    let told = |request: &AddCheckpoint| witness.told(&log, request);
    assert!(matches!(told(&log.bring(0, 20)), Answer::Cosigned(_)));
    // 400: no such request.
    for body in [&b""[..], b"old 1\n\n", b"old x\n\nnote\n", &[0xff; 10], &vec![b'a'; LARGEST_REQUEST + 1]] {
        assert_eq!(witness.add_checkpoint(log.known(), body, NOW).unwrap(), Answer::Bad);
    }
    // 404: no log of this partner's, whoever signed it and whatever is wrong besides.
    for origin in ["tongban/331083/2026h2", "tongban/421202/2026h3", "tongban/421202", "elsewhere"] {
        let note = log.checkpoint(origin, 5);
        assert_eq!(told(&AddCheckpoint { old: 9, proof: vec![], note }), Answer::UnknownLog, "{origin}");
    }
    let request = log.bring(20, 30);
    let nobody = witness.add_checkpoint(None, &request.to_bytes(), NOW).unwrap();
    assert_eq!(nobody, Answer::UnknownLog, "a card without a ledger");
    // 403: another key, under its own name or under the log's.
    let stranger = LedgerKey::from_seed(&[2; 32]).unwrap();
    let text = Note::parse(&request.note).unwrap().text().to_owned();
    for name in [ORIGIN, "tongban/421202/w1"] {
        let note = stranger.sign_note(&text, name).unwrap();
        assert_eq!(told(&AddCheckpoint { old: 99, note, ..request.clone() }), Answer::NotSigned);
    }
    let changed = String::from_utf8(request.note.clone()).unwrap().replace("\n30\n", "\n31\n");
    let failing = AddCheckpoint { note: changed.into_bytes(), ..request.clone() };
    assert_eq!(told(&failing), Answer::NotSigned, "a known key whose signature fails");
    // 400: backwards by its own word.
    assert_eq!(told(&AddCheckpoint { old: 31, ..request.clone() }), Answer::Bad);
    // 409, with the size.
    assert_eq!(told(&log.bring(0, 30)), Answer::Conflict(20));
    assert_eq!(told(&log.bring(10, 10)), Answer::Conflict(20));
    assert_eq!(told(&log.bring(21, 30)), Answer::Conflict(20));
    // 422 at equal size: another tree; the evidence stays.
    let forked = Log::of("other", 40);
    assert_eq!(told(&forked.bring(20, 20)), Answer::Contradiction);
    // 422: not the same history, or no proof of it.
    assert_eq!(told(&forked.bring(20, 30)), Answer::NotConsistent);
    assert_eq!(told(&AddCheckpoint { proof: vec![], ..request.clone() }), Answer::NotConsistent);
    assert_eq!(told(&AddCheckpoint { proof: vec![[7; 32]], ..log.bring(20, 20) }), Answer::NotConsistent);
    // None of it moved anything.
    assert!(matches!(told(&request), Answer::Cosigned(_)));
}

#[test]
fn two_trees_of_one_size_are_kept_as_evidence_and_not_without_end() {
    let (dir, witness, log) = witness();
    assert!(matches!(witness.told(&log, &log.bring(0, 20)), Answer::Cosigned(_)));
    for n in 0..20 {
        let forked = Log::of(&format!("{n}-"), 20);
        assert_eq!(witness.told(&forked, &forked.bring(20, 20)), Answer::Contradiction);
    }
    drop(witness);
    let shown = Shown::read(&book_path(dir.path())).unwrap();
    assert_eq!(shown.contradictions.len(), 16);
    let vkey = log.key.vkey(ORIGIN).unwrap();
    let one = &shown.contradictions[0];
    let (kept, brought) =
        (Checkpoint::open(&one.kept, &vkey).unwrap(), Checkpoint::open(&one.brought, &vkey).unwrap());
    assert_eq!((kept.size, brought.size, one.size), (20, 20, 20));
    assert_ne!(kept.root, brought.root, "both signed by the log's own key");
}

#[test]
fn an_empty_tree_has_one_root_only() {
    let (_dir, witness, log) = witness();
    let note = Checkpoint { origin: ORIGIN.into(), size: 0, root: [7; 32] }.sign(&log.key).unwrap();
    assert_eq!(witness.told(&log, &AddCheckpoint { old: 0, proof: vec![], note }), Answer::Contradiction);
}

#[test]
fn the_next_half_year_is_a_first_contact_under_the_same_key() {
    let (_dir, witness, log) = witness();
    assert!(matches!(witness.told(&log, &log.bring(0, 20)), Answer::Cosigned(_)));
    let next = |old| AddCheckpoint { old, proof: vec![], note: log.checkpoint("tongban/421202/2027h1", 5) };
    assert_eq!(witness.told(&log, &next(20)), Answer::Bad, "it has five leaves");
    assert_eq!(witness.told(&log, &next(5)), Answer::Conflict(0));
    assert!(matches!(witness.told(&log, &next(0)), Answer::Cosigned(_)));
}

#[test]
fn of_two_at_once_one_is_cosigned_and_the_tree_never_goes_back() {
    for _ in 0..20 {
        let (_dir, witness, log) = witness();
        assert!(matches!(witness.told(&log, &log.bring(0, 10)), Answer::Cosigned(_)));
        let answers: Vec<(u64, Answer)> = std::thread::scope(|scope| {
            let (witness, log) = (&witness, &log);
            let run = |size| scope.spawn(move || (size, witness.told(log, &log.bring(10, size))));
            let both = [run(20), run(30)];
            both.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            answers.iter().partition(|(_, answer)| matches!(answer, Answer::Cosigned(_)));
        assert_eq!((won.len(), lost.len()), (1, 1));
        assert_eq!(lost[0].1, Answer::Conflict(won[0].0));
        let kept = witness.last_cosigned(&id_of(ORIGIN)).unwrap().unwrap();
        assert_eq!(Checkpoint::peek(&kept).unwrap().size, won[0].0);
    }
}

#[test]
fn what_was_cosigned_is_remembered_after_a_crash() {
    let (dir, witness, log) = witness();
    assert!(matches!(witness.told(&log, &log.bring(0, 20)), Answer::Cosigned(_)));
    // A crash: what the process left on disk, without its end.
    let after = tempfile::tempdir().unwrap();
    std::fs::create_dir(after.path().join("ledger")).unwrap();
    for name in ["witness.db", "witness.db-wal", "ledger/witness.key"] {
        let to = after.path().join(name);
        std::fs::copy(dir.path().join(name), &to).unwrap();
    }
    let again = open(after.path());
    assert_eq!(again.vkey(), witness.vkey());
    assert_eq!(again.told(&log, &log.bring(0, 20)), Answer::Conflict(20));
    assert!(matches!(again.told(&log, &log.bring(20, 30)), Answer::Cosigned(_)));
}

#[test]
fn a_stop_before_the_commit_leaves_what_was_there() {
    let (_dir, witness, log) = witness();
    assert!(matches!(witness.told(&log, &log.bring(0, 20)), Answer::Cosigned(_)));
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        witness.book().decide(ORIGIN, 0, |_| -> book::Act<()> { panic!("pulled the plug") })
    }));
    assert!(stopped.is_err());
    assert!(matches!(witness.told(&log, &log.bring(20, 30)), Answer::Cosigned(_)));
}

/// A witness of `log`'s that has cosigned `size` leaves, with its answer.
fn cosign(log: &Log, seed: u8, size: u64) -> (CosignerVkey, Vec<u8>) {
    let key = CosignerKey::from_seed(&[seed; 32], &format!("tongban/33108{seed}/w1"));
    let text = Note::parse(&log.checkpoint(ORIGIN, size)).unwrap().text().to_owned();
    (key.vkey().clone(), format!("{}\n", key.cosign(&text, NOW)).into_bytes())
}

#[test]
fn cosignatures_of_one_size_are_joined_and_the_policy_says_when_they_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::of("", 40);
    let (one, one_says) = cosign(&log, 3, 20);
    let (two, two_says) = cosign(&log, 4, 20);
    let text = format!("witness a {one}\nwitness b {two}\ngroup both all a b\nquorum both\n");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let later = Now::from_secs(NOW.secs() + 5000);
    let witness = Witness::open(dir.path(), region("421202"), Some(policy.clone()), NOW).unwrap();
    assert_eq!(witness.quorum_age(later), Some(5000), "nobody has ever cosigned");
    let note = log.checkpoint(ORIGIN, 20);
    let take =
        |partner, vkey, says: &[u8]| witness.take_cosignature(partner, vkey, &note, says, NOW).unwrap();
    assert_eq!(take("331083", &one, &one_says), Some(NOW.secs()));
    assert_eq!(take("331084", &two, &one_says), None, "a line of somebody else's");
    assert_eq!(take("331084", &two, b"\xff\nnonsense\n"), None);
    assert!(!witness.join(&note, NOW).unwrap().judged.quorum);
    assert_eq!(witness.quorum_age(later), Some(5000));
    assert_eq!(take("331084", &two, &two_says), Some(NOW.secs()));
    let joined = witness.join(&note, NOW).unwrap();
    assert!(joined.judged.quorum && joined.note.starts_with(&note[..note.len() - 1]));
    assert!(policy.judge(&Note::parse(&joined.note).unwrap()).unwrap().quorum);
    assert_eq!(witness.quorum_age(NOW), Some(0));
    // Of another size nothing has been said yet.
    assert!(!witness.join(&log.checkpoint(ORIGIN, 21), NOW).unwrap().judged.quorum);
    drop(witness);
    let again = Witness::open(dir.path(), region("421202"), Some(policy), later).unwrap();
    assert_eq!(again.quorum_age(later), Some(5000), "the age outlives the process");
}

#[test]
fn a_restart_does_not_begin_the_wait_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (vkey, _) = cosign(&Log::of("", 1), 3, 1);
    let policy = Policy::parse(format!("witness a {vkey}\nquorum a\n").as_bytes()).unwrap();
    let open = |secs| {
        let now = Now::from_secs(NOW.secs() + secs);
        let policy = Some(policy.clone());
        Witness::open(dir.path(), region("421202"), policy, now).unwrap().quorum_age(now)
    };
    assert_eq!((open(0), open(7000)), (Some(0), Some(7000)));
    let without = Witness::open(dir.path(), region("421202"), None, NOW).unwrap();
    assert_eq!(without.quorum_age(NOW), None, "nobody has to");
}
