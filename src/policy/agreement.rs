//! One agreement, checked: its schema, then what a schema cannot say.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::civil::Date;
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
        let file: AgreementFile = Catalog::embedded().admit(value)?.into_inner();
        let mut faults = Vec::new();
        check_whole(&file, &mut faults);
        for (at, item) in file.items.iter().enumerate() {
            check_item(item, &file.parties, &format!("/items/{at}"), &mut faults);
        }
        faults.truncate(MOST_FAULTS);
        let digest = jcs_digest(value);
        match (digest, faults.is_empty()) {
            (Some(digest), true) => Ok(Self {
                id: file.id,
                name: file.name,
                parties: file.parties,
                valid_from: file.valid_from,
                valid_to: file.valid_to,
                order: file.items.iter().map(|i| normalised(&i.code)).collect(),
                items: file.items.into_iter().map(|i| (normalised(&i.code), Arc::new(i))).collect(),
                limits: file.quota.unwrap_or(Limits::DEFAULT),
                digest,
            }),
            _ => Err(faults),
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

fn jcs_digest(value: &Value) -> Option<[u8; 32]> {
    digest::digest(&digest::SHA256, &json::jcs(value)).as_ref().try_into().ok()
}

fn check_whole(file: &AgreementFile, faults: &mut Vec<Fault>) {
    let distinct: HashSet<_> = file.parties.iter().collect();
    if distinct.len() != file.parties.len() {
        faults.push(Fault::new("/parties", "uniqueItems", "names a party twice", "协议方重复"));
    }
    if distinct.len() < 2 {
        faults.push(Fault::new("/parties", "minItems", "needs two parties", "至少须有两方"));
    }
    if file.valid_from > file.valid_to {
        faults.push(Fault::new(
            "/valid_to",
            "ends-before-it-begins",
            "lies before valid_from",
            "早于 valid_from",
        ));
    }
    if let Some(limits) = &file.quota {
        check_limits(limits, faults);
    }
    if file.items.is_empty() {
        faults.push(Fault::new("/items", "minItems", "names no item", "未列任何事项"));
    }
    let mut seen = HashSet::new();
    for (at, item) in file.items.iter().enumerate() {
        if !seen.insert(normalised(&item.code)) {
            faults.push(Fault::new(
                format!("/items/{at}/code"),
                "duplicate-item",
                "the item stands here twice",
                "事项重复",
            ));
        }
    }
}

fn check_limits(limits: &Limits, faults: &mut Vec<Fault>) {
    let members = [
        ("requests_per_second", u64::from(limits.requests_per_second)),
        ("burst", u64::from(limits.burst)),
        ("concurrent", u64::from(limits.concurrent)),
        ("per_day", limits.per_day),
    ];
    for (name, value) in members {
        if value == 0 {
            faults.push(Fault::new(
                format!("/quota/{name}"),
                "minimum",
                "nothing could ever be asked",
                "为零则无法请求",
            ));
        }
    }
}

fn check_item(item: &Item, parties: &[Region], at: &str, faults: &mut Vec<Fault>) {
    let mut party = |region: &Region, place: String| {
        if !parties.contains(region) {
            faults.push(Fault::new(place, "not-a-party", "is not a party of this agreement", "不是协议一方"));
        }
    };
    party(&item.handling, format!("{at}/handling"));
    for (nth, region) in item.collecting.iter().enumerate() {
        party(region, format!("{at}/collecting/{nth}"));
    }
    for (nth, license) in item.licenses.iter().enumerate() {
        for (which, region) in license.holder_region.iter().enumerate() {
            party(region, format!("{at}/licenses/{nth}/holder_region/{which}"));
        }
    }
    check_lists(item, at, faults);
    check_licenses(item, at, faults);
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

fn check_lists(item: &Item, at: &str, faults: &mut Vec<Fault>) {
    let lists = [
        ("bases", item.bases.is_empty()),
        ("ops", item.ops.is_empty()),
        ("collecting", item.collecting.is_empty()),
    ];
    for (name, empty) in lists {
        if empty {
            faults.push(empty_list(format!("{at}/{name}")));
        }
    }
}

fn empty_list(place: String) -> Fault {
    Fault::new(place, "minItems", "is empty: nothing would be allowed", "为空，等于什么都不允许")
}

fn check_licenses(item: &Item, at: &str, faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for (nth, license) in item.licenses.iter().enumerate() {
        let here = format!("{at}/licenses/{nth}");
        if !seen.insert(normalised(&license.kind)) {
            faults.push(Fault::new(
                format!("{here}/type"),
                "duplicate-license",
                "the license type stands here twice",
                "证照类型重复",
            ));
        }
        let lists = [
            ("fields", license.fields.is_empty()),
            ("modes", license.modes.is_empty()),
            ("holder_region", license.holder_region.is_empty()),
        ];
        for (name, empty) in lists {
            if empty {
                faults.push(empty_list(format!("{here}/{name}")));
            }
        }
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
        if material.evidence.is_empty() {
            faults.push(empty_list(format!("{here}/evidence")));
        }
        let distinct: HashSet<_> = material.evidence.iter().collect();
        if distinct.len() != material.evidence.len() {
            faults.push(Fault::new(
                format!("{here}/evidence"),
                "uniqueItems",
                "names a way twice",
                "方式重复",
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
