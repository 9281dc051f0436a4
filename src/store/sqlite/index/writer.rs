//! Writing facets: one thread takes in what is new.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rusqlite::Transaction;

use super::Facets;
use super::file::{Form, IndexFile};
use crate::store::StoreFault;

/// `ts` stands in the trees by word so that a search within a time reads rows of that time only.
pub(super) const FORM: Form = Form {
    version: 1,
    schema: "
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
",
};

/// A facet index, open for the one thread that writes it.
pub struct FacetWriter {
    file: IndexFile,
    words: HashMap<String, i64>,
}

impl FacetWriter {
    pub fn open(path: PathBuf) -> Result<Self, StoreFault> {
        Ok(Self { file: IndexFile::open(path, &FORM)?, words: HashMap::new() })
    }

    /// The last index that has been taken in.
    pub fn upto(&self) -> Option<u64> {
        self.file.upto()
    }

    /// Takes in leaves up to `upto`, in order.
    pub fn add(&mut self, leaves: &[Facets<'_>], upto: u64) -> Result<(), StoreFault> {
        let added = self.file.take_in(upto, |transaction| add_facets(transaction, &mut self.words, leaves));
        if added.is_err() {
            // Numbers of words that were rolled back.
            self.words.clear();
        }
        added
    }

    /// Leaves nothing in the WAL, unless a reader stands in the way.
    pub fn rest(&self) -> Result<(), StoreFault> {
        self.file.rest().map(drop)
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
        let open = || FacetWriter::open(path.clone()).unwrap();
        open().add(&[leaf(0), leaf(1)], 1).unwrap();
        open().file.connection().execute("UPDATE upto SET idx=0", []).unwrap();
        assert!(open().add(&[leaf(1)], 1).is_err());
        let mut anew = open();
        assert_eq!(anew.upto(), None);
        anew.add(&[leaf(0), leaf(1)], 1).unwrap();
        let counted = "SELECT n FROM frequency WHERE facet='peer'";
        assert_eq!(anew.file.connection().query_row(counted, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    }
}
