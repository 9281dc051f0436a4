//! Searching a facet index, beside its writer or on a copy.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::super::month_file::integrity_of;
use super::super::sqlite_fault;
use super::file::{open_index, upto_of};
use super::tokens::find;
use super::writer::FORM;
use super::{
    AUTHORIZATIONS, BLOCK_LEAVES, EXCHANGES, FacetQuery, Hourly, short_authorization, short_exchange, signed,
};
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

    /// Indices at which an exchange may stand, oldest first.
    pub fn exchange(&self, exchange: &str) -> Result<Vec<u64>, StoreFault> {
        self.read(|connection| find(connection, EXCHANGES, &short_exchange(exchange), u64::MAX))
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

/// Blocks that are read from the newest on before anybody asks where a combination stands: what is
/// not rare is found there, in a millisecond.
const READ_FIRST: i64 = 8;

/// Block by block, the newest first, those only that were stamped within the time and, behind
/// [`READ_FIRST`], that have such a combination.
fn by_block(
    connection: &Connection,
    query: &FacetQuery,
    fitting: &HashSet<i64>,
) -> rusqlite::Result<Vec<u64>> {
    let mut leaves = Leaves { connection, query, fitting, found: Vec::new() };
    let mut blocks = connection.prepare_cached(
        "SELECT min(id), max(id) FROM block WHERE id BETWEEN 0 AND ? AND to_ts>=? AND from_ts<?",
    )?;
    let within = (signed(query.before) / BLOCK_LEAVES, query.from, query.to);
    let (Some(oldest), Some(mut newest)): (Option<i64>, Option<i64>) =
        blocks.query_row(within, |row| Ok((row.get(0)?, row.get(1)?)))?
    else {
        return Ok(Vec::new());
    };
    let mut places = connection.prepare_cached(
        "SELECT block FROM place WHERE combo=? AND block>=? AND block<=? ORDER BY block DESC LIMIT ?",
    )?;
    for _ in 0..READ_FIRST {
        leaves.read(newest)?;
        newest -= 1;
    }
    let most = i64::try_from(query.most).unwrap_or(i64::MAX).max(1);
    while newest >= oldest && !leaves.is_full() {
        // As many blocks of each combination as could be needed at most; where there may be more of
        // one, only what is not older than its last is known as a whole.
        let (mut standing, mut known_from) = (BTreeSet::new(), oldest);
        for combo in fitting {
            let rows = places.query_map((combo, oldest, newest, most), |row| row.get::<_, i64>(0))?;
            let of_combo: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
            if let Some(last) = of_combo.last().filter(|_| of_combo.len() as i64 == most) {
                known_from = known_from.max(*last);
            }
            standing.extend(of_combo);
        }
        for block in standing.range(known_from..).rev() {
            leaves.read(*block)?;
        }
        newest = known_from - 1;
    }
    Ok(leaves.found)
}

/// What is being found.
struct Leaves<'a> {
    connection: &'a Connection,
    query: &'a FacetQuery,
    fitting: &'a HashSet<i64>,
    found: Vec<u64>,
}

impl Leaves<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.query.most
    }

    /// Takes what fits of a block, newest first, until it is enough.
    fn read(&mut self, block: i64) -> rusqlite::Result<()> {
        let FacetQuery { from, to, before, .. } = *self.query;
        let (first, end) = (block * BLOCK_LEAVES, signed(before).min((block + 1) * BLOCK_LEAVES));
        let mut leaves = self.connection.prepare_cached(
            "SELECT idx, combo FROM facet WHERE idx>=? AND idx<? AND ts>=? AND ts<? ORDER BY idx DESC",
        )?;
        let mut rows = leaves.query((first, end, from, to))?;
        while !self.is_full()
            && let Some(row) = rows.next()?
        {
            if self.fitting.contains(&row.get(1)?) {
                self.found.push(row.get::<_, i64>(0)?.unsigned_abs());
            }
        }
        Ok(())
    }
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
