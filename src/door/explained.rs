//! What a sandbox adds to a refusal: what the message's bytes show of its cause, in a header
//! (PROTOCOL, X). The message itself stays what it would be in production.
//!
//! Promises: unsigned and said to be so; never sent by a gateway that is no sandbox.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::answer::HttpAnswer;
use crate::answer::{Code, Refusal};
use crate::clock::Now;
use crate::diagnosis::{self, Finding, View};
use crate::domain::Region;
use crate::house::{House, Trust};
use crate::inbound::steps::Step;

/// base64url of a JSON document.
const HEADER: HeaderName = HeaderName::from_static("tongban-explain");
/// Characters of the header: what every HTTP client takes (8 KiB for all headers is usual).
const MOST_CHARACTERS: usize = 6_144;

/// A request that may be refused, kept with the view that it is judged by.
pub(super) struct Sent {
    me: Region,
    peer: Region,
    body: Bytes,
    trust: Arc<Trust>,
    now: Now,
}

impl Sent {
    pub fn of(house: &House, peer: Region, body: Bytes) -> Self {
        Self { me: house.me, peer, body, trust: house.trust.load_full(), now: house.clock.now() }
    }

    pub fn explain(&self, refusal: &Refusal, step: Option<Step>) -> Option<HeaderValue> {
        let view = View {
            me: self.me,
            peer: Some(self.peer),
            directory: &self.trust.directory,
            authorities: &self.trust.authorities,
            policy: &self.trust.policy,
            now: self.now,
        };
        header(refusal, step, diagnosis::diagnose(&view, &self.body, step, refusal))
    }
}

/// The explanation of a wrong media type.
pub(super) fn media_type(headers: &HeaderMap, answer: HttpAnswer) -> HttpAnswer {
    let types: Vec<&[u8]> = headers.get_all(header::CONTENT_TYPE).iter().map(HeaderValue::as_bytes).collect();
    let found = diagnosis::media_type(&types, headers.contains_key(header::CONTENT_ENCODING));
    with(answer, header(&Code::MediaType.into(), None, found))
}

pub(super) fn too_large(answer: HttpAnswer) -> HttpAnswer {
    with(answer, header(&Code::TooLarge.into(), Some(Step::Size), Vec::new()))
}

pub(super) fn with(mut answer: HttpAnswer, explained: Option<HeaderValue>) -> HttpAnswer {
    if let Some(explained) = explained {
        answer.headers_mut().insert(HEADER, explained);
    }
    answer
}

fn header(refusal: &Refusal, step: Option<Step>, mut findings: Vec<Finding>) -> Option<HeaderValue> {
    let told = loop {
        let told = diagnosis::told(refusal, step, &findings);
        // What was found first matters most.
        if encoded(&told).len() <= MOST_CHARACTERS || findings.pop().is_none() {
            break told;
        }
    };
    let causes: Vec<&str> = findings.iter().map(|finding| &*finding.cause.id).collect();
    tracing::info!(target: "sandbox", code = refusal.code.word(), reason = refusal.reason, causes = causes.join(" "), explained = %told, "refused");
    HeaderValue::from_str(&encoded(&told)).ok()
}

fn encoded(told: &Value) -> String {
    URL_SAFE_NO_PAD.encode(told.to_string())
}
