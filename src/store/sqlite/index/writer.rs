//! Writing facets: one thread takes in what is new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use rusqlite::Connection;

use super::file::{Form, IndexFile, UPTO};
use super::runs::{self, RUNS};
use super::{AUTHORIZATIONS, BLOCK_LEAVES, EXCHANGES, Facets, Words, short_authorization, short_exchange};
use crate::store::StoreFault;

/// `combo` is the words of a leaf together, `place` in which blocks of leaves each of them stands,
/// `block` when those were stamped; the runs hold authorizations and exchanges.
pub(super) const FORM: Form = Form {
    version: 3,
    schema: &[
        UPTO,
        RUNS,
        "
CREATE TABLE word(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE combo(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, peer INTEGER NOT NULL, op INTEGER NOT NULL,
  item INTEGER NOT NULL, lt INTEGER NOT NULL, dec INTEGER NOT NULL, code INTEGER NOT NULL,
  UNIQUE(kind, peer, op, item, lt, dec, code)) STRICT;
CREATE TABLE facet(idx INTEGER PRIMARY KEY, ts INTEGER NOT NULL, combo INTEGER NOT NULL, auth BLOB) STRICT;
CREATE TABLE place(combo INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY(combo, block)) WITHOUT ROWID, STRICT;
CREATE TABLE block(id INTEGER PRIMARY KEY, from_ts INTEGER NOT NULL, to_ts INTEGER NOT NULL) STRICT;
CREATE TABLE hourly(hour INTEGER NOT NULL, kind INTEGER NOT NULL, peer INTEGER NOT NULL, op INTEGER NOT NULL,
  code INTEGER NOT NULL, n INTEGER NOT NULL, ms INTEGER NOT NULL, slowest INTEGER NOT NULL,
  PRIMARY KEY(hour, kind, peer, op, code)) WITHOUT ROWID, STRICT;
",
    ],
};

/// A facet index, open for the one thread that writes it.
pub struct FacetWriter {
    file: IndexFile,
    known: Known,
}

/// Numbers that were given to words, and to combinations of them.
#[derive(Default)]
struct Known {
    words: HashMap<String, i64>,
    combos: HashMap<Words, i64>,
}

impl FacetWriter {
    pub fn open(path: PathBuf) -> Result<Self, StoreFault> {
        Ok(Self { file: IndexFile::open(path, &FORM)?, known: Known::default() })
    }

    /// The last index that has been taken in.
    pub fn upto(&self) -> Option<u64> {
        self.file.upto()
    }

    /// Takes in leaves up to `upto`, in order.
    pub fn add(&mut self, leaves: &[Facets<'_>], upto: u64) -> Result<(), StoreFault> {
        let added = self.file.take_in(upto, |transaction| add_facets(transaction, &mut self.known, leaves));
        if added.is_err() {
            // Numbers that were rolled back.
            self.known = Known::default();
        }
        added
    }

    /// When the leaves `from..=to` that it has taken in were stamped, in their order, milliseconds.
    pub fn times(&self, from: u64, to: u64) -> Result<Vec<(u64, i64)>, StoreFault> {
        self.file.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT idx, ts FROM facet WHERE idx>=? AND idx<=? ORDER BY idx")?;
            let rows = statement.query_map((from.cast_signed(), to.cast_signed()), |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))
            })?;
            rows.collect()
        })
    }

    /// Leaves nothing in the WAL, unless a reader stands in the way.
    pub fn rest(&self) -> Result<(), StoreFault> {
        self.file.rest().map(drop)
    }
}

impl Known {
    fn word(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.words.get(text) {
            return Ok(*id);
        }
        connection.prepare_cached("INSERT OR IGNORE INTO word(text) VALUES(?)")?.execute([text])?;
        let id = connection
            .prepare_cached("SELECT id FROM word WHERE text=?")?
            .query_row([text], |row| row.get(0))?;
        self.words.insert(text.to_owned(), id);
        Ok(id)
    }

