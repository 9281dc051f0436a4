//! What one commit may hold, and the engines that make it durable.
//!
//! Promises: when [`Engine::append`] returns `Ok`, every row with its used id and its use is
//! on disk, all or none. Knows bytes, places and times, nothing of trees or requests. Above
//! it only [`crate::ledger`] speaks to an engine; SQLite ([`sqlite`]) is the first.

mod period;
pub mod sqlite;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use period::{Month, Shard};

use crate::clock::Now;

/// One leaf as it goes into a commit, with what must become durable together with it.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The exact bytes that are hashed.
    pub leaf: Vec<u8>,
    pub hash: [u8; 32],
    /// The leaf's kind, for [`Shelf::open_sends`].
    pub kind: &'static str,
    /// Milliseconds since 1970.
    pub ts: i64,
    /// Exchange id.
    pub exchange: Option<String>,
    pub used_id: Option<UsedId>,
    pub take: Option<Take>,
    /// Work that must not be lost with this leaf and belongs into another file: it waits
    /// here until it stands there. Opaque to the store.
    pub deed: Option<Vec<u8>>,
    /// Written before the leaf and flushed beside it: a leaf that counts never names evidence that is not
    /// there.
    pub vault: Option<VaultRow>,
}

/// How long what a vault holds must be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionClass {
    /// Personal data given to or asked of another region: three years at least (Network Data
    /// Regulations art. 12, PIPL art. 56).
    Provision,
    /// Everything else: six months at least (Cybersecurity Law art. 23).
    Other,
}

impl RetentionClass {
    pub const ALL: [Self; 2] = [Self::Provision, Self::Other];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Other => "other",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// What lies outside the tree for one leaf and can be erased without touching it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultRow {
    pub class: RetentionClass,
    pub epoch: Arc<WrappedEpoch>,
    /// The erasable secret that `rh` commits to.
    pub r: [u8; 32],
    /// Search tokens, each a field byte and 16 bytes.
    pub tokens: Vec<u8>,
    /// SHA-256 of `sealed`: the leaf's `ev`.
    pub ev: [u8; 32],
    /// Sealed evidence.
    pub sealed: Vec<u8>,
}

/// An epoch's key, wrapped to the auditors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedEpoch {
    /// Its first millisecond.
    pub id: i64,
    /// A general-JSON JWE (RFC 7516 §7.2.1).
    pub wrapped: String,
}

/// What is done to vaults by order. Each names the leaf that recorded the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultOrder {
    /// Secrets, tokens and evidence of these leaves leave the disk. Held rows stay.
    Erase {
        shard: Shard,
        of: Vec<u64>,
        leaf: Mark,
    },
    Hold {
        shard: Shard,
        of: Vec<u64>,
        leaf: Mark,
    },
    Release {
        shard: Shard,
        of: Vec<u64>,
    },
    /// The whole file of a month and class.
    Drop {
        shard: Shard,
        month: Month,
        class: RetentionClass,
    },
}

/// A place in the log: places are ordered as leaves were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    pub shard: Shard,
    pub index: u64,
}

/// What a commit holds besides its leaf, and where that leaf stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub at: Mark,
    pub bytes: Vec<u8>,
}

/// A message id that has been used (protocol §3.4), remembered until it has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedId {
    /// Of issuer and jti.
    pub key: [u8; 16],
    /// Of the signed content, to tell a replay from a reuse.
    pub content: [u8; 16],
    /// Seconds since 1970 after which the memory may go (`exp` + skew).
    pub expires: i64,
}

/// One use of an authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    pub token: [u8; 32],
    /// Seconds since 1970 after which the count may go.
    pub expires: i64,
}

/// A leaf read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLeaf {
    pub index: u64,
    pub hash: [u8; 32],
    pub leaf: Vec<u8>,
}

/// The last signed checkpoint of a shard: never goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    /// The signed note.
    pub note: Vec<u8>,
}

/// Room on the disk below an engine, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    pub free: u64,
    pub total: u64,
}

/// What can go wrong below. Carries our own words and the engine's number, no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// Nothing was stored; may succeed when there is room again.
    #[error("the disk is full")]
    Full,
    /// Nothing was stored; somebody else holds the file.
    #[error("another process holds the store's file")]
    Locked,
    /// It is not known what was stored: the process must end and recover.
    #[error("{what}: input or output failed (code {code})")]
    Broken { what: &'static str, code: i32 },
    #[error("{path}: {kind}")]
    File { path: String, kind: std::io::ErrorKind },
    #[error("{path}: another process works on this store")]
    Busy { path: String },
    #[error("{path}: is damaged (code {code})")]
    Damaged { path: String, code: i32 },
    #[error("{path}: is of an older form; a start of the gateway brings it forward")]
    Older { path: String },
    #[error("SQLite {found} is older than {needed}, the first without the WAL-reset fault")]
    TooOld { found: &'static str, needed: &'static str },
}

