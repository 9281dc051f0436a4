//! The checks of protocol §3.4, one after the other, first failure decides. The door and
//! `explain` run this same code; only the [`Memory`] behind it differs.
//!
//! Promises: pure apart from the memory, no await, nothing decided from unverified bytes.

mod application;
mod license;

use serde_json::Value;

use crate::answer::{Code, Refusal};
use crate::authorization::{Authorities, Authorizer, Consent, StatusLists};
use crate::casework::{Answered, CaseAsked, Question};
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{
    self, Claim, EnvelopeFault, FreshId, MOST_SHORT_MESSAGE_BYTES, Op, Opened, Replay, RequestClaims,
    SignedMessage, Typ, times,
};
use crate::fault::Fault;
use crate::house::subjects;
use crate::ledger::evidence::Subject;
use crate::license::LicenseQuery;
use crate::peer::PeerIdentity;
use crate::policy::{Grant, LicensePermit, Limited, Policy, QuotaPermit};
use crate::reconcile::Proposal;
use crate::schema::{Catalog, LicenseType};

use super::steps::Step;

/// The largest integer that every reader of JSON keeps (RFC 8785 §3.2.2.3).
const MOST_EXACT: i64 = 1 << 53;

/// Seconds an id is remembered at most for a refusal before the first-use step, whose `exp` may
/// say anything: as long as the ledger's month files are read back at a start.
const LONGEST_MEMORY: i64 = 28 * 86_400;

/// What the judge may remember between requests. The door's memory is durable; `explain`
/// takes ids and uses as fresh.
pub trait Memory {
    /// Claims `(iss, jti)` for this content until `keep_until` (seconds).
    fn first_use(&self, iss: &str, jti: &str, content: &[u8; 32], keep_until: i64, now: Now) -> Claim;
    /// A place under the agreement's quota.
    fn quota(&self, grant: &Grant, peer: Region, now: Now) -> Result<QuotaPermit, Limited>;
    /// How often the authorization with this id has been used.
    fn uses(&self, token: &[u8; 32]) -> u32;
}

/// Everything the judge looks at besides the message: one consistent view.
pub struct Bench<'a> {
    pub me: Region,
    pub policy: &'a Policy,
    pub authorities: &'a Authorities,
    pub status_lists: &'a StatusLists,
    pub authorizer: &'a Authorizer,
    pub catalog: &'static Catalog,
    pub now: Now,
}

/// What became known about a request on its way, for the answer and the ledger.
#[derive(Default)]
pub struct Seen {
    /// The signature was verified: from here on every refusal is recorded.
    pub verified: bool,
    /// SHA-256 of the exact request body, once it was verified.
    pub digest: Option<[u8; 32]>,
    pub jti: Option<String>,
    pub op: Option<Op>,
    pub item: Option<String>,
    pub case: Option<String>,
    pub license_type: Option<String>,
    /// Seconds, as the request says.
    pub iat: Option<i64>,
    /// What the exchange can be found by.
    pub subjects: Vec<Subject>,
    pub agreement: Option<[u8; 32]>,
    pub authorization: Option<[u8; 32]>,
    /// The right to the message id, to be made durable with the leaf or given back.
    pub claim: Option<FreshId>,
    /// Held until the answer is on its way.
    pub quota: Option<QuotaPermit>,
}

/// A request that passed every check.
pub enum Asked {
    Ping,
    /// A window of both ledgers to compare.
    Reconcile(Box<Proposal>),
    License(Box<LicenseAsked>),
    /// Something about a case.
    Case(Box<CaseAsked>),
    /// A question for a department here, and a department's answer to one of ours with its body.
    Question(Box<Question>),
    Answer(Box<Answered>),
    /// What must arrive came before, saying the same: its first answer again. The key is the
    /// used id's.
    Again([u8; 16]),
}

pub struct LicenseAsked {
    pub query: LicenseQuery,
    pub license_type: &'static LicenseType,
    pub permit: LicensePermit,
    pub consent: Option<Consent>,
}

/// Where and why a request was stopped.
#[derive(Debug)]
pub struct Stopped {
    pub step: Step,
    pub refusal: Refusal,
}

/// Shorthand: the step at which whatever goes wrong is filed.
trait At<T> {
    fn at(self, step: Step) -> Result<T, Stopped>;
}

impl<T, E: Into<Refusal>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Stopped> {
        self.map_err(|fault| Stopped { step, refusal: fault.into() })
    }
}

fn stop<T>(step: Step, refusal: impl Into<Refusal>) -> Result<T, Stopped> {
    Err(Stopped { step, refusal: refusal.into() })
}

