//! To whoever holds a signed answer or a receipt: the ledger proves it, once, however often the
//! gateway was killed under full load before and after.
//!
//! Thirty-two callers always have a request in flight: lookups under authorizations that more want
//! to use than may, applications, pings, and messages that were answered before. The gateway is
//! killed with SIGKILL at a moment of chance, started at once, and so on. At the end every signed
//! word is compared with the ledger ([`checker`]). `TONGBAN_KILLS=1000 TONGBAN_SEED=7 cargo test
//! --test suite kills::whatever` makes it a long run. A seed chooses the same moments and the same
//! mix of messages again, not the same interleaving: that is the machine's.

pub mod books;
pub mod checker;
pub mod crowd;
pub mod disk;
pub mod message;
mod tampered;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tongban::audit::unseal::AuditorPrivateKey;

use crate::history::{Chance, from_env, seed};
use crate::process::{PATIENCE, Pair, Served, copy, until};
use crate::support::settle_auditors;
use books::Books;
use checker::{Evidence, Fault};
use crowd::{Crowd, Round};
use disk::Disk;
use message::Mint;

/// Kills of a run that is part of `cargo test`.
const KILLS: u64 = 12;
/// Longest time from the moment when everybody calls to the kill, and from the start to a kill in the
/// door (milliseconds).
const LOADED: u64 = 700;
const STARTING: u64 = 250;
/// Of a hundred kills, those that do not wait for everybody.
const KILLED_GREETING: u64 = 15;
/// Of a hundred starts, those that are killed before anybody was served.
const KILLED_STARTING: u64 = 10;
/// Answers for which nobody loses patience.
const A_WHILE: usize = 500;
/// Answers before a disk is set back, and after: of a control.
const SEEN: usize = 300;

/// A gateway that answers a crowd, and what the crowd holds.
pub struct Siege {
    pub pair: Arc<Pair>,
    pub mint: Arc<Mint>,
    auditor: AuditorPrivateKey,
    crowd: Option<Crowd>,
    pub chance: Chance,
    books: Books,
    pub kills: u64,
    /// Time in which a crowd called.
    pub loaded: Duration,
    /// What each start of the gateway is given: a disk of its own.
    pub given: Box<dyn Fn(&mut Command) + Send + Sync>,
}

impl Siege {
    pub fn lay(seed: u64) -> Self {
        let pair = Arc::new(Pair::make());
        let mint = Arc::new(Mint::settle(&pair));
        let (auditor, _) = settle_auditors(&pair.xianan.dir);
        let crowd = Some(Crowd::of(&pair, &mint, seed));
        Self {
            crowd,
            chance: Chance::seeded(seed),
            pair,
            mint,
            auditor,
            books: Books::default(),
            kills: 0,
            loaded: Duration::ZERO,
            given: Box::new(|_| ()),
        }
    }

    pub fn begin(&mut self) -> Round {
        self.crowd.take().unwrap().begin(&self.pair)
    }

    pub async fn end(&mut self, round: Round) {
        let (crowd, asked, checkpoints) = round.end().await;
        self.crowd = Some(crowd);
        self.books.take(&self.pair, asked);
        self.books.checkpoints.extend(checkpoints);
    }

    fn serve_command(&self) -> Command {
        let mut command = self.pair.xianan.serve_command();
        (self.given)(&mut command);
        command
    }

    pub fn serve(&self) -> Served {
        self.pair.xianan.serve_by(&mut self.serve_command())
    }

    /// One kill at a moment of chance.
    pub async fn kill(&mut self) {
        if self.chance.percent(KILLED_STARTING) {
            self.kill_in_the_door().await;
        } else {
            self.kill_under_load().await;
        }
    }

    /// Load until a moment of chance, and the kill.
    async fn kill_under_load(&mut self) {
        let mut serving = self.serve();
        let (round, began) = (self.begin(), Instant::now());
        if !self.chance.percent(KILLED_GREETING) {
            // Each caller's first two messages are of the round before.
            self.answers_more(&round, 2 * usize::try_from(crowd::CALLERS).unwrap()).await;
        }
        tokio::time::sleep(Duration::from_millis(self.chance.within(0..LOADED))).await;
        serving.kill();
        self.kills += 1;
        self.loaded += began.elapsed();
        self.end(round).await;
    }

    /// Load until so many are answered, and the kill.
    pub async fn kill_after(&mut self, answers: usize) {
        let mut serving = self.serve();
        let (round, began) = (self.begin(), Instant::now());
        for _ in 0..answers / A_WHILE {
            self.answers_more(&round, A_WHILE).await;
        }
        serving.kill();
        self.kills += 1;
        self.loaded += began.elapsed();
        self.end(round).await;
    }

