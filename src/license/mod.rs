//! License lookup: query → register or cache → an answer already cut to what was asked,
//! agreed, authorized and shareable (protocol §4).

mod query;

pub use query::{Holder, LicenseQuery, LicenseSelector, Mode};

/// Settings of a county's existing license library (stub).
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRegisterSettings {
    pub url: String,
}
