//! The sender of one webhook: tells each notice until it was heard or is given up.
//!
//! Promises: at least once, in order per subject, beside others that fail; a receiver that is
//! away is asked seldom. What it heard is durable a second later; after a crash what it heard
//! since is told again under the same id.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::notice::{Feed, json_of};
use super::settings::WebhookSettings;
use super::window::{Progress, Window};
use crate::casebook::{CasebookFault, Listed, NoticeRow};
use crate::clock::{Clock, Now};
use crate::relay::Ticks;
use crate::relay::backoff::{Backoff, at_least, draw};
use crate::relay::breaker::{Admits, Breaker};

/// Calls of one webhook at the same time.
const AT_ONCE: usize = 8;
/// Between two tries of one notice.
const REST: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300) };
/// A receiver that was away over a weekend hears everything; longer, and the pull list is the
/// way to catch up.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 86_400);
/// And not before so many tries: what waited behind others has had no chance yet.
const LEAST_TRIES: u32 = 5;
/// How soon progress is durable: more often would be a commit per notice.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// After a change of the casebook, more are gathered for so long.
const GATHER: Duration = Duration::from_millis(20);
/// When the casebook cannot be read.
const OWN_FAULT_PAUSE: Duration = Duration::from_secs(1);

/// The kind of our own word that a notice was given up. It stands in the list and is not
/// pushed: it would tell a receiver that does not hear that it did not hear.
pub const GIVEN_UP: &str = "webhook.given-up";

/// One call.
pub trait Call: Send + Sync + 'static {
    fn call(&self, id: &str, body: Bytes, now: Now) -> impl Future<Output = Called> + Send;
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Heard,
    /// The receiver does not want this one (HTTP status), others perhaps.
    Refused(u16),
    /// It answered, but not as one who hears.
    Away {
        status: u16,
        retry_after: Option<Duration>,
    },
    Unreachable,
}

/// For the metrics: what a webhook heard, failed to hear, and was not told any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub heard: u64,
    pub failed: u64,
    pub given_up: u64,
}

/// By the webhook's address.
#[derive(Default)]
pub struct Board(Mutex<HashMap<String, Shown>>);

impl Board {
    pub fn shown(&self) -> HashMap<String, Shown> {
        self.kept().clone()
    }

