//! One attempt to deliver a parcel: record and keep the signed request, send, verify, store
//! the receipt with the end's leaf.
//!
//! Promises: the same signed bytes leave again while they live and nobody answered them; after
//! any answer that is no receipt the next attempt is signed anew, since a receiver would repeat
//! its first answer to the old one (protocol §3.4). A parcel is delivered exactly when the
//! commit of its `out.done` holds the receipt. Leaves to the couriers when to try, and to
//! [`super::outcome`] what an end means for the case.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::outcome::{self, End};
use super::{Answered, AskFault, Question, Told};
use crate::answer::{Code, Retry};
use crate::casebook::{Held, ParcelRow, ParcelState, Sent, Write};
use crate::casework::Saying;
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{self, Op, digest as sha256};
use crate::house::House;
use crate::ledger::{Entry, Mark};
use crate::policy::Limits;
use crate::relay::{Allowance, Deliver, Delivery, Waiting};

/// Seconds of life a kept request needs to be sent again: our call's 20 and the partner's
/// clock, which may be 30 ahead.
const FLIGHT: i64 = 60;

/// Carries parcels over the partners' connections.
pub struct Carriage {
    house: Arc<House>,
}

impl Carriage {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }
}

impl Deliver for Carriage {
    async fn deliver(&self, partner: Region, parcel: &Waiting) -> Delivery {
        match Attempt::begin(&self.house, partner, parcel).await {
            Ok((attempt, begun)) => attempt.run(begun).await,
            Err(delivery) => delivery,
        }
    }

    /// Below every agreement in force with the partner: which of them a parcel goes under is
    /// known too late for a common pace.
    fn allowance(&self, partner: Region) -> Allowance {
        let (trust, today) = (self.house.trust.load(), self.house.clock.now().shanghai_day());
        let agreements = trust.policy.between(self.house.me, partner);
        let least =
            agreements.filter(|a| a.in_force(today)).map(|a| a.limits()).reduce(Limits::least_generous);
        Allowance::below(least.unwrap_or(Limits::DEFAULT))
    }
}

/// A parcel whose `out.sent` is durable, and with it the signed request.
struct Attempt {
    house: Arc<House>,
    question: Question,
    row: ParcelRow,
    sent: Sent,
    started: Instant,
}

/// Where the beginning was recorded, and the line until it stands in the casebook too.
struct Begun {
    mark: Mark,
    held: Held,
}

impl Attempt {
    async fn begin(
        house: &Arc<House>,
        partner: Region,
        waiting: &Waiting,
    ) -> Result<(Self, Begun), Delivery> {
        let (started, now) = (Instant::now(), house.clock.now());
        let held = house.casebook.hold(&waiting.line).await;
        let row = waiting_row(house, &waiting.id).await?.ok_or(Delivery::Gone)?;
        if house.trust.load().directory.active(partner).is_none() {
            return Err(Delivery::Unreachable { reason: "unknown-partner" });
        }
        let op = Op::from_name(&row.op).ok_or(Delivery::Disbelieved { reason: "unknown-op" })?;
        let kept = row.sent.clone().filter(|sent| sent.exp > now.secs() + FLIGHT);
        let row = if kept.is_some() { row } else { saying(house, row).await? };
        let question = Question { to: partner, op, business: row.business.clone(), body: row.body.clone() };
        let sent = match kept {
            Some(kept) => kept,
            None => {
                let (jti, life) = (envelope::new_message_id(), op.longest_life());
                let told = Told { house, exchange: &jti, started, now, question: &question };
                let jws = told.sign(life).map_err(|_| Delivery::Unsent)?;
                let jws = String::from_utf8(jws.into()).map_err(|_| Delivery::Unsent)?;
                Sent { jti, jws, exp: now.secs() + life }
            }
        };
        let attempts = row.attempts.saturating_add(1);
        let row = ParcelRow { attempts, sent: Some(sent.clone()), ..row };
        let attempt = Self { house: house.clone(), question, row, sent, started };
        let request = Bytes::from(attempt.sent.jws.clone());
        let entry = attempt.told().first(&request, attempt.request_digest());
        let mark = attempt.record(entry, &[Write::Parcel(attempt.row.clone())]).await?;
        Ok((attempt, Begun { mark, held }))
    }