    /// Killed while it recovers from the kill before.
    async fn kill_in_the_door(&mut self) {
        let mut served = self.pair.xianan.begin_to_serve(&mut self.serve_command());
        tokio::time::sleep(Duration::from_millis(self.chance.within(0..STARTING))).await;
        served.kill();
        self.kills += 1;
    }

    /// A last round that ends well: what was left unanswered is asked again.
    pub async fn close(mut self) -> Evidence {
        let serving = self.serve();
        let round = self.begin();
        self.answers_more(&round, 2 * usize::try_from(crowd::CALLERS).unwrap()).await;
        assert_eq!(serving.stop(), 0);
        self.end(round).await;
        self.books.tokens = self.mint.tokens();
        let disk = Disk::read(&self.pair.xianan, &self.auditor);
        Evidence { books: self.books, disk }
    }

    /// What the gateway says that is no exchange of every day.
    fn complaints(&self) -> String {
        let log = std::fs::read_to_string(self.pair.xianan.file("serve.log")).unwrap();
        log.lines().filter(|line| !line.contains(r#""level":"INFO""#)).collect::<Vec<_>>().join("\n")
    }

    pub async fn answers_more(&self, round: &Round, more: usize) {
        let (enough, began) = (round.answered() + more, Instant::now());
        while round.answered() < enough {
            assert!(began.elapsed() < PATIENCE, "nobody is answered: {}", self.complaints());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_moment_it_is_killed_at_the_ledger_proves_every_answer_once() {
    let (seed, kills) = (seed(), from_env("TONGBAN_KILLS").unwrap_or(KILLS));
    eprintln!("kills: TONGBAN_SEED={seed} TONGBAN_KILLS={kills}");
    let (mut siege, began) = (Siege::lay(seed), Instant::now());
    while siege.kills < kills {
        siege.kill().await;
    }
    let (kills, loaded, took) = (siege.kills, siege.loaded, began.elapsed());
    let evidence = siege.close().await;
    let faults = evidence.faults();
    let counts = |is: fn(&Fault) -> bool| faults.iter().filter(|fault| is(fault)).count();
    eprintln!(
        "kills: seed {seed}, {kills} kills in {took:.0?}, {loaded:.0?} of them under load; {}; {} leaves, {} pieces of \
         evidence opened; lost {}, counted twice {}, faults {}",
        evidence.books,
        evidence.disk.logs.values().map(Vec::len).sum::<usize>(),
        evidence.disk.opened,
        counts(|fault| matches!(
            fault,
            Fault::Lost { .. } | Fault::CaseLost { .. } | Fault::Undercounted { .. }
        )),
        counts(|fault| matches!(
            fault,
            Fault::CountedTwice { .. } | Fault::AnsweredTwice { .. } | Fault::Overused { .. }
        )),
        faults.len()
    );
    assert!(faults.is_empty(), "seed {seed}: {:#?}", &faults[..faults.len().min(20)]);
    let books = &evidence.books;
    let kinds = [(200, "ok"), (202, "ok"), (409, "replay"), (403, "authorization-used-up")];
    let quiet = kinds.iter().any(|(status, code)| books.count(*status, code) == 0) || books.unanswered == 0;
    assert!(!quiet, "the run was too quiet to say anything: {books}");
}

/// The control: a store that has not flushed what it said it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_forgets_what_was_answered_is_found_out() {
    let mut siege = Siege::lay(seed());
    let kept = tempfile::tempdir().unwrap();
    let mut serving = siege.pair.xianan.serve();
    let round = siege.begin();
    siege.answers_more(&round, SEEN).await;
    keep(&siege.pair, &serving, kept.path());
    siege.answers_more(&round, SEEN).await;
    serving.kill();
    siege.end(round).await;
    let data = siege.pair.xianan.data();
    std::fs::remove_dir_all(&data).unwrap();
    copy(kept.path(), &data);
    let evidence = siege.close().await;
    let faults = evidence.faults();
    let has = |is: fn(&Fault) -> bool| faults.iter().any(is);
    assert!(has(|fault| matches!(fault, Fault::Lost { .. })), "{}", evidence.books);
    // The last one that each caller was answered is asked again, and judged as if it were new.
    assert!(has(|fault| matches!(fault, Fault::AnsweredTwice { .. })), "{}", evidence.books);
}

/// What the disk holds at this moment, while the gateway stands still.
fn keep(pair: &Pair, serving: &Served, to: &std::path::Path) {
    serving.signal(Signal::STOP);
    let state = format!("/proc/{}/stat", serving.pid().as_raw_nonzero());
    until("the gateway stands still", || {
        std::fs::read_to_string(&state).unwrap().contains(") T ").then_some(())
    });
    copy(&pair.xianan.data(), to);
    serving.signal(Signal::CONT);
}
