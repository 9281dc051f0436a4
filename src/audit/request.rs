//! A request for evidence: one account asks, another one allows.

use serde::{Deserialize, Serialize};

use crate::account::Role;

/// How long a request waits for its second person, and how long what was allowed may be
/// fetched: a working day with its night (milliseconds).
pub const REQUEST_LIFE_MS: i64 = 24 * 3_600_000;

/// Exchanges in one request: a case's, not a county's.
pub const MOST_IN_A_REQUEST: usize = 100;

/// What was asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub id: String,
    /// Milliseconds since 1970.
    pub at: i64,
    pub expires: i64,
    pub by: String,
    pub role: Role,
    pub purpose: String,
    pub order: String,
    pub shard: String,
    pub of: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
}

/// The second person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    pub by: String,
    pub at: i64,
    /// `2026h2/4711`: the `open` leaf.
    pub leaf: String,
}
