//! The facet index held against the leaves it was derived from, row by row beside the walk over
//! them: the words of each leaf, how often each word stands there, the hourly sums.
//!
//! Why all three: a search begins with the rarest word, so a frequency that is gone hides every
//! leaf that has the word; and the hourly sums are what the overview draws. In memory are the
//! words, a page of rows, and one line for each word and each hour's kind of exchange.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::super::leaf::Leaf;
use super::super::search::facets_of;
use super::{Finding, FindingKind, MOST_FINDINGS};
use crate::store::sqlite::{FACET_NAMES, FacetReader, FacetRow, Facets, WholeFacets, facet_index_path};
use crate::store::{Month, Shard, StoreFault};

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// The index of one month while its leaves are walked.
pub(super) struct FacetCheck {
    rows: WholeFacets,
    origin: String,
    file: String,
    ahead: Option<FacetRow>,
    /// How often a facet (by its place) has a word.
    counts: HashMap<(usize, i64), i64>,
    hours: HashMap<(i64, [i64; 4]), [i64; 3]>,
    /// Where words are looked up that the index has otherwise.
    numbers: Option<HashMap<String, i64>>,
    /// A leaf could not be read: the sums cannot be told.
    unread: bool,
    broken: bool,
    last: Option<i64>,
    findings: Vec<Finding>,
    /// SQLite's own check, which reads every tree once more.
    integrity: Option<JoinHandle<bool>>,
}

impl FacetCheck {
    /// `None` where the month has no index: a search reads the leaves then.
    pub fn begin(data: &Path, shard: Shard, month: Month, origin: &str) -> Result<Option<Self>, Finding> {
        let path = facet_index_path(data, shard, month);
        let file = super::relative(data, &path);
        let damaged = |_| Finding::new(FindingKind::FileDamaged, file.clone()).of(origin);
        let Some(mut rows) = WholeFacets::open(&path).map_err(damaged)? else { return Ok(None) };
        let ahead = rows.next_row().map_err(damaged)?;
        let integrity = std::thread::Builder::new().name("facets".to_owned()).spawn(move || is_whole(path));
        Ok(Some(Self {
            rows,
            origin: origin.to_owned(),
            file,
            ahead,
            counts: HashMap::new(),
            hours: HashMap::new(),
            numbers: None,
            unread: false,
            broken: false,
            last: None,
            findings: Vec::new(),
            integrity: integrity.ok(),
        }))
    }

    pub fn leaf(&mut self, index: u64, leaf: &Leaf) {
        let row = self.reach(index.cast_signed());
        if self.rows.upto().is_none_or(|upto| index.cast_signed() > upto) {
            // Taken in later. A row that is there all the same is ahead of what the index says.
            return row.map_or((), |row| self.at(row.index));
        }
        let leaf = leaf.glance();
        let facets = facets_of(index, &leaf);
        let says = words_of(&facets);
        let words = match row {
            Some(row) if self.is_of(&row, &facets, &says) => row.words.map(Some),
            _ => {
                self.at(index.cast_signed());
                says.map(|word| self.number(word))
            }
        };
        self.count(&facets, words);
    }

    /// Nothing is said about the row of a leaf that cannot be read.
    pub fn unread(&mut self, index: u64) {
        self.unread = true;
        let _ = self.reach(index.cast_signed());
    }

    /// The row of `index`; those before it are of no leaf.
    fn reach(&mut self, index: i64) -> Option<FacetRow> {
        self.last = Some(index);
        while let Some(row) = self.ahead.take_if(|row| row.index <= index) {
            self.ahead = self.rows.next_row().unwrap_or_else(|_| {
                self.broken = true;
                None
            });
            if row.index == index {
                return Some(row);
            }
            self.at(row.index);
        }
        None
    }

    fn is_of(&self, row: &FacetRow, facets: &Facets<'_>, says: &[&str; 7]) -> bool {
        let word = |id: &i64| self.rows.words().get(id).map(String::as_str);
        row.ts == facets.ts
            && row.auth.as_deref() == facets.auth.as_ref().map(<[u8; 32]>::as_slice)
            && row.words.iter().zip(says).all(|(id, said)| word(id) == Some(said))
    }

    fn number(&mut self, word: &str) -> Option<i64> {
        let words = self.rows.words();
        let numbers =
            self.numbers.get_or_insert_with(|| words.iter().map(|(id, text)| (text.clone(), *id)).collect());
        numbers.get(word).copied()
    }

