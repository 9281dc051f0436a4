//! The claims of an authorization token (protocol §3.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::envelope::digest;
use crate::schema::{Admissible, Kind};

/// The one type of entry that covers a license lookup; any other covers nothing.
pub const LICENSE_DETAIL: &str = "urn:tongban:license";

/// Claims of a token, Rust twin of `schemas/authorization.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct AuthorizationClaims {
    pub ver: i64,
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub client_id: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: String,
    pub auth_time: i64,
    pub acr: String,
    /// [`holder_digest`] of the person who said yes.
    pub holder: String,
    pub cnf: Option<Confirmation>,
    pub authorization_details: Vec<Detail>,
    #[serde(default)]
    pub sensitive: bool,
    pub guardian: Option<Guardian>,
    pub notice: Option<String>,
    pub status: Option<StatusClaim>,
}

impl Admissible for AuthorizationClaims {
    const KIND: Kind = Kind::Authorization;
}

/// The key the token is bound to (RFC 7800; `jkt` of RFC 9449 §6.1).
#[derive(Clone, Debug, Deserialize)]
pub struct Confirmation {
    pub jkt: String,
}

/// The person who said yes speaks for a ward.
#[derive(Clone, Debug, Deserialize)]
pub struct Guardian {
    /// [`holder_digest`] of the ward.
    pub holder: String,
    /// GB/T 4761.
    pub relation: String,
}

/// OAuth Token Status List §6.1.
#[derive(Clone, Debug, Deserialize)]
pub struct StatusClaim {
    pub status_list: StatusReference,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StatusReference {
    pub idx: u64,
    pub uri: String,
}

/// One entry of `authorization_details` (RFC 9396).
#[derive(Clone, Debug)]
pub enum Detail {
    License(LicenseDetail),
    /// Of a type this gateway does not know: well formed, covers nothing.
    Other,
}

#[derive(Clone, Debug, Deserialize)]
pub struct LicenseDetail {
    pub actions: Vec<String>,
    pub datatypes: Vec<String>,
    pub fields: Vec<String>,
    pub item: String,
    pub case: Option<String>,
    #[serde(default = "once")]
    pub max_uses: u32,
}

const fn once() -> u32 {
    1
}

impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = Value::deserialize(deserializer)?;
        if entry.get("type").and_then(Value::as_str) == Some(LICENSE_DETAIL) {
            LicenseDetail::deserialize(entry).map(Self::License).map_err(serde::de::Error::custom)
        } else {
            Ok(Self::Other)
        }
    }
}

impl AuthorizationClaims {
    /// Entries about licenses.
    pub fn license_details(&self) -> impl Iterator<Item = &LicenseDetail> {
        self.authorization_details.iter().filter_map(|detail| match detail {
            Detail::License(license) => Some(license),
            Detail::Other => None,
        })
    }

    /// How often the token may be used: of several entries the largest number counts.
    pub fn max_uses(&self) -> u32 {
        self.license_details().map(|detail| detail.max_uses).max().unwrap_or(1)
    }

    /// Whose licenses may be asked for: the ward's where a guardian speaks, else the holder's.
    pub fn subject_digest(&self) -> &str {
        self.guardian.as_ref().map_or(&self.holder, |guardian| &guardian.holder)
    }
}

/// `base64url(SHA-256(jti ‖ 0x00 ‖ holder type code ‖ 0x00 ‖ normalised number))`: salted with the
/// jti, so that two tokens of one person do not show that they are.
pub fn holder_digest(jti: &str, holder_type: &str, number: &str) -> String {
    let text = [jti.as_bytes(), &[0], holder_type.as_bytes(), &[0], number.as_bytes()].concat();
    URL_SAFE_NO_PAD.encode(digest(&text))
}

/// `SHA-256(iss ‖ 0x00 ‖ jti)`: how leaves and use counts name a token (protocol §7.1, `auth`).
pub fn token_id(iss: &str, jti: &str) -> [u8; 32] {
    digest(&[iss.as_bytes(), &[0], jti.as_bytes()].concat())
}
