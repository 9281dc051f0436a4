//! The body of `license.query`, Rust twin of `schemas/license-query.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::is_id_number;
use crate::schema::{Admissible, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Read,
    Verify,
}

/// A license holder: type code of GB/T 36903 appendix A, and its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Holder {
    #[serde(rename = "type")]
    pub kind: String,
    pub number: String,
    pub name: Option<String>,
}

/// Which license: of one type, by holder or by license id (the schema demands exactly one).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LicenseSelector {
    #[serde(rename = "type")]
    pub kind: String,
    pub holder: Option<Holder>,
    pub license_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LicenseQuery {
    pub license: LicenseSelector,
    pub mode: Mode,
    /// Asked fields, for `read`.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Expected values by field, for `verify`.
    #[serde(default)]
    pub expect: BTreeMap<String, String>,
    /// Seconds; bounds the age of what may be answered from the cache.
    pub max_age: Option<i64>,
}

impl Admissible for LicenseQuery {
    const KIND: Kind = Kind::LicenseQuery;

    fn normalised(mut self) -> Self {
        if let Some(holder) = self.license.holder.as_mut().filter(|holder| is_id_number(&holder.kind)) {
            holder.number.make_ascii_uppercase();
        }
        self
    }
}

impl LicenseQuery {
    /// The fields this query touches: asked ones, or those whose value is expected.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str).chain(self.expect.keys().map(String::as_str))
    }
}
