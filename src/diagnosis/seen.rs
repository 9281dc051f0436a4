//! Each check as a person follows it: what was expected, what was found, which clause.

use serde_json::Value;

use super::sight::{Sight, is_thumbprint};
use super::{Said, View, terms, times};
use crate::domain::Region;
use crate::envelope::{MOST_MESSAGE_BYTES, MOST_SHORT_MESSAGE_BYTES, Op, Typ};
use crate::inbound::steps::Step;
use crate::keys::Algorithm;
use crate::schema::{Catalog, LicenseType};

/// One check: what it wanted and what the bytes have.
pub struct Look {
    pub step: Step,
    pub expected: Said,
    pub found: Said,
}

/// The same words in both languages.
fn plain(text: impl Into<String>) -> Said {
    let text = text.into();
    Said { zh: text.clone(), en: text }
}

/// What each check from the first to `last` looked at. Nothing is told of what lies behind the
/// signature before the signature's own step was reached.
pub fn looks(view: &View<'_>, body: &[u8], last: Step) -> Vec<Look> {
    let sight = (body.len() <= MOST_MESSAGE_BYTES).then(|| Sight::of(body)).flatten();
    let look = |step: Step| {
        let (expected, found) = match (step, &sight) {
            (Step::Member, _) => member(view),
            (Step::Size, _) => size(body.len(), MOST_MESSAGE_BYTES),
            (Step::Characters, _) => characters(body),
            (_, Some(sight)) => within(view, step, sight, body.len())?,
            (_, None) => return None,
        };
        Some(Look { step, expected, found })
    };
    Step::ALL.into_iter().filter(|step| *step <= last).filter_map(look).collect()
}

fn member(view: &View<'_>) -> (Said, Said) {
    let found = match (view.peer, view.card()) {
        (Some(peer), Some(card)) => plain(format!("{peer} {}", card.status().word())),
        (Some(peer), None) => Said::new(format!("{peer} has no card here"), format!("{peer} 在此无名片")),
        (None, _) => Said::new("no region", "不是地区代码"),
    };
    (Said::new("an active member", "有效成员"), found)
}

fn size(bytes: usize, most: usize) -> (Said, Said) {
    let said = |n: usize| Said::new(format!("{n} bytes"), format!("{n} 字节"));
    let (Said { en, zh }, found) = (said(most), said(bytes));
    (Said::new(format!("at most {en}"), format!("至多 {zh}")), found)
}

fn characters(body: &[u8]) -> (Said, Said) {
    let odd = body.iter().position(|b| !(b.is_ascii_alphanumeric() || b"-_.".contains(b)));
    let parts: Vec<String> = body.split(|byte| *byte == b'.').map(|part| part.len().to_string()).collect();
    let count = parts.len();
    let parts = parts.into_iter().take(6).collect::<Vec<_>>().join(" + ");
    let found = match odd.and_then(|at| body.get(at).map(|byte| (at, byte))) {
        Some((at, byte)) => {
            Said::new(format!("the byte {byte:02X} at {at}"), format!("第 {at} 字节为 {byte:02X}"))
        }
        None => Said::new(format!("{count} parts: {parts} characters"), format!("{count} 段:{parts} 字符")),
    };
    (Said::new("three parts of base64url, one spelling each", "三段 base64url,写法唯一"), found)
}

fn within(view: &View<'_>, step: Step, sight: &Sight<'_>, bytes: usize) -> Option<(Said, Said)> {
    let peer = || view.peer.map(|peer| peer.gateway_urn()).unwrap_or_default();
    Some(match step {
        Step::Header => (plain("alg, typ, kid"), members(&sight.header)),
        Step::Typ => (plain(Typ::Request.name()), plain(typ(sight.head("typ")))),
        Step::Kid => kid(view, sight.head("kid")),
        Step::Alg => alg(view, sight),
        Step::Signature => {
            let bytes = sight.signature.len();
            let (en, zh) = (format!("a signature of {bytes} bytes"), format!("签名 {bytes} 字节"));
            (Said::new("one over header.payload as received", "对收到的 报头.载荷 的签名"), Said { en, zh })
        }
        Step::Payload => (Said::new("one strict JSON object", "一个严格 JSON 对象"), members(&sight.payload)),
        Step::OpSize => {
            let application = sight.text("op").starts_with("application.");
            size(bytes, if application { MOST_MESSAGE_BYTES } else { MOST_SHORT_MESSAGE_BYTES })
        }
        Step::Envelope => (Said::new("a known op, its members", "已知操作及其成员"), op(sight)),
        Step::Issuer => (plain(peer()), gateway(sight.text("iss"))),
        Step::Audience => (plain(view.me.gateway_urn()), gateway(sight.text("aud"))),
        Step::Times => of_now(view, sight)?,
        Step::FirstUse => {
            (Said::new("a new jti", "新的 jti"), Said::new("taken as new here", "此处视为首次"))
        }
        Step::Agreement => agreement(view, sight)?,
        Step::Body => (plain(schema(sight)?), members(sight.payload.get("body")?)),
        Step::License => license(view, sight)?,
        Step::Authorization => authorization(sight)?,
        _ => return None,
    })
}

fn members(value: &Value) -> Said {
    match value.as_object() {
        Some(members) => {
            let count = members.len();
            Said::new(format!("an object of {count} members"), format!("{count} 个成员的对象"))
        }
        None => Said::new("no JSON object", "不是 JSON 对象"),
    }
}

