//! The lookup itself: finds the records, cuts them, words the `result` of protocol §4.
//!
//! Promises: a field is told only if it was asked, agreed and is shareable; a revoked license
//! shows its status and nothing else; "no such license" is an answer, with the ways that
//! remain. Agreement and authorization were checked before; one check of the authorization can
//! only be made here ([`LookupFault::HolderMismatch`]).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::age::Want;
use super::cache::{Cache, CacheStats, Found, Source};
use super::changed::Changed;
use super::query::{LicenseQuery, Mode};
use super::record::{LicenseRecord, normalised_number};
use super::register::{Ask, Register, RegisterFault};
use crate::clock::Now;
use crate::domain::normalise_name;
use crate::policy::LicensePermit;
use crate::schema::{CacheAges, LicenseType};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupFault {
    #[error("the register cannot be reached or says it failed")]
    RegisterUnavailable,
    #[error("the register did not answer in time")]
    RegisterTimeout,
    #[error("the register gave a record that fails its checks")]
    RegisterRecord,
    /// Asked by license id: nobody whom the authorization names holds this license.
    #[error("the license has other holders than the authorization")]
    HolderMismatch,
}

impl From<RegisterFault> for LookupFault {
    fn from(fault: RegisterFault) -> Self {
        match fault {
            RegisterFault::Unavailable => Self::RegisterUnavailable,
            RegisterFault::Timeout => Self::RegisterTimeout,
            RegisterFault::Record => Self::RegisterRecord,
        }
    }
}

/// An answer, already cut.
#[derive(Clone, Debug, PartialEq)]
pub struct LicenseAnswer {
    /// The `result` of protocol §4.
    pub result: Value,
    pub source: Source,
    pub stale: bool,
    /// Seconds since the epoch.
    pub as_of: i64,
    /// Licenses in it; 0 is "not found".
    pub licenses: usize,
    /// Numbers of everybody who holds one of them, for the log's search tags.
    pub holders: Vec<String>,
}

/// The room's door: one register, one cache.
#[derive(Clone)]
pub struct Lookup {
    cache: Arc<Cache>,
}

impl Lookup {
    /// Memory for records (bytes): thirty thousand marriage certificates.
    pub const CACHE_BYTES: u64 = 64 * 1024 * 1024;

    pub fn new(register: Register) -> Self {
        Self::with_cache_bytes(register, Self::CACHE_BYTES)
    }

    pub fn with_cache_bytes(register: Register, cache_bytes: u64) -> Self {
        Self { cache: Cache::new(register, cache_bytes) }
    }

    /// Answers a query that was granted. `holder_matches(type, number)` says whether the
    /// consent is this holder's; it is asked for lookups by license id only, because otherwise
    /// the holder stood in the query and was checked there.
    pub async fn run(
        &self,
        query: &LicenseQuery,
        license_type: &LicenseType,
        permit: &LicensePermit,
        holder_matches: impl Fn(&str, &str) -> bool,
        now: Now,
    ) -> Result<LicenseAnswer, LookupFault> {
        self.run_with(query, license_type, license_type.cache(), permit, holder_matches, now).await
    }

    /// [`Lookup::run`] with other ages than the type's.
    pub(super) async fn run_with(
        &self,
        query: &LicenseQuery,
        license_type: &LicenseType,
        ages: CacheAges,
        permit: &LicensePermit,
        holder_matches: impl Fn(&str, &str) -> bool,
        now: Now,
    ) -> Result<LicenseAnswer, LookupFault> {
        let want = Want { ages, max_age: query.max_age, stale_allowed: query.mode == Mode::Read };
        let found = self.cache.find(&ask(query, license_type), want, now).await?;
        if query.license.holder.is_none() && !all_held_by_subject(&found.held.records, holder_matches) {
            return Err(LookupFault::HolderMismatch);
        }
        let records = || found.held.records.iter().filter(|record| is_named(record, query));
        let cut = Cut { query, license_type, permit };
        let licenses: Vec<Value> = records().map(|record| cut.license(record)).collect();
        let holders = records().flat_map(|r| r.holders()).map(|holder| holder.code.clone()).collect();
        Ok(LicenseAnswer { holders, ..answer(licenses, &found, permit) })
    }

