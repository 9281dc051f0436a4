//! Where license records come from: the embedded register or a county's existing license
//! library.
//!
//! Promises: every record handed on was checked ([`LicenseRecord`]) and is of the license
//! type and the holder, or the id, that was asked for; what a register says when it fails is
//! never taken for an answer and never repeated. How long a record may be kept is the
//! cache's word.

mod embedded;
mod http;
mod import;
#[cfg(test)]
mod tests;

pub use embedded::{EmbeddedRegister, RegisterFileFault};
pub use http::{HttpRegister, HttpRegisterSettings, SettingsFault, SettingsFaults};
pub use import::{ImportFault, ImportReport, LineFault, Progress, import};

use std::path::Path;

use super::record::LicenseRecord;
use crate::clock::Now;
use crate::fault::Fault;

/// One question to a register, and the key of its answer in the cache.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// All licenses of one type of one holder; the number with its check character in upper case.
    Holder {
        license_type: String,
        kind: String,
        number: String,
    },
    Id {
        license_type: String,
        license_id: String,
    },
}

impl Ask {
    pub fn license_type(&self) -> &str {
        match self {
            Self::Holder { license_type, .. } | Self::Id { license_type, .. } => license_type,
        }
    }

    fn fits(&self, record: &LicenseRecord) -> bool {
        record.type_code() == self.license_type()
            && match self {
                Self::Holder { kind, number, .. } => record.holder(kind, number).is_some(),
                Self::Id { license_id, .. } => record.license_id() == license_id,
            }
    }
}

/// Why a register gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RegisterFault {
    #[error("the register cannot be reached or says it failed")]
    Unavailable,
    #[error("the register did not answer in time")]
    Timeout,
    /// It answered with something that is not believed.
    #[error("the register gave a record that fails its checks")]
    Record,
}

/// What a register says has changed since it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    None,
    Some(Vec<Change>),
    /// More than it remembers.
    Everything,
}

/// One changed license.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of this holder, in whatever license of the type.
    Holder { license_type: String, kind: String, number: String },
    /// This license (in whatever version), its holders unknown.
    License { license_id: String },
    /// This license, and its holders are told as well.
    LicenseOfToldHolders { license_id: String },
}

/// Licenses of one answer that are believed; more than this and the register has misread the
/// question (a person has a handful of one type, a developer a few hundred deeds).
const MOST_RECORDS: usize = 200;

/// The region's register.
pub enum Register {
    Embedded(EmbeddedRegister),
    Http(HttpRegister),
    #[cfg(test)]
    Fake(std::sync::Arc<fake::FakeRegister>),
}

impl Register {
    /// The embedded register at `path`; an empty one is made where there is none.
    pub fn embedded(path: &Path) -> Result<Self, RegisterFileFault> {
        EmbeddedRegister::open(path).map(Self::Embedded)
    }

    /// A county's license library. Paths in the settings are relative to `base`.
    pub fn http(settings: &HttpRegisterSettings, base: &Path) -> Result<Self, SettingsFaults> {
        HttpRegister::new(settings.clone(), base).map(Self::Http).map_err(SettingsFaults)
    }

    /// The records that answer `ask`; none is an answer, too.
    pub async fn fetch(&self, ask: &Ask, now: Now) -> Result<Vec<LicenseRecord>, RegisterFault> {
        let today = now.shanghai_day();
        let records = match self {
            Self::Embedded(register) => register.fetch(ask, today).await?,
            Self::Http(register) => register.fetch(ask, today).await?,
            #[cfg(test)]
            Self::Fake(register) => register.fetch(ask).await?,
        };
        // A record of somebody else would stay in the cache and be told to the next who asks.
        if records.len() > MOST_RECORDS || !records.iter().all(|record| ask.fits(record)) {
            tracing::error!(records = records.len(), "the register answered another question than was asked");
            return Err(RegisterFault::Record);
        }
        Ok(records)
    }

    /// What changed since this was last called. Cheap: called for every lookup.
    pub fn changes(&self) -> Changes {
        match self {
            Self::Embedded(register) => register.changes(),
            Self::Http(_) => Changes::None,
            #[cfg(test)]
            Self::Fake(_) => Changes::None,
        }
    }
}

/// Says which rules a record broke and where, never what it says.
fn log_unbelieved(faults: &[Fault]) {
    let rules: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.rule)).collect();
    tracing::error!(faults = ?rules, "a record of the register fails its checks");
}

#[cfg(test)]
pub(super) mod fake {
    //! A register under the tests' thumb: answers when told to, and counts.

    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    pub struct FakeRegister {
        pub answer: Mutex<Result<Vec<LicenseRecord>, RegisterFault>>,
        pub calls: AtomicUsize,
        /// Permits to answer; closed or plenty by default.
        pub gate: Semaphore,
    }

    impl FakeRegister {
        pub fn answering(answer: Result<Vec<LicenseRecord>, RegisterFault>) -> Self {
            Self { answer: Mutex::new(answer), calls: AtomicUsize::new(0), gate: Semaphore::new(100_000) }
        }

        pub async fn fetch(&self, _ask: &Ask) -> Result<Vec<LicenseRecord>, RegisterFault> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            // What it will say is settled when it is asked, as with a register that reads first
            // and then answers slowly.
            let answer = self.answer.lock().unwrap().clone();
            self.gate.acquire().await.unwrap().forget();
            answer
        }
    }
}
