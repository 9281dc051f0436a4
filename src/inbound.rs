//! A partner's request, one step a line: judge → act → record → sign.
//!
//! Promises: no answer that is not in the ledger first, refusals after the signature step
//! included; what cannot be recorded is not answered. Knows every room, decides nothing
//! that a room could decide.

mod again;
pub mod checks;
pub mod judge;
mod reconcile;
pub mod steps;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::admission::Place as InLine;
use crate::answer::{self, Code, Refusal, Reply};
use crate::casebook::{Held, Write};
use crate::casework;
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{FreshId, digest};
use crate::house::{House, subjects};
use crate::ledger::evidence::{Evidence, Field};
use crate::ledger::{Decision, Entry, Leaf, LeafHash, LeafKind, Place, RecordFault, TakeUse};
use crate::peer::PeerIdentity;
use crate::telemetry::ExchangeLabels;

use judge::{Asked, LicenseAsked, Memory, Seen};

/// What acting on a request came to, before it is recorded.
struct Acted {
    reply: Reply,
    take_use: Option<TakeUse>,
    /// Rows of the casebook that become durable with the leaf.
    writes: Vec<Write>,
    /// The lines that were changed, held until the change stands.
    held: Vec<Held>,
}

impl From<Reply> for Acted {
    fn from(reply: Reply) -> Self {
        Self { reply, take_use: None, writes: Vec::new(), held: Vec::new() }
    }
}

impl From<Refusal> for Acted {
    fn from(refusal: Refusal) -> Self {
        Reply::Refused(refusal).into()
    }
}

/// What the partner door sends back.
pub struct Answer {
    pub status: u16,
    /// A signed response (`application/tongban-response+jwt`) or an unsigned problem.
    pub signed: bool,
    pub retry_after: Option<u32>,
    pub body: Bytes,
    /// Why, where it is a refusal: for whoever explains it.
    pub refusal: Option<Refusal>,
    /// The check that stopped it; a refusal from behind the checks has none.
    pub step: Option<steps::Step>,
}

/// Answers one exchange. Runs to its end even when the caller has gone: what was claimed
/// must be recorded.
pub async fn exchange(house: Arc<House>, peer: PeerIdentity, body: Bytes, line: InLine) -> Answer {
    let started = Instant::now();
    let now = house.clock.now();
    let mut seen = Seen::default();
    let judged = {
        let trust = house.trust.load();
        let bench = house.bench(&trust, now);
        judge::judge(&bench, &peer, &body, &*house, &mut seen)
    };
    let judged_at = Instant::now();
    house.metrics.phase("judge", judged_at - started);

    let mut exchange = Exchange {
        house: &house,
        line: &line,
        peer: peer.region(),
        certificate: peer.certificate(),
        now,
        started,
        trace: OnceLock::new(),
        body: &body,
        seen,
    };
    let _first = match exchange.repeatable_id() {
        Some(key) => Some(Box::pin(line.aside(exchange.hold_off_repeats(key))).await),
        None => None,
    };
    let step = judged.as_ref().err().map(|stopped| stopped.step);
    let mut answer = match judged {
        Ok(Asked::Again(key)) => Box::pin(line.aside(exchange.again(&key))).await,
        Ok(asked) => exchange.act(asked).await,
        Err(stopped) if exchange.seen.verified && stopped.refusal.is_signed() => {
            exchange.settle(stopped.refusal.into()).await
        }
        Err(stopped) => exchange.unsigned(stopped.refusal),
    };
    answer.step = step;
    house.metrics.phase("total", started.elapsed());
    answer
}

/// One exchange between its judgement and its answer.
struct Exchange<'a> {
    house: &'a Arc<House>,
    /// Its place in the line of those that are worked on.
    line: &'a InLine,
    peer: Region,
    certificate: &'a Bytes,
    now: Now,
    started: Instant,
    /// Made when it is first told: most exchanges of a quiet log need none.
    trace: OnceLock<String>,
    body: &'a Bytes,
    seen: Seen,
}

