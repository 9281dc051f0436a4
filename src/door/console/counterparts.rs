//! What was found of partners' halves, so that a page shows it again without asking again.
//!
//! Promises: bounded, the oldest goes; forgotten with the process, for it can be asked for anew.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Now;
use crate::ledger::Standing;
use crate::outbound::promised::Counterpart;

/// Findings kept: some hundred KiB, an auditor's week.
const MOST: usize = 256;

/// A finding, and when it was made.
#[derive(Clone, Debug)]
pub struct Looked {
    pub at: Now,
    pub found: Counterpart,
}

/// Findings by our own leaf.
#[derive(Default)]
pub struct Counterparts(Mutex<VecDeque<(String, u64, Looked)>>);

impl Counterparts {
    pub fn keep(&self, of: &Standing, looked: Looked) {
        let mut kept = self.held();
        kept.retain(|(origin, index, _)| (origin, *index) != (&of.origin, of.index));
        kept.push_back((of.origin.clone(), of.index, looked));
        if kept.len() > MOST {
            kept.pop_front();
        }
    }

    pub fn of(&self, standing: &Standing) -> Option<Looked> {
        let kept = self.held();
        let found = kept.iter().find(|(origin, index, _)| {
            (origin.as_str(), *index) == (standing.origin.as_str(), standing.index)
        });
        found.map(|(_, _, looked)| looked.clone())
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(String, u64, Looked)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::promised::Unverified;

    #[test]
    fn the_newest_finding_of_a_leaf_counts_and_the_oldest_go() {
        let kept = Counterparts::default();
        let leaf =
            |index| Standing { origin: "tongban/421202/2030h1".into(), index, hash: [0; 32], bytes: vec![] };
        let looked =
            |at| Looked { at: Now::from_secs(at), found: Counterpart::Unverified(Unverified::NoWindow) };
        kept.keep(&leaf(0), looked(1));
        kept.keep(&leaf(0), looked(2));
        assert_eq!(kept.of(&leaf(0)).unwrap().at, Now::from_secs(2));
        for index in 1..=MOST as u64 {
            kept.keep(&leaf(index), looked(3));
        }
        assert!(kept.of(&leaf(0)).is_none() && kept.of(&leaf(1)).is_some());
        assert_eq!(kept.held().len(), MOST);
    }
}
