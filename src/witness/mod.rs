//! Witnessing: we keep an eye on our partners' logs, and they on ours, so that nobody can
//! show two logs to two people or go back to yesterday's.
//!
//! Promises: what this gateway cosigned for a partner never contradicts what it cosigned
//! before, across crashes and races ([`serving`]); what partners cosigned for us is kept, and
//! a policy says when it is enough ([`policy`]). Knows bytes and notes. Leaves to others: who
//! brings a checkpoint (the partner door), when ours are sent (the gateway), and proofs over
//! our own tree (the ledger).

mod book;
mod cosigner;
mod own;
pub mod policy;
mod request;
pub mod serving;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::clock::Now;
use crate::domain::Region;

use book::Book;

pub use book::{Contradiction, Cosigned, OwnCosigned, Shown, id_of};
pub use cosigner::{COSIGNATURE, CosignerKey, CosignerVkey, cosigner_name};
pub use own::Joined;
pub use policy::{Judged, Policy, PolicyFault};
pub use request::{AddCheckpoint, LARGEST_REQUEST, read_size};
pub use serving::{Answer, KnownLog};

pub use crate::store::StoreFault;

/// Seconds without a quorum after which somebody must be told.
pub const QUORUM_LATE: i64 = 3600;
/// Seconds without a quorum after which no new exchange begins: what is answered for longer
/// could be denied by whoever holds the disk.
pub const QUORUM_OVERDUE: i64 = 4 * 3600;

/// Why the witness does not work.
#[derive(Debug, thiserror::Error)]
pub enum WitnessFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("{0}")]
    KeyFile(#[from] crate::keys::KeyFileFault),
    #[error("{path}: is not an Ed25519 private key in PKCS#8 PEM")]
    Key { path: String },
    #[error("no random bytes could be had")]
    NoRandom,
    #[error("the policy asks for a witness, and the note cannot be read")]
    Note(#[from] crate::ledger::note::NoteFault),
}

/// The open witness. Cheap to clone.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<Inner>,
}

struct Inner {
    key: CosignerKey,
    book: Mutex<Book>,
    policy: ArcSwapOption<Policy>,
    /// When the quorum was last met, or when it was first asked for (seconds since 1970).
    quorum_at: AtomicI64,
}

/// Where the cosigning key of a data directory lies.
pub fn key_path(data: &Path) -> PathBuf {
    data.join("ledger").join("witness.key")
}

/// Where a data directory keeps what was witnessed.
pub fn book_path(data: &Path) -> PathBuf {
    data.join("witness.db")
}

impl Witness {
    /// Opens `witness.db` in the data directory and the cosigning key, which is made when it is
    /// not there. `policy` says whose word about our own log is enough.
    pub fn open(data: &Path, region: Region, policy: Option<Policy>, now: Now) -> Result<Self, WitnessFault> {
        let key_path = key_path(data);
        crate::store::sqlite::make_folder(&data.join("ledger"))?;
        let key = CosignerKey::open(&key_path, region)?;
        let mut book = Book::open(&book_path(data))?;
        let needs = policy.as_ref().is_some_and(Policy::needs_witnesses);
        let began = if needs { book.began(now.secs())? } else { now.secs() };
        let met = book.shown()?.quorum.into_iter().map(|quorum| quorum.at).max();
        let quorum_at = AtomicI64::new(met.map_or(began, |met| met.max(began)));
        let policy = ArcSwapOption::from_pointee(policy);
        Ok(Self { inner: Arc::new(Inner { key, book: Mutex::new(book), policy, quorum_at }) })
    }

    /// What partners need to believe our cosignatures.
    pub fn vkey(&self) -> &CosignerVkey {
        self.inner.key.vkey()
    }

    /// The policy in force.
    pub fn policy(&self) -> Option<Arc<Policy>> {
        self.inner.policy.load_full()
    }

    /// Another policy from now on. One that asks for witnesses where none did is given the time
    /// that a start gives; one that asks for others goes on from the last quorum.
    pub fn adopt(&self, policy: Option<Arc<Policy>>, now: Now) -> Result<(), WitnessFault> {
        let needs = |policy: &Option<Arc<Policy>>| policy.as_ref().is_some_and(|p| p.needs_witnesses());
        if needs(&policy) && !needs(&self.policy()) {
            self.book().began(now.secs())?;
            self.inner.quorum_at.fetch_max(now.secs(), Ordering::Relaxed);
        }
        self.inner.policy.store(policy);
        Ok(())
    }

    /// Seconds since enough witnesses cosigned our log; `None` when nobody has to.
    pub fn quorum_age(&self, now: Now) -> Option<i64> {
        self.policy().filter(|policy| policy.needs_witnesses())?;
        Some((now.secs() - self.inner.quorum_at.load(Ordering::Relaxed)).max(0))
    }

    /// Everything in the book. Reads the disk.
    pub fn shown(&self) -> Result<Shown, WitnessFault> {
        Ok(self.book().shown()?)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
