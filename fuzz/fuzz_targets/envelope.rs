//! The strict envelope parser in front of josekit: never panics on any bytes, with and
//! without a key that could match.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tongban::clock::Now;
use tongban::envelope::{SignedMessage, Typ};
use tongban::keys::KeySet;

/// The public key of RFC 7515 appendix A.3.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let jwks = serde_json::json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]});
    KeySet::from_jwks(&jwks).unwrap_or_else(|_| panic!("the RFC's key is good"))
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = SignedMessage::parse(bytes) {
        for typ in [Typ::Request, Typ::Response, Typ::Authorization] {
            let _ = message.open(typ, &KEYS, Now::from_secs(1_900_000_000));
        }
    }
});
