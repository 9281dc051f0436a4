//! Traffic by the hour, counted as leaves come in: what plots and partners' pages show.
//!
//! Promises: no page reads the log to draw a plot; memory holds eight days of hours, however
//! many exchanges they had; a start looks back over a bounded number of leaves and says from
//! when on the counts are whole. Leaves without a partner or a time are not counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Now;
use crate::ledger::{Decision, Glance, LeafKind, Ledger, ReadFault};

const HOUR_MS: i64 = 3_600_000;
/// Hours kept: a week to compare with, and the day that is still running.
const HOURS_KEPT: i64 = 8 * 24;
/// Leaves looked at after a start: about a second of reading.
const LEAVES_AT_START: u64 = 100_000;
/// Leaves taken in one go; more wait for the next one, so that a burst costs no reader a stall.
const LEAVES_AT_ONCE: u64 = 50_000;
const CHUNK: u64 = 2_000;
/// Upper ends of the latency classes, milliseconds; slower ones are in the last.
const CLASSES: [u32; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// One hour, of everybody or of one partner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests of partners answered with a result.
    pub answered: u64,
    /// Requests of partners refused.
    pub refused: u64,
    /// Requests of ours that got their result.
    pub asked: u64,
    /// Requests of ours that were refused or failed.
    pub failed: u64,
    /// Refusals and failures by code.
    pub codes: BTreeMap<String, u64>,
    classes: [u64; CLASSES.len()],
}

impl Counts {
    pub fn well(&self) -> u64 {
        self.answered + self.asked
    }

    pub fn ill(&self) -> u64 {
        self.refused + self.failed
    }

    /// The class end (ms) below which this share (in percent) of the timed exchanges stayed.
    pub fn quantile(&self, percent: u64) -> Option<u32> {
        let all: u64 = self.classes.iter().sum();
        let wanted = (all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let mut classes = self.classes.iter().zip(CLASSES);
        classes.find_map(|(count, end)| {
            seen += count;
            (seen >= wanted).then_some(end)
        })
    }

    pub fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.asked += other.asked;
        self.failed += other.failed;
        for (code, count) in &other.codes {
            *self.codes.entry(code.clone()).or_default() += count;
        }
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine += theirs;
        }
    }

    fn count(&mut self, leaf: &Glance<'_>) {
        let many = leaf.n.unwrap_or(1);
        let well = leaf.dec == Some(Decision::Permit);
        match leaf.t {
            LeafKind::In if well => self.answered += 1,
            LeafKind::In => self.refused += 1,
            LeafKind::OutDone if well => self.asked += 1,
            LeafKind::OutDone | LeafKind::OutFailed => self.failed += 1,
            // Refusals before the signature step, counted by the minute.
            LeafKind::Incident => self.refused += many,
            _ => return,
        }
        if !well && !leaf.code.is_empty() {
            match self.codes.get_mut(leaf.code.as_ref()) {
                Some(count) => *count += many,
                None => drop(self.codes.insert(leaf.code.to_string(), many)),
            }
        }
        if leaf.t != LeafKind::Incident && leaf.ms.first.is_some() {
            let class = CLASSES.iter().position(|end| leaf.ms.sum <= *end).unwrap_or(CLASSES.len() - 1);
            if let Some(count) = self.classes.get_mut(class) {
                *count += 1;
            }
        }
    }
}

#[derive(Default)]
struct Book {
    origin: String,
    next: u64,
    /// Counts before this moment are not whole.
    whole_from: Option<Now>,
    /// By hour since 1970, then by partner.
    hours: BTreeMap<i64, BTreeMap<String, Counts>>,
}

/// The hours, filled by [`Tally::catch_up`].
#[derive(Default)]
pub struct Tally(Mutex<Book>);

impl Tally {
    /// Counts the leaves that came since the last call. Reads files: call it where blocking is
    /// allowed.
    pub fn catch_up(&self, ledger: &Ledger, now: Now) -> Result<(), ReadFault> {
        let (origin, size) = ledger.present();
        let mut next = {
            let mut book = self.book();
            if book.origin.is_empty() {
                book.next = size.saturating_sub(LEAVES_AT_START);
            } else if book.origin != origin {
                book.next = 0;
            }
            book.origin.clone_from(&origin);
            book.next
        };
        let end = size.min(next.saturating_add(LEAVES_AT_ONCE.max(LEAVES_AT_START)));
        while next < end {
            let recent = ledger.recent(&origin, next);
            if !recent.is_empty() {
                let mut book = self.book();
                for batch in recent {
                    batch.from(next).for_each(|(_, recent)| book.count(&recent.leaf.glance()));
                    next = batch.end();
                }
                book.next = next;
                continue;
            }
            let leaves = ledger.leaves(&origin, next..end.min(next + CHUNK))?;
            // A dropped month, or a crash's gap that recovery tells of: nothing to count.
            let Some(last) = leaves.last().map(|leaf| leaf.index) else { break };
            let parsed: Vec<Glance<'_>> = leaves.iter().filter_map(|standing| standing.glance()).collect();
            let mut book = self.book();
            parsed.iter().for_each(|leaf| book.count(leaf));
            next = last + 1;
            book.next = next;
        }
        self.book().forget(now);
        Ok(())
    }

