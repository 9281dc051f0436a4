//! One message for each mistake that `explain` finds: what a vendor's first attempts look like.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tongban::conformance::keys::der;
use tongban::keys::Algorithm;

use super::{Desk, SUSPENDED};
use crate::support::*;

pub struct Mistake {
    pub cause: &'static str,
    pub peer: &'static str,
    pub body: Vec<u8>,
}

fn made(cause: &'static str, body: impl Into<Vec<u8>>) -> Mistake {
    Mistake { cause, peer: YUHUAN, body: body.into() }
}

/// An example key's id (`certs-example/fingerprints.txt`).
const EXAMPLE: &str = "ZS2hOaOmeRjeXuqvwTbxgi3m74svG2sgkkpc9kgSaeI";

pub fn all(desk: &Desk) -> Vec<Mistake> {
    let mut all = shapes(desk);
    all.extend(headers(desk));
    all.extend(payloads(desk));
    all.extend(keys(desk));
    all.extend(signatures(desk));
    all.extend(times_and_parties(desk));
    all.extend(terms(desk));
    all.extend(schemas(desk));
    all.extend(tokens(desk));
    all
}

fn lookup(desk: &Desk) -> Draft {
    hostile_lookup(&desk.scene)
}

/// Signed for `signed`, sent with `sent` in its place.
pub fn signed_for(desk: &Desk, signed: &str, sent: &str) -> Vec<u8> {
    let header = b64(lookup(desk).header_text());
    let signature = sign(desk, &format!("{header}.{}", b64(signed)));
    format!("{header}.{}.{}", b64(sent), b64(signature)).into_bytes()
}

fn sign(desk: &Desk, input: &str) -> Vec<u8> {
    desk.scene.asking.signing.sign(input.as_bytes()).unwrap()
}

fn shapes(desk: &Desk) -> Vec<Mistake> {
    let good = lookup(desk).text();
    let [h, p, s] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let loose = {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (rest, last) = s.split_at(s.len() - 1);
        let next = &alphabet[alphabet.find(last).unwrap() + 1..][..1];
        format!("{h}.{p}.{rest}{next}")
    };
    vec![
        made("bom", format!("\u{feff}{good}")),
        made("line-end", format!("{good}\r\n")),
        made("whitespace", format!("{}\r\n{}", &good[..64], &good[64..])),
        made("padding", format!("{good}==")),
        made("standard-base64", good.replacen('.', "+/.", 1)),
        made("json-serialization", json!({"protected": h, "payload": p, "signature": s}).to_string()),
        made("unsigned-json", lookup(desk).claims.to_string()),
        made("quoted", json!(good).to_string()),
        made("empty-body", ""),
        made("no-signature", format!("{h}.{p}.")),
        made("detached", format!("{h}..{s}")),
        made("encrypted", format!("{good}.AA.AA")),
        made("part-missing", format!("{h}.{p}")),
        made("cut-off", format!("{h}.{p}.{}", &s[..85])),
        made("loose-bits", loose),
        made("message-large", vec![b'A'; 256 * 1024 + 1]),
        made("op-large", lookup(desk).raw_payload(lookup(desk).claims.to_string() + &" ".repeat(32 * 1024))),
        Mistake { cause: "member-unknown", peer: "320981", body: good.clone().into() },
        Mistake { cause: "member-self", peer: XIANAN, body: good.clone().into() },
        Mistake { cause: "member-inactive", peer: SUSPENDED, body: good.into() },
    ]
}

fn headers(desk: &Desk) -> Vec<Mistake> {
    let text = lookup(desk).header_text();
    let opened = text.trim_end_matches('}');
    let raw = |header: &str| lookup(desk).raw_header(header);
    let typ = |typ: &str| lookup(desk).header("typ", typ);
    vec![
        made("header-members", lookup(desk).header("cty", "json")),
        made("header-missing", raw("{\"alg\":\"ES256\"}")),
        made("header-twice", raw(&format!("{opened},\"alg\":\"ES256\"}}"))),
        made("header-long", raw(&format!("{text}{}", " ".repeat(400)))),
        made("header-not-json", raw("alg=ES256")),
        made("typ-generic", typ("JWT")),
        made("typ-media-type", typ("application/tongban-request+jwt")),
        made("typ-other-kind", typ("tongban-response+jwt")),
        made("typ-case", typ("Tongban-Request+JWT")),
        made("typ-other", typ(CANARY)),
    ]
}

