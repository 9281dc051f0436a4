//! The exchange log: an RFC 6962 Merkle tree in C2SP formats, so that what was answered can
//! be proven and what was changed can be shown.
//!
//! Promises: when [`Ledger::record`] returns a [`Place`], the leaf, the used id and the use
//! that came with it are on disk at that index for good, and within ten seconds a signed
//! checkpoint covers them. What cannot be recorded is an error, never a silence. Knows bytes
//! and places, nothing of requests. Leaves engines to [`crate::store`], and reading a log
//! without owning it to [`verify`].

mod carrier;
mod case_tag;
pub mod checkpoint;
pub mod evidence;
pub mod held;
pub mod extract;
mod glance;
pub mod key;
pub mod leaf;
pub mod note;
pub mod orders;
mod own;
pub mod proof;
mod reading;
mod recent;
mod recover;
mod sealer;
pub mod search;
mod served;
mod shared;
mod start;
mod tile_files;
pub mod tiles;
pub mod tree;
pub mod verify;
mod waits;
mod workers;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, SyncSender, TrySendError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::domain::Region;
use crate::store::{Row, Shelf, StoreFault, Take, Waking, sqlite};

use case_tag::CaseTags;
use evidence::{AuditorKey, Evidence, Sealing};
use sealer::ToSealer;
use search::{Finder, ToIndexer};
use shared::Shared;
pub use workers::{Workers, give_way};
use writer::{Job, Record, row_of};

pub use crate::store::{Deed, Mark, Month, RetentionClass, Shard, StoredLeaf, UsedId, VaultOrder};
pub use carrier::Carrier;
pub use glance::{Glance, Took};
pub use key::{LedgerKey, LedgerKeyFault};
pub use leaf::{Decision, Leaf, LeafHash, LeafKind, Promise};
pub use note::Vkey;
pub use own::RECONCILIATION;
pub use reading::{KeptCheckpoint, LookedBack, Standing};
pub use recent::{Batch, RecentLeaf};
pub use served::{EntryProof, ReadFault};
pub use shared::Health;

/// Entries that may wait for the writer: about a quarter of a second of its work. Beyond
/// that an answer would come too late anyway, and the door says so (`overloaded`).
pub const LONGEST_QUEUE: usize = 4096;
/// Bytes free below which nothing is recorded: room for SQLite to finish what it has begun
/// and for an operator to act.
pub const LEAST_FREE_BYTES: u64 = 64 << 20;
/// Percent of the disk, likewise.
pub const LEAST_FREE_PERCENT: u64 = 5;

/// `tongban/<region>/<year>h<1|2>`: the name of a log and of the key that signs it.
pub fn origin(region: Region, shard: Shard) -> String {
    format!("tongban/{region}/{shard}")
}

/// The log that is written at `now`.
pub fn current_origin(region: Region, now: crate::clock::Now) -> String {
    origin(region, Shard::at(now))
}

/// What a ledger needs to open.
pub struct LedgerSettings {
    /// The gateway's data directory.
    pub data_dir: PathBuf,
    pub region: Region,
    pub key: LedgerKey,
    /// Whom evidence is sealed to; without them none is kept.
    pub auditors: Vec<Arc<AuditorKey>>,
    pub clock: Clock,
    /// Who will record, on the runtime that opens this; without them no commit waits for more.
    pub workers: Option<Arc<Workers>>,
}

/// What an opened ledger remembers.
#[derive(Debug)]
pub struct Recovered {
    /// Ids of messages that have not expired.
    pub used_ids: Vec<UsedId>,
    /// Sends of ours whose end is not recorded: the caller records each as `out.failed`
    /// with code `unknown-crash` (protocol §7.2).
    pub open_sends: Vec<OpenSend>,
    /// The log that is being written, and its size.
    pub origin: Arc<str>,
    pub size: u64,
    /// What commits held besides their leaves and what is not known to stand where it belongs.
    pub deeds: Vec<Deed>,
    /// When the newest leaf was written (milliseconds since 1970).
    pub last_ms: Option<i64>,
}

