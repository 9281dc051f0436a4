//! What an authority gives for a citizen's one-time code, checked before it is handed to the
//! window: an authorization of this authority, for this gateway, bound to our key.
//!
//! The answering side checks everything again; here a wrong one is noticed while the citizen
//! still stands at the window.

use super::token::AuthorizationClaims;
use super::{Authority, AuthorizationFault, InvalidReason, MOST_TOKEN_BYTES};
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{SignedMessage, Typ, times};
use crate::schema::Catalog;

/// An authorization that this gateway can use. Made by [`check_redeemed`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeemed {
    pub authorization: String,
    /// The answering gateway it is for.
    pub aud: String,
    pub exp: i64,
}

/// Shape, typ, kid, alg, signature, claims, issuer, client, times, key binding.
pub fn check_redeemed(
    token: &str,
    authority: &Authority,
    me: Region,
    signer_kid: &str,
    now: Now,
) -> Result<Redeemed, AuthorizationFault> {
    let invalid = AuthorizationFault::Invalid;
    if token.len() > MOST_TOKEN_BYTES {
        return Err(invalid(InvalidReason::Size));
    }
    let opened = SignedMessage::parse_up_to(token.as_bytes(), MOST_TOKEN_BYTES)?
        .open_with(Typ::Authorization, |kid| authority.keys().find(kid, now))?;
    let claims: AuthorizationClaims =
        Catalog::embedded().admit(&opened.payload).map_err(|_| invalid(InvalidReason::Schema))?.into_inner();
    times::exp_after_iat(claims.iat, claims.exp).map_err(|_| invalid(InvalidReason::Schema))?;
    if claims.iss != authority.id() {
        return Err(invalid(InvalidReason::Issuer));
    }
    if claims.client_id != me.gateway_urn() {
        return Err(invalid(InvalidReason::Client));
    }
    if claims.iat.max(claims.nbf) > now.secs().saturating_add(times::SKEW) {
        return Err(invalid(InvalidReason::NotYetValid));
    }
    if now.secs() >= claims.exp {
        return Err(AuthorizationFault::Expired);
    }
    // A code was shown in public: what it becomes must be of use to nobody else.
    if claims.cnf.is_none_or(|cnf| cnf.jkt != signer_kid) {
        return Err(invalid(InvalidReason::KeyBinding));
    }
    Ok(Redeemed { authorization: token.to_owned(), aud: claims.aud, exp: claims.exp })
}
