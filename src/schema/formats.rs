//! The formats our schemas name: each an identifier of the domain, with the words in which
//! a fault of it is told.

use crate::domain::{self, IdentifierFault, Region};

/// A custom format.
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) check: fn(&str) -> Result<(), IdentifierFault>,
    /// What the value should have been, in English and Chinese.
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
}

/// A birthday in the future is no fault here: a format is told no day, so that
/// [`super::rules`] judges it.
pub(super) static FORMATS: [Format; 11] = [
    Format { name: "region", check: region, en: "region in force", zh: "现行行政区划代码" },
    Format { name: "address-code", check: address_code, en: "region code", zh: "行政区划代码" },
    Format {
        name: "resident-id", check: domain::check_resident_id, en: "ID number", zh: "公民身份号码"
    },
    Format { name: "uscc", check: domain::check_uscc, en: "credit code", zh: "统一社会信用代码" },
    Format { name: "issuer-code", check: issuer_code, en: "issuer code", zh: "颁发机构代码" },
    Format {
        name: "license-id", check: domain::check_license_id, en: "license id", zh: "电子证照标识"
    },
    Format { name: "type-code", check: type_code, en: "license type code", zh: "证照类型代码" },
    Format { name: "item-code", check: domain::check_item_code, en: "item code", zh: "事项实施编码" },
    Format { name: "case-number", check: domain::check_case_number, en: "case number", zh: "办件编号" },
    Format {
        name: "disability-number",
        check: domain::check_disability_number,
        en: "disability certificate number",
        zh: "残疾人证号",
    },
    Format { name: "name", check: name, en: "name", zh: "名称" },
];

pub(super) fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

fn region(text: &str) -> Result<(), IdentifierFault> {
    Region::parse(text).map(drop).map_err(|fault| match fault {
        domain::RegionFault::Format => IdentifierFault::Format,
        domain::RegionFault::Unknown => IdentifierFault::Region,
    })
}

/// Six digits of a region of any time, with three for the township and three for the
/// village where they are known.
fn address_code(text: &str) -> Result<(), IdentifierFault> {
    let digits = matches!(text.len(), 6 | 9 | 12) && text.bytes().all(|c| c.is_ascii_digit());
    match text.get(..6) {
        Some(region) if digits && domain::address_existed(region) => Ok(()),
        Some(_) if digits => Err(IdentifierFault::Region),
        _ => Err(IdentifierFault::Format),
    }
}

/// A credit code, or one of the shorter agency codes that occur in real license ids.
fn issuer_code(text: &str) -> Result<(), IdentifierFault> {
    let upper = text.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    match text.len() {
        18 => domain::check_uscc(text),
        6..=17 if upper => Ok(()),
        _ => Err(IdentifierFault::Format),
    }
}

/// The form alone: whether the type is known is answered with its own refusal.
fn type_code(text: &str) -> Result<(), IdentifierFault> {
    match domain::check_type_code(text) {
        Err(IdentifierFault::TypeAuthority) | Ok(()) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn name(text: &str) -> Result<(), IdentifierFault> {
    if domain::check_name(text) { Ok(()) } else { Err(IdentifierFault::Format) }
}
