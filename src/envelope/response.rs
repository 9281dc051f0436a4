//! The answer of a partner (protocol §3.2): the asking side's checks, in the text's order, after
//! which, and only then, a word of it is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::claims::Op;
use super::jws::{EnvelopeFault, SignedMessage, Typ};
use super::times::{self, TimeFault};
use crate::clock::Now;
use crate::fault::Fault;
use crate::keys::KeySet;
use crate::schema::{Admissible, Catalog, Kind};

/// Claims of a response, Rust twin of `schemas/response.json`. Exactly one of `result` and
/// `problem` is there.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseClaims {
    pub ver: i64,
    pub iss: String,
    pub aud: String,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    pub req: RequestReference,
    pub op: String,
    pub status: u16,
    pub result: Option<Value>,
    pub problem: Option<Value>,
    pub log: LogPlace,
}

impl Admissible for ResponseClaims {
    const KIND: Kind = Kind::Response;
}

/// Which request is answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RequestReference {
    pub jti: String,
    /// base64url SHA-256 of the exact request body bytes.
    pub digest: String,
}

/// Where the answering side's ledger holds this exchange.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogPlace {
    pub origin: String,
    pub index: u64,
    /// base64url leaf hash.
    pub leaf: String,
}

/// What was asked, and of whom: everything an answer must fit.
pub struct Asked<'a> {
    /// The answering member's `urn:tongban:gw:…`.
    pub member: &'a str,
    /// That member's gateway keys.
    pub keys: &'a KeySet,
    /// Our own `urn:tongban:gw:…`.
    pub me: &'a str,
    pub jti: &'a str,
    pub op: &'a str,
    /// SHA-256 of the exact request body bytes.
    pub request_digest: &'a [u8; 32],
}

/// Why an answer is not believed: the first check that failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    #[error(transparent)]
    Envelope(EnvelopeFault),
    #[error("iss is not the member that was asked")]
    Issuer,
    #[error("aud is not this gateway")]
    Audience,
    #[error("req.jti is not the request's")]
    RequestId,
    #[error("req.digest is not the request's")]
    RequestDigest,
    #[error("status is not the HTTP status")]
    Status,
    #[error(transparent)]
    Time(TimeFault),
    #[error("the claims do not meet the response schema")]
    Schema(Vec<Fault>),
    #[error("op is not the request's")]
    Op,
    #[error("the promise is in no ledger of the member that was asked")]
    Origin,
}

impl ResponseFault {
    /// A stable word for log, ledger and the local door.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Envelope(EnvelopeFault::TooLarge) => "too-large",
            Self::Envelope(EnvelopeFault::Malformed(reason)) => reason.word(),
            Self::Envelope(EnvelopeFault::Signature(reason)) => reason.word(),
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::RequestId => "request-jti",
            Self::RequestDigest => "request-digest",
            Self::Status => "status",
            Self::Time(_) => "times",
            Self::Schema(_) => "schema",
            Self::Op => "op",
            Self::Origin => "origin",
        }
    }
}

