//! The auditors' desk: the one place where the exchange log is searched, its evidence handed
//! out, held and erased, and where that itself is recorded.
//!
//! Promises: no act without a [`Mandate`] (who, what for, on whose order); each act is written
//! into the registers, then into the ledger as a leaf, and only then done or told: what cannot
//! be recorded is not done. A crash in between leaves nothing half done ([`Desk::settle`]). The
//! gateway cannot open evidence, so plaintext never leaves here: what is released an auditor
//! opens with a key of his own ([`unseal`]). Console, admin socket and command line all come
//! here; pages, sockets and words for people are theirs.

mod act;
mod authorization;
mod bound;
mod completeness;
mod entry;
mod erase;
mod errand;
mod export;
mod fault;
mod find;
mod hold;
mod mandate;
mod open;
pub mod package;
mod period;
mod question;
mod registers;
mod request;
mod retention;
mod sample;
mod search;
pub mod served;
mod show;
mod states;
mod subject;
#[cfg(test)]
mod tests;
pub mod unseal;
mod warrant;

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::Region;
use crate::ledger::evidence::SearchKeys;
use crate::ledger::{Ledger, Shard};
use crate::store::Shelf as _;
use crate::store::sqlite::{SqliteShelf, Vaults};

pub use act::Recorded;
pub use authorization::Uses;
pub use bound::{RegisterFault, RegisterFinding, RegistersBound, registers_bound};
pub use completeness::{Completeness, completeness_of};
pub use entry::{Act, Entry, MOST_IN_A_LEAF, rd_of};
pub use erase::{EraseOrder, Erased};
pub use errand::{Errand, Sent};
pub use export::ExportFacts;
pub use fault::DeskFault;
pub use find::{EvidenceState, FoundRow, answered_by_index};
pub use hold::Held;
pub use mandate::{Actor, LONGEST_ORDER, LONGEST_PURPOSE, Mandate};
pub use open::{Opened, Released};
pub use period::{LEAST_OTHER_MONTHS, LEAST_PROVISION_MONTHS, MOST_MONTHS, Periods};
pub use question::{LEAST_PAGE, MOST_PAGE, Page, Question};
pub use registers::{RegisterFilter, Registered, Registers};
pub use request::{Approved, MOST_IN_A_REQUEST, REQUEST_LIFE_MS, Request};
pub use retention::{Dropped, Retention};
pub use sample::Sampled;
pub use search::Found;
pub use show::Shown;
pub use subject::SubjectReport;
pub use warrant::Warrant;

/// The desk of one gateway. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Ledger,
    registers: Registers,
    clock: Clock,
    region: Region,
    /// The gateway's data directory.
    data: PathBuf,
    periods: Periods,
    offline: bool,
}

/// What a desk is set up with.
pub struct DeskSettings {
    pub ledger: Ledger,
    pub clock: Clock,
    pub region: Region,
    pub data_dir: PathBuf,
    pub periods: Periods,
    /// No partner was asked whether this log is an older copy: each act's entry says so.
    pub offline: bool,
}

impl Desk {
    /// Opens the registers beside an open ledger. Reads files: call it where blocking is
    /// allowed, and [`Desk::settle`] after it.
    pub fn open(settings: DeskSettings) -> Result<Self, DeskFault> {
        let registers = Registers::open(&settings.data_dir)?;
        let DeskSettings { ledger, clock, region, data_dir: data, periods, offline } = settings;
        Ok(Self { inner: Arc::new(Inner { ledger, registers, clock, region, data, periods, offline }) })
    }

    /// Who did what; reading them is no act.
    pub fn registers(&self) -> &Registers {
        &self.inner.registers
    }

    pub fn periods(&self) -> Periods {
        self.inner.periods
    }

    fn shelf(&self) -> SqliteShelf {
        SqliteShelf::of_data_dir(&self.inner.data)
    }

    fn vaults(&self) -> Vaults {
        Vaults::of_data_dir(&self.inner.data)
    }

    fn keys(&self) -> SearchKeys {
        SearchKeys::of_data_dir(&self.inner.data)
    }

    /// The log that a command without one means: the newest.
    fn newest_shard(&self) -> Result<Shard, DeskFault> {
        self.shelf().shards()?.pop().ok_or(DeskFault::NoSuchLeaf)
    }

    fn shard(&self, named: Option<&str>) -> Result<Shard, DeskFault> {
        match named {
            Some(name) => Shard::parse(name).ok_or(DeskFault::Asked("a log is named as 2026h2")),
            None => self.newest_shard(),
        }
    }

    /// Reads files on a thread where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, DeskFault> + Send + 'static,
    ) -> Result<T, DeskFault> {
        let desk = self.clone();
        tokio::task::spawn_blocking(move || work(&desk)).await.unwrap_or(Err(DeskFault::Interrupted))
    }
}
