//! To whoever was answered, and to whoever runs a gateway on a disk that fails: nothing is answered
//! that is not recorded, and the gateway serves again, refuses and says why, or ends and says why.
//!
//! A library of a page ([`shim`]) is preloaded into the real process and fails chosen system calls
//! on its data directory with EIO or ENOSPC: the first or a later one, once, for a while, for ever,
//! done or not done. `TONGBAN_FAULTS_FIRST=12 cargo test --test suite faults::every_call` tries every
//! kind of call at its first twelve places.

mod shim;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use crate::history::from_env;
use shim::{Call, Errno, Failing, Lasting};
use stage::{Deed, Outcome, Stage};

const CALLS: [Call; 7] =
    [Call::Open, Call::Write, Call::Sync, Call::Truncate, Call::Rename, Call::Unlink, Call::Mkdir];
const ERRNOS: [Errno; 2] = [Errno::Eio, Errno::Enospc];
/// Trials after which the ledger is read and compared.
const COMPARED_AFTER: usize = 24;

/// What was tried and how it ended.
type Trial = (Deed, Call, Errno, Outcome);

#[derive(Default)]
struct Tally(BTreeMap<Trial, Counted>);

#[derive(Default)]
struct Counted {
    trials: u32,
    /// Whose calls failed.
    files: BTreeSet<String>,
}

impl Tally {
    fn count(&mut self, deed: Deed, failing: Failing, (outcome, file): (Outcome, String)) {
        let counted = self.0.entry((deed, failing.call, failing.errno, outcome)).or_default();
        counted.trials += 1;
        counted.files.insert(file);
    }

    fn ended(&self, outcome: Outcome) -> u32 {
        self.0.iter().filter(|(trial, _)| trial.3 == outcome).map(|(_, counted)| counted.trials).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((deed, call, errno, outcome), Counted { trials, files }) in &self.0 {
            writeln!(f, "faults: {deed:?}, {call:?} {errno:?}: {outcome:?} {trials} {files:?}")?;
        }
        Ok(())
    }
}

async fn compare(stage: &mut Stage) {
    let faults = stage.faults().await;
    assert!(faults.is_empty(), "{}: {faults:#?}", stage.books());
}

/// One place of each kind of call: the first that a lookup or a submit makes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_once_makes_no_answer_that_is_not_recorded() {
    let (mut stage, mut tally) = (Stage::set(), Tally::default());
    for (errno, call) in
        ERRNOS.into_iter().flat_map(|errno| [Call::Write, Call::Sync].map(|call| (errno, call)))
    {
        for (deed, late) in [(Deed::Lookups, false), (Deed::Submits, true)] {
            let failing = Failing { call, errno, lasting: Lasting::Once, first: 1, late };
            tally.count(deed, failing, stage.try_it(failing, deed).await);
        }
    }
    // Every commit fails: no gateway goes on.
    let broken =
        Failing { call: Call::Sync, errno: Errno::Eio, lasting: Lasting::ForEver, first: 1, late: false };
    assert_eq!(stage.try_it(broken, Deed::Lookups).await.0, Outcome::Ended);
    compare(&mut stage).await;
    eprint!("{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stays_full_refuses_says_why_and_lets_the_gateway_stop() {
    let mut stage = Stage::set();
    let full =
        |call| Failing { call, errno: Errno::Enospc, lasting: Lasting::ForEver, first: 1, late: false };
    for (deed, failing) in [(Deed::Lookups, full(Call::Write)), (Deed::Submits, full(Call::Write))] {
        assert_eq!(stage.try_it(failing, deed).await.0, Outcome::Recovered, "{failing:?}");
        stage.stop_while(failing, deed).await;
    }
    compare(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_failing_disk_serves_or_says_why_not() {
    let mut stage = Stage::set();
    for (call, errno) in [(Call::Open, Errno::Eio), (Call::Write, Errno::Enospc), (Call::Sync, Errno::Eio)] {
        for first in [1, 6] {
            let failing = Failing { call, errno, lasting: Lasting::ForEver, first, late: false };
            stage.try_it(failing, Deed::Start).await;
        }
    }
    compare(&mut stage).await;
}

/// The whole matrix; as part of `cargo test`, one line of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_at_every_place_keeps_every_promise() {
    let places = from_env("TONGBAN_FAULTS_FIRST").map_or(0, |places| u32::try_from(places).unwrap());
    let part = from_env("TONGBAN_FAULTS_PART").unwrap_or_default();
    let (mut stage, mut tally, began, mut tried) = (Stage::set(), Tally::default(), Instant::now(), 0);
    let trials = matrix(places).into_iter().enumerate();
    for (_, (deed, failing)) in trials.filter(|(number, _)| *number as u64 / 4 % PARTS == part % PARTS) {
        tally.count(deed, failing, stage.try_it(failing, deed).await);
        tried += 1;
        if tried % COMPARED_AFTER == 0 {
            compare(&mut stage).await;
        }
    }
    compare(&mut stage).await;
    eprint!("{tally}");
    eprintln!(
        "faults: {places} places, part {part} of {PARTS}, {tried} trials in {:.0?}: {} not reached, {} unharmed, {} \
         recovered, {} ended and started again; {}",
        began.elapsed(),
        tally.ended(Outcome::NotReached),
        tally.ended(Outcome::Unharmed),
        tally.ended(Outcome::Recovered),
        tally.ended(Outcome::Ended),
        stage.books()
    );
}

/// The matrix is run in so many parts, each of some minutes; the four deeds of one fault stay together.
const PARTS: u64 = 8;

/// Every trial.
fn matrix(places: u32) -> Vec<(Deed, Failing)> {
    let mut trials = Vec::new();
    for first in 1..=places {
        for call in CALLS.into_iter().chain([Call::Read]) {
            for errno in ERRNOS.into_iter().filter(|errno| (call, *errno) != (Call::Read, Errno::Enospc)) {
                for lasting in [Lasting::Once, Lasting::Awhile, Lasting::ForEver] {
                    for late in [false, true].into_iter().filter(|late| !late || lasting == Lasting::Once) {
                        let failing = Failing { call, errno, lasting, first, late };
                        let deeds = [Deed::Lookups, Deed::Submits, Deed::Rest, Deed::Start];
                        trials.extend(deeds.map(|deed| (deed, failing)));
                    }
                }
            }
        }
    }
    trials
}
