//! One gateway on a failing disk, people who ask it, and what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tongban::audit::unseal::AuditorPrivateKey;

use super::shim::{Failing, FailingDisk, Lasting};
use crate::kills::books::{Asked, Books};
use crate::kills::checker::{Evidence, Fault};
use crate::kills::disk::Disk;
use crate::kills::message::{Message, Mint};
use crate::process::{Pair, Served, until};
use crate::support::{Http, Line, dial, settle_auditors};

/// Longest wait for one answer: a commit of the casebook is waited for 10 s, and both messages of a
/// trial may wait in line.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// Longest time until a gateway whose disk is well again serves again, or has ended.
const WELL_WITHIN: Duration = Duration::from_secs(20);
/// Messages of a trial at once, and how often they are sent if nothing fails.
const TOGETHER: usize = 3;
const TURNS: usize = 3;
/// How long a trial waits for what a gateway does by itself: checkpoints after one second, files left
/// at rest after two.
const BY_ITSELF: Duration = Duration::from_millis(3500);

/// What people do in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deed {
    Lookups,
    Submits,
    /// One ping, and then nothing: what the gateway does by itself.
    Rest,
    /// The gateway is started, then lookups.
    Start,
}

/// How a trial ended. None of them may have answered what the ledger does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The call did not come in this trial.
    NotReached,
    /// Everybody was answered.
    Unharmed,
    /// Refused with 503, and served again by itself.
    Recovered,
    /// Ended with exit code 1 and said why; a fresh start served.
    Ended,
}

pub struct Stage {
    pair: Arc<Pair>,
    mint: Mint,
    auditor: AuditorPrivateKey,
    pub disk: FailingDisk,
    serving: Option<Served>,
    lines: Vec<Line>,
    books: Books,
}

impl Stage {
    pub fn set() -> Self {
        let pair = Arc::new(Pair::make());
        let mint = Mint::settle(&pair);
        let (auditor, _) = settle_auditors(&pair.xianan.dir);
        let disk = FailingDisk::under(&pair.xianan.data(), &pair.xianan.file("faults"));
        Self { pair, mint, auditor, disk, serving: None, lines: Vec::new(), books: Books::default() }
    }

    /// Breaks the disk, lets people act, heals it, and sees what became of the gateway; and whose
    /// call was the last that failed.
    pub async fn try_it(&mut self, failing: Failing, deed: Deed) -> (Outcome, String) {
        let outcome =
            if deed == Deed::Start { self.start(failing).await } else { self.act_on(failing, deed).await };
        let at = if outcome == Outcome::NotReached { String::new() } else { self.disk.at() };
        (outcome, at.rsplit('/').next().unwrap_or_default().to_owned())
    }

    async fn act_on(&mut self, failing: Failing, deed: Deed) -> Outcome {
        self.serve().await;
        self.disk.fail(failing);
        let (refused, broken_off) = self.act(deed).await;
        let reached = self.disk.failed() > 0;
        let why = format!("{failing:?} {deed:?} at {}", self.disk.at());
        if failing.lasting == Lasting::ForEver && refused > 0 && self.is_up() {
            self.says_why(&why);
        }
        self.disk.heal();
        let outcome = match self.gets_well(&why).await {
            false => Outcome::Ended,
            true if broken_off > 0 => panic!("{why}: a connection broke, and the gateway lives"),
            true if refused > 0 => Outcome::Recovered,
            true if reached => Outcome::Unharmed,
            true => Outcome::NotReached,
        };
        assert!(reached || outcome == Outcome::NotReached, "{why}: {outcome:?}");
        outcome
    }

    /// Starts on a disk that fails.
    async fn start(&mut self, failing: Failing) -> Outcome {
        self.stop();
        self.disk.fail(failing);
        let home = &self.pair.xianan;
        let mut command = home.serve_command();
        self.disk.give_to(&mut command);
        let mut served = home.begin_to_serve(&mut command);
        let opened = until("it serves or has ended", || match served.ended() {
            Some(code) => Some(Err(code)),
            None => served.is_open().then_some(Ok(())),
        });
        let (reached, at) = (self.disk.failed() > 0, self.disk.at());
        match opened {
            Err(code) => {
                self.disk.heal();
                let log = served.log();
                let said = log.lines().filter(|line| line.starts_with("tongban: ")).count();
                assert!(matches!(code, 1 | 64) && said > 0, "{failing:?} at {at}: exit {code}: {log}");
                assert!(!log.contains("panicked"), "{failing:?} at {at}: {log}");
                Outcome::Ended
            }
            Ok(()) => {
                self.serving = Some(served);
                let (refused, _) = self.act(Deed::Start).await;
                self.disk.heal();
                match self.gets_well(&format!("start with {failing:?} at {at}")).await {
                    false => Outcome::Ended,
                    true if refused > 0 => Outcome::Recovered,
                    true if reached => Outcome::Unharmed,
                    true => Outcome::NotReached,
                }
            }
        }
    }

    /// A disk that stays full does not keep the gateway from stopping.
    pub async fn stop_while(&mut self, failing: Failing, deed: Deed) {
        self.serve().await;
        self.disk.fail(failing);
        self.act(deed).await;
        self.lines.clear();
        let Some(serving) = self.serving.take() else { return };
        let code = serving.stop();
        assert!(matches!(code, 0 | 1), "{failing:?}: {code}");
        self.disk.heal();
    }

