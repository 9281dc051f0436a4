//! Signatures that careless verifiers take, in the style of Project Wycheproof: numbers out of
//! range, second spellings of a good signature, other encodings, other parameters of the padding.

use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const MESSAGE: &[u8] = b"header.payload";

/// The key that makes r = 5, s = 0x1234567 a good signature, worked out backwards from the point
/// with x = 5: so small an r leaves room for r + n below 2^256.
fn p256() -> VerifyingKey {
    key(&json!({"kty":"EC","crv":"P-256","alg":"ES256","use":"sig",
        "x":"qR1m-h_hAsti1XgHa7LKfI2oU0x1-m8-plLFn8wTjwE","y":"UTjwLWAUfK3FQkq02TpFkAncgbixgwLBikYoJbeRX04"}))
}
const R: &str = "0000000000000000000000000000000000000000000000000000000000000005";
const S: &str = "0000000000000000000000000000000000000000000000000000000001234567";
const R_PLUS_N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632556";
const S_PLUS_N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fd866ab8";
const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ONE: &str = "0000000000000000000000000000000000000000000000000000000000000001";

fn key(jwk: &Value) -> VerifyingKey {
    VerifyingKey::from_jwk(jwk).unwrap_or_else(|fault| panic!("{fault}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

#[test]
fn of_an_ecdsa_signature_only_the_one_spelling_in_range_verifies() {
    let key = p256();
    let takes = |signature: &[u8]| key.signature_len_ok(signature.len()) && key.verify(MESSAGE, signature);
    let pair = |r: &str, s: &str| [bytes(r), bytes(s)].concat();
    assert!(takes(&pair(R, S)));
    for (r, s) in [
        (R_PLUS_N, S),
        (R, S_PLUS_N),
        (R_PLUS_N, S_PLUS_N),
        (S, R),
        (ZERO, ZERO),
        (ZERO, ONE),
        (ONE, ZERO),
        (ZERO, S),
        (R, ZERO),
        (ONE, ONE),
        (N, N),
        (N, S),
        (R, N),
        (P, S),
        (R, P),
    ] {
        assert!(!takes(&pair(r, s)), "({r}, {s})");
    }
    let good = pair(R, S);
    let der = bytes("3009020105020401234567");
    let wide_der = [&bytes("30440220"), &good[..32], &bytes("0220"), &good[32..]].concat();
    for other in [
        &der,
        &wide_der,
        &good[..63].to_vec(),
        &[&good[..], &[0]].concat(),
        &[&[0], &good[..]].concat(),
        &vec![],
    ] {
        assert!(!key.signature_len_ok(other.len()) && !key.verify(MESSAGE, other), "{}", hex::encode(other));
    }
}

/// The order of the base point, little-endian (RFC 8032 §5.1).
const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn of_an_ed25519_signature_only_the_reduced_one_verifies() {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let key = key(&json!({"kty":"OKP","crv":"Ed25519","alg":"Ed25519","use":"sig","x":x}));
    let good = pair.sign(MESSAGE).as_ref().to_vec();
    assert!(key.verify(MESSAGE, &good));
    // S + L, S + 2L, …: the same point again (RFC 8032 §5.1.7 wants S < L).
    let mut again = good.clone();
    for round in 1..=14 {
        let mut carry = 0;
        for (to, add) in again[32..].iter_mut().zip(bytes(L)) {
            carry += u16::from(*to) + u16::from(add);
            *to = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0);
        assert!(!key.verify(MESSAGE, &again), "S + {round} L");
    }
    let mut identity = [0; 64];
    identity[0] = 1;
    for other in [&identity[..], &[0; 64], &[0xFF; 64], &good[..63], &[&good[..], &[0]].concat()] {
        assert!(!key.verify(MESSAGE, other));
    }
}

#[test]
fn points_of_small_order_are_no_ed25519_keys() {
    // Orders 1, 2, 4, 8, 8, and two of them not reduced modulo p.
    for y in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let x = URL_SAFE_NO_PAD.encode(bytes(y));
        let jwk = json!({"kty":"OKP","crv":"Ed25519","alg":"Ed25519","use":"sig","x":x});
        assert_eq!(VerifyingKey::from_jwk(&jwk).err(), Some(JwkFault::SmallOrder), "{y}");
    }
}

#[test]
fn a_pss_signature_has_a_salt_of_32_bytes_and_mgf1_with_sha_256() {
    let key = key(&json!({"kty":"RSA","alg":"PS256","use":"sig","e":"AQAB","n":MODULUS}));
    let verifies = |text: &str| key.verify(MESSAGE, &URL_SAFE_NO_PAD.decode(text).unwrap());
    assert!(verifies(SALT_32));
    for (what, signature) in [
        ("no salt", NO_SALT),
        ("salt of 20", SALT_20),
        ("longest salt", SALT_MAX),
        ("MGF1 with SHA-1", MGF1_SHA1),
    ] {
        assert!(!verifies(signature), "{what}");
    }
    let good = URL_SAFE_NO_PAD.decode(SALT_32).unwrap();
    for other in [&good[1..], &[&[0], &good[..]].concat(), &[0; 256], &[0xFF; 256]] {
        assert!(!key.verify(MESSAGE, other));
    }
}

// A 2048-bit key and signatures of MESSAGE, made with openssl; the private key is gone.
const MODULUS: &str = "tmOpbyAm3NoR_CuQYSSj7KqvwvqSllKrNeE_7RsSvCj92zTjV4X052xl8n6amachYB1MlXTkN1PoM3mOjc0EApBzX-I6UIwY\
    6dDn_Mlr2woVP6Nz4cRWJi9ZjtTn-yUORULSlDEGJRB18bryqjNY9JFB3q42LxkO5HbiGwBeOJUkrEp7Ectz6OTOzbP21jFP\
    HZUQcyX1Qs2ZfHbPGjK4ektTm5MH7jILafTuSqq0n2JDo9OjyyeqxS9Z_ORaWpAw3cbAW_3flg150KlAa1LdTXGUg8faYBjc\
    HUN0kFKN_hb-pA9yK5V8W2wGh4yjC6SRyprarhSeCcJRj1CbdZt_yw";
const SALT_32: &str = "SKf7-mw-hc0Z04Yc6DqeH4L8hmrq7i77CVjE8erWHNvF9PAhPxGkbDKsW2yPOPDDY769MILrOTwZ6MPbWX7D8hX-7O-Ujru5\
    ZoFrutQHwW_QKd0pW7XhFel0Gzuc6_yY7aAU866og96_M1Iz-SorCPANB0qU0UOTtdtguPjFzqvEqwyNveWp5zTabL12jcng\
    kO6HLbxeT5AJyyLyUIunlezYcA7joryLjprzDmiiWy8c1eOifupp3eK_hR3lILM34rVLqoQOjI0FKyzbxfx9iHiR3M8Ai9Ab\
    KY0PyIBWhmRS0gl5ye9e1E8x06bjepk4-QvJeLv-BmvVkLL3r1XALA";
const NO_SALT: &str = "hpo2J2w5NX4AKZ1C05-1h1aB24tetea2dRpLJo0gfMSaxicgp4CNSqOIRV5MJn1VNTBwRIzVz7MDKvG7rUTRdpAfjbWpgzaw\
    2d13Gse2fRz9H0a8Ik2veEmAKphOeam1AEg6i9RGbXmg0gULuCkYgjeaUoDcyjYg9k5DJB3L7UPRTxWvi78YMx0xVZyrG116\
    5u9zcLkseBee48ENmhU9sH7kFekiHKa4qyDKgR08WMDiwIhUaeXjNSbp7WzK-TAnfN00l9oE1nHWC18FdBq-fEvtYNdVFW_B\
    BoxCEADCv-045lEfwrODTr-iVsrDFoOX_M0xpbQCPiFXeLO5TxwSpw";
const SALT_20: &str = "nnPc4K4HwTzisL2W9STLlVt6y2gys3GAGQ73Genuc1VFT68mYyL13IcJCdP66JG_PeFYt5mVABDZxgalXjZFxSOJkX4wYbmz\
    I4RHOc11dMtl6gtcBI_-Q3639PH2EjzdhjjkI1QjKbJONdL2v6-GcJNe_E8QuidpmKhD6myEYkZEdRWfP1zD4s0tWbAEbuYJ\
    IjY5MD1hgvDnZ4-Mu-31K9s9j3Ocz4aqsQ3h2QR5thkl_aALLKPVC9nfo5pvK1-bXwO_fDQMgKLVz9qYdLwrPvtx1W5Lmbqb\
    jOiQiXTHsQMS0vWjE5ojYQgLgv2XMxatP-4pIlBrMmLDcFL9Ec5OVw";
const SALT_MAX: &str = "sQ5X1d1tTG3xJATQxgiY4VJ-G1xcFRNlPbcIkfx7ykj1lGBouklRain8U3ePEgh-QHKIrbMv8QzwAXUnNc8MYD96mKN94Gtr\
    ZanZ_VmXB3_CpO8TEgu5w67mqL2hiMAEUrvEDrmNJuoh_EK6Zvw_j0a0mzcq7eFrvRJ3QOuizBmUPOXCFXqDNCXIARSJOE-a\
    rZr8K2idLyB5ubCTVuRbNamwOMu6P_piJN2tnL4udYo-hAQSLu_IDnlZyhEmg0JXNGBFdrZtEMr7xGr5NIGL3jnZm3CXsXuV\
    XNZliLDhtzUj8RRQIuRppAFaoxV1XlKkhZqS5NJv8R0aIu6ngjQILQ";
const MGF1_SHA1: &str = "A-NAbDh0MOrvtzHfaLz7GQ4RiT2P4reFnlh_CNy0uRPQXtqrpsVVnB84Z6iVcdBjcA699JoFG4U4mdxy-EUm15bjIXBbvZ5K\
    fYa5O7Ww7OxErRel7oUK5hrKQpt5Kp59pWuVRHRe16ZkOF1vyjeNhd3hW1jPhQwwcfaRuldCGPRNSyOkfvpTti7iHbHVjGbt\
    BMysx1nrcc9LpRS7wposj5PkeC17jjjTjKav5Yuj_HUdoJxfG3osxPbyaaE-2cD_PIyHKQdJAdRBcEaSnZXuW3WpVRvoZvZj\
    WJWIG9-xobAg1W-s7ZiHJXHUb54alG7Mub3S8VEOj0RLpgli-0qGyQ";
