//! A submit of the region's own: planned, resolved, judged, and durable before its caller hears
//! of it: the case, the parcel to the partner and the ledger's leaf stand in one commit.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ours::Taken;
use super::plan::SubmitPlan;
use super::rows::{self, NewParcel, Root};
use super::{Undone, notices};
use crate::answer::{Code, Refusal};
use crate::authorization::{AuthorizationFault, InvalidReason};
use crate::case::{
    self, Actor, Case, CaseFault, Opening, Proof, Role, Sides, State, SubmitBody, digest_text,
};
use crate::casebook::{EventRow, OnceRow, ParcelState, Write};
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::Op;
use crate::fault::Fault;
use crate::house::House;

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
}
