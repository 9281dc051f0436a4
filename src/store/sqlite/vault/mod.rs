//! Vaults: two files a month and retention class for what lies outside the tree and can be
//! erased: sealed evidence, its secret, its search tokens.
//!
//! ```text
//! <data>/ledger/2026h2/2026-11.provision.sealed     its rows ([`rows`]); kept three years at least
//! <data>/ledger/2026h2/2026-11.provision.db         wrapped keys, holds and erasures, of SQLite
//! <data>/ledger/2026h2/2026-11.other.{sealed,db}    kept six months at least
//! <data>/ledger/2026h2/2026-11.provision.index.db   search index, derived ([`super::index`])
//! ```
//!
//! Promises: rows are written before the leaves that name them and flushed beside those; a stop in
//! between leaves rows without a leaf, which the next opening takes away (for leaves without rows see
//! [`super::unfinished`]). A class expires by dropping its files.

mod growing;
mod older;
mod reader;
mod rows;
mod writer;

use std::path::{Path, PathBuf};

use super::super::{Month, RetentionClass, Shard};

pub(super) use older::bring_forward;
pub use reader::{StoredVault, VaultFile, Vaults};
pub(super) use writer::VaultHand;

/// `leaf` of `hold` and `erased` is the index of the leaf that recorded the order, in this log (or a later
/// one: `shard`).
const SCHEMA: &str = "
CREATE TABLE epoch(id INTEGER PRIMARY KEY, wrapped TEXT NOT NULL) STRICT;
CREATE TABLE hold(idx INTEGER PRIMARY KEY, shard TEXT NOT NULL, leaf INTEGER NOT NULL) STRICT;
CREATE TABLE erased(idx INTEGER PRIMARY KEY, shard TEXT NOT NULL, leaf INTEGER NOT NULL) STRICT;
";

fn vault_path(root: &Path, shard: Shard, month: Month, class: RetentionClass) -> PathBuf {
    root.join(shard.to_string()).join(format!("{month}.{}.db", class.name()))
}

/// Where the rows of the vault at `path` stand.
fn rows_path(path: &Path) -> PathBuf {
    path.with_extension("sealed")
}
