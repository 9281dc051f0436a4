//! A facet index read from its first row to its last, in one snapshot, by whoever holds it
//! against the log.
//!
//! Promises: what is read belongs together, also beside the hand that writes it; a page of rows
//! and the words are in memory, never the whole.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::super::{open_reader, sqlite_fault};
use crate::store::StoreFault;

/// Columns of words, in the order of a row.
pub const FACET_NAMES: [&str; 7] = ["kind", "peer", "op", "item", "lt", "dec", "code"];

/// Rows read at once.
const PAGE: i64 = 4096;

/// A row as it stands there: words by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetRow {
    pub index: i64,
    pub ts: i64,
    pub words: [i64; 7],
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
    upto: Option<i64>,
    words: HashMap<i64, String>,
}

/// A facet index in one snapshot.
pub struct WholeFacets {
    path: PathBuf,
    connection: Connection,
    upto: Option<i64>,
    words: HashMap<i64, String>,
    page: VecDeque<FacetRow>,
    /// Where the next page begins; `None` behind the last.
    next: Option<i64>,
}

impl WholeFacets {
    /// `None` where there is none, or one whose tables are not made yet.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreFault> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = open_reader(path)?;
        let begin = || -> rusqlite::Result<Option<Begun>> {
            connection.execute_batch("BEGIN")?;
            let begun: bool =
                connection.query_row("SELECT EXISTS(SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
            if !begun {
                return Ok(None);
            }
            let upto = connection.query_row("SELECT idx FROM upto", [], |row| row.get(0)).optional()?;
            let mut statement = connection.prepare("SELECT id, text FROM word")?;
            let words = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Some(Begun { upto, words: words.collect::<rusqlite::Result<_>>()? }))
        };
        let begun = begin().map_err(|e| sqlite_fault("read", path, &e))?;
        Ok(begun.map(|Begun { upto, words }| Self {
            path: path.to_owned(),
            connection,
            upto,
            words,
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
            let mut statement = connection.prepare_cached(
                "SELECT idx, ts, kind, peer, op, item, lt, dec, code, auth FROM facet NOT INDEXED \
                 WHERE idx>=? ORDER BY idx LIMIT ?",
            )?;
            let rows = statement.query_map((from, PAGE), |row| {
                let mut words = [0; 7];
                for (at, word) in words.iter_mut().enumerate() {
                    *word = row.get(at + 2)?;
                }
                Ok(FacetRow { index: row.get(0)?, ts: row.get(1)?, words, auth: row.get(9)? })
            })?;
            rows.collect()
        })
    }

    /// How often each facet has each word: the facet's name, the word's number, how often.
    pub fn frequencies(&self, mut visit: impl FnMut(&str, i64, i64)) -> Result<(), StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT facet, word, n FROM frequency")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get_ref(0)?.as_str()?, row.get(1)?, row.get(2)?);
            }
            Ok(())
        })
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