    /// The register says that this changed: what was read before is not told any more.
    pub async fn changed(&self, changed: &Changed) {
        self.cache.changed(&changed.0).await;
    }

    #[cfg(test)]
    pub(super) fn register(&self) -> &Register {
        self.cache.register()
    }

    #[cfg(test)]
    pub(super) fn note(&self, change: &super::Change) {
        self.cache.note(change);
    }

    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }
}

fn ask(query: &LicenseQuery, license_type: &LicenseType) -> Ask {
    let license_type = license_type.code().to_owned();
    match (&query.license.holder, &query.license.license_id) {
        (Some(holder), _) => Ask::Holder {
            license_type,
            kind: holder.kind.clone(),
            number: normalised_number(&holder.kind, &holder.number).into_owned(),
        },
        (None, id) => Ask::Id { license_type, license_id: id.clone().unwrap_or_default() },
    }
}

fn all_held_by_subject(records: &[LicenseRecord], matches: impl Fn(&str, &str) -> bool) -> bool {
    records.iter().all(|record| record.holders().iter().any(|h| matches(&h.type_code, &h.code)))
}

/// A name given in the query must be that holder's name on the license.
fn is_named(record: &LicenseRecord, query: &LicenseQuery) -> bool {
    let Some(holder) = &query.license.holder else { return true };
    let Some(asked) = &holder.name else { return true };
    record
        .holder(&holder.kind, &holder.number)
        .is_some_and(|h| normalise_name(h.name.trim()) == normalise_name(asked.trim()))
}

fn answer(licenses: Vec<Value>, found: &Found, permit: &LicensePermit) -> LicenseAnswer {
    let as_of = found.held.asked_at.secs();
    let count = licenses.len();
    let mut result = Map::new();
    result.insert("found".into(), Value::Bool(count > 0));
    result.insert("source".into(), Value::from(found.source.word()));
    result.insert("as_of".into(), Value::from(as_of));
    if found.stale {
        result.insert("stale".into(), Value::Bool(true));
    }
    result.insert("licenses".into(), Value::Array(licenses));
    if count == 0 {
        result.insert("ways".into(), permit.ways().collect());
    }
    LicenseAnswer {
        result: Value::Object(result),
        source: found.source,
        stale: found.stale,
        as_of,
        licenses: count,
        holders: Vec::new(),
    }
}

/// By what a record is cut.
struct Cut<'a> {
    query: &'a LicenseQuery,
    license_type: &'a LicenseType,
    permit: &'a LicensePermit,
}

impl Cut<'_> {
    fn license(&self, record: &LicenseRecord) -> Value {
        let header = record.header();
        let mut told = Map::new();
        let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
        tell("license_id", header.license_id.as_ref().into());
        tell("type", header.type_code.as_ref().into());
        tell("name", header.name.as_ref().into());
        tell("issuer", json!({"code": header.issuer_code, "name": header.issuer_name}));
        tell("issued_on", header.issued_on.to_string().into());
        tell("valid_from", header.valid_from.to_string().into());
        tell("valid_to", header.valid_to.map(|day| day.to_string()).into());
        tell("long_term", header.long_term.into());
        tell("status", header.status.as_ref().into());
        if !record.is_revoked() {
            match self.query.mode {
                Mode::Read => tell("data", self.data(record)),
                Mode::Verify => tell("match", self.matches(record)),
            };
        }
        Value::Object(told)
    }

    fn data(&self, record: &LicenseRecord) -> Value {
        let told = self.query.fields.iter().filter(|field| self.may_tell(field));
        let told = told.filter_map(|field| Some((field.clone(), record.field(field)?)));
        Value::Object(told.collect())
    }

    fn matches(&self, record: &LicenseRecord) -> Value {
        let told = self.query.expect.iter().filter(|(field, _)| self.may_tell(field));
        let told = told.map(|(field, expected)| {
            let same =
                record.field(field).and_then(|value| text(&value)).is_some_and(|text| text == *expected);
            (field.clone(), Value::Bool(same))
        });
        Value::Object(told.collect())
    }

    /// The corridor refuses what may not be asked; here it could not be told either.
    fn may_tell(&self, field: &str) -> bool {
        self.permit.allows(field) && self.license_type.shareable(field)
    }
}

/// The form in which a value is compared: strings as they are, numbers and booleans as JSON
/// writes them; lists and objects have none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
