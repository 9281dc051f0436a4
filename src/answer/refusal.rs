//! Every refusal of protocol §3.5 in one table: code, status, whether it is signed, when to
//! try again, and fixed words in both languages.

use std::io::Write as _;

use serde_json::{Map, Value, json};

use crate::fault::{Fault, MOST_FAULTS};
use crate::json::write_string;

/// May the same request be tried again?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    No,
    /// Yes, with a new `jti`.
    Yes,
    /// Yes, after the `Retry-After` seconds.
    After,
}

impl Retry {
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::After => "after",
        }
    }
}

struct Row {
    code: &'static str,
    status: u16,
    signed: bool,
    retry: Retry,
    title: &'static str,
    title_zh: &'static str,
    detail: &'static str,
}

macro_rules! refusals {
    ($($name:ident = $code:literal, $status:literal, $signed:ident, $retry:ident, $title:literal, $zh:literal, $detail:literal;)*) => {
        /// A refusal code. Stable, never reused (protocol §3.5).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            /// Every code, in the order of the protocol's table.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            const fn row(self) -> Row {
                match self {
                    $(Code::$name => Row {
                        code: $code, status: $status, signed: signed::$signed, retry: Retry::$retry,
                        title: $title, title_zh: $zh, detail: $detail,
                    }),*
                }
            }
        }
    };
}

/// Column words of the table below.
mod signed {
    #![expect(non_upper_case_globals, reason = "they are words of a table")]
    pub const unsigned: bool = false;
    pub const signed: bool = true;
}

refusals! {
    Malformed = "malformed", 400, unsigned, No, "The message is malformed", "报文格式错误",
        "The body is not one well-formed compact JWS of this protocol; the reason names the first rule broken.";
    NotAMember = "not-a-member", 403, unsigned, No, "Not a member", "不是成员网关",
        "The client certificate does not belong to an active member of this gateway's directory.";
    SignatureInvalid = "signature-invalid", 401, unsigned, No, "The signature is not valid", "签名无效",
        "The message is not signed by a key of the TLS peer that is in force here; the reason says which step failed.";
    MessageExpired = "message-expired", 401, signed, Yes, "The message has expired", "报文已过期",
        "Its exp lies in the past by more than the permitted clock skew.";
    NotYetValid = "not-yet-valid", 401, signed, Yes, "The message is not yet valid", "报文尚未生效",
        "Its iat lies in the future by more than the permitted clock skew; compare the clocks.";
    LifetimeTooLong = "lifetime-too-long", 401, signed, Yes, "The message lives too long", "报文有效期过长",
        "exp − iat exceeds what this operation permits.";
    AudienceMismatch = "audience-mismatch", 403, signed, No, "Meant for another gateway", "接收方不符",
        "aud is not this gateway.";
    IssuerMismatch = "issuer-mismatch", 403, signed, No, "The issuer is not the TLS peer", "签发方与连接方不符",
        "iss is not the member whose certificate opened this connection.";
    Replay = "replay", 409, signed, No, "Already answered", "重复的请求",
        "This jti was used before with the same content; send a new request with a new jti.";
    JtiReuse = "jti-reuse", 409, signed, No, "The jti was used for other content", "请求编号被重复使用",
        "This jti was used before with other content.";
    NoAgreement = "no-agreement", 403, signed, No, "No agreement in force", "没有生效的协议",
        "The named agreement does not exist here, is not between these two regions, or is not in force today.";
    ItemNotAgreed = "item-not-agreed", 403, signed, No, "The item is not agreed", "协议未包含该事项",
        "The named agreement does not list this item.";
    OpNotAgreed = "op-not-agreed", 403, signed, No, "The operation is not agreed", "协议未允许该操作",
        "The agreement does not allow this operation for this item.";
    LicenseNotAgreed = "license-not-agreed", 403, signed, No, "The license is not agreed", "协议未包含该证照",
        "The item does not list this license type with this mode and answering region.";
    FieldNotAgreed = "field-not-agreed", 403, signed, No, "A field is not agreed", "协议未包含所请求的字段",
        "At least one asked field is not listed by the agreement or is never shared.";
    BasisNotAgreed = "basis-not-agreed", 403, signed, No, "The legal basis is not agreed", "协议未允许该依据",
        "The agreement does not allow this basis for this item.";
    SchemaViolation = "schema-violation", 422, signed, No, "The message breaks its schema", "报文不符合模式",
        "Every fault found is listed in errors.";
    UnknownOp = "unknown-op", 422, signed, No, "Unknown operation", "未知操作",
        "This gateway does not know this op.";
    UnknownLicenseType = "unknown-license-type", 422, signed, No, "Unknown license type", "未知证照类型",
        "No schema and no agreement here names this license type.";
    UnknownItem = "unknown-item", 422, signed, No, "Unknown item", "未知事项",
        "No agreement here names this item.";
    AuthorizationMissing = "authorization-missing", 403, signed, No, "The citizen's authorization is missing", "缺少授权",
        "With basis consent the request must carry the citizen's signed authorization.";
    AuthorizationInvalid = "authorization-invalid", 403, signed, No, "The citizen's authorization is not valid", "授权无效",
        "The authorization fails the check that the reason names.";
    AuthorizationExpired = "authorization-expired", 403, signed, No, "The citizen's authorization has expired", "授权已过期",
        "Its exp lies in the past by more than the permitted clock skew.";
    AuthorizationRevoked = "authorization-revoked", 403, signed, No, "The citizen has revoked the authorization", "授权已撤回",
        "The authority's status list says so.";
    AuthorizationUsedUp = "authorization-used-up", 403, signed, No, "The authorization is used up", "授权次数已用完",
        "It has been used as often as it allows.";
    AuthorizationInsufficient = "authorization-insufficient", 403, signed, No, "The authorization does not cover the request", "授权范围不足",
        "No single entry of the authorization covers the license type, mode, fields, item and case asked for.";
    IllegalTransition = "illegal-transition", 409, signed, No, "The case does not allow this event", "办件状态不允许该操作",
        "The event is not possible in the case's present state for this side.";
    SequenceGap = "sequence-gap", 409, signed, No, "The event is out of sequence", "办件事件序号不连续",
        "seq or prev does not continue the case.";
    DuplicateCase = "duplicate-case", 409, signed, No, "The case exists with other content", "办件编号重复",
        "A case of this number was submitted before with other content.";
    UnknownCase = "unknown-case", 404, signed, No, "Unknown case", "未知办件",
        "No such case between these two regions.";
    UnknownMaterial = "unknown-material", 404, unsigned, No, "Unknown material", "未知材料",
        "No application of this partner names this digest.";
    TooLarge = "too-large", 413, unsigned, No, "The message is too large", "报文过大",
        "A message is at most 256 KiB.";
    MediaType = "media-type", 415, unsigned, No, "Wrong media type", "媒体类型不符",
        "Send application/tongban-request+jwt without a content encoding.";
    RateLimited = "rate-limited", 429, unsigned, After, "Too many requests", "请求过于频繁",
        "This partner has used up its agreed rate.";
    Overloaded = "overloaded", 503, unsigned, After, "Overloaded", "系统繁忙",
        "The gateway is at its limit; nothing was done.";
    RegisterUnavailable = "register-unavailable", 503, signed, After, "The register is unavailable", "证照库不可用",
        "The license register did not give a usable answer.";
    StatusStale = "status-stale", 503, signed, After, "Revocation status is stale", "授权状态列表已过期",
        "The authority's status list is past its own validity; no authorization of it can be accepted until it is fresh.";
    CalendarUnpublished = "calendar-unpublished", 503, signed, After, "The calendar is not published", "工作日历尚未发布",
        "A limit reaches into a year whose working days are not loaded here.";
    RegisterTimeout = "register-timeout", 504, signed, After, "The register did not answer in time", "证照库超时",
        "The license register did not answer within its deadline.";
    LedgerUnavailable = "ledger-unavailable", 503, unsigned, After, "The ledger is unavailable", "交换日志不可用",
        "What cannot be recorded is not answered; nothing was disclosed.";
    RelayLoop = "relay-loop", 508, signed, No, "Relay loop", "转发成环",
        "The message has passed here before.";
}

