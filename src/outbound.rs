//! Our request to a partner: record, sign, send, verify the signed answer, record, return.
//!
//! Promises: `out.sent` is durable before a byte leaves, its end (`out.done` or
//! `out.failed`) before the caller hears anything; not a word of an answer is believed
//! before every check of protocol §3.2, nor one that tells more than
//! was asked. After a crash every `out.sent` gets its end.

pub mod outcome;
pub mod parcel;
pub mod promised;
pub mod reconcile;
pub mod redeem;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::digest as sha256;
use crate::envelope::{self, Asked, Op, ResponseFault, Typ};
use crate::house::{House, subjects};
use crate::ledger::evidence::Evidence;
use crate::ledger::{Decision, Entry, Leaf, LeafHash, LeafKind, RecordFault};
use crate::license::{self, NotAsked};
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
    /// The result (2xx) or the partner's signed problem.
    pub outcome: Value,
    /// Seconds, from the answer's `Retry-After`: a hint, unsigned.
    pub retry_after: Option<u32>,
    /// The partner's promise (protocol §3.2).
    pub log: Value,
    /// Base64 of the DER of the certificate the partner showed.
    pub certificate: Bytes,
}

impl Answered {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
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
    #[error("the partner's receipt is of something else")]
    OtherReceipt,
    #[error("the partner's answer tells more than was asked")]
    NotAsked(#[from] NotAsked),
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
            Self::Answer(_) | Self::NotAsked(_) | Self::OtherReceipt => "partner-answer-invalid",
            Self::Unsigned { .. } => "partner-refused",
        }
    }

    /// Which check an answer failed; empty where there was none to check.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Answer(fault) => fault.word(),
            Self::NotAsked(fault) => fault.word(),
            Self::OtherReceipt => "receipt",
            _ => "",
        }
    }
}

/// Asks and waits for the verified answer. Spawn it: once sent it must be brought to its end.
pub async fn ask(house: Arc<House>, question: Question) -> Result<Answered, (Option<String>, AskFault)> {
    let started = Instant::now();
    let now = house.clock.now();
    let to = question.to;
    if house.trust.load().directory.active(to).is_none() {
        return Err((None, AskFault::UnknownPartner));
    }
    let exchange = envelope::new_message_id();
    let told = Told { house: &house, exchange: &exchange, started, now, question: &question };
    let outcome = told.run().await;
    house.metrics.phase("ask", started.elapsed());
    told.note(outcome.as_ref());
    outcome.map_err(|fault| (Some(exchange.clone()), fault))
}

/// One exchange of ours between its first leaf and its last.
struct Told<'a> {
    house: &'a Arc<House>,
    exchange: &'a str,
    started: Instant,
    /// When the request is, or was, signed.
    now: Now,
    question: &'a Question,
}

