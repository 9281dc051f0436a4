//! Reading a token index: a token's leaves on a day, and everything for whoever holds it against
//! the vault.
//!
//! Promises: a search is one statement a day, so it sees a run before it is merged or after, never
//! between. Leaves to [`super::runs`] how entries come there.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::month_file::integrity_of;
use super::super::sqlite_fault;
use super::file::{open_index, upto_of};
use super::runs::{Entry, FORM, TOKEN_BYTES, entry_of, parts_of};
use super::signed;
use crate::store::StoreFault;

/// A token index open for reading.
pub struct TokenReader {
    path: PathBuf,
    connection: Connection,
}

/// An entry where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredToken {
    pub day: i64,
    pub token: [u8; TOKEN_BYTES],
    pub index: u64,
    /// Behind the entry before it, and at the beginning of a chunk the one it is found by: a
    /// search misses what stands elsewhere.
    pub in_place: bool,
}

/// A token index that was read from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeTokens {
    /// The last index that has been taken in.
    pub upto: Option<u64>,
    /// Runs hold as many entries as they say, chunks hold entries and nothing else, and every
    /// chunk is of a run.
    pub well_formed: bool,
}

/// Chunks of a day, of each run from the last one that begins before the token on.
const OF_TOKEN: &str = "
SELECT chunk.body FROM run CROSS JOIN chunk ON chunk.run=run.id WHERE run.day=?1 AND chunk.first<=?3
  AND chunk.first>=coalesce((SELECT max(c.first) FROM chunk c WHERE c.run=run.id AND c.first<=?2), x'')";

impl TokenReader {
    /// `None` where there is none, or one of an older form: a search reads the vault then.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreFault> {
        let connection = open_index(path, &FORM)?;
        Ok(connection.map(|connection| Self { path: path.to_owned(), connection }))
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
        read(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    pub fn upto(&self) -> Result<Option<u64>, StoreFault> {
        self.read(upto_of)
    }

    /// Indices of a token on a day, oldest first.
    pub fn token(&self, day: i64, token: &[u8; TOKEN_BYTES], before: u64) -> Result<Vec<u64>, StoreFault> {
        self.read(|connection| find(connection, day, token, before))
    }

    /// Every entry, in one snapshot.
    pub fn walk(&self, visit: impl FnMut(StoredToken)) -> Result<WholeTokens, StoreFault> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            Ok(WholeTokens { upto: upto_of(&snapshot)?, well_formed: walk(&snapshot, visit)? })
        })
    }

    /// What SQLite's own integrity check finds; empty when all is well.
    pub fn integrity(&self) -> Result<Vec<String>, StoreFault> {
        self.read(integrity_of)
    }
}

/// Indices of a token on a day, oldest first.
pub(super) fn find(
    connection: &Connection,
    day: i64,
    token: &[u8; TOKEN_BYTES],
    before: u64,
) -> rusqlite::Result<Vec<u64>> {
    let (from, to) = (entry_of(token, 0), entry_of(token, signed(before).unsigned_abs()));
    let mut found = Vec::new();
    let mut statement = connection.prepare_cached(OF_TOKEN)?;
    let mut rows = statement.query((day, from, to))?;
    while let Some(row) = rows.next()? {
        let entries: &[Entry] = row.get_ref(0)?.as_blob()?.as_chunks().0;
        let first = entries.partition_point(|entry| *entry < from);
        let of_token = entries.iter().skip(first).take_while(|entry| **entry < to);
        found.extend(of_token.map(|entry| parts_of(entry).1));
    }
    found.sort_unstable();
    Ok(found)
}

/// Every entry in the order in which a search meets them, and whether the runs are
/// [well formed](WholeTokens::well_formed).
pub(super) fn walk(connection: &Connection, mut visit: impl FnMut(StoredToken)) -> rusqlite::Result<bool> {
    let of_no_run = "SELECT EXISTS(SELECT 1 FROM chunk WHERE run NOT IN (SELECT id FROM run))";
    let mut well_formed = !connection.query_row(of_no_run, [], |row| row.get::<_, bool>(0))?;
    let mut runs = connection.prepare("SELECT id, day, n FROM run ORDER BY id")?;
    let mut chunks = connection.prepare("SELECT first, body FROM chunk WHERE run=? ORDER BY first")?;
    let mut runs = runs.query([])?;
    while let Some(run) = runs.next()? {
        let (id, day, n): (i64, i64, i64) = (run.get(0)?, run.get(1)?, run.get(2)?);
        let (mut before, mut counted) = (None, 0);
        let mut rows = chunks.query([id])?;
        while let Some(row) = rows.next()? {
            let (entries, rest) = row.get_ref(1)?.as_blob()?.as_chunks();
            well_formed &= rest.is_empty() && !entries.is_empty();
            let mut found_by = Some(row.get_ref(0)?.as_blob()?);
            for entry in entries {
                let in_place = found_by.take().is_none_or(|first| first == entry)
                    && before.is_none_or(|before| before < *entry);
                before = Some(*entry);
                counted += 1;
                let (token, index) = parts_of(entry);
                visit(StoredToken { day, token, index, in_place });
            }
        }
        well_formed &= counted == n && n > 0;
    }
    Ok(well_formed)
}
