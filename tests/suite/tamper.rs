//! Tampering (issue 4): flip, delete, insert, reorder, truncate, splice from another region, roll
//! back to yesterday, in leaf, tile, evidence, vault, index and checkpoint: each found and
//! located. The same copies are left below `target/tmp/tamper` for the independent verifier
//! (`scripts/verifier-test`).

mod edits;
mod made;
mod matrix;
mod packages;
pub mod rows;
pub mod runs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::json;
use tongban::ledger::verify::{Asked, Verdict, verify, verify_as};
use tongban::ledger::{LedgerKey, Shard};

use made::{County, DAY, Keys, SHARD, START, checkpoint, copy_of};

/// What all these tests look at: made once.
pub struct Ground {
    pub root: PathBuf,
    pub keys: Arc<Keys>,
    /// The county whose log is tampered with.
    pub data: PathBuf,
    /// The same, a day before.
    pub yesterday: PathBuf,
    /// Another region's log, with the same key even.
    pub other: PathBuf,
    pub vkey: String,
    pub public: [u8; 32],
    /// Leaves of the first log.
    pub size: u64,
    pub erased: u64,
    pub held: u64,
    pub order: u64,
    pub subject: tongban::ledger::evidence::SubjectKey,
}

impl Ground {
    pub fn shard(&self) -> Shard {
        Shard::parse(SHARD).unwrap()
    }

    pub fn verdict(&self, data: &Path) -> Verdict {
        verify(data, Some(self.public)).unwrap()
    }
}

/// Made by the first test that asks, in a runtime of its own.
pub fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(make())
        })
        .join()
        .unwrap()
    })
}

async fn make() -> Ground {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tamper");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    let keys = Arc::new(Keys::new());
    let mut here = County::open(&root.join("a"), "421202", &keys);
    let first = here.answers(280).await;
    let (held, erased) = (&first[31], &first[35]);
    here.order(Some("hold"), &[held, &first[32]]).await;
    here.order(Some("release"), &[&first[32]]).await;
    here.settle().await;
    here.ledger.index().await;
    let yesterday = quiet_copy(&here, &root.join("a-yesterday")).await;
    here.clock.advance(DAY * 1000);
    here.answers(30).await;
    let order = here.order(None, &[erased]).await;
    here.settle().await;
    let size = order.index + 1;
    let (vkey, subject) = (here.vkey(order.mark.shard), here.subject(order.mark.shard));
    let data = here.close().await;
    let mut there = County::open(&root.join("b"), "331083", &keys);
    there.answers(300).await;
    let other = there.close().await;
    let public = keys.ledger().public();
    write_for_python(&root, &keys, &vkey);
    fs::copy(checkpoint(&data, "421202", SHARD), root.join("kept.checkpoint")).unwrap();
    Ground {
        root,
        keys,
        data,
        yesterday,
        other,
        vkey,
        public,
        size,
        erased: erased.index,
        held: held.index,
        order: order.index,
        subject,
    }
}

/// A copy of a log at work, as a backup takes it: every file with its WAL.
async fn quiet_copy(county: &County, to: &Path) -> PathBuf {
    county.settle().await;
    copy_of(&county.data, to)
}

fn write_for_python(root: &Path, keys: &Keys, vkey: &str) {
    let json = |name: &str, value: &serde_json::Value| fs::write(root.join(name), value.to_string()).unwrap();
    json("auditor.jwk", &keys.auditor);
    json("partner.json", &json!({"keys": [keys.partner_jwk]}));
    json("ground.json", &json!({"vkey": vkey, "start": START}));
    fs::write(root.join("ledger.key"), &keys.ledger_pem).unwrap();
}

#[test]
fn a_log_with_evidence_holds_erasures_and_all_is_sound_and_each_kind_is_counted() {
    let ground = ground();
    let verdict = ground.verdict(&ground.data);
    assert!(verdict.sound, "{:#?}", verdict.findings);
    let [log] = &verdict.logs[..] else { panic!("{verdict:#?}") };
    let seen = &log.evidence;
    assert_eq!((seen.present, seen.erased, seen.missing, seen.held), (309, 1, 0, 1));
    assert_eq!(seen.orders.get(&format!("{SHARD}/{}", ground.order)), Some(&1), "{:?}", seen.orders);
    assert!(ground.verdict(&ground.other).sound && ground.verdict(&ground.yesterday).sound);
}

#[test]
fn a_whole_directory_put_back_to_yesterday_is_shown_by_a_checkpoint_kept_elsewhere() {
    let ground = ground();
    let kept = fs::read(ground.root.join("kept.checkpoint")).unwrap();
    let asked = || Asked { key: Some(ground.public), elsewhere: vec![kept.clone()], ..Asked::default() };
    assert!(verify_as(&ground.data, &asked()).unwrap().sound);
    let verdict = verify_as(&ground.yesterday, &asked()).unwrap();
    assert!(
        verdict
            .findings
            .iter()
            .any(|f| f.file.contains("kept elsewhere") || f.message.contains("kept elsewhere"))
    );
    assert!(!verdict.sound);
}

#[tokio::test]
async fn evidence_dropped_after_its_floor_is_no_violation_and_before_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Arc::new(Keys::new());
    let mut county = County::open(dir.path(), "421202", &keys);
    let places = county.answers(9).await;
    let shard = places[0].mark.shard;
    county.settle().await;
    // One month later: too early for anything.
    county.clock.advance(31 * DAY * 1000);
    county.answer().await;
    let early = county.drop_other(shard, made::MONTH).await;
    let data = county.close().await;
    let verdict = verify(&data, None).unwrap();
    assert!(!verdict.sound && verdict.logs[0].evidence.missing == 3, "{verdict:#?}");
    drop(early);

    let dir = tempfile::tempdir().unwrap();
    let mut county = County::open(dir.path(), "421202", &keys);
    let places = county.answers(9).await;
    county.clock.advance(200 * DAY * 1000);
    county.answer().await;
    let dropped = county.drop_other(places[0].mark.shard, made::MONTH).await;
    assert_ne!(dropped.mark.shard, places[0].mark.shard, "ordered in the next half-year's log");
    let data = county.close().await;
    let verdict = verify(&data, None).unwrap();
    assert!(verdict.sound, "{:#?}", verdict.findings);
    let seen = &verdict.logs[0].evidence;
    assert_eq!((seen.present, seen.dropped, seen.missing), (6, 3, 0));
    let order = format!("{}/{}", dropped.mark.shard, dropped.index);
    assert_eq!(seen.orders.keys().collect::<BTreeSet<_>>(), BTreeSet::from([&order]));
    copy_of(&data, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("tamper-dropped"));
}
