//! Writing tokens in sorted runs: what is taken in at once is sorted, cut into chunks of a page
//! and written one behind the other.
//!
//! Why no tree over tokens: they are random, so each of them would cost a page of its own. One
//! row here carries [`CHUNK_ENTRIES`] of them.
//!
//! Promises: a run holds one day's entries in their order; a day has few runs, because one that is
//! not much larger than what comes is merged with it, so that an entry is written a logarithmic
//! number of times; of what was forgotten or merged no octet stays in the file.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, ffi};

use super::file::{Form, IndexFile, UPTO};
use crate::store::StoreFault;

/// Octets of a token.
pub(super) const TOKEN_BYTES: usize = 16;
/// Octets of a token and the index of its leaf.
pub(super) const ENTRY_BYTES: usize = TOKEN_BYTES + 8;
/// A token and the index of its leaf, big end first: their order is that of their octets.
pub(super) type Entry = [u8; ENTRY_BYTES];

/// A chunk is found by its first entry.
pub(super) const RUNS: &str = "
CREATE TABLE run(id INTEGER PRIMARY KEY, day INTEGER NOT NULL, n INTEGER NOT NULL) STRICT;
CREATE INDEX run_day ON run(day);
CREATE TABLE chunk(run INTEGER NOT NULL, first BLOB NOT NULL, body BLOB NOT NULL, UNIQUE(run, first)) STRICT;
";
pub(super) const FORM: Form = Form { version: 2, schema: &[UPTO, RUNS] };

/// Entries of a chunk: with its first once more and SQLite's own octets, one page of 4 096.
const CHUNK_ENTRIES: usize = 166;
/// The newest run of a day is merged with what comes while it is at most so many times as large:
/// at two, a day of a million tokens taken in by the thousand is some ten runs at most.
const GROWTH: u64 = 2;
/// Entries of the largest run that merging makes, 12 MiB: the transaction stays some tenth of a
/// second, however busy the day.
const LARGEST_RUN: u64 = 1 << 19;

/// A token index, open for the one thread that writes it.
pub struct TokenWriter {
    file: IndexFile,
}

impl TokenWriter {
    pub fn open(path: PathBuf) -> Result<Self, StoreFault> {
        Ok(Self { file: IndexFile::open(path, &FORM)? })
    }

    /// The last index that has been taken in.
    pub fn upto(&self) -> Option<u64> {
        self.file.upto()
    }

    /// Takes in tokens up to `upto`: day, token, index. They come back sorted.
    pub fn add(&mut self, tokens: &mut [(i64, [u8; TOKEN_BYTES], u64)], upto: u64) -> Result<(), StoreFault> {
        tokens.sort_unstable_by_key(|(day, token, index)| (*day, u128::from_be_bytes(*token), *index));
        self.file.take_in(upto, |transaction| {
            for of_day in tokens.chunk_by(|(one, ..), (other, ..)| one == other) {
                if let Some((day, ..)) = of_day.first() {
                    let entries = of_day.iter().map(|(_, token, index)| entry_of(token, *index)).collect();
                    take_in(transaction, *day, entries)?;
                }
            }
            Ok(())
        })
    }

    /// Leaves nothing in the WAL, unless a reader stands in the way.
    pub fn rest(&self) -> Result<(), StoreFault> {
        self.file.rest().map(drop)
    }

    /// Tokens of these leaves leave the index and its WAL. Reads the whole index.
    pub fn forget(&mut self, of: &[u64]) -> Result<(), StoreFault> {
        let mut gone = of.to_vec();
        gone.sort_unstable();
        self.file.write(|transaction| forget(transaction, &gone))?;
        match self.file.rest()? {
            true => Ok(()),
            // A reader stands in the way: they can still be read in the WAL.
            false => Err(StoreFault::Locked),
        }
    }
}

pub(super) fn entry_of(token: &[u8; TOKEN_BYTES], index: u64) -> Entry {
    let mut entry = [0; ENTRY_BYTES];
    let octets = token.iter().copied().chain(index.to_be_bytes());
    entry.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
    entry
}

pub(super) fn parts_of(entry: &Entry) -> ([u8; TOKEN_BYTES], u64) {
    let token = entry.first_chunk().copied().unwrap_or_default();
    (token, entry.last_chunk().map_or(0, |index| u64::from_be_bytes(*index)))
}