fn payloads(desk: &Desk) -> Vec<Mistake> {
    let text = lookup(desk).claims.to_string();
    let more = |member: &str| lookup(desk).raw_payload(format!("{{{member},{}", &text[1..]));
    let mut gbk = format!("{{\"x\":\"?\",{}", &text[1..]).into_bytes();
    let at = gbk.iter().position(|byte| *byte == b'?').unwrap();
    gbk[at] = 0xd4;
    vec![
        made("payload-twice", more("\"ver\":1")),
        made("payload-fraction", more("\"x\":1.5")),
        made("payload-range", more("\"x\":9007199254740993")),
        made("payload-not-utf8", lookup(desk).raw_payload(gbk)),
        made("payload-bom", lookup(desk).raw_payload(format!("\u{feff}{text}"))),
        made("payload-character", more("\"x\":\"\\u0007\"")),
        made("payload-deep", more(&format!("\"x\":{}{}", "[".repeat(12), "]".repeat(12)))),
        made("payload-not-object", lookup(desk).raw_payload(json!(text).to_string())),
        made("payload-syntax", lookup(desk).raw_payload("ver=1")),
    ]
}

fn keys(desk: &Desk) -> Vec<Mistake> {
    let scene = &desk.scene;
    let by = |key| lookup(desk).signed_by(key);
    vec![
        made("kid-of-other-member", by(&scene.binhai.signing)),
        made("kid-of-authority", by(&scene.authority.key)),
        made("kid-not-in-force", by(&scene.asking.retired)),
        made("kid-example", lookup(desk).header("kid", EXAMPLE)),
        made("kid-own-name", lookup(desk).header("kid", format!("key-1-{CANARY}"))),
        made("kid-wrong-name", lookup(desk).header("kid", "A".repeat(43))),
        made("kid-unlisted", by(&new_key(Algorithm::Es256))),
        made("alg-none", lookup(desk).header("alg", "none")),
        made("alg-shared-secret", lookup(desk).header("alg", "HS256")),
        made("alg-eddsa-name", by(&desk.ed25519).header("alg", "EdDSA")),
        made("alg-rsa-padding", by(&desk.ps256).header("alg", "RS256")),
        made("alg-other", lookup(desk).header("alg", "ES384")),
    ]
}

fn signatures(desk: &Desk) -> Vec<Mistake> {
    let good = lookup(desk).text();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (header, claims) = (lookup(desk).header_text(), lookup(desk).claims.to_string());
    let with = |signature: &[u8]| format!("{input}.{}", b64(signature));
    let over = |text: &str| with(&sign(desk, text));
    let payload = input.split_once('.').unwrap().1;
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&claims).unwrap()).unwrap();
    let digest = sha256(input.as_bytes());
    let sent_header = header.replace(",", ", ").replace(":", ": ");
    vec![
        made("signature-der", with(&der(&raw))),
        made("signature-text", with(hex::encode(&raw).as_bytes())),
        made("signature-text", with(STANDARD.encode(&raw).as_bytes())),
        made("payload-again", signed_for(desk, &pretty, &claims)),
        made("payload-again", signed_for(desk, &claims, &pretty)),
        made("header-again", {
            let signature = sign(desk, input);
            format!("{}.{payload}.{}", b64(sent_header), b64(signature))
        }),
        made("input-encoding", {
            let (h, p) = input.split_once('.').unwrap();
            let [h, p] = [h, p].map(|part| STANDARD.encode(URL_SAFE_NO_PAD.decode(part).unwrap()));
            over(&format!("{h}.{p}"))
        }),
        made("input-encoding", {
            let (h, p) = input.split_once('.').unwrap();
            let [h, p] = [h, p].map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
            over(&format!("{h}.{p}"))
        }),
        made("input-hashed", with(&desk.scene.asking.signing.sign(&digest).unwrap())),
        made("input-payload-only", over(payload)),
        made("key-other", lookup(desk).forged_by(&desk.scene.binhai.signing)),
        made("signature-length", with(&[0x81; 63])),
        made("signature-unknown", lookup(desk).forged_by(&new_key(Algorithm::Es256))),
    ]
}

fn times_and_parties(desk: &Desk) -> Vec<Mistake> {
    let scene = &desk.scene;
    let now = scene.now();
    let timed = |iat: i64, exp: i64| lookup(desk).with("/iat", iat).with("/exp", exp);
    vec![
        made("clock-behind", timed(now - 300, now - 240)),
        made("time-zone-behind", timed(now - 28_805, now - 28_745)),
        made("clock-ahead", timed(now + 300, now + 360)),
        made("time-zone-ahead", timed(now + 28_799, now + 28_859)),
        made("milliseconds", timed(now * 1000, (now + 60) * 1000)),
        made("life-long", timed(now, now + 3600)),
        made("exp-milliseconds", timed(now, (now + 60) * 1000)),
        made("aud-self", lookup(desk).with("/aud", scene.asking.urn())),
        made("aud-other-region", lookup(desk).with("/aud", scene.binhai.urn())),
        made(
            "parties-swapped",
            lookup(desk).with("/iss", scene.answering.urn()).with("/aud", scene.asking.urn()),
        ),
        made("iss-other-region", lookup(desk).with("/iss", scene.binhai.urn())),
    ]
}

