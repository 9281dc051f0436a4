//! The courier to one partner: takes what waits, oldest first, as fast as the agreement and
//! the partner's health allow.
//!
//! Promises: at most one parcel of a line under way; never more attempts at a time or in a
//! second than the allowance; an attempt that does not end is given up on after [`LEASE`].
//! What it knows of failures is in memory: after a restart it simply begins anew.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::{self, Backoff, RetryBudget, at_least};
use super::board::Board;
use super::breaker::{Admits, Breaker};
use super::lines::{Fault, Lines};
use super::pace::{Allowance, Pace};
use super::{Deliver, Delivery, Parcels, Waiting};
use crate::clock::Clock;
use crate::domain::Region;

/// Parcels taken from the shelf at once: a second or two of work, some KiB.
const PAGE: usize = 64;
/// An attempt may hold its line so long: our client ends a call after 20 s, and the ledger
/// needs its time. Longer means that it hangs, and the line must go on.
const LEASE: Duration = Duration::from_secs(60);
/// When our own house cannot record, sign or read; nothing of a partner's.
const OWN_FAULT_PAUSE: Duration = Duration::from_secs(1);
const OWN_FAULT_REST: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(30) };

pub(super) struct Courier<S, D> {
    pub partner: Region,
    pub parcels: Arc<S>,
    pub deliver: Arc<D>,
    pub clock: Clock,
    pub board: Arc<Board>,
    /// Older ones are not tried again when they fail.
    pub give_up_after: Duration,
    /// Something waits that did not before.
    pub news: Arc<Notify>,
}

/// What to do until the next attempt.
enum Step {
    Begun,
    /// `None`: until an attempt ends or there is news.
    WaitUntil(Option<Instant>),
}

/// A courier at work.
struct Round<S, D> {
    of: Courier<S, D>,
    lines: Lines,
    breaker: Breaker,
    budget: RetryBudget,
    pace: Pace,
    page: VecDeque<Waiting>,
    /// The shelf may hold something that is not in the page.
    look: bool,
    not_before: Instant,
    attempts: JoinSet<Delivery>,
    under_way: HashMap<Id, UnderWay>,
}

/// An attempt that has not ended.
struct UnderWay {
    parcel: Waiting,
    /// It cost a retry of the budget.
    paid: bool,
}

impl<S: Parcels, D: Deliver> Courier<S, D> {
    /// Works until `stopped`, then waits for the attempts under way.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let now = Instant::now();
        let mut round = Round {
            of: self,
            lines: Lines::default(),
            breaker: Breaker::default(),
            budget: RetryBudget::new(now),
            pace: Pace::new(now),
            page: VecDeque::new(),
            look: true,
            not_before: now,
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
        };
        while !*stopped.borrow() {
            while let Some(ended) = round.attempts.try_join_next_with_id() {
                round.ended(ended).await;
            }
            let Step::WaitUntil(until) = round.step().await else { continue };
            let news = round.of.news.clone();
            tokio::select! {
                Some(ended) = round.attempts.join_next_with_id() => round.ended(ended).await,
                () = news.notified() => round.look = true,
                () = at(until) => round.look = true,
                _ = stopped.changed() => break,
            }
        }
        while let Some(ended) = round.attempts.join_next_with_id().await {
            round.ended(ended).await;
        }
    }
}

async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

impl<S: Parcels, D: Deliver> Round<S, D> {
    /// Begins one attempt, or says what to wait for.
    async fn step(&mut self) -> Step {
        let now = Instant::now();
        let allowance = self.of.deliver.allowance(self.of.partner);
        if self.attempts.len() >= allowance.places {
            return Step::WaitUntil(None);
        }
        let probe = match self.breaker.admits(now) {
            Admits::Any => false,
            Admits::Probe => true,
            Admits::NotBefore(until) => return Step::WaitUntil(Some(until)),
            Admits::AfterProbe => return Step::WaitUntil(None),
        };
        if let Some(until) = self.pace.not_before(now).or((now < self.not_before).then_some(self.not_before))
        {
            return Step::WaitUntil(Some(until));
        }
        let Some(parcel) = self.next(now, probe).await else {
            return Step::WaitUntil(self.lines.next_end(now));
        };
        self.begin(parcel, probe, allowance);
        Step::Begun
    }

