//! A facet index read from its first row to its last, in one snapshot, by whoever holds it
//! against the log.
//!
//! Promises: what is read belongs together, also beside the hand that writes it; a page of rows
//! and the words are in memory, never the whole.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::sqlite_fault;
use super::Words;
use super::file::{open_index, upto_of};
use super::tokens::{StoredToken, walk};
use super::writer::FORM;
use crate::store::StoreFault;

/// Rows read at once.
const PAGE: i64 = 4096;

/// A row as it stands there: words by the number of their combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetRow {
    pub index: i64,
    pub ts: i64,
    pub combo: i64,
    pub auth: Option<Vec<u8>>,
}

/// A line of the hourly sums: the hour, the words of kind, peer, op and code; how many,
/// milliseconds in all, the slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourRow {
    pub hour: i64,
    pub words: [i64; 4],
    pub sums: [i64; 3],
}

/// What is read at once when it is opened.
struct Begun {
    upto: Option<u64>,
    words: HashMap<i64, String>,
    combos: HashMap<i64, Words>,
}

/// A facet index in one snapshot.
pub struct WholeFacets {
    path: PathBuf,
    connection: Connection,
    upto: Option<i64>,
    words: HashMap<i64, String>,
    combos: HashMap<i64, Words>,
    page: VecDeque<FacetRow>,
    /// Where the next page begins; `None` behind the last.
    next: Option<i64>,
}

impl WholeFacets {
    /// `None` where there is none, or one of an older form: a search reads the leaves then.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreFault> {
        let Some(connection) = open_index(path, &FORM)? else { return Ok(None) };
        let begin = || -> rusqlite::Result<Begun> {
            connection.execute_batch("BEGIN")?;
            let upto = upto_of(&connection)?;
            let mut words = connection.prepare("SELECT id, text FROM word")?;
            let words = words.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let words = words.collect::<rusqlite::Result<_>>()?;
            let mut combos =
                connection.prepare("SELECT id, kind, peer, op, item, lt, dec, code FROM combo")?;
            let combos = combos.query_map([], |row| {
                let mut words = [0; 7];
                for (at, word) in words.iter_mut().enumerate() {
                    *word = row.get(at + 1)?;
                }
                Ok((row.get(0)?, words))
            })?;
            Ok(Begun { upto, words, combos: combos.collect::<rusqlite::Result<_>>()? })
        };
        let Begun { upto, words, combos } = begin().map_err(|e| sqlite_fault("read", path, &e))?;
        Ok(Some(Self {
            path: path.to_owned(),
            connection,
            upto: upto.map(u64::cast_signed),
            words,
            combos,
            page: VecDeque::new(),
            next: Some(i64::MIN),
        }))
    }

    /// The last index that has been taken in.
    pub fn upto(&self) -> Option<i64> {
        self.upto
    }

    pub fn words(&self) -> &HashMap<i64, String> {
        &self.words
    }

    pub fn combos(&self) -> &HashMap<i64, Words> {
        &self.combos
    }

    /// Rows in the order of their index.
    pub fn next_row(&mut self) -> Result<Option<FacetRow>, StoreFault> {
        if self.page.is_empty()
            && let Some(from) = self.next
        {
            self.page = self.read_page(from)?;
            let last = self.page.back().filter(|_| self.page.len() as i64 == PAGE);
            self.next = last.and_then(|row| row.index.checked_add(1));
        }
        Ok(self.page.pop_front())
    }

    fn read_page(&self, from: i64) -> Result<VecDeque<FacetRow>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT idx, ts, combo, auth FROM facet WHERE idx>=? ORDER BY idx LIMIT ?")?;
            let rows = statement.query_map((from, PAGE), |row| {
                Ok(FacetRow { index: row.get(0)?, ts: row.get(1)?, combo: row.get(2)?, auth: row.get(3)? })
            })?;
            rows.collect()
        })
    }

    /// Combinations, and blocks where they stand.
    pub fn places(&self, mut visit: impl FnMut(i64, i64)) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT combo, block FROM place")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get(0)?, row.get(1)?);
            }
            Ok(())
        })
    }

    /// Blocks, and when the first and the last of their leaves were stamped.
    pub fn blocks(&self, mut visit: impl FnMut(i64, (i64, i64))) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT id, from_ts, to_ts FROM block")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get(0)?, (row.get(1)?, row.get(2)?));
            }
            Ok(())
        })
    }

    /// Authorizations as the rows have them.
    pub fn authorized(&self, mut visit: impl FnMut(u64, [u8; 32])) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT idx, auth FROM facet WHERE auth IS NOT NULL")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?);
            }
            Ok(())
        })
    }

    /// Authorizations and exchanges where a search finds them; `false` when their runs are not
    /// [well formed](super::WholeTokens::well_formed).
    pub fn runs(&self, visit: impl FnMut(StoredToken)) -> Result<bool, StoreFault> {
        self.read(|connection| walk(connection, visit))
    }

    pub fn hours(&self, mut visit: impl FnMut(HourRow)) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT hour, kind, peer, op, code, n, ms, slowest FROM hourly")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let words = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
                let sums = [row.get(5)?, row.get(6)?, row.get(7)?];
                visit(HourRow { hour: row.get(0)?, words, sums });
            }
            Ok(())
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
        read(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }
}
