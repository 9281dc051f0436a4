//! Orders on evidence as their leaves record them: what was erased, held, released, dropped, and by
//! which leaf. So that a checker can tell *erased by order #n* from *missing*.
//!
//! An order is an `erase` leaf; `op` says which (none: erase). It speaks of its own log unless
//! `past` names another log of the same region; `of` lists the leaves. A `drop` names the vault in
//! `code` as `<month>.<class>` instead. Leaves it to the desk who may order what.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use super::leaf::{Leaf, LeafKind};
use crate::store::{Mark, Month, RetentionClass, Shard};

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderKind {
    Erase,
    Hold,
    Release,
    Drop,
}

/// One order, as its leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub kind: OrderKind,
    /// Where its leaf stands.
    pub at: Mark,
    /// When, in milliseconds since 1970.
    pub ts: i64,
    /// The log whose evidence it speaks of.
    pub target: Shard,
    pub of: BTreeSet<u64>,
    /// Of a drop: which vault.
    pub vault: Option<(Month, RetentionClass)>,
}

impl Order {
    /// `None` when the leaf at `at` orders nothing about evidence.
    pub fn read(leaf: &Leaf, at: Mark) -> Option<Self> {
        let kind = match (leaf.t, leaf.op.as_deref()) {
            (LeafKind::Erase, None) => OrderKind::Erase,
            (LeafKind::Erase, Some("hold")) => OrderKind::Hold,
            (LeafKind::Erase, Some("release")) => OrderKind::Release,
            (LeafKind::Erase, Some("drop")) => OrderKind::Drop,
            _ => return None,
        };
        let target = match &leaf.past {
            Some(past) => Shard::parse(past.rsplit('/').next()?)?,
            None => at.shard,
        };
        let vault = leaf.code.as_deref().and_then(|name| {
            let (month, class) = name.split_once('.')?;
            Month::parse(month).zip(RetentionClass::parse(class))
        });
        Some(Self { kind, at, ts: leaf.ts, target, of: leaf.of.iter().copied().collect(), vault })
    }

    /// `2026h2/4711`: how people name it.
    pub fn name(&self) -> String {
        name_of(self.at)
    }

    /// Does it order `kind` for this leaf?
    pub fn covers(&self, kind: OrderKind, of: Mark) -> bool {
        self.kind == kind && self.target == of.shard && self.of.contains(&of.index)
    }

    /// Does it drop that vault, and not before its floor?
    pub fn drops(&self, shard: Shard, month: Month, class: RetentionClass) -> bool {
        let meant =
            self.kind == OrderKind::Drop && self.target == shard && self.vault == Some((month, class));
        meant && may_be_dropped_from(month, class).is_some_and(|floor| self.ts >= floor)
    }
}

/// `2026h2/4711`
pub fn name_of(at: Mark) -> String {
    format!("{}/{}", at.shard, at.index)
}

/// Months a class is kept at least, after the month's end (ledger.md §5.5).
pub const fn floor_months(class: RetentionClass) -> i32 {
    match class {
        RetentionClass::Provision => 36,
        RetentionClass::Other => 6,
    }
}

/// The first millisecond at which the vault of a month may be dropped.
pub fn may_be_dropped_from(month: Month, class: RetentionClass) -> Option<i64> {
    let text = month.to_string();
    let (year, number) = text.split_once('-')?;
    let months = year.parse::<i32>().ok()? * 12 + number.parse::<i32>().ok()? + floor_months(class);
    let (year, number) = (i16::try_from(months / 12).ok()?, i8::try_from(months % 12 + 1).ok()?);
    let first = DateTime::from_parts(Date::new(year, number, 1).ok()?, jiff::civil::Time::midnight());
    Some(Offset::constant(8).to_timestamp(first).ok()?.as_millisecond())
}

/// The class that a leaf's evidence belongs to.
pub fn class_of(leaf: &Leaf) -> RetentionClass {
    let exchange =
        matches!(leaf.t, LeafKind::In | LeafKind::OutSent | LeafKind::OutDone | LeafKind::OutFailed);
    match leaf.op.as_deref() {
        Some(op) if exchange && !matches!(op, "ping" | "ledger.reconcile") => RetentionClass::Provision,
        _ => RetentionClass::Other,
    }
}

