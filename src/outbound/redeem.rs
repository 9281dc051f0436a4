//! A citizen's one-time code becomes an authorization (亮证扫码): the window scans the code
//! from the citizen's app, we ask the authority that showed it.
//!
//! Promises: only configured addresses are asked; a code goes to one authority and is neither
//! kept nor logged; what comes back is that authority's, for us, bound to our key, or nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::authorization::{Authority, AuthorizationFault, MOST_TOKEN_BYTES, Redeemed, check_redeemed};
use crate::house::House;
use crate::json;
use crate::web::{Bounds, WebFault};

/// The authority answers while a citizen waits; the code lives 60 s at most.
const DEADLINE: Duration = Duration::from_secs(10);

/// Octets of the authority's answer: a token in its JSON, with room to spare.
const MOST_ANSWER_BYTES: usize = 2 * MOST_TOKEN_BYTES;

/// A code has 128 random bits at least, 22 characters of base64url; the longest anybody
/// would draw as a QR code has 128.
const CODE_CHARACTERS: std::ops::RangeInclusive<usize> = 22..=128;

/// What the window scanned.
pub struct Code(String);

/// Why there is no authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedeemFault {
    #[error("no active authority of that name gives authorizations for codes")]
    NoAuthority,
    #[error("several authorities give authorizations for codes; the request must name one")]
    WhichAuthority,
    #[error("the code is unknown to the authority, was used, or has expired")]
    UnknownCode,
    #[error("the authority cannot be asked: {0}")]
    Unreachable(WebFault),
    #[error("the authority did not answer in time")]
    Timeout,
    #[error("the authority refused with status {0}")]
    Refused(u16),
    #[error("the authority's answer has another shape")]
    Shape,
    #[error("what the authority gave cannot be used here: {0}")]
    Unusable(AuthorizationFault),
}

impl Code {
    /// `[A-Za-z0-9_-]{22,128}`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (plain && CODE_CHARACTERS.contains(&text.len())).then(|| Self(text.to_owned()))
    }
}

/// The authorization for a code, and whose it is.
pub async fn redeem(
    house: &House,
    code: &Code,
    authority: Option<&str>,
) -> Result<(Redeemed, Arc<Authority>), RedeemFault> {
    let authority = asked(house, authority)?;
    let address = authority.redeem().ok_or(RedeemFault::NoAuthority)?;
    let jkt = house.signing.load().kid().to_owned();
    let ask = json!({ "code": code.0, "client_id": house.me.gateway_urn(), "jkt": jkt });
    let bounds = Bounds { deadline: DEADLINE, most: MOST_ANSWER_BYTES };
    let answer = house.web.post(address, &ask, bounds).await.map_err(|fault| match fault {
        WebFault::Timeout => RedeemFault::Timeout,
        other => RedeemFault::Unreachable(other),
    })?;
    match answer.status {
        200 => {}
        400 | 404 | 409 | 410 => return Err(RedeemFault::UnknownCode),
        other => return Err(RedeemFault::Refused(other)),
    }
    let document = json::parse(&answer.body).map_err(|_| RedeemFault::Shape)?;
    let token = document.get("authorization").and_then(Value::as_str).ok_or(RedeemFault::Shape)?;
    let redeemed = check_redeemed(token, &authority, house.me, &jkt, house.clock.now());
    redeemed.map(|redeemed| (redeemed, authority)).map_err(RedeemFault::Unusable)
}

/// The named authority; unnamed, the only one that has an address. A code is never tried at
/// one after the other: whoever got it wrongly could use it.
fn asked(house: &House, named: Option<&str>) -> Result<Arc<Authority>, RedeemFault> {
    let trust = house.trust.load();
    let mut able = trust
        .authorities
        .iter()
        .filter(|authority| authority.is_active() && authority.redeem().is_some())
        .filter(|authority| named.is_none_or(|id| authority.id() == id));
    match (able.next(), able.next()) {
        (Some(only), None) => Ok(Arc::clone(only)),
        (None, _) => Err(RedeemFault::NoAuthority),
        (Some(_), Some(_)) => Err(RedeemFault::WhichAuthority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_128_bits_and_no_odd_characters() {
        assert!(Code::parse("A-_z0123456789abcdefgh").is_some());
        for odd in
            ["", "A-_z0123456789abcdefg", "A-_z0123456789abcdefg/", &"a".repeat(129), "一二三四五六七八"]
        {
            assert!(Code::parse(odd).is_none(), "{odd}");
        }
    }
}