impl Exchange<'_> {
    async fn act(&mut self, asked: Asked) -> Answer {
        let acting = Instant::now();
        let acted = match asked {
            Asked::Ping => {
                Reply::Result(json!({"time": self.now.secs(), "version": env!("CARGO_PKG_VERSION")})).into()
            }
            Asked::License(asked) => self.look_up(*asked).await,
            // Boxed: the room that these need would be carried by every lookup.
            Asked::Reconcile(proposal) => Box::pin(self.compare(*proposal)).await,
            Asked::Case(asked) => {
                let taken = Box::pin(self.house.take_case_message(*asked, self.from())).await;
                self.casework(taken)
            }
            Asked::Question(asked) => {
                let taken = Box::pin(self.house.take_question(*asked, self.from())).await;
                self.casework(taken)
            }
            Asked::Answer(answer) => {
                let taken = Box::pin(self.house.take_answer(*answer, self.from())).await;
                self.casework(taken)
            }
            // Told before anything is acted on.
            Asked::Again(_) => Refusal::from(Code::Replay).into(),
        };
        self.house.metrics.phase("act", acting.elapsed());
        if let Reply::Refused(refusal) = &acted.reply
            && !refusal.is_signed()
        {
            return self.unsigned(refusal.clone());
        }
        self.settle(acted).await
    }

    fn from(&self) -> casework::Caller<'_> {
        casework::Caller {
            peer: self.peer,
            exchange: self.seen.jti.as_deref().unwrap_or_default(),
            now: self.now,
        }
    }

    fn casework(&self, done: Result<casework::Done, casework::Undone>) -> Acted {
        match done {
            Ok(casework::Done { reply, writes, held }) => Acted { reply, take_use: None, writes, held },
            Err(casework::Undone::Refused(refusal)) => refusal.into(),
            Err(casework::Undone::Casebook(fault)) => {
                tracing::error!(target: "case", %fault, "the casebook did not answer");
                Refusal::from(Code::LedgerUnavailable).into()
            }
        }
    }

    async fn look_up(&mut self, asked: LicenseAsked) -> Acted {
        let holds = |kind: &str, number: &str| {
            asked.consent.as_ref().is_none_or(|consent| consent.holds(kind, number))
        };
        let found = self.house.lookup.run(&asked.query, asked.license_type, &asked.permit, &holds, self.now);
        // The register may take its time: not the gateway's.
        let found = self.line.aside(found).await;
        match found {
            Ok(found) => {
                self.house.count_license_answer(&found);
                subjects::of_result(&found.result, &mut self.seen.subjects);
                for holder in found.holders {
                    subjects::add(&mut self.seen.subjects, Field::Citizen, holder);
                }
                let take_use = asked.consent.map(|consent| TakeUse {
                    token: consent.token_id,
                    max: consent.max_uses,
                    expires: consent.keep_until(),
                });
                Acted { take_use, ..Reply::Result(found.result).into() }
            }
            Err(fault) => Refusal::from(fault).into(),
        }
    }

    /// Records the reply with what it changes, then signs it. A use that another exchange
    /// took first turns the reply into the refusal it deserves.
    async fn settle(&mut self, acted: Acted) -> Answer {
        let Acted { mut reply, mut take_use, mut writes, held } = acted;
        let used_id = self.seen.claim.as_ref().map(FreshId::used).map(durable);
        loop {
            let outcome = match &mut reply {
                // Moved: the reply is needed for its kind from here on.
                Reply::Result(result) | Reply::Accepted(result) => std::mem::take(result),
                Reply::Refused(refusal) => refusal.problem(self.trace()),
            };
            let told = crate::json::jcs(&outcome);
            let leaf = self.leaf(&reply, &told);
            let again = self.answer_row(&reply, &outcome);
            writes.extend(again.clone().map(Write::Answer));
            let deed = (!writes.is_empty()).then(|| Write::deed(&writes));
            let recording = Instant::now();
            let evidence = Some(self.evidence(told));
            let entry = Entry { leaf, used_id, take_use: take_use.take(), deed, evidence };
            let recorded = self.house.ledger.record(entry).await;
            self.house.metrics.phase("record", recording.elapsed());
            match recorded {
                Ok(place) => {
                    self.line.got_through();
                    // The id is durable now: it stays used.
                    self.seen.claim = None;
                    let answer = self.sign(&reply, &outcome, &place);
                    let stands = match again {
                        Some(row) => Box::pin(self.keep_answer(row, &answer, place.mark)).await,
                        None => true,
                    };
                    drop(held);
                    return if stands { answer } else { self.unsigned(Code::LedgerUnavailable.into()) };
                }
                Err(RecordFault::UsedUp) => {
                    reply = Reply::Refused(Code::AuthorizationUsedUp.into());
                    writes.clear();
                }
                Err(RecordFault::Overloaded) => return self.unsigned(Code::Overloaded.into()),
                Err(RecordFault::Unavailable | RecordFault::TooLong) => {
                    return self.unsigned(Code::LedgerUnavailable.into());
                }
            }
        }
    }

    /// `told` is JCS of the result or problem.
    fn evidence(&self, told: Vec<u8>) -> Evidence {
        Evidence {
            request: Some(self.body.clone()),
            result: Some(told),
            certificate: Some(self.certificate.clone()),
            subjects: self.seen.subjects.clone(),
            ..Evidence::new(subjects::class_of(self.seen.op))
        }
    }

    fn leaf(&self, reply: &Reply, told: &[u8]) -> Leaf {
        let seen = &self.seen;
        let code = reply.refusal().map(|refusal| refusal.code.word());
        Leaf {
            x: seen.jti.clone(),
            peer: Some(self.peer.to_string()),
            op: seen.op.map(|op| op.name().to_owned()),
            item: seen.item.clone(),
            lt: seen.license_type.clone(),
            case: seen.case.as_deref().map(|case| self.house.ledger.case_tag(case)),
            dec: Some(if code.is_none() { Decision::Permit } else { Decision::Deny }),
            code: code.map(str::to_owned),
            status: Some(reply.status()),
            rq: Some(LeafHash(self.digest())),
            rd: Some(LeafHash(digest(told))),
            iat: seen.iat,
            agr: seen.agreement.map(LeafHash),
            auth: seen.authorization.map(LeafHash),
            ms: vec![self.started.elapsed().as_millis().try_into().unwrap_or(u32::MAX)],
            sz: vec![self.body.len().try_into().unwrap_or(u32::MAX)],
            ..Leaf::new(LeafKind::In)
        }
    }

    fn sign(&mut self, reply: &Reply, outcome: &Value, place: &Place) -> Answer {
        let signing = Instant::now();
        let body = answer::Response {
            me: self.house.me,
            to: self.peer,
            now: self.now,
            request_jti: self.seen.jti.as_deref(),
            request_digest: self.digest(),
            op: self.seen.op.map_or("unknown", |op| op.name()),
            status: reply.status(),
            outcome,
            place,
        }
        .sign(&self.house.signing.load());
        self.house.metrics.phase("sign", signing.elapsed());
        let refusal = reply.refusal();
        self.note(refusal, reply.status(), Some(place));
        match body {
            Ok(body) => Answer {
                status: reply.status(),
                signed: true,
                retry_after: refusal.and_then(|r| r.retry_after),
                body: body.into(),
                refusal: refusal.cloned(),
                step: None,
            },
            // The exchange is recorded; only the signature could not be made.
            Err(_) => self.unsigned(Code::Overloaded.into()),
        }
    }

    /// An unsigned refusal: a hint, never a business fact. The message id stays free, so
    /// that the same message may come again.
    fn unsigned(&mut self, refusal: Refusal) -> Answer {
        if let Some(id) = self.seen.claim.take() {
            self.house.replay.release(id);
        }
        self.house.count_unsigned(self.peer, refusal.code);
        self.note(Some(&refusal), refusal.code.status(), None);
        let body = answer::unsigned_problem(&refusal, self.trace());
        Answer {
            status: refusal.code.status(),
            signed: false,
            retry_after: refusal.retry_after,
            body: body.into(),
            refusal: Some(refusal),
            step: None,
        }
    }

    /// SHA-256 of the exact request body.
    fn digest(&self) -> [u8; 32] {
        self.seen.digest.unwrap_or_else(|| digest(self.body))
    }

    fn trace(&self) -> &str {
        self.trace.get_or_init(crate::house::new_trace)
    }

    /// One counter and one structured event per exchange.
    fn note(&self, refusal: Option<&Refusal>, status: u16, place: Option<&Place>) {
        let op = self.seen.op.map_or("unknown", |op| op.name());
        let code = refusal.map_or("ok", |r| r.code.word());
        self.house
            .metrics
            .exchanges
            .get_or_create(&ExchangeLabels { direction: "in", partner: self.peer.to_string(), op, code })
            .inc();
        tracing::info!(
            target: "exchange",
            direction = "in",
            x = self.seen.jti.as_deref().unwrap_or(""),
            peer = self.peer.as_str(),
            op,
            item = self.seen.item.as_deref().unwrap_or(""),
            lt = self.seen.license_type.as_deref().unwrap_or(""),
            code,
            reason = refusal.and_then(|r| r.reason).unwrap_or(""),
            status,
            index = place.map(|p| p.index),
            us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            trace = self.trace(),
        );
    }
}

/// The used id as the ledger keeps it beside the leaf.
fn durable(used: crate::envelope::UsedId) -> crate::ledger::UsedId {
    crate::ledger::UsedId { key: used.key, content: used.content, expires: used.expires }
}

impl Memory for House {
    fn first_use(
        &self,
        iss: &str,
        jti: &str,
        content: &[u8; 32],
        keep_until: i64,
        now: Now,
    ) -> crate::envelope::Claim {
        self.replay.claim(iss, jti, content, keep_until, now)
    }

    fn quota(
        &self,
        grant: &crate::policy::Grant,
        peer: Region,
        now: Now,
    ) -> Result<crate::policy::QuotaPermit, crate::policy::Limited> {
        self.quotas.enter(grant, peer, now)
    }

    fn uses(&self, token: &[u8; 32]) -> u32 {
        self.ledger.uses(token)
    }
}