    async fn run(self, begun: Begun) -> Delivery {
        let (request, digest) = (Bytes::from(self.sent.jws.clone()), self.request_digest());
        let told = self.told();
        // The leaf is durable: the bytes need not wait until the casebook has followed.
        let stands = async {
            let stands = self.stands(begun.mark).await;
            drop(begun.held);
            stands
        };
        let (answered, stands) = tokio::join!(told.send(request, digest), stands);
        if let Err(unrecorded) = stands {
            return unrecorded;
        }
        let answered = match answered {
            Ok((answer, _)) if answer.is_success() && !self.is_receipt(&answer.outcome) => {
                Err(AskFault::OtherReceipt)
            }
            other => other,
        };
        self.house.metrics.phase("deliver", self.started.elapsed());
        self.told().note(answered.as_ref().map(|(answer, _)| answer));
        let Ok(held) = self.house.hold_case(&self.row.line).await else { return Delivery::Unsent };
        self.end(answered, digest, held).await.unwrap_or_else(|unrecorded| unrecorded)
    }

    /// Records how it ended, with what the end changes, in one commit.
    async fn end(
        &self,
        answered: Result<(Answered, Bytes), AskFault>,
        digest: [u8; 32],
        _held: Vec<Held>,
    ) -> Result<Delivery, Delivery> {
        let entry = self.told().last(&answered, digest);
        let now = self.house.clock.now();
        // A person may have ended it meanwhile, or its case changed what it says.
        let row = waiting_row(&self.house, &self.row.id).await?.filter(|row| row.digest == self.row.digest);
        let (Some(row), delivery) = (row, delivery_of(&answered)) else {
            self.record(entry, &[]).await?;
            return Ok(Delivery::Gone);
        };
        let ended = |state, reason: Option<&str>, receipt: &Bytes| ParcelRow {
            state,
            reason: reason.map(str::to_owned),
            sent: None,
            ended: Some(now.ms()),
            receipt: Some(String::from_utf8_lossy(receipt).into_owned()),
            ..row.clone()
        };
        let (row, end) = match (&answered, delivery) {
            (Ok((answer, bytes)), Delivery::Delivered) => {
                (ended(ParcelState::Delivered, None, bytes), Some(End::Delivered(answer)))
            }
            (Ok((answer, bytes)), Delivery::Refused) => {
                let code = super::code_of(&answer.outcome).unwrap_or("unknown-code");
                (ended(ParcelState::Refused, Some(code), bytes), Some(End::Refused))
            }
            (Ok((answer, _)), _) => {
                let gap = matches!(delivery, Delivery::Gap).then_some(End::Gap(answer));
                (ParcelRow { sent: None, ..row.clone() }, gap)
            }
            // Nobody answered: the same bytes again.
            (Err(_), Delivery::Busy { .. } | Delivery::Unreachable { .. }) if !refused_the_key(&answered) => {
                self.record(entry, &[]).await?;
                return Ok(delivery);
            }
            (Err(_), _) => (ParcelRow { sent: None, ..row.clone() }, None),
        };
        let mut writes = vec![Write::Parcel(row.clone())];
        if let Some(end) = end {
            match outcome::writes(&self.house, &row, end, now).await {
                Ok(more) => writes.extend(more),
                Err(fault) => {
                    tracing::error!(target: "relay", ?fault, "a receipt cannot be applied; the parcel waits");
                    self.record(entry, &[]).await?;
                    return Ok(Delivery::Unsent);
                }
            }
        }
        let mark = self.record(entry, &writes).await?;
        self.stands(mark).await?;
        Ok(delivery)
    }

    fn told(&self) -> Told<'_> {
        Told {
            house: &self.house,
            exchange: &self.sent.jti,
            started: self.started,
            now: Now::from_secs(self.sent.exp - self.question.op.longest_life()),
            question: &self.question,
        }
    }

    fn request_digest(&self) -> [u8; 32] {
        sha256(self.sent.jws.as_bytes())
    }

    /// Is it of this parcel? The schema saw to its shape.
    fn is_receipt(&self, result: &Value) -> bool {
        let says = |name: &str, value: &Value| result.get(name) == Some(value);
        if self.question.op.is_verification() {
            return self.row.body.get("id").is_some_and(|id| says("id", id));
        }
        self.row.business.get("case").is_some_and(|case| says("case", case))
            && says("seq", &self.row.seq.into())
            && says("digest", &self.row.digest.as_str().into())
    }

    /// Leaf and writes are durable in one commit.
    async fn record(&self, entry: Entry, writes: &[Write]) -> Result<Mark, Delivery> {
        let deed = (!writes.is_empty()).then(|| Write::deed(writes));
        let entry = Entry { deed, ..entry };
        let place = self.house.ledger.record(entry).await.map_err(|_| Delivery::Unsent)?;
        Ok(place.mark)
    }

    /// What was written with the leaf there stands in the casebook.
    async fn stands(&self, mark: Mark) -> Result<(), Delivery> {
        self.house.casebook.settled(mark).await.map_err(|_| Delivery::Unsent)
    }
}

