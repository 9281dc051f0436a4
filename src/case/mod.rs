//! The life of an application between two regions (protocol §6).
//!
//! Promises: pure; the same events make the same case on both sides; an event that is not
//! allowed changes nothing. Durability, delivery and who may speak is left to others.

mod machine;
mod state;

pub use machine::{Act, Facts, Illegal, MOST_RELAY_RETRIES, next};
pub use state::{Role, State};
