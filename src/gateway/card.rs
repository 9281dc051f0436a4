//! This gateway's public card (protocol §8), computed from its keys each time, so that it
//! cannot disagree with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::Now;
use crate::config::Config;
use crate::ledger::{Ledger, Vkey, current_origin};

use super::keys::Keys;

/// The public halves that a card shows.
pub struct PublicKeys {
    pub signing_jwk: Value,
    /// base64url SHA-256 of the DER SPKI of the partner door's certificate.
    pub spki_sha256: Vec<String>,
    pub ledger: [u8; 32],
}

/// The card of the gateway that `config` describes; `now` chooses the ledger of the half-year.
pub fn card(config: &Config, keys: &PublicKeys, now: Now) -> Value {
    let origin = current_origin(config.region.code, now);
    let listen = format!("https://{}", config.partner_listener.listen);
    json!({
        "id": config.region.code.gateway_urn(),
        "region": config.region.code,
        "name": config.region.name,
        "endpoint": config.partner_listener.endpoint.as_deref().unwrap_or(&listen),
        "tls": { "spki_sha256": keys.spki_sha256 },
        "jwks": { "keys": [keys.signing_jwk] },
        "ledger": {
            "origin": origin,
            "vkey": Vkey::new(&origin, keys.ledger).map(|vkey| vkey.to_string()),
        },
        "contact": config.region.contact.as_deref().unwrap_or_default(),
        "status": "active",
    })
}

/// The card of a running gateway, whose log may be a half-year ahead after a restore.
pub fn of_log(mut card: Value, ledger: &Ledger) -> Value {
    let origin = ledger.origin();
    let vkey = ledger.vkey(&origin).map(|vkey| vkey.to_string());
    if let Some(named) = card.pointer_mut("/ledger") {
        *named = json!({ "origin": origin, "vkey": vkey });
    }
    card
}

impl Keys {
    /// The card as these keys make it now.
    pub fn card(&self, config: &Config, now: Now) -> Value {
        let pin = self.partner.credentials.spki_sha256();
        let keys = PublicKeys {
            signing_jwk: self.signing.load().public_jwk(),
            spki_sha256: pin.iter().map(|pin| URL_SAFE_NO_PAD.encode(pin)).collect(),
            ledger: self.ledger_public,
        };
        card(config, &keys, now)
    }
}
