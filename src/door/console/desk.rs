//! The auditors' desk as pages ask for it: what they filled in becomes errands of
//! [`crate::audit`], and what came of them becomes rows.
//!
//! Promises: nothing about a person or a case is shown without a [`Warrant`], and what is
//! shown stands in the log before it is.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::Value;

use crate::account::Account;
use crate::audit::package::{Export, Selection, export};
use crate::audit::{self, Actor, ExportFacts, FoundRow, Mandate, Opened, Page, Request};
use crate::house::House;
use crate::keys::read_private_file;
use crate::ledger::evidence::Field;
use crate::ledger::{LedgerKey, Shard, Standing};

/// Characters of a purpose and of an order or case number.
pub const MOST_PURPOSE: usize = audit::LONGEST_PURPOSE;
pub const MOST_ORDER: usize = audit::LONGEST_ORDER;

/// Why an auditor looks, and on whose paper: as filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warrant {
    purpose: String,
    order: String,
}

impl Warrant {
    pub fn new(purpose: Option<&str>, order: Option<&str>) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Self { purpose: text(purpose), order: text(order) }
    }

    fn mandate(&self, who: &Account) -> Result<Mandate, DeskFault> {
        Ok(Mandate::new(Actor::of(who), &self.purpose, &self.order)?)
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
    /// An authorization is found by its hash, all others by a keyed token.
    fn named(&self) -> (Field, String) {
        match self {
            Self::Citizen(value) => (Field::Citizen, value.clone()),
            Self::License(value) => (Field::License, value.clone()),
            Self::Case(value) | Self::Authorization { jti: value, .. } => (Field::Case, value.clone()),
            Self::Operator { region, operator } => (Field::Operator, format!("{region}:{operator}")),
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
    /// Auditors' own acts about the subject of a report, as the registers hold them.
    pub acts: Vec<Value>,
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

    fn not_here() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "本网关尚未启用此功能", "This gateway cannot do that yet")
    }

    fn unreadable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "账本暂时无法读取", "The log cannot be read at the moment")
    }
}

impl From<audit::DeskFault> for DeskFault {
    fn from(fault: audit::DeskFault) -> Self {
        let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, fault.message_zh(), &fault.to_string())
    }
}

/// The auditors' desk as the console's pages ask for it.
pub struct Desk {
    house: Arc<House>,
}

/// Rows on one page.
const ROWS: u32 = 50;

