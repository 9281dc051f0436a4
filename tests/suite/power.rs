//! To whoever holds a signed answer or a receipt: it outlasts a power cut.
//!
//! `kill -9` leaves the system's cache as it was; a power cut does not. A library of some pages
//! (`shim.c`) is preloaded into the real process and writes down each change below the data directory
//! and each flush. The gateway is killed under the load of [`kills`](crate::kills), at a moment of
//! chance; then everything that no finished flush covers is taken back, and chance chooses what of it
//! had reached the disk all the same. The gateway is started on what is left, and so on; at the end
//! the same checker compares what clients hold with what the ledger proves.
//!
//! | played | not played |
//! |---|---|
//! | unflushed writes and lengths of each file: all, none, the first ones, or any of them (a disk reorders), single sectors of 512 octets of one too | a write that damages what stands beside it; sectors written in part |
//! | a flush counts once it has ended, for what was written before it began, of that file only, whoever wrote it | a flush that writes more than it must, as most file systems do |
//! | names (made, renamed, removed; folders too) are durable once their folder is flushed; before, a folder keeps the first ones of its changes, each folder by itself. Stricter than ext4, where flushing a new file keeps its name | names of one folder reordered |
//! | the WAL's index (`-shm`), a cache: rubbish | other memory maps (there are none: the library ends the process) |
//!
//! `TONGBAN_CUTS=300 TONGBAN_SEED=7 cargo test --test suite power::whatever` makes it a long run. A
//! seed chooses the same moments and the same fates again, not the same interleaving.

mod disk;
mod journal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tongban::store::RetentionClass;

use crate::history::{Chance, from_env, seed};
use crate::kills::Siege;
use crate::kills::checker::{Evidence, Fault};
use crate::process::finish;
use disk::{Cut, Tally, VolatileDisk};

/// Cuts of a run that is part of `cargo test`.
const CUTS: u64 = 12;
/// One cut in so many comes after this many answers: after the WALs began again at their beginning.
const LATE_CUT: u64 = 25;
const LATE: usize = 5_000;
/// Answers before the disk lies, and after: of a control.
const SEEN: usize = 300;
/// What a start says that takes back the last commit.
const TAKEN_BACK: &str = "a commit that was cut off was taken back";

fn laid(seed: u64) -> (Siege, Arc<VolatileDisk>) {
    let mut siege = Siege::lay(seed);
    let disk = VolatileDisk::under(&siege.pair.xianan.data(), &siege.pair.root.path().join("cache"));
    let disk = Arc::new(disk);
    let given = Arc::clone(&disk);
    siege.given = Box::new(move |command| given.give_to(command));
    (siege, disk)
}