fn terms(desk: &Desk) -> Vec<Mistake> {
    let under = |agreement: &str| lookup(desk).with("/agreement", agreement);
    vec![
        made("agreement-unknown", under("421202-331083-1999")),
        made("agreement-parties", under("421202-150421-2020")),
        made("agreement-days", under("421202-331083-2010")),
        made("item-elsewhere", lookup(desk).with("/item", LAPSED_ITEM)),
        made("item-nowhere", lookup(desk).with("/item", NO_ITEM)),
        made("op-not-listed", lookup(desk).with("/item", QUIET_ITEM)),
        made("basis-not-listed", lookup(desk).with("/basis", "emergency")),
    ]
}

fn schemas(desk: &Desk) -> Vec<Mistake> {
    let scene = &desk.scene;
    let bent = |pointer: &str, value: Value| lookup(desk).with(pointer, value);
    vec![
        made("aud-address", bent("/aud", json!("https://127.0.0.1:8443"))),
        made("aud-suffix", bent("/aud", json!(format!("{}-uat", scene.answering.urn())))),
        made("aud-list", bent("/aud", json!([scene.answering.urn()]))),
        made("time-text", bent("/iat", json!("2030-03-18T01:46:40Z"))),
        made("exp-not-later", bent("/exp", scene.now().into())),
        made("body-text", {
            let body = lookup(desk).claims["body"].to_string();
            bent("/body", body.into())
        }),
        made("member-null", bent("/case", Value::Null)),
        made("member-extra", bent("/nbf", scene.now().into())),
        made("member-missing", lookup(desk).without("/operator")),
        made("check-character", bent("/body/license/holder/number", json!("421202190001010019"))),
        made("op-spelling", bent("/op", json!("License_Query"))),
        made("op-other", bent("/op", json!(CANARY))),
    ]
}

fn tokens(desk: &Desk) -> Vec<Mistake> {
    let scene = &desk.scene;
    let now = scene.now();
    let carrying = |token: String| lookup(desk).with("/authorization", token);
    let bent = |bend: &dyn Fn(Draft) -> Draft| carrying(bend(scene.authorization()).text());
    let entry = |member: &str, value: Value| {
        bent(&|token| token.with(&format!("/authorization_details/0/{member}"), value.clone()))
    };
    let other = new_key(Algorithm::Es256);
    vec![
        made("token-absent", lookup(desk).without("/authorization")),
        made("token-form", carrying(scene.authorization().text() + "=")),
        made("token-code", carrying("QyJ7hK2mPz8sWd4vRt6xBn".to_owned())),
        made("token-typ", bent(&|token| token.header("typ", "at+jwt"))),
        made("token-key", bent(&|token| token.signed_by(&other))),
        made("token-signature", bent(&|token| token.forged_by(&other))),
        made("token-audience", bent(&|token| token.with("/aud", scene.binhai.urn()))),
        made("token-swapped", {
            bent(&|token| token.with("/aud", scene.asking.urn()).with("/client_id", scene.answering.urn()))
        }),
        made("token-client", bent(&|token| token.with("/client_id", scene.binhai.urn()))),
        made("token-early", bent(&|token| token.with("/nbf", now + 90))),
        made("token-life", bent(&|token| token.with("/exp", now + 901))),
        made("token-holder", carrying(scene.authorization_of("111", BING).text())),
        made("token-binding", bent(&|token| token.with("/cnf/jkt", other.kid()))),
        made("token-late", {
            bent(&|token| token.with("/iat", now - 700).with("/nbf", now - 700).with("/exp", now - 100))
        }),
        made("cover-license", entry("datatypes", json!([DIVORCE]))),
        made("cover-field", entry("fields", json!(["cert_no"]))),
        made("cover-action", entry("actions", json!(["verify"]))),
        made("cover-item", entry("item", json!(DUTY_ITEM))),
        made("cover-case", entry("case", json!("K42010042120220261012000000257"))),
        made("cover-sensitive", {
            let token = scene
                .authorization()
                .with("/sensitive", false)
                .with("/authorization_details/0/datatypes", json!([HOUSEHOLD]))
                .with("/authorization_details/0/fields", json!(["address"]));
            lookup(desk)
                .with("/body/license/type", HOUSEHOLD)
                .with("/body/fields", json!(["address"]))
                .authorized(&token)
        }),
        made("cover-split", {
            bent(&|token| {
                token.bent(|claims| {
                    let mut second = claims["authorization_details"][0].clone();
                    claims["authorization_details"][0]["fields"] = json!(["cert_no"]);
                    second["fields"] = json!(["registered_on"]);
                    claims["authorization_details"].as_array_mut().unwrap().push(second);
                })
            })
        }),
    ]
}
