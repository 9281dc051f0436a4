//! The newest leaves as they became durable, for those who follow the log: the search index and the
//! hours of the console. They take from here what else each would read back and parse again.
//!
//! Promises: holds a bounded number of leaves, without their evidence; whoever comes too late, or
//! after a gap, gets nothing and reads the files, which always stand for themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::leaf::Leaf;
use super::search::MOST_BEHIND;
use super::writer::MOST_IN_A_COMMIT;
use crate::store::{Month, RetentionClass, Shard};

/// Leaves kept: what a busy index lets wait, and some commits more. Some 15 MiB.
const MOST: usize = 20_000;
/// Leaves kept for the console when the index has taken them: it looks once a second.
const STAY: usize = 8_000;
// Else a busy index would always come too late.
const _: () = assert!(MOST as u64 > MOST_BEHIND + MOST_IN_A_COMMIT as u64);

/// A durable leaf with what its evidence can be found by.
pub struct RecentLeaf {
    pub leaf: Leaf,
    /// The vault that holds its evidence, and the tokens there.
    pub tokens: Option<(RetentionClass, Vec<u8>)>,
}

/// The leaves of one commit: they follow each other from `first` on.
pub struct Batch {
    pub month: Month,
    pub first: u64,
    pub leaves: Vec<RecentLeaf>,
}

impl Batch {
    /// The index behind the last.
    pub fn end(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }

    /// Its leaves with their indices, from `from` on.
    pub fn from(&self, from: u64) -> impl Iterator<Item = (u64, &RecentLeaf)> {
        (self.first..).zip(&self.leaves).filter(move |(index, _)| *index >= from)
    }
}

#[derive(Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The log of the leaves; none are kept of another.
    shard: Option<Shard>,
    batches: VecDeque<Arc<Batch>>,
    leaves: usize,
}

impl Recent {
    pub fn add(&self, shard: Shard, batch: Batch) {
        if batch.leaves.is_empty() {
            return;
        }
        let mut kept = self.kept();
        if kept.shard != Some(shard) || kept.batches.back().is_some_and(|last| last.end() != batch.first) {
            *kept = Kept { shard: Some(shard), ..Kept::default() };
        }
        kept.leaves += batch.leaves.len();
        kept.batches.push_back(Arc::new(batch));
        while kept.leaves > MOST
            && let Some(oldest) = kept.batches.pop_front()
        {
            kept.leaves -= oldest.leaves.len();
        }
    }

    /// The commits from the one on that holds `from`; none when that is not here.
    pub fn from(&self, shard: Shard, from: u64) -> Vec<Arc<Batch>> {
        let kept = self.kept();
        let here = kept.shard == Some(shard) && kept.batches.front().is_some_and(|first| first.first <= from);
        if !here {
            return Vec::new();
        }
        let begin = kept.batches.partition_point(|batch| batch.end() <= from);
        kept.batches.range(begin..).cloned().collect()
    }

    /// The index, which takes many at once, has everything before this one.
    pub fn taken(&self, shard: Shard, upto: u64) {
        let mut kept = self.kept();
        while kept.shard == Some(shard)
            && kept.leaves > STAY
            && kept.batches.front().is_some_and(|first| first.end() <= upto)
            && let Some(oldest) = kept.batches.pop_front()
        {
            kept.leaves -= oldest.leaves.len();
        }
    }

    /// What was erased shall not be told from memory: the files are asked.
    pub fn forget(&self) {
        *self.kept() = Kept::default();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaf::LeafKind;
    use super::*;

    fn batch(first: u64, leaves: usize) -> Batch {
        let leaf = || RecentLeaf { leaf: Leaf::new(LeafKind::In), tokens: None };
        let month = Month::parse("2026-11").unwrap();
        Batch { month, first, leaves: std::iter::repeat_with(leaf).take(leaves).collect() }
    }

    fn firsts(recent: &Recent, shard: Shard, from: u64) -> Vec<u64> {
        recent.from(shard, from).iter().map(|batch| batch.first).collect()
    }

    #[test]
    fn who_comes_in_time_gets_what_follows_and_who_does_not_gets_nothing() {
        let (recent, shard) = (Recent::default(), Shard::parse("2026h2").unwrap());
        assert!(recent.from(shard, 0).is_empty());
        recent.add(shard, batch(5, 2));
        recent.add(shard, batch(7, 0));
        recent.add(shard, batch(7, 3));
        assert_eq!(firsts(&recent, shard, 4), [0_u64; 0], "5 is the first that is here");
        assert_eq!(firsts(&recent, shard, 5), [5, 7]);
        assert_eq!(firsts(&recent, shard, 6), [5, 7]);
        assert_eq!(firsts(&recent, shard, 7), [7]);
        assert!(firsts(&recent, shard, 10).is_empty());
        assert!(firsts(&recent, shard.next(), 5).is_empty());
        let of_first: Vec<u64> = recent.from(shard, 6)[0].from(6).map(|(index, _)| index).collect();
        assert_eq!(of_first, [6]);
    }

    #[test]
    fn a_gap_another_log_and_an_erasure_begin_afresh() {
        let (recent, shard) = (Recent::default(), Shard::parse("2026h2").unwrap());
        recent.add(shard, batch(0, 2));
        recent.add(shard, batch(3, 1));
        assert!(firsts(&recent, shard, 0).is_empty());
        assert_eq!(firsts(&recent, shard, 3), [3]);
        recent.add(shard.next(), batch(0, 1));
        assert!(firsts(&recent, shard, 3).is_empty());
        assert_eq!(firsts(&recent, shard.next(), 0), [0]);
        recent.forget();
        assert!(firsts(&recent, shard.next(), 0).is_empty());
    }

    #[test]
    fn a_bounded_number_is_kept_and_most_of_what_was_taken_goes() {
        let (recent, shard) = (Recent::default(), Shard::parse("2026h2").unwrap());
        let commits = 2 * MOST as u64 / 1_000;
        (0..commits).for_each(|n| recent.add(shard, batch(n * 1_000, 1_000)));
        assert!(firsts(&recent, shard, 0).is_empty());
        let oldest = (commits * 1_000) - MOST as u64;
        assert_eq!(firsts(&recent, shard, oldest).len(), MOST / 1_000);
        recent.taken(shard, oldest + 1_500);
        assert_eq!(firsts(&recent, shard, oldest + 1_500).first(), Some(&(oldest + 1_000)));
        assert!(firsts(&recent, shard, oldest).is_empty());
        recent.taken(shard, commits * 1_000);
        assert_eq!(firsts(&recent, shard, commits * 1_000 - 1).len(), 1);
        let stay = commits * 1_000 - STAY as u64;
        assert_eq!(firsts(&recent, shard, stay).len(), STAY / 1_000);
    }
}
