use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jws::{self, JwsHeader, JwsSigner as _, JwsVerifier as _};
use serde_json::{Value, json};

use super::*;
use crate::clock::Now;

const NOW: Now = Now::from_secs(1_900_000_000);
const ALL: [Algorithm; 4] = [Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa, Algorithm::Ed25519];

fn set_of(jwk: &Value) -> Result<KeySet, Vec<String>> {
    KeySet::from_jwks(&json!({ "keys": [jwk] }))
        .map_err(|faults| faults.into_iter().map(|f| f.rule).collect())
}

fn public_of(alg: Algorithm) -> Value {
    SigningKey::from_jwk(&SigningKey::generate(alg).unwrap()).unwrap().public_jwk()
}

fn refusal(jwk: &Value) -> String {
    match set_of(jwk) {
        Ok(_) => "accepted".to_owned(),
        Err(rules) => rules.join(","),
    }
}

/// A copy of `jwk` with one member changed (`null` removes it) and its `kid` left out.
fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut members = jwk.as_object().unwrap().clone();
    members.shift_remove("kid");
    if value.is_null() {
        members.shift_remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    Value::Object(members)
}

#[test]
fn what_a_key_signs_its_public_half_verifies_and_nothing_else() {
    for alg in ALL {
        let key = SigningKey::from_jwk(&SigningKey::generate(alg).unwrap()).unwrap();
        let set = set_of(&key.public_jwk()).unwrap();
        let public = set.find(key.kid(), NOW).unwrap();
        assert_eq!((public.kid(), public.alg()), (key.kid(), alg));
        let signature = key.sign(b"message").unwrap();
        assert!(public.signature_len_ok(signature.len()));
        assert!(public.verify(b"message", &signature));
        assert!(!public.verify(b"massage", &signature));
        for place in 0..signature.len() {
            let mut changed = signature.clone();
            changed[place] ^= 1;
            assert!(!public.verify(b"message", &changed), "{} byte {place}", alg.name());
        }
        assert!(!public.verify(b"message", &signature[1..]));
        assert!(!public.verify(b"message", &[signature.as_slice(), &[0]].concat()));
        assert!(!public.verify(b"message", b""));
    }
}

#[test]
fn josekits_own_implementation_agrees_in_both_directions() {
    for alg in [Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa] {
        let private = SigningKey::generate(alg).unwrap();
        let key = SigningKey::from_jwk(&private).unwrap();
        let jwk = Jwk::from_map(private.as_object().unwrap().clone()).unwrap();
        let public = jwk.to_public_key().unwrap();
        let (signer, verifier): (Box<dyn jws::JwsSigner>, Box<dyn jws::JwsVerifier>) = match alg {
            Algorithm::Es256 => (
                Box::new(jws::ES256.signer_from_jwk(&jwk).unwrap()),
                Box::new(jws::ES256.verifier_from_jwk(&public).unwrap()),
            ),
            Algorithm::Ps256 => (
                Box::new(jws::PS256.signer_from_jwk(&jwk).unwrap()),
                Box::new(jws::PS256.verifier_from_jwk(&public).unwrap()),
            ),
            _ => (
                Box::new(jws::EdDSA.signer_from_jwk(&jwk).unwrap()),
                Box::new(jws::EdDSA.verifier_from_jwk(&public).unwrap()),
            ),
        };
        let set = set_of(&key.public_jwk()).unwrap();
        let ours = set.find(key.kid(), NOW).unwrap();
        for length in [0, 1, 64, 1000] {
            let message = vec![b'm'; length];
            verifier.verify(&message, &key.sign(&message).unwrap()).unwrap();
            assert!(ours.verify(&message, &signer.sign(&message).unwrap()), "{}", alg.name());
        }
    }
}

