//! What the lookup needs to know of a license type.

use std::time::Duration;

use serde_json::Value;

use super::record::Document;
use crate::fault::Fault;

/// How old a record of a type may be told (seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ages {
    pub data_secs: i64,
    pub status_secs: i64,
    pub negative_secs: i64,
    /// How long past its age a record may be told while the register is down.
    pub stale_if_register_down_secs: Option<i64>,
}

impl Ages {
    /// Protocol §4: data ≤ 10 min, status ≤ 60 s, negative 30 s.
    pub const DEFAULT: Self =
        Self { data_secs: 600, status_secs: 60, negative_secs: 30, stale_if_register_down_secs: None };

    pub fn limit_secs(&self, negative: bool) -> i64 {
        if negative { self.negative_secs } else { self.data_secs.min(self.status_secs) }
    }

    /// How long a record is worth its memory.
    pub fn keep(&self, negative: bool) -> Duration {
        let stale = if negative { 0 } else { self.stale_if_register_down_secs.unwrap_or(0) };
        let secs = self.limit_secs(negative).saturating_add(stale).max(0);
        Duration::from_secs(u64::try_from(secs).unwrap_or(0))
    }
}

pub(super) fn ages(_license_type: &str) -> Ages {
    Ages::DEFAULT
}

pub(super) fn shareable(_license_type: &str, _field: &str) -> bool {
    true
}

pub(super) fn admit_license(value: &Value) -> Result<Document, Vec<Fault>> {
    serde::Deserialize::deserialize(value)
        .map_err(|_| vec![Fault::new("", "type", "does not have the expected shape", "结构不符")])
}
