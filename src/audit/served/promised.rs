//! What a partner's signed answers promised us, out of our own log.

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::Region;
use crate::ledger::Leaf;
use crate::ledger::tree::Hash;
use crate::store::sqlite::SqliteShelf;
use crate::store::{Shelf as _, StoreFault};

/// Leaves read at once.
const PAGE: u64 = 4096;

/// What was promised for one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub leaf: Hash,
    /// Old enough that a checkpoint must cover it.
    pub settled: bool,
}

/// Every promise of a region's logs, by the log's origin and the index.
pub type Promised = BTreeMap<String, BTreeMap<u64, Due>>;

/// The promises of `region`'s answers in the logs of a data directory; those of answers that
/// came before `settled` (ms) must be under a checkpoint.
pub fn promised(data: &Path, region: Region, settled: i64) -> Result<Promised, StoreFault> {
    let shelf = SqliteShelf::of_data_dir(data);
    let ours = format!("tongban/{region}/");
    let mut promised = Promised::new();
    for shard in shelf.shards()? {
        let size = shelf.size(shard)?;
        let mut from = 0;
        while from < size {
            let end = size.min(from + PAGE);
            for stored in shelf.leaves(shard, from..end)? {
                // Most leaves hold none and need no parsing.
                if !stored.leaf.windows(6).any(|at| at == b"\"pl\":{") {
                    continue;
                }
                let Some(leaf) = Leaf::from_bytes(&stored.leaf) else {
                    continue;
                };
                if let Some(promise) = leaf.pl.filter(|promise| promise.origin.starts_with(&ours)) {
                    promised
                        .entry(promise.origin)
                        .or_default()
                        .insert(promise.index, Due { leaf: promise.leaf.0, settled: leaf.ts < settled });
                }
            }
            from = end;
        }
    }
    Ok(promised)
}
