//! What a witness serves at the partner door (c2sp.org/tlog-witness): our key, `add-checkpoint`
//! for each partner's own log, and the last cosigned checkpoint of any of them.
//!
//! Submission and monitoring prefix are `/v1/log`; the key stands at `/v1/witness`.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use super::answer::{self, HttpAnswer};
use super::listener::{BodyFault, collect_body};
use crate::answer::{Code, Refusal};
use crate::domain::Region;
use crate::house::House;
use crate::ledger::{Leaf, LeafKind, Vkey};
use crate::peer::PeerIdentity;
use crate::witness::{Answer, KnownLog, LARGEST_REQUEST};

const TEXT: &str = "text/plain; charset=utf-8";
/// Where our verifier key stands.
pub const KEY_PATH: &str = "/v1/witness";
/// Where partners bring their checkpoints.
pub const SUBMISSION_PATH: &str = "/v1/log/add-checkpoint";
/// Characters of a hex SHA-256.
const ID: usize = 64;

/// Answers what a witness is asked; hands back any other request.
pub async fn serve(
    house: &Arc<House>,
    request: Request<Incoming>,
    peer: &PeerIdentity,
) -> Result<HttpAnswer, Request<Incoming>> {
    let path = request.uri().path();
    let get = request.method() == Method::GET;
    if path == KEY_PATH {
        let vkey = format!("{}\n", house.witness.vkey());
        return Ok(if get { answer::bytes(StatusCode::OK, TEXT, vkey) } else { answer::not_allowed("GET") });
    }
    if path == SUBMISSION_PATH {
        let post = request.method() == Method::POST;
        return Ok(if post { submit(house, request, peer).await } else { answer::not_allowed("POST") });
    }
    let Some(id) = path.strip_prefix("/v1/log/").and_then(|rest| rest.strip_suffix("/checkpoint")) else {
        return Err(request);
    };
    if id.len() != ID || !id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(request);
    }
    Ok(if get { last_cosigned(house, id.to_owned()).await } else { answer::not_allowed("GET") })
}

async fn submit(house: &Arc<House>, request: Request<Incoming>, peer: &PeerIdentity) -> HttpAnswer {
    // A cosignature is dated: not with a clock that stepped back.
    if !house.clock_is_sane() {
        return answer::refusal(&Code::LedgerUnavailable.into());
    }
    let now = house.clock.now();
    let _budget = match house.partner_budget(peer.region(), now) {
        Ok(budget) => budget,
        Err(limited) => {
            house.count_unsigned(peer.region(), Code::RateLimited);
            return answer::refusal(&Refusal::retry_after(Code::RateLimited, limited.retry_after_secs));
        }
    };
    let body = match collect_body(request.into_body(), LARGEST_REQUEST, house.body_deadline).await {
        Ok(body) => body,
        Err(BodyFault::TooLarge) => return answer::empty(StatusCode::PAYLOAD_TOO_LARGE),
        Err(BodyFault::Timeout) => return answer::empty(StatusCode::REQUEST_TIMEOUT),
        Err(BodyFault::Broken) => return answer::empty(StatusCode::BAD_REQUEST),
    };
    let (witness, log) = (house.witness.clone(), known_log(peer));
    let judged = tokio::task::spawn_blocking(move || witness.add_checkpoint(log, &body, now)).await;
    answer::after_body(match judged {
        Ok(Ok(told)) => told_by(house, peer.region(), told).await,
        Ok(Err(fault)) => {
            tracing::error!(target: "witness", %fault, "a checkpoint could not be judged");
            answer::empty(StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    })
}

/// The log on the partner's card; its key signs every half-year's.
fn known_log(peer: &PeerIdentity) -> Option<KnownLog> {
    let vkey = Vkey::parse(&peer.card().ledger()?.vkey).ok()?;
    Some(KnownLog { region: peer.region(), public: *vkey.public() })
}

async fn told_by(house: &Arc<House>, peer: Region, told: Answer) -> HttpAnswer {
    match told {
        Answer::Cosigned(line) => answer::bytes(StatusCode::OK, TEXT, line),
        Answer::Bad => answer::empty(StatusCode::BAD_REQUEST),
        Answer::UnknownLog => answer::empty(StatusCode::NOT_FOUND),
        Answer::NotSigned => answer::empty(StatusCode::FORBIDDEN),
        Answer::Conflict(size) => {
            answer::bytes(StatusCode::CONFLICT, "text/x.tlog.size", format!("{size}\n"))
        }
        Answer::NotConsistent => {
            tracing::error!(target: "witness", partner = peer.as_str(), "a partner's log does not continue what it showed before");
            answer::empty(StatusCode::UNPROCESSABLE_ENTITY)
        }
        Answer::Contradiction => {
            tracing::error!(target: "witness", partner = peer.as_str(), "a partner's log has two trees of one size; the evidence is kept");
            house.metrics.log_contradictions.inc();
            let leaf = Leaf {
                peer: Some(peer.to_string()),
                code: Some("log-contradiction".into()),
                ..Leaf::new(LeafKind::Incident)
            };
            // The evidence stands in the book whether or not the leaf can be written.
            let _ = house.ledger.record(leaf.into()).await;
            answer::empty(StatusCode::UNPROCESSABLE_ENTITY)
        }
    }
}

async fn last_cosigned(house: &Arc<House>, id: String) -> HttpAnswer {
    let witness = house.witness.clone();
    let found = tokio::task::spawn_blocking(move || witness.last_cosigned(&id)).await;
    match found {
        Ok(Ok(Some(note))) => answer::bytes(StatusCode::OK, TEXT, note),
        Ok(Ok(None)) => answer::empty(StatusCode::NOT_FOUND),
        Ok(Err(_)) | Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