/// An `out.sent` without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSend {
    pub origin: String,
    pub index: u64,
    pub leaf: Leaf,
}

/// One thing to record. `record` stamps `v`, `ts` and `me` into the leaf, and `ek`, `ev`, `rh` and
/// `tags` where there is evidence.
#[derive(Clone)]
pub struct Entry {
    pub leaf: Leaf,
    /// Becomes durable together with the leaf.
    pub used_id: Option<UsedId>,
    /// Taken together with the leaf, or not at all.
    pub take_use: Option<TakeUse>,
    /// Becomes durable together with the leaf; the [`Carrier`] takes it where it belongs.
    pub deed: Option<Vec<u8>>,
    /// Sealed to the auditors, and durable with the leaf.
    pub evidence: Option<Evidence>,
}

impl From<Leaf> for Entry {
    fn from(leaf: Leaf) -> Self {
        Self { leaf, used_id: None, take_use: None, deed: None, evidence: None }
    }
}

/// One use of an authorization that allows `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeUse {
    pub token: [u8; 32],
    pub max: u32,
    /// Seconds since 1970 after which the count may be forgotten (`exp` + skew).
    pub expires: i64,
}

/// Where a leaf stands: the promise of an answer's `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub origin: Arc<str>,
    pub index: u64,
    pub leaf_hash: [u8; 32],
    pub mark: Mark,
}

/// Why nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// All uses are taken; the caller records its refusal instead.
    #[error("every use of the authorization is taken")]
    UsedUp,
    #[error("the ledger cannot store")]
    Unavailable,
    #[error("too many entries wait for the ledger")]
    Overloaded,
    #[error("the leaf is longer than an entry may be")]
    TooLong,
}

/// Why a ledger does not open.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error(
        "{origin}: a checkpoint over {signed} leaves was signed, but the store holds {found} or other ones; \
         an older or changed copy must not be continued"
    )]
    RolledBack { origin: String, signed: u64, found: u64 },
    #[error("{origin}: leaf {index} is missing")]
    Gap { origin: String, index: u64 },
    #[error("{origin}: the stored checkpoint {fault}")]
    Checkpoint { origin: String, fault: checkpoint::CheckpointFault },
    #[error("{origin}: was begun with another ledger key; a new key starts with the next half-year")]
    OtherKey { origin: String },
    #[error("tile files cannot be read: {kind}")]
    Tiles { kind: std::io::ErrorKind },
    #[error("{0}")]
    KeyFile(#[from] crate::keys::KeyFileFault),
    #[error("the log's name cannot stand in a checkpoint")]
    Origin,
    #[error("the first leaf of the log could not be stored")]
    NotBegun,
    #[error("a thread could not be started: {kind}")]
    Thread { kind: std::io::ErrorKind },
}

/// The open log. Cheap to clone; the last one dropped stops its threads (without a last
/// checkpoint: that is [`Ledger::flush`]).
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    region: Region,
    public: [u8; 32],
    clock: Clock,
    case_tags: CaseTags,
    sealing: Arc<Sealing>,
    shared: Arc<Shared>,
    workers: Option<Arc<Workers>>,
    /// Of the store's: between two exchanges whoever records gives way to them (decision 0015).
    waking: Waking,
    shelf: Box<dyn Shelf>,
    jobs: Option<SyncSender<Job>>,
    to_sealer: Sender<ToSealer>,
    to_indexer: Sender<ToIndexer>,
    threads: Vec<JoinHandle<()>>,
    /// Given back last.
    _lock: Option<sqlite::StoreLock>,
}

impl Ledger {
    /// Opens the log in a data directory, or begins it. Reads files: call it where blocking
    /// is allowed.
    pub fn open(settings: LedgerSettings) -> Result<(Self, Recovered), LedgerFault> {
        Self::open_carrying(settings, Box::new(carrier::Nobody))
    }

