//! `state.db`: the last signed checkpoint of each shard, and one of each hour before it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::super::{Head, Heads, Shard, StoreFault};
use super::rest::rest;
use super::{open_reader, open_writer, sqlite_fault};
use crate::clock::Now;

const SCHEMA: &str = "
CREATE TABLE head(shard TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE history(shard TEXT NOT NULL, size INTEGER NOT NULL, note TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(shard, size)) STRICT;
";

/// Seconds between checkpoints kept for good: `audit verify` holds the tree against each of
/// them, 4 400 in a half-year.
const HISTORY_EVERY: i64 = 3600;

pub struct SqliteHeads {
    path: PathBuf,
    connection: Connection,
}

impl SqliteHeads {
    pub(super) fn open(path: &Path) -> Result<Self, StoreFault> {
        Ok(Self { path: path.to_owned(), connection: open_writer(path, SCHEMA)? })
    }

    fn fault(&self, what: &'static str) -> impl Fn(rusqlite::Error) -> StoreFault + use<> {
        let path = self.path.clone();
        move |e| sqlite_fault(what, &path, &e)
    }

    /// Every checkpoint kept in the `state.db` at `path`, oldest first, with its shard.
    pub fn kept(path: &Path) -> Result<Vec<(Shard, Head)>, StoreFault> {
        let connection = open_reader(path)?;
        let read = || -> rusqlite::Result<Vec<(Shard, Head)>> {
            let mut statement = connection.prepare(
                "SELECT shard, size, note FROM history UNION SELECT shard, size, note FROM head ORDER BY shard, size",
            )?;
            let rows = statement.query_map([], to_head)?;
            rows.collect()
        };
        read().map_err(|e| sqlite_fault("read", path, &e))
    }
}

fn to_head(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Shard, Head)> {
    let shard = Shard::parse(row.get_ref(0)?.as_str()?).ok_or(rusqlite::Error::InvalidQuery)?;
    let note = row.get_ref(2)?.as_bytes()?.to_vec();
    Ok((shard, Head { size: row.get::<_, i64>(1)?.unsigned_abs(), note }))
}

impl Heads for SqliteHeads {
    fn head(&mut self, shard: Shard) -> Result<Option<Head>, StoreFault> {
        self.connection
            .query_row("SELECT shard, size, note FROM head WHERE shard=?", [shard.to_string()], to_head)
            .optional()
            .map(|found| found.map(|(_, head)| head))
            .map_err(self.fault("head"))
    }

    fn advance(&mut self, shard: Shard, old: u64, new: &Head, now: Now) -> Result<bool, StoreFault> {
        let fault = self.fault("advance");
        let shard = shard.to_string();
        let mut advance = || -> rusqlite::Result<bool> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let at = now.secs();
            let values = (&shard, new.size.cast_signed(), String::from_utf8_lossy(&new.note), at);
            let (name, size, note, _) = &values;
            let moved = if old == 0 {
                transaction.execute(
                    "INSERT INTO head(shard, size, note, at) SELECT ?1, ?2, ?3, ?4 \
                     WHERE NOT EXISTS (SELECT 1 FROM head WHERE shard=?1)",
                    (name, size, note, at),
                )?
            } else {
                transaction.execute(
                    "UPDATE head SET size=?2, note=?3, at=?4 WHERE shard=?1 AND size=?5",
                    (name, size, note, at, old.cast_signed()),
                )?
            };
            let last: Option<i64> =
                transaction
                    .query_row("SELECT max(at) FROM history WHERE shard=?", [name], |row| row.get(0))?;
            if moved == 1 && last.is_none_or(|last| at - last >= HISTORY_EVERY) {
                transaction.execute(
                    "INSERT INTO history(shard, size, note, at) VALUES(?1, ?2, ?3, ?4)",
                    (name, size, note, at),
                )?;
            }
            transaction.commit()?;
            Ok(moved == 1)
        };
        advance().map_err(fault)
    }

    fn rest(&mut self) -> Result<(), StoreFault> {
        rest(&self.connection, &self.path)
    }

    fn newest(&mut self) -> Result<Option<(Shard, Head)>, StoreFault> {
        self.connection
            .query_row("SELECT shard, size, note FROM head ORDER BY shard DESC LIMIT 1", [], to_head)
            .optional()
            .map_err(self.fault("head"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_moves_only_from_the_size_its_owner_saw() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let mut heads = SqliteHeads::open(&path).unwrap();
        let shard = Shard::parse("2026h2").unwrap();
        let head = |size| Head { size, note: format!("note {size}").into_bytes() };
        let now = Now::from_secs(1_800_000_000);
        assert!(heads.advance(shard, 0, &head(3), now).unwrap());
        assert!(!heads.advance(shard, 0, &head(4), now).unwrap());
        assert!(heads.advance(shard, 3, &head(5), now).unwrap());
        assert!(!heads.advance(shard, 3, &head(6), now).unwrap());
        assert_eq!(heads.head(shard).unwrap(), Some(head(5)));
        assert_eq!(heads.newest().unwrap(), Some((shard, head(5))));
        assert_eq!(SqliteHeads::kept(&path).unwrap(), [(shard, head(3)), (shard, head(5))]);
    }
}
