//! What couriers and webhooks ask of the casebook: who waits, and which parcels are first,
//! without their messages. A hundred thousand may wait, so the questions that are asked often
//! cost what they return.

use rusqlite::types::Value as Column;
use rusqlite::{Row, params};

use super::{Casebook, CasebookFault, ParcelState};

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
    /// Partners for whom something waits: one step in the index each.
    pub async fn partners_waiting(&self) -> Result<Vec<String>, CasebookFault> {
        const SQL: &str = "WITH RECURSIVE waits(partner) AS (\
             SELECT min(partner) FROM parcel WHERE state='waiting' \
             UNION ALL SELECT (SELECT min(partner) FROM parcel WHERE state='waiting' AND partner>waits.partner) \
             FROM waits WHERE partner IS NOT NULL) \
             SELECT partner FROM waits WHERE partner IS NOT NULL";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(SQL)?;
            let partners = statement.query_map([], |row| row.get(0))?;
            partners.collect()
        })
        .await
    }

    /// Waiting parcels to a partner that are the first of their line and whose moment has
    /// come at `now` (milliseconds), oldest first.
    pub async fn outgoing(&self, partner: &str, now: i64, most: u32) -> Result<Vec<Outgoing>, CasebookFault> {
        const SQL: &str = "SELECT id, line, made, doc->>'$.digest', doc->>'$.not_before', doc->>'$.attempts' \
             FROM parcel WHERE state='waiting' AND partner=? AND doc->>'$.not_before'<=? \
             AND NOT EXISTS (SELECT 1 FROM parcel AS before \
             WHERE before.line=parcel.line AND before.state='waiting' AND before.n<parcel.n) \
             ORDER BY n LIMIT ?";
        let partner = Column::Text(partner.to_owned());
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(SQL)?;
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
