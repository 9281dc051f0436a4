//! The claims of a request (protocol §3.1), Rust twin of `schemas/request.json`.

use serde::Deserialize;
use serde_json::Value;

use crate::schema::{Admissible, Kind};

/// Why the data may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    Consent,
    StatutoryDuty,
    Emergency,
}

/// The operations of protocol §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Op {
    #[serde(rename = "ping")]
    Ping,
    #[serde(rename = "license.query")]
    LicenseQuery,
}

impl Op {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::LicenseQuery => "license.query",
        }
    }

    /// The operation of that name, if this gateway knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ping, Self::LicenseQuery].into_iter().find(|op| op.name() == name)
    }
}

/// Claims of a request after its envelope schema. The business members are there for
/// every op but `ping` (the schema sees to it).
#[derive(Clone, Debug, Deserialize)]
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

/// A new message id: a UUIDv7 with its dashes, so that ids sort by time.
pub fn new_message_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
