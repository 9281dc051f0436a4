//! Our request to a partner: record, sign, send, verify the signed answer, record, return.
//!
//! Promises: `out.sent` is durable before a byte leaves, its end (`out.done` or
//! `out.failed`) before the caller hears anything; not a word of an answer is believed
//! before every check of protocol §3.2. After a crash every `out.sent` gets its end.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{self, Expected, Op, ResponseClaims, ResponseFault, Typ};
use crate::house::House;
use crate::ledger::{Entry, Leaf, LeafKind, RecordFault, sha256};
use crate::peer::SendFault;
use crate::telemetry::ExchangeLabels;

/// Seconds a request lives: the caller waits for the answer.
const LIFE: i64 = 60;

/// What we ask: the members of protocol §3.1 that a caller knows.
#[derive(Clone, Debug)]
pub struct Question {
    pub to: Region,
    pub op: Op,
    /// `item basis purpose operator agreement` and, where given, `case authorization`.
    pub business: Map<String, Value>,
    pub body: Value,
}

/// A partner's signed answer, verified and recorded.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The exchange id: our request's `jti`.
    pub exchange: String,
    pub partner: Region,
    pub status: u16,
    /// The result (200) or the partner's signed problem.
    pub outcome: Value,
    /// The partner's promise (protocol §3.2).
    pub log: Value,
}

/// Why there is no signed answer.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    #[error("no active partner of that region")]
    UnknownPartner,
    #[error("the request cannot be recorded")]
    Ledger(RecordFault),
    #[error("the request cannot be signed")]
    Sign,
    #[error("the request did not reach the partner or its answer did not reach us")]
    Send(#[from] SendFault),
    #[error("the partner's answer fails a check")]
    Answer(#[from] ResponseFault),
    /// An unsigned refusal: a hint for retrying, never a business fact.
    #[error("the partner refused without a signature")]
    Unsigned { status: u16, hint: Option<crate::answer::Code>, retry_after: Option<u32> },
}

impl AskFault {
    /// The word for ledger, log and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::UnknownPartner => "unknown-partner",
            Self::Ledger(_) => "ledger-unavailable",
            Self::Sign => "signing-failed",
            Self::Send(SendFault::Timeout) => "partner-timeout",
            Self::Send(_) => "partner-unreachable",
            Self::Answer(_) => "partner-answer-invalid",
            Self::Unsigned { .. } => "partner-refused",
        }
    }
}

/// Asks and waits for the verified answer. Spawn it: once sent it must be brought to its end.
pub async fn ask(house: Arc<House>, question: Question) -> Result<Answered, (Option<String>, AskFault)> {
    let started = Instant::now();
    let now = house.clock.now();
    let to = question.to;
    if !house.trust.load().directory.is_active(to) {
        return Err((None, AskFault::UnknownPartner));
    }
    let exchange = envelope::new_message_id();
    let told = Told { house: &house, exchange: &exchange, started, now, question: &question };
    let outcome = told.run().await;
    house.metrics.phase("ask", started.elapsed());
    told.note(&outcome);
    outcome.map_err(|fault| (Some(exchange.clone()), fault))
}

/// One exchange of ours between its first leaf and its last.
struct Told<'a> {
    house: &'a Arc<House>,
    exchange: &'a str,
    started: Instant,
    now: Now,
    question: &'a Question,
}

