//! The reading hand: short-lived read-only connections, beside the writer or on a copy.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension as _, Row, params};

use super::super::{Deed, Mark, Month, OPEN_SENDS_DAYS, Shard, Shelf, StoreFault, StoredLeaf, Take, UsedId};
use super::month_file::{MonthFile, stored_leaf, text};
use super::{file_fault, month_path, sqlite_fault};
use crate::clock::Now;

/// Months in which an id or a use can still be alive: they live 24 h at most, so the
/// present month and the one before.
const LIVE_MONTHS: usize = 2;

#[derive(Clone)]
pub struct SqliteShelf {
    root: PathBuf,
}

impl SqliteShelf {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// For reading a data directory, or its copy, without taking the writer's lock.
    pub fn of_data_dir(data: &Path) -> Self {
        Self::new(data.join("ledger"))
    }

    /// The month files of a shard, oldest first.
    pub fn months(&self, shard: Shard) -> Result<Vec<Month>, StoreFault> {
        let mut months: Vec<Month> = names(&self.root.join(shard.to_string()))?
            .iter()
            .filter_map(|name| Month::parse(name.strip_suffix(".db")?))
            // A log that was begun ahead of its half-year has months of the one before.
            .filter(|month| month.shard() <= shard)
            .collect();
        months.sort_unstable();
        // A stop between making a month's file and its tables: the writer begins it again. A
        // damaged file stays in the list, for its reader to tell.
        if let Some(newest) = months.last()
            && matches!(self.month(shard, *newest).and_then(|month| month.is_begun()), Ok(false))
        {
            months.pop();
        }
        Ok(months)
    }

    pub fn month(&self, shard: Shard, month: Month) -> Result<MonthFile, StoreFault> {
        MonthFile::open(month_path(&self.root, shard, month))
    }

