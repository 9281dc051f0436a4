//! What may leave the building: results and refusals, both recorded before they are signed.
//!
//! `refusal.rs` is the one table from reasons to code, status, retry and words.

mod reasons;
mod refusal;
mod reply;
mod response;

pub use refusal::{Code, Refusal, Retry};
pub use reply::{Reply, unsigned_problem};
pub use response::Response;