    /// The longest waiting parcel that may leave.
    async fn next(&mut self, now: Instant, probe: bool) -> Option<Waiting> {
        loop {
            while let Some(parcel) = self.page.pop_front() {
                if self.lines.may_leave(&parcel, now, probe) && self.may_spend(&parcel, now, probe) {
                    return Some(parcel);
                }
            }
            if !std::mem::take(&mut self.look) {
                return None;
            }
            // Known lines come before the others, and in vain: ask for so many more.
            let most = PAGE + self.lines.known();
            match self.of.parcels.heads(self.of.partner, most).await {
                Ok(heads) => {
                    if heads.len() < most {
                        self.lines.forget_all_but(&heads);
                    }
                    let more = heads.len() == most;
                    self.page = heads.into();
                    // Nobody ends an attempt while we are here: what is under way now was so
                    // when the shelf was read.
                    self.page.retain(|parcel| self.lines.may_leave(parcel, now, probe));
                    self.look = more && !self.page.is_empty();
                }
                Err(fault) => {
                    tracing::error!(target: "relay", partner = self.of.partner.as_str(), %fault, "waiting parcels cannot be read");
                    self.not_before = now + OWN_FAULT_PAUSE;
                    self.look = true;
                    return None;
                }
            }
        }
    }

    /// First tries earn retries, retries cost one unless they end their parcel; a probe is
    /// paid for by the breaker.
    fn may_spend(&mut self, parcel: &Waiting, now: Instant, probe: bool) -> bool {
        if probe {
            return true;
        }
        if !parcel.tried {
            self.budget.first_try();
            return true;
        }
        match self.budget.retry(now) {
            Ok(()) => true,
            Err(until) => {
                self.lines.wait_for_budget(parcel, until);
                false
            }
        }
    }

    fn begin(&mut self, parcel: Waiting, probe: bool, allowance: Allowance) {
        self.pace.spend(Instant::now(), allowance);
        if probe {
            self.breaker.probe();
            self.show_breaker();
        }
        self.lines.left(&parcel.line);
        let paid = parcel.tried && !probe;
        let (deliver, partner, attempted) = (self.of.deliver.clone(), self.of.partner, parcel.clone());
        let attempt = async move {
            let attempt = timeout(LEASE, deliver.deliver(partner, &attempted)).await;
            attempt.unwrap_or(Delivery::Unreachable { reason: "partner-timeout" })
        };
        let id = self.attempts.spawn(attempt).id();
        self.under_way.insert(id, UnderWay { parcel, paid });
    }

    async fn ended(&mut self, ended: Result<(Id, Delivery), JoinError>) {
        let (id, delivery) = match ended {
            Ok(ended) => ended,
            // A panic of ours: the parcel waits on like after any fault of our own.
            Err(error) => (error.id(), Delivery::Unsent),
        };
        let Some(UnderWay { parcel, paid }) = self.under_way.remove(&id) else { return };
        self.of.board.attempt(self.of.partner, delivery.word());
        self.look = true;
        if paid && matches!(delivery, Delivery::Delivered | Delivery::Refused) {
            self.budget.was_worth_it();
            self.lines.budget_is_back(Instant::now());
        }
        self.judge_partner(delivery).await;
        let (fault, reason, retry_after) = match delivery {
            Delivery::Delivered | Delivery::Refused | Delivery::Gone => {
                return self.lines.ended(&parcel.line);
            }
            Delivery::Unsent => return self.own_fault(&parcel),
            Delivery::NotYet { reason } => (Fault::Parcel, reason, None),
            Delivery::Later { reason, retry_after } => (Fault::Parcel, reason, retry_after),
            Delivery::Gap => (Fault::Parcel, "sequence-gap", None),
            Delivery::Disbelieved { reason } => (Fault::Parcel, reason, None),
            Delivery::Busy { reason, retry_after } => (Fault::Partner, reason, retry_after),
            Delivery::Unreachable { reason } => (Fault::Partner, reason, None),
        };
        if self.is_too_old(&parcel) && self.give_up(&parcel, reason).await {
            return self.lines.ended(&parcel.line);
        }
        let failures = self.lines.failures(&parcel) + 1;
        let wait = at_least(backoff::PARCEL.wait(failures, backoff::draw()), retry_after);
        self.lines.rest(&parcel, failures, Instant::now() + wait, fault);
    }