/// The orders of a data directory, found by the leaf they speak of.
#[derive(Default)]
pub struct Orders {
    all: BTreeMap<Mark, Order>,
    about: BTreeMap<Mark, Vec<Mark>>,
}

impl Orders {
    pub fn add(&mut self, order: Order) {
        for index in &order.of {
            self.about.entry(Mark { shard: order.target, index: *index }).or_default().push(order.at);
        }
        self.all.insert(order.at, order);
    }

    pub fn at(&self, at: Mark) -> Option<&Order> {
        self.all.get(&at)
    }

    /// Orders about one leaf, oldest first.
    pub fn about(&self, of: Mark) -> impl DoubleEndedIterator<Item = &Order> {
        self.about.get(&of).into_iter().flatten().filter_map(|at| self.all.get(at))
    }

    /// Leaves that any order speaks of.
    pub fn subjects(&self, shard: Shard) -> impl Iterator<Item = u64> {
        let here = Mark { shard, index: 0 }..=Mark { shard, index: u64::MAX };
        self.about.range(here).map(|(mark, _)| mark.index)
    }

    /// The hold in force on a leaf.
    pub fn hold_on(&self, of: Mark) -> Option<&Order> {
        self.about(of)
            .rfind(|order| matches!(order.kind, OrderKind::Hold | OrderKind::Release))
            .filter(|order| order.kind == OrderKind::Hold)
    }

    /// The drop of a vault, if one was ordered after its floor.
    pub fn drop_of(&self, shard: Shard, month: Month, class: RetentionClass) -> Option<&Order> {
        self.all.values().find(|order| order.drops(shard, month, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { shard: Shard::parse("2026h2").unwrap(), index }
    }

    fn order(op: Option<&str>, of: &[u64], at: u64) -> Order {
        let leaf = Leaf { op: op.map(str::to_owned), of: of.to_vec(), ..Leaf::new(LeafKind::Erase) };
        Order::read(&leaf, mark(at)).unwrap()
    }

    #[test]
    fn a_hold_is_in_force_until_it_is_released() {
        let mut orders = Orders::default();
        orders.add(order(Some("hold"), &[1, 2], 10));
        orders.add(order(Some("release"), &[2], 11));
        assert_eq!(orders.hold_on(mark(1)).map(Order::name).as_deref(), Some("2026h2/10"));
        assert!(orders.hold_on(mark(2)).is_none() && orders.hold_on(mark(3)).is_none());
        orders.add(order(Some("hold"), &[2], 12));
        assert_eq!(orders.hold_on(mark(2)).map(|o| o.at.index), Some(12));
        assert_eq!(orders.subjects(mark(0).shard).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_order_may_speak_of_an_earlier_log() {
        let leaf =
            Leaf { past: Some("tongban/421202/2026h1".into()), of: vec![5], ..Leaf::new(LeafKind::Erase) };
        let order = Order::read(&leaf, mark(7)).unwrap();
        let earlier = Mark { shard: Shard::parse("2026h1").unwrap(), index: 5 };
        assert!(order.covers(OrderKind::Erase, earlier) && !order.covers(OrderKind::Erase, mark(5)));
    }

    #[test]
    fn a_vault_may_be_dropped_after_its_floor_only() {
        let month = Month::parse("2026-11").unwrap();
        let (other, provision) = (RetentionClass::Other, RetentionClass::Provision);
        // 2027-06-01 and 2029-12-01, midnight in Shanghai.
        assert_eq!(may_be_dropped_from(month, other), Some(1_811_779_200_000));
        assert_eq!(may_be_dropped_from(month, provision), Some(1_890_748_800_000));
        let drop_at = |ts: i64| {
            let code = Some("2026-11.other".to_owned());
            let leaf = Leaf { op: Some("drop".into()), code, ts, ..Leaf::new(LeafKind::Erase) };
            Order::read(&leaf, Mark { shard: Shard::parse("2027h1").unwrap(), index: 1 }).map(|mut order| {
                order.target = mark(0).shard;
                order.drops(mark(0).shard, month, other)
            })
        };
        assert_eq!(drop_at(1_811_779_200_000), Some(true));
        assert_eq!(drop_at(1_811_779_199_999), Some(false));
    }
}
