//! One JWK (RFC 7517), read strictly: what makes it a public key of ours, and its id.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Algorithm, weak};
use crate::fault::Fault;

/// RSA moduli: below, too weak; above, one signature costs a millisecond (bits).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// The one exponent allowed, 65537: with `e` = 1 everybody can sign.
const RSA_EXPONENT: &str = "AQAB";

/// Why a JWK is not a usable key. Never carries a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkFault {
    #[error("is not strict JSON")]
    Json,
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("kty must be EC, RSA or OKP")]
    KeyType,
    #[error("crv must be P-256 for EC and Ed25519 for OKP")]
    Curve,
    #[error("{0} is missing or is not canonical base64url of the right length")]
    Member(&'static str),
    #[error("the point is not on the curve")]
    NotOnCurve,
    #[error("the modulus must be odd, have 2048 to 4096 bits and no small factors")]
    Modulus,
    #[error("the modulus was made by the ROCA generator (CVE-2017-15361)")]
    Roca,
    #[error("e must be 65537")]
    Exponent,
    #[error("the point has small order: one signature fits every message")]
    SmallOrder,
    #[error("a public key holds the private member {0}")]
    Private(&'static str),
    #[error("use must be \"sig\"")]
    Use,
    #[error("key_ops must be a list that includes {0}")]
    KeyOps(&'static str),
    #[error("kid is not the RFC 7638 SHA-256 thumbprint of this key")]
    Kid,
    #[error("alg must be ES256 for P-256, PS256 for RSA, EdDSA or Ed25519 for Ed25519")]
    Algorithm,
    #[error("nbf and exp must be integer seconds, exp after nbf")]
    Validity,
    #[error("the private and the public half do not belong together")]
    Inconsistent,
    #[error("this key's private half is published as an example")]
    Published,
}

impl JwkFault {
    /// The same as a fault in a document; the pointer is relative to the JWK.
    pub fn fault(self) -> Fault {
        let (member, rule, zh) = match self {
            Self::Json => ("", "json", "不是有效的 JSON"),
            Self::NotAnObject => ("", "type", "必须是 JSON 对象"),
            Self::KeyType => ("/kty", "key-type", "密钥类型必须是 EC、RSA 或 OKP"),
            Self::Curve => ("/crv", "key-curve", "曲线必须是 P-256 或 Ed25519"),
            Self::Member("x") => ("/x", "key-member", "缺失,或不是长度正确的规范 base64url"),
            Self::Member("y") => ("/y", "key-member", "缺失,或不是长度正确的规范 base64url"),
            Self::Member("n") => ("/n", "key-member", "缺失,或不是长度正确的规范 base64url"),
            Self::Member(_) => ("", "key-member", "缺失,或不是长度正确的规范 base64url"),
            Self::NotOnCurve => ("/x", "key-not-on-curve", "点不在曲线上"),
            Self::Modulus => ("/n", "key-modulus", "模数必须为奇数、2048 至 4096 位且无小因子"),
            Self::Roca => ("/n", "key-roca", "模数由有 ROCA 缺陷的生成器产生"),
            Self::Exponent => ("/e", "key-exponent", "公钥指数必须是 65537"),
            Self::SmallOrder => ("/x", "key-small-order", "小阶点,签名可匹配任意报文"),
            Self::Private(_) => ("", "key-private", "公钥中含有私钥成员"),
            Self::Use => ("/use", "key-use", "用途必须是 sig"),
            Self::KeyOps(_) => ("/key_ops", "key-ops", "key_ops 未包含所需操作"),
            Self::Kid => ("/kid", "key-id", "kid 不是该密钥的 RFC 7638 指纹"),
            Self::Algorithm => ("/alg", "key-algorithm", "算法与密钥类型不符"),
            Self::Validity => ("/exp", "key-validity", "nbf、exp 必须是整数秒且 exp 晚于 nbf"),
            Self::Inconsistent => ("", "key-inconsistent", "公钥与私钥不配对"),
            Self::Published => ("", "key-published", "示例密钥,其私钥已公开"),
        };
        Fault::new(member, rule, self.to_string(), zh)
    }
}

/// The public half of a key, checked.
pub(super) enum PublicPoint {
    /// SEC 1 uncompressed: 4 ‖ x ‖ y.
    P256([u8; 65]),
    /// The modulus, big-endian without leading zeros; the exponent is 65537.
    Rsa(Vec<u8>),
    Ed25519([u8; 32]),
}

/// What a JWK says about a public key, all rules met.
pub(super) struct PublicJwk {
    pub point: PublicPoint,
    pub alg: Algorithm,
    pub kid: String,
    /// In force from (inclusive) and until (exclusive), seconds.
    pub from: Option<i64>,
    pub until: Option<i64>,
}

/// Every private member of RFC 7518 §6.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Reads a partner's key: no private members, fit to verify.
pub(super) fn read_public(jwk: &Value) -> Result<PublicJwk, JwkFault> {
    let members = jwk.as_object().ok_or(JwkFault::NotAnObject)?;
    if let Some(member) = PRIVATE_MEMBERS.into_iter().find(|name| members.contains_key(*name)) {
        return Err(JwkFault::Private(member));
    }
    read_for(members, "verify")
}

/// Reads the public half of a key that is to do `operation`.
pub(super) fn read_for(members: &Map<String, Value>, operation: &'static str) -> Result<PublicJwk, JwkFault> {
    let point = match text(members, "kty") {
        Some("EC") => read_p256(members)?,
        Some("RSA") => read_rsa(members)?,
        Some("OKP") => read_ed25519(members)?,
        _ => return Err(JwkFault::KeyType),
    };
    if members.get("use").is_some_and(|usage| usage != "sig") {
        return Err(JwkFault::Use);
    }
    if let Some(operations) = members.get("key_ops")
        && !operations.as_array().is_some_and(|list| list.iter().any(|op| op == operation))
    {
        return Err(JwkFault::KeyOps(operation));
    }
    let kid = thumbprint(members);
    if members.get("kid").is_some_and(|given| given != kid.as_str()) {
        return Err(JwkFault::Kid);
    }
    let alg = read_algorithm(members, &point)?;
    let (from, until) = read_validity(members)?;
    Ok(PublicJwk { point, alg, kid, from, until })
}

fn read_p256(members: &Map<String, Value>) -> Result<PublicPoint, JwkFault> {
    if text(members, "crv") != Some("P-256") {
        return Err(JwkFault::Curve);
    }
    // Exactly 32 bytes each: shifting a byte from one to the other would give one key two ids.
    let x: [u8; 32] = fixed(members, "x")?;
    let y: [u8; 32] = fixed(members, "y")?;
    let mut point = [4; 65];
    for (to, from) in point.iter_mut().skip(1).zip(x.into_iter().chain(y)) {
        *to = from;
    }
    Ok(PublicPoint::P256(point))
}

fn read_rsa(members: &Map<String, Value>) -> Result<PublicPoint, JwkFault> {
    if text(members, "e") != Some(RSA_EXPONENT) {
        return Err(JwkFault::Exponent);
    }
    let n = bytes(members, "n")?;
    let bits = match n.first() {
        Some(first) if *first != 0 => {
            n.len().saturating_mul(8).saturating_sub(usize::try_from(first.leading_zeros()).unwrap_or(0))
        }
        _ => return Err(JwkFault::Member("n")),
    };
    if !RSA_BITS.contains(&bits) || n.last().is_none_or(|last| last & 1 == 0) {
        return Err(JwkFault::Modulus);
    }
    if weak::has_small_factor(&n) {
        return Err(JwkFault::Modulus);
    }
    if weak::is_roca(&n) {
        return Err(JwkFault::Roca);
    }
    Ok(PublicPoint::Rsa(n))
}

fn read_ed25519(members: &Map<String, Value>) -> Result<PublicPoint, JwkFault> {
    if text(members, "crv") != Some("Ed25519") {
        return Err(JwkFault::Curve);
    }
    let x: [u8; 32] = fixed(members, "x")?;
    if weak::has_small_order(x) {
        return Err(JwkFault::SmallOrder);
    }
    Ok(PublicPoint::Ed25519(x))
}

fn read_algorithm(members: &Map<String, Value>, point: &PublicPoint) -> Result<Algorithm, JwkFault> {
    let given = match members.get("alg") {
        None => None,
        Some(alg) => Some(alg.as_str().and_then(Algorithm::from_name).ok_or(JwkFault::Algorithm)?),
    };
    match (point, given) {
        (PublicPoint::P256(_), None | Some(Algorithm::Es256)) => Ok(Algorithm::Es256),
        (PublicPoint::Rsa(_), None | Some(Algorithm::Ps256)) => Ok(Algorithm::Ps256),
        (PublicPoint::Ed25519(_), None | Some(Algorithm::EdDsa)) => Ok(Algorithm::EdDsa),
        (PublicPoint::Ed25519(_), Some(Algorithm::Ed25519)) => Ok(Algorithm::Ed25519),
        _ => Err(JwkFault::Algorithm),
    }
}

fn read_validity(members: &Map<String, Value>) -> Result<(Option<i64>, Option<i64>), JwkFault> {
    let seconds = |name| match members.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().filter(|at| *at >= 0).map(Some).ok_or(JwkFault::Validity),
    };
    let (from, until) = (seconds("nbf")?, seconds("exp")?);
    match (from, until) {
        (Some(from), Some(until)) if until <= from => Err(JwkFault::Validity),
        pair => Ok(pair),
    }
}

/// RFC 7638 §3: SHA-256 over the required members in lexical order. The values are checked
/// base64url or fixed names by now, so nothing needs escaping.
fn thumbprint(members: &Map<String, Value>) -> String {
    let required: &[&str] = match text(members, "kty") {
        Some("RSA") => &["e", "kty", "n"],
        Some("EC") => &["crv", "kty", "x", "y"],
        _ => &["crv", "kty", "x"],
    };
    let pairs: Vec<String> = required
        .iter()
        .map(|name| format!("\"{name}\":\"{}\"", text(members, name).unwrap_or_default()))
        .collect();
    let canonical = format!("{{{}}}", pairs.join(","));
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// Canonical, unpadded base64url.
pub(super) fn bytes(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, JwkFault> {
    let text = text(members, name).ok_or(JwkFault::Member(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwkFault::Member(name))
}

pub(super) fn fixed<const N: usize>(
    members: &Map<String, Value>,
    name: &'static str,
) -> Result<[u8; N], JwkFault> {
    bytes(members, name)?.try_into().map_err(|_| JwkFault::Member(name))
}
