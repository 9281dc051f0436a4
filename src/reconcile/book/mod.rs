//! What is kept of reconciliation, in `<data>/reconcile.db`: where each exchange of a window
//! stands in the log, the windows with their signed notes, and the differences with what
//! the partner said.
//!
//! Promises: our items are read from the leaves themselves at each comparison, this file only
//! says where they stand; a signed note or statement is on disk before anything follows from
//! it. May be deleted: places are found again from the log, windows are signed again. All of it
//! reads and writes files: call it where blocking is allowed.

mod follow;
mod own;
mod shown;
mod windows;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::domain::Region;
use crate::ledger::ReadFault;
use crate::store::StoreFault;
use crate::store::sqlite::{checkpoint, open_writer, sqlite_fault};

pub use own::{MOST_ITEMS, Mine, Own};
pub use shown::{Day, DifferenceRow, Hour, WindowRow, days, hours, windows_between};
pub use windows::{PairState, State, Verdict};

const SCHEMA: &str = "
CREATE TABLE followed(shard TEXT PRIMARY KEY, next INTEGER NOT NULL) STRICT;
CREATE TABLE item(peer TEXT NOT NULL, moment INTEGER NOT NULL, x BLOB NOT NULL, asked INTEGER NOT NULL,
  answered INTEGER NOT NULL, shard TEXT NOT NULL, idx INTEGER NOT NULL,
  PRIMARY KEY(peer, moment, x, asked)) STRICT, WITHOUT ROWID;
CREATE TABLE hole(shard TEXT NOT NULL, first INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(shard, first)) STRICT, WITHOUT ROWID;
CREATE TABLE pair(peer TEXT PRIMARY KEY, since INTEGER NOT NULL, decided INTEGER NOT NULL,
  agreed INTEGER NOT NULL) STRICT;
CREATE TABLE window(peer TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, state TEXT NOT NULL,
  count INTEGER NOT NULL, root BLOB NOT NULL, note BLOB, lost INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(peer, start, stop)) STRICT;
CREATE INDEX window_state ON window(peer, state, at) WHERE state<>'agreed';
CREATE TABLE difference(peer TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, x BLOB NOT NULL,
  kind TEXT NOT NULL, mine BLOB, theirs BLOB, proof TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(peer, start, stop, x, kind)) STRICT;
CREATE TABLE statement(peer TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, page INTEGER NOT NULL,
  jws TEXT NOT NULL, PRIMARY KEY(peer, start, stop, page)) STRICT;
";

/// Partners whose comparisons are read at the same time: each may read a minute's leaves.
const MOST_READING: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum BookFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("{0}")]
    Read(#[from] ReadFault),
    #[error("a row cannot be read")]
    Row,
    #[error("a minute holds more exchanges than can be compared")]
    TooMany,
    #[error("the work was interrupted")]
    Interrupted,
}

/// The open file. One writer, the running gateway.
pub struct Book {
    path: PathBuf,
    connection: Mutex<Writer>,
    /// One comparison with a partner at a time.
    turns: Mutex<HashMap<Region, Arc<tokio::sync::Mutex<()>>>>,
    reading: Semaphore,
}

struct Writer {
    connection: Connection,
    /// Something may lie in the WAL that is not in the file yet.
    unrested: bool,
}

impl Book {
    /// Opens `reconcile.db` in the data directory, or begins it.
    pub fn open(data: &Path) -> Result<Self, BookFault> {
        crate::store::sqlite::make_folder(data)?;
        let path = file(data);
        let connection = open_writer(&path, SCHEMA)?;
        Ok(Self {
            path,
            connection: Mutex::new(Writer { connection, unrested: false }),
            turns: Mutex::default(),
            reading: Semaphore::new(MOST_READING),
        })
    }

    /// The right to compare with this partner: held by one task at a time.
    pub fn turn(&self, peer: Region) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(peer).or_default().clone()
    }

    /// A place among those that read leaves.
    pub async fn place(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.reading.acquire().await.ok()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, BookFault> {
        read(&self.writer().connection).map_err(|e| sqlite_fault("read", &self.path, &e).into())
    }

    /// All of it in one commit, or nothing; the file is left at rest.
    fn write<T>(&self, write: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, BookFault> {
        let written = self.write_more(write)?;
        self.rest()?;
        Ok(written)
    }

    /// One commit of several: [`Book::rest`] comes after the last.
    fn write_more<T>(&self, write: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, BookFault> {
        let mut writer = self.writer();
        let transaction = writer.connection.transaction().map_err(|e| self.fault(&e))?;
        let written = write(&transaction).map_err(|e| self.fault(&e))?;
        transaction.commit().map_err(|e| self.fault(&e))?;
        writer.unrested = true;
        Ok(written)
    }

    /// Leaves the file at rest, as far as readers let it: commits are rare here, and a copy of
    /// the file alone is whole then.
    pub fn rest(&self) -> Result<(), BookFault> {
        let mut writer = self.writer();
        if writer.unrested && checkpoint(&writer.connection, &self.path)? {
            writer.unrested = false;
        }
        Ok(())
    }

    fn fault(&self, error: &rusqlite::Error) -> BookFault {
        sqlite_fault("write", &self.path, error).into()
    }
}

fn file(data: &Path) -> PathBuf {
    data.join("reconcile.db")
}

#[cfg(test)]
mod tests;
