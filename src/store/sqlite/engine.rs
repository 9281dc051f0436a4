//! The writing hand: one connection, on the month that is being written.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::super::{Engine, FreeSpace, Mark, Month, Row, Shard, StoreFault, VaultOrder, Waking};
use super::flush::{Flusher, Written};
use super::rest::{recycle, rest};
use super::vault::VaultHand;
use super::{batch, make_folder, month_path, open_unflushed, open_writer, sqlite_fault};

/// All of it is append-only and has no index by a random key: that touches a page a row and costs
/// two thirds of the throughput at 10^6 rows. So an exchange is found by the search index
/// ([`super::index`]; files begun before have an index here still), and used ids and uses stand in
/// [`batch`]. The kinds of `leaf_out` stand apart: for an `IN` of three SQLite makes a table in memory
/// (87 KB) at each row. `deed` holds work on its way to another file: a few rows, and none of a gateway at
/// rest.
pub(super) const SCHEMA: &str = "
CREATE TABLE leaf(idx INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind TEXT NOT NULL, exchange TEXT,
  hash BLOB NOT NULL, leaf TEXT NOT NULL) STRICT;
CREATE INDEX leaf_out ON leaf(ts) WHERE kind='out.sent' OR kind='out.done' OR kind='out.failed';
CREATE TABLE deed(idx INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
";

/// Leaves in the WAL after which they are copied into the file while work goes on: some
/// 5 MiB, a second flush once in some thousand leaves.
const LEAVES_IN_WAL: usize = 4096;

pub struct SqliteEngine {
    root: PathBuf,
    open: Option<OpenMonth>,
    /// A month that was left with deeds in it.
    left: Option<(Mark, PathBuf)>,
    carried: Option<Mark>,
    vaults: VaultHand,
    flusher: Flusher,
}

struct OpenMonth {
    shard: Shard,
    month: Month,
    path: PathBuf,
    connection: Connection,
    wal: Written,
    /// Leaves that stand in the WAL only.
    in_wal: usize,
    /// The last deed written here that is not forgotten yet.
    last_deed: Option<u64>,
}

impl SqliteEngine {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            open: None,
            left: None,
            carried: None,
            vaults: VaultHand::default(),
            flusher: Flusher::default(),
        }
    }

    fn month(&mut self, shard: Shard, month: Month) -> Result<&mut OpenMonth, StoreFault> {
        let open = match self.open.take() {
            Some(open) if open.shard == shard && open.month == month => open,
            past => {
                if let Some(past) = past {
                    rest(&past.connection, &past.path)?;
                    self.left = past.last_deed.map(|index| (Mark { shard: past.shard, index }, past.path));
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
        let connection = open_unflushed(&path, SCHEMA)?;
        let last_deed: Option<i64> = connection
            .execute_batch(batch::TABLE)
            .and_then(|()| connection.query_row("SELECT max(idx) FROM deed", [], |row| row.get(0)))
            .map_err(|e| sqlite_fault("open", &path, &e))?;
        let last_deed = last_deed.map(i64::unsigned_abs);
        let wal = Written::to_wal_of(&path)?;
        Ok(Self { shard, month, path, connection, wal, in_wal: 0, last_deed })
    }

    /// The deeds of this file that may go: up to this index.
    fn forgettable(&self, carried: Option<Mark>) -> Option<u64> {
        let carried = carried.filter(|mark| self.last_deed.is_some() && mark.shard >= self.shard)?;
        Some(if carried.shard > self.shard { u64::MAX >> 1 } else { carried.index })
    }

    fn forgot(&mut self, upto: u64) {
        self.last_deed = self.last_deed.filter(|last| *last > upto);
    }

    fn append(&mut self, first: u64, rows: &[Row], carried: Option<Mark>) -> rusqlite::Result<()> {
        let forget = self.forgettable(carried);
        // Dropping the transaction on an early return rolls it back.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut leaf = transaction.prepare_cached(INSERT)?;
            let mut deed = transaction.prepare_cached("INSERT INTO deed(idx, body) VALUES(?, ?)")?;
            if let Some(upto) = forget {
                transaction.prepare_cached(FORGET)?.execute([upto.cast_signed()])?;
            }
            for (index, row) in (first.cast_signed()..).zip(rows) {
                leaf.execute((index, row.ts, row.kind, &row.exchange, row.hash, &row.leaf))?;
                if let Some(body) = &row.deed {
                    deed.execute((index, body))?;
                }
            }
        }
        batch::keep(&transaction, first, rows)?;
        transaction.commit()?;
        if let Some(upto) = forget {
            self.forgot(upto);
        }
        let last = (first..).zip(rows).filter(|(_, row)| row.deed.is_some()).map(|(index, _)| index).last();
        self.last_deed = last.or(self.last_deed);
        Ok(())
    }
}

pub(super) const INSERT: &str =
    "INSERT INTO leaf(idx, ts, kind, exchange, hash, leaf) VALUES(?, ?, ?, ?, ?, CAST(? AS TEXT))";
const FORGET: &str = "DELETE FROM deed WHERE idx<=?";

/// The first eight bytes of SHA-256 over a row, so that `audit verify` sees a changed one.
pub(super) fn row_sum(index: i64, expires: i64, parts: &[&[u8]]) -> i64 {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(&index.to_be_bytes());
    context.update(&expires.to_be_bytes());
    parts.iter().for_each(|part| context.update(part));
    let digest = context.finish();
    digest.as_ref().first_chunk::<8>().map_or(0, |eight| i64::from_be_bytes(*eight))
}

impl SqliteEngine {
    fn append_leaves(
        &mut self,
        shard: Shard,
        month: Month,
        first: u64,
        rows: &[Row],
    ) -> Result<(), StoreFault> {
        let carried = self.carried;
        let open = self.month(shard, month)?;
        let appended = open.append(first, rows, carried);
        open.in_wal += rows.len();
        let (path, wal) = (open.path.clone(), open.wal.clone());
        appended.map_err(|e| {
            // A full disk while rolling back leaves a transaction open: start afresh.
            self.open = None;
            match sqlite_fault("append", &path, &e) {
                // An index that is taken means that somebody else wrote: never go on.
                StoreFault::Damaged { code, .. } => StoreFault::Broken { what: "append", code },
                other => other,
            }
        })?;
        wal.flush()
    }

    /// What was carried leaves the files also when no leaf comes that would take it along.
    fn forget_at_rest(&mut self) -> Result<(), StoreFault> {
        if let Some((last, path)) = &self.left
            && self.carried >= Some(*last)
        {
            let past = open_writer(path, SCHEMA)?;
            past.execute("DELETE FROM deed", []).map_err(|e| sqlite_fault("forget", path, &e))?;
            rest(&past, path)?;
            self.left = None;
        }
        if let Some(open) = &mut self.open
            && let Some(upto) = open.forgettable(self.carried)
        {
            let forgotten = open.connection.execute(FORGET, [upto.cast_signed()]);
            open.in_wal += forgotten.map_err(|e| sqlite_fault("forget", &open.path, &e))?;
            open.forgot(upto);
        }
        Ok(())
    }
}

impl Engine for SqliteEngine {
    fn append(&mut self, shard: Shard, month: Month, first: u64, rows: &[Row]) -> Result<(), StoreFault> {
        let evidence = self.vaults.append(&self.root, shard, month, first, rows)?;
        let flushing = self.flusher.begin(evidence);
        let appended = self.append_leaves(shard, month, first, rows);
        let flushed = self.flusher.end(flushing);
        if appended.is_err() {
            self.vaults.leaves_failed();
        }
        // After a failed flush it is not known what the disk holds, whatever else went wrong.
        flushed.and(appended)
    }

    fn forget_deeds(&mut self, carried: Mark) {
        self.carried = Some(carried);
    }

    fn obey(&mut self, order: &VaultOrder) -> Result<Vec<u64>, StoreFault> {
        self.vaults.obey(&self.root, order)
    }

    fn tidy(&mut self, idle: bool) -> Result<(), StoreFault> {
        self.vaults.tidy(idle)?;
        if idle {
            self.forget_at_rest()?;
        }
        let Some(open) = self.open.as_mut().filter(|open| open.in_wal > 0) else { return Ok(()) };
        if idle {
            rest(&open.connection, &open.path)?;
            open.in_wal = 0;
        } else if open.in_wal >= LEAVES_IN_WAL {
            recycle(&open.connection, &open.path)?;
            // One of a reader's making stays for the next turn; zero would hide it.
            open.in_wal = 1;
        }
        Ok(())
    }

    fn waking(&self) -> Waking {
        self.flusher.waking()
    }

    fn free_space(&self) -> Option<FreeSpace> {
        let stat = rustix::fs::statvfs(&self.root).ok()?;
        Some(FreeSpace {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}
