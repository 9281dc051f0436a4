//! The index's writing hand: one thread takes in what is new and what must be forgotten.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior};

use super::super::{BUSY_WAIT, file_fault, rest, sqlite_fault};
use super::Facets;
use crate::store::StoreFault;

/// `ts` stands in the trees by word so that a search within a time reads rows of that time only.
const FACETS: &str = "
CREATE TABLE upto(one INTEGER PRIMARY KEY CHECK(one=1), idx INTEGER NOT NULL) STRICT;
CREATE TABLE word(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE facet(idx INTEGER PRIMARY KEY, ts INTEGER NOT NULL, kind INTEGER NOT NULL, peer INTEGER NOT NULL,
  op INTEGER NOT NULL, item INTEGER NOT NULL, lt INTEGER NOT NULL, dec INTEGER NOT NULL, code INTEGER NOT NULL,
  auth BLOB) STRICT;
CREATE INDEX facet_kind ON facet(kind, idx, ts);
CREATE INDEX facet_peer ON facet(peer, idx, ts);
CREATE INDEX facet_op ON facet(op, idx, ts);
CREATE INDEX facet_item ON facet(item, idx, ts);
CREATE INDEX facet_lt ON facet(lt, idx, ts);
CREATE INDEX facet_dec ON facet(dec, idx, ts);
CREATE INDEX facet_code ON facet(code, idx, ts);
CREATE INDEX facet_auth ON facet(auth) WHERE auth IS NOT NULL;
CREATE TABLE frequency(facet TEXT NOT NULL, word INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(facet, word)) WITHOUT ROWID, STRICT;
CREATE TABLE hourly(hour INTEGER NOT NULL, kind INTEGER NOT NULL, peer INTEGER NOT NULL, op INTEGER NOT NULL,
  code INTEGER NOT NULL, n INTEGER NOT NULL, ms INTEGER NOT NULL, slowest INTEGER NOT NULL,
  PRIMARY KEY(hour, kind, peer, op, code)) WITHOUT ROWID, STRICT;
";

const TOKENS: &str = "
CREATE TABLE upto(one INTEGER PRIMARY KEY CHECK(one=1), idx INTEGER NOT NULL) STRICT;
CREATE TABLE tok(day INTEGER NOT NULL, tok BLOB NOT NULL, idx INTEGER NOT NULL,
  PRIMARY KEY(day, tok, idx)) WITHOUT ROWID, STRICT;
";

/// `PRAGMA cache_size` of the indexing hand, KiB: the right edges of its trees, some hundred pages.
const CACHE_KIB: i64 = 4 << 10;

/// An index of either kind, open for the one thread that writes it.
pub struct IndexWriter {
    path: PathBuf,
    connection: Connection,
    upto: Option<u64>,
    words: HashMap<String, i64>,
}

impl IndexWriter {
    pub fn facets(path: PathBuf) -> Result<Self, StoreFault> {
        Self::open(path, FACETS)
    }

    pub fn tokens(path: PathBuf) -> Result<Self, StoreFault> {
        Self::open(path, TOKENS)
    }

    /// A file that is damaged is made anew.
    fn open(path: PathBuf, schema: &str) -> Result<Self, StoreFault> {
        match Self::connect(&path, schema) {
            Ok(open) => Ok(open),
            Err(StoreFault::Damaged { .. }) => {
                remove_index(&path)?;
                Self::connect(&path, schema)
            }
            Err(other) => Err(other),
        }
    }

    fn connect(path: &Path, schema: &str) -> Result<Self, StoreFault> {
        let connect = || -> rusqlite::Result<(Connection, Option<i64>)> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_WAIT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A stop may cost the last of it: it is made again.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "secure_delete", true)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            if connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))? == 0 {
                connection
                    .execute_batch(&format!("BEGIN IMMEDIATE; {schema} PRAGMA user_version=1; COMMIT;"))?;
            }
            let upto = connection.query_row("SELECT idx FROM upto", [], |row| row.get(0)).optional()?;
            Ok((connection, upto))
        };
        let (connection, upto) = connect().map_err(|e| sqlite_fault("open", path, &e))?;
        let (path, upto) = (path.to_owned(), upto.map(i64::unsigned_abs));
        Ok(Self { path, connection, upto, words: HashMap::new() })
    }

    /// The last index that has been taken in.
    pub fn upto(&self) -> Option<u64> {
        self.upto
    }

    fn write(
        &mut self,
        upto: u64,
        act: impl FnOnce(&Transaction<'_>, &mut HashMap<String, i64>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreFault> {
        let write = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            act(&transaction, &mut self.words)?;
            transaction
                .execute("INSERT OR REPLACE INTO upto(one, idx) VALUES(1, ?)", [upto.cast_signed()])?;
            transaction.commit()
        };
        write().map_err(|e| {
            // Numbers of words that were rolled back.
            self.words.clear();
            if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
                // It holds what it says it has not taken in: it is made anew.
                let _ = remove_index(&self.path);
            }
            sqlite_fault("index", &self.path, &e)
        })?;
        self.upto = Some(upto);
        Ok(())
    }

    /// Takes in leaves up to `upto`, in order.
    pub fn add_facets(&mut self, leaves: &[Facets<'_>], upto: u64) -> Result<(), StoreFault> {
        self.write(upto, |transaction, words| add_facets(transaction, words, leaves))
    }

    /// Takes in tokens up to `upto`: day, token, index.
    pub fn add_tokens(&mut self, tokens: &mut [(i64, [u8; 16], u64)], upto: u64) -> Result<(), StoreFault> {
        // In the order of the tree: neighbours share a page.
        tokens.sort_unstable();
        self.write(upto, |transaction, _| {
            let mut insert =
                transaction.prepare_cached("INSERT OR IGNORE INTO tok(day, tok, idx) VALUES(?, ?, ?)")?;
            for (day, token, index) in tokens {
                insert.execute((*day, *token, index.cast_signed()))?;
            }
            Ok(())
        })
    }

    /// Leaves nothing in the WAL, unless a reader stands in the way.
    pub fn rest(&self) -> Result<(), StoreFault> {
        rest::checkpoint(&self.connection, &self.path).map(drop)
    }

    /// Tokens of these leaves leave the index and its WAL.
    pub fn forget(&mut self, of: &[u64]) -> Result<(), StoreFault> {
        let mut forget = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch("CREATE TEMP TABLE IF NOT EXISTS gone(idx INTEGER PRIMARY KEY)")?;
            {
                let mut insert = transaction.prepare("INSERT OR IGNORE INTO gone(idx) VALUES(?)")?;
                for index in of {
                    insert.execute([index.cast_signed()])?;
                }
            }
            transaction.execute("DELETE FROM tok WHERE idx IN (SELECT idx FROM gone)", [])?;
            transaction.execute("DELETE FROM gone", [])?;
            transaction.commit()
        };
        forget().map_err(|e| sqlite_fault("index", &self.path, &e))?;
        match rest::checkpoint(&self.connection, &self.path)? {
            true => Ok(()),
            // A reader stands in the way: they can still be read in the WAL.
            false => Err(StoreFault::Locked),
        }
    }
}