impl Desk {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }

    /// Finds, and records that it was asked for.
    pub async fn search(
        &self,
        who: &Account,
        warrant: &Warrant,
        question: &Question,
        page: Option<&str>,
    ) -> Result<Found, DeskFault> {
        let mandate = warrant.mandate(who)?;
        let (desk, period) = (&self.house.desk, (question.from, question.to));
        if let Sought::Authorization { issuer, jti } = &question.sought {
            let uses = desk.authorization(&mandate, issuer, jti).await?;
            return self.found(uses.rows, None, uses.leaf, uses.more).await;
        }
        let (field, value) = question.sought.named();
        if question.report {
            let report = desk.subject(&mandate, field, &value, period).await?;
            let acts = report.acts.iter().filter_map(|act| serde_json::to_value(act).ok()).collect();
            let found = self.found(report.rows, None, report.leaf, report.more).await?;
            return Ok(Found { acts, ..found });
        }
        let (from, to) = period;
        let asked = audit::Question { from, to, ..audit::Question::about(field, &value) };
        let page = Page { after: page.map(str::to_owned), rows: Some(ROWS) };
        let found = desk.search(&mandate, &asked, &page).await?;
        self.found(found.rows, found.next, found.leaf, false).await
    }

    /// The rows with their leaves' exact bytes.
    async fn found(
        &self,
        rows: Vec<FoundRow>,
        next: Option<String>,
        recorded: String,
        more: bool,
    ) -> Result<Found, DeskFault> {
        let house = self.house.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut standing = Vec::with_capacity(rows.len());
            for row in rows {
                let origin = format!("tongban/{}/{}", house.me, row.shard);
                standing.extend(house.ledger.leaves(&origin, row.index..row.index.saturating_add(1))?);
            }
            Ok::<_, crate::ledger::ReadFault>(standing)
        });
        let rows = read.await.ok().and_then(Result::ok).ok_or_else(DeskFault::unreadable)?;
        let note = more.then(|| {
            let most = rows.len();
            (
                format!("仅列最近 {most} 条，请缩小期间"),
                format!("Only the newest {most}: name a shorter period"),
            )
        });
        Ok(Found { rows, next, recorded, note, acts: Vec::new() })
    }

    /// Does, or asks a second person for, an act on the leaf at `place` (`2026h2/4711`);
    /// returns what to tell the one who asked, in Chinese and English.
    pub async fn act(
        &self,
        who: &Account,
        warrant: &Warrant,
        act: Act,
        place: &str,
    ) -> Result<(String, String), DeskFault> {
        let mandate = warrant.mandate(who)?;
        let (shard, index) = place.split_once('/').ok_or_else(DeskFault::not_here)?;
        let of = vec![index.parse().map_err(|_| DeskFault::not_here())?];
        let (desk, shard) = (&self.house.desk, Some(shard));
        let words = |zh: &str, en: &str, leaf: &str| (format!("{zh}（{leaf}）"), format!("{en} ({leaf})"));
        match act {
            Act::Open => {
                let request = desk.open_request(&mandate, shard, of).await?;
                Ok(words(
                    "已提交申请，待另一人批准后可在“证据”页开启",
                    "Asked: when a second person has approved, open it on the page Evidence",
                    &request.id,
                ))
            }
            Act::Hold => {
                let held = desk.hold(&mandate, shard, of).await?;
                Ok(words("已保全并记入账本", "Held, and recorded", &held.leaf))
            }
            Act::Release => {
                let held = desk.release_hold(&mandate, shard, of).await?;
                Ok(words("已解除保全并记入账本", "Released, and recorded", &held.leaf))
            }
            Act::Export | Act::Erase => Err(DeskFault::not_here()),
        }
    }

    /// A package about the exchange of the leaf at a place, recorded before it is handed out.
    pub async fn package(
        &self,
        who: &Account,
        warrant: &Warrant,
        standing: &Standing,
    ) -> Result<Vec<u8>, DeskFault> {
        let mandate = warrant.mandate(who)?;
        let house = self.house.clone();
        let (shard, index) = (Shard::parse(shard_of(&standing.origin)), standing.index);
        let selection = match standing.leaf().and_then(|leaf| leaf.x) {
            Some(exchange) => Selection::Exchanges(vec![exchange]),
            None => Selection::Leaves(vec![index]),
        };
        let made = tokio::task::spawn_blocking(move || {
            let pem = read_private_file(&house.config.path(&house.config.ledger.key)).ok()?;
            let key = LedgerKey::from_pem(&pem).ok()?;
            let data = house.config.data_dir();
            let request = Export { data: &data, key: &key, shard, selection, policy: None };
            let mut bytes = Vec::new();
            let made = export(&request, &mut bytes);
            made.map(|made| (made, bytes))
                .inspect_err(|fault| tracing::error!(target: "console", %fault, "no package could be made"))
                .ok()
        });
        let (made, bytes) = made.await.ok().flatten().ok_or_else(DeskFault::unreadable)?;
        let facts = ExportFacts {
            shard: made.shard.to_string(),
            sha256: hex::encode(made.sha256),
            leaves: made.leaves,
            of: made.evidence,
        };
        self.house.desk.export(&mandate, facts).await?;
        Ok(bytes)
    }

    /// Requests of this account, newest first, with what became of them.
    pub async fn requests_of(&self, who: &Account) -> Result<Vec<Request>, DeskFault> {
        let mut requests = self.house.desk.requests().await?;
        requests.retain(|request| request.by == who.name());
        Ok(requests)
    }

    /// What a second person approved: sealed, for the auditor's own key.
    pub async fn opened(&self, who: &Account, id: &str) -> Result<Opened, DeskFault> {
        Ok(self.house.desk.opened(&Actor::of(who), id).await?)
    }

    /// What waits for a second person.
    pub async fn pending(&self) -> Result<Vec<Pending>, DeskFault> {
        let requests = self.house.desk.requests().await?;
        let waiting = requests.into_iter().filter(|request| request.approved.is_none());
        let pending = waiting.map(|request| Pending {
            id: request.id,
            act: Act::Open.word().to_owned(),
            at: request.at,
            by: request.by,
            purpose: request.purpose,
            order: request.order,
            of: request.of.iter().map(|index| format!("{}/{index}", request.shard)).collect(),
        });
        Ok(pending.collect())
    }

    /// The second person's word.
    pub async fn decide(&self, who: &Account, id: &str, yes: bool) -> Result<(), DeskFault> {
        let (desk, actor) = (&self.house.desk, Actor::of(who));
        if yes {
            desk.open_approve(&actor, id).await?;
        } else {
            desk.open_refuse(&actor, id).await?;
        }
        Ok(())
    }

    /// The register entry of an act's leaf, by the leaf's `rd`: who, why, on whose paper.
    pub async fn entry(&self, rd: &[u8; 32]) -> Option<Value> {
        let (registers, rd) = (self.house.desk.registers().clone(), *rd);
        let entry = tokio::task::spawn_blocking(move || registers.of_rd(&rd)).await.ok()?.ok()??;
        serde_json::to_value(entry).ok()
    }
}

/// `2026h2` of `tongban/421202/2026h2`.
pub fn shard_of(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
