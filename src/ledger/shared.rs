//! What the writer, the sealer and the façade know together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::recent::Recent;
use super::tree::Hash;
use crate::clock::Now;
use crate::store::{Shard, Take};

/// The last signed checkpoint of the log that is being written.
pub struct Published {
    pub shard: Shard,
    pub size: u64,
    pub note: Vec<u8>,
}

/// The last checkpoint whose witnesses were enough.
pub struct Cosigned {
    pub origin: String,
    pub size: u64,
    pub note: Vec<u8>,
    pub at: Instant,
}

/// How the ledger is, for `/readyz`, `/metrics` and the gateway's decision to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Would a record be stored now? Not where its evidence could not be sealed a moment ago, either.
    pub writable: bool,
    /// Set once, never cleared: it is not known what the disk holds, and the process must
    /// end with a failure so that a fresh one recovers.
    pub poisoned: Option<&'static str>,
    /// Below [`super::LEAST_FREE_BYTES`] or [`super::LEAST_FREE_PERCENT`], or SQLite said so.
    pub low_disk: bool,
    pub free_disk: Option<u64>,
    /// Entries waiting for the writer.
    pub queue_depth: usize,
    /// Leaves in the present log, and how many of them stand under a signed checkpoint.
    pub size: u64,
    pub sealed_size: u64,
    /// Since the last checkpoint was signed; `None` before the first of this process.
    pub checkpoint_age: Option<Duration>,
    /// How long the oldest leaf has waited for its checkpoint; `None` when none waits.
    /// Above ten seconds the promise of protocol §7 is broken.
    pub unsealed_for: Option<Duration>,
    /// How long the last commit took.
    pub last_commit: Duration,
}

#[derive(Default)]
pub(super) struct Shared {
    poisoned: OnceLock<&'static str>,
    pub low_disk: AtomicBool,
    /// `u64::MAX` when not known.
    pub free_disk: AtomicU64,
    pub queue_depth: AtomicUsize,
    pub size: AtomicU64,
    pub last_commit_us: AtomicU64,
    pub published: ArcSwapOption<Published>,
    pub cosigned: ArcSwapOption<Cosigned>,
    /// The log that is being written; `None` before the first has begun.
    pub writing: ArcSwapOption<String>,
    pub unsealed: Unsealed,
    pub recent: Recent,
    times: Mutex<Times>,
    uses: RwLock<Uses>,
}

#[derive(Default)]
struct Times {
    /// When evidence could not be sealed (a key's file cannot be read or made).
    evidence_failed: Option<Instant>,
    sealed: Option<Instant>,
    unsealed_since: Option<Instant>,
}

/// Leaves on their way from the writer to the sealer, which looks once a second and need not be woken
/// for each commit.
#[derive(Default)]
pub(super) struct Unsealed(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// The log of the hashes; none wait of another.
    shard: Option<Shard>,
    hashes: Vec<Hash>,
    told: bool,
}

impl Unsealed {
    /// Leaves that have become durable, in order; whether the sealer has to be told.
    pub fn add(&self, shard: Shard, hashes: impl Iterator<Item = Hash>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.shard = Some(shard);
        waiting.hashes.extend(hashes);
        !std::mem::replace(&mut waiting.told, true)
    }

    /// Takes what waits of this log; what waits of the next one stays until that has begun.
    pub fn take(&self, shard: Shard) -> Vec<Hash> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.shard == Some(shard) { std::mem::take(&mut waiting.hashes) } else { Vec::new() }
    }

    /// Nothing waits: the sealer is told of the next.
    pub fn rest(&self) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.told = !waiting.hashes.is_empty();
        !waiting.told
    }
}

/// Uses taken of authorizations that have not expired.
#[derive(Default)]
struct Uses {
    counts: HashMap<[u8; 32], (u32, i64)>,
    /// Forget the expired when the map has grown to this.
    sweep_at: usize,
}

/// How long a failure to seal evidence is told: whoever asks less often than this sees it, and a
/// gateway that gets no requests because it is not ready gets some again.
const EVIDENCE_FAILURE_TOLD: Duration = Duration::from_secs(10);

/// The map is swept when it has doubled since the last sweep, and never below this size.
const LEAST_SWEEP: usize = 4096;

impl Shared {
    pub fn poison(&self, why: &'static str) {
        if self.poisoned.set(why).is_ok() {
            tracing::error!(reason = why, "the ledger cannot go on: the process must be restarted");
        }
    }

