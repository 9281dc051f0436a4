//! Which lines are under way and which rest after a failure.
//!
//! Promises: no line is under way twice; memory is bounded whatever fails. A rest that was
//! the partner's fault ends when the partner answers again.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::Waiting;

/// Lines that rest at one partner. Where so many fail one by one, new ones wait until some
/// of them get through; each costs some hundred bytes.
pub const MOST_RESTING: usize = 1024;

#[derive(Default)]
pub struct Lines {
    under_way: HashSet<String>,
    resting: HashMap<String, Rest>,
}

struct Rest {
    /// Of the parcel that failed: another one at the line's head is not to blame.
    id: String,
    digest: String,
    failures: u32,
    until: Instant,
    fault: Fault,
}

/// Why a line rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something about this parcel.
    Parcel,
    /// The partner failed; another parcel would have failed as well.
    Partner,
    /// There are no retries left to spend.
    Budget,
}

impl Lines {
    /// May this parcel leave now? A probe does not mind a rest that was the partner's fault:
    /// it is there to find out about that.
    pub fn may_leave(&self, parcel: &Waiting, now: Instant, probe: bool) -> bool {
        if self.under_way.contains(&parcel.line) {
            return false;
        }
        match self.resting.get(&parcel.line) {
            Some(rest) if rest.is_of(parcel) => rest.until <= now || (probe && rest.fault != Fault::Parcel),
            Some(_) => true,
            None => self.resting.len() < MOST_RESTING,
        }
    }

    pub fn left(&mut self, line: &str) {
        self.under_way.insert(line.to_owned());
    }

    /// The line's parcel ended: nothing to remember.
    pub fn ended(&mut self, line: &str) {
        self.under_way.remove(line);
        self.resting.remove(line);
    }

    /// How often in a row this very parcel has failed.
    pub fn failures(&self, parcel: &Waiting) -> u32 {
        self.resting.get(&parcel.line).filter(|rest| rest.is_of(parcel)).map_or(0, |rest| rest.failures)
    }

    /// The attempt is over and the parcel waits on.
    pub fn rest(&mut self, parcel: &Waiting, failures: u32, until: Instant, fault: Fault) {
        self.under_way.remove(&parcel.line);
        let (id, digest) = (parcel.id.clone(), parcel.digest.clone());
        self.resting.insert(parcel.line.clone(), Rest { id, digest, failures, until, fault });
    }

    /// There is no retry left for it now.
    pub fn wait_for_budget(&mut self, parcel: &Waiting, until: Instant) {
        self.rest(parcel, self.failures(parcel), until, Fault::Budget);
    }

    /// The partner answers again: who rested for its sake need not.
    pub fn partner_is_back(&mut self, now: Instant) {
        self.end_rests(Fault::Partner, now);
    }

    /// There is a retry to spend again.
    pub fn budget_is_back(&mut self, now: Instant) {
        self.end_rests(Fault::Budget, now);
    }

    fn end_rests(&mut self, of: Fault, now: Instant) {
        for rest in self.resting.values_mut().filter(|rest| rest.fault == of) {
            rest.until = rest.until.min(now);
        }
    }

    /// All that waits is among `heads`: other lines need no memory.
    pub fn forget_all_but(&mut self, heads: &[Waiting]) {
        if self.resting.is_empty() {
            return;
        }
        let waiting: HashSet<&str> = heads.iter().map(|parcel| parcel.line.as_str()).collect();
        self.resting.retain(|line, _| waiting.contains(line.as_str()));
    }

    /// When the next rest ends.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        let resting = self.resting.iter().filter(|(line, _)| !self.under_way.contains(*line));
        resting.map(|(_, rest)| rest.until).filter(|until| *until > now).min()
    }

    /// Lines that a look at the shelf will show in vain.
    pub fn known(&self) -> usize {
        self.under_way.len() + self.resting.len()
    }

    pub fn is_under_way(&self, line: &str) -> bool {
        self.under_way.contains(line)
    }
}

impl Rest {
    fn is_of(&self, parcel: &Waiting) -> bool {
        self.id == parcel.id && self.digest == parcel.digest
    }
}
