//! Other people's vectors through our parsers: Project Wycheproof, the examples of RFC 7515,
//! RFC 7520 and RFC 8037, JSONTestSuite. Where we differ, the list here says so and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tongban::clock::Now;
use tongban::envelope::{EnvelopeFault, MalformedReason, SignedMessage, Typ};
use tongban::json::{JsonRule, parse};
use tongban::keys::{KeySet, VerifyingKey};

use crate::support::*;
use crate::vectors::{rows, text};

fn foreign(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/foreign").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn key_of(jwk: &Value, alg: &str) -> Option<VerifyingKey> {
    let mut jwk = jwk.clone();
    jwk["alg"] = alg.into();
    jwk["use"] = "sig".into();
    VerifyingKey::from_jwk(&jwk).ok()
}

/// 521 signatures of the three algorithms that everybody may use.
#[test]
fn wycheproofs_signatures_are_judged_as_wycheproof_says() {
    let (mut judged, mut differ) = (0, Vec::new());
    for group in rows(&foreign("wycheproof.json")["groups"]) {
        let alg = text(group, "alg");
        let key = key_of(&group["jwk"], alg);
        for row in rows(&group["tests"]) {
            let bytes = |place: usize| hex::decode(row[place].as_str().unwrap()).unwrap();
            // A key that is not loaded verifies nothing.
            let verifies = key.as_ref().is_some_and(|key| key.verify(&bytes(1), &bytes(2)));
            if verifies != row[3].as_bool().unwrap() {
                differ.push(format!("{alg} {}", row[0]));
            }
            judged += 1;
        }
    }
    assert_eq!((judged, differ), (521, Vec::<String>::new()));
}

