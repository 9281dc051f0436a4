//! What may leave the building: results and refusals, both recorded before they are signed.
//!
//! `refusal.rs` is the one table from reasons to code, status, retry and words; `advice.toml` beside
//! it says of each code what it usually comes from and what to do.

mod advice;
mod reasons;
mod refusal;
mod reply;
mod response;

pub use advice::{Advice, Cause};
pub use refusal::{Code, Refusal, Retry};
pub use reply::{Reply, unsigned_problem};
pub use response::Response;
