//! What couriers and webhooks ask of the casebook: who waits, and which parcels are first,
//! without their messages. A hundred thousand may wait, so the questions that are asked often
//! cost what they return.

use rusqlite::types::Value as Column;
use rusqlite::{Row, params};

use super::{Casebook, CasebookFault, ParcelState};

/// A table, and which of its rows make a partner wait.
type Wait = (&'static str, &'static str);

const PARCELS_WAITING: Wait = ("parcel", "state='waiting'");
const FILES_GOING: Wait = ("material", "way='going' AND there=0");

/// The partners of such rows, one step in the index each.
fn partners_of((table, wanted): Wait) -> String {
    format!(
        "WITH RECURSIVE waits(partner) AS (\
         SELECT min(partner) FROM {table} WHERE {wanted} \
         UNION ALL SELECT (SELECT min(partner) FROM {table} WHERE {wanted} AND partner>waits.partner) \
         FROM waits WHERE partner IS NOT NULL) \
         SELECT partner FROM waits WHERE partner IS NOT NULL"
    )
}

const OUTGOING: &str = "SELECT id, line, made, doc->>'$.digest', doc->>'$.not_before', doc->>'$.attempts' \
             FROM parcel WHERE state='waiting' AND partner=? AND doc->>'$.not_before'<=? \
             AND NOT EXISTS (SELECT 1 FROM parcel AS before \
             WHERE before.line=parcel.line AND before.state IN ('waiting', 'undeliverable') \
             AND before.n<parcel.n) \
             ORDER BY n LIMIT ?";

/// A waiting parcel without its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub id: String,
    pub line: String,
    pub digest: String,
    /// Milliseconds.
    pub made: i64,
    pub not_before: i64,
    pub attempts: u32,
}

/// Parcels to one partner in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingCount {
    pub partner: String,
    pub count: u64,
    /// When the one that came first was made (milliseconds).
    pub oldest: i64,
}

impl Casebook {
    /// Partners for whom something waits.
    pub async fn partners_waiting(&self) -> Result<Vec<String>, CasebookFault> {
        self.partners(PARCELS_WAITING).await
    }

    /// Partners that still have to get files.
    pub async fn partners_awaiting_files(&self) -> Result<Vec<String>, CasebookFault> {
        self.partners(FILES_GOING).await
    }

    async fn partners(&self, wait: Wait) -> Result<Vec<String>, CasebookFault> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&partners_of(wait))?;
            let partners = statement.query_map([], |row| row.get(0))?;
            partners.collect()
        })
        .await
    }

    /// Waiting parcels to a partner that are the first of their line and whose moment has
    /// come at `now` (milliseconds), oldest first. What was given up keeps its place: behind it
    /// nothing of its line leaves until a person has decided.
    pub async fn outgoing(&self, partner: &str, now: i64, most: u32) -> Result<Vec<Outgoing>, CasebookFault> {
        let partner = Column::Text(partner.to_owned());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(OUTGOING)?;
            let found = statement.query_map(params![partner, now, most], outgoing)?;
            found.collect()
        })
        .await
    }

    /// The number of the notice that came last; 0 before the first.
    pub async fn newest_notice(&self) -> Result<i64, CasebookFault> {
        self.read(|connection| {
            connection.query_row("SELECT coalesce(max(n), 0) FROM notice", [], |row| row.get(0))
        })
        .await
    }

    /// Who has parcels in this state.
    pub async fn outgoing_counts(&self, state: ParcelState) -> Result<Vec<OutgoingCount>, CasebookFault> {
        const SQL: &str = "SELECT counted.partner, counted.total, parcel.made FROM \
             (SELECT partner, count(*) AS total, min(n) AS first FROM parcel WHERE state=? GROUP BY partner) \
             AS counted JOIN parcel ON parcel.n=counted.first";
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let counts = statement.query_map([state.word()], |row| {
                let count: i64 = row.get(1)?;
                Ok(OutgoingCount { partner: row.get(0)?, count: count.unsigned_abs(), oldest: row.get(2)? })
            })?;
            counts.collect()
        })
        .await
    }
}