/// What the parcel says now; an end that came without the partner is written.
async fn saying(house: &House, row: ParcelRow) -> Result<ParcelRow, Delivery> {
    match house.parcel_says(row, house.clock.now()).await {
        Ok(Saying::Says(row)) => Ok(*row),
        Ok(Saying::Later(reason)) => Err(Delivery::NotYet { reason }),
        Ok(Saying::Ended(writes)) => match house.casebook.write(writes).await {
            Ok(()) => Err(Delivery::Gone),
            Err(_) => Err(Delivery::Unsent),
        },
        Err(_) => Err(Delivery::Unsent),
    }
}

async fn waiting_row(house: &House, id: &str) -> Result<Option<ParcelRow>, Delivery> {
    let row = house.casebook.get::<ParcelRow>(id).await.map_err(|fault| {
        tracing::error!(target: "relay", %fault, "a parcel cannot be read");
        Delivery::Unsent
    })?;
    Ok(row.filter(|row| row.state == ParcelState::Waiting))
}

/// What an answer, or its absence, is to the couriers.
fn delivery_of(answered: &Result<(Answered, Bytes), AskFault>) -> Delivery {
    match answered {
        Ok((answer, _)) if answer.is_success() => Delivery::Delivered,
        Ok((answer, _)) => signed_refusal(answer),
        Err(fault @ AskFault::Unsigned { status, hint, retry_after }) => {
            let reason = hint.map_or(fault.word(), Code::word);
            let busy = *status == 429 || hint.is_some_and(|code| code.retry() == Retry::After);
            let retry_after = retry_after.map(|secs| Duration::from_secs(secs.into()));
            match hint {
                _ if busy => Delivery::Busy { reason, retry_after },
                _ if *status >= 500 => Delivery::Unreachable { reason },
                // Said of the pair, not of this parcel.
                Some(Code::NotAMember | Code::SignatureInvalid) => Delivery::Unreachable { reason },
                _ => Delivery::Disbelieved { reason },
            }
        }
        Err(fault @ (AskFault::Answer(_) | AskFault::NotAsked(_) | AskFault::OtherReceipt)) => {
            Delivery::Disbelieved { reason: fault.word() }
        }
        Err(AskFault::UnknownPartner) => Delivery::Unreachable { reason: "unknown-partner" },
        // Our own pool is full.
        Err(AskFault::Send(crate::peer::SendFault::Busy) | AskFault::Ledger(_) | AskFault::Sign) => {
            Delivery::Unsent
        }
        Err(fault @ AskFault::Send(_)) => Delivery::Unreachable { reason: fault.word() },
    }
}

/// A refusal that allows another try waits for one; the others are the parcel's end. A code
/// of a later version says by its `retry` which it is.
fn signed_refusal(answer: &Answered) -> Delivery {
    let code = super::code_of(&answer.outcome).and_then(Code::from_word);
    if code == Some(Code::SequenceGap) {
        return Delivery::Gap;
    }
    let says = |retry: Retry| answer.outcome.get("retry").is_some_and(|said| said == retry.word());
    let retry = match code {
        Some(code) => code.retry(),
        None if says(Retry::After) => Retry::After,
        None if says(Retry::Yes) => Retry::Yes,
        None => Retry::No,
    };
    let reason = code.map_or("unknown-code", Code::word);
    let seconds = answer.retry_after.map(|secs| Duration::from_secs(secs.into()));
    match retry {
        Retry::No => Delivery::Refused,
        Retry::Yes => Delivery::Later { reason, retry_after: None },
        Retry::After => Delivery::Later { reason, retry_after: seconds },
    }
}

/// Our key was renewed since the message was signed: sent again it would be refused again.
fn refused_the_key(answered: &Result<(Answered, Bytes), AskFault>) -> bool {
    matches!(answered, Err(AskFault::Unsigned { hint: Some(Code::SignatureInvalid), .. }))
}
