//! The notices that were read for a webhook and that it has not heard: which may be told now.
//!
//! Promises: of one subject one at a time, in order; memory is bounded by [`WINDOW`]; one that
//! is not wanted holds up its own subject only.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::casebook::{Listed, NoticeRow};

/// Notices that may be under way, rest, or wait behind one of their subject that does.
pub const WINDOW: usize = 128;

/// How far a webhook was told, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Everything up to here was read.
    pub read: i64,
    /// And heard, but for these.
    pub open: Vec<i64>,
}

pub struct Window {
    open: BTreeMap<i64, Place>,
    read: i64,
}

struct Place {
    notice: Listed<NoticeRow>,
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting(Instant),
    UnderWay,
}

impl Window {
    pub fn beginning_at(read: i64) -> Self {
        Self { open: BTreeMap::new(), read }
    }

    pub fn read(&self) -> i64 {
        self.read
    }

    pub fn progress(&self) -> Progress {
        Progress { read: self.read, open: self.open.keys().copied().collect() }
    }

    /// How many more may be read.
    pub fn room(&self) -> usize {
        WINDOW.saturating_sub(self.open.len())
    }

    /// Adds what was read; what is not `wanted` needs no telling.
    pub fn add(&mut self, notice: Listed<NoticeRow>, wanted: bool, now: Instant) {
        self.read = self.read.max(notice.n);
        if wanted {
            self.open.insert(notice.n, Place { notice, state: State::Waiting(now), failures: 0 });
        }
    }

    /// The oldest one that may be told: the first of its subject, rested. A probe does not
    /// mind the rest.
    pub fn take(&mut self, now: Instant, probe: bool) -> Option<Listed<NoticeRow>> {
        let mut before = HashSet::new();
        for place in self.open.values_mut() {
            let first = before.insert(place.notice.row.line.as_str());
            if let State::Waiting(until) = place.state
                && first
                && (probe || until <= now)
            {
                place.state = State::UnderWay;
                return Some(place.notice.clone());
            }
        }
        None
    }

    pub fn done_with(&mut self, n: i64) {
        self.open.remove(&n);
    }

    pub fn failures(&self, n: i64) -> u32 {
        self.open.get(&n).map_or(0, |place| place.failures)
    }

    /// Counts a failure; `until` is told how many there were.
    pub fn failed(&mut self, n: i64, until: impl FnOnce(u32) -> Instant) {
        if let Some(place) = self.open.get_mut(&n) {
            place.failures = place.failures.saturating_add(1);
            place.state = State::Waiting(until(place.failures));
        }
    }

    /// Nobody needs to rest any longer.
    pub fn wake_all(&mut self, now: Instant) {
        for place in self.open.values_mut() {
            if let State::Waiting(until) = &mut place.state {
                *until = now.min(*until);
            }
        }
    }

    /// When the next rest ends.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        let rests = self.open.values().filter_map(|place| match place.state {
            State::Waiting(until) if until > now => Some(until),
            State::Waiting(_) | State::UnderWay => None,
        });
        rests.min()
    }
}