/// Merges what is new of a day, sorted, with those of its newest runs that are not much larger.
pub(super) fn take_in(connection: &Connection, day: i64, new: Vec<Entry>) -> rusqlite::Result<()> {
    let older: Vec<(i64, u64)> = connection
        .prepare_cached("SELECT id, n FROM run WHERE day=? ORDER BY id DESC")?
        .query_map([day], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect::<rusqlite::Result<_>>()?;
    let mut all = new.len() as u64;
    let mut sources = vec![Source { connection, run: None, entries: new, at: 0 }];
    let mut merged = Vec::new();
    for (run, n) in older {
        if n > all.saturating_mul(GROWTH) || n.saturating_add(all) > LARGEST_RUN {
            break;
        }
        all += n;
        sources.push(Source::of_run(connection, run)?);
        merged.push(run);
    }
    // Its number is new while theirs still stand there.
    connection.prepare_cached("INSERT INTO run(day, n) VALUES(?, 0)")?.execute([day])?;
    let mut run = NewRun::begin(connection, connection.last_insert_rowid());
    while let Some(least) = sources.iter_mut().filter(|s| s.head().is_some()).min_by_key(|s| s.head()) {
        if let Some(entry) = least.head() {
            run.push(entry)?;
        }
        least.advance()?;
    }
    run.end()?;
    let mut drop_run = connection.prepare_cached("DELETE FROM run WHERE id=?")?;
    merged.into_iter().try_for_each(|id| drop_run.execute([id]).map(drop))
}

/// Entries in their order: new ones, or those of a run, which goes while it is read, so that its
/// pages take in what is written.
struct Source<'a> {
    connection: &'a Connection,
    run: Option<i64>,
    entries: Vec<Entry>,
    at: usize,
}

impl<'a> Source<'a> {
    fn of_run(connection: &'a Connection, run: i64) -> rusqlite::Result<Self> {
        let mut source = Self { connection, run: Some(run), entries: Vec::new(), at: 0 };
        source.refill()?;
        Ok(source)
    }

    fn head(&self) -> Option<Entry> {
        self.entries.get(self.at).copied()
    }

    fn advance(&mut self) -> rusqlite::Result<()> {
        self.at += 1;
        if self.at < self.entries.len() { Ok(()) } else { self.refill() }
    }

    fn refill(&mut self) -> rusqlite::Result<()> {
        (self.at, self.entries) = (0, Vec::new());
        let Some(run) = self.run else { return Ok(()) };
        let chunk: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT rowid, body FROM chunk WHERE run=? ORDER BY first LIMIT 1")?
            .query_row([run], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((row, body)) = chunk else { return Ok(()) };
        self.connection.prepare_cached("DELETE FROM chunk WHERE rowid=?")?.execute([row])?;
        match body.as_chunks() {
            ([], _) | (_, [_, ..]) => Err(damaged()),
            (entries, []) => {
                self.entries = entries.to_vec();
                Ok(())
            }
        }
    }
}

/// A run that is being written.
struct NewRun<'a> {
    connection: &'a Connection,
    id: i64,
    n: i64,
    last: Option<Entry>,
    body: Vec<u8>,
}

impl<'a> NewRun<'a> {
    fn begin(connection: &'a Connection, id: i64) -> Self {
        Self { connection, id, n: 0, last: None, body: Vec::with_capacity(CHUNK_ENTRIES * ENTRY_BYTES) }
    }

    fn push(&mut self, entry: Entry) -> rusqlite::Result<()> {
        match self.last {
            Some(last) if last > entry => return Err(damaged()),
            Some(last) if last == entry => return Ok(()),
            _ => self.last = Some(entry),
        }
        self.n += 1;
        self.body.extend_from_slice(&entry);
        if self.body.len() < CHUNK_ENTRIES * ENTRY_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> rusqlite::Result<()> {
        if let Some(first) = self.body.first_chunk::<ENTRY_BYTES>() {
            self.connection
                .prepare_cached("INSERT INTO chunk(run, first, body) VALUES(?, ?, ?)")?
                .execute((self.id, first, &self.body))?;
        }
        self.body.clear();
        Ok(())
    }

    fn end(mut self) -> rusqlite::Result<()> {
        self.write()?;
        self.connection.prepare_cached("UPDATE run SET n=? WHERE id=?")?.execute((self.n, self.id))?;
        Ok(())
    }
}

/// Rewrites every chunk that holds an entry of one of these leaves.
fn forget(connection: &Connection, gone: &[u64]) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (gone.first(), gone.last()) else { return Ok(()) };
    let is_gone = |entry: &Entry| {
        let (_, index) = parts_of(entry);
        (first..=last).contains(&&index) && gone.binary_search(&index).is_ok()
    };
    let mut next =
        connection.prepare("SELECT rowid, run, body FROM chunk WHERE rowid>? ORDER BY rowid LIMIT 1")?;
    let mut chunk = |after: i64| -> rusqlite::Result<Option<(i64, i64, Vec<u8>)>> {
        next.query_row([after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
    };
    let mut after = i64::MIN;
    while let Some((id, run, body)) = chunk(after)? {
        after = id;
        let entries = body.as_chunks().0;
        let left: Vec<Entry> = entries.iter().filter(|entry| !is_gone(entry)).copied().collect();
        if left.len() == entries.len() {
            continue;
        }
        let fewer = (entries.len() - left.len()) as i64;
        connection.prepare_cached("UPDATE run SET n=n-? WHERE id=?")?.execute((fewer, run))?;
        match left.first() {
            Some(first) => connection
                .prepare_cached("UPDATE chunk SET first=?, body=? WHERE rowid=?")?
                .execute((first, left.as_flattened(), id))?,
            None => connection.prepare_cached("DELETE FROM chunk WHERE rowid=?")?.execute([id])?,
        };
    }
    let empty = "DELETE FROM run WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.run=run.id)";
    connection.execute(empty, []).map(drop)
}

/// What no writer of ours wrote.
fn damaged() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), None)
}
