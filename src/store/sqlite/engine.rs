//! The writing hand: one connection, on the month that is being written.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::super::{Engine, FreeSpace, Month, Row, Shard, StoreFault};
use super::rest::{checkpoint, rest};
use super::{make_folder, month_path, open_writer, sqlite_fault};

/// `used` and `take` are append-only and indexed by expiry, not by their random keys: a
/// random index touches one page a row and costs two thirds of the throughput at 10^6 rows.
/// Whether an id is used is answered from memory; these rows are read at start only.
/// `sum` tells a damaged row from a true one.
pub(super) const SCHEMA: &str = "
CREATE TABLE leaf(idx INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, exchange TEXT,
  hash BLOB NOT NULL, leaf TEXT NOT NULL) STRICT;
CREATE INDEX leaf_exchange ON leaf(exchange) WHERE exchange IS NOT NULL;
CREATE INDEX leaf_out ON leaf(ts) WHERE kind IN ('out.sent', 'out.done', 'out.failed');
CREATE TABLE used(idx INTEGER PRIMARY KEY, expires INTEGER NOT NULL, id BLOB NOT NULL, content BLOB NOT NULL,
  sum INTEGER NOT NULL) STRICT;
CREATE INDEX used_expires ON used(expires);
CREATE TABLE take(idx INTEGER PRIMARY KEY, expires INTEGER NOT NULL, token BLOB NOT NULL,
  sum INTEGER NOT NULL) STRICT;
CREATE INDEX take_expires ON take(expires);
";

/// Leaves in the WAL after which they are copied into the file while work goes on: some
/// 5 MiB, a second flush once in some thousand leaves.
const LEAVES_IN_WAL: usize = 4096;

pub struct SqliteEngine {
    root: PathBuf,
    open: Option<OpenMonth>,
}

struct OpenMonth {
    shard: Shard,
    month: Month,
    path: PathBuf,
    connection: Connection,
    /// Leaves that stand in the WAL only.
    in_wal: usize,
}

impl SqliteEngine {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, open: None }
    }

    fn month(&mut self, shard: Shard, month: Month) -> Result<&mut OpenMonth, StoreFault> {
        let open = match self.open.take() {
            Some(open) if open.shard == shard && open.month == month => open,
            past => {
                if let Some(past) = past {
                    rest(&past.connection, &past.path)?;
                }
                OpenMonth::open(&self.root, shard, month)?
            }
        };
        Ok(self.open.insert(open))
    }
}

impl OpenMonth {
    fn open(root: &Path, shard: Shard, month: Month) -> Result<Self, StoreFault> {
        let path = month_path(root, shard, month);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let connection = open_writer(&path, SCHEMA)?;
        Ok(Self { shard, month, path, connection, in_wal: 0 })
    }

    fn append(&mut self, first: u64, rows: &[Row]) -> rusqlite::Result<()> {
        // Dropping the transaction on an early return rolls it back.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut leaf = transaction.prepare_cached(
                "INSERT INTO leaf(idx, ts, kind, exchange, hash, leaf) VALUES(?, ?, ?, ?, ?, CAST(? AS TEXT))",
            )?;
            let mut used = transaction
                .prepare_cached("INSERT INTO used(idx, expires, id, content, sum) VALUES(?, ?, ?, ?, ?)")?;
            let mut take = transaction
                .prepare_cached("INSERT INTO take(idx, expires, token, sum) VALUES(?, ?, ?, ?)")?;
            for (index, row) in (first.cast_signed()..).zip(rows) {
                leaf.execute((index, row.ts, row.kind, &row.exchange, row.hash, &row.leaf))?;
                if let Some(id) = &row.used_id {
                    let sum = row_sum(index, id.expires, &[&id.key, &id.content]);
                    used.execute((index, id.expires, id.key, id.content, sum))?;
                }
                if let Some(one) = &row.take {
                    let sum = row_sum(index, one.expires, &[&one.token]);
                    take.execute((index, one.expires, one.token, sum))?;
                }
            }
        }
        transaction.commit()
    }
}

/// The first eight bytes of SHA-256 over a row, so that `audit verify` sees a changed one.
pub(super) fn row_sum(index: i64, expires: i64, parts: &[&[u8]]) -> i64 {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(&index.to_be_bytes());
    context.update(&expires.to_be_bytes());
    parts.iter().for_each(|part| context.update(part));
    let digest = context.finish();
    digest.as_ref().first_chunk::<8>().map_or(0, |eight| i64::from_be_bytes(*eight))
}

impl Engine for SqliteEngine {
    fn append(&mut self, shard: Shard, month: Month, first: u64, rows: &[Row]) -> Result<(), StoreFault> {
        let open = self.month(shard, month)?;
        let appended = open.append(first, rows);
        open.in_wal += rows.len();
        let path = open.path.clone();
        appended.map_err(|e| {
            // A full disk while rolling back leaves a transaction open: start afresh.
            self.open = None;
            match sqlite_fault("append", &path, &e) {
                // An index that is taken means that somebody else wrote: never go on.
                StoreFault::Damaged { code, .. } => StoreFault::Broken { what: "append", code },
                other => other,
            }
        })
    }

    fn tidy(&mut self, idle: bool) -> Result<(), StoreFault> {
        let Some(open) = self.open.as_mut().filter(|open| open.in_wal > 0) else { return Ok(()) };
        if idle {
            rest(&open.connection, &open.path)?;
            open.in_wal = 0;
        } else if open.in_wal >= LEAVES_IN_WAL {
            checkpoint(&open.connection, &open.path)?;
            // One of a reader's making stays for the next turn; zero would hide it.
            open.in_wal = 1;
        }
        Ok(())
    }

    fn free_space(&self) -> Option<FreeSpace> {
        let stat = rustix::fs::statvfs(&self.root).ok()?;
        Some(FreeSpace {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}
