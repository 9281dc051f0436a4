//! Are the registers what the ledger says they are? Every entry of `audit.db` against the leaf
//! that its act left, and every such leaf against its entry.
//!
//! Promises: an entry that was altered, taken out or put in is found and named by its number and
//! its leaf, from files alone and beside a running gateway. Believes the leaves: that those are
//! what was signed is [`crate::ledger::verify`]'s to say. What cannot be told from a leaf (the
//! pseudonyms of whom a search was for) is not checked.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::DeskFault;
use super::entry::{Act, Entry, rd_of};
use crate::ledger::{Leaf, LeafKind, Shard};
use crate::store::Shelf as _;
use crate::store::sqlite::{SqliteShelf, open_reader, sqlite_fault};

/// Findings that are told one by one; the rest are counted.
const MOST_FINDINGS: usize = 100;

/// Leaves of an auditor's acts (protocol H-1).
const ACTS: [LeafKind; 4] = [LeafKind::Search, LeafKind::Open, LeafKind::Export, LeafKind::Erase];

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterFault {
    /// It says something else than its leaf was bound to, or its columns than its words.
    Altered,
    /// A leaf of an act has no entry.
    Deleted,
    /// No leaf is bound to it.
    Inserted,
}

/// One entry that is not as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RegisterFinding {
    pub kind: RegisterFault,
    /// The entry's number, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// `2026h2/4711`: its leaf, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// Which part of the entry.
    pub part: &'static str,
}

impl RegisterFinding {
    pub fn message(&self) -> String {
        let (number, leaf) = (self.numbered(), self.leaf.as_deref().unwrap_or("–"));
        match self.kind {
            RegisterFault::Altered => {
                format!("register entry {number} was altered ({}); its leaf is {leaf}", self.part)
            }
            RegisterFault::Deleted => format!("the register entry of leaf {leaf} is missing"),
            RegisterFault::Inserted => format!("register entry {number} has no leaf"),
        }
    }

    pub fn message_zh(&self) -> String {
        let (number, leaf) = (self.numbered(), self.leaf.as_deref().unwrap_or("–"));
        match self.kind {
            RegisterFault::Altered => format!("第 {number} 号登记被改动({}),对应记录 {leaf}", self.part),
            RegisterFault::Deleted => format!("记录 {leaf} 的登记缺失"),
            RegisterFault::Inserted => format!("第 {number} 号登记没有对应的账本记录"),
        }
    }

    fn numbered(&self) -> String {
        self.number.map_or_else(|| "–".to_owned(), |number| number.to_string())
    }
}

/// What the comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RegistersBound {
    pub sound: bool,
    pub entries: u64,
    /// Leaves of auditors' acts.
    pub leaves: u64,
    /// Entries of acts that are under way, or were when a run crashed.
    pub under_way: u64,
    pub findings: Vec<RegisterFinding>,
    /// Findings beyond those.
    pub more: u64,
}

/// Holds the registers of a data directory against its ledger. Reads files: call it where
/// blocking is allowed.
pub fn registers_bound(data: &Path) -> Result<RegistersBound, DeskFault> {
    let shelf = SqliteShelf::of_data_dir(data);
    // An entry stands before its leaf does: leaves that are read first have theirs by now, and
    // entries have none but leaves that are read afterwards.
    let before = leaves(&shelf)?;
    let rows = rows(data)?;
    let after = leaves(&shelf)?;
    let mut comparing =
        Comparing { leaves: after, claimed: BTreeSet::new(), found: BTreeSet::new(), under_way: 0 };
    let (bound, odd): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| comparing.is_bound(row));
    odd.iter().for_each(|row| comparing.explain(row));
    let missing = before.keys().filter(|place| !comparing.claimed.contains(place)).map(|(shard, index)| {
        RegisterFinding {
            kind: RegisterFault::Deleted,
            number: None,
            leaf: Some(format!("{shard}/{index}")),
            part: "entry",
        }
    });
    let found: BTreeSet<RegisterFinding> = missing.chain(comparing.found.iter().cloned()).collect();
    Ok(RegistersBound {
        sound: found.is_empty(),
        entries: (bound.len() + odd.len()) as u64,
        leaves: before.len() as u64,
        under_way: comparing.under_way,
        more: found.len().saturating_sub(MOST_FINDINGS) as u64,
        findings: found.into_iter().take(MOST_FINDINGS).collect(),
    })
}

/// Leaves of auditors' acts by their places, with the `rd` that binds them.
type Leaves = BTreeMap<(Shard, u64), [u8; 32]>;

fn leaves(shelf: &SqliteShelf) -> Result<Leaves, DeskFault> {
    let mut leaves = Leaves::new();
    for shard in shelf.shards()? {
        for kind in ACTS {
            for stored in shelf.of_kind(shard, kind.name())? {
                let act = Leaf::from_bytes(&stored.leaf).filter(|leaf| leaf.by.is_some());
                if let Some(rd) = act.and_then(|leaf| leaf.rd) {
                    leaves.insert((shard, stored.index), rd.0);
                }
            }
        }
    }
    Ok(leaves)
}

