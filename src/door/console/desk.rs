//! Where auditors' acts are done and recorded, as the console asks for them.
//!
//! Promises: nothing about a person or a case is shown without a [`Warrant`], and what is
//! shown stands in the log before it is. [`LogDesk`] is the least desk: cases and
//! authorizations, found by looking back through the log itself.

use std::pin::Pin;
use std::sync::Arc;

use hyper::StatusCode;

use crate::account::Account;
use crate::envelope::digest;
use crate::house::House;
use crate::ledger::{Leaf, LeafHash, LeafKind, Standing};

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
                .filter(|text| (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control))
                .map(str::to_owned)
        };
        let purpose = fits(purpose, MOST_PURPOSE).ok_or(DeskFault::PURPOSE)?;
        let order = fits(order, MOST_ORDER).ok_or(DeskFault::ORDER)?;
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
    /// What a reader must know besides, in Chinese and English: how far it was looked.
    pub note: Option<(String, String)>,
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
        [Self::Open, Self::Export, Self::Hold, Self::Release, Self::Erase].into_iter().find(|act| act.word() == word)
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
    pub const PURPOSE: Self = Self::fixed();
    pub const ORDER: Self = Self::fixed();

    const fn fixed() -> Self {
        Self { status: 422, zh: String::new(), en: String::new() }
    }

    pub fn new(status: StatusCode, zh: &str, en: &str) -> Self {
        Self { status: status.as_u16(), zh: zh.to_owned(), en: en.to_owned() }
    }
}

/// What an act comes to, later.
pub type Doing<'d, T> = Pin<Box<dyn Future<Output = Result<T, DeskFault>> + Send + 'd>>;

pub trait Desk: Send + Sync {
    /// Finds and records that it was asked for.
    fn search<'d>(
        &'d self,
        who: &'d Account,
        warrant: &'d Warrant,
        question: &'d Question,
        page: Option<&'d str>,
    ) -> Doing<'d, Found>;
}