    /// The faults found in all trials so far, the gateway being stopped.
    pub async fn faults(&mut self) -> Vec<Fault> {
        self.serve().await;
        self.stop();
        self.books.tokens = self.mint.tokens();
        let disk = Disk::read(&self.pair.xianan, &self.auditor);
        Evidence { books: self.books.clone(), disk }.faults()
    }

    pub fn books(&self) -> &Books {
        &self.books
    }

    async fn serve(&mut self) {
        if self.is_up() {
            return;
        }
        self.disk.heal();
        let home = &self.pair.xianan;
        let mut command = home.serve_command();
        self.disk.give_to(&mut command);
        self.serving = Some(home.serve_by(&mut command));
        self.lines.clear();
    }

    fn stop(&mut self) {
        self.lines.clear();
        if let Some(serving) = self.serving.take() {
            assert_eq!(serving.stop(), 0);
        }
    }

    fn is_up(&mut self) -> bool {
        self.serving.as_mut().is_some_and(|serving| serving.ended().is_none())
    }

    /// How many were refused with 503, and how many were told nothing.
    async fn act(&mut self, deed: Deed) -> (u64, u64) {
        let refused = |books: &Books| books.unsigned.values().sum::<u64>();
        let before = (refused(&self.books), self.books.unanswered);
        let until = Instant::now() + BY_ITSELF;
        for _ in 0..TURNS {
            let messages: Vec<Message> = match deed {
                Deed::Lookups | Deed::Start => (0..TOGETHER).map(|_| self.mint.crowded_lookup()).collect(),
                Deed::Submits => (0..TOGETHER).map(|_| self.mint.submit()).collect(),
                Deed::Rest => vec![self.mint.ping()],
            };
            self.ask(messages).await;
            if deed == Deed::Rest {
                while self.disk.failed() == 0 && Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                break;
            }
        }
        (refused(&self.books) - before.0, self.books.unanswered - before.1)
    }

    /// Asks side by side and writes down what came back.
    async fn ask(&mut self, messages: Vec<Message>) {
        let pair = Arc::clone(&self.pair);
        while self.lines.len() < messages.len() {
            match dial(pair.xianan.doors.partner, Some(&pair.asker), Http::Two).await {
                Ok(line) => self.lines.push(line),
                Err(_) => return,
            }
        }
        let mut calls = Vec::new();
        for (message, line) in messages.into_iter().zip(&self.lines) {
            let (line, bytes) = (line.clone(), message.bytes.clone());
            let call = async move { timeout(ANSWERED_WITHIN, line.try_exchange(bytes)).await };
            calls.push((message, tokio::spawn(call)));
        }
        let mut asked = Vec::new();
        for (message, call) in calls {
            let told =
                call.await.unwrap().unwrap_or_else(|_| panic!("hangs: {} {}", self.disk.at(), self.log()));
            if told.is_err() {
                self.lines.clear();
            }
            asked.push(Asked { message, told: told.ok() });
        }
        self.books.take(&pair, asked);
        let told =
            self.books.unsigned.keys().find(|word| !matches!(&***word, "ledger-unavailable" | "overloaded"));
        assert_eq!(told, None, "an unsigned answer is a refusal for the store's sake");
    }

    /// While refusals last, an operator sees why.
    fn says_why(&self, what: &str) {
        let serving = self.serving.as_ref().unwrap();
        let Ok((status, ready)) = serving.try_get("/readyz") else { return };
        let parts = ready["parts"].as_array().cloned().unwrap_or_default();
        let why = parts.iter().any(|part| part["ready"] == false && part["why"].as_str().is_some());
        assert!(status == 503 && why, "{what}: refuses, and /readyz says {status} {ready}");
        assert!(
            self.log().contains("ERROR") || self.log().contains("\"level\":\"ERROR\""),
            "{what}: {}",
            self.log()
        );
    }

    /// True: it serves lookups and takes applications again. False: it has ended, saying why.
    async fn gets_well(&mut self, what: &str) -> bool {
        let began = Instant::now();
        loop {
            if !self.is_up() {
                let mut served = self.serving.take().unwrap();
                let (code, log) = (served.wait(), served.log());
                assert_eq!(code, 1, "{what}: {log}");
                assert!(log.contains("nothing unrecorded was answered"), "{what}: {log}");
                assert!(!log.contains("panicked"), "{what}: {log}");
                self.lines.clear();
                return false;
            }
            let taken = (self.books.count(200, "ok"), self.books.count(202, "ok"));
            let messages = vec![self.mint.crowded_lookup(), self.mint.submit(), self.mint.ping()];
            self.ask(messages).await;
            let now = (self.books.count(200, "ok"), self.books.count(202, "ok"));
            let serving = self.serving.as_ref().unwrap();
            let ready = || matches!(serving.try_get("/readyz"), Ok((200, _)));
            if now.0 > taken.0 && now.1 > taken.1 && ready() {
                return true;
            }
            assert!(began.elapsed() < WELL_WITHIN, "{what}: neither serves again nor ends: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        self.serving.as_ref().map(Served::log).unwrap_or_default()
    }
}
