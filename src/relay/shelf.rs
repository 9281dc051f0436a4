//! The casebook as the couriers' shelf, and what a person may do with a parcel that ended.

use serde_json::json;

use super::{Backlog, Parcels, ShelfFault, Ticks, Waiting};
use crate::casebook::{Casebook, CasebookFault, Changes, NoticeRow, ParcelRow, ParcelState, Write};
use crate::clock::{Clock, Now};
use crate::domain::Region;

/// Parcels in the casebook.
pub struct Shelf {
    casebook: Casebook,
    clock: Clock,
}

impl Shelf {
    pub fn new(casebook: Casebook, clock: Clock) -> Self {
        Self { casebook, clock }
    }
}

impl Ticks for Changes {
    async fn next(&mut self) -> bool {
        Changes::next(self).await
    }
}

impl From<CasebookFault> for ShelfFault {
    fn from(fault: CasebookFault) -> Self {
        tracing::error!(target: "relay", %fault, "the casebook does not answer");
        Self
    }
}

impl Parcels for Shelf {
    type Changes = Changes;

    async fn partners(&self) -> Result<Vec<Region>, ShelfFault> {
        Ok(regions(self.casebook.partners_waiting().await?))
    }

    async fn heads(&self, partner: Region, most: usize) -> Result<Vec<Waiting>, ShelfFault> {
        let (now, most) = (self.clock.now().ms(), u32::try_from(most).unwrap_or(u32::MAX));
        let heads = self.casebook.outgoing(partner.as_str(), now, most).await?;
        let waiting = heads.into_iter().map(|head| Waiting {
            // A parcel that a person put on its way again waits since then.
            since: Now::from_ms(head.made.max(head.not_before)),
            tried: head.attempts > 0,
            id: head.id,
            line: head.line,
            digest: head.digest,
        });
        Ok(waiting.collect())
    }

    async fn give_up(
        &self,
        partner: Region,
        parcel: &Waiting,
        reason: &'static str,
    ) -> Result<(), ShelfFault> {
        let _held = self.casebook.hold(&parcel.line).await;
        let Some(row) = self.casebook.get::<ParcelRow>(&parcel.id).await? else { return Ok(()) };
        if row.state != ParcelState::Waiting || row.digest != parcel.digest {
            return Ok(());
        }
        let now = self.clock.now().ms();
        let notice = NoticeRow {
            id: crate::envelope::new_message_id(),
            line: row.line.clone(),
            kind: "parcel.undeliverable".into(),
            at: now,
            body: json!({"parcel": row.id, "partner": partner.as_str(), "op": row.op, "seq": row.seq,
                "reason": reason}),
        };
        let row = ParcelRow {
            state: ParcelState::Undeliverable,
            reason: Some(reason.into()),
            sent: None,
            ended: Some(now),
            ..row
        };
        Ok(self.casebook.write(vec![Write::Parcel(row), Write::Notice(notice)]).await?)
    }

    async fn backlogs(&self) -> Result<Vec<Backlog>, ShelfFault> {
        let waiting = self.casebook.outgoing_counts(ParcelState::Waiting).await?;
        let undeliverable = self.casebook.outgoing_counts(ParcelState::Undeliverable).await?;
        let mut backlogs: Vec<Backlog> = Vec::new();
        for count in &waiting {
            let Ok(partner) = Region::parse(&count.partner) else { continue };
            let oldest = Some(Now::from_ms(count.oldest));
            backlogs.push(Backlog { partner, waiting: count.count, oldest, undeliverable: 0 });
        }
        for count in &undeliverable {
            let Ok(partner) = Region::parse(&count.partner) else { continue };
            match backlogs.iter_mut().find(|backlog| backlog.partner == partner) {
                Some(backlog) => backlog.undeliverable = count.count,
                None => {
                    let undeliverable = count.count;
                    backlogs.push(Backlog { partner, waiting: 0, oldest: None, undeliverable });
                }
            }
        }
        Ok(backlogs)
    }

    fn changes(&self) -> Self::Changes {
        self.casebook.changes()
    }
}

fn regions(codes: Vec<String>) -> Vec<Region> {
    codes.iter().filter_map(|code| Region::parse(code).ok()).collect()
}

/// Why a parcel is not put on its way again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedriveFault {
    #[error("there is no such parcel")]
    Unknown,
    #[error("the parcel waits or has arrived")]
    NotEnded,
    #[error("{0}")]
    Casebook(#[from] CasebookFault),
}

/// A person has what ended without a receipt sent again, in its old place of the line, with
/// a message of its own and a new patience.
pub async fn redrive(casebook: &Casebook, id: &str, now: Now) -> Result<ParcelRow, RedriveFault> {
    let line = casebook.get::<ParcelRow>(id).await?.ok_or(RedriveFault::Unknown)?.line;
    let _held = casebook.hold(&line).await;
    let row = casebook.get::<ParcelRow>(id).await?.ok_or(RedriveFault::Unknown)?;
    if !matches!(row.state, ParcelState::Undeliverable | ParcelState::Refused) {
        return Err(RedriveFault::NotEnded);
    }
    let row = ParcelRow {
        state: ParcelState::Waiting,
        reason: None,
        sent: None,
        attempts: 0,
        not_before: now.ms(),
        ended: None,
        ..row
    };
    casebook.write(vec![Write::Parcel(row.clone())]).await?;
    Ok(row)
}
