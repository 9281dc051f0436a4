//! From a license library's JSON to our license document, by the operator's settings.
//!
//! Promises: what is not mapped is not in the document; legacy dates and 长期 become what our
//! schemas say; nothing is guessed where the library is silent, so that a wrong mapping fails
//! the record's checks instead of passing a half-true record.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::{Ask, RegisterFault};
use super::dates::date;
use super::settings::SettingsFault;
use crate::domain::LicenseId;

/// Where a value comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A JSON pointer into the record.
    Pointer(String),
    Constant(Constant),
    Converted(Converted),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    #[serde(rename = "const")]
    pub value: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Converted {
    pub pointer: String,
    #[serde(default, rename = "as")]
    pub form: Form,
    /// From the library's codes to ours, as text; a code that is not listed stays as it is and
    /// has to meet the schema.
    #[serde(default)]
    pub codes: BTreeMap<String, String>,
}

/// What a value becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    #[default]
    Same,
    Text,
    Integer,
    Date,
}

/// Where the holders stand: in a list, or in the record itself with comma-joined values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolderSources {
    /// JSON pointer to the list; the other three are then relative to its elements.
    #[serde(default)]
    pub list: Option<String>,
    pub name: Source,
    pub type_code: Source,
    pub code: Source,
}

/// The value that a good answer has somewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuccessSetting {
    pub pointer: String,
    /// Compared as text.
    pub equals: Vec<String>,
}

/// The settings' mapping part, checked.
pub(super) struct Mapping {
    pub success: Option<SuccessSetting>,
    pub records: String,
    pub header: BTreeMap<String, Source>,
    pub holders: HolderSources,
    pub data: BTreeMap<String, Source>,
    pub data_by_type: BTreeMap<String, BTreeMap<String, Source>>,
}

/// Members of a license document that a mapping may fill (`reference/domain.md` §4.2).
const MEMBERS: [&str; 17] = [
    "license_id",
    "type_code",
    "type_name",
    "name",
    "number",
    "issuer_name",
    "issuer_code",
    "area_code",
    "issued_on",
    "valid_from",
    "valid_to",
    "long_term",
    "status",
    "status_description",
    "version",
    "related_id",
    "trust_level",
];

/// Members that nothing else tells. Type, issuer and version stand in the license id.
const NEEDED: [&str; 8] =
    ["license_id", "name", "number", "issuer_name", "area_code", "issued_on", "valid_from", "status"];

const DATES: [&str; 3] = ["issued_on", "valid_from", "valid_to"];

impl Mapping {
    pub fn faults(&self) -> Vec<SettingsFault> {
        let mut faults = Vec::new();
        let mut pointer = |name: String, pointer: &str| {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                faults.push(SettingsFault::Pointer(name));
            }
        };
        pointer("records".into(), &self.records);
        if let Some(success) = &self.success {
            pointer("success.pointer".into(), &success.pointer);
        }
        if let Some(list) = &self.holders.list {
            pointer("holders.list".into(), list);
        }
        let holders = [
            ("holders.name", &self.holders.name),
            ("holders.type_code", &self.holders.type_code),
            ("holders.code", &self.holders.code),
        ];
        for (name, source) in holders {
            pointer(name.into(), source.pointer());
        }
        for (name, source) in &self.header {
            pointer(format!("header.{name}"), source.pointer());
        }
        for (name, source) in self.data.iter().chain(self.data_by_type.values().flatten()) {
            pointer(format!("data.{name}"), source.pointer());
        }
        let unknown = self.header.keys().filter(|name| !MEMBERS.contains(&name.as_str()));
        faults.extend(unknown.map(|name| SettingsFault::UnknownMember(name.clone())));
        let missing = NEEDED.into_iter().filter(|name| !self.header.contains_key(*name));
        faults.extend(missing.map(SettingsFault::MemberMissing));
        faults
    }

    /// The license documents of an answer, not yet believed.
    pub fn documents(&self, answer: &Value, ask: &Ask) -> Result<Vec<Value>, RegisterFault> {
        if let Some(success) = &self.success {
            let told = answer.pointer(&success.pointer).and_then(as_text);
            if !told.is_some_and(|told| success.equals.contains(&told)) {
                tracing::warn!("the register's answer says that it failed");
                return Err(RegisterFault::Unavailable);
            }
        }
        match answer.pointer(&self.records) {
            Some(Value::Array(records)) => Ok(records.iter().map(|r| self.document(r, ask)).collect()),
            Some(record @ Value::Object(_)) => Ok(vec![self.document(record, ask)]),
            Some(Value::Null) => Ok(Vec::new()),
            _ => {
                tracing::error!("the register's answer has no records where the settings say");
                Err(RegisterFault::Record)
            }
        }
    }

    fn document(&self, record: &Value, ask: &Ask) -> Value {
        let mut document = Map::new();
        for (name, source) in &self.header {
            if let Some(value) = source.value(record) {
                let value = if DATES.contains(&name.as_str()) { date(&value) } else { value };
                document.insert(name.clone(), value);
            }
        }
        said_by_id(&mut document);
        long_term(&mut document);
        document.insert("holders".into(), self.holders.holders(record));
        let of_type = self.data_by_type.get(ask.license_type());
        let data = self.data.iter().chain(of_type.into_iter().flatten());
        let data = data.filter_map(|(name, source)| Some((name.clone(), source.value(record)?))).collect();
        document.insert("data".into(), Value::Object(data));
        Value::Object(document)
    }
}

