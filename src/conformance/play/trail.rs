//! What was sent, expected and received in the step that a case ended in: what a vendor needs to
//! see the fault. The scene's people and keys are made up and published, so nothing is hidden.

use serde_json::Value;

use super::super::message::Message;
use super::super::unb64url;
use super::super::wire::{Answer, Request};

/// Most of a body that is shown (characters).
const SHOWN: usize = 4_000;
/// Headers of an answer that say something.
const HEADERS: [&str; 6] = ["content-type", "retry-after", "range", "allow", "cache-control", "connection"];

/// One step, for whoever reads a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Counted from 1.
    pub step: usize,
    pub steps: usize,
    pub sent: Option<String>,
    pub expected: Option<String>,
    pub came: Option<String>,
}

impl Trail {
    pub(super) fn of(step: usize, steps: usize, expect: &Value) -> Self {
        let expected = expect.as_object().map(|_| format!("{expect:#}"));
        Self { step, steps, sent: None, expected, came: None }
    }
}

fn cut(text: &str) -> String {
    let length = text.chars().count();
    if length <= SHOWN {
        return text.to_owned();
    }
    let begin: String = text.chars().take(SHOWN).collect();
    format!("{begin}… ({length} characters)")
}

/// A message with its claims open; the bytes themselves where they are no three parts any more.
pub(super) fn message(message: &Message) -> String {
    let text = message.text();
    let bytes = if text.len() > SHOWN { format!("({} bytes)", text.len()) } else { text };
    cut(&format!(
        "POST /v1/exchange as {} 身份\nheader {}\npayload {:#}\n\n{bytes}",
        message.sender, message.header, message.claims
    ))
}

pub(super) fn request(identity: &str, request: &Request) -> String {
    let headers: String = request.headers.iter().map(|(name, value)| format!("\n{name}: {value}")).collect();
    let body = String::from_utf8_lossy(&request.body);
    cut(&format!("{} {} as {identity} 身份{headers}\n\n{body}", request.method, request.path))
}

/// Status, headers and body; a signed one with its header and claims open.
pub(super) fn answer(answer: &Answer) -> String {
    let headers: String =
        HEADERS.iter().filter_map(|name| Some(format!("\n{name}: {}", answer.header(name)?))).collect();
    let text = answer.text();
    let mut parts = text.split('.').map(|part| {
        let value: Value = serde_json::from_slice(&unb64url(part)?).ok()?;
        value.is_object().then_some(value)
    });
    let body = match (parts.next().flatten(), parts.next().flatten()) {
        (Some(header), Some(payload)) => format!("header {header}\npayload {payload:#}"),
        _ => text.clone(),
    };
    cut(&format!("{}{headers}\n\n{body}", answer.status))
}
