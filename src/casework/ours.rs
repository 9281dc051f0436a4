//! What the region's own systems do to cases: submit one, add an event.
//!
//! Accepted means durable: the case, the parcel to the partner and the ledger's leaf stand in
//! one commit before the caller hears of it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::rows::{self, Applied, NewParcel, Root};
use super::{Opened, Undone, changed, notices};
use crate::answer::{Code, Refusal};
use crate::authorization::{AuthorizationFault, InvalidReason};
use crate::case::{
    self, Actor, Case, EventBody, MaterialTerms, Opening, Proof, Role, Sides, State, SubmitBody, Terms,
    digest_text,
};
use crate::casebook::{EventRow, OnceRow, ParcelRow, ParcelState, Write};
use crate::clock::Now;
use crate::domain::{CaseNumber, Region};
use crate::envelope::{Op, RequestClaims};
use crate::fault::{Fault, MOST_FAULTS};
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
        self.check_carried(&submit, plan.to, now)?;
        let digest = digest_text(body);
        let opening = Opening {
            number: &plan.number,
            role: Role::Collecting,
            sides: Sides { collecting: self.me, handling: plan.to },
            agreement: plan.agreement.as_str(),
            terms: plan.terms.clone(),
        };
        let case = Case::open(opening, &submit, &digest, now)?;
        let by = Actor { org: submit.collecting.org, officer: submit.collecting.officer };
        let act = if case.state() == State::Submitted { case::Act::Route } else { case::Act::Relay };
        Ok((case.local(act, &by, now)?, digest))
    }

    /// The citizen's signed words that a submit carries, where their authority is known here:
    /// told before a partner sees them. Whom the handling side trusts is its own matter.
    fn check_carried(&self, submit: &SubmitBody, to: Region, now: Now) -> Result<(), Undone> {
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
        if faults.is_empty() { Ok(()) } else { Err(Refusal::schema(faults).into()) }
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

/// A submit, checked against the agreements, its materials not yet resolved.
pub(super) struct SubmitPlan {
    pub to: Region,
    pub number: CaseNumber,
    pub agreement: String,
    pub terms: Terms,
    pub business: Map<String, Value>,
    pub body: Value,
}

impl SubmitPlan {
    /// The agreement's word on a material that is still to be shown; `None` for one that is
    /// shown already or that the agreement does not know.
    pub(super) fn terms_of_hints(&self, material: &Value) -> Option<&MaterialTerms> {
        let code = material.get("code").and_then(Value::as_str)?;
        self.terms.material(code).filter(|_| material.get("evidence").is_none())
    }
}

impl House {
    async fn submit_plan(&self, request: &Value, now: Now) -> Result<SubmitPlan, Undone> {
        let mut faults = member_faults(request, &SUBMIT_MEMBERS);
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        let to = text("to").and_then(|to| Region::parse(to).ok());
        if text("to").is_some() && to.is_none() {
            faults.push(Fault::new("/to", "region", "is not a current region code", "不是现行行政区划代码"));
        }
        let agreement = match (text("agreement"), to, text("item")) {
            (Some(named), ..) => Some(named.to_owned()),
            (None, Some(to), Some(item)) => self.only_agreement(to, item),
            _ => None,
        };
        let (Some(to), Some(item), Some(agreement)) = (to, text("item"), agreement) else {
            if faults.is_empty() {
                let words = ("name the agreement: none or several in force list this item", "请指明协议");
                faults.push(Fault::new("/agreement", "required", words.0, words.1));
            }
            return Err(Refusal::schema(faults).into());
        };
        let number = match text("case").map(CaseNumber::parse) {
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                faults.push(Fault::new("/case", "case-number", "is not a case number", "不是有效的办件编号"));
                None
            }
            None => self.free_number(to, now).await?,
        };
        let mut business = Map::new();
        for name in ["item", "basis", "purpose", "operator"] {
            if let Some(value) = text(name) {
                business.insert(name.to_owned(), value.into());
            }
        }
        business.insert("agreement".into(), agreement.clone().into());
        let case = number.as_ref().map_or_else(String::new, |number| number.as_str().to_owned());
        business.insert("case".into(), case.into());
        let claims = self.claims(to, Op::ApplicationSubmit, &business);
        let claims = match self.catalog.admit_whole::<RequestClaims>(claims) {
            Ok(claims) if faults.is_empty() => claims.into_inner(),
            other => {
                faults.extend(other.err().unwrap_or_default());
                faults.truncate(MOST_FAULTS);
                return Err(Refusal::schema(faults).into());
            }
        };
        let number = number.ok_or_else(|| Refusal::schema(Vec::new()))?;
        // The partner judges the same agreement in the same way; told here, nothing is sent in vain.
        let policy = self.trust.load().policy.clone();
        let grant = policy.authorize(&claims, &to, &self.me, now.shanghai_day()).map_err(Refusal::from)?;
        let listed = grant.item();
        if listed.handling != to || !listed.collecting.contains(&self.me) {
            return Err(Code::ItemNotAgreed.into());
        }
        Ok(SubmitPlan {
            to,
            number,
            agreement,
            terms: Terms::of(listed),
            body: request.get("body").cloned().unwrap_or_default(),
            business: business
                .into_iter()
                .filter(|(name, _)| name != "item")
                .chain([("item".to_owned(), item.into())])
                .collect(),
        })
    }

    /// The next number of today; one that a system gave a case of its own accord is passed over.
    async fn free_number(&self, to: Region, now: Now) -> Result<Option<CaseNumber>, Undone> {
        loop {
            let serial = self.next_serial(now).await?;
            let Ok(number) = CaseNumber::compose(self.me, to, now.shanghai_day(), serial) else {
                return Ok(None);
            };
            if self.casebook.case(number.as_str()).await?.is_none() {
                return Ok(Some(number));
            }
        }
    }

    fn claims(&self, to: Region, op: Op, business: &Map<String, Value>) -> Value {
        let mut claims = business.clone();
        claims.insert("ver".into(), 1.into());
        claims.insert("iss".into(), self.me.gateway_urn().into());
        claims.insert("aud".into(), to.gateway_urn().into());
        claims.insert("iat".into(), 0.into());
        claims.insert("exp".into(), 1.into());
        claims.insert("jti".into(), "0000000000000000000000".into());
        claims.insert("op".into(), op.name().into());
        claims.insert("body".into(), json!({}));
        Value::Object(claims)
    }
}

