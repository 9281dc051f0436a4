//! Evidence held against the leaves that name it, one thread a vault, beside the walk over the
//! leaves: every row against `ev`, `rh` and its sum. What is not there is only noted here;
//! [`super::judge`] decides about it when all orders are known.
//!
//! Leaves and rows both come in the order of their index, so nothing of either is kept but one
//! bit a leaf.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::leaf::{Leaf, LeafHash};
use super::super::orders::class_of;
use super::super::tree::{Hash, sha256};
use super::bits::Bits;
use super::index::IndexCheck;
use super::{Finding, FindingKind, MOST_FINDINGS};
use crate::store::sqlite::{StoredVault, VaultFile, Vaults, is_untouched};
use crate::store::{Mark, Month, RetentionClass, Shard};

/// Leaves that travel to the vaults' threads at once, and how many such loads may wait: some
/// 4 MiB.
const LOAD: usize = 4096;
const WAITING_LOADS: usize = 8;

/// What a leaf says of its evidence.
struct Named {
    index: u64,
    /// `None`: the leaf cannot be read, and its row is not judged.
    says: Option<Says>,
}

struct Says {
    ts: i64,
    ev: Option<Hash>,
    rh: Option<[u8; 16]>,
    /// What it commits the epoch's wrapped key to; leaves of older versions do not.
    ek: Option<[u8; 16]>,
}

/// The wrapped keys of a vault, each with its commitment, and the leaves that know another.
struct Epochs {
    wrapped: BTreeMap<i64, String>,
    short: BTreeMap<i64, [u8; 16]>,
    /// By epoch: the first leaf, and how many.
    differing: BTreeMap<i64, (u64, u64)>,
}

/// What was seen of one month's evidence.
pub(super) struct MonthSeen {
    pub shard: Shard,
    pub month: Month,
    /// Leaves that name evidence, and those of them whose class is `provision`.
    pub named: Bits,
    pub provision: Bits,
    /// Leaves that could not be read: nothing is said about their rows.
    pub unread: Bits,
    /// In the order of [`RetentionClass::ALL`].
    pub vaults: Vec<VaultSeen>,
}

/// What one vault holds.
#[derive(Default)]
pub(super) struct VaultSeen {
    /// Below the data directory: what says of which rows something was ordered, and the rows.
    pub file: String,
    pub rows_file: String,
    pub there: bool,
    /// It could not be read to its end.
    pub broken: bool,
    pub rows: Bits,
    /// Rows behind the last leaf of the month.
    pub beyond: Vec<u64>,
    pub held: BTreeMap<u64, Mark>,
    pub erased: BTreeMap<u64, Mark>,
    pub findings: Vec<Finding>,
}

/// Watches the vaults of a month while its leaves are walked.
pub(super) struct Watch {
    seen: MonthSeen,
    load: Vec<Named>,
    to: Vec<SyncSender<Arc<Vec<Named>>>>,
    threads: Vec<(RetentionClass, JoinHandle<VaultSeen>)>,
}

impl Watch {
    pub fn begin(data: &Path, origin: &str, shard: Shard, month: Month) -> Self {
        let (mut to, mut threads) = (Vec::new(), Vec::new());
        for class in RetentionClass::ALL {
            let (sender, loads) = sync_channel(WAITING_LOADS);
            let job = Job { data: data.to_owned(), origin: origin.to_owned(), shard, month, class };
            let thread =
                std::thread::Builder::new().name("vault".to_owned()).spawn(move || job.run(Feed::of(loads)));
            if let Ok(thread) = thread {
                to.push(sender);
                threads.push((class, thread));
            }
        }
        let seen = MonthSeen {
            shard,
            month,
            named: Bits::default(),
            provision: Bits::default(),
            unread: Bits::default(),
            vaults: Vec::new(),
        };
        Self { seen, load: Vec::with_capacity(LOAD), to, threads }
    }

    pub fn leaf(&mut self, index: u64, leaf: &Leaf) {
        if leaf.ev.is_none() && leaf.rh.is_none() {
            return;
        }
        self.seen.named.set(index);
        if class_of(leaf) == RetentionClass::Provision {
            self.seen.provision.set(index);
        }
        let short = |text: &str| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok();
        let rh = leaf.rh.as_deref().and_then(short);
        // One that cannot be read commits to no key there is.
        let ek = leaf.ek.as_deref().map(|ek| short(ek).unwrap_or_default());
        let ev = leaf.ev.map(|LeafHash(hash)| hash);
        self.push(Named { index, says: Some(Says { ts: leaf.ts, ev, rh, ek }) });
    }

