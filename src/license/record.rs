//! A license as the register gave it, checked before it is believed (protocol §4).
//!
//! Promises: a [`LicenseRecord`] met the schemas of header and type, its identifiers carry the
//! right check characters and agree with each other, and data that is never shared is not in
//! it. What may be told of it is the lookup's word.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::Value;

use crate::domain::{LicenseId, is_id_number};
use crate::fault::Fault;
use crate::schema::{Catalog, LicenseDocument, LicenseHolder};

/// One license of the register. Cheap to clone; never changed. No `Debug`: it is somebody's.
#[derive(Clone, PartialEq)]
pub struct LicenseRecord(Arc<LicenseDocument>);

impl LicenseRecord {
    /// Checks one license document; all faults at once, none repeats a value. `today` is the
    /// day in Asia/Shanghai.
    pub fn from_value(value: &Value, today: Date) -> Result<Self, Vec<Fault>> {
        Catalog::embedded().check_license(value, today).map(|document| Self(Arc::new(document)))
    }

    pub fn document(&self) -> &LicenseDocument {
        &self.0
    }
    pub fn license_id(&self) -> &str {
        &self.0.license_id
    }
    pub fn type_code(&self) -> &str {
        &self.0.type_code
    }
    pub fn holders(&self) -> &[LicenseHolder] {
        &self.0.holders
    }
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.data.get(name)
    }

    /// 撤销, 注销 or 吊销: found, with its status, but its data is not returned (protocol §4).
    pub fn is_revoked(&self) -> bool {
        matches!(self.0.status.as_str(), "03" | "04" | "07")
    }

    /// The same license in all its versions: type, issuer and serial of its id.
    pub fn lineage(&self) -> String {
        lineage(self.license_id())
    }

    pub fn holder(&self, kind: &str, number: &str) -> Option<&LicenseHolder> {
        let number = normalised_number(kind, number);
        self.holders().iter().find(|h| h.type_code == kind && h.code == number)
    }

    /// Bytes in memory, roughly: what the cache weighs.
    pub(super) fn weight(&self) -> usize {
        const HEADER: usize = 1_024;
        const PER_HOLDER: usize = 128;
        HEADER
            .saturating_add(self.holders().len().saturating_mul(PER_HOLDER))
            .saturating_add(self.0.data.iter().map(|(k, v)| k.len().saturating_add(weight_of(v))).sum())
    }
}

/// Type, issuer and serial of a license id, without root, version and check character.
pub(super) fn lineage(license_id: &str) -> String {
    LicenseId::parse(license_id)
        .map(|id| format!("{}.{}.{}", id.type_code(), id.issuer_code(), id.serial()))
        .unwrap_or_else(|_| license_id.to_owned())
}

/// An ID number with its check character in upper case; other numbers as they are.
pub(super) fn normalised_number<'a>(kind: &str, number: &'a str) -> Cow<'a, str> {
    if is_id_number(kind) && number.ends_with('x') {
        number.to_ascii_uppercase().into()
    } else {
        number.into()
    }
}

fn weight_of(value: &Value) -> usize {
    const NODE: usize = 64;
    NODE.saturating_add(match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(members) => members.iter().map(|(k, v)| k.len().saturating_add(weight_of(v))).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    })
}