struct Comparing {
    leaves: Leaves,
    /// Leaves that an entry belongs to.
    claimed: BTreeSet<(Shard, u64)>,
    found: BTreeSet<RegisterFinding>,
    under_way: u64,
}

impl Comparing {
    /// Does the leaf at the entry's place name its words, and no other entry that leaf?
    fn is_bound(&mut self, row: &Row) -> bool {
        let rd = row.rd_of_words();
        let Some(place) = row.place.filter(|place| self.leaves.get(place) == Some(&rd)) else { return false };
        if !self.claimed.insert(place) {
            return false;
        }
        if let Some(part) = row.unlike_itself(&rd) {
            self.tell(RegisterFault::Altered, row, part, Some(place));
        }
        true
    }

    /// What happened to an entry that is not bound.
    fn explain(&mut self, row: &Row) {
        let rd = row.rd_of_words();
        let free = |place: &(Shard, u64)| !self.claimed.contains(place);
        let elsewhere = self.leaves.iter().find(|(place, of)| **of == rd && free(place)).map(|(at, _)| *at);
        let here = row.place.filter(|place| self.leaves.contains_key(place) && free(place));
        // Before its leaf, or between its leaf and the note of its place; also after a crash there.
        let under_way = row.place.is_none() && !row.misplaced && !row.done;
        self.claimed.extend(elsewhere.or(here));
        match (elsewhere, here) {
            _ if under_way => self.under_way += 1,
            (Some(place), _) => self.tell(RegisterFault::Altered, row, "place", Some(place)),
            (None, Some(place)) => self.tell(RegisterFault::Altered, row, "words", Some(place)),
            (None, None) => self.tell(RegisterFault::Inserted, row, "entry", None),
        }
    }

    fn tell(&mut self, kind: RegisterFault, row: &Row, part: &'static str, place: Option<(Shard, u64)>) {
        let leaf = place.map(|(shard, index)| format!("{shard}/{index}"));
        self.found.insert(RegisterFinding { kind, number: Some(row.n), leaf, part });
    }
}

/// A row as it lies in the file.
struct Row {
    n: i64,
    at: i64,
    act: String,
    who: String,
    rd: Vec<u8>,
    doc: String,
    place: Option<(Shard, u64)>,
    /// It names a place that cannot be one.
    misplaced: bool,
    done: bool,
    concerns: BTreeSet<(String, u64)>,
    restricted: BTreeSet<(String, u64)>,
}

impl Row {
    fn rd_of_words(&self) -> [u8; 32] {
        rd_of(self.doc.as_bytes())
    }

    /// What beside the entry's words does not follow from them.
    fn unlike_itself(&self, rd: &[u8; 32]) -> Option<&'static str> {
        let Ok(entry) = serde_json::from_str::<Entry>(&self.doc) else { return Some("words") };
        let shard = entry.shard.clone().unwrap_or_default();
        let of: BTreeSet<(String, u64)> = entry.of.iter().map(|index| (shard.clone(), *index)).collect();
        let restricted = entry.act == Act::Restrict && self.done;
        // Another entry may have restricted the same before: none of these may be foreign.
        let restricts = if restricted { self.restricted.is_subset(&of) } else { self.restricted.is_empty() };
        let parts = [
            ("rd", self.rd == rd),
            ("at", self.at == entry.at),
            ("act", self.act == entry.act.word()),
            ("by", self.who == entry.by),
            ("of", self.concerns == of),
            ("restricted", restricts),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part)
    }
}

/// All rows, in one moment of the file; none where nobody ever acted.
fn rows(data: &Path) -> Result<Vec<Row>, DeskFault> {
    let path = data.join("audit.db");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let connection = open_reader(&path)?;
    read(&connection).map_err(|e| DeskFault::Store(sqlite_fault("audit", &path, &e)))
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let moment = connection.unchecked_transaction()?;
    let places = |table: &str| {
        let mut statement = moment.prepare(&format!("SELECT n, shard, idx FROM {table}"))?;
        let mut by_entry: BTreeMap<i64, BTreeSet<(String, u64)>> = BTreeMap::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            by_entry
                .entry(row.get(0)?)
                .or_default()
                .insert((row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs()));
        }
        Ok::<_, rusqlite::Error>(by_entry)
    };
    let (mut concerns, mut restricted) = (places("concerns")?, places("restricted")?);
    let mut statement =
        moment.prepare("SELECT n, at, act, who, rd, doc, shard, idx, done FROM entry ORDER BY n")?;
    let rows = statement.query_map([], |row| {
        let n = row.get(0)?;
        let (shard, index): (Option<String>, Option<i64>) = (row.get(6)?, row.get(7)?);
        let named = shard.is_some() || index.is_some();
        let place = shard.and_then(|name| Shard::parse(&name)).zip(index.and_then(|i| u64::try_from(i).ok()));
        Ok(Row {
            n,
            at: row.get(1)?,
            act: row.get(2)?,
            who: row.get(3)?,
            rd: row.get(4)?,
            doc: row.get(5)?,
            misplaced: named && place.is_none(),
            place,
            done: row.get::<_, i64>(8)? != 0,
            concerns: concerns.remove(&n).unwrap_or_default(),
            restricted: restricted.remove(&n).unwrap_or_default(),
        })
    })?;
    rows.collect()
}
