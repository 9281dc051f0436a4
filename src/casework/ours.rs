//! Events of the region's own side of a case, and how an act becomes durable.
//!
//! The handling side's own events are applied at once; the collecting side's are proposals
//! until the handling side's receipt.

use serde_json::{Value, json};

use super::plan::member_faults;
use super::rows::{self, Applied, NewParcel};
use super::{Opened, Undone, changed, notices};
use crate::answer::{Code, Refusal};
use crate::case::{self, Case, EventBody, Role, State, digest_text};
use crate::casebook::{ParcelRow, ParcelState, Write};
use crate::clock::Now;
use crate::envelope::Op;
use crate::house::House;
use crate::ledger::{Decision, Entry, Leaf, LeafHash, LeafKind};

/// An event as a local system sends it.
pub struct LocalEvent {
    pub case: String,
    pub request: Value,
}

/// What a local system is told: durable, and on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    pub status: u16,
    pub answer: Value,
}

impl House {
    /// `POST …/{case}/events`. The handling side's own events are applied at once; the
    /// collecting side's are proposals until the receipt.
    pub async fn event_ours(&self, event: LocalEvent, now: Now) -> Result<Taken, Undone> {
        let opened = self.open_case(&event.case).await?.ok_or(Code::UnknownCase)?;
        let mut body = event_body(&event.request, now)?;
        let (last, digest) = opened.case.last();
        rows::set(&mut body, "seq", last + 1);
        rows::set(&mut body, "prev", digest);
        let admitted = self.catalog.admit::<EventBody>(&body).map_err(Refusal::schema)?;
        let admitted = admitted.into_inner();
        match opened.case.role() {
            Role::Handling => self.apply_ours(opened, &admitted, body, now).await,
            Role::Collecting if self.is_ours_alone(&opened, &admitted).await? => {
                self.withdraw_here(opened, &admitted, &body, now).await
            }
            Role::Collecting => self.propose(opened, &admitted, body, now).await,
        }
    }

    pub(super) async fn apply_ours(
        &self,
        opened: Opened,
        event: &EventBody,
        body: Value,
        now: Now,
    ) -> Result<Taken, Undone> {
        let digest = digest_text(&body);
        let next = opened.case.judge(event, &digest, Role::Handling, now, &self.calendar.load())?;
        let receipt = rows::receipt(&next);
        let parcel = self.event_parcel(&opened, &next, &body, &digest, now);
        let applied =
            Applied { case: &next, body: &body, mine: true, exchange: None, receipt: receipt.clone() };
        let mut writes = vec![
            changed(self, &opened.row, &next, now),
            applied.row(now),
            Write::Parcel(parcel),
            notices::of_case(&next, true, now),
        ];
        writes.extend(self.told_parent(&next, now).await?);
        let leaf = self.act_leaf(Op::ApplicationEvent, &next, &body);
        self.record_act(leaf, writes).await?;
        self.after_event(&next).await;
        let mut answer = receipt;
        rows::set(&mut answer, "transport", ParcelState::Waiting.word());
        Ok(Taken { status: 202, answer })
    }

    /// A withdrawal of what the handling side refused to take: it has no case to withdraw.
    async fn is_ours_alone(&self, opened: &Opened, event: &EventBody) -> Result<bool, Undone> {
        let refused = opened.case.state() == State::RelayFailed && event.what.act() == case::Act::Withdraw;
        Ok(refused && self.casebook.next_parcel(opened.case.number()).await?.is_none())
    }

    async fn withdraw_here(
        &self,
        opened: Opened,
        event: &EventBody,
        body: &Value,
        now: Now,
    ) -> Result<Taken, Undone> {
        let next = opened.case.local(case::Act::Withdraw, &event.by, now)?;
        let mut writes = vec![changed(self, &opened.row, &next, now), notices::of_case(&next, true, now)];
        writes.extend(self.told_parent(&next, now).await?);
        self.record_act(self.act_leaf(Op::ApplicationEvent, &next, body), writes).await?;
        let answer = json!({
            "case": next.number(),
            "event": body.get("event"),
            "state": next.state().name(),
            "transport": ParcelState::Refused.word(),
        });
        Ok(Taken { status: 202, answer })
    }

    /// Judged now as far as it can be; judged again when it leaves.
    async fn propose(
        &self,
        opened: Opened,
        event: &EventBody,
        body: Value,
        now: Now,
    ) -> Result<Taken, Undone> {
        let digest = digest_text(&body);
        let waits_behind = self.casebook.next_parcel(opened.case.number()).await?.is_some();
        if !waits_behind {
            opened.case.judge(event, &digest, Role::Collecting, now, &self.calendar.load())?;
        }
        let parcel = self.event_parcel(&opened, &opened.case, &body, &digest, now);
        let answer = json!({
            "case": opened.case.number(),
            "event": body.get("event"),
            "parcel": parcel.id,
            "state": opened.case.state().name(),
            "transport": ParcelState::Waiting.word(),
        });
        let leaf = self.act_leaf(Op::ApplicationEvent, &opened.case, &body);
        self.record_act(leaf, vec![Write::Parcel(parcel)]).await?;
        Ok(Taken { status: 202, answer })
    }

    fn event_parcel(&self, opened: &Opened, case: &Case, body: &Value, digest: &str, now: Now) -> ParcelRow {
        let mut business = opened.row.business.clone();
        if let Some(officer) = body.pointer("/by/officer") {
            business.insert("operator".into(), officer.clone());
        }
        NewParcel {
            to: case.partner(),
            line: case.number(),
            seq: body.get("seq").and_then(Value::as_u64).unwrap_or_default(),
            op: Op::ApplicationEvent,
            digest: digest.to_owned(),
            business,
            body: body.clone(),
        }
        .row(now)
    }

    /// The leaf of an act of ours: which case, which op, the digest of what was done.
    pub(super) fn act_leaf(&self, op: Op, case: &Case, body: &Value) -> Leaf {
        Leaf {
            peer: Some(case.partner().to_string()),
            op: Some(op.name().to_owned()),
            item: Some(case.terms().item.clone()),
            case: Some(self.ledger.case_tag(case.number())),
            dec: Some(Decision::Permit),
            rq: Some(LeafHash(case::digest(body))),
            ..Leaf::new(LeafKind::Event)
        }
    }

    /// Makes an act durable: leaf and rows in one commit, and waits until the rows stand.
    pub(crate) async fn record_act(&self, leaf: Leaf, writes: Vec<Write>) -> Result<(), Undone> {
        let entry = Entry { deed: Some(Write::deed(&writes)), ..leaf.into() };
        let place = self.ledger.record(entry).await.map_err(|_| Code::LedgerUnavailable)?;
        Ok(self.casebook.settled(place.mark).await?)
    }
}

/// The members of a local event.
const EVENT_MEMBERS: [(&str, bool); 4] = [("event", true), ("at", false), ("by", true), ("data", false)];

/// The event as it will stand in the chain, but for its place.
fn event_body(request: &Value, now: Now) -> Result<Value, Undone> {
    let faults = member_faults(request, &EVENT_MEMBERS);
    if !faults.is_empty() {
        return Err(Refusal::schema(faults).into());
    }
    Ok(json!({
        "event": request.get("event"),
        "at": request.get("at").cloned().unwrap_or_else(|| now.secs().into()),
        "by": request.get("by"),
        "data": request.get("data").cloned().unwrap_or_else(|| json!({})),
    }))
}