/// Words of the protocol and of everybody's libraries may be shown, others may not.
fn typ(typ: &str) -> &str {
    let known = [Typ::Request, Typ::Response, Typ::Authorization, Typ::StatusList];
    let known = known.map(Typ::name).into_iter().chain(["JWT", "jwt", "JOSE"]);
    known.into_iter().find(|known| *known == typ).unwrap_or(if typ.is_empty() { "–" } else { "…" })
}

fn kid(view: &View<'_>, kid: &str) -> (Said, Said) {
    let card = view.card();
    let in_force: Vec<&str> = card
        .into_iter()
        .flat_map(|card| card.keys().keys())
        .filter(|key| key.in_force(view.now))
        .map(|key| key.kid())
        .collect();
    let found = match is_thumbprint(kid) {
        true => plain(kid),
        false => {
            let length = kid.chars().count();
            Said::new(format!("no thumbprint: {length} characters"), format!("不是指纹:{length} 个字符"))
        }
    };
    (plain(in_force.join(" | ")), found)
}

fn alg(view: &View<'_>, sight: &Sight<'_>) -> (Said, Said) {
    let key = view.card().and_then(|card| card.keys().find(sight.head("kid"), view.now));
    let alg = sight.head("alg");
    let usual = ["none", "HS256", "RS256", "RS384", "RS512", "PS384", "PS512", "ES384", "ES512", "ES256K"];
    let shown = Algorithm::from_name(alg).map(Algorithm::name);
    let shown = shown.or_else(|| usual.into_iter().find(|known| known.eq_ignore_ascii_case(alg)));
    (plain(key.map_or("–", |key| key.alg().name())), plain(shown.unwrap_or("…")))
}

fn op(sight: &Sight<'_>) -> Said {
    match Op::from_name(sight.text("op")) {
        Some(op) => plain(op.name()),
        None => Said::new("another op", "其他操作"),
    }
}

fn gateway(urn: &str) -> Said {
    match Region::from_gateway_urn(urn) {
        Some(region) => plain(region.gateway_urn()),
        None => Said::new("no gateway's name", "不是网关名称"),
    }
}

fn of_now(view: &View<'_>, sight: &Sight<'_>) -> Option<(Said, Said)> {
    let (iat, exp) = (sight.number("iat")?, sight.number("exp")?);
    let most = Op::from_name(sight.text("op")).map_or(0, Op::longest_life);
    let (Said { en, zh }, life) =
        (times::apart("iat", iat.saturating_sub(view.now.secs())), exp.saturating_sub(iat));
    Some((
        Said::new(
            format!("iat and exp within 30 s of now, a life of at most {most} s"),
            format!("iat、exp 与当前相差不超过 30 秒,有效期至多 {most} 秒"),
        ),
        Said::new(format!("{en}, a life of {life} s"), format!("{zh},有效期 {life} 秒")),
    ))
}

/// The published schema of the op's body.
fn schema(sight: &Sight<'_>) -> Option<&'static str> {
    Some(match Op::from_name(sight.text("op"))? {
        Op::Ping => "docs/schemas/ping.json",
        Op::LicenseQuery => "docs/schemas/license-query.json",
        Op::ApplicationSubmit => "docs/schemas/application-submit.json",
        Op::ApplicationEvent => "docs/schemas/application-event.json",
        Op::ApplicationStatus => "docs/schemas/application-status.json",
        Op::VerificationRequest => "docs/schemas/verification-request.json",
        Op::VerificationAnswer => "docs/schemas/verification-answer.json",
        Op::LedgerReconcile => "docs/schemas/reconcile.json",
    })
}

/// The item's license types, and the one that is asked for.
fn license(view: &View<'_>, sight: &Sight<'_>) -> Option<(Said, Said)> {
    let asked = sight.payload.pointer("/body/license/type")?.as_str()?;
    let item = view.policy.agreement(sight.text("agreement"))?.item(sight.text("item"))?;
    let listed: Vec<&str> = item.licenses.iter().map(|license| &*license.kind).collect();
    let known = Catalog::embedded().license_type(asked).map(LicenseType::code);
    let found = match known.or_else(|| listed.iter().find(|kind| **kind == asked).copied()) {
        Some(kind) => plain(kind),
        None => Said::new("a type that is not known here", "此处未知的类型"),
    };
    Some((plain(listed.join(" | ")), found))
}

fn authorization(sight: &Sight<'_>) -> Option<(Said, Said)> {
    if Op::from_name(sight.text("op")) != Some(Op::LicenseQuery) {
        return None;
    }
    let found = match sight.text("authorization").len() {
        0 => Said::new("none", "无"),
        length => Said::new(format!("one of {length} characters"), format!("{length} 字符的授权书")),
    };
    let needed = sight.text("basis") == "consent";
    let expected = match needed {
        true => Said::new("an authorization that covers this request alone", "独立覆盖本次请求的授权书"),
        false => Said::new("none is needed with this basis", "该依据无需授权书"),
    };
    Some((expected, found))
}

fn agreement(view: &View<'_>, sight: &Sight<'_>) -> Option<(Said, Said)> {
    let named = sight.payload.get("agreement")?.as_str()?;
    let found = match view.policy.agreement(named) {
        Some(agreement) => plain(agreement.id()),
        None => Said::new("one that is not here", "此处没有的协议"),
    };
    Some((plain(terms::in_force(view).join(" | ")), found))
}
