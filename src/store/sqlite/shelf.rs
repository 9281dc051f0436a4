//! The reading hand: short-lived read-only connections, beside the writer or on a copy.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::{Deed, Mark, Month, OPEN_SENDS_DAYS, Shard, Shelf, StoreFault, StoredLeaf, Take, UsedId};
use super::index::{FacetReader, facet_index_of};
use super::month_file::{MonthFile, stored_leaf, text};
use super::{batch, file_fault, month_path, sqlite_fault};
use crate::clock::Now;

/// Months in which an id or a use can still be alive: they live 24 h at most, so the
/// present month and the one before.
const LIVE_MONTHS: usize = 2;
/// Milliseconds after which nothing that came with a leaf is alive: the 24 h, and a day by which the
/// clock may have stepped between two leaves.
const LONGEST_MEMORY_MS: i64 = 2 * 86_400_000;

/// Newest first. Places are sorted, not rows, and not found by a walk over the month, which is what SQLite
/// chooses when it is asked for rows in the order of `idx`. The condition fits the index of older
/// files, too, where it is an `IN`.
const OUT_SINCE: &str = "SELECT idx, hash, leaf, kind, exchange FROM leaf WHERE idx IN \
     (SELECT idx FROM leaf WHERE (kind='out.sent' OR kind='out.done' OR kind='out.failed') AND ts>=?) \
     ORDER BY idx DESC";

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

    /// How far a month's index goes, -1 where there is none that can be read, and where up to there an
    /// exchange may stand.
    fn indexed(&self, shard: Shard, month: Month, exchange: &str) -> (i64, Vec<u64>) {
        let look = || {
            let index = FacetReader::open(&facet_index_of(&month_path(&self.root, shard, month)))?;
            let upto = index.upto().ok()??;
            let mut named = index.exchange(exchange).ok()?;
            named.retain(|at| *at <= upto);
            Some((upto.cast_signed(), named))
        };
        look().unwrap_or((-1, Vec::new()))
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

/// Where the leaves of a month begin whose used id or use can still be alive: found by halves, for
/// leaves stand in the order of their times, give or take a step of the clock.
fn first_alive(connection: &Connection, now: Now) -> rusqlite::Result<i64> {
    let since = now.ms().saturating_sub(LONGEST_MEMORY_MS);
    let ends: (Option<i64>, Option<i64>) = connection.query_row(
        "SELECT (SELECT min(idx) FROM leaf), (SELECT max(idx) FROM leaf)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (mut low, mut high) = (ends.0.unwrap_or(0), ends.1.map_or(0, |last| last.saturating_add(1)));
    let mut at = connection.prepare("SELECT idx, ts FROM leaf WHERE idx>=? ORDER BY idx LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> =
            at.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((index, ts)) if ts < since => low = index.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
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
                let (upto, named) = self.indexed(shard, month, exchange);
                self.month(shard, month)?.read(|connection| {
                    // The index is not believed, and where it does not reach, the leaves are read.
                    let mut is_of = connection.prepare("SELECT idx FROM leaf WHERE idx=? AND exchange=?")?;
                    for at in named {
                        let is_there = is_of.exists((at.cast_signed(), exchange))?;
                        found.extend(is_there.then_some((shard, at)));
                    }
                    let mut behind =
                        connection.prepare("SELECT idx FROM leaf WHERE idx>? AND exchange=? ORDER BY idx")?;
                    for index in behind.query_map((upto, exchange), |row| row.get::<_, i64>(0))? {
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
                ids.extend(batch::used_ids(connection, first_alive(connection, now)?, now.secs())?);
                Ok(())
            })?;
        }
        Ok(ids)
    }

    fn takes(&self, now: Now) -> Result<Vec<(Take, u32)>, StoreFault> {
        let mut counts: HashMap<[u8; 32], (i64, u32)> = HashMap::new();
        for (_, file) in self.newest_months(LIVE_MONTHS)? {
            file.read(|connection| {
                for Take { token, expires } in
                    batch::takes(connection, first_alive(connection, now)?, now.secs())?
                {
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
                let mut statement = connection.prepare(OUT_SINCE)?;
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

#[cfg(test)]
mod tests {
    use super::super::super::{Engine as _, Row};
    use super::super::{FacetWriter, Facets, SqliteEngine};
    use super::*;

    const HOUR: i64 = 3_600;

    #[test]
    fn an_exchange_is_found_wherever_the_index_ends_and_whatever_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
        let name = |index: u64| format!("exchange-of-two-leaves-{}", index / 2);
        let rows: Vec<Row> = (0..400_u64)
            .map(|index| Row {
                kind: "in",
                exchange: (index % 50 != 7).then(|| name(index)),
                ..Row::default()
            })
            .collect();
        SqliteEngine::new(dir.path().to_owned()).append(shard, month, 0, &rows).unwrap();
        let shelf = SqliteShelf::new(dir.path().to_owned());
        let index = facet_index_of(&month_path(dir.path(), shard, month));
        let holds = |why: &str| {
            for at in [0, 6, 8, 99, 100, 249, 250, 399] {
                let of_it: Vec<_> = (at / 2 * 2..at / 2 * 2 + 2).filter(|at| at % 50 != 7).collect();
                let found = shelf.find(&name(at)).unwrap();
                assert_eq!(found, of_it.into_iter().map(|at| (shard, at)).collect::<Vec<_>>(), "{at} {why}");
            }
            assert_eq!(shelf.find("exchange-of-nobody").unwrap(), []);
        };
        holds("without an index");
        let take_in = |from: u64, to: u64, names: &dyn Fn(u64) -> String| {
            let names: Vec<String> = (from..=to).map(names).collect();
            let leaves: Vec<Facets<'_>> = (from..=to)
                .zip(&names)
                .map(|(index, exchange)| Facets { index, exchange, ..Facets::default() })
                .collect();
            FacetWriter::open(index.clone()).unwrap().add(&leaves, to).unwrap();
        };
        for (from, to) in [(0, 99), (100, 100), (101, 249), (250, 399)] {
            take_in(from, to, &|index| if index % 50 == 7 { String::new() } else { name(index) });
            holds(&format!("with an index up to {to}"));
        }
        std::fs::write(&index, "no database").unwrap();
        holds("with a file that is none");
        // What the index says of a leaf that is another exchange's is not believed.
        crate::store::sqlite::remove_index(&index).unwrap();
        take_in(0, 9, &|_| "exchange-of-nobody".to_owned());
        assert_eq!(shelf.find("exchange-of-nobody").unwrap(), []);
    }

    #[test]
    fn a_start_finds_every_used_id_and_use_that_is_alive_whatever_the_clock_did_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let shard = Shard::parse("2026h2").unwrap();
        let month = Month::parse("2026-11").unwrap();
        let start = 1_795_276_800;
        let mut engine = SqliteEngine::new(dir.path().to_owned());
        let row = |hour: u8| {
            // Twelve hours back for a while, and a use that lives as long as any may.
            let at = start + HOUR * i64::from(if (60..80).contains(&hour) { hour - 12 } else { hour });
            Row {
                kind: "in",
                ts: at * 1000,
                used_id: Some(UsedId { key: [hour; 16], content: [0; 16], expires: at + 150 }),
                take: Some(Take { token: [hour; 32], expires: at + 24 * HOUR }),
                ..Row::default()
            }
        };
        let rows: Vec<Row> = (0..200).map(row).collect();
        engine.append(shard, month, 0, &rows).unwrap();
        let shelf = SqliteShelf::new(dir.path().to_owned());
        for hour in [0, 30, 70, 90, 199, 250] {
            let now = Now::from_secs(start + hour * HOUR);
            let alive = |expires: i64| expires >= now.secs();
            let ids: Vec<_> =
                rows.iter().filter_map(|row| row.used_id).filter(|id| alive(id.expires)).collect();
            assert_eq!(shelf.used_ids(now).unwrap(), ids, "{hour}");
            let mut takes = shelf.takes(now).unwrap();
            takes.sort_unstable_by_key(|(take, _)| take.token);
            let expected = rows.iter().filter_map(|row| row.take).filter(|take| alive(take.expires));
            assert_eq!(takes, expected.map(|take| (take, 1)).collect::<Vec<_>>(), "{hour}");
        }
        let file = shelf.month(shard, month).unwrap();
        let first = |hour: i64| {
            file.read(|connection| first_alive(connection, Now::from_secs(start + hour * HOUR))).unwrap()
        };
        assert_eq!((first(0), first(199), first(1000)), (0, 151, 200), "not the whole month is read");
    }

    /// What SQLite says of how it does `sql`, a line a step.
    fn plan(connection: &Connection, sql: &str, column: usize) -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let values = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(column)).unwrap();
        steps.map(Result::unwrap).collect()
    }

    #[test]
    fn open_sends_are_looked_up_and_not_walked_to_also_in_older_files() {
        let dir = tempfile::tempdir().unwrap();
        let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
        let rows: Vec<Row> = ["in", "out.sent", "out.sent", "out.done", "in", "out.sent", "out.failed"]
            .iter()
            .zip([7, 1, 2, 1, 8, 3, 2])
            .map(|(kind, exchange)| Row { kind, exchange: Some(exchange.to_string()), ..Row::default() })
            .collect();
        SqliteEngine::new(dir.path().to_owned()).append(shard, month, 0, &rows).unwrap();
        let shelf = SqliteShelf::new(dir.path().to_owned());
        let file = Connection::open(month_path(dir.path(), shard, month)).unwrap();
        for older in [false, true] {
            if older {
                file.execute_batch(
                    "DROP INDEX leaf_out; CREATE INDEX leaf_out ON leaf(ts) \
                     WHERE kind IN ('out.sent', 'out.done', 'out.failed')",
                )
                .unwrap();
            }
            let open: Vec<_> = shelf.open_sends().unwrap().into_iter().map(|(_, leaf)| leaf.index).collect();
            assert_eq!(open, [5]);
            let steps = plan(&file, &format!("EXPLAIN QUERY PLAN {OUT_SINCE}"), 3);
            assert!(steps.iter().any(|step| step.contains("INDEX leaf_out (ts>?)")), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("SCAN")), "{steps:?}");
        }
    }

    #[test]
    fn a_leaf_is_written_without_a_table_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let (shard, month) = (Shard::parse("2026h2").unwrap(), Month::parse("2026-11").unwrap());
        SqliteEngine::new(dir.path().to_owned()).append(shard, month, 0, &[Row::default()]).unwrap();
        let file = Connection::open(month_path(dir.path(), shard, month)).unwrap();
        let steps = plan(&file, &format!("EXPLAIN {}", super::super::engine::INSERT), 1);
        assert!(steps.iter().any(|step| step == "Insert"), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("OpenEphemeral")), "{steps:?}");
    }
}