    /// Leaves of one kind, in order. No index helps here: for kinds that are rare, and whoever has
    /// time for every month's file.
    pub fn of_kind(&self, shard: Shard, kind: &str) -> Result<Vec<StoredLeaf>, StoreFault> {
        let mut found = Vec::new();
        for month in self.months(shard)? {
            self.month(shard, month)?.read(|connection| {
                let mut statement =
                    connection.prepare("SELECT idx, hash, leaf FROM leaf WHERE kind=? ORDER BY idx")?;
                for leaf in statement.query_map([kind], stored_leaf)? {
                    found.push(leaf?);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn newest_months(&self, most: usize) -> Result<Vec<(Shard, MonthFile)>, StoreFault> {
        let mut all = Vec::new();
        for shard in self.shards()?.into_iter().rev() {
            for month in self.months(shard)?.into_iter().rev() {
                if all.len() == most {
                    return Ok(all);
                }
                all.push((shard, self.month(shard, month)?));
            }
        }
        Ok(all)
    }

    fn in_range<T>(
        &self,
        shard: Shard,
        range: &Range<u64>,
        columns: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreFault> {
        let mut found = Vec::new();
        for month in self.months(shard)? {
            let file = self.month(shard, month)?;
            file.read(|connection| {
                let mut statement = connection
                    .prepare(&format!("SELECT {columns} FROM leaf WHERE idx>=? AND idx<? ORDER BY idx"))?;
                let rows = statement
                    .query_map([range.start.cast_signed(), range.end.cast_signed()], |row| read(row))?;
                rows.for_each(|row| found.push(row));
                Ok(())
            })?;
            let path = month_path(&self.root, shard, month);
            if found.iter().any(Result::is_err) {
                let fault = found.into_iter().find_map(Result::err).unwrap_or(rusqlite::Error::InvalidQuery);
                return Err(sqlite_fault("read", &path, &fault));
            }
        }
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }
}

/// Names in a folder; a folder that is not there is empty.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StoreFault> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| file_fault(folder, &e))?,
    };
    entries
        .map(|entry| {
            entry.map(|e| e.file_name().to_string_lossy().into_owned()).map_err(|e| file_fault(folder, &e))
        })
        .collect()
}

impl Shelf for SqliteShelf {
    fn shards(&self) -> Result<Vec<Shard>, StoreFault> {
        let mut shards: Vec<Shard> =
            names(&self.root)?.iter().filter_map(|name| Shard::parse(name)).collect();
        shards.sort_unstable();
        Ok(shards)
    }

    fn size(&self, shard: Shard) -> Result<u64, StoreFault> {
        for month in self.months(shard)?.into_iter().rev() {
            if let Some((_, last)) = self.month(shard, month)?.span()? {
                return Ok(last + 1);
            }
        }
        Ok(0)
    }

    fn newest_month(&self, shard: Shard) -> Result<Option<Month>, StoreFault> {
        Ok(self.months(shard)?.pop())
    }

    fn leaves(&self, shard: Shard, range: Range<u64>) -> Result<Vec<StoredLeaf>, StoreFault> {
        self.in_range(shard, &range, "idx, hash, leaf", stored_leaf)
    }

    fn hashes(&self, shard: Shard, range: Range<u64>) -> Result<Vec<[u8; 32]>, StoreFault> {
        self.in_range(shard, &range, "hash", |row| row.get(0))
    }

    fn find(&self, exchange: &str) -> Result<Vec<(Shard, u64)>, StoreFault> {
        let mut found = Vec::new();
        for shard in self.shards()? {
            for month in self.months(shard)? {
                self.month(shard, month)?.read(|connection| {
                    let mut statement =
                        connection.prepare("SELECT idx FROM leaf WHERE exchange=? ORDER BY idx")?;
                    for index in statement.query_map([exchange], |row| row.get::<_, i64>(0))? {
                        found.push((shard, index?.unsigned_abs()));
                    }
                    Ok(())
                })?;
            }
        }
        Ok(found)
    }

    fn used_ids(&self, now: Now) -> Result<Vec<UsedId>, StoreFault> {
        let mut ids = Vec::new();
        for (_, file) in self.newest_months(LIVE_MONTHS)? {
            file.read(|connection| {
                let mut statement =
                    connection.prepare("SELECT id, content, expires FROM used WHERE expires>=?")?;
                let rows = statement.query_map([now.secs()], |row| {
                    Ok(UsedId { key: row.get(0)?, content: row.get(1)?, expires: row.get(2)? })
                })?;
                for row in rows {
                    ids.push(row?);
                }
                Ok(())
            })?;
        }
        Ok(ids)
    }

    fn takes(&self, now: Now) -> Result<Vec<(Take, u32)>, StoreFault> {
        let mut counts: HashMap<[u8; 32], (i64, u32)> = HashMap::new();
        for (_, file) in self.newest_months(LIVE_MONTHS)? {
            file.read(|connection| {
                let mut statement = connection.prepare("SELECT token, expires FROM take WHERE expires>=?")?;
                for row in
                    statement.query_map([now.secs()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?
                {
                    let (token, expires) = row?;
                    let known = counts.entry(token).or_insert((expires, 0));
                    *known = (known.0.max(expires), known.1 + 1);
                }
                Ok(())
            })?;
        }
        Ok(counts.into_iter().map(|(token, (expires, count))| (Take { token, expires }, count)).collect())
    }

    fn deeds(&self) -> Result<Vec<Deed>, StoreFault> {
        let mut deeds = Vec::new();
        for (shard, file) in self.newest_months(LIVE_MONTHS)?.into_iter().rev() {
            file.read(|connection| {
                let mut statement = connection.prepare("SELECT idx, body FROM deed ORDER BY idx")?;
                let rows = statement.query_map([], |row| {
                    let index = row.get::<_, i64>(0)?.unsigned_abs();
                    Ok(Deed { at: Mark { shard, index }, bytes: row.get(1)? })
                })?;
                for row in rows {
                    deeds.push(row?);
                }
                Ok(())
            })?;
        }
        Ok(deeds)
    }

    fn open_sends(&self) -> Result<Vec<(Shard, StoredLeaf)>, StoreFault> {
        let files = self.newest_months(LIVE_MONTHS)?;
        let mut since = None;
        let mut ended: HashSet<String> = HashSet::new();
        let mut open = Vec::new();
        // Newest month first: an end may stand in a later file than its beginning.
        for (shard, file) in &files {
            file.read(|connection| {
                if since.is_none() {
                    let last: Option<i64> = connection
                        .query_row("SELECT ts FROM leaf ORDER BY idx DESC LIMIT 1", [], |row| row.get(0))
                        .optional()?;
                    since = last.map(|last| last - OPEN_SENDS_DAYS * 86_400_000);
                }
                let Some(since) = since else { return Ok(()) };
                let mut statement = connection.prepare(
                    "SELECT idx, hash, leaf, kind, exchange FROM leaf \
                     WHERE kind IN ('out.sent', 'out.done', 'out.failed') AND ts>=? ORDER BY idx DESC",
                )?;
                let mut rows = statement.query(params![since])?;
                while let Some(row) = rows.next()? {
                    let Some(exchange) = text(row, 4)? else { continue };
                    if text(row, 3)?.as_deref() != Some("out.sent") {
                        ended.insert(exchange);
                    } else if !ended.contains(&exchange) {
                        open.push((*shard, stored_leaf(row)?));
                    }
                }
                Ok(())
            })?;
        }
        open.reverse();
        Ok(open)
    }
}
