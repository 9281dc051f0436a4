//! One log, leaf by leaf: each leaf against its hash, the hashes against the tiles, the
//! tree against every checkpoint.
//!
//! When two sources disagree, the third decides which of them was changed; the walk then
//! goes on with the undisputed hash, so that one change is one finding.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::checkpoint::Checkpoint;
use super::super::leaf::{Leaf, LeafKind, is_canonical};
use super::super::orders::Order;
use super::super::tile_files::TileFiles;
use super::super::tiles::Edge;
use super::super::tree::{Hash, leaf_hash};
use super::checkpoints::{Awaited, End, behind, checkpoints, choose_key, kept_elsewhere};
use super::facets::FacetCheck;
use super::judge::EvidenceReport;
use super::vaults::{MonthSeen, Watch};
use super::{Finding, FindingKind, LogReport, MOST_FINDINGS};
use crate::store::sqlite::{Columns, MonthFile, SqliteShelf, is_untouched};
use crate::store::{Head, Mark, Shard, Shelf as _, StoredLeaf};

/// A checked log, and its end for the next one's first leaf.
#[derive(Default)]
pub(super) struct Checked {
    pub report: Option<LogReport>,
    pub end: Option<End>,
    pub orders: Vec<Order>,
    /// Evidence is judged when the orders of every log are known.
    pub months: Vec<MonthSeen>,
}

/// What every log is held against.
pub(super) struct Against<'a> {
    pub data: &'a Path,
    pub shelf: &'a SqliteShelf,
    pub key: Option<[u8; 32]>,
    /// Checkpoints that somebody else kept.
    pub elsewhere: &'a [Vec<u8>],
    pub progress: &'a dyn Fn(u64),
}

pub(super) struct Walk<'a> {
    pub(super) data: &'a Path,
    pub(super) origin: String,
    pub(super) me: Option<String>,
    pub(super) files: TileFiles,
    pub(super) findings: &'a mut Vec<Finding>,
    pub(super) edge: Edge,
    /// Largest first.
    pub(super) awaited: Vec<Awaited>,
    pub(super) sealed: u64,
    /// The tile of level 0 that the walk is in.
    pub(super) tile: (u64, Vec<Hash>),
    /// Leaves that agree with their hash but not with the tile, and the tile's file.
    pub(super) disputed: Vec<(u64, String, String)>,
    /// Hashes that nothing in this copy knows: the tree cannot be told.
    pub(super) lost: bool,
    pub(super) contradicted: bool,
    /// Size of the last checkpoint that agreed.
    pub(super) agreed: u64,
    pub(super) tiles: u64,
    pub(super) last_kind: Option<LeafKind>,
    /// A leaf with evidence committed to its epoch's key: from then on each does.
    names_epochs: bool,
    shard: Shard,
    orders: Vec<Order>,
    months: Vec<MonthSeen>,
    watch: Option<Watch>,
    facets: Option<FacetCheck>,
    progress: &'a dyn Fn(u64),
}

/// Leaves between two words about progress.
const PROGRESS_EVERY: u64 = 2048;

pub(super) fn check(
    against: &Against<'_>,
    shard: Shard,
    kept: &[Head],
    before: Option<&End>,
    must_be_closed: bool,
    findings: &mut Vec<Finding>,
) -> Checked {
    let Against { data, shelf, key, .. } = *against;
    let genesis = shelf.leaves(shard, 0..1).ok().and_then(|mut leaves| leaves.pop());
    let genesis = genesis.and_then(|stored| Leaf::from_bytes(&stored.leaf));
    let named = kept.iter().find_map(|head| Checkpoint::peek(&head.note).ok()).map(|c| c.origin);
    let me = genesis.as_ref().and_then(|leaf| leaf.me.clone());
    let Some(origin) = named.or_else(|| me.as_ref().map(|me| format!("tongban/{me}/{shard}"))) else {
        // Neither a checkpoint nor a first leaf can be read: only the files can be named.
        let folder = format!("ledger/{shard}");
        findings.push(Finding::new(FindingKind::FileDamaged, folder));
        return Checked::default();
    };
    let (vkey, source) = choose_key(&origin, key, genesis.as_ref(), findings, shard, before);
    let files = TileFiles::new(data, &origin);
    let (mut awaited, end) = checkpoints(data, &files, &origin, kept, vkey.as_ref(), findings);
    behind(data, &files, &origin, &awaited, findings);
    awaited.sort_by_key(|c| std::cmp::Reverse(c.size));
    let newest = awaited.first().map(|c| (c.size, STANDARD.encode(c.root)));
    let checkpoints = awaited.len() as u64;
    let sealed = newest.as_ref().map_or(0, |(size, _)| *size);
    kept_elsewhere(against.elsewhere, &origin, vkey.as_ref(), &mut awaited, findings);
    let me = me.or_else(|| origin.split('/').nth(1).map(str::to_owned));
    let first_finding = findings.len();
    let mut walk = Walk {
        data,
        me,
        files,
        findings,
        edge: Edge::default(),
        awaited,
        sealed,
        tile: (u64::MAX, Vec::new()),
        disputed: Vec::new(),
        lost: false,
        contradicted: false,
        agreed: 0,
        tiles: 0,
        last_kind: None,
        names_epochs: false,
        origin: origin.clone(),
        shard,
        orders: Vec::new(),
        months: Vec::new(),
        watch: None,
        facets: None,
        progress: against.progress,
    };
    walk.meet_checkpoints();
    walk.months(shelf, shard);
    walk.finish(shard, must_be_closed);
    walk.untouched(shelf, shard);
    let (orders, months) = (std::mem::take(&mut walk.orders), std::mem::take(&mut walk.months));
    // Leaves first, in their order: the rest follows from them more often than not.
    if let Some(here) = walk.findings.get_mut(first_finding..) {
        here.sort_by_key(|finding| (finding.index.is_none(), finding.index));
    }
    let report = LogReport {
        origin: origin.clone(),
        leaves: walk.edge.size(),
        sealed,
        root: newest.map(|(_, root)| root),
        checkpoints,
        tiles: walk.tiles,
        vkey: vkey.map(|v| v.to_string()),
        key: source,
        evidence: EvidenceReport::default(),
    };
    Checked { report: Some(report), end: end.map(|note| End { origin, note }), orders, months }
}