    /// All wait a moment, and this parcel a little longer: if it alone is to blame, the others
    /// must get past it.
    fn own_fault(&mut self, parcel: &Waiting) {
        let (now, failures) = (Instant::now(), self.lines.failures(parcel) + 1);
        self.not_before = now + OWN_FAULT_PAUSE;
        let until = now + OWN_FAULT_REST.wait_at_least_half(failures, backoff::draw());
        self.lines.rest(parcel, failures, until, Fault::Parcel);
    }

    /// What an attempt says about the partner rather than about its parcel.
    async fn judge_partner(&mut self, delivery: Delivery) {
        let now = Instant::now();
        match delivery {
            Delivery::Delivered | Delivery::Refused | Delivery::Later { .. } | Delivery::Gap => {
                if self.breaker.answered() {
                    tracing::info!(target: "relay", partner = self.of.partner.as_str(), "the partner answers again");
                    self.lines.partner_is_back(now);
                }
            }
            Delivery::Busy { reason, retry_after } => self.partner_failed(now, reason, retry_after).await,
            Delivery::Unreachable { reason } => self.partner_failed(now, reason, None).await,
            Delivery::Disbelieved { .. } | Delivery::NotYet { .. } | Delivery::Unsent | Delivery::Gone => {
                self.breaker.probe_ended(now);
            }
        }
        self.show_breaker();
    }

    async fn partner_failed(&mut self, now: Instant, reason: &'static str, retry_after: Option<Duration>) {
        if retry_after.is_some() {
            // Said to all of us, whether or not it is enough to open the breaker.
            self.not_before = self.not_before.max(now + at_least(Duration::ZERO, retry_after));
        }
        if self.breaker.failed(now, retry_after, backoff::draw()) {
            tracing::warn!(target: "relay", partner = self.of.partner.as_str(), reason, "the partner does not answer; parcels wait");
            self.give_up_old_ones(reason).await;
        }
    }

    /// While the partner is away nothing is tried that could end for its age.
    async fn give_up_old_ones(&mut self, reason: &'static str) {
        loop {
            let Ok(heads) = self.of.parcels.heads(self.of.partner, PAGE).await else { return };
            let full = heads.len() == PAGE;
            let old: Vec<Waiting> = heads
                .into_iter()
                .filter(|parcel| self.is_too_old(parcel) && !self.lines.is_under_way(&parcel.line))
                .collect();
            let all = old.len() == PAGE;
            for parcel in &old {
                if !self.give_up(parcel, reason).await {
                    return;
                }
                self.lines.ended(&parcel.line);
            }
            if !(full && all) {
                return;
            }
        }
    }

    fn is_too_old(&self, parcel: &Waiting) -> bool {
        let age = self.of.clock.now().ms().saturating_sub(parcel.since.ms());
        u128::try_from(age).is_ok_and(|age| age > self.of.give_up_after.as_millis())
    }

    async fn give_up(&mut self, parcel: &Waiting, reason: &'static str) -> bool {
        match self.of.parcels.give_up(self.of.partner, parcel, reason).await {
            Ok(()) => {
                tracing::error!(target: "relay", partner = self.of.partner.as_str(), parcel = parcel.id, reason, "undeliverable: a person must decide");
                true
            }
            Err(fault) => {
                tracing::error!(target: "relay", parcel = parcel.id, %fault, "a parcel could not be given up");
                false
            }
        }
    }

    fn show_breaker(&self) {
        self.of.board.breaker(self.of.partner, self.breaker.shown());
    }
}