/// The members of a local submit, and whether they must be there.
const SUBMIT_MEMBERS: [(&str, bool); 8] = [
    ("to", true),
    ("item", true),
    ("case", false),
    ("basis", true),
    ("purpose", true),
    ("operator", true),
    ("agreement", false),
    ("body", true),
];

/// The members of a local event.
const EVENT_MEMBERS: [(&str, bool); 4] = [("event", true), ("at", false), ("by", true), ("data", false)];

fn member_faults(request: &Value, members: &[(&str, bool)]) -> Vec<Fault> {
    let Some(object) = request.as_object() else {
        return vec![Fault::new("", "type", "must be an object", "必须是对象")];
    };
    let mut faults: Vec<Fault> = members
        .iter()
        .filter(|(name, required)| *required && !object.contains_key(*name))
        .map(|(name, _)| Fault::new(format!("/{name}"), "required", "is missing", "缺少该成员"))
        .collect();
    for (name, value) in object {
        if !members.iter().any(|(known, _)| known == name) {
            let words = ("has a member that is not known here", "含有未知成员");
            faults.push(Fault::new("", "additionalProperties", words.0, words.1));
        } else if !value.is_string() && !["body", "by", "data", "at"].contains(&name.as_str()) {
            faults.push(Fault::new(format!("/{name}"), "type", "must be a string", "必须是字符串"));
        }
    }
    faults
}

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
