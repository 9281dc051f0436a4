//! The same message again (protocol §3.4): for what must arrive, the first answer again, byte
//! for byte.
//!
//! The outcome becomes durable with the leaf; the signed bytes are stored before they leave.
//! A crash between the two left nothing to repeat: the outcome is signed then, for the first
//! time, with the place it was promised.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::{Answer, Exchange};
use crate::answer::{self, Code, Reply};
use crate::casebook::{AnswerRow, Held, PlaceRow, Write};
use crate::ledger::{Mark, Shard};

/// How long a repeat waits for the first to be answered; its sender tries again.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// Between the judgement of the first and its line lie no more than some instructions.
const NEXT_LOOK: Duration = Duration::from_millis(2);

/// The line that the first of several equal messages holds.
fn line(key: &[u8; 16]) -> String {
    format!("answer:{}", hex::encode(key))
}

impl Exchange<'_> {
    /// The key of a used id whose message may come again.
    pub(super) fn repeatable_id(&self) -> Option<[u8; 16]> {
        let (id, op) = self.seen.claim.as_ref().zip(self.seen.op)?;
        op.is_repeatable().then(|| id.used().key)
    }

    /// Whoever sends the same again waits until this answer, or this refusal, stands.
    pub(super) async fn hold_off_repeats(&self, key: [u8; 16]) -> Held {
        self.house.casebook.hold(&line(&key)).await
    }

    pub(super) async fn again(&mut self, key: &[u8; 16]) -> Answer {
        let (house, began) = (self.house.clone(), Instant::now());
        let casebook = &house.casebook;
        while began.elapsed() < MOST_WAIT {
            let Ok(held) = tokio::time::timeout(MOST_WAIT, casebook.hold(&line(key))).await else { break };
            match casebook.answer(&hex::encode(key)).await {
                Ok(Some(row)) => return self.told_again(row).await,
                // The first was not answered: its id is free again.
                Ok(None) if !house.replay.is_used(key) => break,
                // The first is judged and has not come to its line yet.
                Ok(None) => {}
                Err(_) => return self.unsigned(Code::LedgerUnavailable.into()),
            }
            drop(held);
            tokio::time::sleep(NEXT_LOOK).await;
        }
        self.unsigned(Code::Overloaded.into())
    }

    async fn told_again(&mut self, row: AnswerRow) -> Answer {
        let (status, retry_after) = (row.status, row.retry_after);
        let signed = match &row.signed {
            Some(signed) => Some(Bytes::from(signed.clone())),
            None => self.signed_late(row).await,
        };
        match signed {
            Some(body) => {
                // Repeats are counted as such, whatever their first answer was.
                self.note(Some(&Code::Replay.into()), status, None);
                Answer { status, signed: true, retry_after, body, refusal: None, step: None }
            }
            None => self.unsigned(Code::LedgerUnavailable.into()),
        }
    }

    /// Signs what a crash left unsigned, and stores it before it leaves.
    async fn signed_late(&self, row: AnswerRow) -> Option<Bytes> {
        let place = row.place.as_ref()?;
        let mark = Mark { shard: Shard::parse(&place.shard)?, index: place.index };
        let ledger = self.house.ledger.clone();
        // Reading the store blocks.
        let place = tokio::task::spawn_blocking(move || ledger.place_of(mark)).await.ok()?.ok()??;
        let body = answer::Response {
            me: self.house.me,
            to: self.peer,
            now: self.now,
            request_jti: Some(&row.jti),
            request_digest: self.digest(),
            op: self.seen.op.map_or("unknown", |op| op.name()),
            status: row.status,
            outcome: &row.outcome,
            place: &place,
        }
        .sign(&self.house.signing.load())
        .ok()?;
        let signed = Some(String::from_utf8(body.clone()).ok()?);
        self.house.casebook.write(vec![Write::Answer(AnswerRow { signed, ..row })]).await.ok()?;
        Some(body.into())
    }

    /// What must be kept of an answer that may be asked for again.
    pub(super) fn answer_row(&self, reply: &Reply, outcome: &Value) -> Option<AnswerRow> {
        let op = self.seen.op.filter(|op| op.is_repeatable())?;
        let used = self.seen.claim.as_ref()?.used();
        Some(AnswerRow {
            key: hex::encode(used.key),
            expires: used.expires,
            op: op.name().to_owned(),
            jti: self.seen.jti.clone()?,
            status: reply.status(),
            outcome: outcome.clone(),
            retry_after: reply.refusal().and_then(|refusal| refusal.retry_after),
            place: None,
            signed: None,
        })
    }

    /// Stores the signed bytes; `false` when they must not leave.
    pub(super) async fn keep_answer(&self, row: AnswerRow, answer: &Answer, at: Mark) -> bool {
        let Some(signed) = answer.signed.then(|| String::from_utf8(answer.body.to_vec()).ok()).flatten()
        else {
            return true;
        };
        // The deed is carried first: the casebook takes both in order.
        let place = Some(PlaceRow { shard: at.shard.to_string(), index: at.index });
        let row = AnswerRow { signed: Some(signed), place, ..row };
        self.house.casebook.write(vec![Write::Answer(row)]).await.is_ok()
    }
}