impl Walk<'_> {
    fn months(&mut self, shelf: &SqliteShelf, shard: Shard) {
        let months = shelf.months(shard).unwrap_or_default();
        for month in months {
            let name = format!("ledger/{shard}/{month}.db");
            self.watch = Some(Watch::begin(self.data, &self.origin, shard, month));
            // Before the leaves: what the index has taken in by now, they hold.
            match FacetCheck::begin(self.data, shard, month, &self.origin) {
                Ok(facets) => self.facets = facets,
                Err(damaged) => self.found(damaged),
            }
            match shelf.month(shard, month) {
                Ok(file) => self.month(&file, &name),
                Err(_) => self.found(Finding::new(FindingKind::FileDamaged, name)),
            }
            let differing = self.facets.take().map(FacetCheck::end).unwrap_or_default();
            differing.into_iter().for_each(|finding| self.found(finding));
            self.months.extend(self.watch.take().map(Watch::end));
        }
    }

    fn month(&mut self, file: &MonthFile, name: &str) {
        let walked = file.walk(|stored, columns| self.leaf(stored, &columns, name));
        if walked.is_err() {
            // Nothing is said about the index of leaves that could not be read.
            self.facets = None;
            let next = self.edge.size();
            let after = format!("; reading stopped before leaf {next}");
            let finding = Finding::new(FindingKind::FileDamaged, name).of(&self.origin);
            self.found(finding.saying(&after, &format!("；读至第 {next} 条前中断")));
        }
        match file.damaged_memories() {
            Ok(damaged) => {
                for index in damaged {
                    self.found(Finding::new(FindingKind::MemoryChanged, name).at(&self.origin, index));
                }
            }
            Err(_) => self.found(Finding::new(FindingKind::FileDamaged, name).of(&self.origin)),
        }
        match file.integrity() {
            Ok(damage) if damage.is_empty() => {}
            Ok(damage) => {
                let first = format!(": {}", damage.join("; "));
                self.found(Finding::new(FindingKind::FileDamaged, name).of(&self.origin).saying(&first, ""));
            }
            Err(_) => self.found(Finding::new(FindingKind::FileDamaged, name).of(&self.origin)),
        }
    }

    /// Only where nothing else shows the change: one change is one finding.
    fn untouched(&mut self, shelf: &SqliteShelf, shard: Shard) {
        for month in shelf.months(shard).unwrap_or_default() {
            let name = format!("ledger/{shard}/{month}.db");
            let told = self.findings.iter().any(|finding| finding.file == name);
            if !told && is_untouched(&self.data.join(&name)) == Some(false) {
                self.found(Finding::new(FindingKind::FileTouched, name).of(&self.origin));
            }
        }
    }

    fn leaf(&mut self, stored: StoredLeaf, columns: &Columns, name: &str) {
        let index = stored.index;
        if index < self.edge.size() {
            return self.found(Finding::new(FindingKind::LeafRewritten, name).at(&self.origin, index));
        }
        self.gap(index, name);
        if index.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(PROGRESS_EVERY);
        }
        let own = leaf_hash(&stored.leaf);
        let tile = self.tile_hash(index);
        let hash = if own == stored.hash {
            if let Some((_, file)) = tile.filter(|(hash, _)| *hash != own) {
                self.disputed.push((index, name.to_owned(), file));
            }
            self.content(index, &stored.leaf, columns, name);
            own
        } else if tile.is_some_and(|(hash, _)| hash == own) {
            self.found(Finding::new(FindingKind::HashChanged, name).at(&self.origin, index));
            self.unread(index);
            own
        } else {
            self.found(Finding::new(FindingKind::LeafChanged, name).at(&self.origin, index));
            self.unread(index);
            stored.hash
        };
        self.push(hash);
    }

    /// Leaves between the last one and `index` are not there: their hashes may be known.
    fn gap(&mut self, index: u64, name: &str) {
        let first = self.edge.size();
        if first == index {
            return;
        }
        let through = format!(" (through leaf {})", index - 1);
        let finding = Finding::new(FindingKind::LeafMissing, name).at(&self.origin, first);
        self.found(finding.saying(&through, &format!("（至第 {} 条）", index - 1)));
        for missing in first..index {
            self.unread(missing);
            let Some((hash, _)) = self.tile_hash(missing) else {
                self.lost = true;
                // A wild index must not keep the walk busy: the tree is lost anyway.
                self.edge = Edge::from_levels(index, Vec::new());
                return;
            };
            self.push(hash);
        }
    }

    fn content(&mut self, index: u64, bytes: &[u8], columns: &Columns, name: &str) {
        // Writing it again is the cheap way to see that it is canonical.
        let parsed = Leaf::from_bytes(bytes)
            .filter(|leaf| leaf.to_bytes().as_deref() == Some(bytes) || is_canonical(bytes));
        let Some(leaf) = parsed.filter(|leaf| leaf.me == self.me) else {
            self.unread(index);
            return self.found(Finding::new(FindingKind::LeafMalformed, name).at(&self.origin, index));
        };
        self.last_kind = Some(leaf.t);
        self.orders.extend(Order::read(&leaf, Mark { shard: self.shard, index }));
        if let Some(watch) = &mut self.watch {
            watch.leaf(index, &leaf);
        }
        if let Some(facets) = &mut self.facets {
            facets.leaf(index, &leaf);
        }
        if leaf.ev.is_some() && self.names_epochs && leaf.ek.is_none() {
            self.found(Finding::new(FindingKind::EpochUnnamed, name).at(&self.origin, index));
        }
        self.names_epochs |= leaf.ek.is_some();
        let same = columns.ts == leaf.ts && columns.kind == leaf.t.name() && columns.exchange == leaf.x;
        if !same {
            self.found(Finding::new(FindingKind::IndexChanged, name).at(&self.origin, index));
        }
    }

    fn unread(&mut self, index: u64) {
        if let Some(watch) = &mut self.watch {
            watch.unread(index);
        }
        if let Some(facets) = &mut self.facets {
            facets.unread(index);
        }
    }

    fn push(&mut self, hash: Hash) {
        let mut full = Vec::new();
        self.edge.push(hash, &mut full);
        full.iter().for_each(|tile| self.full_tile(tile));
        self.meet_checkpoints();
    }

    fn meet_checkpoints(&mut self) {
        while self.awaited.last().is_some_and(|c| c.size == self.edge.size()) {
            let Some(checkpoint) = self.awaited.pop() else { return };
            if self.lost || self.contradicted {
                continue;
            }
            let size = checkpoint.size;
            if checkpoint.root == self.edge.root() {
                self.agreed = size;
                continue;
            }
            self.contradicted = true;
            let agreed = self.agreed;
            let finding = Finding::new(FindingKind::CheckpointContradicted, checkpoint.file).of(&self.origin);
            self.found(finding.saying(
                &format!(" (size {size}; the first {agreed} leaves agree with an earlier one)"),
                &format!("（{size} 条；前 {agreed} 条与更早的检查点一致）"),
            ));
        }
    }

    fn finish(&mut self, shard: Shard, must_be_closed: bool) {
        let size = self.edge.size();
        let folder = format!("ledger/{shard}");
        if let Some(first) = self.awaited.first() {
            let signed = first.size;
            let finding = Finding::new(FindingKind::LeafMissing, folder.clone()).at(&self.origin, size);
            let en = format!(": {} is signed for {signed} leaves, the log holds {size}", first.file);
            self.found(finding.saying(&en, &format!("：已签 {signed} 条，现有 {size} 条")));
        }
        for (index, store, tile) in std::mem::take(&mut self.disputed) {
            // The signed tree is on the leaves' side, or on the tile's.
            let finding = if self.contradicted {
                Finding::new(FindingKind::LeafRewritten, store).at(&self.origin, index)
            } else {
                Finding::new(FindingKind::TileChanged, tile).at(&self.origin, index)
            };
            self.found(finding);
        }
        self.partial_tiles();
        if must_be_closed && self.last_kind != Some(LeafKind::Close) {
            self.found(Finding::new(FindingKind::ChainBroken, folder).at(&self.origin, size));
        }
    }

    pub(super) fn found(&mut self, finding: Finding) {
        // Counted beyond the limit by kind of place only: the words would not be shown.
        if self.findings.len() < MOST_FINDINGS * 10 {
            self.findings.push(finding);
        }
    }
}