/// Runs every check on the exact received `body`.
pub fn judge(
    bench: &Bench<'_>,
    peer: &PeerIdentity,
    body: &[u8],
    memory: &impl Memory,
    seen: &mut Seen,
) -> Result<Asked, Stopped> {
    let mut opened = open(bench, peer, body)?;
    seen.verified = true;
    seen.digest = Some(opened.message_digest);
    let exp = opened.payload.get("exp").and_then(Value::as_i64).unwrap_or(0);
    match claims_and_body(bench, peer, body, &mut opened, memory, seen) {
        Err(stopped) if stopped.step < Step::FirstUse && stopped.refusal.is_signed() => {
            use_up(bench, peer, &opened, exp, memory, seen)?;
            Err(stopped)
        }
        judged => judged,
    }
}

/// Everything after the signature and the strict payload.
fn claims_and_body(
    bench: &Bench<'_>,
    peer: &PeerIdentity,
    body: &[u8],
    opened: &mut Opened,
    memory: &impl Memory,
    seen: &mut Seen,
) -> Result<Asked, Stopped> {
    within_op_size(&opened.payload, body.len(), seen)?;
    let claims = envelope(bench, std::mem::take(&mut opened.payload), seen)?;
    seen.subjects =
        subjects::of_message(peer.region(), claims.case.as_deref(), claims.operator.as_deref(), &claims.body);
    addressed(bench, peer, &claims)?;
    in_time(bench, &claims)?;
    if let Some(again) = first_use(bench, &claims, opened, memory, seen)? {
        return Ok(again);
    }
    match claims.op {
        Op::Ping => {
            bench.catalog.admit::<envelope::PingBody>(&claims.body).map_err(body_faults).at(Step::Body)?;
            return Ok(Asked::Ping);
        }
        Op::LedgerReconcile => return window(bench, &claims.body),
        _ => {}
    }
    let grant = bench
        .policy
        .authorize(&claims, &peer.region(), &bench.me, bench.now.shanghai_day())
        .at(Step::Agreement)?;
    seen.agreement = Some(*grant.agreement().digest());
    seen.quota = Some(memory.quota(&grant, peer.region(), bench.now).at(Step::Agreement)?);
    if claims.op == Op::LicenseQuery {
        return license::license(bench, peer, &claims, opened, &grant, memory, seen);
    }
    application::application(bench, peer.region(), claims, &grant)
}

/// A window to compare; whether it is over is told by our clock.
fn window(bench: &Bench<'_>, body: &Value) -> Result<Asked, Stopped> {
    let proposal: Proposal = bench.catalog.admit(body).map_err(body_faults).at(Step::Body)?.into_inner();
    if let Err(fault) = proposal.window.check(bench.now) {
        let [pointer, rule, message, message_zh] = fault.told();
        return stop(Step::Body, body_faults(vec![Fault::new(pointer, rule, message, message_zh)]));
    }
    Ok(Asked::Reconcile(Box::new(proposal)))
}

/// characters → parts → header → typ → kid → alg → signature → strict payload.
fn open(bench: &Bench<'_>, peer: &PeerIdentity, body: &[u8]) -> Result<Opened, Stopped> {
    let filed = |fault: EnvelopeFault| Stopped { step: step_of(&fault), refusal: fault.into() };
    SignedMessage::parse(body)
        .map_err(filed)?
        .open(Typ::Request, peer.card().keys(), bench.now)
        .map_err(filed)
}

fn step_of(fault: &EnvelopeFault) -> Step {
    use envelope::{MalformedReason as M, SignatureReason as S};
    match fault {
        EnvelopeFault::TooLarge => Step::Size,
        EnvelopeFault::Malformed(M::Characters | M::Parts | M::Base64url) => Step::Characters,
        EnvelopeFault::Malformed(M::Header) => Step::Header,
        EnvelopeFault::Malformed(M::Typ) => Step::Typ,
        EnvelopeFault::Malformed(M::Json) => Step::Payload,
        EnvelopeFault::Signature(S::KidNotYours) => Step::Kid,
        EnvelopeFault::Signature(S::AlgNotRegistered) => Step::Alg,
        EnvelopeFault::Signature(S::SignatureMismatch) => Step::Signature,
    }
}

