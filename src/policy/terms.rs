//! The words of an agreement (protocol §5), Rust twins of `schemas/agreement.json`.

use jiff::civil::Date;
use serde::Deserialize;

use crate::domain::Region;
pub use crate::domain::{Evidence, HandlingMode, Necessity, TimeLimit, TimeUnit};
use crate::envelope::Basis;

/// One agreement file, as written. [`super::Agreement`] is the checked form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgreementFile {
    pub id: String,
    pub parties: Vec<Region>,
    pub name: String,
    pub valid_from: Date,
    pub valid_to: Date,
    pub items: Vec<Item>,
    #[serde(default)]
    pub quota: Limits,
}

/// A government service item that the two regions handle together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// 实施编码, 31 characters (GB/T 39554.1).
    pub code: String,
    pub name: String,
    /// The region that decides.
    pub handling: Region,
    /// The regions whose windows collect.
    pub collecting: Vec<Region>,
    pub mode: HandlingMode,
    /// 办件类型: 1 即办件, 2 承诺件, 9 其他 (GB/T 39046).
    pub project_type: Option<String>,
    pub bases: Vec<Basis>,
    /// Names of the operations of protocol §3.1.
    pub ops: Vec<String>,
    #[serde(default)]
    pub licenses: Vec<LicenseTerms>,
    #[serde(default)]
    pub materials: Vec<Material>,
    /// Name of the item's form schema.
    pub form: Option<String>,
    pub legal_limit: Option<TimeLimit>,
    pub promise_limit: Option<TimeLimit>,
    pub receipt_clock: Option<ReceiptClock>,
    pub verification_limit: Option<TimeLimit>,
}

/// What may be looked up of one license type for one item.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenseTerms {
    #[serde(rename = "type")]
    pub kind: String,
    /// The regions that answer.
    pub holder_region: Vec<Region>,
    pub modes: Vec<LookupMode>,
    pub fields: Vec<String>,
}

/// One material of an item and the ways in which it may be shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    pub code: String,
    pub name: String,
    pub necessity: Necessity,
    /// The license type that stands for it, if one does.
    pub license: Option<String>,
    /// In order of preference.
    pub evidence: Vec<Evidence>,
}

/// Whether values are returned or only compared (protocol §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupMode {
    Read,
    Verify,
}

impl LookupMode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Verify => "verify",
        }
    }
}

/// Whose receipt starts the legal clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptClock {
    Collecting,
    Handling,
}

/// How much a partner may ask under one agreement. What a file leaves out is
/// [`Limits::DEFAULT`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub requests_per_second: u32,
    /// Requests that may come at once after a pause.
    pub burst: u32,
    /// Requests being worked on at the same time.
    pub concurrent: u32,
    /// Requests in one day of Asia/Shanghai.
    pub per_day: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// What an agreement without a `quota`, or a partner without an agreement, gets: the
    /// figures of protocol §5's example, sized for one county's windows.
    pub const DEFAULT: Self = Self { requests_per_second: 50, burst: 100, concurrent: 64, per_day: 200_000 };

    /// Member by member the smaller one.
    #[must_use]
    pub fn least_generous(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.min(other.requests_per_second),
            burst: self.burst.min(other.burst),
            concurrent: self.concurrent.min(other.concurrent),
            per_day: self.per_day.min(other.per_day),
        }
    }

    /// Member by member the larger one.
    #[must_use]
    pub fn most_generous(self, other: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.max(other.requests_per_second),
            burst: self.burst.max(other.burst),
            concurrent: self.concurrent.max(other.concurrent),
            per_day: self.per_day.max(other.per_day),
        }
    }
}