impl Told<'_> {
    async fn run(&self) -> Result<Answered, AskFault> {
        let request = self.sign()?;
        let digest = sha256(&request);
        self.record(Leaf { rq: Some(digest), sz: Some(request.len() as u64), ..self.leaf(LeafKind::OutSent) })
            .await?;
        let answered = self.send(request, digest).await;
        let ms = Some(self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        let last = match &answered {
            Ok((answer, response)) => Leaf {
                rs: Some(sha256(response)),
                status: Some(answer.status),
                code: code_of(&answer.outcome),
                dec: Some(if answer.status == 200 { "permit" } else { "deny" }),
                rq: Some(digest),
                sz: Some(response.len() as u64),
                ms,
                ..self.leaf(LeafKind::OutDone)
            },
            Err(fault) => {
                Leaf { code: Some(fault.word()), rq: Some(digest), ms, ..self.leaf(LeafKind::OutFailed) }
            }
        };
        self.record(last).await?;
        answered.map(|(answer, _)| answer)
    }

    fn sign(&self) -> Result<Bytes, AskFault> {
        let mut claims = Map::new();
        let iat = self.now.secs();
        claims.insert("ver".into(), 1.into());
        claims.insert("iss".into(), self.house.me.gateway_urn().into());
        claims.insert("aud".into(), self.question.to.gateway_urn().into());
        claims.insert("iat".into(), iat.into());
        claims.insert("exp".into(), (iat + LIFE).into());
        claims.insert("jti".into(), self.exchange.into());
        claims.insert("op".into(), self.question.op.name().into());
        for (name, value) in &self.question.business {
            claims.insert(name.clone(), value.clone());
        }
        claims.insert("body".into(), self.question.body.clone());
        let key = self.house.signing.load();
        let request =
            envelope::seal(&key, Typ::Request, &Value::Object(claims)).map_err(|_| AskFault::Sign)?;
        Ok(request.into())
    }

    async fn send(&self, request: Bytes, digest: [u8; 32]) -> Result<(Answered, Bytes), AskFault> {
        let to = self.question.to;
        let sent = self.house.clients.post_exchange(to, request).await?;
        if !sent.signed {
            let hint = unsigned_hint(&sent.body);
            return Err(AskFault::Unsigned { status: sent.status, hint, retry_after: sent.retry_after });
        }
        let trust = self.house.trust.load();
        let member = trust.directory.active(to).ok_or(AskFault::UnknownPartner)?;
        let claims: ResponseClaims = envelope::check_response(
            &sent.body,
            &Expected {
                from: to,
                me: self.house.me,
                request_jti: self.exchange,
                request_digest: digest,
                http_status: sent.status,
            },
            &member.keys,
            self.house.catalog,
            self.house.clock.now(),
        )?;
        let answered = Answered {
            exchange: self.exchange.to_owned(),
            partner: to,
            status: claims.status,
            outcome: claims.outcome(),
            log: claims.log_json(),
        };
        Ok((answered, sent.body))
    }

    fn leaf(&self, kind: LeafKind) -> Leaf {
        let text = |name: &str| self.question.business.get(name).and_then(Value::as_str);
        Leaf {
            x: Some(self.exchange.to_owned()),
            peer: Some(self.question.to),
            op: Some(self.question.op.name().to_owned()),
            item: text("item").map(str::to_owned),
            lt: self
                .question
                .body
                .pointer("/license/type")
                .and_then(Value::as_str)
                .filter(|code| self.house.catalog.license_type(code).is_some())
                .map(str::to_owned),
            case: text("case").map(|case| self.house.ledger.tag("case", case)),
            ..Leaf::new(kind, self.house.me, self.house.clock.now())
        }
    }

    async fn record(&self, leaf: Leaf) -> Result<(), AskFault> {
        let entry = Entry { leaf, used_id: None, take_use: None };
        self.house.ledger.record(entry).await.map(drop).map_err(AskFault::Ledger)
    }

    fn note(&self, outcome: &Result<Answered, AskFault>) {
        let code = match outcome {
            Ok(answer) => code_of(&answer.outcome).unwrap_or("ok"),
            Err(fault) => fault.word(),
        };
        let op = self.question.op.name();
        let labels =
            ExchangeLabels { direction: "out", partner: self.question.to.to_string(), op, code };
        self.house.metrics.exchanges.get_or_create(&labels).inc();
        tracing::info!(
            target: "exchange",
            direction = "out",
            x = self.exchange,
            peer = self.question.to.as_str(),
            op,
            code,
            reason = if let Err(AskFault::Answer(fault)) = outcome { fault.word() } else { "" },
            status = outcome.as_ref().map_or(0, |a| a.status),
            us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
    }
}

/// The refusal code a signed problem carries, as one of our own fixed words.
fn code_of(outcome: &Value) -> Option<&'static str> {
    outcome.get("code").and_then(Value::as_str).and_then(crate::answer::Code::from_word).map(|c| c.word())
}

/// What an unsigned problem seems to say; only a known code word is taken from it.
fn unsigned_hint(body: &[u8]) -> Option<crate::answer::Code> {
    let problem = crate::json::parse(body).ok()?;
    crate::answer::Code::from_word(problem.get("code")?.as_str()?)
}

/// At start: gives every `out.sent` of a crashed run its end.
pub async fn close_open_sends(
    house: &House,
    open: Vec<crate::ledger::OpenSend>,
) -> Result<usize, RecordFault> {
    let count = open.len();
    for send in open {
        let leaf = Leaf {
            x: Some(send.x),
            peer: send.peer,
            op: send.op,
            code: Some("unknown-crash"),
            ..Leaf::new(LeafKind::OutFailed, house.me, house.clock.now())
        };
        house.ledger.record(Entry { leaf, used_id: None, take_use: None }).await?;
    }
    Ok(count)
}
