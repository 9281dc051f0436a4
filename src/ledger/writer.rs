//! The writer: one thread that gives every leaf its place and makes it durable.
//!
//! Natural group commit: whatever waits goes into one commit, at once while it is quiet. A busy
//! writer waits while others still work on what comes next (decision 0010). One use of an
//! authorization is decided here, because here everything is in one line: exactly
//! `max_uses` under any concurrency. A failed commit changes nothing that is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::evidence::Sealing;
use super::held::Lost;
use super::leaf::{Leaf, LeafHash, LeafKind, RESTORED};
use super::note::Vkey;
use super::recent::{Batch, RecentLeaf};
use super::sealer::ToSealer;
use super::shared::Shared;
use super::tree::{Hash, leaf_hash, sha256};
use super::waits::{Waits, Watch};
use super::workers::Workers;
use super::{Carrier, LEAST_FREE_BYTES, LEAST_FREE_PERCENT, Place, RecordFault, origin};
use crate::clock::{Clock, Now};
use crate::domain::Region;
use crate::store::{Deed, Engine, Mark, Month, Row, Shard, StoreFault, Take, VaultOrder};

/// Leaves in one commit: beyond this the flush is no longer what costs, and the first in
/// line would wait for the last.
pub(super) const MOST_IN_A_COMMIT: usize = 1024;
/// A writer whose last commit held several leaves waits for so many, so long, and never while all
/// [`Workers`] are out of work. A commit costs as much as the work on a whole exchange. A lone
/// caller never waits: the commit before held one leaf.
const ENOUGH_IN_A_COMMIT: usize = 64;
const LINGER: Duration = Duration::from_millis(10);
/// While a commit is flushed to a disk that takes longer than this, or is written beside workers on other
/// cores, these need other exchanges to work on: those that come next must not all be in it (decisions
/// 0012, 0013).
const SLOW_DISK: Duration = Duration::from_millis(1);
const ENOUGH_BESIDE_OTHERS: usize = 16;
/// How often the free space is looked at, while writing and while idle.
const DISK_EVERY: Duration = Duration::from_secs(1);
/// Idle wake-ups, for leaving the file at rest, the turn of a half-year and for a disk that has room again.
const IDLE_WAKE: Duration = Duration::from_secs(2);

/// What waits in line.
pub(super) enum Job {
    Record(Box<Record>),
    /// Something is done to vaults, between two commits.
    Obey(VaultOrder, oneshot::Sender<Result<Vec<u64>, RecordFault>>),
}

pub(super) struct Record {
    pub row: Row,
    /// What the row's bytes say.
    pub leaf: Leaf,
    /// With `row.take`: refuse when this many uses have been taken.
    pub most_uses: u32,
    pub reply: oneshot::Sender<Result<Place, RecordFault>>,
}

pub(super) struct Writer {
    pub engine: Box<dyn Engine>,
    pub carrier: Box<dyn Carrier>,
    pub region: Region,
    /// The ledger's public key, which every log's first leaf names.
    pub public: [u8; 32],
    pub clock: Clock,
    pub sealing: Arc<Sealing>,
    pub to_sealer: Sender<ToSealer>,
    pub shared: Arc<Shared>,
    /// Who brings what is recorded, and where the answers are told; `None` where nobody says.
    pub workers: Option<(Arc<Workers>, Handle)>,
    pub shard: Shard,
    pub month: Month,
    pub origin: Arc<str>,
    /// Index of the next leaf; 0 before the first log has begun.
    pub next: u64,
    /// The last leaf of `shard` is its `close`.
    pub closed: bool,
    /// The first log of this run begins after one that was cut off.
    pub lost: Option<Lost>,
    pub disk_seen: Option<Instant>,
    /// Leaves in the last commit.
    pub last_batch: usize,
    /// For the disk.
    pub waits: Waits,
}

