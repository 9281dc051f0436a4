//! Vaults: one file a month and retention class for what lies outside the tree and can be
//! erased: sealed evidence, its secret, its search tokens.
//!
//! ```text
//! <data>/ledger/2026h2/2026-11.provision.db         kept three years at least
//! <data>/ledger/2026h2/2026-11.other.db             kept six months at least
//! <data>/ledger/2026h2/2026-11.provision.index.db   search index, derived ([`super::index`])
//! ```
//!
//! Promises: rows are written before the leaves that name them and flushed beside those; a stop in
//! between leaves rows without a leaf, which the next opening takes away (for leaves without rows see
//! [`super::unfinished`]). A class expires by dropping a file.

mod reader;
mod writer;

use std::path::{Path, PathBuf};

use super::super::{Month, RetentionClass, Shard};

pub use reader::{StoredVault, VaultFile, Vaults};
pub(super) use writer::VaultHand;

/// `sealed` stands behind what a search reads: where it is longer than a page, most of it lies on pages of
/// its own.
/// `sum` tells a damaged row from a true one; `leaf` of `hold` and `erased` is the index of
/// the leaf that recorded the order, in this log (or a later one: `shard`).
const SCHEMA: &str = "
CREATE TABLE epoch(id INTEGER PRIMARY KEY, wrapped TEXT NOT NULL) STRICT;
CREATE TABLE vault(idx INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, r BLOB NOT NULL, tokens BLOB NOT NULL,
  sealed BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE hold(idx INTEGER PRIMARY KEY, shard TEXT NOT NULL, leaf INTEGER NOT NULL) STRICT;
CREATE TABLE erased(idx INTEGER PRIMARY KEY, shard TEXT NOT NULL, leaf INTEGER NOT NULL) STRICT;
";

fn vault_path(root: &Path, shard: Shard, month: Month, class: RetentionClass) -> PathBuf {
    root.join(shard.to_string()).join(format!("{month}.{}.db", class.name()))
}

/// The first eight bytes of SHA-256 over a row, its evidence by the hash that its leaf names: the
/// writer has that already, and evidence is most of a row.
fn row_sum(index: i64, epoch: i64, r: &[u8], tokens: &[u8], ev: &[u8; 32]) -> i64 {
    whole_row_sum(index, epoch, r, tokens, ev)
}

/// The same over the evidence itself, as the first rows have it.
fn whole_row_sum(index: i64, epoch: i64, r: &[u8], tokens: &[u8], sealed: &[u8]) -> i64 {
    let length = i64::try_from(tokens.len()).unwrap_or(i64::MAX).to_be_bytes();
    super::engine::row_sum(index, epoch, &[r, &length, tokens, sealed])
}
