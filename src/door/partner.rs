//! The partner door (protocol §2): who is there, how big, how often — then the corridor.
//!
//! Promises: identity and revocation are asked per request; media type, size and the
//! partner's budget are checked before any cryptography; nothing else is served here.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Method, Request, StatusCode};
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::admission::{Class, Full};
use crate::answer::{Code, Refusal};
use crate::domain::Region;
use crate::envelope::claimed_op;
use crate::house::House;
use crate::inbound;
use crate::material::{Announcement, Depositor, MaterialDigest};
use crate::peer::PeerIdentity;
use crate::telemetry::ClassLabels;

use super::answer::{self, HttpAnswer};
use super::explained;
use super::listener::{BodyFault, ConnInfo, collect_body};
use super::material::Bringing;
use super::unbroken::Unbroken;

/// Octets of a message (protocol §3): a form with its authorizations fits many times.
pub const MESSAGE_LIMIT: usize = 256 * 1024;

const REQUEST_TYPE: &str = "application/tongban-request+jwt";
const RESPONSE_TYPE: &str = "application/tongban-response+jwt";

/// Answers one HTTP request of a partner.
pub async fn serve(house: Arc<House>, request: Request<Incoming>, conn: Arc<ConnInfo>) -> HttpAnswer {
    let now = house.clock.now();
    let identity = {
        let trust = house.trust.load();
        conn.identity(&trust.directory, now)
    };
    let peer = match identity {
        Ok(peer) => peer,
        Err(reason) => {
            tracing::warn!(target: "door", remote = %conn.remote(), reason = %reason, "not a member");
            return refuse(Code::NotAMember.into());
        }
    };
    if request.uri().path() == "/v1/exchange" {
        return match *request.method() {
            Method::POST => exchange(house, request, peer).await,
            _ => answer::not_allowed("POST"),
        };
    }
    // Boxed: the room that all else needs would be carried by every exchange.
    Box::pin(beside(house, request, conn, peer)).await
}

/// What is served beside exchanges: the witness, the card, files and the log.
async fn beside(
    house: Arc<House>,
    request: Request<Incoming>,
    conn: Arc<ConnInfo>,
    peer: PeerIdentity,
) -> HttpAnswer {
    let request = match super::witness::serve(&house, request, &peer).await {
        Ok(answered) => return answered,
        Err(request) => request,
    };
    let path = request.uri().path();
    let get = request.method() == Method::GET;
    if path == "/v1/card" {
        return if get {
            answer::json(StatusCode::OK, &house.own_card())
        } else {
            answer::not_allowed("GET")
        };
    }
    if let Some(name) = path.strip_prefix("/v1/materials/") {
        let Some(digest) = MaterialDigest::parse(name) else {
            return answer::empty(StatusCode::NOT_FOUND);
        };
        return match *request.method() {
            Method::PUT => material(&house, request, &conn, peer.region(), digest).await,
            _ => answer::not_allowed("PUT"),
        };
    }
    if let Some(rest) = path.strip_prefix("/v1/log/") {
        let Some((origin, what)) = LogPath::split(rest) else {
            return answer::empty(StatusCode::NOT_FOUND);
        };
        return if get {
            log(&house, &peer, origin.to_owned(), what).await
        } else {
            answer::not_allowed("GET")
        };
    }
    answer::empty(StatusCode::NOT_FOUND)
}

async fn exchange(house: Arc<House>, request: Request<Incoming>, peer: PeerIdentity) -> HttpAnswer {
    if !right_media_type(&request) {
        let answer = refuse(Code::MediaType.into());
        return if house.sandbox { explained::media_type(request.headers(), answer) } else { answer };
    }
    if announced_size(&request).is_some_and(|size| size > MESSAGE_LIMIT as u64) {
        let answer = refuse(Code::TooLarge.into());
        return if house.sandbox { explained::too_large(answer) } else { answer };
    }
    // Before the budget: a clock that stepped back is not the partner's doing.
    if !house.may_serve() {
        return refuse(Code::LedgerUnavailable.into());
    }
    let now = house.clock.now();
    let _budget = match house.partner_budget(peer.region(), now) {
        Ok(budget) => budget,
        Err(limited) => {
            house.count_unsigned(peer.region(), Code::RateLimited);
            return refuse(Refusal::retry_after(Code::RateLimited, limited.retry_after_secs));
        }
    };
    let body = match collect_body(request.into_body(), MESSAGE_LIMIT, house.body_deadline).await {
        Ok(body) => body,
        Err(BodyFault::TooLarge) => return refuse(Code::TooLarge.into()),
        Err(BodyFault::Timeout) => return answer::empty(StatusCode::REQUEST_TIMEOUT),
        Err(BodyFault::Broken) => return answer::empty(StatusCode::BAD_REQUEST),
    };
    // In step with all that are ready: all are read, then all are worked on (decision 0015). Before the
    // line is joined: whoever stands in it is worked on.
    yield_now().await;
    let place = match house.admission.enter(peer.region(), || Class::of(claimed_op(&body))) {
        Ok(place) => place,
        Err(full) => return answer::after_body(shed(&house, peer.region(), full)),
    };
    let looked_into = house.sandbox.then(|| explained::Sent::of(&house, peer.region(), body.clone()));
    // A partner that hangs up must not cut an exchange in two.
    let told = Unbroken::new(inbound::exchange(house, peer, body, place)).await;
    // All of a commit are signed, then all are written. Not where other threads could begin with the first.
    if Handle::current().metrics().num_workers() == 1 {
        yield_now().await;
    }
    let content_type = if told.signed { RESPONSE_TYPE } else { "application/problem+json" };
    let explained = looked_into.and_then(|sent| sent.explain(told.refusal.as_ref()?, told.step));
    let sent = answer::bytes(answer::status(told.status), content_type, told.body);
    let sent = answer::after_body(answer::retry_after(sent, told.retry_after));
    explained::with(sent, explained)
}