/// Shape, typ, kid, signature, `iss`, `aud`, `req.jti`, `req.digest`, `status` = HTTP status,
/// times, schema, op, whose ledger promises, the result's own schema.
pub fn check_response(
    body: &[u8],
    http_status: u16,
    asked: &Asked<'_>,
    now: Now,
) -> Result<ResponseClaims, ResponseFault> {
    let opened = SignedMessage::parse(body)
        .and_then(|message| message.open(Typ::Response, asked.keys, now))
        .map_err(ResponseFault::Envelope)?;
    let claim = |pointer| opened.payload.pointer(pointer);
    let says = |pointer, expected: &str| claim(pointer).is_some_and(|value| value == expected);
    if !says("/iss", asked.member) {
        return Err(ResponseFault::Issuer);
    }
    if !says("/aud", asked.me) {
        return Err(ResponseFault::Audience);
    }
    if !says("/req/jti", asked.jti) {
        return Err(ResponseFault::RequestId);
    }
    if !says("/req/digest", &URL_SAFE_NO_PAD.encode(asked.request_digest)) {
        return Err(ResponseFault::RequestDigest);
    }
    if claim("/status").and_then(Value::as_i64) != Some(i64::from(http_status)) {
        return Err(ResponseFault::Status);
    }
    let seconds = |pointer| claim(pointer).and_then(Value::as_i64);
    // Times that are no integers are the schema's to refuse.
    if let (Some(iat), Some(exp)) = (seconds("/iat"), seconds("/exp")) {
        times::check(iat, exp, now, times::MOST_LIFE).map_err(ResponseFault::Time)?;
    }
    let claims: ResponseClaims =
        Catalog::embedded().admit(&opened.payload).map_err(ResponseFault::Schema)?.into_inner();
    times::exp_after_iat(claims.iat, claims.exp).map_err(|fault| ResponseFault::Schema(vec![fault]))?;
    one_of_result_and_problem(&claims)?;
    if claims.op != asked.op {
        return Err(ResponseFault::Op);
    }
    if !is_ledger_of(asked.member, &claims.log.origin) {
        return Err(ResponseFault::Origin);
    }
    outcome_of_its_op(&claims)?;
    Ok(claims)
}

/// Whoever answers promises a place in a ledger of its own; another's proves nothing.
fn is_ledger_of(member: &str, origin: &str) -> bool {
    let region = member.strip_prefix("urn:tongban:gw:");
    let half = region.and_then(|region| origin.strip_prefix("tongban/")?.strip_prefix(region));
    half.is_some_and(|half| half.starts_with('/'))
}

/// A problem says the status it came with. An op succeeds with its own status only, and its
/// result has its own schema: what it lacks or has too much the caller would take for a fact.
fn outcome_of_its_op(claims: &ResponseClaims) -> Result<(), ResponseFault> {
    let fault = |pointer: &str| {
        let words = ("is not the status of this outcome", "与应答结果的状态不符");
        Err(ResponseFault::Schema(vec![Fault::new(pointer, "status", words.0, words.1)]))
    };
    let Some(result) = &claims.result else {
        let says = claims.problem.as_ref().and_then(|problem| problem.get("status"));
        return if says == Some(&Value::from(claims.status)) { Ok(()) } else { fault("/problem/status") };
    };
    let op = Op::from_name(&claims.op);
    if op.is_some_and(|op| claims.status != op.success_status()) {
        return fault("/status");
    }
    let Err(mut faults) =
        op.and_then(result_of).map_or(Ok(()), |kind| Catalog::embedded().check(kind, result))
    else {
        return Ok(());
    };
    // "Not found" without the ways on says less, but nothing wrong.
    faults.retain(|fault| (fault.pointer.as_str(), fault.rule.as_ref()) != ("/ways", "required"));
    if faults.is_empty() {
        return Ok(());
    }
    Err(ResponseFault::Schema(faults.into_iter().map(|fault| fault.under("/result")).collect()))
}

const fn result_of(op: Op) -> Option<Kind> {
    match op {
        Op::Ping => None,
        Op::LicenseQuery => Some(Kind::LicenseResult),
        Op::ApplicationSubmit | Op::ApplicationEvent => Some(Kind::ApplicationReceipt),
        Op::ApplicationStatus => Some(Kind::ApplicationStatusResult),
        Op::VerificationRequest | Op::VerificationAnswer => Some(Kind::VerificationReceipt),
        Op::LedgerReconcile => Some(Kind::ReconcileResult),
    }
}

/// A success has a result and no problem, a refusal the other way round.
fn one_of_result_and_problem(claims: &ResponseClaims) -> Result<(), ResponseFault> {
    let success = (200..300).contains(&claims.status);
    if claims.result.is_some() == success && claims.problem.is_none() == success {
        Ok(())
    } else {
        let fault = Fault::new(
            "",
            "result-or-problem",
            "has a result if and only if it succeeded",
            "成功时且仅成功时才有 result",
        );
        Err(ResponseFault::Schema(vec![fault]))
    }
}
