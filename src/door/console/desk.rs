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

    fn not_here() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "本网关尚未启用此功能", "This gateway cannot do that yet")
    }

    fn unreadable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "账本暂时无法读取", "The log cannot be read at the moment")
    }

    fn unrecorded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "账本无法留痕，操作未执行",
            "The log cannot record this, so it was not done",
        )
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
    fn decide<'d>(&'d self, _who: &'d Account, _id: &'d str, _yes: bool) -> Doing<'d, ()> {
        Box::pin(async { Err(DeskFault::not_here()) })
    }

    /// The register entry of an act's leaf, by the leaf's `rd`: who, why, on whose paper.
    fn entry<'d>(&'d self, _rd: &'d [u8; 32]) -> Doing<'d, Option<serde_json::Value>> {
        Box::pin(async { Ok(None) })
    }
}

/// Finds cases and authorizations by looking back through the log.
pub struct LogDesk {
    house: Arc<House>,
}

/// Rows on one page.
const ROWS: usize = 50;
/// Leaves looked through for one page: about half a second.
const LOOKED_THROUGH: u64 = 200_000;

impl LogDesk {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }

    /// The member of a leaf that holds it, as the leaf's bytes spell it.
    fn member(&self, sought: &Sought) -> Option<String> {
        match sought {
            Sought::Case(number) => Some(format!("\"case\":\"{}\"", self.house.ledger.case_tag(number))),
            Sought::Authorization { issuer, jti } => {
                let hash = digest(format!("{issuer}\0{jti}").as_bytes());
                Some(format!("\"auth\":\"{}\"", LeafHash(hash)))
            }
            Sought::Citizen(_) | Sought::License(_) | Sought::Operator { .. } => None,
        }
    }
}

impl Desk for LogDesk {
    fn search<'d>(
        &'d self,
        who: &'d Account,
        _warrant: &'d Warrant,
        question: &'d Question,
        page: Option<&'d str>,
    ) -> Doing<'d, Found> {
        Box::pin(async move {
            let member = self.member(&question.sought).ok_or_else(DeskFault::not_here)?;
            let ledger = self.house.ledger.clone();
            let (present, _) = ledger.present();
            let (log, below) = match page.and_then(|page| page.rsplit_once('/')) {
                Some((log, below)) => (log.to_owned(), below.parse().unwrap_or(0)),
                None => (present, u64::MAX),
            };
            let origin = log.clone();
            let looked = tokio::task::spawn_blocking(move || {
                ledger.look_back(&origin, below, LOOKED_THROUGH, ROWS, |leaf| {
                    contains(&leaf.bytes, member.as_bytes())
                })
            });
            let looked = looked.await.ok().and_then(Result::ok).ok_or_else(DeskFault::unreadable)?;
            let leaf = Leaf {
                op: Some(question.sought.word().to_owned()),
                by: Some(who.name().to_owned()),
                n: Some(u64::try_from(looked.found.len()).unwrap_or(u64::MAX)),
                ..Leaf::new(LeafKind::Search)
            };
            let place = self.house.ledger.record(leaf.into()).await.map_err(|_| DeskFault::unrecorded())?;
            Ok(Found {
                rows: looked.found,
                next: (looked.down_to > 0).then(|| format!("{log}/{}", looked.down_to)),
                recorded: format!("{}/{}", shard_of(&place.origin), place.index),
                note: Some((
                    format!("已查阅 {log} 中第 {} 条起的记录", looked.down_to),
                    format!("Looked through {log} from leaf {} on", looked.down_to),
                )),
            })
        })
    }
}

/// `2026h2` of `tongban/421202/2026h2`.
pub fn shard_of(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
