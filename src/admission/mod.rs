//! Who may join the line when more comes than the gateway can do: decided before any
//! elliptic-curve work, from how long the line is and how fast it has been moving.
//!
//! Promises: whoever is let in waits about as long as its [`Class`] bears and no longer; lookups
//! are turned away first, what ends a case last; a partner that floods the line leaves room for
//! the others; what waits for somebody else (a slow register) stands in nobody's way; memory is
//! bounded. Leaves to others: rates that were agreed ([`crate::policy`]), and what is said to
//! whom is turned away. Health, the card and the log are not asked about here: they are served.

mod line;
mod pace;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::domain::Region;
use crate::envelope::Op;

use line::Line;

/// What an exchange is for, in the order in which the gateway gives up: the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A lookup, and what cannot be told: the window asks again, nothing is lost.
    Lookup,
    /// How a case stands, and `ping`: asked by people who can wait.
    Status,
    /// A new case or question: its sender keeps it and delivers it later.
    Submit,
    /// What carries a case on or ends it, and the ledgers' comparison: it frees others from waiting.
    Receipt,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Lookup, Self::Status, Self::Submit, Self::Receipt];

    /// The class of what a message says it asks for.
    pub const fn of(op: Option<Op>) -> Self {
        match op {
            None | Some(Op::LicenseQuery) => Self::Lookup,
            Some(Op::ApplicationStatus | Op::Ping) => Self::Status,
            Some(Op::ApplicationSubmit | Op::VerificationRequest) => Self::Submit,
            Some(Op::ApplicationEvent | Op::VerificationAnswer | Op::LedgerReconcile) => Self::Receipt,
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Status => "status",
            Self::Submit => "submit",
            Self::Receipt => "receipt",
        }
    }
}

/// The line is too long for this class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line is too long for a {}", class.word())]
pub struct Full {
    pub class: Class,
    /// For `Retry-After`; from 1 to [`LONGEST_RETRY`] in turn, so that those who were turned away
    /// together do not come back together.
    pub retry_after_secs: u32,
}

/// Seconds. The line itself is gone in less than one.
pub const LONGEST_RETRY: u32 = 3;

/// How it stands, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Exchanges that the gateway works on, or that wait for it.
    pub line: usize,
    /// With those that wait for somebody else.
    pub held: usize,
    /// How long the line is for now that lookups may join.
    pub room: usize,
    /// What the next one in line will wait.
    pub wait: Duration,
}

/// The line at the door.
#[derive(Default)]
pub struct Admission {
    line: Arc<Mutex<Line>>,
}

impl Admission {
    /// A place in the line. `class` is asked for only where a lookup would be turned away.
    pub fn enter(&self, partner: Region, class: impl FnOnce() -> Class) -> Result<Place, Full> {
        if let Some(length) = lock(&self.line).join(Class::Lookup, partner) {
            return Ok(self.place(partner, length));
        }
        let class = class();
        let mut line = lock(&self.line);
        match line.join(class, partner) {
            Some(length) => Ok(self.place(partner, length)),
            None => Err(Full { class, retry_after_secs: 1 + line.turned_away() % LONGEST_RETRY }),
        }
    }

    fn place(&self, partner: Region, length: usize) -> Place {
        let aside_micros = AtomicU64::new(0);
        Place { line: Arc::clone(&self.line), partner, length, since: Instant::now(), aside_micros }
    }

    pub fn standing(&self) -> Standing {
        lock(&self.line).standing()
    }
}

/// A place in the line; given up when dropped.
#[must_use = "the place is given up when it is dropped"]
pub struct Place {
    line: Arc<Mutex<Line>>,
    partner: Region,
    /// The line's when it joined, itself included.
    length: usize,
    since: Instant,
    aside_micros: AtomicU64,
}

impl Place {
    /// It got through: its answer is recorded. From how long that took it is known how fast the
    /// line moves; what was refused early went a shorter way and says nothing of it.
    pub fn got_through(&self) {
        let aside = Duration::from_micros(self.aside_micros.load(Ordering::Relaxed));
        lock(&self.line).learn(self.length, self.since.elapsed().saturating_sub(aside));
    }

    /// Waits for somebody else: out of the line meanwhile, if there is any waiting.
    pub async fn aside<F: Future>(&self, other: F) -> F::Output {
        let mut other = pin!(other);
        let mut out = None;
        std::future::poll_fn(|cx| match other.as_mut().poll(cx) {
            Poll::Ready(done) => {
                out = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                out.get_or_insert_with(|| Aside::step(self));
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.line).leave(self.partner);
    }
}

/// Out of the line, and back in it when dropped.
struct Aside<'a> {
    place: &'a Place,
    since: Instant,
}

impl<'a> Aside<'a> {
    fn step(place: &'a Place) -> Self {
        lock(&place.line).step_aside(place.partner);
        Self { place, since: Instant::now() }
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        lock(&self.place.line).step_back(self.place.partner);
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.place.aside_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Counters only: a panic elsewhere leaves them whole.
fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
