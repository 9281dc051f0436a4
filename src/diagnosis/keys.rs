//! Whose key it is, and which algorithm: `kid`, `alg`, and the keys that are looked through for a
//! signature.

use super::sight::{Sight, is_thumbprint};
use super::signature::{self, Other};
use super::{Findings, Said, View};
use crate::keys::{VerifyingKey, example};
use crate::peer::Card;

/// Keys that are tried for one signature: a directory of hundreds costs no more.
const MOST_TRIED: usize = 64;

pub(super) fn kid(view: &View<'_>, sight: &Sight<'_>, found: &mut Findings) {
    let kid = sight.head("kid");
    let own = view.card().and_then(|card| card.keys().keys().find(|key| key.kid() == kid));
    if own.is_some_and(|key| !key.in_force(view.now)) {
        return found.add("kid-not-in-force");
    }
    let holder = view.directory.cards().find(|card| card.keys().kids().any(|known| known == kid));
    if let Some(card) = holder {
        let region = card.region();
        return found.measured("kid-of-other-member", format!("it is {region}'s"), format!("属于 {region}"));
    }
    if view.authorities.iter().any(|authority| authority.keys().kids().any(|known| known == kid)) {
        return found.add("kid-of-authority");
    }
    if example::is_published_example(kid) {
        return found.add("kid-example");
    }
    let signer = view.card().and_then(|card| {
        let mut keys = card.keys().keys();
        keys.find(|key| key.verify(sight.signing_input.as_bytes(), &sight.signature))
    });
    if let Some(key) = signer {
        let kid = key.kid();
        found.measured("kid-wrong-name", format!("it is the key {kid}"), format!("实为密钥 {kid}"));
    }
    if !is_thumbprint(kid) {
        found.add("kid-own-name");
    } else if signer.is_none() {
        found.add("kid-unlisted");
    }
}

pub(super) fn alg(view: &View<'_>, sight: &Sight<'_>, found: &mut Findings) {
    let (alg, kid) = (sight.head("alg"), sight.head("kid"));
    let due = view.card().and_then(|card| card.keys().find(kid, view.now)).map(|key| key.alg().name());
    let due = due.unwrap_or_default();
    let id = match alg {
        _ if alg.eq_ignore_ascii_case("none") => "alg-none",
        "HS256" | "HS384" | "HS512" => "alg-shared-secret",
        "EdDSA" | "Ed25519" if due == "EdDSA" || due == "Ed25519" => "alg-eddsa-name",
        "RS256" | "RS384" | "RS512" if due == "PS256" => "alg-rsa-padding",
        _ => "alg-other",
    };
    found.measured(id, format!("registered is {due}"), format!("登记为 {due}"));
}

pub(super) fn signature(view: &View<'_>, sight: &Sight<'_>, found: &mut Findings) {
    let kid = sight.head("kid");
    let Some(key) = view.card().and_then(|card| card.keys().find(kid, view.now)) else { return };
    signature::mismatch(sight, key, &others(view, kid), found);
}

/// Every other known key, the sender's own first.
pub(super) fn others<'a>(view: &View<'a>, kid: &str) -> Vec<Other<'a>> {
    let of_card = |card: &'a Card| {
        let region = card.region();
        let whose = Said::new(format!("by a key of {region}"), format!("出自 {region} 的密钥"));
        card.keys().keys().map(move |key| Other { key, whose: whose.clone() })
    };
    let own = view.peer.and_then(|peer| view.directory.card(peer)).into_iter();
    let members = own.chain(view.directory.cards()).flat_map(|card| of_card(card));
    let by_authority = |key: &'a VerifyingKey| {
        let whose = Said::new("by an authority's key", "出自授权机构的密钥");
        Other { key, whose }
    };
    let authorities = view.authorities.iter().flat_map(|authority| authority.keys().keys()).map(by_authority);
    members.chain(authorities).filter(|other| other.key.kid() != kid).take(MOST_TRIED).collect()
}
