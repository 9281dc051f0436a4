//! The attack list of the message layer: every case has its verdict, and none is another step's.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::clock::Now;
use crate::keys::{Algorithm, KeySet, SigningKey};

const NOW: Now = Now::from_secs(1_900_000_000);

struct Member {
    key: SigningKey,
    keys: KeySet,
}

fn member(alg: Algorithm) -> Member {
    let key = SigningKey::from_jwk(&SigningKey::generate(alg).unwrap()).unwrap();
    let keys = KeySet::from_jwks(&json!({"keys":[key.public_jwk()]})).unwrap();
    Member { key, keys }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Member {
    fn header(&self) -> Value {
        json!({"alg":self.key.alg().name(),"typ":Typ::Request.name(),"kid":self.key.kid()})
    }

    /// A message with any header and payload bytes and a true signature over them.
    fn forge(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", b64(signature))
    }

    fn good(&self) -> String {
        self.forge(self.header().to_string(), r#"{"a":1}"#)
    }

    fn verdict(&self, message: impl AsRef<[u8]>) -> &'static str {
        self.verdict_as(message, Typ::Request)
    }

    fn verdict_as(&self, message: impl AsRef<[u8]>, typ: Typ) -> &'static str {
        match SignedMessage::parse(message.as_ref()).and_then(|m| m.open(typ, &self.keys, NOW)) {
            Ok(_) => "accepted",
            Err(EnvelopeFault::Malformed(reason)) => reason.word(),
            Err(EnvelopeFault::Signature(reason)) => reason.word(),
            Err(EnvelopeFault::TooLarge) => "too-large",
        }
    }
}