impl Told<'_> {
    async fn run(&self) -> Result<Answered, AskFault> {
        let request = self.sign(LIFE)?;
        let digest = sha256(&request);
        self.record(self.first(&request, digest)).await?;
        let answered = self.send(request, digest).await;
        self.record(self.last(&answered, digest)).await?;
        answered.map(|(answer, _)| answer)
    }

    /// What is recorded before a byte leaves.
    fn first(&self, request: &Bytes, digest: [u8; 32]) -> Entry {
        let sz = vec![octets(request)];
        let leaf = Leaf { rq: Some(LeafHash(digest)), sz, ..self.leaf(LeafKind::OutSent) };
        let evidence = Some(Evidence { request: Some(request.clone()), ..self.evidence() });
        Entry { evidence, ..leaf.into() }
    }

    /// What is recorded before the caller hears anything.
    fn last(&self, answered: &Result<(Answered, Bytes), AskFault>, digest: [u8; 32]) -> Entry {
        let ms = vec![self.started.elapsed().as_millis().try_into().unwrap_or(u32::MAX)];
        let (answer, response) = match answered {
            Ok(answered) => answered,
            Err(fault) => {
                let code = Some(fault.word().to_owned());
                return Leaf { code, rq: Some(LeafHash(digest)), ms, ..self.leaf(LeafKind::OutFailed) }
                    .into();
            }
        };
        let leaf = Leaf {
            rs: Some(LeafHash(sha256(response))),
            rd: Some(LeafHash(sha256(&crate::json::jcs(&answer.outcome)))),
            pl: serde_json::from_value(answer.log.clone()).ok(),
            status: Some(answer.status),
            code: code_of(&answer.outcome).map(str::to_owned),
            dec: Some(if answer.is_success() { Decision::Permit } else { Decision::Deny }),
            rq: Some(LeafHash(digest)),
            sz: vec![octets(response)],
            ms,
            ..self.leaf(LeafKind::OutDone)
        };
        let mut evidence = Evidence {
            response: Some(response.clone()),
            certificate: Some(answer.certificate.clone()),
            ..self.evidence()
        };
        subjects::of_result(&answer.outcome, &mut evidence.subjects);
        Entry { evidence: Some(evidence), ..leaf.into() }
    }

    fn evidence(&self) -> Evidence {
        let text = |name: &str| self.question.business.get(name).and_then(Value::as_str);
        let body = &self.question.body;
        let subjects = subjects::of_message(self.house.me, text("case"), text("operator"), body);
        Evidence { subjects, ..Evidence::new(subjects::class_of(Some(self.question.op))) }
    }

    /// `life` in seconds.
    fn sign(&self, life: i64) -> Result<Bytes, AskFault> {
        let mut claims = Map::new();
        let iat = self.now.secs();
        claims.insert("ver".into(), 1.into());
        claims.insert("iss".into(), self.house.me.gateway_urn().into());
        claims.insert("aud".into(), self.question.to.gateway_urn().into());
        claims.insert("iat".into(), iat.into());
        claims.insert("exp".into(), (iat + life).into());
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
        let asked = Asked {
            member: &to.gateway_urn(),
            keys: member.keys(),
            me: &self.house.me.gateway_urn(),
            jti: self.exchange,
            op: self.question.op.name(),
            request_digest: &digest,
        };
        let claims = envelope::check_response(&sent.body, sent.status, &asked, self.house.clock.now())?;
        if let (Op::LicenseQuery, Some(result)) = (self.question.op, &claims.result) {
            license::fits(&self.question.body, result)?;
        }
        let log = json!({"origin": claims.log.origin, "index": claims.log.index, "leaf": claims.log.leaf});
        let answered = Answered {
            exchange: self.exchange.to_owned(),
            partner: to,
            status: claims.status,
            // The schema saw to it that one of the two is there.
            outcome: claims.result.or(claims.problem).unwrap_or_default(),
            retry_after: sent.retry_after,
            log,
            certificate: sent.certificate,
        };
        Ok((answered, sent.body))
    }

    fn leaf(&self, kind: LeafKind) -> Leaf {
        let text = |name: &str| self.question.business.get(name).and_then(Value::as_str);
        Leaf {
            x: Some(self.exchange.to_owned()),
            iat: Some(self.now.secs()),
            peer: Some(self.question.to.to_string()),
            op: Some(self.question.op.name().to_owned()),
            item: text("item").map(str::to_owned),
            lt: self
                .question
                .body
                .pointer("/license/type")
                .and_then(Value::as_str)
                .filter(|code| self.house.catalog.license_type(code).is_some())
                .map(str::to_owned),
            case: text("case").map(|case| self.house.ledger.case_tag(case)),
            ..Leaf::new(kind)
        }
    }

    async fn record(&self, entry: Entry) -> Result<(), AskFault> {
        self.house.ledger.record(entry).await.map(drop).map_err(AskFault::Ledger)
    }

    fn note(&self, outcome: Result<&Answered, &AskFault>) {
        let code = match outcome {
            Ok(answer) => code_of(&answer.outcome).unwrap_or("ok"),
            Err(fault) => fault.word(),
        };
        let op = self.question.op.name();
        let labels = ExchangeLabels { direction: "out", partner: self.question.to.to_string(), op, code };
        self.house.metrics.exchanges.get_or_create(&labels).inc();
        tracing::info!(
            target: "exchange",
            direction = "out",
            x = self.exchange,
            peer = self.question.to.as_str(),
            op,
            code,
            reason = outcome.err().map_or("", AskFault::reason),
            status = outcome.map_or(0, |answer| answer.status),
            us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
    }
}

fn octets(bytes: &[u8]) -> u32 {
    bytes.len().try_into().unwrap_or(u32::MAX)
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
            x: send.leaf.x,
            peer: send.leaf.peer,
            op: send.leaf.op,
            item: send.leaf.item,
            lt: send.leaf.lt,
            case: send.leaf.case,
            iat: send.leaf.iat,
            rq: send.leaf.rq,
            code: Some("unknown-crash".into()),
            ..Leaf::new(LeafKind::OutFailed)
        };
        house.ledger.record(leaf.into()).await?;
    }
    Ok(count)
}
