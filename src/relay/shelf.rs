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

    async fn give_up(&self, _: Region, parcel: &Waiting, reason: &'static str) -> Result<(), ShelfFault> {
        let _held = self.casebook.hold(&parcel.line).await;
        let Some(row) = self.casebook.get::<ParcelRow>(&parcel.id).await? else { return Ok(()) };
        if row.state != ParcelState::Waiting || row.digest != parcel.digest {
            return Ok(());
        }
        let now = self.clock.now().ms();
        let row = ParcelRow {
            state: ParcelState::Undeliverable,
            reason: Some(reason.into()),
            sent: None,
            ended: Some(now),
            ..row
        };
        let told = Write::Notice(ended_notice(&row, self.clock.now()));
        Ok(self.casebook.write(vec![Write::Parcel(row), told]).await?)
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

/// What the region's own systems hear of a parcel that ended without a receipt.
pub fn ended_notice(parcel: &ParcelRow, now: Now) -> NoticeRow {
    NoticeRow {
        id: crate::envelope::new_message_id(),
        line: parcel.line.clone(),
        kind: "parcel.ended".into(),
        at: now.ms(),
        body: json!({"parcel": parcel.id, "line": parcel.line, "op": parcel.op, "partner": parcel.partner,
            "state": parcel.state.word(), "reason": parcel.reason}),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::casebook::Page;

    fn row(id: &str, line: &str) -> ParcelRow {
        ParcelRow {
            id: id.into(),
            partner: "331083".into(),
            line: line.into(),
            seq: 1,
            op: "application.event".into(),
            digest: "digest".into(),
            business: serde_json::Map::new(),
            body: json!({}),
            state: ParcelState::Waiting,
            reason: None,
            sent: None,
            attempts: 3,
            not_before: 0,
            made: 5_000,
            ended: None,
            receipt: None,
        }
    }

    #[tokio::test]
    async fn what_is_given_up_is_told_kept_and_put_on_its_way_again_in_its_old_place() {
        let dir = tempfile::tempdir().unwrap();
        let (book, _carrier) = Casebook::open(dir.path()).unwrap();
        let clock = Clock::by_hand(Now::from_secs(100));
        let shelf = Shelf::new(book.clone(), clock.clone());
        let partner = Region::parse("331083").unwrap();
        book.write(vec![Write::Parcel(row("a", "K1")), Write::Parcel(row("b", "K1"))]).await.unwrap();
        let first = shelf.heads(partner, 10).await.unwrap().remove(0);
        assert_eq!((first.id.as_str(), first.tried, first.since), ("a", true, Now::from_ms(5_000)));

        // A parcel that says something else by now is not the one that failed.
        let rebased = Waiting { digest: "older".into(), ..first.clone() };
        shelf.give_up(partner, &rebased, "partner-timeout").await.unwrap();
        assert_eq!(book.get::<ParcelRow>("a").await.unwrap().unwrap().state, ParcelState::Waiting);
        shelf.give_up(partner, &first, "partner-timeout").await.unwrap();
        let ended = book.get::<ParcelRow>("a").await.unwrap().unwrap();
        assert_eq!(
            (ended.state, ended.reason.as_deref()),
            (ParcelState::Undeliverable, Some("partner-timeout"))
        );
        let notices = book.notices(Page { after: 0, most: 9 }).await.unwrap();
        assert_eq!((notices.len(), notices[0].row.kind.as_str()), (1, "parcel.ended"));
        let backlog = |waiting, undeliverable, oldest| Backlog { partner, waiting, oldest, undeliverable };
        let oldest = Some(Now::from_ms(5_000));
        assert_eq!(shelf.backlogs().await.unwrap(), [backlog(1, 1, oldest)]);
        assert!(shelf.heads(partner, 10).await.unwrap().is_empty(), "it keeps its place");

        redrive(&book, "a", clock.now()).await.unwrap();
        let heads = shelf.heads(partner, 10).await.unwrap();
        assert_eq!((heads.len(), heads[0].id.as_str(), heads[0].tried), (1, "a", false));
        assert_eq!(heads[0].since, Now::from_secs(100), "its patience begins anew");
    }
}