impl Writer {
    pub fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match jobs.recv_timeout(IDLE_WAKE) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.look_at_disk();
                    self.tidy(true);
                    self.sealing.epochs.forget_past(self.clock.now());
                    if self.shared.poisoned().is_none() && !self.shared.low_disk.load(Ordering::Relaxed) {
                        let _ = self.turn(self.clock.now());
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.tidy(true),
            };
            let (mut batch, mut taken, mut order) = (Vec::new(), 0, None);
            let (mut next, mut lingered) = (Some(first), false);
            while let Some(job) = next {
                taken += 1;
                match job {
                    Job::Record(record) => batch.push(*record),
                    Job::Obey(what, reply) => order = Some((what, reply)),
                }
                if order.is_some() || batch.len() == MOST_IN_A_COMMIT {
                    break;
                }
                next = jobs.try_recv().ok();
                if next.is_none() && !std::mem::replace(&mut lingered, true) {
                    self.linger();
                    next = jobs.try_recv().ok();
                }
            }
            self.shared.queue_depth.fetch_sub(taken, Ordering::Relaxed);
            if !batch.is_empty() {
                self.last_batch = batch.len();
                self.commit(batch);
            }
            if let Some((what, reply)) = order {
                let _ = reply.send(self.obey(&what));
            }
            self.tidy(false);
        }
    }

    /// Waits for more, while that is worth it.
    fn linger(&self) {
        if self.last_batch < 2 {
            return;
        }
        if let Some((workers, _)) = &self.workers {
            workers.linger(LINGER, enough(self.waits.least(), workers.all()), || {
                self.shared.queue_depth.load(Ordering::Relaxed)
            });
        }
    }

    /// Tells everybody on a thread that works for them: told one by one from here, each would
    /// interrupt this thread for the next.
    fn tell(&self, told: Vec<Told>) {
        match &self.workers {
            Some((_, runtime)) if told.len() > 1 => drop(runtime.spawn(async move { reply(told) })),
            _ => reply(told),
        }
    }

    fn obey(&mut self, order: &VaultOrder) -> Result<Vec<u64>, RecordFault> {
        if self.shared.poisoned().is_some() {
            return Err(RecordFault::Unavailable);
        }
        self.engine.obey(order).map_err(|fault| {
            tracing::error!(%fault, "an order on evidence could not be carried out");
            self.fail(&fault);
            RecordFault::Unavailable
        })
    }

    fn forget_carried(&mut self) {
        if let Some(carried) = self.carrier.carried() {
            self.engine.forget_deeds(carried);
        }
    }

    fn tidy(&mut self, idle: bool) {
        if self.shared.poisoned().is_some() {
            return;
        }
        if idle {
            self.forget_carried();
        }
        if let Err(fault) = self.engine.tidy(idle) {
            tracing::error!(%fault, "the store could not be tidied");
            self.fail(&fault);
        }
    }

    /// A full disk may have room again; what else goes wrong leaves it open what is stored.
    fn fail(&mut self, fault: &StoreFault) {
        if *fault == StoreFault::Full {
            self.shared.low_disk.store(true, Ordering::Relaxed);
            self.disk_seen = Some(Instant::now());
        } else if !fault.is_passing() {
            self.shared.poison("a commit failed");
        }
    }

    fn commit(&mut self, jobs: Vec<Record>) {
        let now = self.clock.now();
        self.look_at_disk();
        let ready = self.shared.poisoned().is_none()
            && !self.shared.low_disk.load(Ordering::Relaxed)
            && self.turn(now).is_ok();
        if !ready {
            return refuse(jobs, RecordFault::Unavailable);
        }
        let mut taken: HashMap<[u8; 32], u32> = HashMap::new();
        let (admitted, used_up): (Vec<Record>, Vec<Record>) = jobs.into_iter().partition(|job| {
            let Some(take) = &job.row.take else { return true };
            let here = taken.entry(take.token).or_insert(0);
            let free = self.shared.uses(&take.token).saturating_add(*here) < job.most_uses;
            *here += u32::from(free);
            free
        });
        let ((mut rows, leaves), waiting): ((Vec<Row>, Vec<Leaf>), Vec<_>) =
            admitted.into_iter().map(|job| ((job.row, job.leaf), job.reply)).unzip();
        let first = self.next;
        self.forget_carried();
        if self.append(now, &rows).is_err() {
            // Not "used up" either: the use that stood in the way has not happened.
            reply(waiting.into_iter().map(|reply| (reply, Err(RecordFault::Unavailable))).collect());
            return refuse(used_up, RecordFault::Unavailable);
        }
        let mark = |index| Mark { shard: self.shard, index };
        let deeds: Vec<Deed> = rows
            .iter_mut()
            .zip(first..)
            .filter_map(|(row, index)| Some(Deed { at: mark(index), bytes: row.deed.take()? }))
            .collect();
        // Before any reply: who asks the index to follow finds this commit in memory.
        let recent = rows.iter_mut().zip(leaves).map(|(row, leaf)| {
            let tokens = row.vault.as_mut().map(|vault| (vault.class, std::mem::take(&mut vault.tokens)));
            RecentLeaf { leaf, tokens }
        });
        self.shared.recent.add(self.shard, Batch { month: self.month, first, leaves: recent.collect() });
        // Nor later: who waits for a deed of this commit finds it on its way.
        if !deeds.is_empty() {
            self.carrier.carry(deeds);
        }
        let placed = waiting.into_iter().zip(&rows).zip(first..).map(|((reply, row), index)| {
            let origin = self.origin.clone();
            (reply, Ok(Place { origin, index, leaf_hash: row.hash, mark: mark(index) }))
        });
        self.tell(placed.collect());
        refuse(used_up, RecordFault::UsedUp);
    }

    /// Makes rows durable and lets everybody know; a failure poisons unless the disk is full.
    fn append(&mut self, now: Now, rows: &[Row]) -> Result<(), ()> {
        if rows.is_empty() {
            return Ok(());
        }
        // A clock that steps back does not reopen a month.
        let month = Month::at(now).max(self.month);
        // A log that was begun ahead of its half-year has months of the one before.
        let month = if month.shard() <= self.shard { month } else { self.month };
        let watch = Watch::begin();
        if let Err(fault) = self.engine.append(self.shard, month, self.next, rows) {
            tracing::error!(%fault, leaves = rows.len(), "leaves could not be stored");
            self.fail(&fault);
            return Err(());
        }
        let took = u64::try_from(watch.took().as_micros()).unwrap_or(u64::MAX);
        self.shared.last_commit_us.store(took, Ordering::Relaxed);
        self.waits.add(watch.waited());
        self.month = month;
        self.next += rows.len() as u64;
        self.shared.size.store(self.next, Ordering::Release);
        let takes = rows.iter().filter_map(|row| row.take).map(|take: Take| (take, 1));
        if takes.clone().next().is_some() {
            self.shared.count_uses(takes, now);
        }
        // Before any reply: a flush asked for after the reply must find these leaves.
        self.shared.grew();
        if self.shared.unsealed.add(self.shard, rows.iter().map(|row| row.hash)) {
            let _ = self.to_sealer.send(ToSealer::Grew);
        }
        Ok(())
    }

    /// Begins the first log, or the next one when the half-year has turned: `close` is the
    /// last leaf of the old, `genesis` the first of the new, naming the old one's final
    /// checkpoint.
    pub fn turn(&mut self, now: Now) -> Result<(), ()> {
        let due = Shard::at(now);
        if self.next > 0 && !self.closed && due <= self.shard {
            return Ok(());
        }
        let mut genesis = Leaf::new(LeafKind::Genesis);
        let next = if self.next > 0 {
            if !self.closed {
                let close = self.own_row(Leaf::new(LeafKind::Close), now).ok_or(())?;
                self.append(now, &[close])?;
                self.closed = true;
            }
            let (told, hear) = sync_channel(1);
            self.to_sealer.send(ToSealer::Close(told)).map_err(|_| ())?;
            let note = hear.recv().ok().flatten().ok_or(())?;
            genesis.past = Some(self.origin.to_string());
            genesis.ck = Some(LeafHash(sha256(&note)));
            due.max(self.shard.next())
        } else {
            due.max(self.shard)
        };
        let mut rows = Vec::new();
        if let Some(lost) = &self.lost {
            genesis.code = Some(RESTORED.into());
            genesis.past = Some(lost.origin.clone());
            genesis.ck = Some(LeafHash(lost.note));
            let incident = Leaf { n: Some(lost.size), ..genesis.clone() };
            rows.push(self.own_row(Leaf { t: LeafKind::Incident, ..incident }, now).ok_or(())?);
        }
        let origin: Arc<str> = origin(self.region, next).into();
        genesis.vkey = Vkey::new(&origin, self.public).map(|vkey| vkey.to_string());
        rows.insert(0, self.own_row(genesis, now).ok_or(())?);
        let hashes: Vec<Hash> = rows.iter().map(|row| row.hash).collect();
        let month = Month::at(now);
        if let Err(fault) = self.engine.append(next, month, 0, &rows) {
            tracing::error!(%fault, "a new log could not be begun");
            self.fail(&fault);
            return Err(());
        }
        let size = rows.len() as u64;
        (self.shard, self.month, self.origin, self.next, self.closed) = (next, month, origin, size, false);
        self.lost = None;
        self.sealing.keys.write_to(self.shard);
        self.shared.writing.store(Some(Arc::new(self.origin.to_string())));
        self.shared.size.store(size, Ordering::Release);
        self.shared.grew();
        self.to_sealer.send(ToSealer::Begin(next, hashes)).map_err(|_| ())
    }

    fn own_row(&self, mut leaf: Leaf, now: Now) -> Option<Row> {
        leaf.me = Some(self.region.to_string());
        leaf.ts = now.ms();
        let bytes = leaf.to_bytes()?;
        Some(row_of(&leaf, bytes))
    }

    pub fn look_at_disk(&mut self) {
        if self.disk_seen.is_some_and(|seen| seen.elapsed() < DISK_EVERY) {
            return;
        }
        self.disk_seen = Some(Instant::now());
        let space = self.engine.free_space();
        self.shared.free_disk.store(space.map_or(u64::MAX, |s| s.free), Ordering::Relaxed);
        let low =
            space.is_some_and(|s| s.free < LEAST_FREE_BYTES || s.free < s.total / 100 * LEAST_FREE_PERCENT);
        if self.shared.low_disk.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::error!("the disk is nearly full: nothing is recorded until there is room");
            } else {
                tracing::info!("there is room on the disk again");
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.poison("the writer ended");
        }
    }
}