impl Source {
    fn pointer(&self) -> &str {
        match self {
            Self::Pointer(pointer) => pointer,
            Self::Converted(converted) => &converted.pointer,
            Self::Constant(_) => "",
        }
    }

    /// Nothing where the library has nothing: no member, null, or an empty text.
    fn value(&self, record: &Value) -> Option<Value> {
        let there = |pointer: &str| {
            let value = record.pointer(pointer)?;
            let empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
            (!empty).then(|| value.clone())
        };
        match self {
            Self::Constant(constant) => Some(constant.value.clone()),
            Self::Pointer(pointer) => there(pointer),
            Self::Converted(converted) => Some(converted.convert(there(&converted.pointer)?)),
        }
    }

    fn text(&self, record: &Value) -> Option<String> {
        as_text(&self.value(record)?)
    }
}

impl Converted {
    /// A value that cannot take the form stays as it is: the record's checks will refuse it.
    fn convert(&self, value: Value) -> Value {
        let value = match as_text(&value).and_then(|text| self.codes.get(&text)) {
            Some(code) => Value::String(code.clone()),
            None => value,
        };
        match self.form {
            Form::Same => value,
            Form::Text => as_text(&value).map_or(value, Value::String),
            Form::Integer => {
                as_text(&value).and_then(|text| text.trim().parse::<i64>().ok()).map_or(value, Value::from)
            }
            Form::Date => date(&value),
        }
    }
}

impl HolderSources {
    fn holders(&self, record: &Value) -> Value {
        let holder = |name: String, kind: String, number: String| json!({"name": name.trim(), "type_code": kind.trim(), "code": number.trim()});
        let texts = |of: &Value| Some((self.name.text(of)?, self.type_code.text(of)?, self.code.text(of)?));
        let Some(pointer) = &self.list else {
            return texts(record).map_or_else(
                || json!([]),
                |(names, kinds, numbers)| split_holders(&names, &kinds, &numbers),
            );
        };
        let list = record.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(texts).map(|(n, k, c)| holder(n, k, c)).collect()
    }
}

/// Legacy libraries join several holders in one string. One type code may stand for all; any
/// other mismatch leaves no holders, which the record's checks refuse.
fn split_holders(names: &str, kinds: &str, numbers: &str) -> Value {
    const BETWEEN: [char; 5] = [',', '，', ';', '；', '|'];
    let parts = |text: &str| text.split(BETWEEN).map(|p| p.trim().to_owned()).collect::<Vec<_>>();
    let (names, kinds, numbers) = (parts(names), parts(kinds), parts(numbers));
    if names.len() != numbers.len() || (kinds.len() != 1 && kinds.len() != names.len()) {
        return json!([]);
    }
    let kinds = kinds.iter().cycle();
    names
        .iter()
        .zip(kinds)
        .zip(&numbers)
        .map(|((name, kind), number)| json!({"name": name, "type_code": kind, "code": number}))
        .collect()
}

/// Type, issuer and version as the license id says them, where the library does not.
fn said_by_id(document: &mut Map<String, Value>) {
    let Some(id) =
        document.get("license_id").and_then(Value::as_str).and_then(|id| LicenseId::parse(id).ok())
    else {
        return;
    };
    let said = [("type_code", id.type_code()), ("issuer_code", id.issuer_code()), ("version", id.version())];
    for (name, value) in said {
        if !document.contains_key(name) {
            document.insert(name.to_owned(), Value::from(value));
        }
    }
}

/// `valid_to` is there or null, and null means 长期 only where the library says so.
fn long_term(document: &mut Map<String, Value>) {
    let forever = document.get("valid_to").is_some_and(Value::is_null);
    document.entry("valid_to").or_insert(Value::Null);
    document.entry("long_term").or_insert(Value::Bool(forever));
}

pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