    /// The last `hours` hours up to `now`, oldest first, of one partner or of all.
    pub fn hours(&self, now: Now, hours: i64, partner: Option<&str>) -> Vec<(Now, Counts)> {
        let book = self.book();
        let last = now.ms().div_euclid(HOUR_MS);
        let of_hour = |hour: i64| {
            let mut sum = Counts::default();
            for (name, counts) in book.hours.get(&hour).into_iter().flatten() {
                if partner.is_none_or(|wanted| wanted == name) {
                    sum.add(counts);
                }
            }
            (Now::from_ms(hour * HOUR_MS), sum)
        };
        (last + 1 - hours..=last).map(of_hour).collect()
    }

    /// From when on nothing is missing; `None` while everything there is was counted.
    pub fn whole_from(&self) -> Option<Now> {
        self.book().whole_from
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn count(&mut self, leaf: &Glance<'_>) {
        if self.whole_from.is_none() && self.hours.is_empty() && leaf.t != LeafKind::Genesis {
            self.whole_from = Some(Now::from_ms(leaf.ts));
        }
        let hour = self.hours.entry(leaf.ts.div_euclid(HOUR_MS)).or_default();
        match hour.get_mut(leaf.peer.as_ref()) {
            Some(counts) => counts.count(leaf),
            None => hour.entry(leaf.peer.to_string()).or_default().count(leaf),
        }
    }

    fn forget(&mut self, now: Now) {
        let first = now.ms().div_euclid(HOUR_MS) - HOURS_KEPT;
        self.hours = self.hours.split_off(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Leaf, LedgerKey, LedgerSettings};

    fn leaf(t: LeafKind, dec: Decision, code: Option<&str>, ms: u32) -> Leaf {
        Leaf {
            peer: Some("331083".into()),
            dec: Some(dec),
            code: code.map(str::to_owned),
            ms: vec![ms],
            ts: 1_900_000_000_000,
            ..Leaf::new(t)
        }
    }

    #[test]
    fn an_hour_counts_answers_refusals_and_how_long_they_took() {
        let tally = Tally::default();
        let mut book = tally.book();
        for ms in [1, 3, 4, 70] {
            book.count(&leaf(LeafKind::In, Decision::Permit, None, ms).glance());
        }
        book.count(&leaf(LeafKind::In, Decision::Deny, Some("replay"), 0).glance());
        book.count(&leaf(LeafKind::OutFailed, Decision::Error, Some("unreachable"), 20_000).glance());
        let many = leaf(LeafKind::Incident, Decision::Deny, Some("malformed"), 0);
        book.count(&Leaf { n: Some(7), ..many }.glance());
        book.count(&leaf(LeafKind::OutSent, Decision::Permit, None, 0).glance());
        drop(book);
        let now = Now::from_ms(1_900_000_000_000);
        let hours = tally.hours(now, 24, Some("331083"));
        assert_eq!(hours.len(), 24);
        let counts = &hours.last().unwrap().1;
        assert_eq!((counts.answered, counts.refused, counts.asked, counts.failed), (4, 8, 0, 1));
        assert_eq!(counts.codes["malformed"], 7);
        assert_eq!((counts.quantile(50), counts.quantile(95)), (Some(5), Some(10_000)));
        assert!(tally.hours(now, 1, Some("421202"))[0].1 == Counts::default());
        assert_eq!(Counts::default().quantile(50), None);
    }

    #[test]
    fn eight_days_are_kept() {
        let tally = Tally::default();
        let mut book = tally.book();
        for hour in 0..300 {
            let of_hour = leaf(LeafKind::In, Decision::Permit, None, 1);
            book.count(&Leaf { ts: hour * HOUR_MS, ..of_hour }.glance());
        }
        book.forget(Now::from_ms(299 * HOUR_MS));
        assert_eq!(book.hours.len(), 193);
    }

    #[tokio::test]
    async fn what_is_counted_from_memory_is_what_the_files_say() {
        let dir = tempfile::tempdir().unwrap();
        let now = Now::from_ms(1_900_000_000_000);
        let open = || {
            let settings = LedgerSettings {
                data_dir: dir.path().to_owned(),
                region: crate::domain::Region::parse("421202").unwrap(),
                key: LedgerKey::from_seed(&[1; 32]).unwrap(),
                auditors: Vec::new(),
                clock: crate::clock::Clock::by_hand(now),
                workers: None,
            };
            Ledger::open(settings).unwrap().0
        };
        let (ledger, followed) = (open(), Tally::default());
        for n in 0..40 {
            let refused = (n % 4 == 0).then_some("replay");
            let dec = if refused.is_some() { Decision::Deny } else { Decision::Permit };
            ledger.record(leaf(LeafKind::In, dec, refused, n).into()).await.unwrap();
            if n % 8 == 3 {
                followed.catch_up(&ledger, now).unwrap();
            }
        }
        assert!(!ledger.recent(&ledger.origin(), 30).is_empty(), "the last are in memory");
        followed.catch_up(&ledger, now).unwrap();
        drop(ledger);
        let (ledger, read) = (open(), Tally::default());
        assert!(ledger.recent(&ledger.origin(), 30).is_empty(), "after a start nothing is");
        read.catch_up(&ledger, now).unwrap();
        assert_eq!(followed.hours(now, 24, None), read.hours(now, 24, None));
        let counts = read.hours(now, 1, Some("331083")).remove(0).1;
        assert_eq!((counts.answered, counts.refused, counts.codes["replay"]), (30, 10, 10));
    }
}
