//! 部门限时核验: a question to the issuing department through its gateway, answered by a person
//! or a system there, in working time (protocol §6.4).

use serde_json::{Map, Value, json};

use super::rows::{self, NewParcel, notice};
use super::theirs::Caller;
use super::{Done, Undone, changed, disagrees, notices};
use crate::answer::{Code, Refusal, Reply};
use crate::case::{Case, VerificationAnswerBody, VerificationRequestBody, digest, digest_text};
use crate::casebook::{ParcelRow, ParcelState, VerificationRow, VerificationSide, Write};
use crate::clock::Now;
use crate::domain::{Region, TimeLimit};
use crate::envelope::Op;
use crate::house::House;
use crate::ledger::{Leaf, LeafHash, LeafKind};

/// Without a limit in the agreement: the two working days of a window's patience.
const DEFAULT_LIMIT: TimeLimit = TimeLimit::working_days(2);

/// When the department is reminded: this part of the time is left.
const REMIND_AT_ONE_PART_IN: i64 = 4;

/// An answer as a local system gives it.
pub struct LocalAnswer {
    pub id: String,
    pub request: Value,
}

/// A department's answer that passed every check which needs no question.
pub struct Answered {
    pub case: String,
    pub item: String,
    pub answer: VerificationAnswerBody,
    pub body: Value,
}

/// A question that passed every check.
pub struct Question {
    pub case: String,
    pub request: VerificationRequestBody,
    pub body: Value,
    pub business: Map<String, Value>,
}

impl House {
    /// `verification.request` of a partner: for somebody here to answer.
    pub async fn take_question(&self, asked: Question, from: Caller<'_>) -> Result<Done, Undone> {
        let Question { case, request, body, business } = asked;
        let held = self.casebook.hold(&request.id).await;
        let same = digest_text(&body);
        if let Some(known) = self.casebook.verification(VerificationSide::Answering, &request.id).await? {
            if known.partner != from.peer.as_str() || known.digest != same {
                return Err(Code::DuplicateCase.into());
            }
            return Ok(Done { reply: Reply::Result(receipt(&known)), writes: Vec::new(), held: vec![held] });
        }
        let due = moment(&request.due).ok_or_else(|| Refusal::schema(Vec::new()))?;
        let row = VerificationRow {
            id: request.id,
            side: VerificationSide::Answering,
            partner: from.peer.to_string(),
            case,
            state: "open".to_owned(),
            received: from.now.ms(),
            due: due.ms(),
            wake: Some(reminder(from.now, due)),
            digest: same,
            business,
            request: body,
            answer: None,
        };
        let told = notice("verification.requested", &row.case, told(&row), from.now);
        let reply = Reply::Result(receipt(&row));
        Ok(Done { reply, writes: vec![Write::Verification(row), told], held: vec![held] })
    }

    /// `verification.answer` of a partner: to a question of ours.
    pub async fn take_answer(&self, answered: Answered, from: Caller<'_>) -> Result<Done, Undone> {
        let Answered { case, item, answer, body } = answered;
        let held = self.casebook.hold(&answer.id).await;
        let known = self.casebook.verification(VerificationSide::Asking, &answer.id).await?;
        let mut row = known.filter(|row| row.partner == from.peer.as_str()).ok_or(Code::UnknownCase)?;
        if row.case != case {
            return Err(disagrees("/case").into());
        }
        if row.business.get("item").and_then(Value::as_str) != Some(&item) {
            return Err(disagrees("/item").into());
        }
        let reply = |row: &VerificationRow| {
            Reply::Result(json!({"id": row.id, "received_at": row.received.div_euclid(1000)}))
        };
        if let Some(before) = &row.answer {
            return if *before == body {
                Ok(Done { reply: reply(&row), writes: Vec::new(), held: vec![held] })
            } else {
                Err(Code::IllegalTransition.into())
            };
        }
        row.state = "answered".to_owned();
        row.answer = Some(body);
        row.received = from.now.ms();
        row.wake = None;
        let mut held = vec![held];
        let mut writes = vec![notice("verification.answered", &row.case, told(&row), from.now)];
        if let Some(opened) = self.open_case(&row.case).await? {
            let next = opened.case.verified(&answer);
            writes.push(changed(self, &opened.row, &next, from.now));
            writes.push(notices::of_case(&next, false, from.now));
            held.extend(opened.held);
        }
        let reply = reply(&row);
        writes.push(Write::Verification(row));
        Ok(Done { reply, writes, held })
    }