/// The size limit of the op, once its op is known. What is known of the message is noted
/// here, so that every signed refusal can name it.
fn within_op_size(payload: &Value, size: usize, seen: &mut Seen) -> Result<(), Stopped> {
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    seen.iat = payload.get("iat").and_then(Value::as_i64).filter(|iat| (0..MOST_EXACT).contains(iat));
    seen.jti = text("jti").filter(|jti| envelope::is_message_id(jti)).map(str::to_owned);
    let op = text("op");
    seen.op = op.and_then(Op::from_name);
    if size > MOST_SHORT_MESSAGE_BYTES && op.is_some_and(|op| !op.starts_with("application.")) {
        return stop(Step::OpSize, Refusal::too_large_for_op());
    }
    Ok(())
}

fn envelope(bench: &Bench<'_>, payload: Value, seen: &mut Seen) -> Result<RequestClaims, Stopped> {
    if payload.get("op").is_some_and(Value::is_string) && seen.op.is_none() {
        return stop(Step::Envelope, Code::UnknownOp);
    }
    let claims: RequestClaims =
        bench.catalog.admit_whole(payload).map_err(Refusal::schema).at(Step::Envelope)?.into_inner();
    seen.item.clone_from(&claims.item);
    seen.case.clone_from(&claims.case);
    Ok(claims)
}

fn addressed(bench: &Bench<'_>, peer: &PeerIdentity, claims: &RequestClaims) -> Result<(), Stopped> {
    if claims.iss != peer.region().gateway_urn() {
        return stop(Step::Issuer, Code::IssuerMismatch);
    }
    if claims.aud != bench.me.gateway_urn() {
        return stop(Step::Audience, Code::AudienceMismatch);
    }
    Ok(())
}

fn in_time(bench: &Bench<'_>, claims: &RequestClaims) -> Result<(), Stopped> {
    times::check(claims.iat, claims.exp, bench.now, claims.op.longest_life()).at(Step::Times)
}

/// A signed refusal uses its id too (protocol §12), also one that comes before the first-use
/// step. The code stays that of the step: the same message sent again fails there again.
fn use_up(
    bench: &Bench<'_>,
    peer: &PeerIdentity,
    opened: &Opened,
    exp: i64,
    memory: &impl Memory,
    seen: &mut Seen,
) -> Result<(), Stopped> {
    let Some(jti) = &seen.jti else { return Ok(()) };
    let now = bench.now.secs();
    let keep_until =
        times::keep_until(exp).clamp(times::keep_until(now + times::MOST_LIFE), now + LONGEST_MEMORY);
    // Under the TLS peer's name, not the claimed issuer's: nobody uses up another's ids.
    let urn = peer.region().gateway_urn();
    match memory.first_use(&urn, jti, &opened.content_digest, keep_until, bench.now) {
        Claim::Fresh(id) => seen.claim = Some(id),
        Claim::Repeat | Claim::Reuse => {}
        Claim::Full => return stop(Step::FirstUse, Code::Overloaded),
    }
    Ok(())
}

fn first_use(
    bench: &Bench<'_>,
    claims: &RequestClaims,
    opened: &Opened,
    memory: &impl Memory,
    seen: &mut Seen,
) -> Result<Option<Asked>, Stopped> {
    let keep_until = times::keep_until(claims.exp);
    match memory.first_use(&claims.iss, &claims.jti, &opened.content_digest, keep_until, bench.now) {
        Claim::Fresh(token) => {
            seen.claim = Some(token);
            Ok(None)
        }
        Claim::Repeat if claims.op.is_repeatable() => {
            Ok(Some(Asked::Again(envelope::id_key(&claims.iss, &claims.jti))))
        }
        Claim::Repeat => stop(Step::FirstUse, Code::Replay),
        Claim::Reuse => stop(Step::FirstUse, Code::JtiReuse),
        Claim::Full => stop(Step::FirstUse, Code::Overloaded),
    }
}

/// Faults of the body as the peer sees them: from the message's root.
fn body_faults(faults: Vec<crate::fault::Fault>) -> Refusal {
    Refusal::schema(faults.into_iter().map(|fault| fault.under("/body")).collect())
}

/// The memory of a judge that takes every id and use as fresh (`explain`).
pub struct FreshMemory;

impl Memory for FreshMemory {
    fn first_use(&self, iss: &str, jti: &str, content: &[u8; 32], keep_until: i64, now: Now) -> Claim {
        Replay::new(1).claim(iss, jti, content, keep_until, now)
    }
    fn quota(&self, _: &Grant, _: Region, _: Now) -> Result<QuotaPermit, Limited> {
        Ok(QuotaPermit::unlimited())
    }
    fn uses(&self, _: &[u8; 32]) -> u32 {
        0
    }
}