impl StoreFault {
    /// Nothing was stored, and a later try may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full | Self::Locked)
    }
}

/// The writer's hand: one owner, one thread.
pub trait Engine: Send {
    /// Appends rows at `first`, `first` + 1, … of `shard`, in one commit of `month`; durable
    /// on return. When the fault [is passing](StoreFault::is_passing) nothing was stored;
    /// after any other the caller must stop writing for good.
    fn append(&mut self, shard: Shard, month: Month, first: u64, rows: &[Row]) -> Result<(), StoreFault>;

    /// Deeds up to this place stand where they belong: with the next commit, or when there
    /// is time, they leave the log's files.
    fn forget_deeds(&mut self, _carried: Mark) {}

    /// Carries out an order on vaults; durable on return, with nothing readable left of what
    /// was erased. Tells the indices it concerned.
    fn obey(&mut self, _order: &VaultOrder) -> Result<Vec<u64>, StoreFault> {
        Ok(Vec::new())
    }

    /// Housekeeping between commits; `idle` when there is time. A fault that is not passing
    /// ends writing as one of `append` does.
    fn tidy(&mut self, _idle: bool) -> Result<(), StoreFault> {
        Ok(())
    }

    /// Its threads that wait for a processor.
    fn waking(&self) -> Waking {
        Waking::default()
    }

    /// Room left; `None` where the engine cannot tell.
    fn free_space(&self) -> Option<FreeSpace>;
}

/// How many of an engine's threads were woken and have not run since. On a processor that others keep
/// busy the scheduler may let them wait for milliseconds, and everybody waits for them.
#[derive(Clone, Debug, Default)]
pub struct Waking(Arc<AtomicUsize>);

impl Waking {
    fn woken(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn runs(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves the processor to them. For threads that have enough to do.
    pub fn give_way(&self) {
        if self.0.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
    }
}

/// Keeps each shard's last checkpoint. The sealer's hand.
pub trait Heads: Send {
    fn head(&mut self, shard: Shard) -> Result<Option<Head>, StoreFault>;

    /// Replaces the head if it still has `old` leaves; `false` when it has not: then somebody
    /// else signs for this log.
    fn advance(&mut self, shard: Shard, old: u64, new: &Head, now: Now) -> Result<bool, StoreFault>;

    /// Housekeeping when there is time.
    fn rest(&mut self) -> Result<(), StoreFault> {
        Ok(())
    }

    /// The newest shard that has a head.
    fn newest(&mut self) -> Result<Option<(Shard, Head)>, StoreFault>;
}

/// Reading, beside the writer and by any number of readers at once.
pub trait Shelf: Send + Sync {
    /// Shards that hold anything, oldest first.
    fn shards(&self) -> Result<Vec<Shard>, StoreFault>;

    /// Leaves of `shard`: one more than the highest index.
    fn size(&self, shard: Shard) -> Result<u64, StoreFault>;

    /// The month of `shard` that was written last.
    fn newest_month(&self, shard: Shard) -> Result<Option<Month>, StoreFault>;

    fn leaves(&self, shard: Shard, range: Range<u64>) -> Result<Vec<StoredLeaf>, StoreFault>;

    /// Only the hashes, in order.
    fn hashes(&self, shard: Shard, range: Range<u64>) -> Result<Vec<[u8; 32]>, StoreFault>;

    /// Where leaves of an exchange stand.
    fn find(&self, exchange: &str) -> Result<Vec<(Shard, u64)>, StoreFault>;

    /// Used ids that have not expired at `now`.
    fn used_ids(&self, now: Now) -> Result<Vec<UsedId>, StoreFault>;

    /// Uses of authorizations that have not expired at `now`.
    fn takes(&self, now: Now) -> Result<Vec<(Take, u32)>, StoreFault>;

    /// Deeds that have not been forgotten, in the order of the log.
    fn deeds(&self) -> Result<Vec<Deed>, StoreFault>;

    /// `out.sent` leaves of the last [`OPEN_SENDS_DAYS`] days of the log without an
    /// `out.done` or `out.failed` of the same exchange.
    fn open_sends(&self) -> Result<Vec<(Shard, StoredLeaf)>, StoreFault>;
}

/// How far back an unanswered send is looked for. A message lives 24 h at most (protocol
/// §3.1) and every start closes what it finds, so three days leave room for failed starts.
pub const OPEN_SENDS_DAYS: i64 = 3;
