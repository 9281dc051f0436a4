//! The finder: tokens and facets lead to places, and the leaf there decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::evidence::{SearchKeys, Subject, SubjectKey, TOKEN_RECORD_BYTES, day_number};
use super::super::leaf::Leaf;
use super::{About, FoundLeaf, FoundPage, Hourly, LARGEST_PAGE, SearchFault, Wanted};
use crate::clock::Now;
use crate::store::sqlite::{
    FacetQuery, FacetReader, MonthFile, SqliteShelf, TokenReader, Vaults, facet_index_path, token_index_path,
};
use crate::store::{Mark, Month, RetentionClass, Shard, Shelf as _, StoreFault};

/// Leaves read at once where the index does not reach.
const AT_ONCE: usize = 1024;
pub(super) const DAY_MS: i64 = 86_400_000;

/// Finds leaves in a data directory, beside its gateway or on a copy. Reads files: call it
/// where blocking is allowed.
pub struct Finder {
    data: PathBuf,
    shelf: SqliteShelf,
    vaults: Vaults,
    keys: SearchKeys,
}

impl Finder {
    pub fn of_data_dir(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            shelf: SqliteShelf::of_data_dir(data),
            vaults: Vaults::of_data_dir(data),
            keys: SearchKeys::of_data_dir(data),
        }
    }

    pub fn find(&self, wanted: &Wanted) -> Result<FoundPage, SearchFault> {
        let most = wanted.most.clamp(1, LARGEST_PAGE);
        // One more tells whether there is a next page.
        let mut page = Page { leaves: Vec::new(), most: most + 1 };
        for shard in self.shelf.shards()?.into_iter().rev() {
            if wanted.before.is_some_and(|before| before.shard < shard) {
                continue;
            }
            let before = wanted.before.filter(|before| before.shard == shard).map_or(u64::MAX, |b| b.index);
            let key = self.key(wanted, shard)?;
            if wanted.about.is_some() && key.is_none() {
                continue;
            }
            for month in self.shelf.months(shard)?.into_iter().rev() {
                if !page.is_full() && overlaps(month, wanted) {
                    let file = self.shelf.month(shard, month)?;
                    let place = Place { shard, month, before, file };
                    match &key {
                        Some(key) => self.by_token(wanted, key, &place, &mut page)?,
                        None => self.by_facets(wanted, &place, &mut page)?,
                    }
                }
            }
        }
        let more = page.leaves.len() > most;
        page.leaves.truncate(most);
        let next = page.leaves.last().map(|found| found.at).filter(|_| more);
        Ok(FoundPage { leaves: page.leaves, next })
    }

    /// The subject's key in a half-year; `None` where nobody, or a warrant that says nothing
    /// of it, is asked about.
    fn key(&self, wanted: &Wanted, shard: Shard) -> Result<Option<SubjectKey>, SearchFault> {
        match &wanted.about {
            None => Ok(None),
            Some(About::Value(subject)) => {
                Ok(Some(self.keys.of_shard(shard)?.subject(subject.field, &subject.value)))
            }
            Some(About::Keys(_, keys)) => Ok(keys.get(&shard).cloned()),
        }
    }

    /// What stands for a subject in each half-year of the log: what a warrant gives away.
    pub fn subject_keys(&self, subject: &Subject) -> Result<BTreeMap<Shard, SubjectKey>, SearchFault> {
        let mut keys = BTreeMap::new();
        for shard in self.shelf.shards()? {
            keys.insert(shard, self.keys.of_shard(shard)?.subject(subject.field, &subject.value));
        }
        Ok(keys)
    }

    /// Sums of the hours `from..to` (hours since 1970) over all months.
    pub fn hourly(&self, from: i64, to: i64) -> Result<Vec<Hourly>, SearchFault> {
        let mut sums = Vec::new();
        for shard in self.shelf.shards()? {
            for month in self.shelf.months(shard)? {
                let index = FacetReader::open(&facet_index_path(&self.data, shard, month));
                if let Some(index) = index {
                    sums.extend(index.hourly(from, to)?);
                }
            }
        }
        Ok(sums)
    }

    fn by_token(
        &self,
        wanted: &Wanted,
        key: &SubjectKey,
        place: &Place,
        page: &mut Page,
    ) -> Result<(), SearchFault> {
        // The newest days first, until the page is full.
        let days = days_of(place.month, wanted);
        let mut readers = Vec::new();
        let mut unindexed = BTreeSet::new();
        for class in RetentionClass::ALL {
            let path = token_index_path(&self.data, place.shard, place.month, class);
            let index = TokenReader::open(&path).ok().flatten();
            let upto = index.as_ref().map(TokenReader::upto).transpose()?.flatten();
            if let Some(vault) = self.vaults.open(place.shard, place.month, class)? {
                let tokens: Vec<[u8; 16]> = days.iter().map(|day| key.token_of_day(*day)).collect();
                let mut from = upto.map_or(0, |upto| upto + 1);
                loop {
                    let rows = vault.tokens_from(from, AT_ONCE)?;
                    let Some((last, _)) = rows.last() else { break };
                    from = last + 1;
                    let named = |records: &[u8]| {
                        records
                            .chunks_exact(TOKEN_RECORD_BYTES)
                            .filter_map(<[u8]>::last_chunk::<16>)
                            .any(|token| tokens.contains(token))
                    };
                    let fitting = rows.iter().filter(|(_, records)| named(records));
                    unindexed.extend(fitting.map(|(index, _)| *index));
                }
            }
            readers.extend(index);
        }
        for index in unindexed.into_iter().rev() {
            place.look_up(index, wanted, page)?;
        }
        for day in days.into_iter().rev() {
            if page.is_full() {
                break;
            }
            let token = key.token_of_day(day);
            let mut of_day = BTreeSet::new();
            for reader in &readers {
                of_day.extend(reader.token(day, &token, place.before)?);
            }
            for index in of_day.into_iter().rev() {
                place.look_up(index, wanted, page)?;
            }
        }
        // Days follow each other, but a clock may have stepped: the order is the log's.
        page.sort();
        Ok(())
    }

    fn by_facets(&self, wanted: &Wanted, place: &Place, page: &mut Page) -> Result<(), SearchFault> {
        let index = FacetReader::open(&facet_index_path(&self.data, place.shard, place.month));
        let upto = index.as_ref().map(FacetReader::upto).transpose()?.flatten();
        let unindexed_from = upto.map_or(0, |upto| upto + 1);
        let mut from = place.before.saturating_sub(1);
        while from >= unindexed_from && !page.is_full() {
            let leaves = place.file.leaves_down(from, unindexed_from, AT_ONCE)?;
            let Some(last) = leaves.last().map(|stored| stored.index) else { break };
            for stored in leaves {
                page.take(place.shard, wanted, place.before, &stored.leaf, stored.index, stored.hash);
            }
            match last.checked_sub(1) {
                Some(next) => from = next,
                None => break,
            }
        }
        let Some(index) = index.filter(|_| !page.is_full()) else { return Ok(()) };
        let query = FacetQuery {
            words: wanted.facets.words(),
            auth: wanted.facets.auth,
            from: wanted.from.unwrap_or(i64::MIN),
            to: wanted.to.unwrap_or(i64::MAX),
            before: place.before.min(unindexed_from),
            most: page.room(),
        };
        for found in index.facets(&query)? {
            place.look_up(found, wanted, page)?;
        }
        Ok(())
    }
}

