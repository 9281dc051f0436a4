//! The check itself, one step after the other (protocol §3.4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cover::{self, Ask};
use super::status_list::{Status, StatusLists};
use super::token::{self, AuthorizationClaims};
use super::{Authorities, AuthorizationFault, InvalidReason, MOST_TOKEN_BYTES};
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{SignedMessage, Typ, digest, times};
use crate::schema::Catalog;

/// The life of a token for one use (seconds): the citizen stands at the window.
const MOST_LIFE_ONCE: i64 = 15 * 60;
/// The life of a token for several uses (seconds).
const MOST_LIFE: i64 = 24 * 3600;
/// The most uses one yes can mean.
const MOST_USES: u32 = 100;
/// Verified tokens remembered: those of a busy quarter of an hour; ≤ 64 MB at the largest size.
const MOST_REMEMBERED: usize = 4096;

/// A token that covers one request. Made by [`Authorizer::check`] only.
#[derive(Clone)]
pub struct Consent {
    /// `SHA-256(iss ‖ 0x00 ‖ jti)`.
    pub token_id: [u8; 32],
    /// The ledger counts up to here, durably.
    pub max_uses: u32,
    /// The token's own `exp`, without skew.
    pub exp: i64,
    token: Arc<VerifiedToken>,
}

impl Consent {
    /// Whether the holder found in a register's record is the one whose licenses may be seen:
    /// to be asked of every record found by license id.
    pub fn holds(&self, holder_type: &str, number: &str) -> bool {
        let claims = &self.token.claims;
        token::holder_digest(&claims.jti, holder_type, number) == claims.subject_digest()
    }

    /// Until when a use must be remembered: from then on the token itself is refused (seconds).
    pub fn keep_until(&self) -> i64 {
        times::keep_until(self.exp)
    }
}

/// Checks tokens; remembers which bytes an authority's key has been found under, never whom or
/// what they allow.
#[derive(Default)]
pub struct Authorizer {
    remembered: Mutex<Remembered>,
}

impl Authorizer {
    /// The same steps as the envelope with the token's own typ and role, then `iss`, `aud`,
    /// `client_id`, times, `holder`, `cnf`, status, cover. The use is counted by the ledger.
    pub fn check(
        &self,
        token: &str,
        ask: &Ask<'_>,
        authorities: &Authorities,
        lists: &StatusLists,
        now: Now,
    ) -> Result<Consent, AuthorizationFault> {
        let verified = self.verified(token, authorities, now)?;
        let claims = &verified.claims;
        check_parties(claims, ask.me, ask.client)?;
        check_times(claims, now)?;
        let consent = Consent {
            token_id: verified.id,
            max_uses: claims.max_uses(),
            exp: claims.exp,
            token: Arc::clone(&verified),
        };
        if ask.holder.is_some_and(|(kind, number)| !consent.holds(kind, number)) {
            return Err(AuthorizationFault::Invalid(InvalidReason::Holder));
        }
        check_binding(claims, ask.signer_kid)?;
        check_status(claims, lists, now)?;
        if cover::covers(claims, ask) { Ok(consent) } else { Err(AuthorizationFault::Insufficient) }
    }

    /// An authorization that an application of ours to `to` carries, as a commitment's signature
    /// or for later: everything but holder, cover and uses, which are judged where it is used.
    /// `signer_kid` names our signing key.
    pub fn check_carried(
        &self,
        token: &str,
        (me, to): (Region, Region),
        signer_kid: &str,
        authorities: &Authorities,
        lists: &StatusLists,
        now: Now,
    ) -> Result<(), AuthorizationFault> {
        let verified = self.verified(token, authorities, now)?;
        check_parties(&verified.claims, to, me)?;
        check_times(&verified.claims, now)?;
        check_binding(&verified.claims, signer_kid)?;
        check_status(&verified.claims, lists, now)
    }

