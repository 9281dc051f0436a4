//! Agreements: what a partner may ask of us, and how often.
//!
//! Promises: a [`Grant`] exists only for a request that an agreement in force allows; every
//! refusal says which step of protocol §3.4 it failed, in the order of that section; a
//! snapshot is never half of an old and half of a new folder. Reading the files, watching
//! them and turning a [`PolicyFault`] into words for the peer is left to others.

mod agreement;
mod quota;
mod snapshot;
mod table;
mod terms;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use agreement::Agreement;
pub use quota::{Exceeded, Limited, QuotaPermit, Quotas};
pub use snapshot::{Grant, LicensePermit, Policy, PolicyFault};
pub use table::{AgreementTable, ItemRow};
pub use terms::{
    Evidence, HandlingMode, Item, LicenseTerms, Limits, LookupMode, Material, Necessity, ReceiptClock,
    TimeLimit, TimeUnit,
};
