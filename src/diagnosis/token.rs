//! The citizen's authorization within a request: the same questions, asked of the token.

use serde_json::Value;

use super::keys::others;
use super::sight::Sight;
use super::{Findings, Said, View, signature, times};
use crate::answer::{Code, Refusal};
use crate::authorization::LICENSE_DETAIL;
use crate::domain::Region;
use crate::schema::Catalog;

pub(super) fn authorization(view: &View<'_>, sight: &Sight<'_>, refusal: &Refusal, found: &mut Findings) {
    if refusal.code == Code::AuthorizationMissing {
        return found.add("token-absent");
    }
    let text = sight.text("authorization");
    let Some(token) = Sight::of(text.as_bytes()) else {
        return found.add(if text.contains('.') { "token-form" } else { "token-code" });
    };
    let now = view.now.secs();
    match (refusal.code, refusal.reason.unwrap_or_default()) {
        (Code::AuthorizationExpired, _) => {
            let Said { en, zh } = times::apart("exp", token.number("exp").unwrap_or(now) - now);
            found.measured("token-late", en, zh);
        }
        (Code::AuthorizationInsufficient, _) => cover(sight, &token, found),
        (Code::AuthorizationInvalid, reason) => invalid(view, sight, &token, reason, found),
        _ => {}
    }
}

fn invalid(view: &View<'_>, sight: &Sight<'_>, token: &Sight<'_>, reason: &str, found: &mut Findings) {
    let region = |name: &str| Region::from_gateway_urn(token.text(name));
    let shown = |region: Option<Region>| region.map_or_else(|| "–".to_owned(), |region| region.to_string());
    match reason {
        "parts" | "characters" | "base64url" | "header" | "JSON" | "schema" => found.add("token-form"),
        "typ" => found.add("token-typ"),
        "kid-not-theirs" => found.add("token-key"),
        "signature-mismatch" => mismatch(view, token, found),
        "audience" if region("client_id") == Some(view.me) && region("aud") == view.peer => {
            found.add("token-swapped");
        }
        "audience" => {
            let aud = shown(region("aud"));
            found.measured("token-audience", format!("it is for {aud}"), format!("授权书对应 {aud}"));
        }
        "client" => {
            let client = shown(region("client_id"));
            found.measured("token-client", format!("it is for {client}"), format!("授权书对应 {client}"));
        }
        "not-yet-valid" => {
            let latest = token.number("iat").max(token.number("nbf")).unwrap_or_default();
            let Said { en, zh } = times::apart("iat", latest - view.now.secs());
            found.measured("token-early", en, zh);
        }
        "lifetime" => {
            let life = token.number("exp").unwrap_or_default() - token.number("iat").unwrap_or_default();
            found.measured("token-life", format!("it lives {life} s"), format!("有效期 {life} 秒"));
        }
        "holder" => found.add("token-holder"),
        "key-binding" => {
            let kid = sight.head("kid");
            found.measured(
                "token-binding",
                format!("the request's kid is {kid}"),
                format!("请求的 kid 为 {kid}"),
            );
        }
        _ => {}
    }
}

fn mismatch(view: &View<'_>, token: &Sight<'_>, found: &mut Findings) {
    let kid = token.head("kid");
    let mut keys = view.authorities.iter().flat_map(|authority| authority.keys().keys());
    let mut why = Findings::default();
    if let Some(key) = keys.find(|key| key.kid() == kid) {
        signature::mismatch(token, key, &others(view, kid), &mut why);
    }
    match why.0.first() {
        Some(finding) => {
            found.measured("token-signature", finding.cause.en.clone(), finding.cause.zh.clone());
        }
        None => found.add("token-signature"),
    }
}

/// Which part of the request no entry covers.
fn cover(sight: &Sight<'_>, token: &Sight<'_>, found: &mut Findings) {
    let entries = token.payload.get("authorization_details").and_then(Value::as_array);
    let entries: Vec<&Value> = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry.get("type").and_then(Value::as_str) == Some(LICENSE_DETAIL))
        .collect();
    let asked = |pointer: &str| sight.payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let lists = |entry: &Value, name: &str, word: &str| {
        entry.get(name).and_then(Value::as_array).is_some_and(|list| list.iter().any(|known| known == word))
    };
    let before = found.0.len();
    let kind = asked("/body/license/type");
    let sensitive = Catalog::embedded().license_type(kind).is_some_and(|kind| kind.sensitive());
    if sensitive && token.payload.get("sensitive") != Some(&Value::Bool(true)) {
        found.add("cover-sensitive");
    }
    if !entries.iter().any(|entry| lists(entry, "datatypes", kind)) {
        found.add("cover-license");
    }
    let body = sight.payload.get("body");
    let read = body.and_then(|body| body.get("fields")?.as_array());
    let verify = body.and_then(|body| body.get("expect")?.as_object());
    let fields = read.into_iter().flatten().filter_map(Value::as_str);
    let fields = fields.chain(verify.into_iter().flatten().map(|(name, _)| name.as_str()));
    let lacking: Vec<&str> =
        fields.filter(|field| !entries.iter().any(|entry| lists(entry, "fields", field))).collect();
    if !lacking.is_empty() {
        // They stand in the agreement: that was checked before.
        let lacking = lacking.join(", ");
        found.measured("cover-field", lacking.clone(), lacking);
    }
    if verify.is_none() && !entries.iter().any(|entry| lists(entry, "actions", "read")) {
        found.add("cover-action");
    }
    if !entries.iter().any(|entry| entry.get("item").and_then(Value::as_str) == Some(sight.text("item"))) {
        found.add("cover-item");
    }
    let case_fits = |entry: &&Value| match entry.get("case").and_then(Value::as_str) {
        Some(case) => case == sight.text("case"),
        None => true,
    };
    if !entries.iter().any(case_fits) {
        found.add("cover-case");
    }
    if found.0.len() == before {
        found.add("cover-split");
    }
}
