//! The JSON Schemas of `schemas/`, compiled once, and the one way in which a JSON value
//! becomes a Rust value of ours.
//!
//! Promises: nothing is fetched, patterns run in linear time, formats are asserted, all
//! faults are told at once (≤ [`crate::fault::MOST_FAULTS`]) and none repeats a value.
//! A valid document costs one walk over the compiled schema and allocates no error.
//! What a document means, and whether a license type is one an agreement names, is left
//! to the rooms.

mod calendar;
mod catalog;
mod document;
mod files;
mod formats;
mod forms;
mod license_type;
mod rules;
mod telling;

pub use calendar::load_calendar;
pub use catalog::Catalog;
pub use document::{LicenseDocument, LicenseHolder};
pub use forms::{FormMaterial, FormType};
pub use license_type::{CacheAges, LicenseType, Share};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The document kinds that have a schema under `schemas/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Request,
    Response,
    Authorization,
    Ping,
    LicenseQuery,
    LicenseResult,
    ApplicationSubmit,
    ApplicationEvent,
    ApplicationReceipt,
    ApplicationStatus,
    ApplicationStatusResult,
    VerificationRequest,
    VerificationAnswer,
    VerificationReceipt,
    Reconcile,
    ReconcileResult,
    Card,
    Agreement,
    Authority,
    LicenseHeader,
    Problem,
    CalendarYear,
}

impl Kind {
    pub const ALL: [Self; 22] = [
        Self::Request,
        Self::Response,
        Self::Authorization,
        Self::Ping,
        Self::LicenseQuery,
        Self::LicenseResult,
        Self::ApplicationSubmit,
        Self::ApplicationEvent,
        Self::ApplicationReceipt,
        Self::ApplicationStatus,
        Self::ApplicationStatusResult,
        Self::VerificationRequest,
        Self::VerificationAnswer,
        Self::VerificationReceipt,
        Self::Reconcile,
        Self::ReconcileResult,
        Self::Card,
        Self::Agreement,
        Self::Authority,
        Self::LicenseHeader,
        Self::Problem,
        Self::CalendarYear,
    ];

    /// The schema's name: `schemas/<name>.json`, `urn:tongban:schema:<name>`.
    pub const fn schema_name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Authorization => "authorization",
            Self::Ping => "ping",
            Self::LicenseQuery => "license-query",
            Self::LicenseResult => "license-result",
            Self::ApplicationSubmit => "application-submit",
            Self::ApplicationEvent => "application-event",
            Self::ApplicationReceipt => "application-receipt",
            Self::ApplicationStatus => "application-status",
            Self::ApplicationStatusResult => "application-status-result",
            Self::VerificationRequest => "verification-request",
            Self::VerificationAnswer => "verification-answer",
            Self::VerificationReceipt => "verification-receipt",
            Self::Reconcile => "reconcile",
            Self::ReconcileResult => "reconcile-result",
            Self::Card => "card",
            Self::Agreement => "agreement",
            Self::Authority => "authority",
            Self::LicenseHeader => "license-header",
            Self::Problem => "problem",
            Self::CalendarYear => "calendar-year",
        }
    }
}

/// A Rust twin of a schema: whatever the schema lets pass deserialises into it.
pub trait Admissible: DeserializeOwned {
    const KIND: Kind;

    /// The twin of a value that met the schema and is not needed afterwards.
    fn of(value: Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }

    /// The value with its identifiers in the form in which they are stored and compared
    /// (an ID number's `x` becomes `X`). Kinds without such identifiers keep the default.
    #[must_use]
    fn normalised(self) -> Self {
        self
    }
}

/// A value that met its schema *and* became a Rust value. Made by [`Catalog::admit`] and
/// [`Catalog::admit_on`] only.
#[derive(Clone, Debug)]
pub struct Admitted<T>(T);

impl<T> Admitted<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
    pub fn into_inner(self) -> T {
        self.0
    }
}
