//! Applications and verifications on the region's own door (protocol §9): submit, look, act,
//! answer.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::super::answer::{self, HttpAnswer};
use super::super::listener::collect_body;
use super::{LocalProblem, body_fault, is_json, local, refusal};
use crate::answer::{Code, Refusal};
use crate::case::{Role, State};
use crate::casebook::{CaseFilter, Page, ParcelState, VerificationSide};
use crate::casework::{self, Act, IdempotencyKey, LocalAnswer, LocalEvent, LocalSubmit, Undone};
use crate::config::LocalClient;
use crate::house::House;
use crate::relay::{RedriveFault, redrive};
use crate::webhook;

/// Octets of a submit or an event: what a partner's message may hold.
const BODY_LIMIT: usize = 256 * 1024;

/// Characters of an idempotency key: a UUID fits three times.
const LONGEST_KEY: usize = 128;

const KEY_REUSED: LocalProblem = local(
    422,
    "idempotency-key-reused",
    "The Idempotency-Key came before with another request",
    "该幂等键已用于其他请求",
    "no",
);
const BAD_QUERY: LocalProblem =
    local(400, "bad-query", "The query string is not as described", "查询参数不符合说明", "no");
const UNKNOWN_PARCEL: LocalProblem =
    local(404, "unknown-parcel", "No such parcel waits for a person", "没有可重新投递的报文", "no");

/// A place under `/local/v1/` that is about cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CaseRoute {
    Applications,
    Application(String),
    Events(String),
    Verifications,
    Answer(String),
    Notices,
    Parcels,
    Redrive(String),
    Timeliness,
}

impl CaseRoute {
    pub fn of(rest: &str) -> Option<Self> {
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            ["applications"] => Some(Self::Applications),
            ["applications", case] => Some(Self::Application((*case).to_owned())),
            ["applications", case, "events"] => Some(Self::Events((*case).to_owned())),
            ["verifications"] => Some(Self::Verifications),
            ["verifications", id, "answer"] => Some(Self::Answer((*id).to_owned())),
            ["notices"] => Some(Self::Notices),
            ["parcels"] => Some(Self::Parcels),
            ["parcels", id, "redrive"] => Some(Self::Redrive((*id).to_owned())),
            ["reports", "timeliness"] => Some(Self::Timeliness),
            _ => None,
        }
    }

    pub const fn allow(&self) -> &'static str {
        match self {
            Self::Applications => "GET, POST",
            Self::Events(_) | Self::Answer(_) | Self::Redrive(_) => "POST",
            Self::Application(_) | Self::Verifications | Self::Notices | Self::Parcels | Self::Timeliness => {
                "GET"
            }
        }
    }

    pub fn permission(&self, method: &Method) -> &'static str {
        match self {
            Self::Applications if method == Method::POST => "application.submit",
            Self::Events(_) | Self::Redrive(_) => "application.event",
            Self::Verifications | Self::Answer(_) => "verification.answer",
            _ => "application.status",
        }
    }
}

pub(super) async fn serve(
    house: Arc<House>,
    request: Request<Incoming>,
    client: &LocalClient,
    route: CaseRoute,
) -> HttpAnswer {
    let query = Query::of(request.uri().query().unwrap_or_default());
    let now = house.clock.now();
    match route {
        CaseRoute::Applications if request.method() == Method::POST => submit(house, request, client).await,
        CaseRoute::Applications => {
            let Some(after) = query.cursor() else { return BAD_QUERY.answer(None, &[]) };
            let roles = Role::BOTH.map(Role::name);
            let states: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
            let (Some(role), Some(state)) = (query.one_of("role", &roles), query.one_of("state", &states))
            else {
                return BAD_QUERY.answer(None, &[]);
            };
            told(
                house
                    .list_cases(CaseFilter { role, state, partner: query.text("partner") }, after, now)
                    .await,
            )
        }
        CaseRoute::Application(case) => told(house.case_view(&case, now).await),
        CaseRoute::Events(case) => match body(request, &house).await {
            Ok((request, _)) => {
                let event = LocalEvent { case, request };
                // A task of its own: a caller that hangs up must not cut an act in two.
                let done = tokio::spawn(async move { house.event_ours(event, now).await }).await;
                answer::after_body(taken(done))
            }
            Err(answer) => answer,
        },
        CaseRoute::Verifications => {
            let Some(after) = query.cursor() else { return BAD_QUERY.answer(None, &[]) };
            let side = match query.text("side").as_deref() {
                Some("asking") => VerificationSide::Asking,
                None | Some("answering") => VerificationSide::Answering,
                Some(_) => return BAD_QUERY.answer(None, &[]),
            };
            let Some(state) = query.one_of("state", &["open", "answered", "lapsed"]) else {
                return BAD_QUERY.answer(None, &[]);
            };
            told(house.list_verifications(side, state, after).await)
        }
        CaseRoute::Answer(id) => match body(request, &house).await {
            Ok((request, _)) => {
                let reply = LocalAnswer { id, request };
                let done = tokio::spawn(async move { house.answer_ours(reply, now).await }).await;
                answer::after_body(match done {
                    Ok(Ok(value)) => answer::json(StatusCode::ACCEPTED, &value),
                    Ok(Err(undone)) => not_done(undone),
                    Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
                })
            }
            Err(answer) => answer,
        },
        CaseRoute::Notices => {
            let (cursor, limit) = (query.text("cursor"), query.text("limit"));
            match webhook::list(&house.casebook, cursor.as_deref(), limit.as_deref()).await {
                Ok(page) => answer::json(StatusCode::OK, &page),
                Err(webhook::ListFault::Casebook(_)) => refusal(Code::LedgerUnavailable.into()),
                Err(_) => BAD_QUERY.answer(None, &[]),
            }
        }
        CaseRoute::Parcels => {
            let Some(after) = query.cursor() else { return BAD_QUERY.answer(None, &[]) };
            let state = match query.text("state").as_deref() {
                None | Some("undeliverable") => ParcelState::Undeliverable,
                Some("waiting") => ParcelState::Waiting,
                Some("refused") => ParcelState::Refused,
                Some("delivered") => ParcelState::Delivered,
                Some(_) => return BAD_QUERY.answer(None, &[]),
            };
            told(house.list_parcels(state, Page { after, most: casework::PARCELS_ON_A_PAGE }).await)
        }
        CaseRoute::Redrive(id) => {
            let _ = collect_body(request.into_body(), BODY_LIMIT, house.body_deadline).await;
            let done = tokio::spawn(async move { redrive(&house.casebook, &id, now).await }).await;
            answer::after_body(match done {
                Ok(Ok(row)) => {
                    answer::json(StatusCode::ACCEPTED, &json!({"parcel": row.id, "state": row.state.word()}))
                }
                Ok(Err(RedriveFault::Unknown | RedriveFault::NotEnded)) => UNKNOWN_PARCEL.answer(None, &[]),
                Ok(Err(RedriveFault::Casebook(fault))) => not_done(Undone::Casebook(fault)),
                Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
            })
        }
        CaseRoute::Timeliness => told(house.timeliness(now).await),
    }
}