    pub fn unread(&mut self, index: u64) {
        self.seen.unread.set(index);
        self.push(Named { index, says: None });
    }

    fn push(&mut self, named: Named) {
        self.load.push(named);
        if self.load.len() == LOAD {
            self.send();
        }
    }

    fn send(&mut self) {
        let load = Arc::new(std::mem::replace(&mut self.load, Vec::with_capacity(LOAD)));
        // A thread that ended early says so in what it has seen.
        self.to.iter().for_each(|to| drop(to.send(load.clone())));
    }

    pub fn end(mut self) -> MonthSeen {
        self.send();
        self.to.clear();
        for (class, thread) in self.threads {
            let file = file_name(self.seen.shard, self.seen.month, class);
            let seen = thread.join();
            self.seen.vaults.push(seen.unwrap_or_else(|_| VaultSeen {
                findings: vec![Finding::new(FindingKind::FileDamaged, file.clone())],
                there: true,
                broken: true,
                file,
                rows_file: rows_name(self.seen.shard, self.seen.month, class),
                ..VaultSeen::default()
            }));
        }
        self.seen
    }
}

pub(super) fn file_name(shard: Shard, month: Month, class: RetentionClass) -> String {
    format!("ledger/{shard}/{month}.{}.db", class.name())
}

/// Where the rows of that vault stand.
pub(super) fn rows_name(shard: Shard, month: Month, class: RetentionClass) -> String {
    format!("ledger/{shard}/{month}.{}.sealed", class.name())
}

/// The leaves as they come, one after the other.
struct Feed {
    loads: Receiver<Arc<Vec<Named>>>,
    load: Arc<Vec<Named>>,
    at: usize,
}

impl Feed {
    fn of(loads: Receiver<Arc<Vec<Named>>>) -> Self {
        Self { loads, load: Arc::default(), at: 0 }
    }

    /// What the leaf at `index` says, going forward; `Err(true)` when there is no further leaf.
    fn reach(&mut self, index: u64) -> Result<&Named, bool> {
        loop {
            while self.load.get(self.at).is_some_and(|named| named.index < index) {
                self.at += 1;
            }
            if self.at < self.load.len() {
                let named = self.load.get(self.at).ok_or(true)?;
                return if named.index == index { Ok(named) } else { Err(false) };
            }
            self.load = self.loads.recv().map_err(|_| true)?;
            self.at = 0;
        }
    }

    /// The walk must not wait for a thread that has no more to ask.
    fn drain(self) {
        self.loads.iter().for_each(drop);
    }
}

struct Job {
    data: PathBuf,
    origin: String,
    shard: Shard,
    month: Month,
    class: RetentionClass,
}

impl Job {
    fn run(self, mut feed: Feed) -> VaultSeen {
        let file = file_name(self.shard, self.month, self.class);
        let rows_file = rows_name(self.shard, self.month, self.class);
        let mut seen = VaultSeen { file: file.clone(), rows_file, ..VaultSeen::default() };
        seen.there = self.data.join(&file).exists();
        match Vaults::of_data_dir(&self.data).open(self.shard, self.month, self.class) {
            Ok(Some(vault)) => self.walk(&vault, &mut feed, &mut seen),
            Ok(None) => {}
            Err(_) => self.broken(&mut seen, file.clone()),
        }
        feed.drain();
        if seen.findings.is_empty() && is_untouched(&self.data.join(&file)) == Some(false) {
            seen.findings.push(Finding::new(FindingKind::FileTouched, file).of(&self.origin));
        }
        seen
    }

    fn broken(&self, seen: &mut VaultSeen, file: String) {
        seen.broken = true;
        self.found(seen, Finding::new(FindingKind::FileDamaged, file).of(&self.origin));
    }

    fn found(&self, seen: &mut VaultSeen, finding: Finding) {
        if seen.findings.len() < MOST_FINDINGS * 10 {
            seen.findings.push(finding);
        }
    }