    /// `POST /local/v1/verifications/{id}/answer`.
    pub async fn answer_ours(&self, answer: LocalAnswer, now: Now) -> Result<Value, Undone> {
        let _held = self.casebook.hold(&answer.id).await;
        let known = self.casebook.verification(VerificationSide::Answering, &answer.id).await?;
        let mut row = known.ok_or(Code::UnknownCase)?;
        let mut body = answer.request;
        if let Some(body) = body.as_object_mut() {
            body.insert("id".into(), row.id.clone().into());
            body.entry("at").or_insert_with(|| now.secs().into());
            body.entry("note").or_insert_with(|| "".into());
        }
        self.catalog.admit::<VerificationAnswerBody>(&body).map_err(Refusal::schema)?;
        if row.state == "answered" {
            return Err(Code::IllegalTransition.into());
        }
        row.state = "answered".to_owned();
        row.answer = Some(body.clone());
        row.wake = None;
        let to = Region::parse(&row.partner).map_err(|_| Code::UnknownCase)?;
        let mut business = row.business.clone();
        if let Some(officer) = body.pointer("/by/officer") {
            business.insert("operator".into(), officer.clone());
        }
        let parcel = NewParcel {
            to,
            line: &row.id,
            seq: 1,
            op: Op::VerificationAnswer,
            digest: digest_text(&body),
            business,
            body: body.clone(),
        }
        .row(now);
        let leaf = Leaf {
            peer: Some(row.partner.clone()),
            op: Some(Op::VerificationAnswer.name().to_owned()),
            case: Some(self.ledger.case_tag(&row.case)),
            rq: Some(LeafHash(digest(&body))),
            ..Leaf::new(LeafKind::Event)
        };
        let told = json!({"id": row.id, "state": row.state, "transport": ParcelState::Waiting.word()});
        let mut writes = vec![Write::Parcel(parcel)];
        // The department's own region may hold the case: it knows the answer first.
        let opened = self.open_case(&row.case).await?.filter(|opened| opened.row.partner == row.partner);
        if let (Some(opened), Ok(answer)) = (&opened, serde_json::from_value(body)) {
            let next = opened.case.verified(&answer);
            writes.push(changed(self, &opened.row, &next, now));
        }
        writes.push(Write::Verification(row));
        self.record_act(leaf, writes).await?;
        Ok(told)
    }

    /// What was answered here before the case itself came.
    pub(super) async fn with_known_answers(&self, mut case: Case, peer: Region) -> Result<Case, Undone> {
        for row in self.casebook.verifications_of(case.number()).await? {
            let ours = row.side == VerificationSide::Answering && row.partner == peer.as_str();
            let answer = row.answer.filter(|_| ours).and_then(|body| serde_json::from_value(body).ok());
            if let Some(answer) = answer {
                case = case.verified(&answer);
            }
        }
        Ok(case)
    }

    /// A question of ours: its row and its parcel, for the commit of the submit it belongs to.
    pub(super) fn question_ours(&self, question: NewQuestion<'_>, now: Now) -> Result<Vec<Write>, Undone> {
        let limit = question.limit.unwrap_or(DEFAULT_LIMIT);
        let due = crate::domain::due(now, limit, &self.calendar.load())
            .map_err(|_| Refusal::retry_after(Code::CalendarUnpublished, super::CALENDAR_PAUSE))?;
        let mut body = question.body;
        rows::set(&mut body, "id", question.id);
        rows::set(&mut body, "due", rfc3339(due));
        let admitted = self.catalog.admit_on::<VerificationRequestBody>(&body, now.shanghai_day());
        admitted.map_err(|faults| {
            Refusal::schema(faults.into_iter().map(|fault| fault.under(&question.pointer)).collect())
        })?;
        let digest = digest_text(&body);
        let row = VerificationRow {
            id: question.id.to_owned(),
            side: VerificationSide::Asking,
            partner: question.to.to_string(),
            case: question.case.to_owned(),
            state: "open".to_owned(),
            received: now.ms(),
            due: due.ms(),
            wake: Some(due.ms() + 1000),
            digest: digest.clone(),
            business: question.business.clone(),
            request: body.clone(),
            answer: None,
        };
        let parcel = NewParcel {
            to: question.to,
            line: question.id,
            seq: 0,
            op: Op::VerificationRequest,
            digest,
            business: question.business.clone(),
            body,
        };
        Ok(vec![Write::Verification(row), Write::Parcel(parcel.row(now))])
    }

    /// A parcel of a verification has arrived: nothing more to do than to say so.
    pub(super) fn verification_delivered(&self, parcel: &ParcelRow, now: Now) -> Vec<Write> {
        vec![notice(
            "verification.delivered",
            &parcel.line,
            json!({"id": parcel.line, "op": parcel.op, "partner": parcel.partner}),
            now,
        )]
    }
}

/// A question that a submit asks for one of its materials.
pub(super) struct NewQuestion<'a> {
    pub id: &'a str,
    pub to: Region,
    pub case: &'a str,
    pub limit: Option<TimeLimit>,
    pub business: &'a Map<String, Value>,
    /// `material license claims question`.
    pub body: Value,
    /// Where it stands in the local request.
    pub pointer: String,
}

fn receipt(row: &VerificationRow) -> Value {
    json!({
        "id": row.id,
        "received_at": row.received.div_euclid(1000),
        "due": row.request.get("due"),
    })
}

/// What is told of a verification, without the holder.
pub(crate) fn told(row: &VerificationRow) -> Value {
    json!({
        "id": row.id,
        "side": row.side.word(),
        "case": row.case,
        "partner": row.partner,
        "state": row.state,
        "material": row.request.get("material"),
        "due": row.due.div_euclid(1000),
        "outcome": row.answer.as_ref().and_then(|answer| answer.get("outcome")),
    })
}

fn reminder(now: Now, due: Now) -> i64 {
    due.ms() - (due.ms() - now.ms()).max(0) / REMIND_AT_ONE_PART_IN
}

/// An RFC 3339 date-time with offset.
pub(crate) fn moment(text: &str) -> Option<Now> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Now::from_ms(at.as_millisecond()))
}

/// `2026-11-24T23:59:59+08:00`.
fn rfc3339(at: Now) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at.ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let there = jiff::tz::Offset::constant(8).to_datetime(stamp);
    format!("{}+08:00", there.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// Rows of a list of verifications, whole: the department must see whom it is about.
pub(crate) fn listed(row: &VerificationRow) -> Value {
    let mut listed = told(row);
    rows::set(&mut listed, "request", row.request.clone());
    rows::set(&mut listed, "answer", row.answer.clone());
    rows::set(&mut listed, "received", rows::secs(row.received));
    listed
}