    /// [`Ledger::open`], with somebody who takes the deeds of commits where they belong.
    pub fn open_carrying(
        settings: LedgerSettings,
        carrier: Box<dyn Carrier>,
    ) -> Result<(Self, Recovered), LedgerFault> {
        let (lock, engine, heads, shelf) = sqlite::open(&settings.data_dir)?;
        let hands = start::Hands {
            engine: Box::new(engine),
            heads: Box::new(heads),
            shelf: Box::new(shelf),
            carrier,
        };
        Self::start(settings, hands, Some(lock))
    }

    /// [`Ledger::open_carrying`] on a copy that is older than what was signed: the log goes on
    /// in the next half-year, whose first leaves say what was lost. Nothing is added to the
    /// log that was cut off, and nothing signed for it.
    pub fn open_after_restore(
        settings: LedgerSettings,
        carrier: Box<dyn Carrier>,
        lost: held::Lost,
    ) -> Result<(Self, Recovered), LedgerFault> {
        let (lock, engine, heads, shelf) = sqlite::open(&settings.data_dir)?;
        let hands = start::Hands {
            engine: Box::new(engine),
            heads: Box::new(heads),
            shelf: Box::new(shelf),
            carrier,
        };
        Self::start_after(settings, hands, Some(lock), Some(lost))
    }

    /// Makes an entry durable and says where it stands. A caller that stops waiting may
    /// still have recorded.
    pub async fn record(&self, entry: Entry) -> Result<Place, RecordFault> {
        let (reply, place) = oneshot::channel();
        let most_uses = entry.take_use.map_or(0, |take| take.max);
        let (row, leaf) = self.inner.row(entry)?;
        let record = Record { row, leaf, most_uses, reply };
        self.queue(Job::Record(Box::new(record)))?;
        let recorded = place.await.unwrap_or(Err(RecordFault::Unavailable));
        self.inner.waking.give_way();
        recorded
    }

    /// Carries out an order on vaults, between commits; tells the indices it concerned. The
    /// caller has recorded the order. [`RecordFault::Unavailable`] also while a reader stands in
    /// the way of leaving nothing readable: then ask again, what is done is not done twice.
    pub async fn obey(&self, order: VaultOrder) -> Result<Vec<u64>, RecordFault> {
        let (reply, done) = oneshot::channel();
        self.queue(Job::Obey(order.clone(), reply))?;
        let concerned = done.await.unwrap_or(Err(RecordFault::Unavailable))?;
        match order {
            VaultOrder::Erase { shard, of, .. } => {
                self.indexed(|done| ToIndexer::Forget(shard, of, done)).await?;
            }
            VaultOrder::Drop { shard, month, class } => {
                self.indexed(|done| ToIndexer::Drop(shard, month, class, done)).await?;
            }
            VaultOrder::Hold { .. } | VaultOrder::Release { .. } => {}
        }
        Ok(concerned)
    }

    /// The search index takes in everything recorded so far; `false` if it cannot.
    pub async fn index(&self) -> bool {
        self.indexed(ToIndexer::CatchUp).await.is_ok()
    }

    async fn indexed(&self, order: impl FnOnce(oneshot::Sender<()>) -> ToIndexer) -> Result<(), RecordFault> {
        let (told, done) = oneshot::channel();
        self.inner.to_indexer.send(order(told)).map_err(|_| RecordFault::Unavailable)?;
        done.await.map_err(|_| RecordFault::Unavailable)
    }

    /// Finds leaves of this log. It reads files: use it where blocking is allowed.
    pub fn finder(&self) -> Finder {
        Finder::of_data_dir(&self.inner.data)
    }

