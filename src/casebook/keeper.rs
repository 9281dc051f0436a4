//! The keeper: one thread that writes the casebook. Whatever waits goes into one commit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params_from_iter};
use tokio::sync::{oneshot, watch};

use super::rows::{PlaceRow, Row, Write};
use super::{CasebookFault, Settled};
use crate::ledger::{Deed, Mark, Shard};
use crate::store::StoreFault;
use crate::store::sqlite::{checkpoint, open_writer, sqlite_fault};

pub(super) enum Order {
    /// In the order of the log.
    Deeds(Vec<Deed>),
    Write(Vec<Write>, oneshot::Sender<()>),
    /// Forget what has expired at this second.
    Sweep(i64),
    Stop,
}

/// `n` numbers rows in the order they came: cursors of lists and of the pull list.
const SCHEMA: &str = "
CREATE TABLE case_(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, role TEXT NOT NULL,
  partner TEXT NOT NULL, state TEXT NOT NULL, wake INTEGER, parent TEXT, doc TEXT NOT NULL) STRICT;
CREATE INDEX case_state ON case_(state, n);
CREATE INDEX case_count ON case_(partner, role, state);
CREATE INDEX case_wake ON case_(wake) WHERE wake IS NOT NULL;
CREATE INDEX case_parent ON case_(parent) WHERE parent IS NOT NULL;
CREATE TABLE event(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, line TEXT NOT NULL,
  seq INTEGER NOT NULL, doc TEXT NOT NULL) STRICT;
CREATE INDEX event_line ON event(line, seq);
CREATE TABLE parcel(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, partner TEXT NOT NULL,
  line TEXT NOT NULL, state TEXT NOT NULL, made INTEGER NOT NULL, doc TEXT NOT NULL) STRICT;
CREATE INDEX parcel_state ON parcel(state, partner, n);
CREATE INDEX parcel_waiting ON parcel(line, n) WHERE state='waiting';
CREATE INDEX parcel_line ON parcel(line, n);
CREATE TABLE notice(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, line TEXT NOT NULL,
  doc TEXT NOT NULL) STRICT;
CREATE TABLE verification(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, side TEXT NOT NULL,
  partner TEXT NOT NULL, line TEXT NOT NULL, state TEXT NOT NULL, wake INTEGER, doc TEXT NOT NULL) STRICT;
CREATE INDEX verification_state ON verification(side, state, n);
CREATE INDEX verification_line ON verification(line);
CREATE INDEX verification_wake ON verification(wake) WHERE wake IS NOT NULL;
CREATE TABLE material(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, sha256 TEXT NOT NULL,
  line TEXT NOT NULL, partner TEXT NOT NULL, way TEXT NOT NULL, there INTEGER NOT NULL, doc TEXT NOT NULL) STRICT;
CREATE INDEX material_sha256 ON material(sha256);
CREATE INDEX material_line ON material(line);
CREATE INDEX material_going ON material(partner, n) WHERE way='going' AND there=0;
CREATE TABLE answer(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, expires INTEGER NOT NULL,
  doc TEXT NOT NULL) STRICT;
CREATE INDEX answer_expires ON answer(expires);
CREATE TABLE once(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, expires INTEGER NOT NULL,
  doc TEXT NOT NULL) STRICT;
CREATE INDEX once_expires ON once(expires);
CREATE TABLE memo(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, doc TEXT NOT NULL) STRICT;
CREATE TABLE carried(one INTEGER PRIMARY KEY CHECK(one=1), shard TEXT NOT NULL, idx INTEGER NOT NULL) STRICT;
";

/// Orders in one commit: beyond this the flush is no longer what costs.
const MOST_IN_A_COMMIT: usize = 512;
/// Commits after which the WAL is copied into the file: some MiB.
const COMMITS_IN_WAL: u32 = 1000;
/// Idle wake-ups, to leave the file at rest.
const IDLE_WAKE: Duration = Duration::from_secs(2);
/// How long a full disk is given before the next try.
const FULL_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Keeper {
    path: PathBuf,
    connection: Connection,
    mark: Option<Mark>,
    in_wal: u32,
}