fn said(siege: &Siege, what: &str) -> u64 {
    u64::from(std::fs::read_to_string(siege.pair.xianan.file("serve.log")).unwrap().contains(what))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_moment_its_power_is_cut_at_the_ledger_proves_every_answer_once() {
    let (seed, cuts) = (seed(), from_env("TONGBAN_CUTS").unwrap_or(CUTS));
    eprintln!("power: TONGBAN_SEED={seed} TONGBAN_CUTS={cuts}");
    let ((mut siege, disk), began) = (laid(seed), Instant::now());
    let (mut tally, mut kinds, mut taken_back) = (Tally::default(), BTreeMap::<Cut, u64>::new(), 0);
    for number in 1..=cuts {
        if number % LATE_CUT == 0 {
            siege.kill_after(LATE).await;
        } else {
            siege.kill().await;
        }
        taken_back += said(&siege, TAKEN_BACK);
        let cut = Cut::chosen(&siege.chance);
        *kinds.entry(cut).or_default() += 1;
        tally += disk.cut(cut, &siege.chance);
    }
    let (loaded, took, home) = (siege.loaded, began.elapsed(), Arc::clone(&siege.pair));
    let evidence = siege.close().await;
    let last = std::fs::read_to_string(home.xianan.file("serve.log")).unwrap();
    taken_back += u64::from(last.contains(TAKEN_BACK));
    let faults = evidence.faults();
    eprintln!(
        "power: seed {seed}, {cuts} cuts in {took:.0?}, {loaded:.0?} of them under load ({kinds:?}); {tally}; {taken_back} \
         commits taken back; {}; {} leaves, {} pieces of evidence opened; faults {}",
        evidence.books,
        evidence.disk.logs.values().map(Vec::len).sum::<usize>(),
        evidence.disk.opened,
        faults.len()
    );
    assert!(faults.is_empty(), "seed {seed}: {:#?}", &faults[..faults.len().min(20)]);
    let quiet = [(200, "ok"), (202, "ok"), (409, "replay")]
        .iter()
        .any(|(status, code)| evidence.books.count(*status, code) == 0);
    assert!(!quiet && tally.lost > 0, "the run was too quiet to say anything: {}; {tally}", evidence.books);
}

/// What clients hold and what is there after a cut, the disk having lied about files named so.
async fn lied_to(about: &str, cut: Cut) -> (Evidence, Vec<Fault>) {
    let (mut siege, disk) = laid(seed());
    let mut serving = siege.serve();
    let round = siege.begin();
    siege.answers_more(&round, SEEN).await;
    disk.lie_about(about);
    siege.answers_more(&round, SEEN).await;
    serving.kill();
    siege.end(round).await;
    disk.be_honest();
    disk.cut(cut, &siege.chance);
    let evidence = siege.close().await;
    let faults = evidence.faults();
    (evidence, faults)
}

/// The control: a disk that has not flushed what it said it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_about_its_flushes_is_found_out() {
    let (evidence, faults) = lied_to("", Cut::ToTheLastFlush).await;
    let has = |is: fn(&Fault) -> bool| faults.iter().any(is);
    assert!(has(|fault| matches!(fault, Fault::Lost { .. })), "{}", evidence.books);
    // The last one that each caller was answered is asked again, and judged as if it were new.
    assert!(has(|fault| matches!(fault, Fault::AnsweredTwice { .. })), "{}", evidence.books);
}

/// The control of one flush alone: of the evidence, beside that of the leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_whose_flush_is_left_out_is_found_to_be_missing() {
    let rows = format!(".{}.sealed", RetentionClass::Provision.name());
    let (evidence, faults) = lied_to(&rows, Cut::LeavesOnly).await;
    let missing = faults.iter().any(|fault| match fault {
        Fault::Unsound { what } => what.contains("EvidenceMissing"),
        _ => false,
    });
    assert!(missing, "{}: {:#?}", evidence.books, &faults[..faults.len().min(20)]);
}

/// The disk itself: what was flushed stays, and of what was not any part may.
#[test]
fn a_cut_takes_back_what_was_not_flushed_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let (data, chance) = (root.path().join("data"), Chance::seeded(seed()));
    std::fs::create_dir(&data).unwrap();
    let disk = VolatileDisk::under(&data, &root.path().join("cache"));
    let read = |name: &str| std::fs::read_to_string(data.join(name)).ok();
    let day = "set -e; printf one > $0/a; printf old > $0/b; sync $0/a $0/b $0; printf two >> $0/a; \
        mv $0/a $0/c; rm $0/b; mkdir $0/d; printf new > $0/d/e; printf more > $0/b";
    for (cut, there) in [
        (Cut::ToTheLastFlush, [Some("one"), Some("old"), None, None]),
        (Cut::LeavesOnly, [None, Some("more"), Some("onetwo"), Some("new")]),
    ] {
        let mut shell = std::process::Command::new("sh");
        disk.give_to(shell.args(["-c", day]).arg(&data));
        finish(&mut shell, b"").ended(0);
        assert_eq!(
            ["a", "b", "c", "d/e"].map(read),
            [None, Some("more"), Some("onetwo"), Some("new")].map(|text| text.map(str::to_owned))
        );
        disk.cut(cut, &chance);
        assert_eq!(["a", "b", "c", "d/e"].map(read), there.map(|text| text.map(str::to_owned)), "{cut:?}");
    }
}
