//! An event against a case: in sequence, possible, and saying what the case and the agreement
//! allow; then the case after it.

use jiff::civil::Date;

use super::clock;
use super::content;
use super::copy::{Case, CaseFault, faultless, shown};
use super::event::{AcceptData, CommitmentOutcome, EventBody, EventData, Lacking, TolerantData};
use super::machine::{self, Illegal};
use super::record::{Acceptance, Checked, Decision, Delivery, Mark, Notice, Special, Tolerance, Transfer};
use super::state::{Role, State};
use super::submit::{Proof, Shown};
use crate::clock::Now;
use crate::domain::{Calendar, Necessity, due};
use crate::fault::Fault;

/// Events of one case: its status stays a message of 2 000 values (protocol §3), five an event.
pub const MOST_EVENTS: usize = 300;
/// Seconds that the two sides' clocks may differ, as for messages (protocol §3.4).
const CLOCK_SKEW: i64 = 30;

impl Case {
    /// The case after `body`, an event of side `from` that met its schema; `digest` is that of
    /// the body as it came. What is wrong is told in this order: sequence, transition, content.
    pub fn judge(
        &self,
        body: &EventBody,
        digest: &str,
        from: Role,
        now: Now,
        calendar: &Calendar,
    ) -> Result<Self, CaseFault> {
        let act = body.what.act();
        let mut next = self.clone();
        next.receipt_implied_by(body, from);
        let (seq, last) = next.last();
        if body.seq != seq.saturating_add(1) || body.prev != last {
            return Err(CaseFault::SequenceGap);
        }
        if act.is_local() {
            return Err(Illegal::State.into());
        }
        if next.events.len() >= MOST_EVENTS {
            return Err(Illegal::TooMany.into());
        }
        let state = machine::next(Some(next.state), act, from, &next.facts())?;
        if body.at > now.secs().saturating_add(CLOCK_SKEW) {
            let words = ("lies in the future", "时间在未来");
            return Err(CaseFault::Schema(vec![Fault::new("/at", "time", words.0, words.1)]));
        }
        next.take(body, from, now, calendar)?;
        next.state = state;
        next.events.push(Mark {
            seq: body.seq,
            event: act.event().to_owned(),
            at: body.at,
            from,
            org: body.by.org.clone(),
            officer: body.by.officer.clone(),
            digest: digest.to_owned(),
            state,
        });
        if self.role == Role::Handling && state.is_accepted() {
            // What cannot be reckoned is not promised.
            clock::running(&next, calendar)?;
        }
        Ok(next)
    }

    /// An event of the handling side that continues the submit proves that it has the submit,
    /// though its receipt was lost on the way; the receipt's own time comes with the receipt.
    fn receipt_implied_by(&mut self, body: &EventBody, from: Role) {
        use super::machine::Act::{Ack, Nack};
        let relayed = matches!(self.state, State::Relayed | State::RelayFailed);
        let continues = self.events.len() == 1 && body.prev == self.last().1;
        let speaks_of_receipt = matches!(body.what.act(), Ack | Nack);
        if self.role == Role::Collecting
            && from == Role::Handling
            && relayed
            && continues
            && !speaks_of_receipt
        {
            self.state = State::Received;
            self.received_at = self.received_at.or(Some(body.at));
        }
    }