#[test]
fn what_is_sealed_opens_with_its_content_and_digest() {
    for alg in [Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa, Algorithm::Ed25519] {
        let me = member(alg);
        let payload = json!({"通办": "测试甲", "n": [1, 2, {"x": null}]});
        let message = seal(&me.key, Typ::Response, &payload).unwrap();
        let opened = SignedMessage::parse(&message).unwrap().open(Typ::Response, &me.keys, NOW).unwrap();
        assert_eq!(opened.payload, payload);
        assert_eq!(opened.kid, me.key.kid());
        let signed = message.rsplitn(2, |b| *b == b'.').nth(1).unwrap();
        assert_eq!(opened.content_digest, digest(signed));
        assert_eq!(opened.message_digest, digest(&message));
        let header = message.split(|b| *b == b'.').next().unwrap();
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert!(
            header.starts_with(&format!(r#"{{"alg":"{}","typ":"#, alg.name())),
            "canonical order: {header}"
        );
    }
}

#[test]
fn josekit_reads_what_we_seal() {
    let me = member(Algorithm::Es256);
    let message = seal(&me.key, Typ::Request, &json!({"a":1})).unwrap();
    let jwk = josekit::jwk::Jwk::from_map(me.key.public_jwk().as_object().unwrap().clone()).unwrap();
    let verifier = josekit::jws::ES256.verifier_from_jwk(&jwk).unwrap();
    let (payload, header) = josekit::jws::deserialize_compact(&message, &verifier).unwrap();
    assert_eq!(payload, br#"{"a":1}"#);
    assert_eq!(header.token_type(), Some(Typ::Request.name()));
}

#[test]
fn a1_alg_none_and_its_variants_are_never_registered() {
    let me = member(Algorithm::Es256);
    let (input_sig, payload) = (me.good(), b64(r#"{"a":1}"#));
    let signature = input_sig.rsplit('.').next().unwrap();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "ES384", "HS256", "RS256", "PS256", "EdDSA",
        "Ed25519", "SM2",
    ] {
        let mut header = me.header();
        header["alg"] = alg.into();
        assert_eq!(me.verdict(me.forge(header.to_string(), r#"{"a":1}"#)), "alg-not-registered", "{alg}");
        assert_eq!(
            me.verdict(format!("{}.{payload}.{signature}", b64(header.to_string()))),
            "alg-not-registered"
        );
        assert_eq!(
            me.verdict(format!("{}.{payload}.", b64(header.to_string()))),
            "parts",
            "an empty signature"
        );
    }
    for alg in [json!(null), json!(["ES256"]), json!(true), json!(1), json!({"a":"ES256"})] {
        let mut header = me.header();
        header["alg"] = alg;
        assert_eq!(me.verdict(me.forge(header.to_string(), r#"{"a":1}"#)), "header");
    }
}

#[test]
fn a2_a_key_verifies_its_own_algorithm_only() {
    let all = [Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa, Algorithm::Ed25519].map(member);
    for me in &all {
        for other in &all {
            let mut header = me.header();
            header["alg"] = other.key.alg().name().into();
            let expected = if me.key.alg() == other.key.alg() { "accepted" } else { "alg-not-registered" };
            assert_eq!(me.verdict(me.forge(header.to_string(), "{}")), expected);
        }
    }
    // HMAC keyed with what is public: the classic confusion.
    let me = &all[1];
    let mut header = me.header();
    header["alg"] = "HS256".into();
    let input = format!("{}.{}", b64(header.to_string()), b64("{}"));
    for secret in [me.key.public_jwk().to_string(), String::new(), me.key.public_jwk()["n"].to_string()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let mac = b64(aws_lc_rs::hmac::sign(&key, input.as_bytes()));
        assert_eq!(me.verdict(format!("{input}.{mac}")), "alg-not-registered");
    }
}

#[test]
fn a3_a_kid_is_looked_up_and_nothing_else_is_done_with_it() {
    let (me, other) = (member(Algorithm::Es256), member(Algorithm::Es256));
    let right = me.key.kid().to_owned();
    let mut strings = vec![
        String::new(),
        "../../dev/null".into(),
        "/etc/passwd".into(),
        "' OR '1'='1".into(),
        "x' UNION SELECT 'key'--".into(),
        "`id`".into(),
        "${jndi:ldap://127.0.0.1:1/a}".into(),
        "http://127.0.0.1:1/key".into(),
        "x".repeat(200),
        format!("{right} "),
        format!("{right}="),
        right.to_lowercase(),
        right[1..].to_owned(),
    ];
    strings.push(other.key.kid().to_owned());
    for kid in &strings {
        let mut header = me.header();
        header["kid"] = kid.as_str().into();
        assert_eq!(me.verdict(me.forge(header.to_string(), "{}")), "kid-not-yours", "{kid}");
    }
    assert_eq!(me.verdict(other.good()), "kid-not-yours", "a stranger and nobody look the same");
    for kid in ["a\0b", "a\r\nb", "\x1b[31mred", "a\u{202e}b"] {
        let mut header = me.header();
        header["kid"] = kid.into();
        assert_eq!(
            me.verdict(me.forge(header.to_string(), "{}")),
            "header",
            "no such text in any JSON of ours"
        );
    }
    for kid in [json!([right]), json!(7), json!(null), json!({"kid":right})] {
        let mut header = me.header();
        header["kid"] = kid;
        assert_eq!(me.verdict(me.forge(header.to_string(), "{}")), "header");
    }
    let mut header = me.header();
    header["kid"] = "k".repeat(10_000).into();
    assert_eq!(me.verdict(me.forge(header.to_string(), "{}")), "header", "too long");
}

#[test]
fn a_header_of_512_characters_is_read_and_a_longer_one_is_not() {
    let me = member(Algorithm::Es256);
    let padded = |spaces: usize| {
        let header = me.header().to_string();
        me.forge(format!("{header}{}", " ".repeat(spaces)), "{}")
    };
    let bare = me.header().to_string().len();
    assert_eq!(me.verdict(padded(384 - bare)), "accepted", "384 bytes are 512 characters");
    assert_eq!(me.verdict(padded(385 - bare)), "header");
}

#[test]
fn a4_a5_no_other_header_member_is_tolerated() {
    let me = member(Algorithm::Es256);
    let attacker = member(Algorithm::Es256);
    let extras = [
        ("jwk", attacker.key.public_jwk()),
        ("jku", "http://127.0.0.1:1/jwks".into()),
        ("x5u", "http://127.0.0.1:1/cert".into()),
        ("x5c", json!(["MIIB"])),
        ("x5t", "AAAA".into()),
        ("x5t#S256", "AAAA".into()),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!("b64")),
        ("crit", json!(null)),
        ("crit", json!(["alg"])),
        ("crit", json!(["urn:x", "urn:x"])),
        ("critical", json!(["b64"])),
        ("Crit", json!(["b64"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", "DEF".into()),
        ("enc", "A256GCM".into()),
        ("cty", "JWT".into()),
        ("Alg", "none".into()),
        ("", json!("")),
    ];
    for (name, value) in extras {
        for signer in [&me, &attacker] {
            let mut header = me.header();
            header[name] = value.clone();
            assert_eq!(me.verdict(signer.forge(header.to_string(), "{}")), "header", "{name}");
        }
    }
    for missing in ["alg", "typ", "kid"] {
        let mut header = me.header();
        header.as_object_mut().unwrap().shift_remove(missing);
        assert_eq!(me.verdict(me.forge(header.to_string(), "{}")), "header", "{missing}");
    }
    for header in ["[]", "null", "\"x\"", "{}", "1", "", "{", "\u{feff}{}"] {
        let expected = if header.is_empty() { "parts" } else { "header" };
        assert_eq!(me.verdict(me.forge(header, "{}")), expected, "{header:?}");
    }
}

#[test]
fn a6_duplicate_names_are_refused_in_header_and_payload() {
    let me = member(Algorithm::Es256);
    let (alg, typ, kid) = ("ES256", Typ::Request.name(), me.key.kid());
    for header in [
        format!(r#"{{"alg":"{alg}","alg":"none","typ":"{typ}","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"{alg}","typ":"x","typ":"{typ}","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"{alg}","t\u0079p":"x","typ":"{typ}","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"{alg}","typ":"{typ}","kid":"x","kid":"{kid}"}}"#),
    ] {
        assert_eq!(me.verdict(me.forge(&header, "{}")), "header", "{header}");
    }
    let escaped = format!(r#"{{"a\u006cg":"{alg}","typ":"{typ}","kid":"{kid}"}}"#);
    assert_eq!(me.verdict(me.forge(escaped, "{}")), "accepted", "one reading, if an odd spelling");
    for payload in [
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"iss":"a","i\u0073s":"b"}"#,
        r#"{"body":{"fields":1,"fields":2}}"#,
        r#"{"body":[{"x":1,"x":1}]}"#,
    ] {
        assert_eq!(me.verdict(me.forge(me.header().to_string(), payload)), "JSON", "{payload}");
    }
}

#[test]
fn a7_json_bombs_and_other_non_json_are_malformed() {
    let me = member(Algorithm::Es256);
    let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    let payloads: Vec<Vec<u8>> = vec![
        deep(12).into(),
        deep(120).into(),
        deep(5_000).into(),
        format!("{{\"a\":[{}]}}", vec!["1"; 20_000].join(",")).into(),
        "[".repeat(190_000).into(),
        format!("{{\"a\":{}}}", "9".repeat(400)).into(),
        b"{\"a\":1e300}".to_vec(),
        b"{\"a\":1e400}".to_vec(),
        b"{\"a\":1.0}".to_vec(),
        b"{\"a\":-0}".to_vec(),
        b"{\"a\":9223372036854775808}".to_vec(),
        b"{\"a\":NaN}".to_vec(),
        b"{\"a\":\"\\ud800\"}".to_vec(),
        b"{\"a\":\"\\u0000\"}".to_vec(),
        b"{\"a\":\"\xc0\xaf\"}".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"/* */{}".to_vec(),
        b"{} {}".to_vec(),
        b"[]".to_vec(),
        b"[{}]".to_vec(),
        b"null".to_vec(),
        b"\"{}\"".to_vec(),
        b"1".to_vec(),
        b" ".to_vec(),
        "{\"a\":\"\u{fffd}\"}".into(),
        "{\"\u{e000}\":1}".into(),
    ];
    for payload in &payloads {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(30)]).into_owned();
        assert_eq!(me.verdict(me.forge(me.header().to_string(), payload)), "JSON", "{shown}");
    }
    assert_eq!(me.verdict(me.forge(me.header().to_string(), deep(11))), "accepted");
}

#[test]
fn a9_degenerate_signatures_do_not_match() {
    let me = member(Algorithm::Es256);
    let good = me.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = signature.split_at(32);
    let n = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let (zero, ff) = (vec![0u8; 32], vec![0xFFu8; 32]);
    let mut one = zero.clone();
    one[31] = 1;
    let der = [&[0x30, 68, 2, 32], r, &[2, 32], s].concat();
    let cases: Vec<Vec<u8>> = vec![
        [zero.clone(), zero.clone()].concat(),
        [zero.clone(), one.clone()].concat(),
        [one, zero.clone()].concat(),
        [n.clone(), n.clone()].concat(),
        [n.clone(), zero.clone()].concat(),
        [n, s.to_vec()].concat(),
        [ff.clone(), ff].concat(),
        [s, r].concat(),
        [r, &zero].concat(),
        signature[..63].to_vec(),
        [signature.as_slice(), &[0]].concat(),
        [&[0], signature.as_slice()].concat(),
        [signature.as_slice(), &signature].concat(),
        vec![1; 10_000],
        vec![0],
        der,
    ];
    for case in cases {
        assert_eq!(
            me.verdict(format!("{input}.{}", b64(&case))),
            "signature-mismatch",
            "{} bytes",
            case.len()
        );
    }
    let other = member(Algorithm::Es256).forge(me.header().to_string(), r#"{"a":1}"#);
    assert_eq!(me.verdict(other), "signature-mismatch", "another key under this kid");
}

#[test]
fn a9_small_ed25519_and_foreign_pss_signatures_do_not_match() {
    let me = member(Algorithm::Ed25519);
    let good = me.good();
    let input = good.rsplit_once('.').unwrap().0;
    let mut identity = vec![0u8; 64];
    identity[0] = 1;
    for signature in [vec![0u8; 64], identity, vec![0xFF; 64]] {
        assert_eq!(me.verdict(format!("{input}.{}", b64(signature))), "signature-mismatch");
    }
    let jwk = SigningKey::generate(Algorithm::Ps256).unwrap();
    let key = SigningKey::from_jwk(&jwk).unwrap();
    let keys = KeySet::from_jwks(&json!({"keys":[key.public_jwk()]})).unwrap();
    let me = Member { key, keys };
    let mut plain = jwk.clone();
    plain["alg"] = "RS256".into();
    let plain = josekit::jwk::Jwk::from_map(plain.as_object().unwrap().clone()).unwrap();
    let signer = josekit::jws::RS256.signer_from_jwk(&plain).unwrap();
    let input = format!("{}.{}", b64(me.header().to_string()), b64("{}"));
    let signature = josekit::jws::JwsSigner::sign(&signer, input.as_bytes()).unwrap();
    assert_eq!(me.verdict(format!("{input}.{}", b64(signature))), "signature-mismatch", "PKCS#1 under PS256");
}

#[test]
fn a11_a_re_formed_signature_has_the_same_content_digest() {
    let me = member(Algorithm::Es256);
    let good = me.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let n = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let mut negated = signature.clone();
    let mut borrow = 0i16;
    for i in (0..32).rev() {
        let difference = i16::from(n[i]) - i16::from(signature[32 + i]) - borrow;
        borrow = i16::from(difference < 0);
        negated[32 + i] = (difference + 256 * borrow) as u8;
    }
    let second = format!("{input}.{}", b64(negated));
    assert_ne!(good, second);
    let open =
        |m: &str| SignedMessage::parse(m.as_bytes()).unwrap().open(Typ::Request, &me.keys, NOW).unwrap();
    assert_eq!(open(&good).content_digest, open(&second).content_digest, "so replay memory sees one message");
}

#[test]
fn a13_base64url_is_canonical_or_refused() {
    let me = member(Algorithm::Es256);
    let good = me.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!() };
    // The last character of 64 bytes carries four unused bits, of 7 bytes two.
    let next = |text: &str| {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(text.chars().last().unwrap()).unwrap();
        format!("{}{}", &text[..text.len() - 1], &alphabet[last + 1..last + 2])
    };
    assert_eq!(me.verdict(format!("{header}.{payload}.{}", next(signature))), "base64url");
    // The same trick within what is signed, with a true signature over it.
    let input = format!("{header}.{}", next(payload));
    let resigned = b64(me.key.sign(input.as_bytes()).unwrap());
    assert_eq!(me.verdict(format!("{input}.{resigned}")), "base64url");
    for (message, expected) in [
        (format!("{header}.{payload}.{signature}A"), "signature-mismatch"),
        (format!("{header}.{payload}.{signature}AAA"), "base64url"),
        (format!("{header}.A.{signature}"), "base64url"),
        (format!("{header}.{payload}.{signature}=="), "characters"),
        (format!("{header}=.{payload}.{signature}"), "characters"),
        (format!("{good}\n"), "characters"),
        (format!(" {good}"), "characters"),
        (format!("{header}.{payload}\r\n.{signature}"), "characters"),
        (format!("{header}.{payload}%2E{signature}"), "characters"),
        (format!("{header}.{payload}\0.{signature}"), "characters"),
        (format!("{header}.{payload}+.{signature}"), "characters"),
        (format!("{header}.{payload}/.{signature}"), "characters"),
        (format!("{header}.{payload}~.{signature}"), "characters"),
        (format!("{header}。{payload}.{signature}"), "characters"),
        (format!("{header}.{payload}.{signature}é"), "characters"),
    ] {
        assert_eq!(me.verdict(&message), expected, "{message}");
    }
    for engine in [STANDARD.encode(b"{\"a\":\"\xc3\xbf?>\"}"), URL_SAFE.encode("{\"a\":1}")] {
        assert_eq!(me.verdict(format!("{header}.{engine}.{signature}")), "characters", "{engine}");
    }
}

#[test]
fn a14_only_the_compact_form_of_three_parts_is_a_message() {
    let me = member(Algorithm::Es256);
    let good = me.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!() };
    for (message, expected) in [
        (String::new(), "parts"),
        (header.to_owned(), "parts"),
        (format!("{header}.{payload}"), "parts"),
        (format!("{good}."), "parts"),
        (format!(".{good}"), "parts"),
        (format!("{good}.{signature}"), "parts"),
        (format!("{good}.{signature}.{signature}"), "parts"),
        (format!(".{payload}.{signature}"), "parts"),
        (format!("{header}..{signature}"), "parts"),
        (format!("{header}.{payload}."), "parts"),
        ("..".to_owned(), "parts"),
        (".".repeat(64 * 1024), "parts"),
        (format!("\"{good}\""), "characters"),
        (format!("Bearer {good}"), "characters"),
        (
            format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#),
            "characters",
        ),
        (
            format!(
                r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
            ),
            "characters",
        ),
        (format!(r#"{{"x":"{good}"}}"#), "characters"),
        (format!("{good}~"), "characters"),
    ] {
        assert_eq!(me.verdict(&message), expected, "{}", &message[..message.len().min(60)]);
    }
}

#[test]
fn a_message_of_256_kib_is_read_and_a_larger_one_is_not() {
    let me = member(Algorithm::Es256);
    assert_eq!(me.verdict("A".repeat(256 * 1024)), "parts");
    assert_eq!(me.verdict("A".repeat(256 * 1024 + 1)), "too-large");
}

#[test]
fn a15_typ_is_compared_byte_for_byte_and_opens_its_own_door_only() {
    let me = member(Algorithm::Es256);
    for typ in [
        "JWT",
        "jwt",
        "",
        "tongban-request",
        "tongban-request+JWT",
        "TONGBAN-REQUEST+JWT",
        "tongban-request+jwt ",
        "application/tongban-request+jwt",
        "tongban-requests+jwt",
        "at+jwt",
    ] {
        let mut header = me.header();
        header["typ"] = typ.into();
        assert_eq!(me.verdict(me.forge(header.to_string(), "{}")), "typ", "{typ}");
    }
    let all = [Typ::Request, Typ::Response, Typ::Authorization, Typ::StatusList];
    for made in all {
        let message = seal(&me.key, made, &json!({})).unwrap();
        for door in all {
            let expected = if made == door { "accepted" } else { "typ" };
            assert_eq!(me.verdict_as(&message, door), expected, "{made:?} at {door:?}");
        }
    }
}

#[test]
fn the_first_failing_step_decides() {
    let (me, other) = (member(Algorithm::Es256), member(Algorithm::Es256));
    let header = |alg: &str, typ: &str, kid: &str| json!({"alg":alg,"typ":typ,"kid":kid}).to_string();
    let (typ, kid) = (Typ::Request.name(), me.key.kid());
    // Each row is wrong in its own step and in every later one.
    for (message, expected) in [
        ("A.A!.".to_owned(), "characters"),
        ("A.A.A.A".to_owned(), "parts"),
        (format!("A.{}.A", b64("[]")), "base64url"),
        (other.forge(r#"{"alg":"none","typ":"x","kid":"y","z":1}"#, "[]"), "header"),
        (other.forge(header("none", "x", "y"), "[]"), "typ"),
        (other.forge(header("none", typ, "y"), "[]"), "kid-not-yours"),
        (other.forge(header("none", typ, kid), "[]"), "alg-not-registered"),
        (other.forge(header("ES256", typ, kid), "[]"), "signature-mismatch"),
        (me.forge(header("ES256", typ, kid), "[]"), "JSON"),
        (me.forge(header("ES256", typ, kid), "{}"), "accepted"),
    ] {
        assert_eq!(me.verdict(&message), expected);
    }
}

#[test]
fn a_key_out_of_force_is_not_yours() {
    let me = member(Algorithm::Es256);
    let mut jwk = me.key.public_jwk();
    jwk["exp"] = (NOW.secs()).into();
    let keys = KeySet::from_jwks(&json!({"keys":[jwk]})).unwrap();
    let me = Member { keys, ..me };
    assert_eq!(me.verdict(me.good()), "kid-not-yours");
}

mod answers {
    use super::*;

    const A: &str = "urn:tongban:gw:421202";
    const B: &str = "urn:tongban:gw:331083";
    const DIGEST: [u8; 32] = [7; 32];

    fn claims() -> Value {
        json!({"ver":1,"iss":A,"aud":B,"iat":NOW.secs(),"exp":NOW.secs() + 60,
            "jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22",
            "req":{"jti":"0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a21","digest":b64(DIGEST)},
            "op":"ping","status":200,"result":{"time":NOW.secs(),"version":"0.1.0"},
            "log":{"origin":"tongban/421202/2030h1","index":4711,"leaf":b64([9; 32])}})
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut claims = claims();
        for (name, value) in changes {
            let place = claims.pointer_mut(name).unwrap();
            *place = value.clone();
        }
        claims
    }

    fn check(me: &Member, claims: &Value, http: u16) -> Result<ResponseClaims, ResponseFault> {
        check_bytes(me, &seal(&me.key, Typ::Response, claims).unwrap(), http)
    }

    fn check_bytes(me: &Member, body: &[u8], http: u16) -> Result<ResponseClaims, ResponseFault> {
        let asked = Asked {
            member: A,
            keys: &me.keys,
            me: B,
            jti: "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a21",
            op: "ping",
            request_digest: &DIGEST,
        };
        check_response(body, http, &asked, NOW)
    }

    #[test]
    fn a_true_answer_is_believed() {
        let me = member(Algorithm::Es256);
        let answer = check(&me, &claims(), 200).unwrap();
        assert_eq!(answer.log.index, 4711);
        let mut refusal = with(&[("/status", 403.into())]);
        let members = refusal.as_object_mut().unwrap();
        members.shift_remove("result");
        members.insert("problem".into(), json!({"type":"urn:tongban:problem:no-agreement","title":"t","title_zh":"t",
            "status":403,"code":"no-agreement","detail":"d","retry":"no","trace":"0190f3a27c1e7d4b9a515c3e0e8f1a22"}));
        assert!(check(&me, &refusal, 403).unwrap().problem.is_some());
    }

    #[test]
    fn the_first_failing_check_is_the_one_told() {
        let me = member(Algorithm::Es256);
        let all: [(&str, Value, &str); 7] = [
            ("/iss", B.into(), "Issuer"),
            ("/aud", A.into(), "Audience"),
            ("/req/jti", "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22".into(), "RequestId"),
            ("/req/digest", b64([8; 32]).into(), "RequestDigest"),
            ("/status", 201.into(), "Status"),
            ("/iat", (NOW.secs() + 31).into(), "Time(NotYetValid)"),
            ("/op", "license.query".into(), "Op"),
        ];
        for first in 0..all.len() {
            let changes: Vec<(&str, Value)> =
                all[first..].iter().map(|(at, value, _)| (*at, value.clone())).collect();
            let fault = check(&me, &with(&changes), 200).unwrap_err();
            assert_eq!(format!("{fault:?}"), all[first].2);
        }
    }

    #[test]
    fn unsigned_reflected_and_foreign_answers_are_not_believed() {
        let (me, other) = (member(Algorithm::Es256), member(Algorithm::Es256));
        assert!(matches!(
            check_bytes(&me, br#"{"type":"urn:tongban:problem:overloaded"}"#, 503),
            Err(ResponseFault::Envelope(EnvelopeFault::Malformed(MalformedReason::Characters)))
        ));
        let request = seal(&me.key, Typ::Request, &claims()).unwrap();
        assert_eq!(
            check_bytes(&me, &request, 200).unwrap_err(),
            ResponseFault::Envelope(EnvelopeFault::Malformed(MalformedReason::Typ))
        );
        let foreign = seal(&other.key, Typ::Response, &claims()).unwrap();
        assert_eq!(
            check_bytes(&me, &foreign, 200).unwrap_err(),
            ResponseFault::Envelope(EnvelopeFault::Signature(SignatureReason::KidNotYours))
        );
    }

    #[test]
    fn old_and_long_lived_answers_are_not_believed() {
        let me = member(Algorithm::Es256);
        let now = NOW.secs();
        for (iat, exp, fault) in [
            (now - 100, now - 30, TimeFault::Expired),
            (now, now + 121, TimeFault::LifetimeTooLong),
            (now + 31, now + 60, TimeFault::NotYetValid),
        ] {
            let claims = with(&[("/iat", iat.into()), ("/exp", exp.into())]);
            assert_eq!(check(&me, &claims, 200).unwrap_err(), ResponseFault::Time(fault));
        }
        let claims = with(&[("/iat", now.into()), ("/exp", now.into())]);
        assert!(matches!(check(&me, &claims, 200), Err(ResponseFault::Schema(_))));
    }

    #[test]
    fn a_success_has_a_result_and_a_refusal_a_problem() {
        let me = member(Algorithm::Es256);
        let mut neither = claims();
        neither.as_object_mut().unwrap().shift_remove("result");
        assert!(matches!(check(&me, &neither, 200), Err(ResponseFault::Schema(_))));
        assert!(matches!(check(&me, &with(&[("/status", 403.into())]), 403), Err(ResponseFault::Schema(_))));
    }

    use super::super::times::TimeFault;
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        if let Ok(message) = SignedMessage::parse(&bytes) {
            proptest::prop_assert!(message.open(Typ::Request, &KeySet::default(), NOW).is_err());
        }
    }

    #[test]
    fn no_single_changed_byte_of_a_message_is_accepted(place in 0usize..1000, to in proptest::prelude::any::<u8>()) {
        thread_local!(static ME: (Member, String) = { let me = member(Algorithm::Es256); let good = me.good(); (me, good) });
        ME.with(|(me, good)| {
            let mut bytes = good.clone().into_bytes();
            let place = place % bytes.len();
            let changed = bytes[place] != to;
            bytes[place] = to;
            assert_eq!(me.verdict(&bytes) != "accepted", changed);
        });
    }
}

#[test]
fn the_characters_of_a_message_are_base64url_and_the_dot() {
    for byte in 0..=u8::MAX {
        let expected = byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        assert_eq!(super::jws::is_message_character(byte), expected, "{byte}");
    }
}

/// The rules of a message's shape, one after the other, as protocol §3 lists them.
fn shape(bytes: &[u8]) -> Option<&'static str> {
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    if !bytes.iter().all(alphabet) {
        return Some("characters");
    }
    let parts: Vec<&[u8]> = bytes.split(|b| *b == b'.').collect();
    if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) {
        return Some("parts");
    }
    parts.iter().any(|part| URL_SAFE_NO_PAD.decode(part).is_err()).then_some("base64url")
}

proptest::proptest! {
    #[test]
    fn a_message_is_taken_apart_exactly_as_the_rules_say(text in "[A-Ha-h0-3._=+/ é-]{0,24}") {
        let found = match SignedMessage::parse(text.as_bytes()) {
            Ok(_) => None,
            Err(EnvelopeFault::Malformed(reason)) => Some(reason.word()),
            Err(_) => Some("another"),
        };
        proptest::prop_assert_eq!(found, shape(text.as_bytes()));
    }

    #[test]
    fn the_short_way_through_a_header_reads_what_the_long_way_reads(
        text in r#"\{"alg":"[A-Z0-9\\"é]{0,4}","typ":"[a-z+"\\ ]{0,4}","kid":"[a-z_"\\,:-]{0,6}"\}?"#
    ) {
        if let Some(header) = super::jws::Header::canonical(text.as_bytes()) {
            let long = crate::json::parse(text.as_bytes());
            let short = json!({"alg": header.alg, "typ": header.typ, "kid": header.kid});
            proptest::prop_assert_eq!(long, Ok(short));
        }
    }
}

#[test]
fn our_own_headers_take_the_short_way() {
    let me = member(Algorithm::Es256);
    let header = me.header().to_string();
    let read = super::jws::Header::canonical(header.as_bytes()).unwrap();
    assert_eq!((&*read.alg, &*read.typ, &*read.kid), ("ES256", Typ::Request.name(), me.key.kid()));
}
