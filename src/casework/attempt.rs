//! What leaves in a parcel, and what its end changes in the case.
//!
//! An event of the collecting side is a proposal until the handling side's receipt: before
//! each signature it is set behind the last event that both sides know, and judged again.

use serde_json::Value;

use super::rows::{self, Applied};
use super::{Undone, changed, notices, read_case};
use crate::answer::Code;
use crate::case::{Case, EventBody, Receipt, Role, State, digest_text};
use crate::casebook::{CaseRow, MaterialRow, MaterialWay, ParcelRow, ParcelState, Write};
use crate::clock::Now;
use crate::envelope::Op;
use crate::house::House;
use crate::relay::ended_notice;

/// What a waiting parcel says now.
pub enum Saying {
    /// This, set behind the last event where it is a proposal.
    Says(Box<ParcelRow>),
    /// It is not possible any more: these rows end it.
    Ended(Vec<Write>),
    /// Something of ours is missing (a calendar): later.
    Later(&'static str),
}

impl House {
    /// A proposal is set behind the case's last event and judged; everything else says what
    /// it said. Under the parcel's line.
    pub async fn parcel_says(&self, parcel: ParcelRow, now: Now) -> Result<Saying, Undone> {
        let as_it_is = |parcel| Ok(Saying::Says(Box::new(parcel)));
        let Some(row) = self.casebook.case(&parcel.line).await? else { return as_it_is(parcel) };
        let case = read_case(&row)?;
        if parcel.op == Op::ApplicationSubmit.name() && case.state() == State::Withdrawn {
            // Put on its way again after the applicant withdrew it here.
            return Ok(ended(parcel, Code::IllegalTransition.word(), now));
        }
        if parcel.op != Op::ApplicationEvent.name() {
            return as_it_is(parcel);
        }
        let seq = u32::try_from(parcel.seq).unwrap_or(u32::MAX);
        let stands = case.event(seq).is_some_and(|known| known.digest == parcel.digest);
        if case.role() == Role::Handling || stands {
            return as_it_is(parcel);
        }
        let mut parcel = parcel;
        let (last, digest) = case.last();
        rows::set(&mut parcel.body, "seq", last + 1);
        rows::set(&mut parcel.body, "prev", digest);
        parcel.seq = u64::from(last) + 1;
        parcel.digest = digest_text(&parcel.body);
        match apply_proposal(self, &case, &parcel, now) {
            Ok(Some(_)) => as_it_is(parcel),
            Ok(None) => Ok(ended(parcel, Code::SchemaViolation.word(), now)),
            Err(Undone::Refused(refusal)) if refusal.code == Code::CalendarUnpublished => {
                Ok(Saying::Later(Code::CalendarUnpublished.word()))
            }
            Err(Undone::Refused(refusal)) => Ok(ended(parcel, refusal.code.word(), now)),
            Err(other) => Err(other),
        }
    }

    /// What the partner's receipt for a parcel changes. Under the parcel's line.
    pub async fn parcel_arrived(
        &self,
        parcel: &ParcelRow,
        exchange: &str,
        result: &Value,
        now: Now,
    ) -> Result<Vec<Write>, Undone> {
        if parcel.op.starts_with("verification.") {
            return Ok(self.verification_delivered(parcel, now));
        }
        let Some(row) = self.casebook.case(&parcel.line).await? else { return Ok(Vec::new()) };
        let case = read_case(&row)?;
        if case.role() == Role::Handling {
            return Ok(Vec::new());
        }
        if parcel.op == Op::ApplicationSubmit.name() {
            return self.submit_arrived(&row, &case, result, now).await;
        }
        if case.event(u32::try_from(parcel.seq).unwrap_or(u32::MAX)).is_some() {
            // An event of the other side came first and proved it.
            return Ok(Vec::new());
        }
        let Some(next) = apply_proposal(self, &case, parcel, now)? else { return Ok(Vec::new()) };
        let receipt = rows::receipt(&next);
        let applied =
            Applied { case: &next, body: &parcel.body, mine: true, exchange: Some(exchange), receipt };
        let mut writes = vec![changed(self, &row, &next, now), applied.row(now)];
        writes.push(notices::of_case(&next, true, now));
        writes.extend(self.new_files(&case, &next));
        writes.extend(self.told_parent(&next, now).await?);
        self.after_event(&next).await;
        Ok(writes)
    }

    /// What the partner's signed refusal of a parcel changes. Under the parcel's line.
    pub async fn parcel_refused(&self, parcel: &ParcelRow, now: Now) -> Result<Vec<Write>, Undone> {
        if parcel.op != Op::ApplicationSubmit.name() {
            return Ok(Vec::new());
        }
        let Some(row) = self.casebook.case(&parcel.line).await? else { return Ok(Vec::new()) };
        let next = read_case(&row)?.refused(now);
        Ok(vec![changed(self, &row, &next, now), notices::of_case(&next, false, now)])
    }

    async fn submit_arrived(
        &self,
        row: &CaseRow,
        case: &Case,
        result: &Value,
        now: Now,
    ) -> Result<Vec<Write>, Undone> {
        let Ok(receipt) = serde_json::from_value::<Receipt>(result.clone()) else { return Ok(Vec::new()) };
        let next = case.received(&receipt)?;
        let mut writes = vec![changed(self, row, &next, now), notices::of_case(&next, true, now)];
        writes.extend(self.told_parent(&next, now).await?);
        let awaited = receipt.awaiting.unwrap_or_default();
        for material in self.casebook.materials_of(case.number()).await? {
            let there = !awaited.contains(&material.sha256);
            if material.way == MaterialWay::Going && there && !material.there {
                writes.push(Write::Material(MaterialRow { there, ..material }));
            }
        }
        Ok(writes)
    }
}

fn ended(mut parcel: ParcelRow, reason: &str, now: Now) -> Saying {
    parcel.state = ParcelState::Refused;
    parcel.reason = Some(reason.to_owned());
    parcel.sent = None;
    parcel.ended = Some(now.ms());
    let told = Write::Notice(ended_notice(&parcel, now));
    Saying::Ended(vec![Write::Parcel(parcel), told])
}

/// The case with a proposal of ours applied; `None` when it is no event for a case.
pub(super) fn apply_proposal(
    house: &House,
    case: &Case,
    parcel: &ParcelRow,
    now: Now,
) -> Result<Option<Case>, Undone> {
    let Ok(event) = house.catalog.admit::<EventBody>(&parcel.body) else { return Ok(None) };
    let judged = case.judge(event.get(), &parcel.digest, Role::Collecting, now, &house.calendar.load());
    judged.map(Some).map_err(Into::into)
}
