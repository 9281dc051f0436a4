//! What differs between our leaves and a partner's list, named from our data alone.
//!
//! Promises: every exchange that one side counts and the other does not, or counts
//! otherwise, is exactly one difference. What was lost on the way is told apart from what was
//! taken out of a log: the side that asked says that it has no answer, and then the two can
//! still agree.

use std::collections::HashMap;

use super::book::{Mine, Own};
use super::item::{Item, Outcome};
use super::proposal::MOST_ANSWERS;

/// What an exchange that is not the same on both sides is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// Both have it, with other hashes or another end.
    HashMismatch,
    /// The partner signed its part of it and does not have it.
    PeerLacks,
    /// We had it and have it no more.
    ILack,
    /// Asked here or there, answered by the other, and the answer was lost on the way.
    InFlight,
    /// The partner has it; we have not and never had: no signature of ours stands behind it.
    Forged,
}

impl DifferenceKind {
    pub const ALL: [Self; 5] =
        [Self::HashMismatch, Self::PeerLacks, Self::ILack, Self::InFlight, Self::Forged];

    pub const fn word(self) -> &'static str {
        match self {
            Self::HashMismatch => "hash-mismatch",
            Self::PeerLacks => "peer-lacks",
            Self::ILack => "i-lack",
            Self::InFlight => "in-flight",
            Self::Forged => "forged",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Loss on the way is nobody's doing; the others must be looked into.
    pub const fn is_serious(self) -> bool {
        !matches!(self, Self::InFlight)
    }
}

/// One exchange that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub kind: DifferenceKind,
    pub x: [u8; 16],
    pub mine: Option<Mine>,
    pub theirs: Option<Item>,
}

/// Compares our answered and unanswered exchanges with the partner's whole list.
pub fn compare(own: &Own, theirs: &[Item]) -> Vec<Difference> {
    let mut by_x: HashMap<[u8; 16], Vec<Item>> = HashMap::new();
    theirs.iter().for_each(|item| by_x.entry(item.x).or_default().push(*item));
    let mut found = Vec::new();
    for mine in &own.answered {
        let x = mine.item.x;
        let listed = by_x.get_mut(&x);
        // The same id may have been used in both directions: the request tells them apart.
        let at = listed.as_ref().and_then(|list| {
            let same = |wanted: &dyn Fn(&Item) -> bool| list.iter().position(wanted);
            same(&|item| *item == mine.item)
                .or_else(|| same(&|item| item.rq == mine.item.rq))
                .or_else(|| same(&|item| item.is_answered()))
        });
        let met = listed.zip(at).map(|(list, at)| list.swap_remove(at));
        let kind = match met {
            Some(item) if item == mine.item => continue,
            Some(item) if !item.is_answered() && !mine.asked => DifferenceKind::InFlight,
            Some(item) if item.is_answered() => DifferenceKind::HashMismatch,
            _ => DifferenceKind::PeerLacks,
        };
        found.push(Difference { kind, x, mine: Some(*mine), theirs: met });
    }
    for item in by_x.into_values().flatten().filter(|item| item.is_answered()) {
        let sent = own.unanswered.iter().find(|mine| mine.item.x == item.x);
        let kind = match sent {
            Some(sent) if sent.item.rq == item.rq => DifferenceKind::InFlight,
            Some(_) => DifferenceKind::HashMismatch,
            None if own.had(&item.x) => DifferenceKind::ILack,
            None => DifferenceKind::Forged,
        };
        found.push(Difference { kind, x: item.x, mine: sent.copied(), theirs: Some(item) });
    }
    found.sort_by_key(|difference| (difference.x, difference.kind));
    found
}

/// What both would have, if only answers were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// All answered exchanges, those included whose answer did not reach us.
    pub items: Vec<Item>,
    /// Our answers that did not reach the partner, for its next look.
    pub answers: Vec<Item>,
}

/// The settlement, when nothing but losses on the way stands between the two.
pub fn settle(own: &Own, differences: &[Difference]) -> Option<Settlement> {
    if differences.iter().any(|difference| difference.kind.is_serious()) {
        return None;
    }
    let theirs = |d: &Difference| d.theirs.filter(|item| item.is_answered());
    let mut items: Vec<Item> = own.answered.iter().map(|mine| mine.item).collect();
    items.extend(differences.iter().filter_map(theirs));
    items.sort_unstable();
    let lost = differences.iter().filter(|d| theirs(d).is_none());
    let answers: Vec<Item> = lost.filter_map(|d| Some(d.mine?.item)).collect();
    (answers.len() <= MOST_ANSWERS).then_some(Settlement { items, answers })
}

impl Own {
    /// Was it here? Its leaf was read once, or leaves of its time are missing.
    fn had(&self, x: &[u8; 16]) -> bool {
        self.holes || self.lost.contains(x)
    }