    /// Where the log and its vaults lie.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.inner.data
    }

    pub fn region(&self) -> Region {
        self.inner.region
    }

    fn queue(&self, job: Job) -> Result<(), RecordFault> {
        let shared = &self.inner.shared;
        if shared.poisoned().is_some() {
            return Err(RecordFault::Unavailable);
        }
        let jobs = self.inner.jobs.as_ref().ok_or(RecordFault::Unavailable)?;
        let waiting = shared.queue_depth.fetch_add(1, Ordering::Relaxed) + 1;
        jobs.try_send(job).map_err(|refused| {
            shared.queue_depth.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => RecordFault::Overloaded,
                TrySendError::Disconnected(_) => RecordFault::Unavailable,
            }
        })?;
        if let Some(workers) = &self.inner.workers {
            workers.queued(waiting);
        }
        self.inner.waking.give_way();
        Ok(())
    }

    /// From now on evidence is sealed to these; the present epoch ends.
    pub fn seal_to(&self, auditors: Vec<Arc<AuditorKey>>) {
        self.inner.sealing.epochs.seal_to(auditors);
    }

    /// Auditors that evidence is sealed to.
    pub fn auditors(&self) -> usize {
        self.inner.sealing.epochs.auditors()
    }

    /// Durable uses of an authorization so far; a first look, [`Ledger::record`] decides.
    pub fn uses(&self, token: &[u8; 32]) -> u32 {
        self.inner.shared.uses(token)
    }

    /// The keyed tag that stands for a case number in a leaf.
    pub fn case_tag(&self, case: &str) -> String {
        self.inner.case_tags.tag(case)
    }

    /// The verifier key of this ledger's checkpoints under `origin`.
    pub fn vkey(&self, origin: &str) -> Option<Vkey> {
        Vkey::new(origin, self.inner.public)
    }

    /// The log that is being written (or was, if a half-year turns right now).
    pub fn origin(&self) -> String {
        let writing = self.inner.shared.writing.load();
        let begins = || current_origin(self.inner.region, self.inner.clock.now());
        writing.as_ref().map_or_else(begins, |origin| origin.to_string())
    }

    /// Signs a checkpoint over everything recorded so far; `false` if that failed.
    pub async fn flush(&self) -> bool {
        let (told, hear) = oneshot::channel();
        self.inner.to_sealer.send(ToSealer::Flush(told)).is_ok() && hear.await.unwrap_or(false)
    }

    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// Origin, size and note of the checkpoint that was signed last.
    pub fn newest_checkpoint(&self) -> Option<(String, u64, Vec<u8>)> {
        let published = self.inner.shared.published.load();
        published.as_ref().map(|p| (origin(self.inner.region, p.shard), p.size, p.note.clone()))
    }

    /// Stops recording for good: the process must end. For a log that is proven to be another
    /// than the one that was signed.
    pub fn stop_recording(&self, why: &'static str) {
        self.inner.shared.poison(why);
    }
}

impl Inner {
    /// Hashing, sealing and JSON happen here, on the caller's thread.
    fn row(&self, entry: Entry) -> Result<(Row, Leaf), RecordFault> {
        let (mut leaf, now) = (entry.leaf, self.clock.now());
        leaf.v = leaf::LEAF_VERSION;
        leaf.ts = now.ms();
        leaf.me = Some(self.region.to_string());
        let sealed = match &entry.evidence {
            Some(evidence) => self.sealing.seal(&mut leaf, evidence, now).map_err(|fault| {
                tracing::error!(%fault, "evidence cannot be sealed: nothing is recorded without it");
                self.shared.evidence_failed();
                RecordFault::Unavailable
            })?,
            None => None,
        };
        let (vault, bytes) = sealed.unzip();
        let bytes = bytes.or_else(|| leaf.to_bytes()).filter(|bytes| bytes.len() <= leaf::LARGEST_LEAF);
        let mut row = row_of(&leaf, bytes.ok_or(RecordFault::TooLong)?);
        row.vault = vault;
        row.used_id = entry.used_id;
        row.deed = entry.deed;
        row.take = entry.take_use.map(|take| Take { token: take.token, expires: take.expires });
        Ok((row, leaf))
    }
}

#[cfg(test)]
mod tests;
