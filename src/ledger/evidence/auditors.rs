//! Auditors' public keys: P-256 JWKs (`use: "enc"`, `alg: "ECDH-ES+A256KW"`), to which
//! evidence is sealed.

use josekit::jwe::{ECDH_ES_A256KW, alg::ecdh_es::EcdhEsJweEncrypter};
use josekit::jwk::Jwk;
use serde_json::{Map, Value, json};

use crate::fault::Fault;

/// One auditor's key, ready to be sealed to.
#[derive(Clone)]
pub struct AuditorKey {
    kid: String,
    encrypter: EcdhEsJweEncrypter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditorKeyFault {
    #[error("is not a JSON object")]
    NotAnObject,
    #[error("holds a private member: only the public half belongs here")]
    Private,
    #[error("kty must be EC and crv P-256")]
    KeyType,
    #[error("use must be \"enc\"")]
    Use,
    #[error("alg must be ECDH-ES+A256KW")]
    Algorithm,
    #[error("kid is not the RFC 7638 SHA-256 thumbprint of this key")]
    Kid,
    #[error("x and y are not a point of P-256")]
    Point,
}

impl AuditorKeyFault {
    fn zh(self) -> &'static str {
        match self {
            Self::NotAnObject => "必须是 JSON 对象",
            Self::Private => "含有私钥成员:此处只放公钥",
            Self::KeyType => "密钥类型必须是 EC,曲线 P-256",
            Self::Use => "用途必须是 enc",
            Self::Algorithm => "算法必须是 ECDH-ES+A256KW",
            Self::Kid => "kid 不是该密钥的 RFC 7638 指纹",
            Self::Point => "x、y 不是 P-256 上的点",
        }
    }
}

impl AuditorKey {
    /// The [`crate::folder::Folder`] parser of `[ledger] auditors`.
    pub fn from_value(jwk: &Value) -> Result<Self, Vec<Fault>> {
        Self::read(jwk).map_err(|fault| vec![Fault::new("", "auditor-key", fault.to_string(), fault.zh())])
    }

    pub fn read(jwk: &Value) -> Result<Self, AuditorKeyFault> {
        let members = jwk.as_object().ok_or(AuditorKeyFault::NotAnObject)?;
        if members.contains_key("d") || members.contains_key("k") {
            return Err(AuditorKeyFault::Private);
        }
        let says = |name: &str, value: &str| members.get(name).and_then(Value::as_str) == Some(value);
        if !says("kty", "EC") || !says("crv", "P-256") {
            return Err(AuditorKeyFault::KeyType);
        }
        if !says("use", "enc") {
            return Err(AuditorKeyFault::Use);
        }
        if !says("alg", "ECDH-ES+A256KW") {
            return Err(AuditorKeyFault::Algorithm);
        }
        let kid = thumbprint(members);
        if members.get("kid").is_some_and(|said| said.as_str() != Some(&kid)) {
            return Err(AuditorKeyFault::Kid);
        }
        let jwk = Jwk::from_map(members.clone()).map_err(|_| AuditorKeyFault::Point)?;
        let mut encrypter = ECDH_ES_A256KW.encrypter_from_jwk(&jwk).map_err(|_| AuditorKeyFault::Point)?;
        encrypter.set_key_id(&kid);
        Ok(Self { kid, encrypter })
    }

    /// RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn encrypter(&self) -> &EcdhEsJweEncrypter {
        &self.encrypter
    }
}

fn thumbprint(members: &Map<String, Value>) -> String {
    use base64::Engine as _;
    let member = |name: &str| members.get(name).cloned().unwrap_or_default();
    let canonical = json!({"crv": member("crv"), "kty": member("kty"), "x": member("x"), "y": member("y")});
    let hash = super::sha256(&crate::json::jcs(&canonical));
    super::URL_SAFE_NO_PAD.encode(hash)
}