/// RFC 7515 appendix A.3 and RFC 8037 appendix A.4: good signatures under headers that are not
/// ours. A.1 (a shared secret) and A.5 (none) besides.
#[test]
fn the_rfcs_examples_verify_and_are_no_messages_of_ours() {
    let es256 = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290\
        Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6d\
        WbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let hs256 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
        cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290\
        Ijp0cnVlfQ.";
    let keys = [
        (
            es256,
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
        ),
        (
            eddsa,
            "EdDSA",
            json!({"kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        ),
    ];
    for (token, alg, jwk) in keys {
        use base64::Engine as _;
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key_of(&jwk, alg).unwrap().verify(input.as_bytes(), &signature), "{alg}");
    }
    let now = Now::from_secs(NOW);
    let says = |token: &str| match SignedMessage::parse(token.as_bytes()) {
        Ok(message) => message.open(Typ::Request, &KeySet::default(), now).map(drop).err(),
        Err(fault) => Some(fault),
    };
    let malformed = |reason| Some(EnvelopeFault::Malformed(reason));
    // No kid, no typ of ours.
    for token in [es256, eddsa, hs256] {
        assert_eq!(says(token), malformed(MalformedReason::Header));
    }
    assert_eq!(says(none), malformed(MalformedReason::Parts), "an empty signature");
    let flattened =
        json!({"payload": "eyJpc3MiOiJqb2UifQ", "protected": "eyJhbGciOiJFUzI1NiJ9", "signature": "AA"});
    assert_eq!(says(&flattened.to_string()), malformed(MalformedReason::Characters), "RFC 7515 A.7");
}

/// Each form of a JWS that RFC 7520 §4 shows, and why none of them is a message of ours although
/// its signature is good: the deliberate differences.
const NO_MESSAGES: [(&str, MalformedReason, &str); 4] = [
    (
        "compact",
        MalformedReason::Header,
        "alg and kid alone: without typ one kind could stand for another (E-4)",
    ),
    ("detached", MalformedReason::Parts, "what is signed must travel with its signature (E-2)"),
    ("general", MalformedReason::Characters, "two serializations would give one message two digests (E-1)"),
    (
        "flattened",
        MalformedReason::Characters,
        "the same; and members beside the signed ones invite belief (E-1)",
    ),
];

/// An example of RFC 7520 in one of its forms.
fn in_form(example: &Value, payload: &str, form: &str) -> String {
    let signatures: Vec<Value> = rows(&example["signatures"])
        .iter()
        .map(|one| {
            let mut one = one.clone();
            for ours in ["alg", "key"] {
                one.as_object_mut().unwrap().shift_remove(ours).unwrap();
            }
            one
        })
        .collect();
    let part = |name: &str| signatures[0][name].as_str().unwrap();
    match form {
        "compact" => format!("{}.{payload}.{}", part("protected"), part("signature")),
        "detached" => format!("{}..{}", part("protected"), part("signature")),
        "general" => json!({"payload": payload, "signatures": signatures}).to_string(),
        _ => {
            let mut flat = signatures[0].clone();
            flat["payload"] = payload.into();
            flat.to_string()
        }
    }
}

/// RFC 7520 §4: RS256, PS384, ES512, HS256, detached, with unprotected headers, several signatures.
#[test]
fn rfc_7520s_examples_are_good_jws_and_no_messages_of_ours() {
    use aws_lc_rs::signature::{
        ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey,
    };
    use base64::Engine as _;
    let bytes = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let all = foreign("rfc7520.json");
    let payload = text(&all, "payload");
    let key = |name: &str, member: &str| bytes(all["keys"][name][member].as_str().unwrap());
    let rsa = |how: &'static RsaParameters, input: &[u8], signature: &[u8]| {
        RsaPublicKeyComponents { n: key("rsa", "n"), e: key("rsa", "e") }
            .verify(how, input, signature)
            .is_ok()
    };
    let (mut signatures, mut told) = (0, 0);
    for example in rows(&all["examples"]) {
        for one in rows(&example["signatures"]) {
            let input = format!("{}.{payload}", one["protected"].as_str().unwrap_or_default());
            let (input, signature) = (input.as_bytes(), bytes(text(one, "signature")));
            let holds = match text(one, "alg") {
                "RS256" => rsa(&RSA_PKCS1_2048_8192_SHA256, input, &signature),
                "PS384" => rsa(&RSA_PSS_2048_8192_SHA384, input, &signature),
                "ES512" => {
                    let point = [vec![4], key("ec", "x"), key("ec", "y")].concat();
                    UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).verify(input, &signature).is_ok()
                }
                _ => {
                    use aws_lc_rs::hmac;
                    let secret = hmac::Key::new(hmac::HMAC_SHA256, &key("oct", "k"));
                    hmac::verify(&secret, input, &signature).is_ok()
                }
            };
            assert!(holds, "RFC 7520 §{}", text(example, "section"));
            // Nor does a signature of another algorithm hold under a key that we would take.
            let mut ours = all["keys"]["rsa"].clone();
            ours.as_object_mut().unwrap().shift_remove("kid");
            assert!(!key_of(&ours, "PS256").unwrap().verify(input, &signature));
            signatures += 1;
        }
        for form in rows(&example["forms"]) {
            let form = form.as_str().unwrap();
            let message = in_form(example, payload, form);
            let (_, due, why) = NO_MESSAGES.iter().find(|(known, ..)| *known == form).unwrap();
            let says = match SignedMessage::parse(message.as_bytes()) {
                Ok(message) => {
                    message.open(Typ::Request, &KeySet::default(), Now::from_secs(NOW)).map(drop).err()
                }
                Err(fault) => Some(fault),
            };
            assert_eq!(says, Some(EnvelopeFault::Malformed(*due)), "§{}: {why}", text(example, "section"));
            told += 1;
        }
    }
    assert_eq!((signatures, told), (10, 18));
}

/// The keys of RFC 7520 §3 that sign there: none may sign here.
#[test]
fn rfc_7520s_keys_are_no_keys_of_ours() {
    use tongban::keys::JwkFault;
    let all = foreign("rfc7520.json");
    let fault = |name: &str| VerifyingKey::from_jwk(&all["keys"][name]).err();
    assert_eq!(fault("rsa"), Some(JwkFault::Kid), "a kid is a thumbprint, not an address (N-3)");
    assert_eq!(fault("ec"), Some(JwkFault::Curve), "P-256 is the one curve of ECDSA here (K-2)");
    assert_eq!(fault("oct"), Some(JwkFault::Private("k")), "there are no shared secrets (K-2)");
}