    /// Checks what the event says and takes it into the case.
    fn take(&mut self, body: &EventBody, from: Role, now: Now, calendar: &Calendar) -> Result<(), CaseFault> {
        let at = Now::from_secs(body.at);
        // A limit has passed when both the event and this side's clock say so.
        let by_both = at.min(now);
        match &body.what {
            EventData::Ack {} => self.received_at = self.received_at.or(Some(body.at)),
            EventData::Nack { .. } => self.nacks = self.nacks.saturating_add(1),
            EventData::NeedSupplement { notice_no, items, due } => {
                self.need_supplement(notice_no, items, *due, at, calendar)?;
            }
            EventData::Supplement { materials } => self.supplement(materials, body)?,
            EventData::Lapse {} => {
                let due = self.notice.as_ref().map(|notice| notice.due);
                after(due, by_both)?;
            }
            EventData::DeemedAccepted {} => self.deem_accepted(by_both, calendar)?,
            EventData::Accept(data) => self.accept(data, None, body.at),
            EventData::AcceptTolerant(data) => self.accept_tolerant(data, at, calendar)?,
            EventData::ToleranceFilled { materials } => self.tolerance_filled(materials)?,
            EventData::ToleranceExpired {} => {
                after(self.tolerance().map(|tolerance| tolerance.due), by_both)?;
            }
            EventData::StartSpecial { kind, name, limit, .. } => self.specials.push(Special {
                kind: kind.clone(),
                name: name.clone(),
                limit: *limit,
                from: body.at,
                to: None,
            }),
            EventData::EndSpecial { .. } => {
                if let Some(special) = self.specials.last_mut() {
                    special.to = Some(body.at);
                }
            }
            EventData::Extend { working_days, .. } => self.extension = Some(*working_days),
            EventData::VerifyCommitment { material, outcome, .. } => {
                self.check_commitment(material, *outcome, body)?;
            }
            EventData::Decide { outcome, decision_no, .. } => {
                self.decision = Some(Decision { outcome: *outcome, no: decision_no.clone(), at: body.at });
            }
            EventData::IssueLicense { licenses, .. } => self.licenses.clone_from(licenses),
            EventData::Deliver { method, at, .. } => {
                self.delivery = Some(Delivery { method: method.clone(), at: *at });
            }
            EventData::Transfer { to_org, .. } => {
                self.transfers.push(Transfer { to_org: to_org.clone(), at: body.at });
            }
            EventData::Evaluate(data) => self.evaluate(data)?,
            EventData::Rectify { role, times, called_back_at, .. } => {
                self.rectify(*role, *times, *called_back_at, from)?;
            }
            EventData::RequestCorrection(data) => self.request_correction(data, from, body.at)?,
            EventData::AnswerCorrection { id, outcome, .. } => {
                self.answer_correction(id, *outcome, from, body.at)?;
            }
            EventData::Collect { .. }
            | EventData::RejectForm { .. }
            | EventData::Resubmit {}
            | EventData::Route {}
            | EventData::Relay {}
            | EventData::Withdraw {}
            | EventData::Refuse { .. }
            | EventData::Close { .. } => {}
        }
        Ok(())
    }

    fn need_supplement(
        &mut self,
        no: &str,
        items: &[Lacking],
        due: Date,
        at: Now,
        calendar: &Calendar,
    ) -> Result<(), CaseFault> {
        // Since when the files are there, the handling side knows best.
        if self.role == Role::Handling
            && let Some(last) = clock::notice_due(self, calendar)?
            && at.secs() > last.secs()
        {
            return Err(Illegal::NoticeLate.into());
        }
        let codes = items.iter().map(|item| item.material.as_str());
        let mut faults = self.unlisted(codes, |at| format!("/data/items/{at}/material"), |_| true);
        faults.extend(content::not_before(due, "/data/due", at));
        faultless(faults)?;
        let (no, items, at) = (no.to_owned(), items.to_vec(), at.secs());
        self.notice = Some(Notice { no, items, due, at, supplied_at: None });
        Ok(())
    }

    /// Materials that the notice, or the 容缺 acceptance, named; each replaces what was shown before.
    fn supplement(&mut self, materials: &[Shown], body: &EventBody) -> Result<(), CaseFault> {
        let named: Vec<&str> = match (self.state, &self.notice) {
            (State::SupplementPending, Some(notice)) => {
                notice.items.iter().map(|item| item.material.as_str()).collect()
            }
            _ => self.tolerance().into_iter().flat_map(|t| &t.missing).map(String::as_str).collect(),
        };
        let mut faults = Vec::new();
        for (at, material) in materials.iter().enumerate() {
            if !named.contains(&material.code.as_str()) {
                faults.push(content::unlisted(format!("/data/materials/{at}/code")));
            }
        }
        content::materials(materials, "/data/materials", &self.terms, &mut faults);
        faultless(faults)?;
        let mut new = shown(materials, body.at, Role::Collecting, &body.by.officer);
        for material in &mut new {
            // A file that is there already need not come again.
            let before = self.materials.iter().find(|before| before.proof == material.proof);
            material.here_at = before.and_then(|before| before.here_at);
        }
        self.materials.retain(|before| !new.iter().any(|material| material.code == before.code));
        self.materials.extend(new);
        if let Some(notice) = self.notice.as_mut().filter(|_| self.state == State::SupplementPending) {
            notice.supplied_at = Some(body.at);
        }
        Ok(())
    }