    /// Our sorted items as they count, with answers that we have not but the partner shows:
    /// `None` when it shows one to a question that we never asked, or have an answer to.
    pub fn with_answers(&self, answers: &[Item]) -> Option<Vec<Item>> {
        let mut items: Vec<Item> = self.answered.iter().map(|mine| mine.item).collect();
        for answer in answers {
            let asked = |mine: &&Mine| mine.asked && mine.item.x == answer.x && mine.item.rq == answer.rq;
            self.unanswered.iter().find(asked)?;
            items.push(*answer);
        }
        items.sort_unstable();
        let no_twin = items.windows(2).all(|pair| pair.first() != pair.last());
        (no_twin && answers.iter().all(|item| item.outcome != Outcome::Unanswered)).then_some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Mark, Shard};
    use DifferenceKind::*;

    fn item(x: u8, rd: u8) -> Item {
        let outcome = if rd == 0 { Outcome::Unanswered } else { Outcome::Done };
        Item { x: [x; 16], rq: [x; 32], rd: [rd; 32], outcome }
    }

    fn mine(item: Item, asked: bool) -> Mine {
        Mine { item, asked, at: Mark { shard: Shard::parse("2030h1").unwrap(), index: 7 }, sound: true }
    }

    /// We asked 1 and 2, answered 3, asked 4 without an answer; 5 was here once.
    fn own() -> Own {
        Own {
            answered: vec![mine(item(1, 1), true), mine(item(2, 2), true), mine(item(3, 3), false)],
            unanswered: vec![mine(item(4, 0), true)],
            lost: [[5; 16]].into(),
            holes: false,
        }
    }

    fn told(own: &Own, theirs: &[Item]) -> Vec<(DifferenceKind, u8)> {
        compare(own, theirs).iter().map(|d| (d.kind, d.x[0])).collect()
    }

    #[test]
    fn the_table_of_classes() {
        let same = [item(1, 1), item(2, 2), item(3, 3)];
        let with = |more: &[Item]| [&same[..], more].concat();
        let without = |x: u8| same.iter().copied().filter(|item| item.x[0] != x).collect::<Vec<_>>();
        let changed = |to: Item| [without(to.x[0]), vec![to]].concat();
        for (theirs, expected) in [
            (same.to_vec(), vec![]),
            // The partner dropped what it answered, or what it asked and had an answer to.
            (without(1), vec![(PeerLacks, 1)]),
            (without(3), vec![(PeerLacks, 3)]),
            (vec![], vec![(PeerLacks, 1), (PeerLacks, 2), (PeerLacks, 3)]),
            // The partner changed the result, the request, the outcome.
            (changed(item(1, 9)), vec![(HashMismatch, 1)]),
            (changed(Item { rq: [9; 32], ..item(2, 2) }), vec![(HashMismatch, 2)]),
            (changed(Item { outcome: Outcome::Refused, ..item(3, 3) }), vec![(HashMismatch, 3)]),
            // It has no answer to what it asked; it cannot say so of what it answered.
            (changed(item(3, 0)), vec![(InFlight, 3)]),
            (changed(item(1, 0)), vec![(PeerLacks, 1)]),
            // It answered what we have no answer to; another request than ours is no answer.
            (with(&[item(4, 4)]), vec![(InFlight, 4)]),
            (with(&[Item { rq: [9; 32], ..item(4, 4) }]), vec![(HashMismatch, 4)]),
            (with(&[item(4, 0)]), vec![]),
            // We had it; we never had it; it asked something that never arrived.
            (with(&[item(5, 5)]), vec![(ILack, 5)]),
            (with(&[item(6, 6)]), vec![(Forged, 6)]),
            (with(&[item(6, 0)]), vec![]),
            // An id twice: the second is made up.
            (with(&[Item { rq: [9; 32], ..item(1, 1) }]), vec![(Forged, 1)]),
        ] {
            assert_eq!(told(&own(), &theirs), expected, "{theirs:?}");
        }
    }

    #[test]
    fn with_holes_in_our_own_log_nothing_is_called_forged() {
        let own = Own { holes: true, ..own() };
        assert_eq!(told(&own, &[item(1, 1), item(2, 2), item(3, 3), item(6, 6)]), [(ILack, 6)]);
    }

    #[test]
    fn losses_on_the_way_settle_and_anything_else_does_not() {
        let theirs = [item(1, 1), item(2, 2), item(3, 0), item(4, 4)];
        let differences = compare(&own(), &theirs);
        let settlement = settle(&own(), &differences).unwrap();
        assert_eq!(settlement.items, [item(1, 1), item(2, 2), item(3, 3), item(4, 4)]);
        assert_eq!(settlement.answers, [item(3, 3)]);
        assert_eq!(settle(&own(), &compare(&own(), &[item(1, 1)])), None);
        // The partner, seeing the answers to what it asked, comes to the same.
        let partner = Own {
            answered: vec![mine(item(1, 1), false), mine(item(2, 2), false), mine(item(4, 4), false)],
            unanswered: vec![mine(item(3, 0), true)],
            ..Own::default()
        };
        assert_eq!(partner.with_answers(&settlement.answers).unwrap(), settlement.items);
        // An answer to nothing that was asked, to another request, none at all, or twice.
        for odd in [
            vec![item(7, 7)],
            vec![Item { rq: [9; 32], ..item(3, 3) }],
            vec![item(3, 0)],
            vec![item(3, 3); 2],
        ] {
            assert_eq!(partner.with_answers(&odd), None, "{odd:?}");
        }
    }
}
