//! The facet index held against the leaves it was derived from, row by row beside the walk over
//! them: the words of each leaf, the blocks where each combination of them stands and when those were
//! stamped, where authorizations and exchanges stand, the hourly sums.
//!
//! Why all of them: a search reads those blocks only where a combination stands that it asks for, and
//! those leaves only that stand under an authorization or an exchange, so a line that is gone hides
//! leaves; and the hourly sums are what the overview draws. In memory are the words and combinations,
//! a page of rows, and one line for each block's combination and each hour's kind of exchange.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::super::leaf::Leaf;
use super::super::search::facets_of;
use super::set_sum::SetSum;
use super::{Finding, FindingKind, MOST_FINDINGS};
use crate::store::sqlite::{
    AUTHORIZATIONS, BLOCK_LEAVES, EXCHANGES, FacetReader, FacetRow, Facets, SqliteShelf, WholeFacets, Words,
    facet_index_path, short_authorization, short_exchange,
};
use crate::store::{Month, Shard, StoreFault};

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

/// The index of one month while its leaves are walked.
pub(super) struct FacetCheck {
    rows: WholeFacets,
    data: PathBuf,
    shard: Shard,
    month: Month,
    origin: String,
    file: String,
    ahead: Option<FacetRow>,
    /// A combination and a block where it stands.
    places: HashSet<(i64, i64)>,
    /// When the first and the last leaf of a block were stamped.
    blocks: HashMap<i64, (i64, i64)>,
    hours: HashMap<(i64, [i64; 4]), [i64; 3]>,
    /// Authorizations and exchanges.
    runs: SetSum,
    /// Where words and combinations are looked up that the index has otherwise.
    numbers: Option<Numbers>,
    /// A leaf could not be read: the sums cannot be told.
    unread: bool,
    broken: bool,
    last: Option<i64>,
    findings: Vec<Finding>,
    /// SQLite's own check, which reads every tree once more.
    integrity: Option<JoinHandle<bool>>,
}

