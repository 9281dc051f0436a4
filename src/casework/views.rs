//! Cases as they are told: to the partner (protocol §6.2) and to the region's own systems.

use serde_json::{Value, json};

use super::{Undone, read_case, rows};
use crate::answer::Code;
use crate::case::{self, Case, Transport};
use crate::casebook::{CaseFilter, CaseRow, Listed, Page, ParcelRow, ParcelState, VerificationSide};
use crate::clock::Now;
use crate::house::House;

/// Cases on one page of a list.
pub const CASES_ON_A_PAGE: u32 = 100;
/// Parcels on one page of a list.
pub const PARCELS_ON_A_PAGE: u32 = 100;

impl House {
    /// The result of `application.status`.
    pub(super) async fn status_view(&self, row: &CaseRow, now: Now) -> Result<Value, Undone> {
        let case = read_case(row)?;
        let transport = self.transport_of(&case).await?;
        let status = case::status(&case, transport, now, &self.calendar.load())
            .map_err(|_| Code::CalendarUnpublished)?;
        Ok(serde_json::to_value(status).unwrap_or_default())
    }

    /// How far the messages about a case got: the worst of them. A refusal counts until a later
    /// message arrived; it stays in the list of the case's parcels.
    async fn transport_of(&self, case: &Case) -> Result<Transport, Undone> {
        let parcels = self.casebook.parcels_of(case.number()).await?;
        let any = |state| parcels.iter().any(|parcel| parcel.state == state);
        let last = parcels.iter().rfind(|parcel| parcel.state != ParcelState::Waiting);
        Ok(if any(ParcelState::Undeliverable) {
            Transport::Undeliverable
        } else if last.is_some_and(|parcel| parcel.state == ParcelState::Refused) {
            Transport::Refused
        } else if any(ParcelState::Waiting) {
            Transport::Waiting
        } else {
            Transport::Delivered
        })
    }

    /// `GET /local/v1/applications`: one page, and the cursor of the next.
    pub async fn list_cases(&self, filter: CaseFilter, after: i64, now: Now) -> Result<Value, Undone> {
        let page = Page { after, most: CASES_ON_A_PAGE };
        let found = self.casebook.cases(filter, page).await?;
        let next = cursor(&found, CASES_ON_A_PAGE);
        let mut cases = Vec::with_capacity(found.len());
        for Listed { row, .. } in &found {
            cases.push(self.case_line(row, now)?);
        }
        Ok(json!({"applications": cases, "cursor": next}))
    }

    fn case_line(&self, row: &CaseRow, now: Now) -> Result<Value, Undone> {
        let case = read_case(row)?;
        Ok(json!({
            "case": row.case,
            "role": row.role,
            "partner": row.partner,
            "item": row.item,
            "item_name": case.terms().name,
            "state": row.state,
            "state_zh": case.state().zh(),
            "clock": case::clock::view(&case, now, &self.calendar.load()).ok(),
            "opened": row.opened.div_euclid(1000),
            "changed": row.changed.div_euclid(1000),
        }))
    }

    /// `GET /local/v1/applications/{case}`: everything this side knows of a case.
    pub async fn case_view(&self, number: &str, now: Now) -> Result<Value, Undone> {
        let row = self.casebook.case(number).await?.ok_or(Code::UnknownCase)?;
        let case = read_case(&row)?;
        let transport = self.transport_of(&case).await?;
        let view = case::view(&case, transport, now, &self.calendar.load());
        let mut view = serde_json::to_value(view).unwrap_or_default();
        let parcels = self.casebook.parcels_of(number).await?;
        let parcels: Vec<Value> = parcels.iter().map(parcel_line).collect();
        if let Some(view) = view.as_object_mut() {
            view.insert("parcels".into(), parcels.into());
            let first = self.casebook.event(number, 0).await?;
            view.insert("submit".into(), first.map_or(Value::Null, |first| first.body));
        }
        Ok(view)
    }

    /// `GET /local/v1/verifications`: what a department has to answer, or what we asked.
    pub async fn list_verifications(
        &self,
        side: VerificationSide,
        state: Option<String>,
        after: i64,
    ) -> Result<Value, Undone> {
        let page = Page { after, most: CASES_ON_A_PAGE };
        let found = self.casebook.verifications(side, state, page).await?;
        let next = cursor(&found, CASES_ON_A_PAGE);
        let rows: Vec<Value> = found.iter().map(|listed| super::verification::listed(&listed.row)).collect();
        Ok(json!({"verifications": rows, "cursor": next}))
    }

    /// `GET /local/v1/parcels`: what did not arrive, or waits.
    pub async fn list_parcels(&self, state: ParcelState, page: Page) -> Result<Value, Undone> {
        let found = self.casebook.parcels(state, page).await?;
        let next = cursor(&found, page.most);
        let rows: Vec<Value> = found.iter().map(|listed| parcel_line(&listed.row)).collect();
        Ok(json!({"parcels": rows, "cursor": next}))
    }
}

fn cursor<R>(found: &[Listed<R>], most: u32) -> Option<String> {
    let full = found.len() == most as usize;
    found.last().filter(|_| full).map(|last| last.n.to_string())
}

fn parcel_line(parcel: &ParcelRow) -> Value {
    json!({
        "id": parcel.id,
        "partner": parcel.partner,
        "line": parcel.line,
        "op": parcel.op,
        "seq": parcel.seq,
        "event": parcel.body.get("event"),
        "state": parcel.state.word(),
        "reason": parcel.reason,
        "attempts": parcel.attempts,
        "made": rows::secs(parcel.made),
        "ended": parcel.ended.map(rows::secs),
    })
}
