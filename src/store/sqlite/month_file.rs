//! One month's file, open for reading: leaves in order, and what `audit verify` asks of it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::super::{StoreFault, StoredLeaf};
use super::{batch, open_reader, sqlite_fault};

/// One month, open for reading.
pub struct MonthFile {
    path: PathBuf,
    connection: Connection,
}

/// Octets of a database that has a header and nothing else.
const FIRST_PAGE: u64 = 4096;

impl MonthFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreFault> {
        Ok(Self { connection: open_reader(&path)?, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreFault> {
        read(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    /// It holds tables, if not yet a leaf. A file of more than its first page does, whatever
    /// damage makes SQLite see nothing in it.
    pub(super) fn is_begun(&self) -> Result<bool, StoreFault> {
        if std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() > FIRST_PAGE) {
            return Ok(true);
        }
        self.read(|c| c.query_row("SELECT EXISTS(SELECT 1 FROM sqlite_schema)", [], |row| row.get(0)))
    }

    /// First and last index; `None` when the file holds no leaf.
    pub fn span(&self) -> Result<Option<(u64, u64)>, StoreFault> {
        let (first, last): (Option<i64>, Option<i64>) = self.read(|c| {
            // Two sub-selects: SQLite walks to either end of the tree, not through it.
            c.query_row("SELECT (SELECT min(idx) FROM leaf), (SELECT max(idx) FROM leaf)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        })?;
        Ok(first.zip(last).map(|(first, last)| (first.unsigned_abs(), last.unsigned_abs())))
    }

    /// Walks every leaf in order, with the columns that repeat what the leaf says.
    pub fn walk(&self, mut visit: impl FnMut(StoredLeaf, Columns)) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT idx, hash, leaf, ts, kind, exchange FROM leaf ORDER BY idx")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let columns = Columns {
                    ts: row.get(3)?,
                    kind: text(row, 4)?.unwrap_or_default(),
                    exchange: text(row, 5)?,
                };
                visit(stored_leaf(row)?, columns);
            }
            Ok(())
        })
    }

    /// At most `most` leaves from `from` on, in order.
    pub fn leaves_from(&self, from: u64, most: usize) -> Result<Vec<StoredLeaf>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT idx, hash, leaf FROM leaf WHERE idx>=? ORDER BY idx LIMIT ?")?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = statement.query_map((from.cast_signed(), most), stored_leaf)?;
            rows.collect()
        })
    }

    /// At most `most` leaves from `from` down to `to`, newest first.
    pub fn leaves_down(&self, from: u64, to: u64, most: usize) -> Result<Vec<StoredLeaf>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT idx, hash, leaf FROM leaf WHERE idx<=? AND idx>=? ORDER BY idx DESC LIMIT ?",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let from = i64::try_from(from).unwrap_or(i64::MAX);
            let rows = statement.query_map((from, to.cast_signed(), most), stored_leaf)?;
            rows.collect()
        })
    }

    /// The leaves up to `upto` that are of an exchange, in order.
    pub fn exchanges(&self, upto: i64, mut visit: impl FnMut(u64, &str)) -> Result<(), StoreFault> {
        self.read(|connection| {
            let of_one = "SELECT idx, exchange FROM leaf WHERE idx<=? AND exchange IS NOT NULL ORDER BY idx";
            let mut statement = connection.prepare(of_one)?;
            let mut rows = statement.query([upto])?;
            while let Some(row) = rows.next()? {
                visit(row.get::<_, i64>(0)?.unsigned_abs(), row.get_ref(1)?.as_str()?);
            }
            Ok(())
        })
    }

    pub fn leaf(&self, index: u64) -> Result<Option<StoredLeaf>, StoreFault> {
        Ok(self.leaves_down(index, index, 1)?.pop())
    }

    /// What SQLite's own integrity check finds; empty when all is well.
    pub fn integrity(&self) -> Result<Vec<String>, StoreFault> {
        self.read(integrity_of)
    }

    /// The first leaves of the commits whose used ids or uses do not match their sum.
    pub fn damaged_memories(&self) -> Result<Vec<u64>, StoreFault> {
        self.read(batch::damaged)
    }
}

/// What SQLite's own integrity check finds in the file at `path`.
pub fn integrity(path: &Path) -> Result<Vec<String>, StoreFault> {
    integrity_of(&open_reader(path)?).map_err(|e| sqlite_fault("read", path, &e))
}

pub(super) fn integrity_of(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check(10)")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.filter(|row| row.as_ref().map_or(true, |r| r != "ok")).collect()
}

/// The columns that repeat members of the leaf for the indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    pub ts: i64,
    pub kind: String,
    pub exchange: Option<String>,
}

pub(super) fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    Ok(row.get_ref(at)?.as_bytes_or_null()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

pub(super) fn stored_leaf(row: &Row<'_>) -> rusqlite::Result<StoredLeaf> {
    Ok(StoredLeaf {
        index: row.get::<_, i64>(0)?.unsigned_abs(),
        hash: row.get(1)?,
        leaf: row.get_ref(2)?.as_bytes()?.to_vec(),
    })
}