    fn walk(&self, vault: &VaultFile, feed: &mut Feed, seen: &mut VaultSeen) {
        let (Ok(epochs), Ok(held), Ok(erased)) = (vault.epochs(), vault.held(), vault.erased()) else {
            return self.broken(seen, seen.file.clone());
        };
        let mut epochs = Epochs::of(epochs);
        (seen.held, seen.erased) = (held, erased);
        let mut index = IndexCheck::begin(&self.data, vault, &self.origin).unwrap_or_else(|damaged| {
            self.found(seen, damaged);
            None
        });
        let walked = vault.walk(0, |row| {
            let stamped = self.row(&row, vault, &mut epochs, feed, seen);
            if let (Some(index), Some(ts)) = (&mut index, stamped) {
                index.row(row.index, ts, &row.tokens);
            }
        });
        self.epochs(&epochs, seen);
        let differing = index.map(|index| index.end(vault, &self.origin)).unwrap_or_default();
        differing.into_iter().for_each(|finding| self.found(seen, finding));
        if walked.is_err() {
            self.broken(seen, seen.rows_file.clone());
        }
        if !matches!(vault.integrity(), Ok(damage) if damage.is_empty()) {
            self.broken(seen, seen.file.clone());
        }
    }

    /// When the row's leaf was stamped, if there is such a leaf.
    fn row(
        &self,
        row: &StoredVault,
        vault: &VaultFile,
        epochs: &mut Epochs,
        feed: &mut Feed,
        seen: &mut VaultSeen,
    ) -> Option<i64> {
        let named = match feed.reach(row.index) {
            Ok(named) => named,
            Err(true) => {
                seen.beyond.push(row.index);
                return None;
            }
            Err(false) => {
                self.extra(seen, row.index);
                return None;
            }
        };
        let says = named.says.as_ref()?;
        if seen.rows.has(row.index) {
            self.extra(seen, row.index);
            return None;
        }
        let secret = sha256(&row.r);
        let mut wrong = Vec::new();
        if says.ev != Some(sha256(&row.sealed)) {
            wrong.push(FindingKind::EvidenceChanged);
        }
        if says.rh.as_ref().map(<[u8; 16]>::as_slice) != secret.get(..16) {
            wrong.push(FindingKind::SecretChanged);
        }
        if wrong.is_empty() && !row.sum_fits {
            wrong.push(FindingKind::VaultRowChanged);
        }
        // Beside a running gateway it may have been erased while it was read.
        if !wrong.is_empty() && matches!(vault.row(row.index), Ok(None)) {
            return Some(says.ts);
        }
        seen.rows.set(row.index);
        if !epochs.wrapped.contains_key(&row.epoch) {
            wrong.push(FindingKind::EpochMissing);
        } else if says.ek.is_some_and(|ek| epochs.short.get(&row.epoch) != Some(&ek)) {
            epochs.differing.entry(row.epoch).or_insert((row.index, 0)).1 += 1;
        }
        for kind in wrong {
            let is_key = kind == FindingKind::EpochMissing;
            let file = if is_key { &seen.file } else { &seen.rows_file }.clone();
            self.found(seen, Finding::new(kind, file).at(&self.origin, row.index));
        }
        Some(says.ts)
    }

    /// One changed key is one finding, with the first leaf that knows another.
    fn epochs(&self, epochs: &Epochs, seen: &mut VaultSeen) {
        for (id, wrapped) in &epochs.wrapped {
            let finding = match epochs.differing.get(id) {
                Some((index, leaves)) => Finding::new(FindingKind::EpochDiffers, seen.file.clone())
                    .at(&self.origin, *index)
                    .saying(
                        &format!(": epoch {id}, {leaves} leaves"),
                        &format!("：时段 {id}，共 {leaves} 条"),
                    ),
                None if is_wrapped_key(wrapped) => continue,
                None => Finding::new(FindingKind::EpochChanged, seen.file.clone())
                    .of(&self.origin)
                    .saying(&format!(": epoch {id}"), &format!("：{id}")),
            };
            self.found(seen, finding);
        }
    }

    fn extra(&self, seen: &mut VaultSeen, index: u64) {
        let finding = Finding::new(FindingKind::VaultRowExtra, seen.rows_file.clone());
        self.found(seen, finding.at(&self.origin, index));
    }
}

impl Epochs {
    fn of(wrapped: BTreeMap<i64, String>) -> Self {
        let short = |text: &String| sha256(text.as_bytes()).first_chunk().copied().unwrap_or_default();
        let short = wrapped.iter().map(|(id, text)| (*id, short(text))).collect();
        Self { wrapped, short, differing: BTreeMap::new() }
    }
}

/// A general-JSON JWE with somebody to unwrap it; what is in it only auditors can tell.
pub fn is_wrapped_key(wrapped: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(wrapped).ok();
    let recipients = value.as_ref().and_then(|jwe| jwe.get("recipients")?.as_array());
    recipients.is_some_and(|recipients| !recipients.is_empty())
}