/// A file that an application of this partner names. It counts against the partner's rate;
/// its place among the concurrent requests is given back before the bytes come, or a few
/// slow files would stand before every lookup. (The shelf bounds files by themselves.)
async fn material(
    house: &Arc<House>,
    request: Request<Incoming>,
    conn: &ConnInfo,
    peer: Region,
    digest: MaterialDigest,
) -> HttpAnswer {
    if !house.may_serve() {
        return refuse(Code::LedgerUnavailable.into());
    }
    if let Err(limited) = house.partner_budget(peer, house.clock.now()) {
        house.count_unsigned(peer, Code::RateLimited);
        return refuse(Refusal::retry_after(Code::RateLimited, limited.retry_after_secs));
    }
    // A file comes from afar and waits for its own sender: no place in line, only a look at it.
    match house.admission.enter(peer, || Class::Submit) {
        Ok(place) => drop(place),
        Err(full) => return shed(house, peer, full),
    }
    let Announcement::Announced { bytes } = house.materials_expected(peer, &digest).await else {
        house.count_unsigned(peer, Code::UnknownMaterial);
        return refuse(Code::UnknownMaterial.into());
    };
    let bringing = Bringing { depositor: Depositor::Partner(peer), digest, bytes: Some(bytes) };
    // Ten minutes are long: a member removed meanwhile is stopped (protocol §2).
    let welcome = || conn.identity(&house.trust.load().directory, house.clock.now()).is_ok();
    super::material::receive(house, request, bringing, welcome).await
}

fn right_media_type(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let only = types.next().is_some_and(|t| t.as_bytes().eq_ignore_ascii_case(REQUEST_TYPE.as_bytes()));
    only && types.next().is_none() && !headers.contains_key(header::CONTENT_ENCODING)
}

fn announced_size(request: &Request<Incoming>) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Turned away before anything was done: counted like every unsigned refusal, and told when to
/// come back.
fn shed(house: &House, peer: Region, full: Full) -> HttpAnswer {
    house.count_unsigned(peer, Code::Overloaded);
    house.metrics.shed.get_or_create(&ClassLabels { class: full.class.word() }).inc();
    refuse(Refusal::retry_after(Code::Overloaded, full.retry_after_secs))
}

fn refuse(refusal: Refusal) -> HttpAnswer {
    answer::refusal(&refusal)
}

/// What is asked of the log under its origin.
pub(super) enum LogPath {
    Checkpoint,
    Tile(String),
    Entry(u64),
}

impl LogPath {
    /// Splits `tongban/421202/2026h2/tile/0/000` at the end of the origin (three parts).
    pub(super) fn split(rest: &str) -> Option<(&str, Self)> {
        let end = rest.match_indices('/').nth(2)?.0;
        let (origin, what) = (rest.get(..end)?, rest.get(end + 1..)?);
        let what = if what == "checkpoint" {
            Self::Checkpoint
        } else if let Some(index) = what.strip_prefix("entry/") {
            let canonical =
                index.bytes().all(|b| b.is_ascii_digit()) && (index == "0" || !index.starts_with('0'));
            Self::Entry(canonical.then(|| index.parse().ok()).flatten()?)
        } else if what.starts_with("tile/") {
            Self::Tile(what.to_owned())
        } else {
            return None;
        };
        Some((origin, what))
    }
}

async fn log(house: &Arc<House>, peer: &PeerIdentity, origin: String, what: LogPath) -> HttpAnswer {
    let ledger = house.ledger.clone();
    let party = peer.region();
    // Reading the store blocks; a partner's curiosity must not hold up exchanges.
    let read = tokio::task::spawn_blocking(move || {
        Ok::<_, crate::ledger::ReadFault>(match what {
            LogPath::Checkpoint => ledger
                .checkpoint(&origin)
                .map(|note| answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", note)),
            // Whole bundles name other parties: auditors only (protocol §7).
            LogPath::Tile(path) if path.starts_with("tile/entries/") => None,
            LogPath::Tile(path) => {
                ledger.tile(&origin, &path)?.map(|tile| answer::immutable("application/octet-stream", tile))
            }
            LogPath::Entry(index) => ledger
                .entry(&origin, index)?
                .filter(|entry| entry.peer.as_deref() == Some(party.as_str()))
                .map(|entry| answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", entry.proof)),
        })
    });
    match read.await {
        Ok(Ok(Some(answer))) => answer,
        Ok(Ok(None)) => answer::empty(StatusCode::NOT_FOUND),
        Ok(Err(_)) | Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