    fn count(&mut self, facets: &Facets<'_>, words: [Option<i64>; 7]) {
        for (place, word) in words.iter().enumerate() {
            if let Some(word) = word {
                *self.counts.entry((place, *word)).or_default() += 1;
            }
        }
        // A word that the index does not know: that its row differs is said already.
        if let [Some(kind), Some(peer), Some(op), _, _, _, Some(code)] = words {
            let key = (facets.ts.div_euclid(HOUR), [kind, peer, op, code]);
            let [n, ms, slowest] = self.hours.entry(key).or_default();
            *n += 1;
            *ms += i64::from(facets.ms);
            *slowest = (*slowest).max(facets.ms.into());
        }
    }

    /// What the index says otherwise than the leaves.
    pub fn end(mut self) -> Vec<Finding> {
        let behind = self.last.unwrap_or(-1);
        if self.rows.upto().is_some_and(|upto| upto > behind) {
            self.line("upto");
        }
        while let Some(row) = self.ahead.take() {
            self.at(row.index);
            match self.rows.next_row() {
                Ok(next) => self.ahead = next,
                Err(_) => self.broken = true,
            }
        }
        if !self.unread && self.sums().is_err() {
            self.broken = true;
        }
        let whole = self.integrity.take().is_none_or(|thread| thread.join().unwrap_or(false));
        if self.broken || !whole {
            self.findings.push(Finding::new(FindingKind::FileDamaged, self.file).of(&self.origin));
        }
        self.findings
    }

    fn sums(&mut self) -> Result<(), StoreFault> {
        let used: HashSet<i64> = self.counts.keys().map(|(_, word)| *word).collect();
        let (mut counts, mut hours) = (std::mem::take(&mut self.counts), std::mem::take(&mut self.hours));
        let mut lines = Vec::new();
        let mut line = |text: String| {
            if lines.len() < MOST_FINDINGS {
                lines.push(text);
            }
        };
        let unused = self.rows.words().keys().filter(|id| !used.contains(id));
        unused.for_each(|id| line(format!("word {id}")));
        self.rows.frequencies(|facet, word, n| {
            let place = FACET_NAMES.iter().position(|name| *name == facet);
            if place.and_then(|place| counts.remove(&(place, word))) != Some(n) {
                line(format!("frequency of {}, word {word}", place.map_or("?", |_| facet)));
            }
        })?;
        for (place, word) in counts.into_keys() {
            let facet = FACET_NAMES.get(place).copied().unwrap_or_default();
            line(format!("frequency of {facet}, word {word}"));
        }
        self.rows.hours(|row| {
            if hours.remove(&(row.hour, row.words)) != Some(row.sums) {
                line(hour_name(row.hour, row.words));
            }
        })?;
        hours.into_keys().for_each(|(hour, words)| line(hour_name(hour, words)));
        lines.iter().for_each(|text| self.line(text));
        Ok(())
    }

    fn at(&mut self, index: i64) {
        let finding = Finding::new(FindingKind::FacetIndexChanged, self.file.clone());
        self.found(match u64::try_from(index) {
            Ok(index) => finding.at(&self.origin, index),
            Err(_) => finding.of(&self.origin),
        });
    }

    /// A line of the sums, by its numbers: the words there may be anybody's.
    fn line(&mut self, name: &str) {
        let finding = Finding::new(FindingKind::FacetIndexChanged, self.file.clone()).of(&self.origin);
        self.found(finding.saying(&format!(": {name}"), &format!("：{name}")));
    }

    fn found(&mut self, finding: Finding) {
        if self.findings.len() < MOST_FINDINGS * 10 {
            self.findings.push(finding);
        }
    }
}

fn hour_name(hour: i64, [kind, peer, op, code]: [i64; 4]) -> String {
    format!("hour {hour}, words {kind} {peer} {op} {code}")
}

/// In the order of [`FACET_NAMES`].
fn words_of<'a>(facets: &Facets<'a>) -> [&'a str; 7] {
    [facets.kind, facets.peer, facets.op, facets.item, facets.lt, facets.dec, facets.code]
}

fn is_whole(path: PathBuf) -> bool {
    let damage = FacetReader::open(&path).map(|reader| reader.integrity());
    damage.is_some_and(|damage| damage.is_ok_and(|damage| damage.is_empty()))
}
