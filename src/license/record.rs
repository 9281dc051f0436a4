//! A license as the register gave it, checked before it is believed (protocol §4).
//!
//! Promises: a [`LicenseRecord`] met the schemas of header and type, its identifiers carry the
//! right check characters and agree with each other, and data that is never shared is not in
//! it. It takes little more room than its text, because tens of thousands of them are held.
//! What may be told of it is the lookup's word.

use std::borrow::Cow;
use std::mem::size_of;
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::Value;

use super::data::Data;
use crate::domain::{LicenseId, is_id_number};
use crate::fault::Fault;
use crate::schema::{Catalog, LicenseDocument, LicenseHolder};

/// One license of the register. Cheap to clone; never changed. No `Debug`: it is somebody's.
#[derive(Clone, PartialEq)]
pub struct LicenseRecord(Arc<Kept>);

#[derive(PartialEq)]
struct Kept {
    header: Header,
    holders: Box<[LicenseHolder]>,
    data: Data,
}

/// What of a license's header can be told, and its version.
#[derive(PartialEq)]
pub(super) struct Header {
    pub license_id: Box<str>,
    pub type_code: Box<str>,
    pub name: Box<str>,
    pub issuer_code: Box<str>,
    pub issuer_name: Box<str>,
    pub issued_on: Date,
    pub valid_from: Date,
    /// Valid to the end of that day; `None` when without end.
    pub valid_to: Option<Date>,
    pub long_term: bool,
    /// `01` in force … `99` other (GB/T 36902).
    pub status: Box<str>,
    pub version: Box<str>,
}

impl LicenseRecord {
    /// Checks one license document; all faults at once, none repeats a value. `today` is the
    /// day in Asia/Shanghai.
    pub fn from_value(value: &Value, today: Date) -> Result<Self, Vec<Fault>> {
        Catalog::embedded().check_license(value, today).map(Self::from)
    }

    pub(super) fn header(&self) -> &Header {
        &self.0.header
    }
    pub fn license_id(&self) -> &str {
        &self.0.header.license_id
    }
    pub fn type_code(&self) -> &str {
        &self.0.header.type_code
    }
    pub fn holders(&self) -> &[LicenseHolder] {
        &self.0.holders
    }
    pub fn field(&self, name: &str) -> Option<Value> {
        self.0.data.get(name)
    }

    /// 撤销, 注销 or 吊销: found, with its status, but its data is not returned (protocol §4).
    pub fn is_revoked(&self) -> bool {
        matches!(&*self.0.header.status, "03" | "04" | "07")
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
        /// What the allocator takes beside what it gives.
        const PIECE: usize = 16;
        let header = &self.0.header;
        let texts = [
            &header.license_id,
            &header.type_code,
            &header.name,
            &header.issuer_code,
            &header.issuer_name,
            &header.status,
            &header.version,
        ];
        let texts: usize = texts.iter().map(|text| text.len().saturating_add(PIECE)).sum();
        let holders = self.holders().iter().map(|holder| {
            let texts = [&holder.name, &holder.type_code, &holder.code];
            let texts: usize = texts.iter().map(|text| text.capacity().saturating_add(PIECE)).sum();
            size_of::<LicenseHolder>().saturating_add(texts)
        });
        [size_of::<Kept>(), PIECE, texts, holders.sum(), self.0.data.weight()].iter().sum()
    }
}

impl From<LicenseDocument> for LicenseRecord {
    fn from(document: LicenseDocument) -> Self {
        Self(Arc::new(Kept {
            header: Header {
                license_id: document.license_id.into(),
                type_code: document.type_code.into(),
                name: document.name.into(),
                issuer_code: document.issuer_code.into(),
                issuer_name: document.issuer_name.into(),
                issued_on: document.issued_on,
                valid_from: document.valid_from,
                valid_to: document.valid_to,
                long_term: document.long_term,
                status: document.status.into(),
                version: document.version.into(),
            },
            holders: document.holders.into(),
            data: Data::from(document.data),
        }))
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
