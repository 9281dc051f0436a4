//! The region's own door (protocol §9): plain JSON for window systems and departments;
//! the gateway signs, sends, verifies and records on their behalf.
//!
//! Every caller shows a bearer token, of which only the hash is stored, and may do what its
//! entry in `gateway.toml` lists. An error carries the same members as a partner's problem.

mod cases;
mod materials;
mod redeem;

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};

use cases::CaseRoute;

use crate::answer::Refusal;
use crate::config::LocalClient;
use crate::domain::Region;
use crate::envelope::Op;
use crate::house::House;
use crate::license::Changed;
use crate::material::MaterialDigest;
use crate::outbound::{self, Answered, AskFault, Question};
use crate::peer::SendFault;

use super::answer::{self, HttpAnswer};
use super::listener::{BodyFault, ConnInfo, collect_body};
use super::ops;

/// Octets of a request body: a lookup with its authorization fits eight times.
const BODY_LIMIT: usize = 64 * 1024;

/// [`BODY_LIMIT`] in words.
const TOO_LARGE_DETAIL: &str = "A body is at most 64 KiB, of an application 256 KiB.";

/// The API description, published as it is.
pub const OPENAPI: &str = include_str!("../../schemas/local-openapi.json");

/// Problems of this door that are not refusals of the protocol.
struct LocalProblem {
    status: u16,
    code: &'static str,
    title: &'static str,
    title_zh: &'static str,
    retry: &'static str,
}

const fn local(
    status: u16,
    code: &'static str,
    title: &'static str,
    title_zh: &'static str,
    retry: &'static str,
) -> LocalProblem {
    LocalProblem { status, code, title, title_zh, retry }
}

const TOKEN_REQUIRED: LocalProblem =
    local(401, "token-required", "A known bearer token is required", "需要有效的访问令牌", "no");
const NOT_PERMITTED: LocalProblem =
    local(403, "not-permitted", "This system may not do that", "该系统没有此项权限", "no");
const NOT_JSON: LocalProblem =
    local(400, "malformed", "The body is not one strict JSON object", "请求体不是严格的 JSON 对象", "no");
const TOO_LARGE: LocalProblem = local(413, "too-large", "The body is too large", "请求体过大", "no");
const MEDIA_TYPE: LocalProblem =
    local(415, "media-type", "Send application/json", "请使用 application/json", "no");
const UNKNOWN_PARTNER: LocalProblem =
    local(404, "unknown-partner", "No active partner of that region", "没有该地区的有效伙伴", "no");
const PARTNER_UNREACHABLE: LocalProblem =
    local(502, "partner-unreachable", "The partner cannot be reached", "无法连接伙伴网关", "yes");
const PARTNER_TIMEOUT: LocalProblem =
    local(504, "partner-timeout", "The partner did not answer in time", "伙伴网关响应超时", "yes");
const PARTNER_BUSY: LocalProblem = local(
    503,
    "partner-busy",
    "Too many requests to this partner are under way",
    "发往该伙伴的请求过多",
    "after",
);
const ANSWER_INVALID: LocalProblem = local(
    502,
    "partner-answer-invalid",
    "The partner's answer failed a check and was not believed",
    "伙伴网关的应答未通过校验,不予采信",
    "yes",
);
const PARTNER_REFUSED: LocalProblem = local(
    502,
    "partner-refused",
    "The partner refused without a signature; the hint is not a business fact",
    "伙伴网关以未签名方式拒绝,提示不构成业务事实",
    "no",
);
const UNRECORDED: LocalProblem = local(
    503,
    "ledger-unavailable",
    "What cannot be recorded is not sent",
    "交换日志不可用,请求未发出或结果未返回",
    "after",
);
const NOT_SIGNED: LocalProblem =
    local(500, "signing-failed", "The request could not be signed", "请求签名失败", "yes");

impl LocalProblem {
    fn answer(&self, exchange: Option<&str>, more: &[(&str, Value)]) -> HttpAnswer {
        let mut problem = Map::new();
        problem.insert("type".into(), format!("urn:tongban:problem:{}", self.code).into());
        problem.insert("title".into(), self.title.into());
        problem.insert("title_zh".into(), self.title_zh.into());
        problem.insert("status".into(), self.status.into());
        problem.insert("code".into(), self.code.into());
        problem.insert("detail".into(), self.title.into());
        problem.insert("retry".into(), self.retry.into());
        problem.insert("trace".into(), crate::house::new_trace().into());
        if let Some(exchange) = exchange {
            problem.insert("exchange".into(), exchange.into());
        }
        for (name, value) in more {
            problem.insert((*name).into(), value.clone());
        }
        answer::problem(answer::status(self.status), &Value::Object(problem))
    }
}