fn outgoing(row: &Row<'_>) -> rusqlite::Result<Outgoing> {
    Ok(Outgoing {
        id: row.get(0)?,
        line: row.get(1)?,
        made: row.get(2)?,
        digest: row.get(3)?,
        not_before: row.get(4)?,
        attempts: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::casebook::files::{ANNOUNCED, AWAITED, HERE};
    use crate::casebook::shelf::question;
    use crate::casebook::{MaterialRow, MaterialWay, ParcelRow, Write};

    fn parcel(id: &str, partner: &str, line: &str, state: ParcelState, not_before: i64) -> Write {
        Write::Parcel(ParcelRow {
            id: id.into(),
            partner: partner.into(),
            line: line.into(),
            seq: 1,
            op: "application.event".into(),
            digest: format!("digest of {id}"),
            business: serde_json::Map::new(),
            body: json!({}),
            state,
            reason: None,
            sent: None,
            attempts: 2,
            not_before,
            made: 10,
            ended: None,
            receipt: None,
        })
    }

    #[tokio::test]
    async fn couriers_see_who_waits_and_the_first_of_each_line_whose_moment_has_come() {
        use ParcelState::{Delivered, Undeliverable, Waiting};
        let dir = tempfile::tempdir().unwrap();
        let (book, _carrier) = Casebook::open(dir.path()).unwrap();
        assert!(book.partners_waiting().await.unwrap().is_empty());
        assert_eq!(book.newest_notice().await.unwrap(), 0);
        book.write(vec![
            parcel("a", "331083", "K1", Delivered, 0),
            parcel("b", "331083", "K1", Waiting, 0),
            parcel("c", "331083", "K1", Waiting, 0),
            parcel("d", "331083", "K2", Waiting, 500),
            parcel("e", "331083", "K2", Waiting, 0),
            parcel("f", "110101", "K3", Waiting, 0),
            parcel("g", "990101", "K4", Undeliverable, 0),
            parcel("h", "331083", "K5", Waiting, 0),
            parcel("i", "331083", "K6", Undeliverable, 0),
            parcel("j", "331083", "K6", Waiting, 0),
        ])
        .await
        .unwrap();
        assert_eq!(book.partners_waiting().await.unwrap(), ["110101", "331083"]);
        let ids = |found: Vec<Outgoing>| found.into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(book.outgoing("331083", 499, 10).await.unwrap()), ["b", "h"]);
        assert_eq!(ids(book.outgoing("331083", 500, 10).await.unwrap()), ["b", "d", "h"]);
        let first = book.outgoing("331083", 500, 1).await.unwrap().remove(0);
        assert_eq!((first.digest.as_str(), first.attempts, first.made), ("digest of b", 2, 10));
        let count = |partner: &str, count| OutgoingCount { partner: partner.into(), count, oldest: 10 };
        assert_eq!(book.outgoing_counts(Waiting).await.unwrap(), [count("110101", 1), count("331083", 6)]);
        assert_eq!(
            book.outgoing_counts(Undeliverable).await.unwrap(),
            [count("331083", 1), count("990101", 1)]
        );
    }

    #[tokio::test]
    async fn only_partners_that_have_to_get_files_are_asked_about() {
        let dir = tempfile::tempdir().unwrap();
        let (book, _carrier) = Casebook::open(dir.path()).unwrap();
        assert!(book.partners_awaiting_files().await.unwrap().is_empty());
        let file = |sha256: &str, partner: &str, way, there| {
            Write::Material(MaterialRow {
                sha256: sha256.into(),
                case: "K".into(),
                partner: partner.into(),
                way,
                bytes: 1,
                media_type: "application/pdf".into(),
                there,
                reason: None,
            })
        };
        use MaterialWay::{Coming, Going};
        book.write(vec![
            file("a", "331083", Going, false),
            file("b", "331083", Going, false),
            file("c", "110101", Going, false),
            file("d", "220101", Going, true),
            file("e", "990101", Coming, false),
        ])
        .await
        .unwrap();
        assert_eq!(book.partners_awaiting_files().await.unwrap(), ["110101", "331083"]);
    }

    /// The plans, because a hundred thousand rows would be slow to make and a scan of them
    /// slow to notice.
    #[tokio::test]
    async fn the_questions_asked_often_walk_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let (book, _carrier) = Casebook::open(dir.path()).unwrap();
        let files = [ANNOUNCED, HERE, AWAITED].map(|wanted| question::<MaterialRow>(wanted, "n", 1));
        let others = [partners_of(PARCELS_WAITING), partners_of(FILES_GOING), OUTGOING.to_owned()];
        for sql in files.into_iter().chain(others) {
            let plan: Vec<String> = book
                .read(move |connection| {
                    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let unbound = rusqlite::params_from_iter((0..statement.parameter_count()).map(|_| 1));
                    let steps = statement.query_map(unbound, |row| row.get(3))?;
                    steps.collect()
                })
                .await
                .unwrap();
            let scans: Vec<&String> = plan
                .iter()
                .filter(|step| {
                    step.contains("SCAN parcel")
                        || step.contains("SCAN material")
                        || step.contains("TEMP B-TREE")
                })
                .collect();
            assert!(scans.is_empty(), "{plan:#?}");
        }
    }
}
