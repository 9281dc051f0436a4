//! The checks of protocol §3.4 by name and in order: what `explain` prints and what a
//! stopped request is filed under.

/// One step of the corridor. The order of the variants is the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    Member,
    Size,
    Characters,
    Header,
    Typ,
    Kid,
    Alg,
    Signature,
    Payload,
    OpSize,
    Envelope,
    Issuer,
    Audience,
    Times,
    FirstUse,
    Agreement,
    Body,
    License,
    Authorization,
}

impl Step {
    pub const ALL: [Step; 19] = [
        Step::Member,
        Step::Size,
        Step::Characters,
        Step::Header,
        Step::Typ,
        Step::Kid,
        Step::Alg,
        Step::Signature,
        Step::Payload,
        Step::OpSize,
        Step::Envelope,
        Step::Issuer,
        Step::Audience,
        Step::Times,
        Step::FirstUse,
        Step::Agreement,
        Step::Body,
        Step::License,
        Step::Authorization,
    ];

    /// A stable word, used in `explain --json` and the metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Step::Member => "member",
            Step::Size => "size",
            Step::Characters => "characters",
            Step::Header => "header",
            Step::Typ => "typ",
            Step::Kid => "kid",
            Step::Alg => "alg",
            Step::Signature => "signature",
            Step::Payload => "payload",
            Step::OpSize => "op-size",
            Step::Envelope => "envelope",
            Step::Issuer => "issuer",
            Step::Audience => "audience",
            Step::Times => "times",
            Step::FirstUse => "first-use",
            Step::Agreement => "agreement",
            Step::Body => "body",
            Step::License => "license",
            Step::Authorization => "authorization",
        }
    }

    /// The clause of `conformance/PROTOCOL.md` behind it.
    pub const fn clause(self) -> &'static str {
        match self {
            Step::Member => "T-3",
            Step::Size => "T-10",
            Step::Characters => "E-1",
            Step::Header => "E-4",
            Step::Typ => "E-5",
            Step::Kid => "E-6",
            Step::Alg => "E-7",
            Step::Signature => "E-8",
            Step::Payload => "E-9",
            Step::OpSize => "E-10",
            Step::Envelope => "Q-1",
            Step::Issuer | Step::Audience => "O-2",
            Step::Times => "O-3",
            Step::FirstUse => "O-4",
            Step::Agreement => "G-2",
            Step::Body => "O-1",
            Step::License => "G-7",
            Step::Authorization => "A-2",
        }
    }

    /// What the step checks, in English and Chinese.
    pub const fn says(self) -> (&'static str, &'static str) {
        match self {
            Step::Member => ("the TLS peer is an active member", "连接方是有效成员"),
            Step::Size => ("the message is at most 256 KiB", "报文不超过 256 KiB"),
            Step::Characters => {
                ("base64url characters, three non-empty parts", "字符为 base64url,共三段且均非空")
            }
            Step::Header => {
                ("the header is strict JSON of exactly alg, typ, kid", "报头为严格 JSON,仅含 alg、typ、kid")
            }
            Step::Typ => ("typ is a request's", "typ 为请求类型"),
            Step::Kid => ("kid is a gateway key of this partner, in force", "kid 为该伙伴在用的网关密钥"),
            Step::Alg => ("alg is the key's registered algorithm", "alg 与密钥登记的算法一致"),
            Step::Signature => ("the signature verifies", "签名验证通过"),
            Step::Payload => ("the payload is one strict JSON object", "载荷为严格 JSON 对象"),
            Step::OpSize => ("the message is within its operation's size", "报文大小在该操作限制之内"),
            Step::Envelope => ("op is known and the envelope meets its schema", "操作已知且信封符合模式"),
            Step::Issuer => ("iss is the TLS peer", "iss 与连接方一致"),
            Step::Audience => ("aud is this gateway", "aud 为本网关"),
            Step::Times => ("iat, exp and lifetime are within limits", "签发、到期时间及有效期合规"),
            Step::FirstUse => ("jti is used for the first time", "jti 首次使用"),
            Step::Agreement => {
                ("an agreement in force allows item, op and basis", "生效协议允许该事项、操作与依据")
            }
            Step::Body => ("the body meets its schema", "正文符合模式"),
            Step::License => {
                ("the agreement lists type, mode, fields and region", "协议列有该证照类型、方式、字段与地区")
            }
            Step::Authorization => {
                ("the citizen's authorization covers exactly this", "公民授权恰好覆盖本次请求")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_in_the_order_of_the_checks() {
        assert!(Step::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Step::ALL[0], Step::Member);
        assert_eq!(*Step::ALL.last().unwrap(), Step::Authorization);
    }
}
