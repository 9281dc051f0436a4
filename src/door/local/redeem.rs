//! `POST /local/v1/authorizations/redeem` `{"code", "authority"?}`: the window's scan becomes
//! the citizen's authorization.

use serde_json::{Value, json};

use super::{LocalProblem, local, refusal};
use crate::answer::Refusal;
use crate::door::answer::{self, HttpAnswer};
use crate::fault::Fault;
use crate::house::House;
use crate::outbound::redeem::{Code, RedeemFault, redeem};
use hyper::StatusCode;

const UNKNOWN_CODE: LocalProblem = local(
    404,
    "unknown-code",
    "The code is unknown, was used, or has expired; let the citizen show a new one",
    "亮证码无效、已使用或已过期,请刷新后重新扫码",
    "no",
);
const NO_AUTHORITY: LocalProblem = local(
    404,
    "no-redeem-address",
    "No active authority of that name gives authorizations for codes",
    "没有可兑换亮证码的签发方",
    "no",
);
const UNREACHABLE: LocalProblem =
    local(502, "authority-unreachable", "The authority cannot be reached", "无法连接授权签发方", "yes");
const TIMEOUT: LocalProblem =
    local(504, "authority-timeout", "The authority did not answer in time", "授权签发方响应超时", "yes");
const REFUSED: LocalProblem =
    local(502, "authority-refused", "The authority refused", "授权签发方拒绝兑换", "no");
const INVALID: LocalProblem = local(
    502,
    "authority-answer-invalid",
    "What the authority gave failed a check and was not passed on",
    "签发方返回的授权未通过校验,不予采用",
    "no",
);

pub(super) async fn serve(house: &House, body: &Value) -> HttpAnswer {
    let (code, authority) = match ask(body) {
        Ok(ask) => ask,
        Err(faults) => return refusal(Refusal::schema(faults)),
    };
    match redeem(house, &code, authority).await {
        Ok((redeemed, authority)) => answer::json(
            StatusCode::OK,
            &json!({
                "authorization": redeemed.authorization,
                "authority": authority.id(),
                "aud": redeemed.aud,
                "exp": redeemed.exp,
            }),
        ),
        Err(fault) => failed(fault),
    }
}

/// All faults at once.
fn ask(body: &Value) -> Result<(Code, Option<&str>), Vec<Fault>> {
    let mut faults = Vec::new();
    let code = body.get("code").and_then(Value::as_str).and_then(Code::parse);
    if code.is_none() {
        faults.push(Fault::new("/code", "pattern", "is not a one-time code", "不是有效的亮证码"));
    }
    let authority = body.get("authority");
    let named = authority.and_then(Value::as_str);
    if authority.is_some() && named.is_none() {
        faults.push(Fault::new("/authority", "type", "is not a string", "须为字符串"));
    }
    let odd = body.as_object().into_iter().flat_map(|members| members.keys());
    if odd.into_iter().any(|name| name != "code" && name != "authority") {
        faults.push(Fault::new("", "additionalProperties", "has a member that is not known", "含有未知成员"));
    }
    code.filter(|_| faults.is_empty()).map(|code| (code, named)).ok_or(faults)
}

fn failed(fault: RedeemFault) -> HttpAnswer {
    tracing::warn!(target: "redeem", %fault, "a code did not become an authorization");
    match fault {
        RedeemFault::WhichAuthority => {
            let (text, zh) = ("several authorities give authorizations; name one", "有多个签发方,须指定其一");
            refusal(Refusal::schema(vec![Fault::new("/authority", "required", text, zh)]))
        }
        RedeemFault::NoAuthority => NO_AUTHORITY.answer(None, &[]),
        RedeemFault::UnknownCode => UNKNOWN_CODE.answer(None, &[]),
        RedeemFault::Unreachable(_) => UNREACHABLE.answer(None, &[]),
        RedeemFault::Timeout => TIMEOUT.answer(None, &[]),
        RedeemFault::Refused(_) => REFUSED.answer(None, &[]),
        RedeemFault::Shape => INVALID.answer(None, &[("reason", "shape".into())]),
        RedeemFault::Unusable(fault) => {
            let refusal = Refusal::from(fault);
            let reason = refusal.reason.unwrap_or(refusal.code.word());
            INVALID.answer(None, &[("reason", reason.into())])
        }
    }
}