    /// Shape, typ, kid, alg, signature, strict payload, schema, issuer: what depends on the bytes
    /// and the snapshot alone may come from memory, the key's own times may not.
    fn verified(
        &self,
        token: &str,
        authorities: &Authorities,
        now: Now,
    ) -> Result<Arc<VerifiedToken>, AuthorizationFault> {
        if token.len() > MOST_TOKEN_BYTES {
            return Err(AuthorizationFault::Invalid(InvalidReason::Size));
        }
        let place = (digest(token.as_bytes()), authorities.generation());
        if let Some(known) = self.remembered().find(&place) {
            return match authorities.key(&known.kid, now) {
                Some(_) => Ok(known),
                None => Err(AuthorizationFault::Invalid(InvalidReason::KidNotTheirs)),
            };
        }
        let verified = Arc::new(verify(token, authorities, now)?);
        // A token for one use does not come back.
        if verified.claims.max_uses() > 1 {
            self.remembered().insert(place, Arc::clone(&verified));
        }
        Ok(verified)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that an authority signed and whose claims have their shape.
struct VerifiedToken {
    /// [`token::token_id`] of the claims.
    id: [u8; 32],
    claims: AuthorizationClaims,
    kid: String,
}

fn verify(token: &str, authorities: &Authorities, now: Now) -> Result<VerifiedToken, AuthorizationFault> {
    let invalid = AuthorizationFault::Invalid;
    let opened = SignedMessage::parse_up_to(token.as_bytes(), MOST_TOKEN_BYTES)?
        .open_with(Typ::Authorization, |kid| authorities.key(kid, now))?;
    let claims: AuthorizationClaims =
        Catalog::embedded().admit(&opened.payload).map_err(|_| invalid(InvalidReason::Schema))?.into_inner();
    times::exp_after_iat(claims.iat, claims.exp).map_err(|_| invalid(InvalidReason::Schema))?;
    match authorities.owner(&opened.kid) {
        Some(owner) if owner.id() == claims.iss => {
            let id = token::token_id(&claims.iss, &claims.jti);
            Ok(VerifiedToken { id, claims, kid: opened.kid })
        }
        _ => Err(invalid(InvalidReason::Issuer)),
    }
}

fn check_binding(claims: &AuthorizationClaims, signer_kid: &str) -> Result<(), AuthorizationFault> {
    if claims.cnf.as_ref().is_some_and(|cnf| cnf.jkt != signer_kid) {
        return Err(AuthorizationFault::Invalid(InvalidReason::KeyBinding));
    }
    Ok(())
}

fn check_parties(
    claims: &AuthorizationClaims,
    answering: Region,
    client: Region,
) -> Result<(), AuthorizationFault> {
    let is = |urn: &str, region: Region| urn.strip_prefix("urn:tongban:gw:") == Some(region.as_str());
    if !is(&claims.aud, answering) {
        return Err(AuthorizationFault::Invalid(InvalidReason::Audience));
    }
    if !is(&claims.client_id, client) {
        return Err(AuthorizationFault::Invalid(InvalidReason::Client));
    }
    Ok(())
}

/// Too early, too late, too long, in this order, as for messages.
fn check_times(claims: &AuthorizationClaims, now: Now) -> Result<(), AuthorizationFault> {
    let latest = now.secs().saturating_add(times::SKEW);
    if claims.iat > latest || claims.nbf > latest {
        return Err(AuthorizationFault::Invalid(InvalidReason::NotYetValid));
    }
    if now.secs() >= claims.exp.saturating_add(times::SKEW) {
        return Err(AuthorizationFault::Expired);
    }
    let uses = claims.max_uses();
    let most_life = if uses == 1 { MOST_LIFE_ONCE } else { MOST_LIFE };
    if !(1..=MOST_USES).contains(&uses) || claims.exp.saturating_sub(claims.iat) > most_life {
        return Err(AuthorizationFault::Invalid(InvalidReason::Lifetime));
    }
    Ok(())
}

fn check_status(
    claims: &AuthorizationClaims,
    lists: &StatusLists,
    now: Now,
) -> Result<(), AuthorizationFault> {
    let Some(status) = &claims.status else { return Ok(()) };
    match lists.status(&claims.iss, &status.status_list.uri, status.status_list.idx, now) {
        Status::Valid => Ok(()),
        Status::Revoked => Err(AuthorizationFault::Revoked),
        Status::Stale => Err(AuthorizationFault::StatusStale),
        Status::UnknownList => Err(AuthorizationFault::Invalid(InvalidReason::StatusListUnknown)),
        Status::NoSuchIndex => Err(AuthorizationFault::Invalid(InvalidReason::StatusIndex)),
    }
}

/// SHA-256 of the token's bytes, and the snapshot they were verified under.
type Place = ([u8; 32], u64);

/// Bounded by two halves: the older one is dropped when the younger is full, what is used again
/// moves to the younger.
#[derive(Default)]
struct Remembered {
    young: HashMap<Place, Arc<VerifiedToken>>,
    old: HashMap<Place, Arc<VerifiedToken>>,
}

impl Remembered {
    fn find(&mut self, place: &Place) -> Option<Arc<VerifiedToken>> {
        if let Some(known) = self.young.get(place) {
            return Some(Arc::clone(known));
        }
        let known = self.old.remove(place)?;
        self.insert(*place, Arc::clone(&known));
        Some(known)
    }

    fn insert(&mut self, place: Place, token: Arc<VerifiedToken>) {
        if self.young.len() >= MOST_REMEMBERED / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, token);
    }
}

/// How much is remembered after `more` further tokens.
#[cfg(test)]
pub(super) fn remembered_after(authorizer: &Authorizer, more: u64) -> usize {
    let mut remembered = authorizer.remembered();
    let Some(token) = remembered.young.values().next().map(Arc::clone) else { return 0 };
    for generation in 0..more {
        remembered.insert(([0; 32], u64::MAX - generation), Arc::clone(&token));
    }
    remembered.young.len() + remembered.old.len()
}
