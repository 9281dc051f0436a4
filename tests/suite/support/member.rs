//! Who takes part: a region with its signing key and its certificate.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::SerialNumber;
use serde_json::{Value, json};
use tongban::cli::pki::{CertificateAuthority, Issued, Subject, Validity, self_signed};
use tongban::clock::Now;
use tongban::domain::Region;
use tongban::keys::{Algorithm, SigningKey};

/// A member of the network, or somebody who would like to be one.
#[derive(Clone)]
pub struct Member {
    pub region: Region,
    pub signing: Arc<SigningKey>,
    /// A key that stood before [`Member::signing`]; the card keeps it, past its `exp`.
    pub retired: Arc<SigningKey>,
    /// The next key; its `nbf` is still to come.
    pub coming: Arc<SigningKey>,
    now: i64,
    pub chain_pem: String,
    pub key_pem: String,
    pub serial: SerialNumber,
    pub pin: String,
}

/// When the next key comes into force (seconds after the start).
pub const COMING: i64 = 600;

pub fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

pub fn new_key(algorithm: Algorithm) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_jwk(&SigningKey::generate(algorithm).unwrap()).unwrap())
}

fn validity(now: Now) -> Validity {
    Validity { from: now, days: 400 }
}

/// The card with these keys and no others.
pub fn with_keys(mut card: Value, keys: &[&Arc<SigningKey>]) -> Value {
    card["jwks"]["keys"] = keys.iter().map(|key| key.public_jwk()).collect();
    card
}

impl Member {
    /// A certificate that only a pin on a card makes known.
    pub fn pinned(code: &str, now: Now) -> Self {
        let issued = self_signed(&Subject::gateway(&region(code), &[]), validity(now)).unwrap();
        Self::of(code, issued, now)
    }

    /// A certificate of the CA.
    pub fn certified(code: &str, ca: &CertificateAuthority, now: Now) -> Self {
        let issued = ca.issue(&Subject::gateway(&region(code), &[]), validity(now)).unwrap();
        Self::of(code, issued, now)
    }

    fn of(code: &str, issued: Issued, now: Now) -> Self {
        Self {
            region: region(code),
            signing: new_key(Algorithm::Es256),
            retired: new_key(Algorithm::Es256),
            coming: new_key(Algorithm::Es256),
            now: now.secs(),
            chain_pem: issued.certificate_pem.clone(),
            key_pem: issued.private_key_pem.to_string(),
            serial: issued.serial.clone(),
            pin: issued.spki_sha256,
        }
    }

    /// The gateway whose directory `tongban init` made at `home`, with a certificate of the CA.
    pub fn at_home(home: &Path, code: &str, ca: &CertificateAuthority, now: Now) -> Self {
        let member = Self::certified(code, ca, now);
        let signing = SigningKey::load(&home.join("keys/sign.jwk")).unwrap();
        fs::write(home.join("keys/tls.crt"), &member.chain_pem).unwrap();
        fs::write(home.join("keys/tls.key"), &member.key_pem).unwrap();
        Self { signing: Arc::new(signing), ..member }
    }

    pub fn urn(&self) -> String {
        self.region.gateway_urn()
    }

    /// Base64 of the DER of its certificate.
    pub fn certificate_text(&self) -> String {
        let lines = self.chain_pem.lines().skip(1);
        lines.take_while(|line| !line.starts_with("-----END")).collect()
    }

    /// The card without pins: the CA speaks for the certificate.
    pub fn card(&self, endpoint: &str) -> Value {
        let mut retired = self.retired.public_jwk();
        retired["exp"] = self.now.into();
        let mut coming = self.coming.public_jwk();
        coming["nbf"] = (self.now + COMING).into();
        let keys = [self.signing.public_jwk(), retired, coming];
        json!({
            "id": self.urn(), "region": self.region, "name": self.region.name(), "endpoint": endpoint,
            "jwks": {"keys": keys}, "contact": "0715-0000000", "status": "active"
        })
    }

    /// The card with this certificate pinned.
    pub fn pinning_card(&self, endpoint: &str) -> Value {
        let mut card = self.card(endpoint);
        card["tls"] = json!({"spki_sha256": [self.pin]});
        card
    }
}
