//! The gateway's own desk, as the console asks it.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::Value;

use super::desk::{Act, Desk, DeskFault, Doing, Download, Found, Pending, Question, Sought, Warrant};
use crate::account::Account;
use crate::audit::{self, Actor, FoundRow, Mandate, Page, RegisterFilter};
use crate::house::House;
use crate::keys::read_private_file;
use crate::ledger::evidence::Field;
use crate::ledger::{LedgerKey, Standing};

/// Register entries laid beside the registers' page.
const MOST_ENTRIES: u32 = 1000;

pub struct HouseDesk {
    house: Arc<House>,
}

impl HouseDesk {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }

    /// The leaves that the desk found, whole.
    async fn leaves(&self, rows: Vec<FoundRow>) -> Result<Vec<Standing>, DeskFault> {
        let house = self.house.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut leaves = Vec::with_capacity(rows.len());
            for row in rows {
                let origin = format!("tongban/{}/{}", house.me, row.shard);
                leaves.extend(house.ledger.leaves(&origin, row.index..row.index.saturating_add(1))?);
            }
            Ok::<_, crate::ledger::ReadFault>(leaves)
        });
        match read.await {
            Ok(Ok(leaves)) => Ok(leaves),
            Ok(Err(_)) | Err(_) => Err(interrupted()),
        }
    }

    async fn find(
        &self,
        mandate: &Mandate,
        question: &Question,
        page: Option<&str>,
    ) -> Result<Found, DeskFault> {
        let desk = &self.house.desk;
        let operator;
        let (field, value) = match &question.sought {
            Sought::Authorization { issuer, jti } => {
                let uses = desk.authorization(mandate, issuer, jti).await?;
                let note = narrowed(uses.more);
                return Ok(Found {
                    rows: self.leaves(uses.rows).await?,
                    recorded: uses.leaf,
                    note,
                    ..Found::default()
                });
            }
            Sought::Citizen(value) => (Field::Citizen, value),
            Sought::License(value) => (Field::License, value),
            Sought::Case(value) => (Field::Case, value),
            Sought::Operator { region, operator: number } => {
                operator = format!("{region}:{number}");
                (Field::Operator, &operator)
            }
        };
        if question.report {
            let report = desk.subject(mandate, field, value, (question.from, question.to)).await?;
            let acts = report.acts.iter().filter_map(|act| serde_json::to_value(act).ok()).collect();
            let (rows, note) = (self.leaves(report.rows).await?, narrowed(report.more));
            return Ok(Found { rows, recorded: report.leaf, note, acts, ..Found::default() });
        }
        let asked =
            audit::Question { from: question.from, to: question.to, ..audit::Question::about(field, value) };
        let page = Page { after: page.map(str::to_owned), rows: None };
        let found = desk.search(mandate, &asked, &page).await?;
        Ok(Found {
            rows: self.leaves(found.rows).await?,
            next: found.next,
            recorded: found.leaf,
            ..Found::default()
        })
    }
}

