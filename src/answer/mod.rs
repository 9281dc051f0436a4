//! What may leave the building: results and refusals, both recorded before they are signed.
//!
//! `refusal.rs` is the one table from reasons to code, status, retry and words.

mod refusal;
mod reply;

pub use refusal::{Code, Refusal, Retry};
pub use reply::{Reply, unsigned_problem};
