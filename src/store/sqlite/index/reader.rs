//! Searching a facet index, beside its writer or on a copy.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::super::month_file::integrity_of;
use super::super::sqlite_fault;
use super::file::{open_index, upto_of};
use super::tokens::find;
use super::writer::FORM;
use super::{AUTHORIZATIONS, BLOCK_LEAVES, FacetQuery, Hourly, short_authorization, signed};
use crate::store::StoreFault;

/// A facet index open for reading.
pub struct FacetReader {
    path: PathBuf,
    connection: Connection,
}

impl FacetReader {
    /// `None` where there is none, or none that can be used: the search scans instead.
    pub fn open(path: &Path) -> Option<Self> {
        let connection = open_index(path, &FORM).ok()??;
        Some(Self { path: path.to_owned(), connection })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
        read(&self.connection).map_err(|e| sqlite_fault("read", &self.path, &e))
    }

    pub fn upto(&self) -> Result<Option<u64>, StoreFault> {
        self.read(upto_of)
    }

    /// What SQLite's own integrity check finds; empty when all is well.
    pub fn integrity(&self) -> Result<Vec<String>, StoreFault> {
        self.read(integrity_of)
    }

    /// Indices that fit, newest first, at most `query.most`.
    pub fn facets(&self, query: &FacetQuery) -> Result<Vec<u64>, StoreFault> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let fitting = combos(&snapshot, query)?;
            match &query.auth {
                _ if fitting.is_empty() => Ok(Vec::new()),
                Some(auth) => by_authorization(&snapshot, query, auth, &fitting),
                None => by_block(&snapshot, query, &fitting),
            }
        })
    }

    /// Sums of the hours `from..to`.
    pub fn hourly(&self, from: i64, to: i64) -> Result<Vec<Hourly>, StoreFault> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT hour, k.text, p.text, o.text, c.text, n, ms, slowest FROM hourly \
                 JOIN word k ON k.id=kind JOIN word p ON p.id=peer JOIN word o ON o.id=op JOIN word c ON c.id=code \
                 WHERE hour>=? AND hour<? ORDER BY hour",
            )?;
            let rows = statement.query_map((from, to), |row| {
                let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
                Ok(Hourly {
                    hour: row.get(0)?,
                    kind: row.get(1)?,
                    peer: row.get(2)?,
                    op: row.get(3)?,
                    code: row.get(4)?,
                    n: number(5)?,
                    ms: number(6)?,
                    slowest: number(7)?,
                })
            })?;
            rows.collect()
        })
    }
}

/// Combinations in which each word that is asked for stands.
fn combos(connection: &Connection, query: &FacetQuery) -> rusqlite::Result<HashSet<i64>> {
    let mut sql = "SELECT id FROM combo WHERE TRUE".to_owned();
    for (facet, text) in &query.words {
        let word: Option<i64> = connection
            .prepare_cached("SELECT id FROM word WHERE text=?")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        // A word that no leaf of the month has.
        let Some(word) = word else { return Ok(HashSet::new()) };
        sql.push_str(&format!(" AND {facet}={word}"));
    }
    connection.prepare(&sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Block by block, the newest first, those only that have such a combination within the time.
fn by_block(
    connection: &Connection,
    query: &FacetQuery,
    fitting: &HashSet<i64>,
) -> rusqlite::Result<Vec<u64>> {
    let mut blocks = connection.prepare_cached(
        "SELECT id, combo FROM block WHERE id<=? AND to_ts>=? AND from_ts<? ORDER BY id DESC",
    )?;
    let mut leaves = connection.prepare_cached(
        "SELECT idx, combo FROM facet WHERE idx>=? AND idx<? AND ts>=? AND ts<? ORDER BY idx DESC",
    )?;
    let (before, mut found, mut last) = (signed(query.before), Vec::new(), None);
    let mut blocks = blocks.query((before / BLOCK_LEAVES, query.from, query.to))?;
    while let Some(row) = blocks.next()? {
        let (block, combo): (i64, i64) = (row.get(0)?, row.get(1)?);
        if last == Some(block) || !fitting.contains(&combo) {
            continue;
        }
        last = Some(block);
        let (first, end) = (block * BLOCK_LEAVES, before.min((block + 1) * BLOCK_LEAVES));
        let mut rows = leaves.query((first, end, query.from, query.to))?;
        while let Some(row) = rows.next()? {
            if found.len() >= query.most {
                return Ok(found);
            }
            if fitting.contains(&row.get(1)?) {
                found.push(row.get::<_, i64>(0)?.unsigned_abs());
            }
        }
    }
    Ok(found)
}

fn by_authorization(
    connection: &Connection,
    query: &FacetQuery,
    auth: &[u8; 32],
    fitting: &HashSet<i64>,
) -> rusqlite::Result<Vec<u64>> {
    let mut leaf =
        connection.prepare_cached("SELECT combo FROM facet WHERE idx=? AND auth=? AND ts>=? AND ts<?")?;
    let mut found = Vec::new();
    let named = find(connection, AUTHORIZATIONS, &short_authorization(auth), query.before)?;
    for index in named.into_iter().rev() {
        let combo: Option<i64> =
            leaf.query_row((index.cast_signed(), auth, query.from, query.to), |row| row.get(0)).optional()?;
        if found.len() < query.most && combo.is_some_and(|combo| fitting.contains(&combo)) {
            found.push(index);
        }
    }
    Ok(found)
}