impl Desk for HouseDesk {
    fn search<'d>(
        &'d self,
        who: &'d Account,
        warrant: &'d Warrant,
        question: &'d Question,
        page: Option<&'d str>,
    ) -> Doing<'d, Found> {
        Box::pin(async move { self.find(&mandate(who, warrant)?, question, page).await })
    }

    fn act<'d>(
        &'d self,
        who: &'d Account,
        warrant: &'d Warrant,
        act: Act,
        place: &'d str,
    ) -> Doing<'d, (String, String)> {
        Box::pin(async move {
            let (mandate, (shard, index)) = (mandate(who, warrant)?, split(place)?);
            let desk = &self.house.desk;
            let (zh, en, leaf) = match act {
                Act::Open => {
                    let request = desk.open_request(&mandate, Some(shard), vec![index]).await?;
                    ("申请已提交,待另一人批准", "Asked for; a second person decides", request.id)
                }
                Act::Hold => {
                    let held = desk.hold(&mandate, Some(shard), vec![index]).await?;
                    ("已保全,记入账本", "Held, and recorded", held.leaf)
                }
                Act::Release => {
                    let held = desk.release_hold(&mandate, Some(shard), vec![index]).await?;
                    ("已解除保全,记入账本", "Released, and recorded", held.leaf)
                }
                Act::Export | Act::Erase => return Err(DeskFault::not_here()),
            };
            Ok((format!("{zh}:{leaf}"), format!("{en}: {leaf}")))
        })
    }

    fn export<'d>(&'d self, who: &'d Account, warrant: &'d Warrant, place: &'d str) -> Doing<'d, Download> {
        Box::pin(async move {
            let (mandate, (shard, index)) = (mandate(who, warrant)?, split(place)?);
            let path = self.house.config.path(&self.house.config.ledger.key);
            let read = tokio::task::spawn_blocking(move || {
                read_private_file(&path).ok().and_then(|pem| LedgerKey::from_pem(&pem).ok())
            });
            let key = read.await.ok().flatten().ok_or_else(interrupted)?;
            let package = self.house.desk.export(&mandate, key, Some(shard), vec![index]).await?;
            Ok(Download { name: format!("{shard}-{index}.tar"), bytes: package.bytes })
        })
    }

    fn pending(&self) -> Doing<'_, Vec<Pending>> {
        Box::pin(async move {
            let (desk, now) = (self.house.desk.clone(), self.house.clock.now().ms());
            let read = tokio::task::spawn_blocking(move || desk.registers().requests(now));
            let requests = read.await.map_err(|_| interrupted())??;
            let waiting = requests.into_iter().filter(|request| request.approved.is_none());
            Ok(waiting
                .map(|request| Pending {
                    of: request.of.iter().map(|index| format!("{}/{index}", request.shard)).collect(),
                    id: request.id,
                    act: "open".to_owned(),
                    at: request.at,
                    by: request.by,
                    purpose: request.purpose,
                    order: request.order,
                })
                .collect())
        })
    }

    fn approve<'d>(&'d self, who: &'d Account, id: &'d str) -> Doing<'d, ()> {
        Box::pin(async move {
            self.house.desk.open_approve(&Actor::of(who), id).await?;
            Ok(())
        })
    }

    fn entries(&self) -> Doing<'_, HashMap<String, Value>> {
        Box::pin(async move {
            let desk = self.house.desk.clone();
            let read = tokio::task::spawn_blocking(move || {
                desk.registers().list(&RegisterFilter::default(), MOST_ENTRIES)
            });
            let entries = read.await.map_err(|_| interrupted())??;
            let placed = entries
                .into_iter()
                .filter_map(|entry| Some((entry.leaf.clone()?, serde_json::to_value(&entry).ok()?)));
            Ok(placed.collect())
        })
    }
}

impl From<audit::DeskFault> for DeskFault {
    fn from(fault: audit::DeskFault) -> Self {
        Self { status: fault.status(), zh: fault.message_zh().to_owned(), en: fault.to_string() }
    }
}

fn mandate(who: &Account, warrant: &Warrant) -> Result<Mandate, DeskFault> {
    Ok(Mandate::new(Actor::of(who), &warrant.purpose, &warrant.order)?)
}

/// `2026h2/4711`.
fn split(place: &str) -> Result<(&str, u64), DeskFault> {
    let found = place.split_once('/').and_then(|(shard, index)| Some((shard, index.parse().ok()?)));
    found.ok_or_else(|| audit::DeskFault::NoSuchLeaf.into())
}

fn narrowed(more: bool) -> Option<(String, String)> {
    more.then(|| ("记录过多,请缩小时间范围".to_owned(), "There are more: narrow the period".to_owned()))
}

fn interrupted() -> DeskFault {
    DeskFault::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "暂时无法完成,请稍后再试",
        "This could not be done; try again",
    )
}