/// The index's numbers by what they stand for.
struct Numbers {
    words: HashMap<String, i64>,
    combos: HashMap<Words, i64>,
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
            data: data.to_owned(),
            shard,
            month,
            origin: origin.to_owned(),
            file,
            ahead,
            places: HashSet::new(),
            blocks: HashMap::new(),
            hours: HashMap::new(),
            runs: SetSum::default(),
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
        let says = facets.words();
        let combo = match row {
            Some(row) if self.is_of(&row, &facets, &says) => Some(row.combo),
            _ => {
                self.at(index.cast_signed());
                self.number(&says)
            }
        };
        self.count(&facets, combo);
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
            && self
                .rows
                .combos()
                .get(&row.combo)
                .is_some_and(|words| words.iter().zip(says).all(|(id, said)| word(id) == Some(said)))
    }

    /// The combination of these words, where the index knows one.
    fn number(&mut self, says: &[&str; 7]) -> Option<i64> {
        let rows = &self.rows;
        let numbers = self.numbers.get_or_insert_with(|| Numbers {
            words: rows.words().iter().map(|(id, text)| (text.clone(), *id)).collect(),
            combos: rows.combos().iter().map(|(id, words)| (*words, *id)).collect(),
        });
        let mut words = [0; 7];
        for (word, said) in words.iter_mut().zip(says) {
            *word = *numbers.words.get(*said)?;
        }
        numbers.combos.get(&words).copied()
    }

    fn count(&mut self, facets: &Facets<'_>, combo: Option<i64>) {
        if let Some(auth) = &facets.auth {
            self.runs.add(AUTHORIZATIONS, &short_authorization(auth), facets.index);
        }
        if !facets.exchange.is_empty() {
            self.runs.add(EXCHANGES, &short_exchange(facets.exchange), facets.index);
        }
        let block = facets.index.cast_signed() / BLOCK_LEAVES;
        let span = self.blocks.entry(block).or_insert((facets.ts, facets.ts));
        *span = (span.0.min(facets.ts), span.1.max(facets.ts));
        // Words that the index does not know: that its row differs is said already.
        let Some((combo, words)) = combo.and_then(|id| Some((id, self.rows.combos().get(&id)?))) else {
            return;
        };
        self.places.insert((combo, block));
        let [kind, peer, op, .., code] = *words;
        let key = (facets.ts.div_euclid(HOUR), [kind, peer, op, code]);
        let [n, ms, slowest] = self.hours.entry(key).or_default();
        *n += 1;
        *ms += i64::from(facets.ms);
        *slowest = (*slowest).max(facets.ms.into());
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
        let (mut places, mut blocks) = (std::mem::take(&mut self.places), std::mem::take(&mut self.blocks));
        let mut hours = std::mem::take(&mut self.hours);
        let combos: HashSet<i64> = places.iter().map(|(combo, _)| *combo).collect();
        let mut lines = Vec::new();
        let mut line = |text: String| {
            if lines.len() < MOST_FINDINGS {
                lines.push(text);
            }
        };
        let unused = self.rows.combos().keys().filter(|id| !combos.contains(id));
        unused.for_each(|id| line(format!("combination {id}")));
        let words: HashSet<&i64> = self.rows.combos().values().flatten().collect();
        let unused = self.rows.words().keys().filter(|id| !words.contains(id));
        unused.for_each(|id| line(format!("word {id}")));
        self.rows.places(|combo, block| {
            if !places.remove(&(combo, block)) {
                line(format!("combination {combo}, block {block}"));
            }
        })?;
        places.into_iter().for_each(|(combo, block)| line(format!("combination {combo}, block {block}")));
        self.rows.blocks(|block, span| {
            if blocks.remove(&block) != Some(span) {
                line(format!("block {block}"));
            }
        })?;
        blocks.into_keys().for_each(|block| line(format!("block {block}")));
        self.rows.hours(|row| {
            if hours.remove(&(row.hour, row.words)) != Some(row.sums) {
                line(hour_name(row.hour, row.words));
            }
        })?;
        hours.into_keys().for_each(|(hour, words)| line(hour_name(hour, words)));
        lines.iter().for_each(|text| self.line(text));
        self.hold_runs()
    }

    /// What a search by authorization or exchange is led to. The authorizations of the rows themselves
    /// have been held against the leaves, as were the exchanges beside those.
    fn hold_runs(&mut self) -> Result<(), StoreFault> {
        let (mut sum, mut misplaced) = (SetSum::default(), Vec::new());
        let well_formed = self.rows.runs(|stored| {
            sum.add(stored.day, &stored.token, stored.index);
            if !stored.in_place && misplaced.len() < MOST_FINDINGS {
                misplaced.push(stored.index);
            }
        })?;
        misplaced.into_iter().for_each(|index| self.at(index.cast_signed()));
        if !well_formed {
            self.line("runs");
        }
        if sum == self.runs {
            return Ok(());
        }
        // How often more in the runs than in the rows.
        let mut balance: BTreeMap<(u64, i64, [u8; 16]), i64> = BTreeMap::new();
        self.rows.runs(|stored| {
            *balance.entry((stored.index, stored.day, stored.token)).or_default() += 1;
        })?;
        self.rows.authorized(|index, auth| {
            *balance.entry((index, AUTHORIZATIONS, short_authorization(&auth))).or_default() -= 1;
        })?;
        let (leaves, upto) =
            (SqliteShelf::of_data_dir(&self.data).month(self.shard, self.month)?, self.rows.upto());
        leaves.exchanges(upto.unwrap_or(-1), |index, exchange| {
            *balance.entry((index, EXCHANGES, short_exchange(exchange))).or_default() -= 1;
        })?;
        let mut differing: Vec<u64> =
            balance.into_iter().filter(|(_, n)| *n != 0).map(|((index, ..), _)| index).collect();
        differing.dedup();
        differing.into_iter().for_each(|index| self.at(index.cast_signed()));
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

fn is_whole(path: PathBuf) -> bool {
    let damage = FacetReader::open(&path).map(|reader| reader.integrity());
    damage.is_some_and(|damage| damage.is_ok_and(|damage| damage.is_empty()))
}
