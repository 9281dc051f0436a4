//! Why a message was refused, found in its bytes: for the person whose system sent it.
//!
//! Promises: nothing is decided here and nothing is accepted for it; what is told holds no secret
//! and no received text but names that the protocol itself knows (regions, ops, key ids, times);
//! the work is bounded like the message. Leaves the judgement to [`crate::inbound::judge`], and
//! the words of causes to [`crate::answer::Advice`].

mod keys;
mod payload;
mod seen;
mod shape;
mod sight;
mod signature;
mod spelling;
mod terms;
mod times;
mod token;

use serde_json::{Value, json};

use crate::answer::{Advice, Cause, Code, Refusal};
use crate::authorization::Authorities;
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::MOST_MESSAGE_BYTES;
use crate::inbound::steps::Step;
use crate::peer::{Card, Directory};
use crate::policy::Policy;

pub use seen::{Look, looks};
pub use shape::media_type;
use sight::Sight;

/// What the one who refused knows.
pub struct View<'a> {
    pub me: Region,
    /// The sender as the connection, or `--as`, names it.
    pub peer: Option<Region>,
    pub directory: &'a Directory,
    pub authorities: &'a Authorities,
    pub policy: &'a Policy,
    pub now: Now,
}

impl View<'_> {
    fn card(&self) -> Option<&Card> {
        self.peer.and_then(|peer| self.directory.card(peer)).map(AsRef::as_ref)
    }
}

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub en: String,
    pub zh: String,
}

impl Said {
    fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    fn json(&self) -> Value {
        json!({"en": self.en, "zh": self.zh})
    }
}

/// A cause that the bytes show, and what was measured.
#[derive(Debug)]
pub struct Finding {
    pub cause: &'static Cause,
    pub measured: Option<Said>,
}

/// The findings of one message, in the order in which they were made.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, id: &str) {
        self.0.extend(Cause::named(id).map(|cause| Finding { cause, measured: None }));
    }

    fn measured(&mut self, id: &str, en: impl Into<String>, zh: impl Into<String>) {
        let measured = Some(Said::new(en, zh));
        self.0.extend(Cause::named(id).map(|cause| Finding { cause, measured }));
    }
}

/// What the bytes of a refused message show. `step` is the check that stopped it; refusals from
/// behind the checks have none.
pub fn diagnose(view: &View<'_>, body: &[u8], step: Option<Step>, refusal: &Refusal) -> Vec<Finding> {
    let mut found = Findings::default();
    let size = body.len();
    if refusal.code == Code::TooLarge {
        let id = if refusal.is_signed() { "op-large" } else { "message-large" };
        found.measured(id, format!("it has {size} bytes"), format!("共 {size} 字节"));
    }
    if refusal.code == Code::NotAMember {
        member(view, &mut found);
    }
    if size > MOST_MESSAGE_BYTES {
        return found.0;
    }
    let reason = refusal.reason.unwrap_or_default();
    match step {
        Some(Step::Characters) => shape::characters(body, reason, &mut found),
        _ => {
            if let Some(sight) = Sight::of(body) {
                within(view, &sight, step, refusal, &mut found);
            }
        }
    }
    found.0
}

/// Of a message that has three parts.
fn within(view: &View<'_>, sight: &Sight<'_>, step: Option<Step>, refusal: &Refusal, found: &mut Findings) {
    match step {
        Some(Step::Header) => shape::header(sight, found),
        Some(Step::Typ) => shape::typ(sight, found),
        Some(Step::Kid) => keys::kid(view, sight, found),
        Some(Step::Alg) => keys::alg(view, sight, found),
        Some(Step::Signature) => keys::signature(view, sight, found),
        Some(Step::Payload) => payload::json(sight, found),
        Some(Step::Envelope | Step::Body) => payload::schema(sight, refusal, found),
        Some(Step::Issuer | Step::Audience) => terms::parties(view, sight, refusal.code, found),
        Some(Step::Times) => times::message(view, sight, refusal.code, found),
        Some(Step::Agreement) => terms::agreement(view, sight, refusal.code, found),
        Some(Step::Authorization) => token::authorization(view, sight, refusal, found),
        _ => {}
    }
}

fn member(view: &View<'_>, found: &mut Findings) {
    match (view.peer, view.card()) {
        (Some(peer), _) if peer == view.me => found.add("member-self"),
        (_, Some(card)) if card.status() != crate::peer::Status::Active => {
            found.measured(
                "member-inactive",
                format!("it says {}", card.status().word()),
                format!("状态为 {}", card.status().word()),
            );
        }
        (_, Some(_)) => {}
        (_, None) => found.add("member-unknown"),
    }
}

/// Everything that is told of a refusal, for `explain --json` and a sandbox's answers.
pub fn told(refusal: &Refusal, step: Option<Step>, findings: &[Finding]) -> Value {
    let code = refusal.code;
    let advice = Advice::of(code);
    let clauses = advice.map(|advice| json!(advice.clauses)).unwrap_or_default();
    let said = |finding: &Finding| {
        let cause = finding.cause;
        json!({
            "cause": cause.id, "clause": cause.clause, "en": cause.en, "zh": cause.zh,
            "measured": finding.measured.as_ref().map(Said::json),
            "see": {"en": cause.see, "zh": cause.see_zh},
        })
    };
    json!({
        "code": code.word(), "reason": refusal.reason, "step": step.map(Step::word),
        "clause": step.map(Step::clause), "clauses": clauses,
        "findings": findings.iter().map(said).collect::<Vec<_>>(),
        "do": advice.map(|advice| json!({"en": advice.what_to_do, "zh": advice.what_to_do_zh})),
    })
}

/// The causes that a refusal may have where none was found in the bytes.
pub fn likely(refusal: &Refusal) -> impl Iterator<Item = &'static Cause> {
    let reason = refusal.reason;
    let causes = Advice::of(refusal.code).map(|advice| advice.causes.as_slice()).unwrap_or_default();
    causes.iter().filter(move |cause| cause.reason.is_none() || cause.reason.as_deref() == reason)
}
