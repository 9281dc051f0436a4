//! License lookup: query → register or cache → an answer already cut to what was asked,
//! agreed, authorized and shareable (protocol §4).
//!
//! Promises: a record is believed only after its checks; the cache holds records, never
//! answers, so that nobody's consent is served to somebody else; what a register changed is
//! not told in its old form once we know of it. Whether the asker may ask at all was decided
//! in the rooms before.

mod age;
mod cache;
mod changed;
mod data;
mod fit;
mod lookup;
mod marks;
mod query;
mod record;
pub mod register;
#[cfg(test)]
mod tests;

pub use cache::{CacheStats, Source};
pub use changed::Changed;
pub use fit::{NotAsked, fits};
pub use lookup::{LicenseAnswer, Lookup, LookupFault};
pub use query::{Holder, LicenseQuery, LicenseSelector, Mode};
pub use record::LicenseRecord;
pub use register::{Change, HttpRegisterSettings, ImportReport, Register, import};