/// Hour, kind, peer, op, code; and how many, milliseconds in all, the slowest.
type HourKey = (i64, i64, i64, i64, i64);
type HourSum = (i64, i64, i64);

fn add_facets(
    transaction: &Transaction<'_>,
    words: &mut HashMap<String, i64>,
    leaves: &[Facets<'_>],
) -> rusqlite::Result<()> {
    let mut number = |text: &str| -> rusqlite::Result<i64> {
        if let Some(id) = words.get(text) {
            return Ok(*id);
        }
        transaction.prepare_cached("INSERT OR IGNORE INTO word(text) VALUES(?)")?.execute([text])?;
        let id = transaction
            .prepare_cached("SELECT id FROM word WHERE text=?")?
            .query_row([text], |row| row.get(0))?;
        words.insert(text.to_owned(), id);
        Ok(id)
    };
    let mut frequency: HashMap<(&'static str, i64), i64> = HashMap::new();
    let mut hourly: BTreeMap<HourKey, HourSum> = BTreeMap::new();
    // Not "or replace", which keeps a journal of every statement where there are indexes.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO facet(idx, ts, kind, peer, op, item, lt, dec, code, auth) \
         VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for leaf in leaves {
        let (kind, peer, op) = (number(leaf.kind)?, number(leaf.peer)?, number(leaf.op)?);
        let (item, lt) = (number(leaf.item)?, number(leaf.lt)?);
        let (dec, code) = (number(leaf.dec)?, number(leaf.code)?);
        let index = leaf.index.cast_signed();
        insert.execute((index, leaf.ts, kind, peer, op, item, lt, dec, code, leaf.auth))?;
        let named = [
            ("kind", kind),
            ("peer", peer),
            ("op", op),
            ("item", item),
            ("lt", lt),
            ("dec", dec),
            ("code", code),
        ];
        for word in named {
            *frequency.entry(word).or_default() += 1;
        }
        let sum = hourly.entry((leaf.ts.div_euclid(3_600_000), kind, peer, op, code)).or_default();
        let ms = i64::from(leaf.ms);
        *sum = (sum.0 + 1, sum.1 + ms, sum.2.max(ms));
    }
    let mut count = transaction.prepare_cached(
        "INSERT INTO frequency(facet, word, n) VALUES(?1, ?2, ?3) \
         ON CONFLICT(facet, word) DO UPDATE SET n=n+?3",
    )?;
    for ((facet, word), n) in frequency {
        count.execute((facet, word, n))?;
    }
    let mut sum = transaction.prepare_cached(
        "INSERT INTO hourly(hour, kind, peer, op, code, n, ms, slowest) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT(hour, kind, peer, op, code) DO UPDATE SET n=n+?6, ms=ms+?7, slowest=max(slowest, ?8)",
    )?;
    for ((hour, kind, peer, op, code), (n, ms, slowest)) in hourly {
        sum.execute((hour, kind, peer, op, code, n, ms, slowest))?;
    }
    Ok(())
}

/// Takes an index away, with what SQLite leaves beside it.
pub fn remove_index(path: &Path) -> Result<(), StoreFault> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(file_fault(path, &e)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_holds_more_than_it_says_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facets.db");
        let leaf = |index| Facets {
            index,
            ts: 0,
            kind: "in",
            peer: "331083",
            op: "ping",
            item: "",
            lt: "",
            dec: "permit",
            code: "",
            auth: None,
            ms: 1,
        };
        let open = || IndexWriter::facets(path.clone()).unwrap();
        open().add_facets(&[leaf(0), leaf(1)], 1).unwrap();
        open().connection.execute("UPDATE upto SET idx=0", []).unwrap();
        assert!(open().add_facets(&[leaf(1)], 1).is_err());
        let mut anew = open();
        assert_eq!(anew.upto(), None);
        anew.add_facets(&[leaf(0), leaf(1)], 1).unwrap();
        let counted = "SELECT n FROM frequency WHERE facet='peer'";
        assert_eq!(anew.connection.query_row(counted, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    }
}
