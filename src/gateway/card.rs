//! This gateway's public card (protocol §8), computed from its keys each time, so that it
//! cannot disagree with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::Now;
use crate::config::Config;
use crate::ledger::{Vkey, current_origin};

use super::keys::Keys;

impl Keys {
    /// The card of the gateway that `config` describes; `now` chooses the ledger of the half-year.
    pub fn card(&self, config: &Config, now: Now) -> Value {
        let origin = current_origin(config.region.code, now);
        let listen = format!("https://{}", config.partner_listener.listen);
        let pins: Vec<String> =
            self.credentials.spki_sha256().iter().map(|pin| URL_SAFE_NO_PAD.encode(pin)).collect();
        json!({
            "id": config.region.code.gateway_urn(),
            "region": config.region.code,
            "name": config.region.name,
            "endpoint": config.partner_listener.endpoint.as_deref().unwrap_or(&listen),
            "tls": { "spki_sha256": pins },
            "jwks": { "keys": [self.signing.load().public_jwk()] },
            "ledger": {
                "origin": origin,
                "vkey": Vkey::new(&origin, self.ledger_public).map(|vkey| vkey.to_string()),
            },
            "contact": config.region.contact.as_deref().unwrap_or_default(),
            "status": "active",
        })
    }
}
