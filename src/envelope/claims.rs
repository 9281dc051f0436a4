//! The claims of a request (protocol §3.1), Rust twin of `schemas/request.json`.

use serde::Deserialize;
use serde_json::Value;

use super::jws::MOST_MESSAGE_BYTES;
use super::times;
use crate::schema::{Admissible, Kind};

/// Octets of a message of any op but `application.*` (protocol §3): a lookup never needs more.
pub const MOST_SHORT_MESSAGE_BYTES: usize = 32 * 1024;

/// Why the data may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    Consent,
    StatutoryDuty,
    Emergency,
}

impl Basis {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::StatutoryDuty => "statutory_duty",
            Self::Emergency => "emergency",
        }
    }
}

/// The operations of protocol §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Op {
    #[serde(rename = "ping")]
    Ping,
    #[serde(rename = "license.query")]
    LicenseQuery,
    #[serde(rename = "application.submit")]
    ApplicationSubmit,
    #[serde(rename = "application.event")]
    ApplicationEvent,
    #[serde(rename = "application.status")]
    ApplicationStatus,
    #[serde(rename = "verification.request")]
    VerificationRequest,
    #[serde(rename = "verification.answer")]
    VerificationAnswer,
    #[serde(rename = "ledger.reconcile")]
    LedgerReconcile,
}

impl Op {
    pub const ALL: [Self; 8] = [
        Self::Ping,
        Self::LicenseQuery,
        Self::ApplicationSubmit,
        Self::ApplicationEvent,
        Self::ApplicationStatus,
        Self::VerificationRequest,
        Self::VerificationAnswer,
        Self::LedgerReconcile,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::LicenseQuery => "license.query",
            Self::ApplicationSubmit => "application.submit",
            Self::ApplicationEvent => "application.event",
            Self::ApplicationStatus => "application.status",
            Self::VerificationRequest => "verification.request",
            Self::VerificationAnswer => "verification.answer",
            Self::LedgerReconcile => "ledger.reconcile",
        }
    }

    /// The operation of that name, if this gateway knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    /// `application.*`: about a case, and allowed to wait in an outbox.
    pub const fn is_application(self) -> bool {
        matches!(self, Self::ApplicationSubmit | Self::ApplicationEvent | Self::ApplicationStatus)
    }

    pub const fn is_verification(self) -> bool {
        matches!(self, Self::VerificationRequest | Self::VerificationAnswer)
    }

    /// The longest `exp − iat` (seconds, protocol §3.1).
    pub const fn longest_life(self) -> i64 {
        if self.is_application() { times::MOST_APPLICATION_LIFE } else { times::MOST_LIFE }
    }

    /// The largest message (octets, protocol §3): an application carries a form, its materials'
    /// digests and authorizations; nothing else needs as much.
    pub const fn largest_message(self) -> usize {
        if self.is_application() { MOST_MESSAGE_BYTES } else { MOST_SHORT_MESSAGE_BYTES }
    }

    /// Whether the same signed content again gets the first answer again, byte for byte
    /// (protocol §3.4): what must arrive is sent until its receipt is there.
    pub const fn is_repeatable(self) -> bool {
        self.is_application() || self.is_verification()
    }

    /// The status of a success (protocol §6.1, §12): a submit is taken in, the rest is done.
    pub const fn success_status(self) -> u16 {
        match self {
            Self::ApplicationSubmit => 202,
            _ => 200,
        }
    }
}

/// Claims of a request after its envelope schema. The business members are there for
/// every op but `ping` and `ledger.reconcile` (the schema sees to it).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RequestClaims {
    pub ver: i64,
    pub iss: String,
    pub aud: String,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    pub op: Op,
    pub item: Option<String>,
    pub case: Option<String>,
    pub basis: Option<Basis>,
    pub purpose: Option<String>,
    pub operator: Option<String>,
    pub agreement: Option<String>,
    pub body: Value,
    pub authorization: Option<String>,
}

impl Admissible for RequestClaims {
    const KIND: Kind = Kind::Request;

    /// As the derived way makes it, without taking the body apart and putting it together again.
    fn of(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else { return None };
        let mut body = Value::Null;
        std::mem::swap(members.get_mut("body")?, &mut body);
        let basis = members.get("basis").map(Option::<Basis>::deserialize).transpose().ok()?.flatten();
        let op = Op::from_name(members.get("op")?.as_str()?)?;
        let number = |name| members.get(name).and_then(Value::as_i64);
        let (ver, iat, exp) = (number("ver")?, number("iat")?, number("exp")?);
        let mut text = |name| match members.get_mut(name).map(Value::take) {
            Some(Value::String(text)) => Some(Some(text)),
            Some(Value::Null) | None => Some(None),
            Some(_) => None,
        };
        Some(Self {
            ver,
            iss: text("iss")??,
            aud: text("aud")??,
            iat,
            exp,
            jti: text("jti")??,
            op,
            item: text("item")?,
            case: text("case")?,
            basis,
            purpose: text("purpose")?,
            operator: text("operator")?,
            agreement: text("agreement")?,
            body,
            authorization: text("authorization")?,
        })
    }
}

/// The body of `ping`: an empty object, Rust twin of `schemas/ping.json`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct PingBody {}

impl Admissible for PingBody {
    const KIND: Kind = Kind::Ping;
}

/// Is `text` a message id: `[A-Za-z0-9_-]{22,64}` (protocol §1)?
pub fn is_message_id(text: &str) -> bool {
    (22..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_may_be_larger_live_longer_and_come_again() {
        for op in Op::ALL {
            let application = op.name().starts_with("application.");
            let verification = op.name().starts_with("verification.");
            assert_eq!(op.longest_life(), if application { 86_400 } else { 120 }, "{op:?}");
            assert_eq!(op.largest_message(), if application { 256 * 1024 } else { 32 * 1024 }, "{op:?}");
            assert_eq!(op.is_repeatable(), application || verification, "{op:?}");
            assert_eq!(Op::from_name(op.name()), Some(op));
            assert_eq!(serde_json::from_value::<Op>(op.name().into()).unwrap(), op);
        }
        assert_eq!(Op::from_name("application.delete"), None);
    }

    #[test]
    fn claims_are_moved_into_the_same_twin_that_is_derived() {
        let whole = serde_json::json!({
            "ver": 1, "iss": "urn:tongban:gw:331083", "aud": "urn:tongban:gw:421202", "iat": 1, "exp": 2,
            "jti": "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22", "op": "license.query", "item": "i", "case": "c",
            "basis": "statutory_duty", "purpose": "核验", "operator": "YH0123", "agreement": "a",
            "body": {"license": {"type": "t", "holder": {"type": "111"}}, "n": [1, null]}, "authorization": "x.y.z"
        });
        let same = |value: &Value| {
            let derived = serde_json::from_value::<RequestClaims>(value.clone()).ok();
            assert_eq!(RequestClaims::of(value.clone()), derived, "{value}");
            derived
        };
        assert!(same(&whole).is_some());
        let names: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
        for name in &names {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().shift_remove(name);
            same(&without);
            for other in
                [Value::Null, 7.into(), "emergency".into(), serde_json::json!([]), serde_json::json!({})]
            {
                let mut changed = whole.clone();
                changed[name] = other;
                same(&changed);
            }
        }
        same(&Value::Null);
    }
}
