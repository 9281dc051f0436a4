//! License lookup: query → register or cache → an answer already cut to what was asked,
//! agreed, authorized and shareable (protocol §4).

mod query;

pub use query::{Holder, LicenseQuery, LicenseSelector, Mode};
