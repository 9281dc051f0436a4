//! What the couriers did and what waits, for the metrics and the view of partners.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::breaker::Shown;
use crate::clock::Now;
use crate::domain::Region;

/// What one partner has not got yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub partner: Region,
    pub waiting: u64,
    /// Since when the longest waiting one does.
    pub oldest: Option<Now>,
    /// Ended without a receipt and not put on their way again.
    pub undeliverable: u64,
}

#[derive(Default)]
pub struct Board(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    attempts: HashMap<(Region, &'static str), u64>,
    breakers: HashMap<Region, Shown>,
    backlogs: Vec<Backlog>,
}

impl Board {
    /// Counts an attempt by [`super::Delivery::word`].
    pub(super) fn attempt(&self, partner: Region, outcome: &'static str) {
        *self.kept().attempts.entry((partner, outcome)).or_default() += 1;
    }

    pub(super) fn breaker(&self, partner: Region, shown: Shown) {
        self.kept().breakers.insert(partner, shown);
    }

    pub(super) fn backlogs_are(&self, backlogs: Vec<Backlog>) {
        self.kept().backlogs = backlogs;
    }

    /// Attempts since the start by partner and outcome.
    pub fn attempts(&self) -> Vec<(Region, &'static str, u64)> {
        self.kept().attempts.iter().map(|((partner, outcome), count)| (*partner, *outcome, *count)).collect()
    }

    pub fn breakers(&self) -> Vec<(Region, Shown)> {
        self.kept().breakers.iter().map(|(partner, shown)| (*partner, *shown)).collect()
    }

    /// As of the last look, a few seconds ago at most.
    pub fn backlogs(&self) -> Vec<Backlog> {
        self.kept().backlogs.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