async fn submit(house: Arc<House>, request: Request<Incoming>, client: &LocalClient) -> HttpAnswer {
    let key = match request.headers().get("idempotency-key").map(|key| key.to_str()) {
        None => None,
        Some(Ok(key)) if (1..=LONGEST_KEY).contains(&key.len()) => Some(key.to_owned()),
        Some(_) => return BAD_QUERY.answer(None, &[("member", "Idempotency-Key".into())]),
    };
    let (request, bytes) = match body(request, &house).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let key = key.map(|key| IdempotencyKey {
        client: client.name.clone(),
        key,
        digest: hex::encode(crate::envelope::digest(&bytes)),
    });
    let now = house.clock.now();
    let done = tokio::spawn(async move { house.submit_ours(LocalSubmit { request, key }, now).await }).await;
    answer::after_body(match done {
        Ok(Ok(Act::Taken(taken))) => answer::json(answer::status(taken.status), &taken.answer),
        Ok(Ok(Act::KeyReused)) => KEY_REUSED.answer(None, &[]),
        Ok(Err(undone)) => not_done(undone),
        Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    })
}

async fn body(request: Request<Incoming>, house: &House) -> Result<(Value, Bytes), HttpAnswer> {
    if !is_json(&request) {
        return Err(super::MEDIA_TYPE.answer(None, &[]));
    }
    let bytes =
        collect_body(request.into_body(), BODY_LIMIT, house.body_deadline).await.map_err(body_fault)?;
    match crate::json::parse(&bytes) {
        Ok(value) if value.is_object() => Ok((value, bytes)),
        _ => Err(super::NOT_JSON.answer(None, &[])),
    }
}

fn taken(done: Result<Result<casework::Taken, Undone>, tokio::task::JoinError>) -> HttpAnswer {
    match done {
        Ok(Ok(taken)) => answer::json(answer::status(taken.status), &taken.answer),
        Ok(Err(undone)) => not_done(undone),
        Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn told(view: Result<Value, Undone>) -> HttpAnswer {
    match view {
        Ok(view) => answer::json(StatusCode::OK, &view),
        Err(undone) => not_done(undone),
    }
}

fn not_done(undone: Undone) -> HttpAnswer {
    match undone {
        Undone::Refused(refused) => refusal(refused),
        Undone::Casebook(fault) => {
            tracing::error!(target: "case", %fault, "the casebook did not answer");
            refusal(Refusal::from(Code::LedgerUnavailable))
        }
    }
}

/// A query string of plain words; what is percent-encoded is none of ours.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Self {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn text(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }

    /// `Some(None)` where it is not said, `None` for a word that is none of these.
    fn one_of(&self, name: &str, words: &[&str]) -> Option<Option<String>> {
        match self.text(name) {
            Some(word) if !words.contains(&word.as_str()) => None,
            word => Some(word),
        }
    }

    /// 0 without a cursor; `None` for one that is none of ours.
    fn cursor(&self) -> Option<i64> {
        match self.text("cursor") {
            None => Some(0),
            Some(cursor) => cursor.parse().ok().filter(|n| *n >= 0),
        }
    }
}
