//! What the register said lately: records, never answers.
//!
//! Promises: one register call for any number of concurrent misses, also when the first to
//! ask goes away; a fault is told to those who waited and not remembered; nothing is served
//! past its age or after a change was noted, except where the license type allows a stale
//! record while the register is down. Ages count on the gateway's clock; moka's own clock
//! only decides how long memory is held.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::age::{Told, Want, keep};
use super::marks::{Born, Depends, Marks};
use super::record::LicenseRecord;
use super::register::{Ask, Change, Register, RegisterFault};
use crate::clock::Now;
use crate::schema::CacheAges;

/// No register call holds its askers longer than this, whatever its own time limit.
const LONGEST_LOAD: Duration = Duration::from_secs(35);

/// How often the register is asked what changed, at most. The embedded one takes file locks to
/// answer, which at every lookup was a thirtieth of all work; a cached record is told this much
/// after an import's commit at the latest. Asking at every lookup would be exact. A cheaper exact
/// sign is not at hand: SQLite's own counter lies in the `-shm` file, and whoever closes a
/// descriptor of that file takes away the locks of every connection in the process.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Where an answer's records came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Cache,
    Register,
}

impl Source {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Register => "register",
        }
    }
}

/// What the register said once.
pub(super) struct Held {
    pub records: Vec<LicenseRecord>,
    /// When it was asked: what it said is at least as new.
    pub asked_at: Now,
    born: Born,
    depends: Depends,
    keep: Duration,
}

pub(super) struct Found {
    pub held: Arc<Held>,
    pub source: Source,
    pub stale: bool,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    pub hits: u64,
    pub misses: u64,
    pub stale: u64,
    /// Calls to the register.
    pub loads: u64,
    pub load_faults: u64,
    pub entries: u64,
    pub bytes: u64,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    loads: AtomicU64,
    load_faults: AtomicU64,
}

/// Shared by every asker.
pub(super) struct Cache {
    register: Register,
    entries: moka::future::Cache<Ask, Arc<Held>>,
    marks: Marks,
    flights: Mutex<HashMap<Ask, Flight>>,
    /// When the register was last asked what changed. Held until what it said is noted, so
    /// that nobody tells a record that somebody else has just learnt to be void.
    looked: Mutex<Option<Instant>>,
    counts: Counts,
}

type Outcome = Option<Result<Arc<Held>, RegisterFault>>;

/// A register call under way.
struct Flight {
    born: Born,
    depends: Depends,
    outcome: watch::Receiver<Outcome>,
}

