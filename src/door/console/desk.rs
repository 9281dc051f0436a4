//! Where auditors' acts are done and recorded, as the console asks for them.
//!
//! Promises: nothing about a person or a case is shown without a [`Warrant`], and what is
//! shown stands in the log before it is. The pages know this trait only; [`super::HouseDesk`]
//! is the gateway's own desk behind it.

use std::collections::HashMap;
use std::pin::Pin;

use hyper::StatusCode;
use serde_json::Value;

use crate::account::Account;
use crate::ledger::Standing;

/// Characters of a purpose and of an order or case number.
pub const MOST_PURPOSE: usize = 200;
pub const MOST_ORDER: usize = 64;

/// Why an auditor looks, and on whose paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    pub purpose: String,
    pub order: String,
}

impl Warrant {
    pub fn new(purpose: Option<&str>, order: Option<&str>) -> Result<Self, DeskFault> {
        let fits = |text: Option<&str>, most: usize| {
            text.map(str::trim)
                .filter(|text| {
                    (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
                })
                .map(str::to_owned)
        };
        let purpose = fits(purpose, MOST_PURPOSE).ok_or_else(DeskFault::purpose)?;
        let order = fits(order, MOST_ORDER).ok_or_else(DeskFault::order)?;
        Ok(Self { purpose, order })
    }
}

/// Whom or what is sought.
#[derive(Clone, PartialEq, Eq)]
pub enum Sought {
    Citizen(String),
    License(String),
    Case(String),
    Operator { region: String, operator: String },
    Authorization { issuer: String, jti: String },
}

impl Sought {
    /// The kind's own word; never the value.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Citizen(_) => "citizen",
            Self::License(_) => "license",
            Self::Case(_) => "case",
            Self::Operator { .. } => "operator",
            Self::Authorization { .. } => "authorization",
        }
    }
}

/// What is asked, all of which must hold. No `Debug`: it may name a citizen.
#[derive(Clone)]
pub struct Question {
    pub sought: Sought,
    /// Everything about them, as a report, rather than a page to look through.
    pub report: bool,
    /// Milliseconds since 1970; inclusive, exclusive.
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// An answer, newest first.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub rows: Vec<Standing>,
    /// Begins the next page.
    pub next: Option<String>,
    /// The leaf that says that this was asked: `2026h2/4711`.
    pub recorded: String,
    /// What a reader must know besides, in Chinese and English.
    pub note: Option<(String, String)>,
    /// Auditors' own acts about the subject of a report, as the registers hold them.
    pub acts: Vec<Value>,
}

/// A file for the one who asked.
pub struct Download {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What waits for a second person.
#[derive(Clone, Debug)]
pub struct Pending {
    pub id: String,
    /// `open`, `erase`, …
    pub act: String,
    /// Milliseconds since 1970.
    pub at: i64,
    pub by: String,
    pub purpose: String,
    pub order: String,
    /// `2026h2/4711` each.
    pub of: Vec<String>,
}

/// What an auditor wants done with one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Open,
    Export,
    Hold,
    Release,
    Erase,
}

impl Act {
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Export, Self::Hold, Self::Release, Self::Erase]
            .into_iter()
            .find(|act| act.word() == word)
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Export => "export",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Erase => "erase",
        }
    }
}

/// Why the desk does not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{en}")]
pub struct DeskFault {
    pub status: u16,
    pub zh: String,
    pub en: String,
}

impl DeskFault {
    pub fn new(status: StatusCode, zh: &str, en: &str) -> Self {
        Self { status: status.as_u16(), zh: zh.to_owned(), en: en.to_owned() }
    }

    fn purpose() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "请填写用途（1至200字）",
            "Say what for: a purpose of 1 to 200 characters",
        )
    }

    fn order() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "请填写文号或案号（1至64字）",
            "Name the paper that asks for it: an order or case number of 1 to 64 characters",
        )
    }

    pub fn not_here() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "本网关尚未启用此功能", "This gateway cannot do that yet")
    }
}

/// What an act comes to, later.
pub type Doing<'d, T> = Pin<Box<dyn Future<Output = Result<T, DeskFault>> + Send + 'd>>;

/// What an auditor may have done. What a desk does not offer, it says so.
pub trait Desk: Send + Sync {
    /// Finds, and records that it was asked for.
    fn search<'d>(
        &'d self,
        who: &'d Account,
        warrant: &'d Warrant,
        question: &'d Question,
        page: Option<&'d str>,
    ) -> Doing<'d, Found>;

    /// Does, or asks a second person for, an act on the leaf at `place` (`2026h2/4711`);
    /// returns what to tell the one who asked, in Chinese and English.
    fn act<'d>(
        &'d self,
        _who: &'d Account,
        _warrant: &'d Warrant,
        _act: Act,
        _place: &'d str,
    ) -> Doing<'d, (String, String)> {
        Box::pin(async { Err(DeskFault::not_here()) })
    }

    /// What waits for a second person.
    fn pending(&self) -> Doing<'_, Vec<Pending>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The second person's word.
    fn approve<'d>(&'d self, _who: &'d Account, _id: &'d str) -> Doing<'d, ()> {
        Box::pin(async { Err(DeskFault::not_here()) })
    }

    /// A package of the leaf at `place` with its proof and evidence, recorded before it is given.
    fn export<'d>(
        &'d self,
        _who: &'d Account,
        _warrant: &'d Warrant,
        _place: &'d str,
    ) -> Doing<'d, Download> {
        Box::pin(async { Err(DeskFault::not_here()) })
    }

    /// The newest register entries (who, why, on whose paper), by their leaf's place.
    fn entries(&self) -> Doing<'_, HashMap<String, Value>> {
        Box::pin(async { Ok(HashMap::new()) })
    }
}

/// `2026h2` of `tongban/421202/2026h2`.
pub fn shard_of(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
