//! A license as the register gave it, checked before it is believed (protocol §4).
//!
//! Promises: a [`LicenseRecord`] met its type's schema, its identifiers carry the right check
//! characters and agree with each other. What may be told of it is the lookup's word.

use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::seam;
use crate::domain::LicenseId;
use crate::fault::{Fault, MOST_FAULTS};

/// One license of the register. Cheap to clone; never changed.
#[derive(Clone, PartialEq)]
pub struct LicenseRecord(Arc<Document>);

/// The header of `reference/domain.md` §4.2 and the type's data.
#[derive(Clone, PartialEq, Deserialize)]
pub(super) struct Document {
    license_id: String,
    type_code: String,
    name: String,
    issuer_name: String,
    issuer_code: String,
    issued_on: Date,
    #[serde(default)]
    valid_from: Option<Date>,
    #[serde(default)]
    valid_to: Option<Date>,
    long_term: bool,
    holders: Vec<RecordHolder>,
    status: String,
    version: String,
    data: Map<String, Value>,
}

/// To whom the license belongs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct RecordHolder {
    pub name: String,
    /// GB/T 36903 appendix A.
    #[serde(rename = "type_code")]
    pub kind: String,
    #[serde(rename = "code")]
    pub number: String,
}

impl LicenseRecord {
    /// Checks one license document; all faults at once, none repeats a value.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut document = seam::admit_license(value)?;
        for holder in &mut document.holders {
            holder.number = normalised_number(&holder.kind, &holder.number).into_owned();
        }
        let mut faults = document.faults();
        faults.truncate(MOST_FAULTS);
        if faults.is_empty() { Ok(Self(Arc::new(document))) } else { Err(faults) }
    }

    pub fn license_id(&self) -> &str {
        &self.0.license_id
    }
    pub fn type_code(&self) -> &str {
        &self.0.type_code
    }
    pub fn name(&self) -> &str {
        &self.0.name
    }
    pub fn issuer_code(&self) -> &str {
        &self.0.issuer_code
    }
    pub fn issuer_name(&self) -> &str {
        &self.0.issuer_name
    }
    pub fn issued_on(&self) -> Date {
        self.0.issued_on
    }
    pub fn valid_from(&self) -> Option<Date> {
        self.0.valid_from
    }
    /// `None` for 长期.
    pub fn valid_to(&self) -> Option<Date> {
        self.0.valid_to
    }
    pub fn long_term(&self) -> bool {
        self.0.long_term
    }
    pub fn holders(&self) -> &[RecordHolder] {
        &self.0.holders
    }
    /// `01` 有效 … `99` 其他.
    pub fn status(&self) -> &str {
        &self.0.status
    }
    /// Three digits, one higher with every change of the same license.
    pub fn version(&self) -> &str {
        &self.0.version
    }
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.data.get(name)
    }

    /// 撤销, 注销 or 吊销: found, with its status, but its data is not returned (protocol §4).
    pub fn is_revoked(&self) -> bool {
        matches!(self.status(), "03" | "04" | "07")
    }

    /// The same license in all its versions: type, issuer and serial of its id.
    pub fn lineage(&self) -> String {
        lineage(self.license_id())
    }

    pub fn holder(&self, kind: &str, number: &str) -> Option<&RecordHolder> {
        let number = normalised_number(kind, number);
        self.holders().iter().find(|h| h.kind == kind && h.number == number)
    }

    /// Bytes in memory, roughly: what the cache weighs.
    pub(super) fn weight(&self) -> usize {
        const HEADER: usize = 512;
        const PER_HOLDER: usize = 128;
        HEADER
            .saturating_add(self.holders().len().saturating_mul(PER_HOLDER))
            .saturating_add(self.0.data.iter().map(|(k, v)| k.len().saturating_add(weight_of(v))).sum())
    }
}

impl Document {
    /// What the schema of the header and of the type cannot say.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        match LicenseId::parse(&self.license_id) {
            Err(_) => faults.push(Fault::new(
                "/license_id",
                "license-id",
                "is no license id with a fitting check character",
                "证照标识格式或校验位不符",
            )),
            Ok(id) => {
                let parts = [
                    ("type_code", id.type_code() == self.type_code),
                    ("issuer_code", id.issuer_code() == self.issuer_code),
                    ("version", id.version() == self.version),
                ];
                for (member, agrees) in parts {
                    if !agrees {
                        faults.push(Fault::new(
                            format!("/{member}"),
                            "agrees-with-license-id",
                            "differs from that part of the license id",
                            "与证照标识中的相应部分不一致",
                        ));
                    }
                }
            }
        }
        if self.long_term != self.valid_to.is_none() {
            faults.push(Fault::new(
                "/valid_to",
                "long-term",
                "is null exactly when long_term is true",
                "长期有效当且仅当截止日期为空",
            ));
        }
        if let (Some(from), Some(to)) = (self.valid_from, self.valid_to)
            && from > to
        {
            faults.push(Fault::new(
                "/valid_to",
                "ends-before-it-begins",
                "lies before valid_from",
                "早于有效期起始日",
            ));
        }
        if self.holders.is_empty() {
            faults.push(Fault::new("/holders", "minItems", "names nobody", "没有持证主体"));
        }
        faults
    }
}

/// Type, issuer and serial of a license id, without root, version and check character.
pub(super) fn lineage(license_id: &str) -> String {
    LicenseId::parse(license_id)
        .map(|id| format!("{}.{}.{}", id.type_code(), id.issuer_code(), id.serial()))
        .unwrap_or_else(|_| license_id.to_owned())
}

/// A resident's number with its check character in upper case; other numbers as they are.
pub(super) fn normalised_number<'a>(kind: &str, number: &'a str) -> std::borrow::Cow<'a, str> {
    match kind {
        "111" | "112" | "551" | "552" if number.ends_with('x') => number.to_ascii_uppercase().into(),
        _ => number.into(),
    }
}

fn weight_of(value: &Value) -> usize {
    const NODE: usize = 32;
    NODE.saturating_add(match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(members) => members.iter().map(|(k, v)| k.len().saturating_add(weight_of(v))).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    })
}
