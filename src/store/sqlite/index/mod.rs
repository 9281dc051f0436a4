//! The search index: derived from leaves and vaults, never trusted, made again when it is
//! lost.
//!
//! ```text
//! <data>/ledger/2026h2/2026-11.index.db             facets, exchanges and hourly sums of a month's leaves
//! <data>/ledger/2026h2/2026-11.provision.index.db   tokens of a vault, by day
//! ```
//!
//! Tokens stand in sorted runs of their day, a page of them in a row: a random key in a tree would
//! touch one page an entry. Words are numbers here, and the words of a leaf together are one number,
//! a combination: what has a word is found by the combinations that have it and the blocks of leaves
//! where those stand, not by a tree for every word.

mod file;
mod reader;
mod runs;
#[cfg(test)]
mod tests;
mod tokens;
mod whole;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::{Month, RetentionClass, Shard};

pub use file::remove_index;
pub use reader::FacetReader;
pub use runs::TokenWriter;
pub use tokens::{StoredToken, TokenReader, WholeTokens};
pub use whole::{FacetRow, HourRow, WholeFacets};
pub use writer::FacetWriter;

/// The words of a leaf by their numbers: kind, peer, op, item, license type, decision, code.
pub type Words = [i64; 7];

/// Leaves of a block: a search reads as many to find one that fits, some 50 µs.
pub const BLOCK_LEAVES: i64 = 512;
/// Under which day the runs of a facet index stand: what is in them is asked for without one.
pub const AUTHORIZATIONS: i64 = 0;
pub const EXCHANGES: i64 = 1;

/// The words of a leaf that it can be found by; an empty word stands for an absent member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets<'a> {
    pub index: u64,
    pub ts: i64,
    pub kind: &'a str,
    pub peer: &'a str,
    pub op: &'a str,
    pub item: &'a str,
    pub lt: &'a str,
    pub dec: &'a str,
    pub code: &'a str,
    pub auth: Option<[u8; 32]>,
    /// The exchange's id, which a partner chose.
    pub exchange: &'a str,
    /// Milliseconds the exchange took.
    pub ms: u32,
}

impl<'a> Facets<'a> {
    /// In the order of [`Words`].
    pub fn words(&self) -> [&'a str; 7] {
        [self.kind, self.peer, self.op, self.item, self.lt, self.dec, self.code]
    }
}

/// What an authorization is looked for by; the rest of it is read in the leaf.
pub fn short_authorization(auth: &[u8; 32]) -> [u8; 16] {
    auth.first_chunk().copied().unwrap_or_default()
}

/// What an exchange is looked for by: the first 16 octets of SHA-256 over its id.
pub fn short_exchange(exchange: &str) -> [u8; 16] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, exchange.as_bytes());
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// What to find: each facet that is given must be the leaf's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetQuery {
    /// By the name of its column.
    pub words: BTreeMap<&'static str, String>,
    pub auth: Option<[u8; 32]>,
    /// Milliseconds, half open.
    pub from: i64,
    pub to: i64,
    /// Only below this index.
    pub before: u64,
    pub most: usize,
}

/// One hour's exchanges of one kind with one partner, op and outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hourly {
    /// Hours since 1970.
    pub hour: i64,
    pub kind: String,
    pub peer: String,
    pub op: String,
    pub code: String,
    pub n: u64,
    /// Milliseconds in all, and of the slowest.
    pub ms: u64,
    pub slowest: u64,
}

pub fn facet_index_path(data: &Path, shard: Shard, month: Month) -> PathBuf {
    facet_index_of(&super::month_path(&data.join("ledger"), shard, month))
}

/// The facet index beside a month's file.
pub(super) fn facet_index_of(month_file: &Path) -> PathBuf {
    month_file.with_extension("index.db")
}

pub fn token_index_path(data: &Path, shard: Shard, month: Month, class: RetentionClass) -> PathBuf {
    data.join("ledger").join(shard.to_string()).join(format!("{month}.{}.index.db", class.name()))
}

fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
