//! The registers: who searched, opened, exported, erased, when, what for and on whose order,
//! durable in `<data>/audit.db`.
//!
//! Promises: an entry stands here before its leaf is written and is bound to it by `rd`; after
//! a crash an entry without a leaf is an act that did not happen ([`Registers::unplaced`]), and
//! one whose leaf stands is finished. Knows entries and places; leaves acting to the desk. Files
//! are read and written where the caller is: call it where blocking is allowed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params, params_from_iter};
use serde::Serialize;

use super::DeskFault;
use super::entry::{Act, Entry, rd_of};
use super::request::Request;
use crate::ledger::{Mark, Shard};
use crate::store::StoreFault;
use crate::store::sqlite::{checkpoint, open_writer, sqlite_fault};

const SCHEMA: &str = "
CREATE TABLE entry(n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, act TEXT NOT NULL, who TEXT NOT NULL,
  rd BLOB UNIQUE NOT NULL, doc TEXT NOT NULL, shard TEXT, idx INTEGER, done INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX entry_act ON entry(act, n);
CREATE INDEX entry_who ON entry(who, n);
CREATE INDEX entry_open ON entry(n) WHERE done=0;
CREATE TABLE concerns(shard TEXT NOT NULL, idx INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(shard, idx, n)) STRICT, WITHOUT ROWID;
CREATE TABLE sought(mark TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(mark, n)) STRICT, WITHOUT ROWID;
CREATE TABLE restricted(shard TEXT NOT NULL, idx INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(shard, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE request(id TEXT PRIMARY KEY, expires INTEGER NOT NULL, doc TEXT NOT NULL) STRICT;
";

const COLUMNS: &str = "n, doc, shard, idx, done";

/// The open registers. Cheap to clone.
#[derive(Clone)]
pub struct Registers {
    path: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

/// An entry as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// Counts entries in the order they came.
    pub number: i64,
    #[serde(flatten)]
    pub entry: Entry,
    /// `2026h2/4711`: its leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// What it asked for has been done.
    pub done: bool,
    /// SHA-256 of the entry's bytes, hex; the leaf says the same.
    pub rd: String,
}

impl Registered {
    /// Where its leaf stands.
    pub fn mark(&self) -> Option<Mark> {
        let (shard, index) = self.leaf.as_deref()?.split_once('/')?;
        Some(Mark { shard: Shard::parse(shard)?, index: index.parse().ok()? })
    }
}

/// What a list of entries is cut to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterFilter {
    pub act: Option<Act>,
    pub by: Option<String>,
    /// Only entries before this number: the next page.
    pub before: Option<i64>,
}

impl Registers {
    pub fn open(data: &Path) -> Result<Self, DeskFault> {
        crate::store::sqlite::make_folder(data)?;
        let path = data.join("audit.db");
        let connection = open_writer(&path, SCHEMA)?;
        Ok(Self { path: Arc::new(path), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Writes an entry down before its leaf. `sought` are pseudonyms of whom it searched for.
    pub(super) fn begin(&self, entry: &Entry, sought: &[String]) -> Result<i64, DeskFault> {
        let bytes = entry.to_bytes();
        let doc = String::from_utf8_lossy(&bytes).into_owned();
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO entry(at, act, who, rd, doc) VALUES(?, ?, ?, ?, ?)",
                params![entry.at, entry.act.word(), entry.by, rd_of(&bytes), doc],
            )?;
            let n = transaction.last_insert_rowid();
            for index in &entry.of {
                transaction.execute(
                    "INSERT OR IGNORE INTO concerns(shard, idx, n) VALUES(?, ?, ?)",
                    params![entry.shard, index.cast_signed(), n],
                )?;
            }
            for mark in sought {
                transaction
                    .execute("INSERT OR IGNORE INTO sought(mark, n) VALUES(?, ?)", params![mark, n])?;
            }
            transaction.commit()?;
            Ok(n)
        })
    }

    /// Its leaf stands here.
    pub(super) fn placed(&self, n: i64, at: Mark) -> Result<(), DeskFault> {
        self.with(|connection| {
            let values = params![at.shard.to_string(), at.index.cast_signed(), n];
            connection.execute("UPDATE entry SET shard=?, idx=? WHERE n=?", values).map(drop)
        })
    }

    /// What it asked for has been done; exchanges that it restricts are out of use from here on.
    pub(super) fn done(&self, n: i64) -> Result<(), DeskFault> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("UPDATE entry SET done=1 WHERE n=?", [n])?;
            let act: String = transaction.query_row("SELECT act FROM entry WHERE n=?", [n], |row| row.get(0))?;
            if act == Act::Restrict.word() {
                transaction.execute(
                    "INSERT OR IGNORE INTO restricted(shard, idx, n) SELECT shard, idx, n FROM concerns WHERE n=?",
                    [n],
                )?;
            }
            transaction.commit()
        })?;
        // Few and small: the file is at rest after each act.
        let connection = self.lock();
        checkpoint(&connection, &self.path).map(drop).map_err(DeskFault::from)
    }

    /// The act did not happen.
    pub(super) fn forget(&self, n: i64) -> Result<(), DeskFault> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for table in ["entry", "concerns", "sought"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE n=?"), [n])?;
            }
            transaction.commit()
        })
    }

    /// Entries whose leaf is not known to stand.
    pub(super) fn unplaced(&self) -> Result<Vec<Registered>, DeskFault> {
        self.select("idx IS NULL AND done=0 ORDER BY n", vec![])
    }

    /// Entries whose leaf stands and whose work is not known to be done.
    pub(super) fn undone(&self) -> Result<Vec<Registered>, DeskFault> {
        self.select("idx IS NOT NULL AND done=0 ORDER BY n", vec![])
    }

    /// The highest place that an entry's leaf has.
    pub(super) fn last_place(&self, shard: Shard) -> Result<Option<u64>, DeskFault> {
        self.with(|connection| {
            let wanted = "SELECT max(idx) FROM entry WHERE shard=?";
            let last: Option<i64> = connection.query_row(wanted, [shard.to_string()], |row| row.get(0))?;
            Ok(last.map(i64::unsigned_abs))
        })
    }

    /// Entries whose acts happened, newest first.
    pub fn list(&self, filter: &RegisterFilter, most: u32) -> Result<Vec<Registered>, DeskFault> {
        let (mut wanted, mut values) = (String::from("idx IS NOT NULL"), Vec::new());
        if let Some(act) = filter.act {
            wanted.push_str(" AND act=?");
            values.push(Column::Text(act.word().to_owned()));
        }
        if let Some(by) = &filter.by {
            wanted.push_str(" AND who=?");
            values.push(Column::Text(by.clone()));
        }
        if let Some(before) = filter.before {
            wanted.push_str(" AND n<?");
            values.push(Column::Integer(before));
        }
        self.select(&format!("{wanted} ORDER BY n DESC LIMIT {most}"), values)
    }

    /// The entry that a leaf's `rd` names.
    pub fn of_rd(&self, rd: &[u8; 32]) -> Result<Option<Registered>, DeskFault> {
        Ok(self.select("rd=?", vec![Column::Blob(rd.to_vec())])?.pop())
    }

    /// Entries about one exchange's leaf, oldest first.
    pub fn concerning(&self, at: Mark) -> Result<Vec<Registered>, DeskFault> {
        let wanted =
            "idx IS NOT NULL AND n IN (SELECT c.n FROM concerns c WHERE c.shard=? AND c.idx=?) ORDER BY n";
        self.select(wanted, vec![Column::Text(at.shard.to_string()), Column::Integer(at.index.cast_signed())])
    }

    /// Entries that searched for this pseudonym, oldest first.
    pub fn that_sought(&self, mark: &str) -> Result<Vec<Registered>, DeskFault> {
        let wanted = "idx IS NOT NULL AND n IN (SELECT s.n FROM sought s WHERE s.mark=?) ORDER BY n";
        self.select(wanted, vec![Column::Text(mark.to_owned())])
    }

    /// Indices of `shard` that are out of use.
    pub fn restricted(&self, shard: Shard) -> Result<BTreeSet<u64>, DeskFault> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT idx FROM restricted WHERE shard=?")?;
            let rows = statement.query_map([shard.to_string()], |row| row.get::<_, i64>(0))?;
            rows.map(|index| index.map(i64::unsigned_abs)).collect()
        })
    }

    /// Keeps a request, or what became of it.
    pub(super) fn put_request(&self, request: &Request) -> Result<(), DeskFault> {
        let doc = serde_json::to_string(request).map_err(|_| DeskFault::Registers)?;
        self.with(|connection| {
            connection.execute(
                "INSERT INTO request(id, expires, doc) VALUES(?1, ?2, ?3) \
                 ON CONFLICT(id) DO UPDATE SET expires=?2, doc=?3",
                params![request.id, request.expires, doc],
            )
        })
        .map(drop)
    }

    pub fn request(&self, id: &str) -> Result<Option<Request>, DeskFault> {
        let doc: Option<String> = self.with(|connection| {
            connection.query_row("SELECT doc FROM request WHERE id=?", [id], |row| row.get(0)).optional()
        })?;
        doc.map(|doc| serde_json::from_str(&doc).map_err(|_| DeskFault::Registers)).transpose()
    }

    /// Requests that have not expired at `now` (milliseconds), newest first.
    pub fn requests(&self, now: i64) -> Result<Vec<Request>, DeskFault> {
        let docs: Vec<String> = self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT doc FROM request WHERE expires>? ORDER BY rowid DESC")?;
            statement.query_map([now], |row| row.get(0))?.collect()
        })?;
        docs.iter().map(|doc| serde_json::from_str(doc).map_err(|_| DeskFault::Registers)).collect()
    }

    fn select(&self, wanted: &str, values: Vec<Column>) -> Result<Vec<Registered>, DeskFault> {
        let rows: Vec<Raw> = self.with(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM entry WHERE {wanted}"))?;
            statement.query_map(params_from_iter(values), Raw::read)?.collect()
        })?;
        rows.into_iter().map(Raw::entry).collect()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, DeskFault> {
        work(&mut self.lock()).map_err(|e| match sqlite_fault("audit", &self.path, &e) {
            StoreFault::Damaged { .. } => DeskFault::Registers,
            fault => DeskFault::Store(fault),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Raw {
    n: i64,
    doc: String,
    place: Option<(String, i64)>,
    done: bool,
}

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (shard, index): (Option<String>, Option<i64>) = (row.get(2)?, row.get(3)?);
        Ok(Self {
            n: row.get(0)?,
            doc: row.get(1)?,
            place: shard.zip(index),
            done: row.get::<_, i64>(4)? != 0,
        })
    }

    fn entry(self) -> Result<Registered, DeskFault> {
        let entry: Entry = serde_json::from_str(&self.doc).map_err(|_| DeskFault::Registers)?;
        Ok(Registered {
            number: self.n,
            entry,
            leaf: self.place.map(|(shard, index)| format!("{shard}/{index}")),
            done: self.done,
            rd: hex::encode(rd_of(self.doc.as_bytes())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Role;

    fn entry(act: Act, by: &str, of: &[u64]) -> Entry {
        Entry {
            act,
            at: 1,
            by: by.into(),
            id: uuid::Uuid::now_v7().to_string(),
            n: of.len() as u64,
            of: of.to_vec(),
            offline: false,
            order: "1".into(),
            purpose: "核查".into(),
            role: Role::Audit,
            shard: Some("2030h1".into()),
            what: serde_json::Value::Null,
            with: None,
        }
    }

    fn at(index: u64) -> Mark {
        Mark { shard: Shard::parse("2030h1").unwrap(), index }
    }

    #[test]
    fn an_entry_counts_once_its_leaf_stands() {
        let dir = tempfile::tempdir().unwrap();
        let registers = Registers::open(dir.path()).unwrap();
        let search = entry(Act::Search, "li", &[]);
        let n = registers.begin(&search, &["m".into()]).unwrap();
        let all = RegisterFilter::default();
        assert_eq!(registers.list(&all, 10).unwrap(), []);
        assert_eq!(registers.unplaced().unwrap().len(), 1);
        registers.placed(n, at(5)).unwrap();
        assert_eq!((registers.unplaced().unwrap().len(), registers.undone().unwrap().len()), (0, 1));
        registers.done(n).unwrap();
        drop(registers);
        let registers = Registers::open(dir.path()).unwrap();
        let [found] = registers.list(&all, 10).unwrap().try_into().unwrap();
        assert_eq!((found.mark(), found.done, &found.entry), (Some(at(5)), true, &search));
        assert_eq!(found.rd, hex::encode(rd_of(&search.to_bytes())));
        assert_eq!(registers.that_sought("m").unwrap(), [found]);
        assert_eq!(registers.that_sought("n").unwrap(), []);
        assert_eq!(registers.last_place(at(0).shard).unwrap(), Some(5));
        let gone = registers.begin(&entry(Act::Open, "li", &[5]), &[]).unwrap();
        registers.forget(gone).unwrap();
        assert_eq!((registers.unplaced().unwrap(), registers.concerning(at(5)).unwrap()), (vec![], vec![]));
    }

    #[test]
    fn entries_are_found_by_act_by_account_by_page_and_by_exchange() {
        let dir = tempfile::tempdir().unwrap();
        let registers = Registers::open(dir.path()).unwrap();
        for (index, (act, by, of)) in
            [(Act::Search, "li", &[][..]), (Act::Open, "li", &[1, 2]), (Act::Restrict, "wang", &[2, 3])]
                .into_iter()
                .enumerate()
        {
            let n = registers.begin(&entry(act, by, of), &[]).unwrap();
            registers.placed(n, at(index as u64)).unwrap();
            assert!(registers.restricted(at(0).shard).unwrap().is_empty());
            registers.done(n).unwrap();
        }
        let list = |filter: RegisterFilter| {
            registers.list(&filter, 2).unwrap().iter().map(|r| r.number).collect::<Vec<_>>()
        };
        assert_eq!(list(RegisterFilter::default()), [3, 2]);
        assert_eq!(list(RegisterFilter { before: Some(2), ..RegisterFilter::default() }), [1]);
        assert_eq!(list(RegisterFilter { act: Some(Act::Open), ..RegisterFilter::default() }), [2]);
        assert_eq!(list(RegisterFilter { by: Some("wang".into()), ..RegisterFilter::default() }), [3]);
        let about = |index| registers.concerning(at(index)).unwrap().len();
        assert_eq!([about(1), about(2), about(3), about(4)], [1, 2, 1, 0]);
        assert_eq!(registers.restricted(at(0).shard).unwrap(), [2, 3].into());
    }
}