    fn note(&self, url: &str, note: impl FnOnce(&mut Shown)) {
        note(self.kept().entry(url.to_owned()).or_default());
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells one webhook what it asked for, until `stopped`.
pub async fn run<F: Feed, C: Call>(
    settings: WebhookSettings,
    feed: Arc<F>,
    caller: C,
    clock: Clock,
    board: Arc<Board>,
    mut stopped: watch::Receiver<bool>,
) {
    let name = memo_name(&settings.url);
    let mut changes = feed.changes();
    let (kept, window) = loop {
        match remembered(&*feed, &name).await {
            Ok(remembered) => break remembered,
            Err(fault) => tracing::error!(target: "webhook", %fault, "the casebook cannot be read"),
        }
        tokio::select! {
            () = sleep(OWN_FAULT_PAUSE) => {}
            _ = stopped.changed() => return,
        }
    };
    let mut sender = Sender {
        settings,
        name,
        feed,
        caller: Arc::new(caller),
        clock,
        board,
        window,
        breaker: Breaker::default(),
        calls: JoinSet::new(),
        under_way: HashMap::new(),
        look: true,
        look_at: None,
        kept,
        keep_at: None,
    };
    while !*stopped.borrow() {
        while let Some(ended) = sender.calls.try_join_next_with_id() {
            sender.ended(ended).await;
        }
        let until = sender.step().await;
        tokio::select! {
            Some(ended) = sender.calls.join_next_with_id() => sender.ended(ended).await,
            true = changes.next(), if sender.look_at.is_none() => {
                sender.look_at = Some(Instant::now() + GATHER);
            }
            () = at(sender.look_at) => (sender.look, sender.look_at) = (true, None),
            () = at(until) => {}
            () = at(sender.keep_at) => sender.keep().await,
            _ = stopped.changed() => break,
        }
    }
    while let Some(ended) = sender.calls.join_next_with_id().await {
        sender.ended(ended).await;
    }
    sender.keep().await;
}

/// Where the last run stopped.
async fn remembered<F: Feed>(feed: &F, name: &str) -> Result<(Progress, Window), CasebookFault> {
    let (progress, now) = (feed.progress(name).await?, Instant::now());
    let mut window = Window::beginning_at(progress.read);
    for n in &progress.open {
        for notice in feed.after(n - 1, 1).await? {
            window.add(notice, true, now);
        }
    }
    Ok((progress, window))
}

/// The address itself may be long and stands in the settings.
fn memo_name(url: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_bytes());
    format!("webhook:{}", hex::encode(digest))
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

struct Sender<F, C> {
    settings: WebhookSettings,
    name: String,
    feed: Arc<F>,
    caller: Arc<C>,
    clock: Clock,
    board: Arc<Board>,
    window: Window,
    breaker: Breaker,
    calls: JoinSet<Called>,
    under_way: HashMap<Id, Listed<NoticeRow>>,
    /// There may be more to read.
    look: bool,
    look_at: Option<Instant>,
    /// What is durable, and when it is to be made so again.
    kept: Progress,
    keep_at: Option<Instant>,
}

impl<F: Feed, C: Call> Sender<F, C> {
    /// Begins what can begin; says until when to wait for the rest.
    async fn step(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if !self.fill(now).await {
            return Some(now + OWN_FAULT_PAUSE);
        }
        while self.calls.len() < AT_ONCE {
            let probe = match self.breaker.admits(now) {
                Admits::Any => false,
                Admits::Probe => true,
                Admits::NotBefore(until) => return Some(until),
                Admits::AfterProbe => return None,
            };
            let Some(notice) = self.window.take(now, probe) else { break };
            if probe {
                self.breaker.probe();
            }
            let body = Bytes::from(json_of(&notice).to_string());
            let (caller, id, at) = (Arc::clone(&self.caller), notice.row.id.clone(), self.clock.now());
            let call = self.calls.spawn(async move { caller.call(&id, body, at).await });
            self.under_way.insert(call.id(), notice);
        }
        self.window.next_end(now)
    }

    /// Reads on while there is room; `false` when the casebook cannot be read.
    async fn fill(&mut self, now: Instant) -> bool {
        while self.look && self.window.room() > 0 {
            let most = self.window.room();
            match self.feed.after(self.window.read(), u32::try_from(most).unwrap_or(u32::MAX)).await {
                Ok(found) => {
                    self.look = found.len() == most;
                    if !found.is_empty() {
                        self.keep_soon(now);
                    }
                    for notice in found {
                        let wanted = notice.row.kind != GIVEN_UP && self.settings.wants(&notice.row.kind);
                        self.window.add(notice, wanted, now);
                    }
                }
                Err(fault) => {
                    tracing::error!(target: "webhook", %fault, "notices cannot be read");
                    return false;
                }
            }
        }
        true
    }

    async fn ended(&mut self, ended: Result<(Id, Called), JoinError>) {
        let (id, called) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Called::Unreachable),
        };
        let Some(notice) = self.under_way.remove(&id) else { return };
        let now = Instant::now();
        self.look = true;
        let retry_after = match called {
            Called::Heard | Called::Refused(_) => {
                if self.breaker.answered() {
                    self.window.wake_all(now);
                }
                None
            }
            Called::Away { retry_after, .. } => {
                self.breaker.failed(now, retry_after, draw());
                retry_after
            }
            Called::Unreachable => {
                self.breaker.failed(now, None, draw());
                None
            }
        };
        if called == Called::Heard {
            self.board.note(&self.settings.shown(), |shown| shown.heard += 1);
            self.window.done_with(notice.n);
            return self.keep_soon(now);
        }
        self.board.note(&self.settings.shown(), |shown| shown.failed += 1);
        let tried_enough = self.window.failures(notice.n) + 1 >= LEAST_TRIES;
        if tried_enough && self.is_too_old(&notice) && self.give_up(&notice, called).await {
            self.window.done_with(notice.n);
            return self.keep_soon(now);
        }
        self.window.failed(notice.n, |failures| now + at_least(REST.wait(failures, draw()), retry_after));
    }

    fn is_too_old(&self, notice: &Listed<NoticeRow>) -> bool {
        let age = self.clock.now().ms().saturating_sub(notice.row.at);
        u128::try_from(age).is_ok_and(|age| age > GIVE_UP_AFTER.as_millis())
    }

    /// The list says what was not told.
    async fn give_up(&mut self, notice: &Listed<NoticeRow>, called: Called) -> bool {
        let (reason, status) = match called {
            Called::Refused(status) => ("refused", Some(status)),
            Called::Away { status, .. } => ("failed", Some(status)),
            Called::Unreachable | Called::Heard => ("unreachable", None),
        };
        let told = NoticeRow {
            // The same twice is one: a crash may come between this and the cursor.
            id: format!("{}-{}", self.name.get(8..24).unwrap_or_default(), notice.n),
            line: notice.row.line.clone(),
            kind: GIVEN_UP.into(),
            at: self.clock.now().ms(),
            body: json!({"webhook": self.settings.shown(), "notice": notice.row.id,
                "cursor": notice.n.to_string(), "reason": reason, "status": status}),
        };
        match self.feed.tell(told).await {
            Ok(()) => {
                self.board.note(&self.settings.shown(), |shown| shown.given_up += 1);
                tracing::error!(target: "webhook", notice = notice.row.id, reason, "a notice was given up; the list has it");
                true
            }
            Err(fault) => {
                tracing::error!(target: "webhook", %fault, "a notice could not be given up");
                false
            }
        }
    }

    fn keep_soon(&mut self, now: Instant) {
        self.keep_at.get_or_insert(now + KEEP_EVERY);
    }

    async fn keep(&mut self) {
        self.keep_at = None;
        let progress = self.window.progress();
        if progress == self.kept {
            return;
        }
        match self.feed.keep(&self.name, &progress).await {
            Ok(()) => self.kept = progress,
            Err(fault) => {
                tracing::error!(target: "webhook", %fault, "progress cannot be kept");
                self.keep_at = Some(Instant::now() + OWN_FAULT_PAUSE);
            }
        }
    }
}
