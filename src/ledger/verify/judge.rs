//! What is not in a vault: erased by an order in the tree, dropped after its floor, or missing.
//! And what is: held rows against the holds in force.
//!
//! Runs when every log was walked, because an order may stand in a later one than the evidence
//! it speaks of.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::super::leaf::Leaf;
use super::super::orders::{Order, OrderKind, Orders, name_of};
use super::vaults::{MonthSeen, VaultSeen, rows_name};
use super::{Finding, FindingKind};
use crate::store::sqlite::{SqliteShelf, Vaults};
use crate::store::{Mark, RetentionClass, Shard, Shelf as _};

/// What became of the evidence that a log's leaves name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    pub present: u64,
    pub erased: u64,
    pub dropped: u64,
    pub missing: u64,
    pub held: u64,
    /// How many leaves each order (`2026h2/4711`) accounts for.
    pub orders: BTreeMap<String, u64>,
}

/// Judges the months of one log.
pub(super) fn judge(
    data: &Path,
    shard: Shard,
    origin: &str,
    size: u64,
    months: &mut [MonthSeen],
    orders: &Orders,
) -> (EvidenceReport, Vec<Finding>) {
    let mut judge = Judge {
        data,
        shard,
        origin,
        orders,
        report: EvidenceReport::default(),
        findings: Vec::new(),
        again: None,
    };
    for month in months {
        for vault in &mut month.vaults {
            judge.findings.append(&mut vault.findings);
            for index in vault.beyond.iter().filter(|index| **index < size) {
                judge.found(FindingKind::VaultRowExtra, &vault.rows_file, *index);
            }
        }
        judge.month(month);
    }
    (judge.report, judge.findings)
}

struct Judge<'a> {
    data: &'a Path,
    shard: Shard,
    origin: &'a str,
    orders: &'a Orders,
    report: EvidenceReport,
    findings: Vec<Finding>,
    /// A vault's erasures, read again.
    again: Option<(String, BTreeMap<u64, Mark>)>,
}

impl Judge<'_> {
    fn month(&mut self, month: &MonthSeen) {
        let [provision, other] = month.vaults.as_slice() else { return };
        for index in month.named.iter() {
            let (home, class) = if month.provision.has(index) {
                (provision, RetentionClass::Provision)
            } else {
                (other, RetentionClass::Other)
            };
            match (provision.rows.has(index), other.rows.has(index)) {
                (false, false) => self.absent(month, home, class, index),
                (true, true) => self.found(FindingKind::VaultRowExtra, &other.rows_file, index),
                (true, false) => self.present(provision, index),
                (false, true) => self.present(other, index),
            }
        }
        for vault in [provision, other] {
            for index in vault.held.keys().chain(vault.erased.keys()) {
                if !month.named.has(*index) && !month.unread.has(*index) {
                    self.found(FindingKind::VaultRowExtra, &vault.file, *index);
                }
            }
        }
    }

    fn present(&mut self, vault: &VaultSeen, index: u64) {
        self.report.present += 1;
        let mark = Mark { shard: self.shard, index };
        let hold = self.orders.hold_on(mark);
        match (vault.held.get(&index), hold) {
            (Some(by), Some(_))
                if self.orders.at(*by).is_some_and(|order| order.covers(OrderKind::Hold, mark)) =>
            {
                self.report.held += 1;
            }
            (Some(_), _) => self.found(FindingKind::HoldChanged, &vault.file, index),
            (None, Some(order)) => {
                let by = order.name();
                self.found_by(FindingKind::HoldMissing, &vault.file, index, &by);
            }
            (None, None) => {}
        }
        if vault.erased.contains_key(&index) {
            self.found(FindingKind::VaultRowExtra, &vault.rows_file, index);
        } else if !vault.held.contains_key(&index)
            && let Some(order) = self.orders.about(mark).find(|order| order.kind == OrderKind::Erase)
            && self.is_still_there(mark)
        {
            let by = order.name();
            self.found_by(FindingKind::EvidenceNotErased, &vault.rows_file, index, &by);
        }
    }

    /// Beside a running gateway an order may have been carried out since its row was walked over.
    fn is_still_there(&self, mark: Mark) -> bool {
        !matches!(Vaults::of_data_dir(self.data).row(mark), Ok(None))
    }

    fn absent(&mut self, month: &MonthSeen, home: &VaultSeen, class: RetentionClass, index: u64) {
        let mark = Mark { shard: self.shard, index };
        let said = month.vaults.iter().find_map(|vault| vault.erased.get(&index)).copied();
        if let Some(by) = said.or_else(|| self.erased_since(month, home, class, index)) {
            if self.has_order(by, mark) {
                self.report.erased += 1;
                *self.report.orders.entry(name_of(by)).or_default() += 1;
            } else {
                self.report.missing += 1;
                self.found_by(FindingKind::ErasureUnproven, &home.file, index, &name_of(by));
            }
            return;
        }
        let dropped = self.orders.drop_of(self.shard, month.month, class);
        if let Some(order) = dropped.filter(|_| !home.there) {
            self.report.dropped += 1;
            *self.report.orders.entry(order.name()).or_default() += 1;
            return;
        }
        if home.rows.last().is_none_or(|last| last < index) && home.there && self.is_still_there(mark) {
            // Beside a running gateway: the row came after the vault was walked.
            self.report.present += 1;
            return;
        }
        self.report.missing += 1;
        if home.broken {
            return; // Said once, of the file.
        }
        self.found(FindingKind::EvidenceMissing, &rows_name(self.shard, month.month, class), index);
    }

    /// Beside a running gateway: erased after the vault's table was read.
    fn erased_since(
        &mut self,
        month: &MonthSeen,
        home: &VaultSeen,
        class: RetentionClass,
        index: u64,
    ) -> Option<Mark> {
        if !home.there || home.broken {
            return None;
        }
        if self.again.as_ref().is_none_or(|(file, _)| *file != home.file) {
            let vault = Vaults::of_data_dir(self.data).open(self.shard, month.month, class);
            let erased = vault.ok().flatten().and_then(|vault| vault.erased().ok()).unwrap_or_default();
            self.again = Some((home.file.clone(), erased));
        }
        self.again.as_ref()?.1.get(&index).copied()
    }

    /// Does the leaf at `by` order the erasure? Beside a running gateway it may be younger than
    /// the walk over its log.
    fn has_order(&self, by: Mark, of: Mark) -> bool {
        if let Some(order) = self.orders.at(by) {
            return order.covers(OrderKind::Erase, of);
        }
        let stored =
            SqliteShelf::of_data_dir(self.data).leaves(by.shard, by.index..by.index.saturating_add(1));
        let leaf = stored.ok().and_then(|mut leaves| leaves.pop()).and_then(|s| Leaf::from_bytes(&s.leaf));
        let order = leaf.and_then(|leaf| Order::read(&leaf, by));
        order.is_some_and(|order| order.covers(OrderKind::Erase, of))
    }

    fn found(&mut self, kind: FindingKind, file: &str, index: u64) {
        self.findings.push(Finding::new(kind, file).at(self.origin, index));
    }

    fn found_by(&mut self, kind: FindingKind, file: &str, index: u64, order: &str) {
        let finding = Finding::new(kind, file).at(self.origin, index);
        self.findings.push(finding.saying(&format!(" (order #{order})"), &format!("（令 #{order}）")));
    }
}
