//! Shares: how many things each key holds now, with a cap.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct Tally<K> {
    cap: usize,
    held: Mutex<HashMap<K, usize>>,
}

/// One thing held; given back when dropped.
pub(super) struct Share<'a, K: Hash + Eq> {
    tally: &'a Tally<K>,
    key: K,
}

impl<K: Hash + Eq + Clone> Tally<K> {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, held: Mutex::default() }
    }

    /// One more for `key`, unless it has its share already.
    pub(super) fn enter(&self, key: K) -> Option<Share<'_, K>> {
        let mut held = self.held();
        let now = held.entry(key.clone()).or_insert(0);
        if *now >= self.cap {
            return None;
        }
        *now += 1;
        drop(held);
        Some(Share { tally: self, key })
    }
}

impl<K> Tally<K> {
    /// A count stays right whoever panicked beside it.
    fn held(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Share<'_, K> {
    fn drop(&mut self) {
        let mut held = self.tally.held();
        if let Some(now) = held.get_mut(&self.key) {
            *now -= 1;
            if *now == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_and_a_full_one_refused() {
        let tally = Tally::new(2);
        let (one, _two) = (tally.enter("a").unwrap(), tally.enter("a").unwrap());
        assert!(tally.enter("a").is_none());
        assert!(tally.enter("b").is_some());
        drop(one);
        assert!(tally.enter("a").is_some());
        assert_eq!(tally.held().len(), 1);
    }
}
