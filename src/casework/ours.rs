//! What the region's own systems do to cases: submit one, add an event.
//!
//! Accepted means durable: the case, the parcel to the partner and the ledger's leaf stand in
//! one commit before the caller hears of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::plan::{SubmitPlan, member_faults};
use super::rows::{self, Applied, NewParcel, Root};
use super::{Opened, Undone, changed, notices};
use crate::answer::{Code, Refusal};
use crate::authorization::{AuthorizationFault, InvalidReason};
use crate::case::{
    self, Actor, Case, CaseFault, EventBody, Opening, Proof, Role, Sides, State, SubmitBody, digest_text,
};
use crate::casebook::{EventRow, OnceRow, ParcelRow, ParcelState, Write};
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::Op;
use crate::fault::Fault;
use crate::house::House;
use crate::ledger::{Decision, Entry, Leaf, LeafHash, LeafKind};

/// How long an idempotency key is remembered (seconds): a week of trying again.
const KEY_LIFE: i64 = 7 * 86_400;

/// A submit as a local system sends it: the members of protocol §3.1 that it knows.
pub struct LocalSubmit {
    pub request: Value,
    pub key: Option<IdempotencyKey>,
}

/// Whose key it is, and of what.
pub struct IdempotencyKey {
    pub client: String,
    pub key: String,
    /// Of the request's bytes.
    pub digest: String,
}

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

/// What is wrong with an act of ours.
pub enum Act {
    Taken(Taken),
    /// The key came before, with another request.
    KeyReused,
}

impl House {
    /// `POST /local/v1/applications`.
    pub async fn submit_ours(self: &Arc<Self>, submit: LocalSubmit, now: Now) -> Result<Act, Undone> {
        let _once = match &submit.key {
            None => None,
            Some(key) => {
                let held = self.casebook.hold(&format!("once:{}\n{}", key.client, key.key)).await;
                if let Some(known) = self.casebook.once(&key.client, &key.key).await? {
                    return Ok(if known.digest == key.digest {
                        Act::Taken(Taken { status: known.status, answer: known.answer })
                    } else {
                        Act::KeyReused
                    });
                }
                Some(held)
            }
        };
        let mut plan = self.submit_plan(&submit.request, now).await?;
        self.judge_in_advance(&plan, now)?;
        let shown = self.resolve_materials(&mut plan, now).await?;
        let body = plan.body.clone();
        let (case, digest) = self.opened_by(&plan, &body, now)?;
        let _held = self.hold_family(case.number(), case.parent()).await;
        if self.casebook.case(case.number()).await?.is_some() {
            return Err(Code::DuplicateCase.into());
        }
        let case = self.with_known_parts(case).await?;
        let answer = json!({
            "case": case.number(),
            "seq": 0,
            "digest": digest,
            "state": case.state().name(),
            "transport": ParcelState::Waiting.word(),
            "materials": shown.told,
            "awaiting": self.files_missing_here(&case),
        });
        let mut writes = shown.writes;
        writes.extend(self.submit_rows(&case, &plan, &body, &answer, now));
        writes.extend(self.told_parent(&case, now).await?);
        if let Some(key) = &submit.key {
            writes.push(Write::Once(OnceRow {
                client: key.client.clone(),
                key: key.key.clone(),
                digest: key.digest.clone(),
                status: 202,
                answer: answer.clone(),
                expires: now.secs() + KEY_LIFE,
            }));
        }
        let leaf = self.act_leaf(Op::ApplicationSubmit, &case, &body);
        self.record_act(leaf, writes).await?;
        Ok(Act::Taken(Taken { status: 202, answer }))
    }

    fn submit_rows(
        &self,
        case: &Case,
        plan: &SubmitPlan,
        body: &Value,
        answer: &Value,
        now: Now,
    ) -> Vec<Write> {
        let parcel = NewParcel {
            to: case.partner(),
            line: case.number(),
            seq: 0,
            op: Op::ApplicationSubmit,
            digest: case.last().1.to_owned(),
            business: plan.business.clone(),
            body: body.clone(),
        };
        let first = EventRow {
            case: case.number().to_owned(),
            seq: 0,
            event: "submit".into(),
            digest: case.last().1.to_owned(),
            at: now.secs(),
            applied: now.ms(),
            mine: true,
            exchange: None,
            body: body.clone(),
            receipt: answer.clone(),
        };
        let mut writes = vec![
            rows::case(self, case, Root { opened: now.ms(), woken: now.ms(), business: &plan.business }, now),
            Write::Event(first),
            Write::Parcel(parcel.row(now)),
            notices::of_case(case, true, now),
        ];
        writes.extend(rows::materials(case, &[]));
        writes
    }

    /// The case a submit of ours opens, already on its way; all faults at once.
    pub(super) fn opened_by(
        &self,
        plan: &SubmitPlan,
        body: &Value,
        now: Now,
    ) -> Result<(Case, String), Undone> {
        let admitted = self.catalog.admit_on::<SubmitBody>(body, now.shanghai_day());
        let submit = admitted.map_err(|faults| {
            Refusal::schema(faults.into_iter().map(|fault| fault.under("/body")).collect())
        })?;
        let submit = submit.into_inner();
        let mut faults = self.carried_faults(&submit, plan.to, now);
        let digest = digest_text(body);
        let opening = Opening {
            number: &plan.number,
            role: Role::Collecting,
            sides: Sides { collecting: self.me, handling: plan.to },
            agreement: plan.agreement.as_str(),
            terms: plan.terms.clone(),
        };
        let case = match Case::open(opening, &submit, &digest, now) {
            Ok(case) if faults.is_empty() => case,
            Ok(_) => return Err(Refusal::schema(faults).into()),
            Err(CaseFault::Schema(more)) => {
                faults.extend(more.into_iter().map(|fault| fault.under("/body")));
                return Err(Refusal::schema(faults).into());
            }
            Err(other) => return Err(other.into()),
        };
        let by = Actor { org: submit.collecting.org, officer: submit.collecting.officer };
        let act = if case.state() == State::Submitted { case::Act::Route } else { case::Act::Relay };
        Ok((case.local(act, &by, now)?, digest))
    }

    /// The citizen's signed words that a submit carries, where their authority is known here:
    /// told before a partner sees them. Whom the handling side trusts is its own matter.
    fn carried_faults(&self, submit: &SubmitBody, to: Region, now: Now) -> Vec<Fault> {
        let commitments = submit.materials.iter().enumerate().filter_map(|(nth, shown)| match &shown.proof {
            Proof::Commitment { commitment } => {
                Some((format!("/body/materials/{nth}/commitment/authorization"), &commitment.authorization))
            }
            _ => None,
        });
        let others = submit.authorizations.iter().enumerate();
        let others = others.map(|(nth, token)| (format!("/body/authorizations/{nth}"), token));
        let (trust, signing) = (self.trust.load(), self.signing.load());
        let mut faults = Vec::new();
        for (pointer, token) in commitments.chain(others) {
            let checked = self.authorizer.check_carried(
                token,
                (self.me, to),
                signing.kid(),
                &trust.authorities,
                &trust.status_lists,
                now,
            );
            match checked {
                Ok(()) | Err(AuthorizationFault::Invalid(InvalidReason::KidNotTheirs)) => {}
                Err(fault) => {
                    let refusal = Refusal::from(fault);
                    let rule = refusal.reason.unwrap_or(refusal.code.word());
                    faults.push(Fault::new(pointer, rule, refusal.code.title(), refusal.code.title_zh()));
                }
            }
        }
        faults
    }

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
