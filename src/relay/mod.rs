//! One parcel to its region until its receipt is stored.
//!
//! Promises: what waits is tried until the partner's signed answer is stored or it ends
//! visibly; parcels of one line leave in their order, the next one only after the end of the
//! one before; no partner waits for another; a partner that comes back gets its backlog below
//! its agreed quota; memory does not grow with what waits. Delivery is at least once: after a
//! crash or a lost answer the same message goes again, and the receiver knows it by case,
//! sequence and digest.
//! Leaves to others: what a parcel says, where it is kept ([`Parcels`]), and one attempt with
//! its signing, checking and recording ([`Deliver`]).

pub mod backoff;
mod board;
pub mod breaker;
mod courier;
mod lines;
mod office;
mod pace;
mod shelf;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use crate::clock::Now;
use crate::domain::Region;

pub use board::{Backlog, Board};
pub use breaker::Shown as BreakerShown;
pub use office::{GIVE_UP_AFTER, Settings, run};
pub use pace::Allowance;
pub use shelf::{RedriveFault, Shelf, ended_notice, redrive};

/// What a courier must know of a parcel that waits; the message itself stays on the shelf
/// until its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub id: String,
    /// What keeps its order: the case number or the verification's id.
    pub line: String,
    /// Stands for what the parcel says: a rebased one has another digest.
    pub digest: String,
    /// When it began to wait: made, or put on its way again by a person.
    pub since: Now,
    /// It has left before: the next attempt is a retry.
    pub tried: bool,
}

/// The shelf cannot be read or written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parcels cannot be read or written")]
pub struct ShelfFault;

/// Where parcels wait, durable.
pub trait Parcels: Send + Sync + 'static {
    type Changes: Ticks;

    /// Partners for whom something waits.
    fn partners(&self) -> impl Future<Output = Result<Vec<Region>, ShelfFault>> + Send;

    /// Waiting parcels to `partner`, of each line the first one only, the longest waiting
    /// first, `most` at most.
    fn heads(
        &self,
        partner: Region,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Waiting>, ShelfFault>> + Send;

    /// Ends a parcel as `undeliverable`, visibly and for a person to decide about; durable on
    /// return. One that does not wait any more is left as it is.
    fn give_up(
        &self,
        partner: Region,
        parcel: &Waiting,
        reason: &'static str,
    ) -> impl Future<Output = Result<(), ShelfFault>> + Send;

    /// What waits for whom, for the metrics.
    fn backlogs(&self) -> impl Future<Output = Result<Vec<Backlog>, ShelfFault>> + Send;

    /// Ticks whenever something may have begun to wait.
    fn changes(&self) -> Self::Changes;
}

/// Wakes who waits for the shelf.
pub trait Ticks: Send + 'static {
    /// Returns after a change since the last call; `false` when there will be none any more.
    fn next(&mut self) -> impl Future<Output = bool> + Send;
}

/// One attempt, from the signature to the stored receipt.
pub trait Deliver: Send + Sync + 'static {
    /// Tries once. When it returns [`Delivery::Delivered`] or [`Delivery::Refused`] the shelf
    /// says so already.
    fn deliver(&self, partner: Region, parcel: &Waiting) -> impl Future<Output = Delivery> + Send;

    /// What couriers may spend at the partner today.
    fn allowance(&self, partner: Region) -> Allowance;
}

/// What became of an attempt. Words are fixed ones: refusal codes and our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The partner's signed receipt is stored.
    Delivered,
    /// Its signed refusal is stored, and the parcel ended with it.
    Refused,
    /// A signed answer that a later message may get past; of this parcel alone.
    Later { reason: &'static str, retry_after: Option<Duration> },
    /// Signed `sequence-gap`: an event of the partner's own is on its way to us.
    Gap,
    /// An unsigned "later": the partner has no room for us.
    Busy { reason: &'static str, retry_after: Option<Duration> },
    /// No answer: no connection, none in time, a 5xx, or we are no member there.
    Unreachable { reason: &'static str },
    /// Something came back that is not believed or not signed, and that another parcel might
    /// not get.
    Disbelieved { reason: &'static str },
    /// Nothing left the house: something of ours that this parcel needs is missing.
    NotYet { reason: &'static str },
    /// Nothing left the house, or no end could be recorded: a fault of ours.
    Unsent,
    /// The parcel does not wait any more.
    Gone,
}

impl Delivery {
    /// For the metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Later { .. } => "later",
            Self::Gap => "gap",
            Self::Busy { .. } => "busy",
            Self::Unreachable { .. } => "unreachable",
            Self::Disbelieved { .. } => "disbelieved",
            Self::NotYet { .. } => "not-yet",
            Self::Unsent => "unsent",
            Self::Gone => "gone",
        }
    }
}