    fn accept(&mut self, data: &AcceptData, tolerance: Option<Tolerance>, at: i64) {
        if data.project_no.is_some() {
            self.native.handling.clone_from(&data.project_no);
        }
        self.acceptance = Some(Acceptance {
            at,
            doc_no: Some(data.doc_no.clone()),
            project_type: Some(data.project_type.clone()),
            promise_date: Some(data.promise_date),
            deemed: false,
            tolerance,
        });
    }

    fn accept_tolerant(
        &mut self,
        data: &TolerantData,
        at: Now,
        calendar: &Calendar,
    ) -> Result<(), CaseFault> {
        let tolerant = |code: &str| {
            self.terms.material(code).is_some_and(|agreed| agreed.necessity == Necessity::Tolerant)
        };
        let codes = data.missing.iter().map(String::as_str);
        let mut faults = self.unlisted(codes, |at| format!("/data/missing/{at}"), tolerant);
        faults.extend(content::to_follow(data.due, "/data/due", &self.terms, at, calendar)?);
        faultless(faults)?;
        let tolerance = Tolerance { missing: data.missing.clone(), due: data.due, filled: false };
        self.accept(&data.accept, Some(tolerance), at.secs());
        Ok(())
    }

    /// Silence accepts, dated back to the receipt (行政许可法 32(4)).
    fn deem_accepted(&mut self, by_both: Now, calendar: &Calendar) -> Result<(), CaseFault> {
        let received = self.received_at.filter(|_| self.role == Role::Collecting).map(Now::from_secs);
        let started = clock::started(self).or(received).ok_or(Illegal::TooEarly)?;
        if by_both.secs() <= due(started, clock::NOTICE_LIMIT, calendar)?.secs() {
            return Err(Illegal::TooEarly.into());
        }
        self.acceptance = Some(Acceptance {
            at: started.secs(),
            doc_no: None,
            project_type: None,
            promise_date: None,
            deemed: true,
            tolerance: None,
        });
        Ok(())
    }

    fn tolerance(&self) -> Option<&Tolerance> {
        self.acceptance.as_ref().and_then(|acceptance| acceptance.tolerance.as_ref())
    }

    fn tolerance_filled(&mut self, materials: &[String]) -> Result<(), CaseFault> {
        let Some(tolerance) = self.acceptance.as_mut().and_then(|a| a.tolerance.as_mut()) else {
            return Err(Illegal::State.into());
        };
        let faults = tolerance.missing.iter().filter(|code| !materials.contains(code)).map(|_| {
            let words = ("lacks a material that was to follow", "容缺材料未全部补齐");
            Fault::new("/data/materials", "required-material", words.0, words.1)
        });
        faultless(faults.take(1).collect())?;
        tolerance.filled = true;
        Ok(())
    }

    fn check_commitment(
        &mut self,
        code: &str,
        outcome: CommitmentOutcome,
        body: &EventBody,
    ) -> Result<(), CaseFault> {
        // What was to follow after a 容缺 acceptance was promised as well.
        let to_follow = self.tolerance().is_some_and(|t| t.missing.iter().any(|missing| missing == code));
        let mut committed = self.materials.iter_mut().filter(|m| matches!(m.proof, Proof::Commitment { .. }));
        match committed.find(|material| material.code == code) {
            Some(material) => {
                material.checked = Some(Checked { outcome, at: body.at, officer: body.by.officer.clone() });
                Ok(())
            }
            None if to_follow => Ok(()),
            None => Err(CaseFault::Schema(vec![content::unlisted("/data/material")])),
        }
    }

    /// A fault for every code that names no material of the item, or none that is `fit`.
    fn unlisted<'c>(
        &self,
        codes: impl Iterator<Item = &'c str>,
        pointer: impl Fn(usize) -> String,
        fit: impl Fn(&str) -> bool,
    ) -> Vec<Fault> {
        let unfit = |code: &str| self.terms.material(code).is_none() || !fit(code);
        codes
            .enumerate()
            .filter(|(_, code)| unfit(code))
            .map(|(at, _)| content::unlisted(pointer(at)))
            .collect()
    }
}

/// The last day has passed.
fn after(day: Option<Date>, now: Now) -> Result<(), Illegal> {
    if day.is_some_and(|day| now.shanghai_day() > day) { Ok(()) } else { Err(Illegal::TooEarly) }
}