impl Code {
    pub const fn word(self) -> &'static str {
        self.row().code
    }
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().status
    }
    /// Is the refusal a signed, recorded answer?
    pub const fn signed(self) -> bool {
        self.row().signed
    }
    pub const fn retry(self) -> Retry {
        self.row().retry
    }
    pub const fn title(self) -> &'static str {
        self.row().title
    }
    pub const fn title_zh(self) -> &'static str {
        self.row().title_zh
    }
    pub const fn detail(self) -> &'static str {
        self.row().detail
    }
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.word() == word)
    }
}

/// A "no" with everything the peer may know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    /// The precise word for codes that have reasons; fixed, never received text.
    pub reason: Option<&'static str>,
    /// All schema faults at once, at most [`MOST_FAULTS`].
    pub errors: Vec<Fault>,
    /// Seconds, for codes with `retry: after`.
    pub retry_after: Option<u32>,
    /// Signed although the code usually is not (the op's size limit, protocol §3).
    signed_anyway: bool,
    detail: &'static str,
}

/// The detail of a file's size limit.
const TOO_LARGE_FOR_MATERIAL: &str = "A material is at most 50 MiB, and as long as its application says.";
/// The detail of the op's own size limit; the code's own detail names the message's.
const TOO_LARGE_FOR_OP: &str = "A message is at most 32 KiB, except those of application.* operations.";

/// Seconds a caller waits when nothing better is known.
const DEFAULT_RETRY_AFTER: u32 = 1;

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        let retry_after = (code.retry() == Retry::After).then_some(DEFAULT_RETRY_AFTER);
        Self {
            code,
            reason: None,
            errors: Vec::new(),
            retry_after,
            signed_anyway: false,
            detail: code.detail(),
        }
    }
}

