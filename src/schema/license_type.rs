//! A license type: the schema of its data, and what the gateway must know of it, read
//! from the `x-tongban` object of its schema file.

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::telling::Faults;
use crate::fault::Fault;

/// One license type of the catalog.
pub struct LicenseType {
    settings: Settings,
    fields: Vec<String>,
    validator: Validator,
}

/// 共享属性 of the data catalogue (政务数据共享条例).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    Unconditional,
    Conditional,
    /// Not shared: no field ever leaves.
    None,
}

/// How old a cached record of this type may be, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheAges {
    pub data_seconds: u32,
    pub status_seconds: u32,
    pub negative_seconds: u32,
    /// 0: nothing is served past its age.
    pub stale_if_register_down_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    code: String,
    name: String,
    name_en: String,
    issuer_zh: String,
    share: Share,
    sensitive: bool,
    cache: CacheAges,
    identifying: Vec<String>,
    /// Data that never leaves and is dropped when a document is read: `photo`, or
    /// `members/religion` for a member of each entry of a list.
    withheld: Vec<String>,
    /// The data field that is the number of one of the license's holders.
    holder_number: Option<String>,
}

impl LicenseType {
    pub(super) fn of(schema: &Value, validator: Validator) -> Option<Self> {
        let settings = Settings::deserialize(schema.get("x-tongban")?).ok()?;
        let fields = schema.get("properties")?.as_object()?.keys().cloned().collect();
        Some(Self { settings, fields, validator })
    }

    pub fn code(&self) -> &str {
        &self.settings.code
    }
    /// The name in Chinese, as it stands on the license.
    pub fn name(&self) -> &str {
        &self.settings.name
    }
    pub fn name_en(&self) -> &str {
        &self.settings.name_en
    }
    /// The branch of government that issues it, in Chinese.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer_zh
    }
    pub fn share(&self) -> Share {
        self.settings.share
    }
    /// Whether an authorization must say `sensitive` (个人信息保护法 art. 28).
    pub fn sensitive(&self) -> bool {
        self.settings.sensitive
    }
    pub fn cache(&self) -> CacheAges {
        self.settings.cache
    }
    /// The fields by which a person or a thing can be recognised.
    pub fn identifying(&self) -> impl Iterator<Item = &str> {
        self.settings.identifying.iter().map(String::as_str)
    }

    /// All data fields of the top level, shareable or not.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }

    /// Whether a data field may leave at all.
    pub fn shareable(&self, field: &str) -> bool {
        self.settings.share != Share::None
            && self.fields.iter().any(|f| f == field)
            && !self.settings.withheld.iter().any(|w| w == field)
    }

    /// Checks the data of one license, without its header.
    pub fn check_data(&self, data: &Value) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::new();
        self.tell_data(data, "", &mut faults);
        faults.finish()
    }

    pub(super) fn tell_data(&self, data: &Value, prefix: &str, faults: &mut Faults) {
        if !self.validator.is_valid(data) {
            let mut own = Faults::new();
            self.validator.iter_errors(data).for_each(|error| own.tell(None, &error));
            for fault in own.finish().err().unwrap_or_default() {
                faults.push(fault.under(prefix));
            }
        }
    }

    pub(super) fn holder_number(&self) -> Option<&str> {
        self.settings.holder_number.as_deref()
    }

    /// Drops what is withheld, so that no register and no cache holds it.
    pub(super) fn drop_withheld(&self, data: &mut Map<String, Value>) {
        for path in &self.settings.withheld {
            match path.split_once('/') {
                None => {
                    data.remove(path);
                }
                Some((list, inner)) => {
                    let entries = data.get_mut(list).and_then(Value::as_array_mut);
                    for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
                        entry.remove(inner);
                    }
                }
            }
        }
    }
}