/// For how many leaves a busy writer waits, by what a flush takes and how many work for it.
fn enough(flush: Duration, workers: usize) -> usize {
    if flush > SLOW_DISK || workers > 1 { ENOUGH_BESIDE_OTHERS } else { ENOUGH_IN_A_COMMIT }
}

/// A leaf with its bytes as it goes into the store.
pub(super) fn row_of(leaf: &Leaf, bytes: Vec<u8>) -> Row {
    let hash: Hash = leaf_hash(&bytes);
    Row {
        leaf: bytes,
        hash,
        kind: leaf.t.name(),
        ts: leaf.ts,
        exchange: leaf.x.clone(),
        used_id: None,
        take: None,
        deed: None,
        vault: None,
    }
}

/// Somebody who waits, and what became of it.
type Told = (oneshot::Sender<Result<Place, RecordFault>>, Result<Place, RecordFault>);

/// Who has stopped waiting hears nothing.
fn reply(told: Vec<Told>) {
    told.into_iter().for_each(|(waiting, result)| drop(waiting.send(result)));
}

fn refuse(jobs: Vec<Record>, fault: RecordFault) {
    reply(jobs.into_iter().map(|job| (job.reply, Err(fault))).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_smaller_where_others_can_work_meanwhile() {
        let us = Duration::from_micros;
        assert_eq!((enough(us(100), 1), enough(us(1_000), 1)), (64, 64));
        assert_eq!((enough(us(1_001), 1), enough(us(20_000), 1)), (16, 16), "a slow disk");
        assert_eq!((enough(us(100), 2), enough(us(100), 8)), (16, 16), "other cores");
    }
}