/// Answers one HTTP request of a local system.
pub async fn serve(house: Arc<House>, request: Request<Incoming>, conn: Arc<ConnInfo>) -> HttpAnswer {
    let path = request.uri().path().to_owned();
    if let Some(answer) = ops::serve(&house, request.method(), &path) {
        return answer;
    }
    let Some(route) = Route::of(&path) else { return answer::empty(StatusCode::NOT_FOUND) };
    if !route.serves(request.method()) {
        return answer::not_allowed(route.allow());
    }
    if let Route::OpenApi = route {
        return answer::bytes(StatusCode::OK, "application/json", OPENAPI);
    }
    let Some(client) = caller(&house, &request) else {
        tracing::warn!(target: "door", remote = %conn.remote(), "local request without a known token");
        let mut refused = TOKEN_REQUIRED.answer(None, &[]);
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        return refused;
    };
    if route.permission(request.method()).is_some_and(|what| !client.may(what)) {
        return NOT_PERMITTED.answer(None, &[]);
    }
    match route {
        Route::Partners => answer::json(StatusCode::OK, &house.partners_view()),
        Route::Ping(region) => {
            // Whatever stands in the body says nothing; it is read so that the connection lives on.
            let _ = collect_body(request.into_body(), BODY_LIMIT, house.body_deadline).await;
            answer::after_body(ping(house, region).await)
        }
        Route::Query => match body(request, &house).await {
            Ok(body) => answer::after_body(query(house, &body).await),
            Err(answer) => answer,
        },
        Route::Changed => match body(request, &house).await {
            Ok(body) => answer::after_body(changed(&house, &body).await),
            Err(answer) => answer,
        },
        Route::Redeem => match body(request, &house).await {
            Ok(body) => answer::after_body(redeem::serve(&house, &body).await),
            Err(answer) => answer,
        },
        Route::Material(digest) => materials::serve(&house, request, digest).await,
        Route::Case(route) => {
            let client = client.clone();
            cases::serve(house, request, &client, route).await
        }
        Route::OpenApi => answer::empty(StatusCode::NOT_FOUND),
    }
}

enum Route {
    Query,
    Changed,
    Partners,
    Ping(Region),
    Material(MaterialDigest),
    Redeem,
    Case(CaseRoute),
    OpenApi,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/local/v1/")? {
            "licenses/query" => Some(Self::Query),
            "licenses/changed" => Some(Self::Changed),
            "authorizations/redeem" => Some(Self::Redeem),
            "partners" => Some(Self::Partners),
            "openapi.json" => Some(Self::OpenApi),
            rest if rest.starts_with("materials/") => {
                MaterialDigest::parse(rest.strip_prefix("materials/")?).map(Self::Material)
            }
            rest => {
                if let Some(region) = rest.strip_prefix("partners/").and_then(|r| r.strip_suffix("/ping")) {
                    return Region::parse(region).ok().map(Self::Ping);
                }
                CaseRoute::of(rest).map(Self::Case)
            }
        }
    }

    fn serves(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::Query | Self::Changed | Self::Ping(_) | Self::Redeem => "POST",
            Self::Partners | Self::OpenApi => "GET",
            Self::Material(_) => materials::ALLOW,
            Self::Case(route) => route.allow(),
        }
    }

    /// What `may` in `gateway.toml` must list; `None` is open to every known system.
    fn permission(&self, method: &Method) -> Option<&'static str> {
        match self {
            // Whoever may look up with an authorization may take one up.
            Self::Query | Self::Redeem => Some("license.query"),
            Self::Changed => Some("register.changed"),
            Self::Material(_) => materials::permission(method),
            Self::Case(route) => Some(route.permission(method)),
            Self::Partners | Self::OpenApi | Self::Ping(_) => None,
        }
    }
}

/// The system whose token stands in the request. The hash is compared, so the time it
/// takes tells nothing about the token.
fn caller<'a>(house: &'a House, request: &Request<Incoming>) -> Option<&'a LocalClient> {
    let token = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = token.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return None;
    }
    let hash = hex::encode(crate::envelope::digest(token.trim().as_bytes()));
    let local = house.config.local_listener.as_ref()?;
    local.client.iter().find(|client| client.token_sha256.eq_ignore_ascii_case(&hash))
}

fn is_json(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|t| t.to_str().ok())
        .is_some_and(|t| t.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json"))
}

fn body_fault(fault: BodyFault) -> HttpAnswer {
    match fault {
        BodyFault::TooLarge => TOO_LARGE.answer(None, &[("detail", TOO_LARGE_DETAIL.into())]),
        BodyFault::Timeout => answer::empty(StatusCode::REQUEST_TIMEOUT),
        BodyFault::Broken => answer::empty(StatusCode::BAD_REQUEST),
    }
}