/// A month that is being searched.
struct Place {
    shard: Shard,
    month: Month,
    before: u64,
    file: MonthFile,
}

impl Place {
    /// The index is not believed: the leaf itself must fit.
    fn look_up(&self, index: u64, wanted: &Wanted, page: &mut Page) -> Result<(), StoreFault> {
        if !page.is_full()
            && let Some(stored) = self.file.leaf(index)?
        {
            page.take(self.shard, wanted, self.before, &stored.leaf, index, stored.hash);
        }
        Ok(())
    }
}

struct Page {
    leaves: Vec<FoundLeaf>,
    most: usize,
}

impl Page {
    fn room(&self) -> usize {
        self.most.saturating_sub(self.leaves.len())
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    fn take(&mut self, shard: Shard, wanted: &Wanted, before: u64, leaf: &[u8], index: u64, hash: [u8; 32]) {
        if self.is_full() || index >= before {
            return;
        }
        if let Some(leaf) = Leaf::from_bytes(leaf).filter(|leaf| wanted.fits(leaf)) {
            self.leaves.push(FoundLeaf { at: Mark { shard, index }, hash, leaf });
        }
    }

    fn sort(&mut self) {
        self.leaves.sort_by_key(|found| std::cmp::Reverse(found.at));
    }
}

/// A leaf may stand in the file of the month before its own (the clock at its stamp and the
/// clock at its commit differ), never a day off.
fn overlaps(month: Month, wanted: &Wanted) -> bool {
    let (begin, end) = month.span_ms();
    wanted.to.is_none_or(|to| begin - DAY_MS < to) && wanted.from.is_none_or(|from| end + DAY_MS > from)
}

/// The days of a month's file, as yyyymmdd, oldest first.
fn days_of(month: Month, wanted: &Wanted) -> Vec<i64> {
    let (begin, end) = month.span_ms();
    let from = wanted.from.unwrap_or(i64::MIN).max(begin - DAY_MS);
    let to = wanted.to.unwrap_or(i64::MAX).min(end + DAY_MS);
    let mut days = Vec::new();
    let mut at = from;
    while at < to {
        days.push(day_number(Now::from_ms(at)));
        at = at.saturating_add(DAY_MS);
    }
    if from < to {
        days.push(day_number(Now::from_ms(to - 1)));
    }
    days.sort_unstable();
    days.dedup();
    days
}