impl Refusal {
    pub fn with_reason(code: Code, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::from(code) }
    }

    pub fn schema(mut errors: Vec<Fault>) -> Self {
        errors.truncate(MOST_FAULTS);
        Self { errors, ..Self::from(Code::SchemaViolation) }
    }

    pub fn retry_after(code: Code, seconds: u32) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..Self::from(code) }
    }

    /// `too-large` of an op whose signature is already verified.
    pub fn too_large_for_op() -> Self {
        Self { signed_anyway: true, detail: TOO_LARGE_FOR_OP, ..Self::from(Code::TooLarge) }
    }

    /// `too-large` of a file.
    pub fn too_large_for_material() -> Self {
        Self { detail: TOO_LARGE_FOR_MATERIAL, ..Self::from(Code::TooLarge) }
    }

    pub fn is_signed(&self) -> bool {
        self.signed_anyway || self.code.signed()
    }

    /// What is said of it beside the title: one fixed text for each rule.
    pub fn detail(&self) -> &'static str {
        self.detail
    }

    /// The RFC 9457 object of protocol §3.5. `trace` is ours, for the log.
    pub fn problem(&self, trace: &str) -> Value {
        let code = self.code;
        let mut problem = Map::new();
        problem.insert("type".into(), format!("urn:tongban:problem:{}", code.word()).into());
        problem.insert("title".into(), code.title().into());
        problem.insert("title_zh".into(), code.title_zh().into());
        problem.insert("status".into(), code.status().into());
        problem.insert("code".into(), code.word().into());
        problem.insert("detail".into(), self.detail.into());
        if let Some(reason) = self.reason {
            problem.insert("reason".into(), reason.into());
        }
        problem.insert("retry".into(), code.retry().word().into());
        problem.insert("trace".into(), trace.into());
        if !self.errors.is_empty() {
            problem.insert("errors".into(), json!(self.errors));
        }
        Value::Object(problem)
    }

    /// The text of [`Refusal::problem`], written at once: whoever is refused by the thousand
    /// should cost little.
    pub fn problem_text(&self, trace: &str) -> Vec<u8> {
        let code = self.code;
        let mut out = Vec::with_capacity(512);
        let text = |name: &str, value: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(name.as_bytes());
            write_string(value, out);
        };
        // A code is a word without anything to escape.
        out.extend_from_slice(b"{\"type\":\"urn:tongban:problem:");
        out.extend_from_slice(code.word().as_bytes());
        text("\",\"title\":", code.title(), &mut out);
        text(",\"title_zh\":", code.title_zh(), &mut out);
        // Writing to a vector does not fail.
        let _ = write!(out, ",\"status\":{}", code.status());
        text(",\"code\":", code.word(), &mut out);
        text(",\"detail\":", self.detail, &mut out);
        if let Some(reason) = self.reason {
            text(",\"reason\":", reason, &mut out);
        }
        text(",\"retry\":", code.retry().word(), &mut out);
        text(",\"trace\":", trace, &mut out);
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":");
            out.extend_from_slice(json!(self.errors).to_string().as_bytes());
        }
        out.push(b'}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_row_and_both_languages() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(Code::from_word(code.word()), Some(*code));
            assert!(Code::ALL[at + 1..].iter().all(|other| other.word() != code.word()));
            assert!(!code.title().is_empty() && !code.title_zh().is_ascii());
            assert!((400..600).contains(&code.status()));
        }
    }

    #[test]
    fn each_limit_of_size_has_its_own_text() {
        let says = |refusal: Refusal| refusal.problem("t-1")["detail"].clone();
        assert_eq!(says(Code::TooLarge.into()), "A message is at most 256 KiB.");
        assert!(says(Refusal::too_large_for_material()).as_str().unwrap().contains("50 MiB"));
        assert!(says(Refusal::too_large_for_op()).as_str().unwrap().contains("at most 32 KiB"));
    }

    #[test]
    fn a_problem_and_its_text_say_the_same() {
        let fault =
            Fault::new("/body/mode", "enum", "is not one of the \"allowed\" words", "不在允许的取值内");
        let all = Code::ALL.iter().map(|code| Refusal::from(*code));
        let more = [
            Refusal::with_reason(Code::Malformed, "parts"),
            Refusal::too_large_for_op(),
            Refusal::schema(vec![fault]),
        ];
        for refusal in all.chain(more) {
            let text = String::from_utf8(refusal.problem_text("t-1")).unwrap();
            assert_eq!(text, refusal.problem("t-1").to_string());
        }
    }

    #[test]
    fn a_problem_names_all_schema_faults_up_to_the_limit() {
        let fault = Fault::new("/body/mode", "enum", "is not one of the allowed words", "不在允许的取值内");
        let problem = Refusal::schema(vec![fault; 30]).problem("t-1");
        assert_eq!(problem["errors"].as_array().unwrap().len(), MOST_FAULTS);
        assert_eq!(problem["type"], "urn:tongban:problem:schema-violation");
    }
}