    fn combo(&mut self, connection: &Connection, words: Words) -> rusqlite::Result<i64> {
        if let Some(id) = self.combos.get(&words) {
            return Ok(*id);
        }
        let insert =
            "INSERT OR IGNORE INTO combo(kind, peer, op, item, lt, dec, code) VALUES(?, ?, ?, ?, ?, ?, ?)";
        connection.prepare_cached(insert)?.execute(words)?;
        let id = connection
            .prepare_cached(
                "SELECT id FROM combo WHERE kind=? AND peer=? AND op=? AND item=? AND lt=? AND dec=? AND code=?",
            )?
            .query_row(words, |row| row.get(0))?;
        self.combos.insert(words, id);
        Ok(id)
    }
}

/// Hour, kind, peer, op, code; and how many, milliseconds in all, the slowest.
type HourKey = (i64, i64, i64, i64, i64);
type HourSum = (i64, i64, i64);

fn add_facets(connection: &Connection, known: &mut Known, leaves: &[Facets<'_>]) -> rusqlite::Result<()> {
    let mut places: BTreeSet<(i64, i64)> = BTreeSet::new();
    let mut blocks: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut hourly: BTreeMap<HourKey, HourSum> = BTreeMap::new();
    let (mut authorizations, mut exchanges) = (Vec::new(), Vec::new());
    // Not "or replace": a row that is there already means that the index says less than it holds.
    let mut insert =
        connection.prepare_cached("INSERT INTO facet(idx, ts, combo, auth) VALUES(?, ?, ?, ?)")?;
    for leaf in leaves {
        let mut words = [0; 7];
        for (word, text) in words.iter_mut().zip(leaf.words()) {
            *word = known.word(connection, text)?;
        }
        let combo = known.combo(connection, words)?;
        let index = leaf.index.cast_signed();
        insert.execute((index, leaf.ts, combo, leaf.auth))?;
        let block = index / BLOCK_LEAVES;
        places.insert((combo, block));
        let span = blocks.entry(block).or_insert((leaf.ts, leaf.ts));
        *span = (span.0.min(leaf.ts), span.1.max(leaf.ts));
        authorizations.extend(leaf.auth.map(|auth| runs::entry_of(&short_authorization(&auth), leaf.index)));
        if !leaf.exchange.is_empty() {
            exchanges.push(runs::entry_of(&short_exchange(leaf.exchange), leaf.index));
        }
        let [kind, peer, op, .., code] = words;
        let sum = hourly.entry((leaf.ts.div_euclid(3_600_000), kind, peer, op, code)).or_default();
        let ms = i64::from(leaf.ms);
        *sum = (sum.0 + 1, sum.1 + ms, sum.2.max(ms));
    }
    let mut place = connection.prepare_cached("INSERT OR IGNORE INTO place(combo, block) VALUES(?, ?)")?;
    for combo_and_block in places {
        place.execute(combo_and_block)?;
    }
    let mut block = connection.prepare_cached(
        "INSERT INTO block(id, from_ts, to_ts) VALUES(?1, ?2, ?3) \
         ON CONFLICT(id) DO UPDATE SET from_ts=min(from_ts, ?2), to_ts=max(to_ts, ?3)",
    )?;
    for (id, (from, to)) in blocks {
        block.execute((id, from, to))?;
    }
    let mut sum = connection.prepare_cached(
        "INSERT INTO hourly(hour, kind, peer, op, code, n, ms, slowest) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT(hour, kind, peer, op, code) DO UPDATE SET n=n+?6, ms=ms+?7, slowest=max(slowest, ?8)",
    )?;
    for ((hour, kind, peer, op, code), (n, ms, slowest)) in hourly {
        sum.execute((hour, kind, peer, op, code, n, ms, slowest))?;
    }
    for (day, mut entries) in [(AUTHORIZATIONS, authorizations), (EXCHANGES, exchanges)] {
        if !entries.is_empty() {
            entries.sort_unstable();
            runs::take_in(connection, day, entries)?;
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
            exchange: "",
            ms: 1,
        };
        let open = || FacetWriter::open(path.clone()).unwrap();
        open().add(&[leaf(0), leaf(1)], 1).unwrap();
        open().file.connection().execute("UPDATE upto SET idx=0", []).unwrap();
        assert!(open().add(&[leaf(1)], 1).is_err());
        let mut anew = open();
        assert_eq!(anew.upto(), None);
        anew.add(&[leaf(0), leaf(1)], 1).unwrap();
        let counted = "SELECT sum(n) FROM hourly";
        assert_eq!(anew.file.connection().query_row(counted, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    }
}
