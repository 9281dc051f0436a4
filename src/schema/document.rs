//! A license document as register and cache hold it: the Rust twin of
//! `schemas/license-header.json` with its data.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::license_type::LicenseType;
use crate::domain::normalise_holder;

/// A license whose header and data met their schemas and agree with each other. Made by
/// [`super::Catalog::check_license`]; read back from our own store by serde.
///
/// Holder numbers are normalised; data that is never shared is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LicenseDocument {
    pub license_id: String,
    pub type_code: String,
    pub name: String,
    pub number: String,
    pub issuer_name: String,
    pub issuer_code: String,
    pub area_code: String,
    pub issued_on: Date,
    pub valid_from: Date,
    /// Valid to the end of that day; `None` when without end.
    pub valid_to: Option<Date>,
    pub long_term: bool,
    pub holders: Vec<LicenseHolder>,
    /// `01` in force … `99` other (GB/T 36902).
    pub status: String,
    pub version: String,
    pub data: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotated_copy: Option<Value>,
}

/// Whom a license belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseHolder {
    pub name: String,
    /// GB/T 36903 appendix A.
    pub type_code: String,
    /// The number, normalised.
    pub code: String,
}

impl LicenseDocument {
    pub(super) fn of(document: &Value, license: &LicenseType, today: Date) -> Option<Self> {
        let mut twin = Self::deserialize(document).ok()?;
        for holder in &mut twin.holders {
            holder.code = normalise_holder(&holder.type_code, &holder.code, today).ok()?;
        }
        license.drop_withheld(&mut twin.data);
        Some(twin)
    }
}
