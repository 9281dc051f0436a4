//! `card`: this gateway's public card (protocol §8), computed from its keys each time, so that
//! it cannot disagree with them.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::{Common, Exit, Outcome, Stop, out, pki};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::domain::Region;
use crate::keys::{KeyFileFault, SigningKey, read_private_file};

/// Print this gateway's public card: send it to the partner, compare the fingerprints by phone.
#[derive(clap::Args)]
pub struct Card {}

#[derive(Debug, thiserror::Error)]
pub enum CardFault {
    #[error(transparent)]
    Key(#[from] KeyFileFault),
    #[error("{0}: cannot be read ({1})")]
    Unreadable(String, std::io::ErrorKind),
    #[error("{0}: {1}")]
    Certificate(String, pki::PkiFault),
    #[error("{0}: is no Ed25519 private key in PKCS#8 PEM")]
    LedgerKey(String),
}

impl From<CardFault> for Stop {
    fn from(fault: CardFault) -> Self {
        Self::usage(fault)
    }
}

impl Card {
    pub fn run(self, common: &Common) -> Outcome {
        out::json(&own_card(&common.load()?, Clock::system().now())?);
        Ok(Exit::Well)
    }
}

/// The card of the gateway that `config` describes; `now` chooses the ledger of the half-year.
pub fn own_card(config: &Config, now: Now) -> Result<Value, CardFault> {
    let signing = SigningKey::load(&config.path(&config.signing.key))?;
    let certificate = config.path(&config.partner_listener.certificate);
    let chain = std::fs::read(&certificate)
        .map_err(|e| CardFault::Unreadable(certificate.display().to_string(), e.kind()))?;
    let pin = pki::spki_sha256(&chain)
        .map_err(|fault| CardFault::Certificate(certificate.display().to_string(), fault))?;
    let ledger = ledger_public_key(&config.path(&config.ledger.key))?;
    let listen = format!("https://{}", config.partner_listener.listen);
    Ok(assemble(&Parts {
        region: config.region.code,
        name: &config.region.name,
        endpoint: config.partner_listener.endpoint.as_deref().unwrap_or(&listen),
        contact: config.region.contact.as_deref().unwrap_or_default(),
        signing_jwk: signing.public_jwk(),
        spki_sha256: &pin,
        ledger_public: &ledger,
        now,
    }))
}

/// What a card is made of; everything here is public.
pub struct Parts<'a> {
    pub region: Region,
    pub name: &'a str,
    pub endpoint: &'a str,
    pub contact: &'a str,
    pub signing_jwk: Value,
    pub spki_sha256: &'a str,
    pub ledger_public: &'a [u8],
    pub now: Now,
}

/// The card as JSON.
pub fn assemble(parts: &Parts<'_>) -> Value {
    let origin = ledger_origin(parts.region, parts.now);
    json!({
        "id": parts.region.gateway_urn(),
        "region": parts.region.as_str(),
        "name": parts.name,
        "endpoint": parts.endpoint,
        "tls": { "spki_sha256": [parts.spki_sha256] },
        "jwks": { "keys": [parts.signing_jwk] },
        "ledger": { "vkey": vkey(&origin, parts.ledger_public), "origin": origin },
        "contact": parts.contact,
        "status": "active",
    })
}

/// `tongban/<region>/<year>h<1 or 2>`, the half-year in Asia/Shanghai (protocol §1).
fn ledger_origin(region: Region, now: Now) -> String {
    let day = now.shanghai_day();
    let half = if day.month() <= 6 { 1 } else { 2 };
    format!("tongban/{region}/{}h{half}", day.year())
}

/// A verifier key in the form of C2SP signed-note: name, key id, algorithm 1 and the key.
fn vkey(name: &str, public: &[u8]) -> String {
    const ED25519: u8 = 1;
    let key = [&[ED25519], public].concat();
    let id = digest(&SHA256, &[name.as_bytes(), b"\n", &key].concat());
    let id = id.as_ref().get(..4).unwrap_or_default();
    format!("{name}+{}+{}", hex::encode(id), STANDARD.encode(key))
}

fn ledger_public_key(path: &Path) -> Result<Vec<u8>, CardFault> {
    let pem = read_private_file(path)?;
    let fault = || CardFault::LedgerKey(path.display().to_string());
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| fault())?;
    let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| fault())?;
    Ok(pair.public_key().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_turns_with_the_half_year_in_shanghai() {
        let region = Region::parse("421202").unwrap();
        let last = Now::from_secs(1_782_835_199); // 2026-06-30T23:59:59+08:00
        assert_eq!(ledger_origin(region, last), "tongban/421202/2026h1");
        assert_eq!(ledger_origin(region, Now::from_secs(last.secs() + 1)), "tongban/421202/2026h2");
    }

    #[test]
    fn the_verifier_key_is_that_of_the_ledger_reference() {
        let known =
            "exchange-log.county-a.example/2026h2+a5194cd7+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
        let public = STANDARD.decode(known.rsplit('+').next().unwrap()).unwrap();
        assert_eq!(vkey("exchange-log.county-a.example/2026h2", &public[1..]), known);
    }
}