impl Keeper {
    pub fn open(path: &Path) -> Result<Self, CasebookFault> {
        let connection = open_writer(path, SCHEMA)?;
        let mark = connection
            .query_row("SELECT shard, idx FROM carried", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()
            .map_err(|e| sqlite_fault("open", path, &e))?;
        let mark = match mark {
            None => None,
            Some((shard, index)) => {
                let shard = Shard::parse(&shard).ok_or(CasebookFault::Row)?;
                Some(Mark { shard, index: index.unsigned_abs() })
            }
        };
        Ok(Self { path: path.to_owned(), connection, mark, in_wal: 0 })
    }

    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    pub fn run(mut self, orders: &Receiver<Order>, tell: &watch::Sender<Settled>, ending: &AtomicBool) {
        loop {
            let mut batch = Vec::new();
            match orders.recv_timeout(IDLE_WAKE) {
                Ok(order) => batch.push(order),
                Err(RecvTimeoutError::Timeout) => {
                    self.rest(true);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while batch.len() < MOST_IN_A_COMMIT {
                let Ok(order) = orders.try_recv() else { break };
                batch.push(order);
            }
            let stop = batch.iter().any(|order| matches!(order, Order::Stop));
            if let Err(fault) = self.keep(&batch, tell, ending) {
                tracing::error!(%fault, "the casebook cannot be written");
                break;
            }
            tell.send_modify(|settled| {
                settled.mark = self.mark;
                settled.version += 1;
                settled.waiting = false;
            });
            for order in batch {
                if let Order::Write(_, told) = order {
                    let _ = told.send(());
                }
            }
            self.rest(false);
            if stop {
                break;
            }
        }
        self.rest(true);
        tell.send_modify(|settled| settled.stopped = true);
    }

    /// Makes a batch durable. A full disk is waited for, until the gateway ends: the deeds are safe
    /// in the log, and nobody is told anything before they stand here.
    fn keep(
        &mut self,
        batch: &[Order],
        tell: &watch::Sender<Settled>,
        ending: &AtomicBool,
    ) -> Result<(), StoreFault> {
        loop {
            match self.apply(batch) {
                Ok(mark) => {
                    self.mark = mark;
                    self.in_wal += 1;
                    return Ok(());
                }
                Err(fault) => {
                    let fault = sqlite_fault("keep", &self.path, &fault);
                    if !fault.is_passing() || ending.load(Ordering::Relaxed) {
                        return Err(fault);
                    }
                    tracing::error!(%fault, "the casebook waits");
                    tell.send_if_modified(|settled| !std::mem::replace(&mut settled.waiting, true));
                    std::thread::sleep(FULL_PAUSE);
                }
            }
        }
    }

    fn apply(&mut self, batch: &[Order]) -> rusqlite::Result<Option<Mark>> {
        let mut mark = self.mark;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for order in batch {
            match order {
                Order::Deeds(deeds) => {
                    for deed in deeds.iter().filter(|deed| mark < Some(deed.at)) {
                        // What cannot be read was not written by this version: the log keeps it
                        // only if the keeper stops here.
                        let mut writes: Vec<Write> =
                            serde_json::from_slice(&deed.bytes).map_err(|_| rusqlite::Error::InvalidQuery)?;
                        place_answers(&mut writes, deed.at);
                        put_all(&transaction, &writes)?;
                    }
                    mark = mark.max(deeds.last().map(|deed| deed.at));
                }
                Order::Write(writes, _) => put_all(&transaction, writes)?,
                Order::Sweep(now) => {
                    for table in ["answer", "once"] {
                        transaction.execute(&format!("DELETE FROM {table} WHERE expires<?"), [now])?;
                    }
                }
                Order::Stop => {}
            }
        }
        if mark != self.mark
            && let Some(mark) = mark
        {
            transaction.execute(
                "INSERT INTO carried(one, shard, idx) VALUES(1, ?1, ?2) \
                 ON CONFLICT(one) DO UPDATE SET shard=?1, idx=?2",
                (mark.shard.to_string(), mark.index.cast_signed()),
            )?;
        }
        transaction.commit()?;
        Ok(mark)
    }

    fn rest(&mut self, idle: bool) {
        if self.in_wal == 0 || (!idle && self.in_wal < COMMITS_IN_WAL) {
            return;
        }
        match checkpoint(&self.connection, &self.path) {
            Ok(_) => self.in_wal = 0,
            Err(fault) => tracing::error!(%fault, "the casebook could not be tidied"),
        }
    }
}

/// An answer is promised at the place of the leaf it came with.
fn place_answers(writes: &mut [Write], at: Mark) {
    for write in writes {
        if let Write::Answer(answer) = write {
            answer.place = Some(PlaceRow { shard: at.shard.to_string(), index: at.index });
        }
    }
}

fn put_all(transaction: &Transaction<'_>, writes: &[Write]) -> rusqlite::Result<()> {
    writes.iter().try_for_each(|write| match write {
        Write::Case(row) => put(transaction, row),
        Write::Event(row) => put(transaction, row),
        Write::Parcel(row) => put(transaction, row),
        Write::Notice(row) => put(transaction, row),
        Write::Verification(row) => put(transaction, row),
        Write::Material(row) => put(transaction, row),
        Write::Answer(row) => put(transaction, row),
        Write::Once(row) => put(transaction, row),
        Write::Memo(row) => put(transaction, row),
    })
}

/// Inserts a row, or replaces the one with its id in its place.
fn put<R: Row>(transaction: &Transaction<'_>, row: &R) -> rusqlite::Result<()> {
    let names: String = R::COLUMNS.iter().map(|name| format!("{name}, ")).collect();
    let marks = "?, ".repeat(R::COLUMNS.len());
    let sets: String = R::COLUMNS.iter().map(|name| format!("{name}=excluded.{name}, ")).collect();
    let doc = serde_json::to_string(row).map_err(|_| rusqlite::Error::InvalidQuery)?;
    let mut values = vec![Column::Text(row.id())];
    values.extend(row.columns());
    values.push(Column::Text(doc));
    transaction
        .prepare_cached(&format!(
            "INSERT INTO {}(id, {names}doc) VALUES(?, {marks}?) \
             ON CONFLICT(id) DO UPDATE SET {sets}doc=excluded.doc",
            R::TABLE
        ))?
        .execute(params_from_iter(values))
        .map(drop)
}
