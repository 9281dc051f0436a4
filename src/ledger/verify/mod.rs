//! Reading a log without owning it: everything that can be checked, and what a person asks.
//!
//! Works on a data directory beside a running gateway, or on a copy. Promises: every leaf,
//! tile and kept checkpoint is held against the others, and a change is named by file and
//! leaf. CLI and console read the ledger through here. Leaves to witnesses what one
//! region's data cannot show: leaves that were never written.

mod bits;
mod checkpoints;
mod facets;
mod finding;
mod index;
mod judge;
mod log;
mod look;
mod range;
mod set_sum;
mod tiles;
mod vaults;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::leaf::{Leaf, RESTORED};
use super::orders::Orders;
use crate::store::sqlite::{SqliteHeads, SqliteShelf, integrity, is_untouched};
use crate::store::{Head, Shard, Shelf as _};

pub use crate::store::StoreFault;

pub use finding::{Finding, FindingKind};
pub use judge::EvidenceReport;
pub use look::{Consistency, LookFault, ShownLeaf, consistency, find, proof};
pub use range::{RangeFault, verify_range};
pub use vaults::is_wrapped_key;

/// Findings told; more are counted.
pub const MOST_FINDINGS: usize = 100;

/// What a check of a data directory says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Nothing was found.
    pub sound: bool,
    pub data_dir: PathBuf,
    pub logs: Vec<LogReport>,
    pub findings: Vec<Finding>,
    /// Findings beyond [`MOST_FINDINGS`].
    pub more: usize,
}

/// One log that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogReport {
    pub origin: String,
    pub leaves: u64,
    /// Leaves under the newest signed checkpoint.
    pub sealed: u64,
    /// Its root, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Checkpoints held against the leaves.
    pub checkpoints: u64,
    /// Tile files held against the leaves.
    pub tiles: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vkey: Option<String>,
    pub key: KeySource,
    /// What became of the evidence that its leaves name.
    pub evidence: EvidenceReport,
}

/// Whose word it is that this key is the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// The caller's.
    Given,
    /// The log's own first leaf: shows changes, but not a log made anew as a whole.
    Genesis,
    /// Nobody's: checkpoints could not be checked.
    Unknown,
}

/// What a check may be told besides the directory.
#[derive(Default)]
pub struct Asked<'a> {
    /// The ledger's public key, if known.
    pub key: Option<[u8; 32]>,
    /// Checkpoints that somebody else kept (a witness, an auditor): only they show that a whole
    /// directory was put back to yesterday.
    pub elsewhere: Vec<Vec<u8>>,
    /// Told how many leaves there are, and how many were walked over.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

/// Checks every log in a data directory. `key` is the ledger's public key, if known.
pub fn verify(data: &Path, key: Option<[u8; 32]>) -> Result<Verdict, StoreFault> {
    verify_as(data, &Asked { key, ..Asked::default() })
}

/// Checks every log in a data directory, with its evidence.
pub fn verify_as(data: &Path, asked: &Asked<'_>) -> Result<Verdict, StoreFault> {
    let shelf = SqliteShelf::of_data_dir(data);
    let mut findings = Vec::new();
    // Checkpoints first: beside a running gateway the leaves may grow, never lag behind.
    let kept = kept_checkpoints(data, &mut findings);
    let mut shards = shelf.shards()?;
    shards.extend(kept.keys().copied());
    shards.sort_unstable();
    shards.dedup();
    if shards.is_empty() {
        return Err(StoreFault::File {
            path: data.join("ledger").display().to_string(),
            kind: std::io::ErrorKind::NotFound,
        });
    }
    let all: u64 = shards.iter().filter_map(|shard| shelf.size(*shard).ok()).sum();
    let walked = Cell::new(0);
    let progress = |more: u64| {
        walked.set(walked.get() + more);
        if let Some(tell) = asked.progress {
            tell(walked.get().min(all), all);
        }
    };
    let against = log::Against {
        data,
        shelf: &shelf,
        key: asked.key,
        elsewhere: &asked.elsewhere,
        progress: &progress,
    };
    let (mut logs, mut orders, mut judged) = (Vec::new(), Orders::default(), Vec::new());
    let mut before = None;
    for (at, shard) in shards.iter().copied().enumerate() {
        let kept = kept.get(&shard).map_or(&[][..], Vec::as_slice);
        // The last log is still being written, and one that was cut off has no end.
        let must_be_closed = shards.get(at + 1).is_some_and(|next| !begins_after_restore(&shelf, *next));
        let checked = log::check(&against, shard, kept, before.as_ref(), must_be_closed, &mut findings);
        checked.orders.into_iter().for_each(|order| orders.add(order));
        if let Some(report) = checked.report {
            judged.push((shard, logs.len(), checked.months));
            logs.push(report);
        }
        before = checked.end;
    }
    for (shard, at, mut months) in judged {
        let Some(report) = logs.get_mut(at) else { continue };
        let (evidence, more) = judge::judge(data, shard, &report.origin, report.leaves, &mut months, &orders);
        report.evidence = evidence;
        findings.extend(more);
    }
    let more = findings.len().saturating_sub(MOST_FINDINGS);
    if more > 0 {
        // A damaged file explains what follows from it, and must not be cut off behind that.
        findings.sort_by_key(|finding| finding.kind != FindingKind::FileDamaged);
    }
    findings.truncate(MOST_FINDINGS);
    Ok(Verdict { sound: findings.is_empty(), data_dir: data.to_owned(), logs, findings, more })
}

fn begins_after_restore(shelf: &SqliteShelf, shard: Shard) -> bool {
    let first = shelf.leaves(shard, 0..1).ok().and_then(|mut leaves| leaves.pop());
    let genesis = first.and_then(|stored| Leaf::from_bytes(&stored.leaf));
    genesis.is_some_and(|genesis| genesis.code.as_deref() == Some(RESTORED))
}

fn kept_checkpoints(data: &Path, findings: &mut Vec<Finding>) -> BTreeMap<Shard, Vec<Head>> {
    let name = "ledger/state.db";
    let path = data.join(name);
    let mut kept: BTreeMap<Shard, Vec<Head>> = BTreeMap::new();
    let read = SqliteHeads::kept(&path).and_then(|heads| Ok((heads, integrity(&path)?)));
    match read {
        Ok((heads, damage)) => {
            if let Some(first) = damage.first() {
                findings.push(Finding::new(FindingKind::FileDamaged, name).saying(&format!(": {first}"), ""));
            } else if is_untouched(&path) == Some(false) {
                findings.push(Finding::new(FindingKind::FileTouched, name));
            }
            heads.into_iter().for_each(|(shard, head)| kept.entry(shard).or_default().push(head));
        }
        Err(StoreFault::File { kind: std::io::ErrorKind::NotFound, .. }) => {
            findings.push(Finding::new(FindingKind::FileMissing, name));
        }
        Err(_) => findings.push(Finding::new(FindingKind::FileDamaged, name)),
    }
    kept
}

/// A file's path below the data directory.
fn relative(data: &Path, path: &Path) -> String {
    path.strip_prefix(data).unwrap_or(path).display().to_string()
}
