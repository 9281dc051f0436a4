//! The strict envelope: never panics on any bytes; what it takes has three parts of canonical
//! base64url and one length of header; nothing opens without a signature of a known key.
//!
//! The seeds hold messages sealed with the keys in `fuzz/keys.json`, whose private halves were
//! thrown away: a changed message that still opens is a forgery.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use tongban::authorization::StatusList;
use tongban::clock::Now;
use tongban::envelope::{Asked, SignedMessage, Typ, check_response};
use tongban::keys::KeySet;

const NOW: Now = Now::from_secs(1_900_000_000);

/// One key of every algorithm.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let keys = serde_json::from_str(include_str!("../keys.json")).expect("keys.json is JSON");
    KeySet::from_jwks(&keys).unwrap_or_else(|faults| panic!("keys.json is a good key set: {faults:?}"))
});

/// What was really signed: header and payload of every sealed seed.
static SIGNED: LazyLock<HashSet<&'static [u8]>> = LazyLock::new(|| {
    let sealed = [
        include_str!("../seeds/envelope/request-es256"),
        include_str!("../seeds/envelope/request-ps256"),
        include_str!("../seeds/envelope/request-ed25519"),
        include_str!("../seeds/envelope/response"),
        include_str!("../seeds/envelope/authorization"),
        include_str!("../seeds/envelope/status-list"),
    ];
    sealed.into_iter().map(|message| signing_input(message.trim_end().as_bytes())).collect()
});

fuzz_target!(|bytes: &[u8]| {
    // What an editor or a shell leaves at the end of a seed is not part of the message.
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let _ = StatusList::parse(bytes, &KEYS, "https://status.test/7", NOW);
    let asked = Asked {
        member: "urn:tongban:gw:421202",
        keys: &KEYS,
        me: "urn:tongban:gw:331083",
        jti: "AAAAAAAAAAAAAAAAAAAAAA",
        op: "ping",
        request_digest: &[0; 32],
    };
    let _ = check_response(bytes, 200, &asked, NOW);
    for typ in [Typ::Request, Typ::Response, Typ::Authorization, Typ::StatusList] {
        let Ok(message) = SignedMessage::parse(bytes) else { return };
        three_canonical_parts(bytes);
        if let Ok(opened) = message.open(typ, &KEYS, NOW) {
            assert!(SIGNED.contains(signing_input(bytes)), "nobody signed this");
            assert!(opened.payload.is_object());
            assert_eq!(opened.content_digest, tongban::envelope::digest(signing_input(bytes)));
        }
    }
});

fn three_canonical_parts(bytes: &[u8]) {
    let parts: Vec<_> = bytes.split(|byte| *byte == b'.').collect();
    assert_eq!(parts.len(), 3);
    for part in parts {
        let decoded = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(decoded).as_bytes(), part, "one spelling");
    }
}

fn signing_input(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| *byte == b'.').unwrap_or(message.len());
    &message[..end]
}