impl Cache {
    /// `bytes` bounds the records held.
    pub fn new(register: Register, bytes: u64) -> Arc<Self> {
        let entries = moka::future::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Ask, held: &Arc<Held>| held.weight())
            .expire_after(KeepFor)
            .build();
        Arc::new(Self {
            register,
            entries,
            marks: Marks::default(),
            flights: Mutex::default(),
            looked: Mutex::default(),
            counts: Counts::default(),
        })
    }

    pub async fn find(self: &Arc<Self>, ask: &Ask, want: Want, now: Now) -> Result<Found, RegisterFault> {
        self.look_for_changes();
        let held = self.entries.get(ask).await.filter(|h| self.marks.holds(h.born, &h.depends));
        if let Some(held) = &held
            && want.is_fresh(held.told(), now)
        {
            count(&self.counts.hits);
            return Ok(Found { held: Arc::clone(held), source: Source::Cache, stale: false });
        }
        count(&self.counts.misses);
        match (self.load_unchanged(ask, want.ages, now).await, held) {
            (Ok(held), _) => Ok(Found { held, source: Source::Register, stale: false }),
            // Asked again whether it holds: the change may have come while the register failed.
            (Err(RegisterFault::Unavailable | RegisterFault::Timeout), Some(held))
                if want.may_be_stale(held.told(), now) && self.marks.holds(held.born, &held.depends) =>
            {
                count(&self.counts.stale);
                Ok(Found { held, source: Source::Cache, stale: true })
            }
            (Err(fault), _) => Err(fault),
        }
    }

    fn look_for_changes(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            let asked = Instant::now();
            self.marks.note_all(&self.register.changes());
            *looked = Some(asked);
        }
    }

    /// Nothing read before this moment is told from now on, and what is easily found leaves
    /// the memory as well.
    pub async fn changed(&self, change: &Change) {
        self.marks.note(change);
        if let Change::Holder { license_type, kind, number } = change {
            let (license_type, kind, number) = (license_type.clone(), kind.clone(), number.clone());
            self.entries.invalidate(&Ask::Holder { license_type, kind, number }).await;
        }
    }

    #[cfg(test)]
    pub fn register(&self) -> &Register {
        &self.register
    }

    #[cfg(test)]
    pub fn note(&self, change: &Change) {
        self.marks.note(change);
    }

    pub fn stats(&self) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: read(&self.counts.hits),
            misses: read(&self.counts.misses),
            stale: read(&self.counts.stale),
            loads: read(&self.counts.loads),
            load_faults: read(&self.counts.load_faults),
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
        }
    }

    /// What changed while it was read is read once more, so that no answer leaves after a
    /// change notice with what was before it. Once: under endless changes the second reading
    /// is as good as a third.
    async fn load_unchanged(
        self: &Arc<Self>,
        ask: &Ask,
        ages: CacheAges,
        now: Now,
    ) -> Result<Arc<Held>, RegisterFault> {
        let held = self.load(ask, ages, now).await?;
        if self.marks.holds(held.born, &held.depends) { Ok(held) } else { self.load(ask, ages, now).await }
    }

    async fn load(
        self: &Arc<Self>,
        ask: &Ask,
        ages: CacheAges,
        now: Now,
    ) -> Result<Arc<Held>, RegisterFault> {
        let mut outcome = self.board(ask, ages, now);
        // The sender goes without a word only if the load panicked.
        let landed = outcome.wait_for(Option::is_some).await.map_err(|_| RegisterFault::Unavailable)?;
        landed.clone().unwrap_or(Err(RegisterFault::Unavailable))
    }

    /// Joins the call that is under way, or starts one. Its own task: an asker that goes away
    /// or is not polled must not hold up the others (moka#240).
    fn board(self: &Arc<Self>, ask: &Ask, ages: CacheAges, now: Now) -> watch::Receiver<Outcome> {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(ask)
            && self.marks.holds(flight.born, &flight.depends)
        {
            return flight.outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        let born = self.marks.born();
        let depends = self.marks.depends(ask, None);
        flights.insert(ask.clone(), Flight { born, depends, outcome: outcome.clone() });
        count(&self.counts.loads);
        tokio::spawn(fly(Arc::clone(self), ask.clone(), ages, now, born, sender));
        outcome
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Ask, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fly(
    cache: Arc<Cache>,
    ask: Ask,
    ages: CacheAges,
    asked_at: Now,
    born: Born,
    outcome: watch::Sender<Outcome>,
) {
    let landing = Landing { cache: &cache, ask: &ask, flight: outcome.subscribe() };
    let fetched = tokio::time::timeout(LONGEST_LOAD, cache.register.fetch(&ask, asked_at)).await;
    let loaded = match fetched.unwrap_or(Err(RegisterFault::Timeout)) {
        Ok(records) => {
            let records = newest(records);
            let depends = cache.marks.depends(&ask, Some(&records));
            let keep = keep(ages, records.is_empty());
            let held = Arc::new(Held { records, asked_at, born, depends, keep });
            cache.entries.insert(ask.clone(), Arc::clone(&held)).await;
            Ok(held)
        }
        Err(fault) => {
            count(&cache.counts.load_faults);
            Err(fault)
        }
    };
    // First off the board, then told: who comes between finds the entry.
    drop(landing);
    outcome.send_replace(Some(loaded));
}

/// Takes its own flight off the board, also when the load panics.
struct Landing<'a> {
    cache: &'a Cache,
    ask: &'a Ask,
    flight: watch::Receiver<Outcome>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = self.cache.flights();
        if flights.get(self.ask).is_some_and(|flight| flight.outcome.same_channel(&self.flight)) {
            flights.remove(self.ask);
        }
    }
}

/// Of several versions of a license only the newest, the latest issued first.
fn newest(mut records: Vec<LicenseRecord>) -> Vec<LicenseRecord> {
    let version = |record: &LicenseRecord| record.header().version.clone();
    records.sort_by_cached_key(|record| (record.lineage(), Reverse(version(record))));
    records.dedup_by(|later, first| later.lineage() == first.lineage());
    records.sort_by_cached_key(|r| (Reverse(r.header().issued_on), r.license_id().to_owned()));
    records
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Held {
    fn told(&self) -> Told {
        Told { asked_at: self.asked_at, negative: self.records.is_empty() }
    }

    fn weight(&self) -> u32 {
        const ENTRY: usize = 512;
        let records: usize = self.records.iter().map(LicenseRecord::weight).sum();
        u32::try_from(ENTRY.saturating_add(records)).unwrap_or(u32::MAX)
    }
}

/// Personal data stays in memory only as long as it could still be told.
struct KeepFor;

impl moka::Expiry<Ask, Arc<Held>> for KeepFor {
    fn expire_after_create(&self, _: &Ask, held: &Arc<Held>, _: Instant) -> Option<Duration> {
        Some(held.keep)
    }

    fn expire_after_update(
        &self,
        _: &Ask,
        held: &Arc<Held>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.keep)
    }
}
