//! What the end of a parcel means for the case or the verification behind it: rows that
//! become durable in the same commit as the end.

use serde_json::json;

use super::Answered;
use crate::casebook::{NoticeRow, ParcelRow, Write};
use crate::casework::Undone;
use crate::clock::Now;
use crate::house::House;

/// How an attempt ended, as far as a case must know.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// The partner's signed receipt.
    Delivered(&'a Answered),
    /// Its signed refusal, final for this parcel.
    Refused(&'a Answered),
    /// `sequence-gap`: the parcel waits on; a row of it among the writes replaces it.
    Gap(&'a Answered),
}

/// The caller holds the parcel's line until the writes stand. `parcel` is the row as it will
/// be written. A fault means that nothing is known to have ended: the parcel waits on.
pub async fn writes(house: &House, parcel: &ParcelRow, end: End<'_>, now: Now) -> Result<Vec<Write>, Undone> {
    match end {
        End::Delivered(answer) => house.parcel_arrived(parcel, &answer.exchange, &answer.outcome, now).await,
        // What it says next is decided before the next signature.
        End::Gap(_) => Ok(Vec::new()),
        End::Refused(answer) => Ok(vec![Write::Notice(NoticeRow {
            id: crate::envelope::new_message_id(),
            line: parcel.line.clone(),
            kind: "parcel.refused".into(),
            at: now.ms(),
            body: json!({"parcel": parcel.id, "partner": parcel.partner, "op": parcel.op, "seq": parcel.seq,
                "reason": parcel.reason, "exchange": answer.exchange}),
        })]),
    }
}
