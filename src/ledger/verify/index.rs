//! The search index held against the vault it was derived from: the same tokens on the same
//! days, up to where the index says it goes.
//!
//! Both are read once, in different orders, and compared by a sum over hashes that does not
//! depend on the order; only when the sums differ are the entries themselves looked for.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::evidence::{TOKEN_RECORD_BYTES, day_number};
use super::super::tree::sha256;
use super::{Finding, FindingKind};
use crate::clock::Now;
use crate::store::sqlite::{IndexReader, VaultFile, token_index_path};

/// Rows of the vault read at once when a difference is looked for.
const AT_ONCE: usize = 4096;

/// An index, and what the vault has shown of it so far.
pub(super) struct IndexCheck {
    reader: IndexReader,
    file: String,
    upto: Option<u64>,
    vault: SetSum,
    /// From which leaf on it was which day.
    days: Vec<(u64, i64)>,
}

/// A sum of hashes: equal for equal sets, whatever their order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct SetSum([u64; 4]);

impl SetSum {
    fn add(&mut self, day: i64, token: &[u8], index: u64) {
        let mut bytes = [0; 32];
        let parts = [day.to_be_bytes().as_slice(), token, index.to_be_bytes().as_slice()].concat();
        for (to, from) in bytes.iter_mut().zip(&parts) {
            *to = *from;
        }
        let hash = sha256(&bytes);
        for (sum, part) in self.0.iter_mut().zip(hash.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*part));
        }
    }
}

impl IndexCheck {
    /// `None` where the vault has no index: the search reads the vault then.
    pub fn begin(data: &Path, vault: &VaultFile) -> Option<Self> {
        let path = token_index_path(data, vault.shard, vault.month, vault.class);
        let reader = IndexReader::open(&path)?;
        let upto = reader.upto().ok()?;
        let file = path.strip_prefix(data).unwrap_or(&path).display().to_string();
        Some(Self { reader, file, upto, vault: SetSum::default(), days: Vec::new() })
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
        let mut sum = SetSum::default();
        let read = self.reader.tokens(|day, token, index| {
            if self.is_in(index) {
                sum.add(day, token, index);
            }
        });
        let damage = self.reader.integrity();
        let damaged = read.is_err() || damage.map_or(true, |damage| !damage.is_empty());
        if sum == self.vault && !damaged {
            return Vec::new();
        }
        let mut differing = BTreeSet::new();
        let mut toggle = |entry: (u64, i64, Vec<u8>)| {
            if !differing.remove(&entry) {
                differing.insert(entry);
            }
        };
        let listed = self.reader.tokens(|day, token, index| {
            if self.is_in(index) {
                toggle((index, day, token.to_vec()));
            }
        });
        let (mut from, mut walked) = (0, true);
        loop {
            let Ok(page) = vault.tokens_from(from, AT_ONCE) else {
                walked = false;
                break;
            };
            let Some((last, _)) = page.last() else { break };
            from = last + 1;
            for (index, tokens) in page.iter().filter(|(index, _)| self.is_in(*index)) {
                each(tokens, |token| toggle((*index, self.day_of(*index), token.to_vec())));
            }
        }
        // Beside a running gateway: a row that was erased meanwhile leaves the index a moment later.
        let erased = vault.erased().unwrap_or_default();
        let indices: BTreeSet<u64> = differing.into_iter().map(|(index, ..)| index).collect();
        let at =
            |index: &u64| Finding::new(FindingKind::SearchIndexChanged, self.file.clone()).at(origin, *index);
        let mut findings: Vec<Finding> =
            indices.iter().filter(|index| !erased.contains_key(index)).map(at).collect();
        if damaged || listed.is_err() || !walked {
            findings.push(Finding::new(FindingKind::FileDamaged, self.file.clone()).of(origin));
        }
        findings
    }

    fn day_of(&self, index: u64) -> i64 {
        let after = self.days.partition_point(|(first, _)| *first <= index);
        after.checked_sub(1).and_then(|at| self.days.get(at)).map_or(0, |(_, day)| *day)
    }
}

/// Each token of a row's records, without its field.
fn each(tokens: &[u8], mut visit: impl FnMut(&[u8])) {
    for record in tokens.chunks_exact(TOKEN_RECORD_BYTES) {
        visit(record.get(1..).unwrap_or_default());
    }
}
