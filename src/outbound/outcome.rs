//! What the end of a parcel means for the case or the verification behind it: rows that
//! become durable in the same commit as the end.

use super::Answered;
use crate::casebook::{ParcelRow, Write};
use crate::casework::Undone;
use crate::clock::Now;
use crate::house::House;
use crate::relay::ended_notice;

/// How an attempt ended, as far as a case must know.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// The partner's signed receipt.
    Delivered(&'a Answered),
    /// Its signed refusal, final for this parcel.
    Refused,
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
        End::Refused => {
            let mut writes = house.parcel_refused(parcel, now).await?;
            writes.push(Write::Notice(ended_notice(parcel, now)));
            Ok(writes)
        }
    }
}
