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

/// Index and leaf hash of every promise of a region's logs, by the log's origin.
pub type Promised = BTreeMap<String, BTreeMap<u64, Hash>>;

/// The promises of `region`'s answers in the logs of a data directory, of those that came before
/// `before` (ms).
pub fn promised(data: &Path, region: Region, before: i64) -> Result<Promised, StoreFault> {
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
                let Some(leaf) = Leaf::from_bytes(&stored.leaf).filter(|leaf| leaf.ts < before) else {
                    continue;
                };
                if let Some(promise) = leaf.pl.filter(|promise| promise.origin.starts_with(&ours)) {
                    promised.entry(promise.origin).or_default().insert(promise.index, promise.leaf.0);
                }
            }
            from = end;
        }
    }
    Ok(promised)
}