/// What a JSON parser must take and ours does not: the rule that refuses it, why it stands, and
/// the tests concerned.
const REFUSED_ON_PURPOSE: [(JsonRule, &str, &[&str]); 4] = [
    (
        JsonRule::NotInteger,
        "amounts are texts and times whole seconds, so that no reader rounds (J-5)",
        &[
            "number",
            "number_0e+1",
            "number_0e1",
            "number_double_close_to_zero",
            "number_int_with_exp",
            "number_real_capital_e",
            "number_real_capital_e_neg_exp",
            "number_real_capital_e_pos_exp",
            "number_real_exponent",
            "number_real_fraction_exponent",
            "number_real_neg_exp",
            "number_real_pos_exponent",
            "number_simple_real",
            "object_extreme_numbers",
            "structure_lonely_negative_real",
        ],
    ),
    (
        JsonRule::NegativeZero,
        "readers disagree whether it is zero (J-6)",
        &["number_minus_zero", "number_negative_zero"],
    ),
    (
        JsonRule::DuplicateName,
        "readers disagree which of the two counts (J-2)",
        &["object_duplicated_key", "object_duplicated_key_and_value"],
    ),
    (
        JsonRule::Character,
        "controls, private use and non-characters: two people see two things (J-7)",
        &[
            "object_escaped_null_in_key",
            "string_allowed_escapes",
            "string_escaped_control_character",
            "string_escaped_noncharacter",
            "string_last_surrogates_1_and_2",
            "string_nonCharacterInUTF-8_U+10FFFF",
            "string_nonCharacterInUTF-8_U+FFFF",
            "string_null_escape",
            "string_uescaped_newline",
            "string_unescaped_char_delete",
            "string_unicode_U+10FFFE_nonchar",
            "string_unicode_U+1FFFE_nonchar",
            "string_unicode_U+FDD0_nonchar",
            "string_unicode_U+FFFE_nonchar",
            "string_with_del_character",
        ],
    ),
];

#[test]
fn json_test_suite_is_judged_as_its_authors_say_but_for_an_explained_list() {
    let all = foreign("json-test-suite.json");
    let mut refused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut must, mut must_not, mut may) = (0, 0, 0);
    for row in rows(&all["tests"]) {
        let (name, input) = (row[0].as_str().unwrap(), input_of(&row[1]));
        let parsed = parse(input.as_bytes());
        match name.split('_').next().unwrap() {
            "y" => {
                must += 1;
                if let Err(fault) = parsed {
                    let name = name.trim_start_matches("y_").trim_end_matches(".json");
                    refused.entry(fault.rule.word()).or_default().push(name.to_owned());
                }
            }
            "n" => {
                must_not += 1;
                assert!(parsed.is_err(), "{name}");
            }
            _ => {
                may += 1;
                assert!(parsed.is_err(), "{name}: where parsers may differ, ours refuses");
            }
        }
    }
    for (rule, why, names) in REFUSED_ON_PURPOSE {
        let found = refused.remove(rule.word()).unwrap_or_default();
        assert_eq!(found, names, "{why}");
    }
    assert!(refused.is_empty(), "refused without a reason: {refused:#?}");
    // The carrier of the suite has lost the bytes of 25 tests that are no UTF-8.
    assert_eq!((must, must_not, may, rows(&all["lost"]).len()), (95, 176, 22, 25));
}

/// A text, or one that is long and even.
fn input_of(input: &Value) -> String {
    match input {
        Value::String(text) => text.clone(),
        long => {
            let times = usize::try_from(long["times"].as_u64().unwrap()).unwrap();
            text(long, "repeat").repeat(times) + long["then"].as_str().unwrap_or_default()
        }
    }
}
