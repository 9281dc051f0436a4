//! What is wrong inside the signature: strict JSON, the envelope's and the body's shape, `op`.

use serde_json::Value;

use super::Findings;
use super::sight::Sight;
use crate::answer::{Code, Refusal};
use crate::domain::Region;
use crate::envelope::Op;
use crate::json::{self, JsonRule};

pub(super) fn json(sight: &Sight<'_>, found: &mut Findings) {
    if sight.payload_bytes.starts_with(b"\xef\xbb\xbf") {
        return found.add("payload-bom");
    }
    let fault = match json::parse(&sight.payload_bytes) {
        Ok(_) => return found.add("payload-not-object"),
        Err(fault) => fault,
    };
    let id = match fault.rule {
        JsonRule::Utf8 => "payload-not-utf8",
        JsonRule::DuplicateName => "payload-twice",
        JsonRule::NotInteger => "payload-fraction",
        JsonRule::NumberRange | JsonRule::NegativeZero => "payload-range",
        JsonRule::Character | JsonRule::LoneSurrogate => "payload-character",
        JsonRule::Depth | JsonRule::Nodes => "payload-deep",
        JsonRule::Syntax | JsonRule::End => "payload-syntax",
    };
    found.measured(id, format!("at byte {} of the payload", fault.at), format!("载荷第 {} 字节", fault.at));
}

/// Rules that are about the form of an identifier (`schemas/README.md`, formats).
const IDENTIFIERS: [&str; 10] = [
    "resident-id",
    "uscc",
    "license-id",
    "item-code",
    "case-number",
    "type-code",
    "issuer-code",
    "disability-number",
    "format",
    "pattern",
];

/// `schema-violation` and `unknown-op`.
pub(super) fn schema(sight: &Sight<'_>, refusal: &Refusal, found: &mut Findings) {
    if refusal.code == Code::UnknownOp {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['.', '_', '-', ' ', '/'], "");
        let op = plain(sight.text("op"));
        let meant = Op::ALL.into_iter().find(|known| plain(known.name()) == op);
        return match meant.map(Op::name) {
            Some(name) => found.measured("op-spelling", format!("meant is {name}"), format!("应为 {name}")),
            None => found.add("op-other"),
        };
    }
    if refusal.code != Code::SchemaViolation {
        return;
    }
    let payload = &sight.payload;
    let of = |pointer: &str| payload.pointer(pointer);
    let pointers = |rule: &str| -> Vec<&str> {
        refusal.errors.iter().filter(|fault| fault.rule == rule).map(|fault| &*fault.pointer).collect()
    };
    for party in ["aud", "iss"] {
        match payload.get(party) {
            Some(Value::Array(_)) => found.measured("aud-list", format!("/{party}"), format!("/{party}")),
            Some(Value::String(text)) if text.contains("://") => {
                found.measured("aud-address", format!("/{party}"), format!("/{party}"));
            }
            Some(Value::String(text)) if has_suffix(text) => {
                found.measured("aud-suffix", format!("/{party}"), format!("/{party}"));
            }
            _ => {}
        }
    }
    for time in ["iat", "exp"] {
        if payload.get(time).is_some_and(Value::is_string) {
            found.measured("time-text", format!("/{time}"), format!("/{time}"));
        }
    }
    if !pointers("expiry").is_empty() {
        found.add("exp-not-later");
    }
    if payload.get("body").is_some_and(Value::is_string) {
        found.add("body-text");
    }
    if let Some(fault) = refusal.errors.iter().find(|fault| of(&fault.pointer).is_some_and(Value::is_null)) {
        found.measured("member-null", fault.pointer.clone(), fault.pointer.clone());
    }
    let grouped = [
        ("member-extra", ["additionalProperties", "false schema", "unevaluatedProperties"].as_slice()),
        ("member-missing", ["required"].as_slice()),
        ("check-character", IDENTIFIERS.as_slice()),
    ];
    for (id, rules) in grouped {
        let mut places: Vec<&str> = rules.iter().flat_map(|rule| pointers(rule)).collect();
        // The parties' own findings say more.
        places.retain(|place| !["/aud", "/iss"].contains(place));
        if !places.is_empty() {
            let shown = places.join(", ");
            found.measured(id, shown.clone(), shown);
        }
    }
}

/// `urn:tongban:gw:421202-test`, `urn:tongban:gw:421202:uat`.
fn has_suffix(text: &str) -> bool {
    let rest = text.strip_prefix("urn:tongban:gw:").unwrap_or_default();
    rest.get(..6).is_some_and(|code| Region::parse(code).is_ok()) && rest.len() > 6
}
