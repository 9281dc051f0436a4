//! The search index held against the vault it was derived from: the same tokens on the same
//! days, up to where the index says it goes.
//!
//! Both are read once, in different orders, and compared by a sum over hashes that does not
//! depend on the order; only when the sums differ are the entries themselves looked for. An entry
//! that stands where no search looks is as bad as one that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::evidence::{TOKEN_BYTES, TOKEN_RECORD_BYTES, day_number};
use super::set_sum::SetSum;
use super::{Finding, FindingKind};
use crate::clock::Now;
use crate::store::StoreFault;
use crate::store::sqlite::{StoredToken, TokenReader, VaultFile, token_index_path};

/// Rows of the vault read at once when a difference is looked for.
const AT_ONCE: usize = 4096;

/// An index, and what the vault has shown of it so far.
pub(super) struct IndexCheck {
    reader: TokenReader,
    file: String,
    upto: Option<u64>,
    vault: SetSum,
    /// From which leaf on it was which day.
    days: Vec<(u64, i64)>,
}

impl IndexCheck {
    /// `None` where the vault has no index, or one of an older form: the search reads the vault then.
    pub fn begin(data: &Path, vault: &VaultFile, origin: &str) -> Result<Option<Self>, Finding> {
        let path = token_index_path(data, vault.shard, vault.month, vault.class);
        let file = path.strip_prefix(data).unwrap_or(&path).display().to_string();
        let begin = || -> Result<Option<(TokenReader, Option<u64>)>, StoreFault> {
            let Some(reader) = TokenReader::open(&path)? else { return Ok(None) };
            let upto = reader.upto()?;
            Ok(Some((reader, upto)))
        };
        let begun = begin().map_err(|_| Finding::new(FindingKind::FileDamaged, file.clone()).of(origin))?;
        Ok(begun.map(|(reader, upto)| Self {
            reader,
            file,
            upto,
            vault: SetSum::default(),
            days: Vec::new(),
        }))
    }

    fn is_in(&self, index: u64) -> bool {
        self.upto.is_some_and(|upto| index <= upto)
    }

    /// A row of the vault, and when its leaf was stamped.
    pub fn row(&mut self, index: u64, ts: i64, tokens: &[u8]) {
        let day = day_number(Now::from_ms(ts));
        if self.days.last().is_none_or(|(_, last)| *last != day) {
            self.days.push((index, day));
        }
        if self.is_in(index) {
            each(tokens, |token| self.vault.add(day, token, index));
        }
    }

    /// Where index and vault differ.
    pub fn end(self, vault: &VaultFile, origin: &str) -> Vec<Finding> {
        let (mut sum, mut misplaced, mut furthest) = (SetSum::default(), BTreeSet::new(), None);
        let walked = self.reader.walk(|stored| {
            furthest = furthest.max(Some(stored.index));
            if !stored.in_place {
                misplaced.insert(stored.index);
            }
            if self.is_in(stored.index) {
                sum.add(stored.day, &stored.token, stored.index);
            }
        });
        let whole = self.reader.integrity().is_ok_and(|damage| damage.is_empty());
        // Beside a running gateway it may go further by now than when the vault was read.
        let ahead = walked.as_ref().is_ok_and(|walked| furthest > walked.upto);
        let ill_formed = walked.as_ref().is_ok_and(|walked| !walked.well_formed) || ahead;
        if sum == self.vault && misplaced.is_empty() && !ill_formed && walked.is_ok() && whole {
            return Vec::new();
        }
        let compared = if sum == self.vault { Some(BTreeSet::new()) } else { self.differing(vault) };
        let damaged = walked.is_err() || !whole || compared.is_none();
        let differing = compared.unwrap_or_default();
        // Beside a running gateway: a row that was erased meanwhile leaves the index a moment later.
        let erased = vault.erased().unwrap_or_default();
        let said = differing.iter().filter(|index| !erased.contains_key(index));
        let indices: BTreeSet<&u64> = said.chain(&misplaced).collect();
        let changed = || Finding::new(FindingKind::SearchIndexChanged, self.file.clone());
        let mut findings: Vec<Finding> =
            indices.into_iter().map(|index| changed().at(origin, *index)).collect();
        if ill_formed {
            findings.push(changed().of(origin));
        }
        if damaged {
            findings.push(Finding::new(FindingKind::FileDamaged, self.file.clone()).of(origin));
        }
        findings
    }

    /// Leaves of which index and vault say something else, entry by entry; `None` if one of them
    /// cannot be read.
    fn differing(&self, vault: &VaultFile) -> Option<BTreeSet<u64>> {
        // How often more in the index than in the vault.
        let mut balance: BTreeMap<(u64, i64, [u8; TOKEN_BYTES]), i64> = BTreeMap::new();
        let mut add = |entry, n: i64| {
            let so_far = balance.entry(entry).or_default();
            *so_far += n;
            if *so_far == 0 {
                balance.remove(&entry);
            }
        };
        let walked = self.reader.walk(|StoredToken { day, token, index, .. }| {
            if self.is_in(index) {
                add((index, day, token), 1);
            }
        });
        walked.ok()?;
        let mut from = 0;
        loop {
            let page = vault.tokens_from(from, AT_ONCE).ok()?;
            let Some((last, _)) = page.last() else { break };
            from = last + 1;
            for (index, tokens) in page.iter().filter(|(index, _)| self.is_in(*index)) {
                each(tokens, |token| add((*index, self.day_of(*index), *token), -1));
            }
        }
        Some(balance.into_keys().map(|(index, ..)| index).collect())
    }

    fn day_of(&self, index: u64) -> i64 {
        let after = self.days.partition_point(|(first, _)| *first <= index);
        after.checked_sub(1).and_then(|at| self.days.get(at)).map_or(0, |(_, day)| *day)
    }
}

/// Each token of a row's records, without its field.
fn each(tokens: &[u8], visit: impl FnMut(&[u8; TOKEN_BYTES])) {
    tokens.chunks_exact(TOKEN_RECORD_BYTES).filter_map(<[u8]>::last_chunk).for_each(visit);
}
