//! One agreement, checked: its schema, then what a schema cannot say.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use super::terms::{AgreementFile, Evidence, Item, Limits};
use crate::domain::Region;
use crate::fault::{Fault, MOST_FAULTS};
use crate::json;
use crate::schema::{Admissible, Catalog, Kind};

impl Admissible for AgreementFile {
    const KIND: Kind = Kind::Agreement;
}

/// An agreement that met its schema and holds together. Made by [`Agreement::from_value`] only.
#[derive(Clone, Debug)]
pub struct Agreement {
    id: String,
    name: String,
    parties: Vec<Region>,
    valid_from: Date,
    valid_to: Date,
    items: HashMap<String, Arc<Item>>,
    /// Item codes as the file orders them.
    order: Vec<String>,
    limits: Limits,
    digest: [u8; 32],
}

impl Agreement {
    /// Checks the JSON value of a file; all faults at once.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let admitted = Catalog::embedded().admit::<AgreementFile>(value);
        let (mut faults, file) = match admitted {
            Ok(file) => (Vec::new(), Some(file.into_inner())),
            // What only we can see is told beside what the schema saw, if there is a shape to see it in.
            Err(faults) => (faults, AgreementFile::deserialize(value).ok()),
        };
        for (at, item) in file.iter().flat_map(|file| &file.items).enumerate() {
            check_item(item, &format!("/items/{at}"), &mut faults);
        }
        faults.truncate(MOST_FAULTS);
        match (file, jcs_digest(value), faults.is_empty()) {
            (Some(file), Some(digest), true) => Ok(Self::of(file, digest)),
            _ => Err(faults),
        }
    }

    fn of(file: AgreementFile, digest: [u8; 32]) -> Self {
        Self {
            id: file.id,
            name: file.name,
            parties: file.parties,
            valid_from: file.valid_from,
            valid_to: file.valid_to,
            order: file.items.iter().map(|i| normalised(&i.code)).collect(),
            items: file.items.into_iter().map(|i| (normalised(&i.code), Arc::new(i))).collect(),
            limits: file.quota,
            digest,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Two, or more where a hub or several counties signed one text.
    pub fn parties(&self) -> &[Region] {
        &self.parties
    }
    /// First and last day, both inclusive, in Asia/Shanghai.
    pub fn valid(&self) -> (Date, Date) {
        (self.valid_from, self.valid_to)
    }
    pub fn limits(&self) -> Limits {
        self.limits
    }
    /// SHA-256 of the file's JCS form: `agr` in the ledger.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    pub fn in_force(&self, day: Date) -> bool {
        self.valid_from <= day && day <= self.valid_to
    }

    /// Whether both regions signed it.
    pub fn between(&self, one: &Region, other: &Region) -> bool {
        one != other && self.parties.contains(one) && self.parties.contains(other)
    }

    pub fn item(&self, code: &str) -> Option<&Arc<Item>> {
        if code.contains('x') { self.items.get(&normalised(code)) } else { self.items.get(code) }
    }

    /// The items in the file's order.
    pub fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.order.iter().filter_map(|code| self.items.get(code))
    }

    /// Item codes in the file's order.
    pub fn item_codes(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Items whose form `known` does not know: a remark like [`Agreement::types_without_schema`],
    /// since only a gateway that handles or collects the item must have it.
    pub fn forms_without_schema(&self, known: impl Fn(&str) -> bool) -> Vec<Fault> {
        let unknown = self.items().enumerate().filter(|(_, item)| !item.form.as_deref().is_none_or(&known));
        unknown
            .map(|(at, _)| {
                Fault::new(
                    format!("/items/{at}/form"),
                    "unknown-form",
                    "this gateway has no schema for the form",
                    "本网关没有该表单的模式",
                )
            })
            .collect()
    }

    /// License types for which `known` has no schema. Not a fault of the agreement: a type
    /// may be at home with the partner alone; `agreement check` shows it as a remark.
    pub fn types_without_schema(&self, known: impl Fn(&str) -> bool) -> Vec<Fault> {
        let mut remarks = Vec::new();
        for (at, item) in self.items().enumerate() {
            for (nth, license) in item.licenses.iter().enumerate() {
                if !known(&license.kind) {
                    remarks.push(Fault::new(
                        format!("/items/{at}/licenses/{nth}/type"),
                        "unknown-license-type",
                        "this gateway has no schema for the license type",
                        "本网关没有该证照类型的模式",
                    ));
                }
            }
        }
        remarks
    }
}

/// A lower-case `x` inside a code is accepted (protocol §3.4).
pub(super) fn normalised(code: &str) -> String {
    code.replace('x', "X")
}

/// Whether two codes are one once they are [`normalised`].
pub(super) fn same_code(one: &str, other: &str) -> bool {
    let upper = |byte: u8| if byte == b'x' { b'X' } else { byte };
    one.len() == other.len() && one.bytes().map(upper).eq(other.bytes().map(upper))
}

fn jcs_digest(value: &Value) -> Option<[u8; 32]> {
    digest::digest(&digest::SHA256, &json::jcs(value)).as_ref().try_into().ok()
}

fn check_item(item: &Item, at: &str, faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for (nth, license) in item.licenses.iter().enumerate() {
        if !seen.insert(normalised(&license.kind)) {
            faults.push(Fault::new(
                format!("{at}/licenses/{nth}/type"),
                "duplicate-license",
                "the license type stands here twice",
                "证照类型重复",
            ));
        }
    }
    check_materials(item, at, faults);
    if let (Some(legal), Some(promise)) = (item.legal_limit, item.promise_limit)
        && legal.unit == promise.unit
        && promise.value > legal.value
    {
        faults.push(Fault::new(
            format!("{at}/promise_limit/value"),
            "promise-beyond-legal-limit",
            "promises more time than the law allows",
            "承诺时限超过法定时限",
        ));
    }
}

fn check_materials(item: &Item, at: &str, faults: &mut Vec<Fault>) {
    let listed: HashSet<String> = item.licenses.iter().map(|l| normalised(&l.kind)).collect();
    let mut seen = HashSet::new();
    for (nth, material) in item.materials.iter().enumerate() {
        let here = format!("{at}/materials/{nth}");
        if !seen.insert(material.code.as_str()) {
            faults.push(Fault::new(
                format!("{here}/code"),
                "duplicate-material",
                "the material stands here twice",
                "材料重复",
            ));
        }
        // Shared data of a named license type needs that type to be open to lookups here.
        if let Some(kind) = &material.license
            && material.evidence.contains(&Evidence::SharedData)
            && !listed.contains(&normalised(kind))
        {
            faults.push(Fault::new(
                format!("{here}/license"),
                "license-not-listed",
                "is not among this item's licenses",
                "不在本事项的证照清单中",
            ));
        }
    }
}