async fn body(request: Request<Incoming>, house: &House) -> Result<Value, HttpAnswer> {
    if !is_json(&request) {
        return Err(MEDIA_TYPE.answer(None, &[]));
    }
    let bytes: Bytes =
        collect_body(request.into_body(), BODY_LIMIT, house.body_deadline).await.map_err(body_fault)?;
    match crate::json::parse(&bytes) {
        Ok(value) if value.is_object() => Ok(value),
        _ => Err(NOT_JSON.answer(None, &[])),
    }
}

/// `POST /local/v1/licenses/query`: the members of protocol §3.1 that a caller knows.
/// `agreement` may be left out where one agreement in force names the item. Our own faults
/// are told here, all of them, before a signed message carries them to a partner.
async fn query(house: Arc<House>, body: &Value) -> HttpAnswer {
    match house.local_query(body) {
        Ok(question) => ask(house, question).await,
        Err(faults) => refusal(Refusal::schema(faults)),
    }
}

async fn ping(house: Arc<House>, to: Region) -> HttpAnswer {
    ask(house, Question { to, op: Op::Ping, business: Map::new(), body: json!({}) }).await
}

/// A task of its own: an asking system that hangs up must not leave an exchange without
/// its end.
async fn ask(house: Arc<House>, question: Question) -> HttpAnswer {
    match tokio::spawn(outbound::ask(house, question)).await {
        Ok(Ok(answered)) => told(&answered),
        Ok(Err((exchange, fault))) => failed(exchange.as_deref(), &fault),
        Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The partner's signed answer. A refusal comes with the partner's own status and members.
fn told(answered: &Answered) -> HttpAnswer {
    let mut value = Map::new();
    value.insert("exchange".into(), answered.exchange.clone().into());
    value.insert("partner".into(), answered.partner.as_str().into());
    if answered.status == 200 {
        value.insert("status".into(), answered.status.into());
        value.insert("result".into(), answered.outcome.clone());
        value.insert("log".into(), answered.log.clone());
        return answer::json(StatusCode::OK, &Value::Object(value));
    }
    if let Value::Object(problem) = &answered.outcome {
        value.extend(problem.clone());
    }
    value.insert("log".into(), answered.log.clone());
    value.insert("signed".into(), true.into());
    let refused = answer::problem(answer::status(answered.status), &Value::Object(value));
    answer::retry_after(refused, answered.retry_after)
}

fn failed(exchange: Option<&str>, fault: &AskFault) -> HttpAnswer {
    match fault {
        AskFault::UnknownPartner => UNKNOWN_PARTNER.answer(exchange, &[]),
        AskFault::Ledger(_) => answer::retry_after(UNRECORDED.answer(exchange, &[]), Some(1)),
        AskFault::Sign => NOT_SIGNED.answer(exchange, &[]),
        AskFault::Send(SendFault::Timeout) => PARTNER_TIMEOUT.answer(exchange, &[]),
        AskFault::Send(SendFault::Busy) => answer::retry_after(PARTNER_BUSY.answer(exchange, &[]), Some(1)),
        AskFault::Send(_) => PARTNER_UNREACHABLE.answer(exchange, &[]),
        AskFault::Answer(_) | AskFault::NotAsked(_) | AskFault::OtherReceipt => {
            ANSWER_INVALID.answer(exchange, &[("reason", fault.reason().into())])
        }
        AskFault::Unsigned { status, hint, retry_after } => {
            let mut more = vec![("partner_status", Value::from(*status))];
            if let Some(hint) = hint {
                more.push(("hint", hint.word().into()));
                more.push(("hint_title_zh", hint.title_zh().into()));
            }
            answer::retry_after(PARTNER_REFUSED.answer(exchange, &more), *retry_after)
        }
    }
}

/// `POST /local/v1/licenses/changed`: the register says a license changed; what the cache
/// holds of it is dropped before the answer.
async fn changed(house: &House, body: &Value) -> HttpAnswer {
    match Changed::from_value(body) {
        Ok(changed) => {
            house.lookup.changed(&changed).await;
            answer::json(StatusCode::OK, &json!({"dropped": true}))
        }
        Err(faults) => refusal(Refusal::schema(faults)),
    }
}

fn refusal(refusal: Refusal) -> HttpAnswer {
    let status = answer::status(refusal.code.status());
    answer::retry_after(
        answer::problem(status, &refusal.problem(&crate::house::new_trace())),
        refusal.retry_after,
    )
}
