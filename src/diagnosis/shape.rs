//! What is wrong with a message's outside: characters, parts, base64url, header, `typ`, media type.

use serde_json::Value;

use super::Findings;
use super::sight::Sight;
use crate::envelope::Typ;
use crate::json::{self, JsonRule};

/// The encoded header (characters), as the protocol bounds it (E-4).
const MOST_HEADER: usize = 512;
/// Members that signing libraries add, which may be named.
const LIBRARY_MEMBERS: [&str; 12] =
    ["crit", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip", "cty", "iat", "enc"];

pub(super) fn characters(body: &[u8], reason: &str, found: &mut Findings) {
    match reason {
        "characters" => odd_characters(body, found),
        "parts" => parts(body, found),
        "base64url" => base64url(body, found),
        _ => {}
    }
}

fn odd_characters(body: &[u8], found: &mut Findings) {
    let mut rest = body;
    if let Some(after) = rest.strip_prefix(b"\xef\xbb\xbf") {
        found.add("bom");
        rest = after;
    }
    let trimmed = rest.trim_ascii_end();
    if trimmed.len() < rest.len() {
        found.add("line-end");
        rest = trimmed;
    }
    if let Ok(json) = serde_json::from_slice::<Value>(rest) {
        let has = |name: &str| json.get(name).is_some();
        if json.is_string() {
            found.add("quoted");
        } else if has("payload") && (has("signature") || has("signatures")) {
            found.add("json-serialization");
        } else if json.is_object() {
            found.add("unsigned-json");
        }
        return;
    }
    let holds = |wanted: &[u8]| rest.iter().any(|byte| wanted.contains(byte));
    if holds(b" \t\r\n") {
        found.add("whitespace");
    }
    if holds(b"=") {
        found.add("padding");
    }
    if holds(b"+/") {
        found.add("standard-base64");
    }
}

fn parts(body: &[u8], found: &mut Findings) {
    let parts: Vec<&[u8]> = body.split(|byte| *byte == b'.').collect();
    let count = parts.len();
    match parts.as_slice() {
        [[]] => found.add("empty-body"),
        [_, [], _] => found.add("detached"),
        [header, _, signature] if signature.is_empty() && !header.is_empty() => found.add("no-signature"),
        [_, _, _, _, _] => found.add("encrypted"),
        _ => found.measured("part-missing", format!("there are {count}"), format!("实有 {count} 段")),
    }
}

fn base64url(body: &[u8], found: &mut Findings) {
    let impossible = body.split(|byte| *byte == b'.').any(|part| part.len() % 4 == 1);
    found.add(if impossible { "cut-off" } else { "loose-bits" });
}

pub(super) fn header(sight: &Sight<'_>, found: &mut Findings) {
    let characters = sight.parts[0].len();
    if characters > MOST_HEADER {
        found.measured("header-long", format!("it has {characters}"), format!("共 {characters} 字符"));
        return;
    }
    let members = match json::parse(&sight.header_bytes) {
        Ok(Value::Object(members)) => members,
        Err(fault) if fault.rule == JsonRule::DuplicateName => return found.add("header-twice"),
        _ => return found.add("header-not-json"),
    };
    let wanted = ["alg", "typ", "kid"];
    if wanted.iter().any(|name| !members.get(*name).is_some_and(Value::is_string)) {
        let lacking: Vec<&str> =
            wanted.into_iter().filter(|name| !members.get(*name).is_some_and(Value::is_string)).collect();
        let lacking = lacking.join(", ");
        found.measured("header-missing", format!("without {lacking}"), format!("缺 {lacking}"));
    }
    let extra: Vec<&String> = members.keys().filter(|name| !wanted.contains(&name.as_str())).collect();
    if !extra.is_empty() {
        let known: Vec<&str> =
            LIBRARY_MEMBERS.into_iter().filter(|name| members.contains_key(*name)).collect();
        let known = if known.is_empty() { format!("{}", extra.len()) } else { known.join(", ") };
        found.measured("header-members", format!("found: {known}"), format!("发现:{known}"));
    }
}

pub(super) fn typ(sight: &Sight<'_>, found: &mut Findings) {
    let typ = sight.head("typ");
    let kinds = [Typ::Request, Typ::Response, Typ::Authorization, Typ::StatusList];
    let lower = typ.to_ascii_lowercase();
    if kinds.iter().any(|kind| kind.media_type() == lower) {
        found.add("typ-media-type");
    } else if kinds.iter().any(|kind| kind.name() == typ) {
        found.measured("typ-other-kind", format!("it is {typ}"), format!("为 {typ}"));
    } else if lower == Typ::Request.name() {
        found.add("typ-case");
    } else if ["jwt", "jose", "jws", "at+jwt"].contains(&&*lower) {
        found.add("typ-generic");
    } else {
        found.add("typ-other");
    }
}

/// What is wrong with a request's `Content-Type` and `Content-Encoding`: ids of causes.
pub fn media_type(types: &[&[u8]], encoded: bool) -> Vec<super::Finding> {
    let mut found = Findings::default();
    if encoded {
        found.add("media-encoded");
    }
    let right = Typ::Request.media_type();
    match types {
        [one] if one.eq_ignore_ascii_case(right.as_bytes()) => {}
        [one] if one.to_ascii_lowercase().starts_with(b"application/json") => found.add("media-json"),
        [one] if one.to_ascii_lowercase().starts_with(right.as_bytes()) => found.add("media-parameters"),
        _ => found.add("media-other"),
    }
    found.0
}
