//! HTTP answers that every door gives alike.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::listener::{Answer, AnswerBody, BodyRead};
use crate::answer::{Refusal, unsigned_problem};
use crate::material::Pieces;

pub type HttpAnswer = Answer;

/// `no-store`: what is answered here is somebody's data or of this moment.
fn base(status: StatusCode, content_type: &'static str, body: Bytes) -> HttpAnswer {
    with(status, content_type, Either::Left(Full::new(body)))
}

fn with(status: StatusCode, content_type: &'static str, body: AnswerBody) -> HttpAnswer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if !content_type.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A status without a body, which therefore repeats nothing of the input.
pub fn empty(status: StatusCode) -> HttpAnswer {
    base(status, "", Bytes::new())
}

/// 405 with the methods that are allowed.
pub fn not_allowed(allow: &'static str) -> HttpAnswer {
    let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

pub fn json(status: StatusCode, value: &Value) -> HttpAnswer {
    base(status, "application/json", value.to_string().into())
}

pub fn problem(status: StatusCode, value: &Value) -> HttpAnswer {
    base(status, "application/problem+json", value.to_string().into())
}

pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpAnswer {
    base(status, content_type, body.into())
}

/// A file, to be kept and not shown: what citizens bring is no page of ours.
pub fn file(body: Pieces) -> HttpAnswer {
    let mut answer = with(StatusCode::OK, "application/octet-stream", Either::Right(body));
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    answer
}

/// An unsigned refusal.
pub fn refusal(refusal: &Refusal) -> HttpAnswer {
    let body = unsigned_problem(refusal, &crate::house::new_trace());
    let sent = bytes(status(refusal.code.status()), "application/problem+json", body);
    retry_after(sent, refusal.retry_after)
}

/// The same for public, immutable things (C2SP tlog-tiles §static assets).
pub fn immutable(content_type: &'static str, body: impl Into<Bytes>) -> HttpAnswer {
    let mut answer = base(StatusCode::OK, content_type, body.into());
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer
}

/// Adds `Retry-After` in seconds.
pub fn retry_after(mut answer: HttpAnswer, seconds: Option<u32>) -> HttpAnswer {
    if let Some(seconds) = seconds {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Marks an answer whose request body was read to its end.
pub fn after_body(mut answer: HttpAnswer) -> HttpAnswer {
    answer.extensions_mut().insert(BodyRead);
    answer
}

pub fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