    pub fn poisoned(&self) -> Option<&'static str> {
        self.poisoned.get().copied()
    }

    pub fn uses(&self, token: &[u8; 32]) -> u32 {
        let uses = self.uses.read().unwrap_or_else(PoisonError::into_inner);
        uses.counts.get(token).map_or(0, |(count, _)| *count)
    }

    /// Counts uses that have just become durable.
    pub fn count_uses(&self, takes: impl Iterator<Item = (Take, u32)>, now: Now) {
        let mut uses = self.uses.write().unwrap_or_else(PoisonError::into_inner);
        for (take, more) in takes {
            let known = uses.counts.entry(take.token).or_insert((0, take.expires));
            *known = (known.0.saturating_add(more), known.1.max(take.expires));
        }
        if uses.counts.len() >= uses.sweep_at.max(LEAST_SWEEP) {
            uses.counts.retain(|_, (_, expires)| *expires >= now.secs());
            uses.sweep_at = uses.counts.len() * 2;
        }
    }

    /// How many leaves of a log may be derived from: those that have been flushed. All, of one that is
    /// not written any more.
    pub fn durable(&self, shard: Shard) -> u64 {
        let writing =
            self.writing.load().as_ref().and_then(|origin| Shard::parse(origin.rsplit('/').next()?));
        if writing == Some(shard) { self.size.load(Ordering::Acquire) } else { u64::MAX }
    }

    pub fn evidence_failed(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.evidence_failed = Some(Instant::now());
    }

    pub fn grew(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.unsealed_since.get_or_insert_with(Instant::now);
    }

    pub fn sealed(&self, published: Published) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        times.sealed = Some(now);
        // Leaves that came while this checkpoint was written have waited less than this says.
        times.unsealed_since = (self.size.load(Ordering::Acquire) > published.size)
            .then_some(times.unsealed_since.unwrap_or(now));
        drop(times);
        self.published.store(Some(Arc::new(published)));
    }

    pub fn health(&self) -> Health {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let (poisoned, low_disk) = (self.poisoned(), self.low_disk.load(Ordering::Relaxed));
        let free = self.free_disk.load(Ordering::Relaxed);
        let sealing = times.evidence_failed.is_none_or(|at| at.elapsed() > EVIDENCE_FAILURE_TOLD);
        Health {
            writable: poisoned.is_none() && !low_disk && sealing,
            poisoned,
            low_disk,
            free_disk: (free != u64::MAX).then_some(free),
            queue_depth: self.queue_depth.load(Ordering::Relaxed),
            size: self.size.load(Ordering::Acquire),
            sealed_size: self.published.load().as_ref().map_or(0, |p| p.size),
            checkpoint_age: times.sealed.map(|at| at.elapsed()),
            unsealed_for: times.unsealed_since.map(|at| at.elapsed()),
            last_commit: Duration::from_micros(self.last_commit_us.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sealer_is_told_once_until_it_has_taken_everything() {
        let (unsealed, shard) = (Unsealed::default(), Shard::parse("2026h2").unwrap());
        assert!(unsealed.add(shard, [[1; 32]].into_iter()));
        assert!(!unsealed.add(shard, [[2; 32]].into_iter()));
        assert!(!unsealed.rest(), "leaves wait");
        assert_eq!(unsealed.take(shard), [[1; 32], [2; 32]]);
        assert!(unsealed.rest());
        assert!(unsealed.add(shard, [[3; 32]].into_iter()));
    }

    #[test]
    fn what_has_not_been_flushed_is_derived_from_by_nobody() {
        let (shared, shard) = (Shared::default(), Shard::parse("2026h2").unwrap());
        assert_eq!(shared.durable(shard), u64::MAX, "nothing is written yet");
        shared.writing.store(Some(Arc::new("tongban/421202/2026h2".to_owned())));
        shared.size.store(7, Ordering::Release);
        assert_eq!((shared.durable(shard), shared.durable(shard.next())), (7, u64::MAX));
    }

    #[test]
    fn leaves_of_the_next_log_wait_until_it_has_begun() {
        let (unsealed, shard) = (Unsealed::default(), Shard::parse("2026h2").unwrap());
        unsealed.add(shard.next(), [[1; 32]].into_iter());
        assert!(unsealed.take(shard).is_empty());
        assert_eq!(unsealed.take(shard.next()), [[1; 32]]);
    }
}
