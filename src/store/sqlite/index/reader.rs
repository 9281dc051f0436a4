//! Searching a facet index, beside its writer or on a copy.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::super::month_file::integrity_of;
use super::super::sqlite_fault;
use super::file::{open_index, upto_of};
use super::writer::FORM;
use super::{FacetQuery, Hourly, signed};
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
            let mut conditions = Vec::new();
            let mut rarest: Option<(i64, &'static str)> = None;
            for (facet, text) in &query.words {
                let word: Option<i64> = connection
                    .prepare_cached("SELECT id FROM word WHERE text=?")?
                    .query_row([text], |row| row.get(0))
                    .optional()?;
                // A word that no leaf of the month has.
                let Some(word) = word else { return Ok(Vec::new()) };
                let n: Option<i64> = connection
                    .prepare_cached("SELECT n FROM frequency WHERE facet=? AND word=?")?
                    .query_row((facet, word), |row| row.get(0))
                    .optional()?;
                let Some(n) = n else { return Ok(Vec::new()) };
                if rarest.is_none_or(|(least, _)| n < least) {
                    rarest = Some((n, facet));
                }
                conditions.push(format!("{facet}={word}"));
            }
            if let Some(auth) = &query.auth {
                conditions.push(format!("auth=x'{}'", hex::encode(auth)));
            }
            let by = match (query.auth, rarest) {
                (Some(_), _) => "INDEXED BY facet_auth".to_owned(),
                (None, Some((_, facet))) => format!("INDEXED BY facet_{facet}"),
                (None, None) => "NOT INDEXED".to_owned(),
            };
            let conditions: String = conditions.iter().map(|condition| format!(" AND {condition}")).collect();
            let sql = format!(
                "SELECT idx FROM facet {by} WHERE idx<? AND ts>=? AND ts<?{conditions} ORDER BY idx DESC LIMIT ?"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let most = i64::try_from(query.most).unwrap_or(i64::MAX);
            let rows = statement
                .query_map((signed(query.before), query.from, query.to, most), |row| row.get::<_, i64>(0))?;
            rows.map(|row| row.map(i64::unsigned_abs)).collect()
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
