//! Completeness: what the index answered, held against the tags of every leaf of the window.
//!
//! The index is derived and trusted by nobody. A tag is `HMAC(r, T)`: with the subject's `T`
//! and each leaf's `r`, which the leaf's `rh` commits to, the matching leaves can be computed
//! from the leaves alone. A leaf without `r` must be covered by an `erase` leaf.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::{Intent, LEAVES_AT_ONCE};
use super::find::{answered_by_index, mark_of};
use super::states::class_of;
use super::{Act, Desk, DeskFault, Mandate, Warrant, rd_of};
use crate::clock::Now;
use crate::ledger::evidence::{SubjectKey, tag_of};
use crate::ledger::{Leaf, LeafKind, Month, Shard};
use crate::store::Shelf as _;
use crate::store::sqlite::{SqliteShelf, Vaults};

/// Indices told of each kind; more are counted.
const MOST_TOLD: usize = 100;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// The index answered exactly what the leaves say, and every leaf could be looked into or
    /// is covered by an order.
    pub complete: bool,
    /// Leaves of the window.
    pub leaves: u64,
    /// Leaves of the subject's, by their tags.
    pub matching: u64,
    /// Leaves that the index answered.
    pub answered: u64,
    /// The subject's leaves that the index hid.
    pub hidden: Vec<u64>,
    /// Leaves that the index answered and that are not the subject's.
    pub foreign: Vec<u64>,
    /// Leaves whose secret was erased or dropped by order.
    pub erased: u64,
    /// Leaves whose secret is not there and no order says why.
    pub uncovered: Vec<u64>,
    /// Leaves whose secret is not the one they commit to.
    pub wrong_secret: Vec<u64>,
    /// The leaf that says that this was looked into; absent on a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
}

/// Recomputes everything from a data directory or its copy. Blocks. `answered` is what the
/// index says, or what somebody claims it said.
pub fn completeness_of(
    data: &Path,
    warrant: &Warrant,
    answered: &BTreeSet<u64>,
) -> Result<Completeness, DeskFault> {
    let (shard, subject) = (warrant.log()?, warrant.subject()?);
    let (shelf, vaults) = (SqliteShelf::of_data_dir(data), Vaults::of_data_dir(data));
    let orders = Orders::read(&shelf, shard)?;
    let mut secrets = Secrets::of(&vaults, shard)?;
    let mut told = Completeness { answered: answered.len() as u64, ..Completeness::default() };
    let mut matching = BTreeSet::new();
    let (size, mut next) = (shelf.size(shard)?, 0);
    while next < size {
        let until = size.min(next + LEAVES_AT_ONCE);
        let secrets = secrets.range(next..until)?;
        for stored in shelf.leaves(shard, next..until)? {
            let Some(leaf) = Leaf::from_bytes(&stored.leaf).filter(|leaf| warrant.covers(leaf.ts)) else {
                continue;
            };
            told.leaves += 1;
            let Some(rh) = &leaf.rh else { continue };
            match secrets.get(&stored.index) {
                Some(r) if short_hash(r) != *rh => keep(&mut told.wrong_secret, stored.index),
                Some(r) if has_tag(&leaf, r, &subject) => {
                    matching.insert(stored.index);
                }
                Some(_) => {}
                None if orders.cover(stored.index, &leaf) => told.erased += 1,
                None => keep(&mut told.uncovered, stored.index),
            }
        }
        next = until;
    }
    told.matching = matching.len() as u64;
    told.hidden = matching.difference(answered).copied().take(MOST_TOLD).collect();
    told.foreign = answered.difference(&matching).copied().take(MOST_TOLD).collect();
    let faults = [&told.hidden, &told.foreign, &told.uncovered, &told.wrong_secret];
    told.complete = faults.iter().all(|found| found.is_empty());
    Ok(told)
}

impl Desk {
    /// Checks the index with a warrant; the act is recorded.
    pub async fn completeness(
        &self,
        mandate: &Mandate,
        warrant: &Warrant,
    ) -> Result<Completeness, DeskFault> {
        mandate.may(Act::Completeness)?;
        let (warrant, mark) = (warrant.clone(), mark_of(&warrant.subject()?));
        let what = json!({"log": warrant.shard, "sought": [warrant.field.name()],
            "from": warrant.from, "to": warrant.to});
        let mut told = self
            .blocking(move |desk| {
                let answered = answered_by_index(&desk.inner.data, &warrant)?;
                completeness_of(&desk.inner.data, &warrant, &answered)
            })
            .await?;
        let intent = Intent { n: told.matching, what, sought: vec![mark], ..Intent::new(Act::Completeness) };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        told.leaf = Some(recorded.leaf);
        Ok(told)
    }
}

fn keep(found: &mut Vec<u64>, index: u64) {
    if found.len() < MOST_TOLD {
        found.push(index);
    }
}

fn has_tag(leaf: &Leaf, r: &[u8], subject: &SubjectKey) -> bool {
    !leaf.tags.is_empty() && leaf.tags.contains(&tag_of(r, subject))
}

/// The leaf's `rh`.
pub(super) fn short_hash(r: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(rd_of(r).get(..16).unwrap_or_default())
}

/// The orders of all logs that concern one.
#[derive(Default)]
struct Orders {
    erased: BTreeSet<u64>,
    /// `2026-11.provision`.
    dropped: BTreeSet<String>,
}

impl Orders {
    /// From the leaves alone: what the registers say counts for nobody outside.
    fn read(shelf: &SqliteShelf, about: Shard) -> Result<Self, DeskFault> {
        let mut orders = Self::default();
        for shard in shelf.shards()?.into_iter().filter(|shard| *shard >= about) {
            for stored in shelf.of_kind(shard, LeafKind::Erase.name())? {
                let Some(leaf) = Leaf::from_bytes(&stored.leaf) else { continue };
                let named = leaf.past.as_deref().and_then(|origin| Shard::parse(origin.rsplit('/').next()?));
                match leaf.op.as_deref() {
                    None if named == Some(about) => orders.erased.extend(leaf.of),
                    Some("drop") => orders.dropped.extend(leaf.code),
                    _ => {}
                }
            }
        }
        Ok(orders)
    }

    fn cover(&self, index: u64, leaf: &Leaf) -> bool {
        let month = Month::at(Now::from_ms(leaf.ts));
        self.erased.contains(&index) || self.dropped.contains(&format!("{month}.{}", class_of(leaf).name()))
    }
}

/// The secrets of a log's leaves, read window by window.
struct Secrets {
    files: Vec<crate::store::sqlite::VaultFile>,
}

impl Secrets {
    fn of(vaults: &Vaults, shard: Shard) -> Result<Self, DeskFault> {
        let mut files = Vec::new();
        for (month, class) in vaults.list(shard)? {
            files.extend(vaults.open(shard, month, class)?);
        }
        Ok(Self { files })
    }

    fn range(&mut self, range: std::ops::Range<u64>) -> Result<BTreeMap<u64, Vec<u8>>, DeskFault> {
        let mut secrets = BTreeMap::new();
        for file in &self.files {
            file.secrets(range.clone(), |index, r| {
                secrets.insert(index, r.to_vec());
            })?;
        }
        Ok(secrets)
    }
}