#[test]
fn our_signer_and_verifier_are_josekits_traits_and_make_its_tokens() {
    let private = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let members = private.as_object().unwrap();
    let public = super::jwk::read_for(members, "sign").unwrap();
    let signer = super::jws::Signer::new(&public, members).unwrap();
    let verifier = super::jws::Verifier::new(&public).unwrap();
    let mut header = JwsHeader::new();
    header.set_token_type("x+jwt");
    let token = jws::serialize_compact(b"{}", &header, &signer).unwrap();
    let (payload, header) = jws::deserialize_compact(&token, &verifier).unwrap();
    assert_eq!(payload, b"{}");
    assert_eq!(header.algorithm(), Some("Ed25519"));
    assert_eq!(header.key_id(), verifier.key_id());
    assert_eq!(signer.signature_len(), 64);
    assert!(jws::deserialize_compact(token.replacen('e', "f", 1), &verifier).is_err());
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let jwk = json!({"kty":"RSA","e":"AQAB","alg":"PS256","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
    let set = set_of(&jwk).unwrap();
    assert_eq!(set.kids().collect::<Vec<_>>(), ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]);
    // RFC 8037 appendix A.3.
    let jwk = json!({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let set = set_of(&jwk).unwrap();
    assert_eq!(set.kids().collect::<Vec<_>>(), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
    assert_eq!(set.keys().next().unwrap().alg(), Algorithm::EdDsa, "the name when none is given");
}

#[test]
fn weak_and_ill_formed_ec_keys_do_not_load() {
    let good = public_of(Algorithm::Es256);
    let point = |name: &str| URL_SAFE_NO_PAD.decode(good[name].as_str().unwrap()).unwrap();
    let (x, y) = (point("x"), point("y"));
    let b64 = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
    let mut off = y.clone();
    off[31] ^= 1;
    let mut shifted = with(&good, "x", b64(&x[..31]));
    shifted["y"] = b64(&[&x[31..], y.as_slice()].concat());
    let cases = [
        (with(&good, "y", b64(&off)), "key-not-on-curve"),
        (with(&with(&good, "x", b64(&[0; 32])), "y", b64(&[0; 32])), "key-not-on-curve"),
        (with(&with(&good, "x", b64(&[0xFF; 32])), "y", b64(&[0xFF; 32])), "key-not-on-curve"),
        (with(&good, "x", b64(b"")), "key-member"),
        (with(&good, "y", Value::Null), "key-member"),
        (with(&good, "x", b64(&[&[0], x.as_slice()].concat())), "key-member"),
        (with(&good, "x", format!("{}=", good["x"].as_str().unwrap()).into()), "key-member"),
        (with(&good, "x", 7.into()), "key-member"),
        (shifted, "key-member"),
        (with(&good, "crv", "P-384".into()), "key-curve"),
        (with(&good, "crv", "secp256k1".into()), "key-curve"),
        (with(&good, "crv", Value::Null), "key-curve"),
        (with(&good, "kty", "oct".into()), "key-type"),
        (with(&good, "kty", "ec".into()), "key-type"),
        (with(&good, "kty", Value::Null), "key-type"),
        (with(&good, "alg", "ES384".into()), "key-algorithm"),
        (with(&good, "alg", "PS256".into()), "key-algorithm"),
        (with(&good, "alg", "EdDSA".into()), "key-algorithm"),
        (with(&good, "alg", "none".into()), "key-algorithm"),
        (with(&good, "alg", "es256".into()), "key-algorithm"),
        (with(&good, "alg", 1.into()), "key-algorithm"),
        (with(&good, "use", "enc".into()), "key-use"),
        (with(&good, "use", 1.into()), "key-use"),
        (with(&good, "key_ops", json!(["sign"])), "key-ops"),
        (with(&good, "key_ops", json!("verify")), "key-ops"),
        (with(&good, "key_ops", json!([])), "key-ops"),
        (with(&good, "d", b64(&[1; 32])), "key-private"),
        (with(&good, "k", "".into()), "key-private"),
        (with(&good, "nbf", "1".into()), "key-validity"),
        (with(&good, "exp", (-1).into()), "key-validity"),
        (with(&with(&good, "nbf", 5.into()), "exp", 5.into()), "key-validity"),
        (json!({"kty":"EC","crv":"P-256","x":good["x"],"y":good["y"],"kid":"mine"}), "key-id"),
        (json!({"kty":"EC","crv":"P-256","x":good["x"],"y":good["y"],"kid":7}), "key-id"),
        (json!("key"), "type"),
    ];
    for (jwk, expected) in &cases {
        assert_eq!(refusal(jwk), *expected, "{jwk}");
    }
    let mut with_kid = good.clone();
    assert_eq!(refusal(&with_kid), "accepted");
    with_kid["kid"] = public_of(Algorithm::Es256)["kid"].clone();
    assert_eq!(refusal(&with_kid), "key-id", "another key's thumbprint");
    assert_eq!(refusal(&with(&good, "alg", Value::Null)), "accepted");
    assert_eq!(refusal(&with(&good, "key_ops", json!(["verify"]))), "accepted");
}

#[test]
fn weak_and_ill_formed_rsa_keys_do_not_load() {
    let good = public_of(Algorithm::Ps256);
    let n = URL_SAFE_NO_PAD.decode(good["n"].as_str().unwrap()).unwrap();
    let b64 = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xFE;
    let mut times_three = vec![0x80; 256];
    while super::weak::remainder(&times_three, 3) != 0 || times_three[255].is_multiple_of(2) {
        times_three[255] += 1;
    }
    for (jwk, expected) in [
        (with(&good, "e", "AQ".into()), "key-exponent"),
        (with(&good, "e", "Ag".into()), "key-exponent"),
        (with(&good, "e", "Aw".into()), "key-exponent"),
        (with(&good, "e", "AAEAAQ".into()), "key-exponent"),
        (with(&good, "n", b64(&even)), "key-modulus"),
        (with(&good, "n", b64(&times_three)), "key-modulus"),
        (with(&good, "n", b64(&[0xFF; 128])), "key-modulus"),
        (with(&good, "n", b64(&[0x7F; 256])), "key-modulus"),
        (with(&good, "n", b64(&[0xFF; 2048])), "key-modulus"),
        (with(&good, "n", b64(&[&[0], n.as_slice()].concat())), "key-member"),
        (with(&good, "n", "".into()), "key-member"),
        (with(&good, "alg", "RS256".into()), "key-algorithm"),
        (with(&good, "alg", "PS384".into()), "key-algorithm"),
        (with(&good, "alg", "ES256".into()), "key-algorithm"),
        (with(&good, "qi", "AQ".into()), "key-private"),
    ] {
        assert_eq!(refusal(&jwk), expected);
    }
    assert_eq!(refusal(&with(&good, "alg", Value::Null)), "accepted");
}

#[test]
fn a_modulus_of_the_roca_generator_is_recognised() {
    // 65537^k modulo the product of the small primes is what that generator makes; grown to
    // 2048 bits with multiples of the product, which keeps every residue.
    let product = super::weak::SMALL_PRIMES.iter().fold(vec![1u8], |n, prime| times(&n, *prime));
    let mut n = vec![1u8];
    for _ in 0..3 {
        n = times(&n, 65_537);
    }
    let mut multiple = product;
    while multiple.len() < 255 {
        multiple = times(&multiple, 65_536);
    }
    while multiple.len() < 256 || multiple[0] & 0x80 == 0 {
        multiple = times(&multiple, 2);
    }
    multiple.truncate(256);
    let sum = add(&multiple, &n);
    assert_eq!(sum.len(), 256);
    let jwk = json!({"kty":"RSA","e":"AQAB","n":URL_SAFE_NO_PAD.encode(sum)});
    assert_eq!(refusal(&jwk), "key-roca");
}

fn times(n: &[u8], factor: u32) -> Vec<u8> {
    let mut carry = 0u64;
    let mut out: Vec<u8> = Vec::new();
    for byte in n.iter().rev() {
        carry += u64::from(*byte) * u64::from(factor);
        out.push((carry & 0xFF) as u8);
        carry >>= 8;
    }
    while carry > 0 {
        out.push((carry & 0xFF) as u8);
        carry >>= 8;
    }
    out.reverse();
    out
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = a.to_vec();
    let mut carry = 0u32;
    for (place, byte) in out.iter_mut().rev().enumerate() {
        carry += u32::from(*byte) + b.iter().rev().nth(place).map_or(0, |b| u32::from(*b));
        *byte = (carry & 0xFF) as u8;
        carry >>= 8;
    }
    out
}

#[test]
fn small_order_and_ill_formed_ed25519_keys_do_not_load() {
    let good = public_of(Algorithm::Ed25519);
    for hex_y in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let mut y = hex::decode(hex_y).unwrap();
        for _ in 0..2 {
            let jwk = with(&good, "x", URL_SAFE_NO_PAD.encode(&y).into());
            assert_eq!(refusal(&jwk), "key-small-order", "{}", hex::encode(&y));
            y[31] ^= 0x80;
        }
    }
    assert_eq!(refusal(&with(&good, "crv", "Ed448".into())), "key-curve");
    assert_eq!(refusal(&with(&good, "crv", "X25519".into())), "key-curve");
    assert_eq!(refusal(&with(&good, "x", URL_SAFE_NO_PAD.encode([1; 31]).into())), "key-member");
    assert_eq!(refusal(&with(&good, "alg", "ES256".into())), "key-algorithm");
}

#[test]
fn a_set_is_whole_or_not_at_all() {
    let (a, b) = (public_of(Algorithm::Es256), public_of(Algorithm::Ed25519));
    let rules = |jwks: &Value| -> Vec<(String, String)> {
        KeySet::from_jwks(jwks).err().unwrap_or_default().into_iter().map(|f| (f.pointer, f.rule)).collect()
    };
    assert_eq!(KeySet::from_jwks(&json!({"keys":[a, b]})).unwrap().kids().count(), 2);
    assert_eq!(rules(&json!({"keys":[a, b, a]})), [("/keys/2".into(), "key-duplicate".into())]);
    assert_eq!(
        rules(&json!({"keys":[with(&a, "use", "enc".into()), b, with(&a, "x", "".into())]})),
        [("/keys/0/use".into(), "key-use".into()), ("/keys/2/x".into(), "key-member".into())]
    );
    assert_eq!(rules(&json!({"keys":[]}))[0].1, "key-count");
    assert_eq!(rules(&json!({"keys":vec![a.clone(); 9]}))[0].1, "key-count");
    assert_eq!(rules(&json!({"keys":a}))[0].1, "type");
    assert_eq!(rules(&json!([a]))[0].1, "type");
}

#[test]
fn keys_rotate_by_overlap() {
    let mut jwk = public_of(Algorithm::Es256);
    jwk["nbf"] = 1_000.into();
    jwk["exp"] = 2_000.into();
    let set = set_of(&jwk).unwrap();
    let kid = jwk["kid"].as_str().unwrap();
    for (at, in_force) in [(999, false), (1_000, true), (1_999, true), (2_000, false)] {
        assert_eq!(set.find(kid, Now::from_secs(at)).is_some(), in_force, "{at}");
    }
    assert_eq!(set.kids().count(), 1, "a key out of force is still registered");
    assert!(set.find(&kid[1..], Now::from_secs(1_500)).is_none());
    assert!(set.find("", Now::from_secs(1_500)).is_none());
}

#[test]
fn a_private_key_file_loads_and_its_faults_are_one_line_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    for (place, alg) in ALL.into_iter().enumerate() {
        let path = dir.path().join(format!("{place}.jwk"));
        let mut jwk = SigningKey::generate(alg).unwrap();
        if !matches!(alg, Algorithm::Ed25519) {
            for name in ["alg", "kid", "use"] {
                jwk.as_object_mut().unwrap().shift_remove(name);
            }
        }
        write_private_file(&path, &serde_json::to_vec_pretty(&jwk).unwrap()).unwrap();
        let key = SigningKey::load(&path).unwrap();
        assert_eq!(key.alg(), alg);
        let public = key.public_jwk();
        assert_eq!(public["kid"], key.kid());
        assert!(public.get("d").is_none());
        assert!(
            set_of(&public).unwrap().find(key.kid(), NOW).unwrap().verify(b"m", &key.sign(b"m").unwrap())
        );
    }
    let mine = SigningKey::generate(Algorithm::Es256).unwrap();
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let mut mixed = with(&mine, "d", other["d"].clone());
    let secret = other["d"].as_str().unwrap().to_owned();
    mixed["alg"] = "ES256".into();
    for (place, (text, says)) in [
        (mixed.to_string(), "do not belong together"),
        (public_of(Algorithm::Es256).to_string(), "d is missing"),
        ("-----BEGIN PRIVATE KEY-----".to_owned(), "not strict JSON"),
        (format!("{{\"kty\":\"EC\",\"kty\":\"EC\",\"d\":\"{secret}\"}}"), "not strict JSON"),
        (with(&mine, "use", "enc".into()).to_string(), "use must be"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(format!("bad{place}.jwk"));
        write_private_file(&path, text.as_bytes()).unwrap();
        let line = SigningKey::load(&path).err().unwrap().to_string();
        assert!(line.contains(says) && line.contains("bad") && !line.contains('\n'), "{line}");
        assert!(!line.contains(&secret));
    }
}
