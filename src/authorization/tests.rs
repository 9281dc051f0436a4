//! One true token, then everything that can be wrong with it, one change at a time.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::{Typ, seal};
use crate::keys::{Algorithm, KeySet, SigningKey};

const AT: i64 = 1_900_000_000;
const NOW: Now = Now::from_secs(AT);
const IDP: &str = "urn:tongban:idp:mengsuban";
const LIST: &str = "https://status.example.cn/7";
const JTI: &str = "0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22";
const ITEM: &str = "11421202TECT0001914000709001000";
const CASE: &str = "K3310834212022026101200000001M";
const TYPE: &str = "111000000000131433001";
const NUMBER: &str = "42120219000101001X";
const WARD: &str = "331021190402290047";

struct House {
    idp: SigningKey,
    gateway: SigningKey,
    authorities: Authorities,
    lists: StatusLists,
    authorizer: Authorizer,
}

fn new_key() -> SigningKey {
    SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256).unwrap()).unwrap()
}

fn document(id: &str, key: &SigningKey) -> Value {
    json!({"id":id,"name":"测试授权平台","jwks":{"keys":[key.public_jwk()]},
        "status_lists":[{"uri":LIST,"file":"lists/7.jwt"}],"status":"active"})
}

fn house() -> House {
    let idp = new_key();
    let authorities = Authorities::new([Authority::from_value(&document(IDP, &idp)).unwrap()]).unwrap();
    let lists = StatusLists::default().configured(&authorities);
    House { idp, gateway: new_key(), authorities, lists, authorizer: Authorizer::default() }
}

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

impl House {
    fn claims(&self) -> Value {
        json!({"ver":1,"iss":IDP,"sub":"p-3f9c2d1e8b7a4c56","aud":"urn:tongban:gw:421202",
            "client_id":"urn:tongban:gw:331083","iat":AT,"nbf":AT,"exp":AT + 600,"jti":JTI,
            "auth_time":AT - 10,"acr":"face","holder":holder_digest(JTI, "111", NUMBER),
            "cnf":{"jkt":self.gateway.kid()},
            "authorization_details":[{"type":"urn:tongban:license","actions":["read"],"datatypes":[TYPE],
                "fields":["cert_no","registered_on"],"item":ITEM,"case":CASE,"purpose":"新生儿户口登记",
                "max_uses":1,"retention_days":30}],
            "sensitive":true,"guardian":null,"notice":"N-2026-03"})
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            me: region("421202"),
            client: region("331083"),
            signer_kid: self.gateway.kid(),
            license_type: TYPE,
            sensitive_type: false,
            action: Action::Read,
            fields: vec!["cert_no"],
            item: ITEM,
            case: Some(CASE),
            holder: Some(("111", NUMBER)),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        String::from_utf8(seal(&self.idp, Typ::Authorization, claims).unwrap()).unwrap()
    }

    fn check_at(&self, token: &str, ask: &Ask<'_>, now: Now) -> Result<Consent, AuthorizationFault> {
        self.authorizer.check(token, ask, &self.authorities, &self.lists, now)
    }

    /// The verdict on the true token with `changes` (JSON pointer → value; null removes).
    fn verdict(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims();
        for (pointer, value) in changes {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let members = claims.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            if value.is_null() {
                members.shift_remove(name);
            } else {
                members.insert(name.to_owned(), value.clone());
            }
        }
        word(self.check_at(&self.sign(&claims), &self.ask(), NOW))
    }

    fn verdict_on(&self, ask: &Ask<'_>) -> String {
        word(self.check_at(&self.sign(&self.claims()), ask, NOW))
    }

    fn put_list(&mut self, list: &str) {
        let list = StatusList::parse(list.as_bytes(), &self.idp_keys(), LIST, NOW).unwrap();
        self.lists = self.lists.with(IDP, LIST, list).unwrap();
    }

    fn idp_keys(&self) -> KeySet {
        KeySet::from_jwks(&json!({"keys":[self.idp.public_jwk()]})).unwrap()
    }
}

fn word(result: Result<Consent, AuthorizationFault>) -> String {
    match result {
        Ok(_) => "consent".into(),
        Err(AuthorizationFault::Invalid(reason)) => reason.word().into(),
        Err(other) => format!("{other:?}"),
    }
}

fn zlib(bytes: &[u8]) -> String {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    URL_SAFE_NO_PAD.encode(encoder.finish().unwrap())
}

fn list_claims(bits: u8, bytes: &[u8]) -> Value {
    json!({"sub":LIST,"iat":AT - 60,"exp":AT + 3600,"ttl":60,"status_list":{"bits":bits,"lst":zlib(bytes)}})
}

fn list(key: &SigningKey, claims: &Value) -> String {
    String::from_utf8(seal(key, Typ::StatusList, claims).unwrap()).unwrap()
}

#[test]
fn a_true_token_is_a_consent_for_its_holder() {
    let house = house();
    let consent = house.check_at(&house.sign(&house.claims()), &house.ask(), NOW).unwrap();
    assert_eq!(consent.max_uses, 1);
    assert_eq!(consent.exp, AT + 600);
    assert_eq!(consent.token_id, token_id(IDP, JTI));
    assert!(consent.holds("111", NUMBER));
    assert!(
        !consent.holds("112", NUMBER)
            && !consent.holds("111", WARD)
            && !consent.holds("111", "42120219000101001x")
    );
}

#[test]
fn a_token_with_one_thing_wrong_is_refused_for_that_thing() {
    let house = house();
    let late = AT + 601;
    let cases: Vec<(Vec<(&str, Value)>, &str)> = vec![
        (vec![], "consent"),
        (vec![("/cnf", Value::Null), ("/notice", Value::Null), ("/sensitive", Value::Null)], "consent"),
        (vec![("/authorization_details/0/case", Value::Null)], "consent"),
        (vec![("/authorization_details/0/max_uses", Value::Null)], "consent"),
        (vec![("/iss", "urn:tongban:idp:other".into())], "issuer"),
        (vec![("/aud", "urn:tongban:gw:320922".into())], "audience"),
        (vec![("/aud", "urn:tongban:gw:42120".into())], "audience"),
        (vec![("/aud", "urn:tongban:idp:421202".into())], "audience"),
        (vec![("/client_id", "urn:tongban:gw:320922".into())], "client"),
        (vec![("/iat", (AT + 31).into()), ("/exp", late.into())], "not-yet-valid"),
        (vec![("/iat", (AT + 30).into()), ("/exp", late.into())], "consent"),
        (vec![("/nbf", (AT + 31).into())], "not-yet-valid"),
        (vec![("/exp", AT.into())], "schema"),
        (vec![("/iat", (AT - 600).into()), ("/exp", (AT - 30).into())], "Expired"),
        (vec![("/iat", (AT - 600).into()), ("/exp", (AT - 29).into())], "consent"),
        (vec![("/exp", (AT + 900).into())], "consent"),
        (vec![("/exp", (AT + 901).into())], "lifetime"),
        (vec![("/exp", (AT + 86_400).into()), ("/authorization_details/0/max_uses", 2.into())], "consent"),
        (vec![("/exp", (AT + 86_401).into()), ("/authorization_details/0/max_uses", 2.into())], "lifetime"),
        (vec![("/authorization_details/0/max_uses", 100.into())], "consent"),
        (vec![("/holder", holder_digest(JTI, "111", WARD).into())], "holder"),
        (vec![("/holder", holder_digest(JTI, "112", NUMBER).into())], "holder"),
        (vec![("/holder", holder_digest("another-jti-another-jti", "111", NUMBER).into())], "holder"),
        (vec![("/cnf/jkt", house.idp.kid().into())], "key-binding"),
        (vec![("/guardian", json!({"holder":holder_digest(JTI, "111", WARD),"relation":"51"}))], "holder"),
        (vec![("/authorization_details/0/actions", json!(["verify"]))], "Insufficient"),
        (vec![("/authorization_details/0/datatypes", json!(["111000000000131433002"]))], "Insufficient"),
        (vec![("/authorization_details/0/fields", json!(["registered_on"]))], "Insufficient"),
        (vec![("/authorization_details/0/item", "11421202TECT0001914000709002000".into())], "Insufficient"),
        (vec![("/authorization_details/0/case", "K42120233108320261012000000015".into())], "Insufficient"),
    ];
    for (changes, expected) in &cases {
        assert_eq!(house.verdict(changes), *expected, "{changes:?}");
    }
}

#[test]
fn nonsense_claims_do_not_meet_the_schema() {
    let house = house();
    for (pointer, value) in [
        ("/iss", Value::Null),
        ("/exp", Value::Null),
        ("/exp", "1900000600".into()),
        ("/aud", json!(["urn:tongban:gw:421202"])),
        ("/holder", Value::Null),
        ("/cnf", json!({})),
        ("/authorization_details", json!({})),
        ("/authorization_details", Value::Null),
        ("/authorization_details/0/fields", json!("*")),
        ("/authorization_details/0/max_uses", json!(-1)),
        ("/guardian", json!({"relation":"51"})),
        ("/status", json!({"status_list":{"idx":-1,"uri":LIST}})),
        ("/status", json!({"status_list":{"idx":1}})),
    ] {
        assert_eq!(house.verdict(&[(pointer, value.clone())]), "schema", "{pointer} {value}");
    }
}

#[test]
fn the_tokens_own_jws_is_judged_like_any_message_in_its_own_role() {
    let house = house();
    let claims = house.claims();
    let good = house.sign(&claims);
    let with_typ = |typ, key: &SigningKey| String::from_utf8(seal(key, typ, &claims).unwrap()).unwrap();
    let (input, _) = good.rsplit_once('.').unwrap();
    let (header, rest) = good.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD
        .encode(json!({"alg":"none","typ":Typ::Authorization.name(),"kid":house.idp.kid()}).to_string());
    for (token, expected) in [
        ("A".repeat(8 * 1024 + 1), "size"),
        ("A".repeat(8 * 1024), "parts"),
        (format!("{good} "), "characters"),
        (format!("{good}~WyJhIl0~"), "characters"),
        (String::new(), "parts"),
        (format!("{input}."), "parts"),
        (format!("{good}.A"), "parts"),
        (format!("{header}.A.AA"), "base64url"),
        (format!("e30.{rest}"), "header"),
        (with_typ(Typ::Request, &house.idp), "typ"),
        (with_typ(Typ::StatusList, &house.idp), "typ"),
        (with_typ(Typ::Authorization, &house.gateway), "kid-not-theirs"),
        (with_typ(Typ::Authorization, &new_key()), "kid-not-theirs"),
        (format!("{none}.{rest}"), "alg-not-registered"),
        (format!("{input}.{}", URL_SAFE_NO_PAD.encode([1; 64])), "signature-mismatch"),
        (format!("{input}.{}", URL_SAFE_NO_PAD.encode([1; 63])), "signature-mismatch"),
        (String::from_utf8(seal(&house.idp, Typ::Authorization, &json!([1])).unwrap()).unwrap(), "JSON"),
        (
            String::from_utf8(seal(&house.idp, Typ::Authorization, &json!({"a":1.5})).unwrap()).unwrap(),
            "JSON",
        ),
        (String::from_utf8(seal(&house.idp, Typ::Authorization, &json!({})).unwrap()).unwrap(), "schema"),
        (good.clone(), "consent"),
    ] {
        assert_eq!(
            word(house.check_at(&token, &house.ask(), NOW)),
            expected,
            "{}",
            &token[..token.len().min(60)]
        );
    }
}

#[test]
fn the_first_failing_step_decides() {
    let house = house();
    // Wrong in every step from `issuer` on; one is put right after the other.
    let mut changes: Vec<(&str, Value)> = vec![
        ("/iss", "urn:tongban:idp:other".into()),
        ("/aud", "urn:tongban:gw:320922".into()),
        ("/client_id", "urn:tongban:gw:320922".into()),
        ("/nbf", (AT + 31).into()),
        ("/exp", (AT + 901).into()),
        ("/holder", holder_digest(JTI, "111", WARD).into()),
        ("/cnf", json!({"jkt":house.idp.kid()})),
        ("/status", json!({"status_list":{"idx":1,"uri":"https://elsewhere.example.cn/1"}})),
        ("/authorization_details", json!([])),
    ];
    if house.verdict(&[("/authorization_details", json!([]))]) == "schema" {
        changes.pop();
        changes.push(("/authorization_details/0/actions", json!(["verify"])));
    }
    for expected in [
        "issuer",
        "audience",
        "client",
        "not-yet-valid",
        "lifetime",
        "holder",
        "key-binding",
        "status-list-unknown",
        "Insufficient",
        "consent",
    ] {
        assert_eq!(house.verdict(&changes), expected);
        if !changes.is_empty() {
            changes.remove(0);
        }
    }
}

#[test]
fn an_ask_beyond_the_token_is_refused_never_narrowed() {
    let house = house();
    let ask = || house.ask();
    assert_eq!(house.verdict_on(&Ask { fields: vec!["cert_no", "registered_on"], ..ask() }), "consent");
    assert_eq!(house.verdict_on(&Ask { action: Action::Verify, ..ask() }), "consent", "read covers verify");
    for (what, ask) in [
        ("one field more", Ask { fields: vec!["cert_no", "spouse_number"], ..ask() }),
        ("no field", Ask { fields: vec![], ..ask() }),
        ("a star", Ask { fields: vec!["*"], ..ask() }),
        ("another case of letters", Ask { fields: vec!["Cert_No"], ..ask() }),
        ("a confusable", Ask { fields: vec!["сert_no"], ..ask() }),
        ("a space", Ask { fields: vec!["cert_no "], ..ask() }),
        ("another type", Ask { license_type: "111000000000131433002", ..ask() }),
        ("another item", Ask { item: "11421202TECT0001914000709002000", ..ask() }),
        ("another case", Ask { case: Some("K42120233108320261012000000015"), ..ask() }),
        ("no case where one is named", Ask { case: None, ..ask() }),
    ] {
        assert_eq!(house.verdict_on(&ask), "Insufficient", "{what}");
    }
    assert_eq!(house.verdict_on(&Ask { me: region("320922"), ..ask() }), "audience");
    assert_eq!(house.verdict_on(&Ask { client: region("320922"), ..ask() }), "client");
    assert_eq!(house.verdict_on(&Ask { signer_kid: "", ..ask() }), "key-binding");
    assert_eq!(house.verdict_on(&Ask { holder: Some(("111", WARD)), ..ask() }), "holder");
    assert_eq!(
        house.verdict_on(&Ask { holder: None, ..ask() }),
        "consent",
        "asked by id: judged on the record"
    );
}

#[test]
fn entries_are_never_added_together() {
    let house = house();
    let entry = |fields: Value, case: Value| {
        json!({"type":"urn:tongban:license","actions":["read"],"datatypes":[TYPE],"fields":fields,"item":ITEM,
            "case":case,"purpose":"核验","max_uses":1,"retention_days":0})
    };
    let two = json!([entry(json!(["cert_no"]), CASE.into()), entry(json!(["registered_on"]), CASE.into())]);
    let mut claims = house.claims();
    claims["authorization_details"] = two;
    let token = house.sign(&claims);
    let both = Ask { fields: vec!["cert_no", "registered_on"], ..house.ask() };
    assert_eq!(word(house.check_at(&token, &both, NOW)), "Insufficient");
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "consent", "each alone is good for its own");
}

#[test]
fn an_entry_of_another_type_covers_nothing_and_disturbs_nothing() {
    let house = house();
    let other = json!({"type":"urn:example:payment","amount":"100.00"});
    let mut claims = house.claims();
    claims["authorization_details"].as_array_mut().unwrap().push(other.clone());
    assert_eq!(word(house.check_at(&house.sign(&claims), &house.ask(), NOW)), "consent");
    claims["authorization_details"] = json!([other]);
    assert_eq!(word(house.check_at(&house.sign(&claims), &house.ask(), NOW)), "Insufficient");
}

#[test]
fn the_largest_number_of_uses_counts() {
    let house = house();
    let mut claims = house.claims();
    let mut second = claims["authorization_details"][0].clone();
    second["max_uses"] = 7.into();
    claims["authorization_details"].as_array_mut().unwrap().push(second);
    claims["exp"] = (AT + 3600).into();
    let consent = house.check_at(&house.sign(&claims), &house.ask(), NOW).unwrap();
    assert_eq!(consent.max_uses, 7);
    assert_eq!(consent.keep_until(), AT + 3630);
}

#[test]
fn a_sensitive_type_needs_a_token_that_says_so() {
    let house = house();
    let ask = Ask { sensitive_type: true, ..house.ask() };
    assert_eq!(house.verdict_on(&ask), "consent");
    for sensitive in [json!(false), Value::Null] {
        let mut claims = house.claims();
        if sensitive.is_null() {
            claims.as_object_mut().unwrap().shift_remove("sensitive");
        } else {
            claims["sensitive"] = sensitive;
        }
        assert_eq!(word(house.check_at(&house.sign(&claims), &ask, NOW)), "Insufficient");
    }
}

#[test]
fn a_guardian_opens_the_wards_licenses_and_not_their_own() {
    let house = house();
    let mut claims = house.claims();
    claims["guardian"] = json!({"holder":holder_digest(JTI, "111", WARD),"relation":"51"});
    let token = house.sign(&claims);
    let consent = house.check_at(&token, &Ask { holder: Some(("111", WARD)), ..house.ask() }, NOW).unwrap();
    assert!(consent.holds("111", WARD) && !consent.holds("111", NUMBER));
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "holder");
}

#[test]
fn a_token_to_be_used_often_is_judged_anew_each_time() {
    let mut house = house();
    let mut claims = house.claims();
    claims["authorization_details"][0]["max_uses"] = 5.into();
    claims["status"] = json!({"status_list":{"idx":3,"uri":LIST}});
    let token = house.sign(&claims);
    house.put_list(&list(&house.idp, &list_claims(1, &[0])));
    for _ in 0..2 {
        assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "consent");
    }
    let thief = Ask { client: region("320922"), ..house.ask() };
    assert_eq!(word(house.check_at(&token, &thief, NOW)), "client", "stolen");
    let bound = Ask { signer_kid: "another", ..house.ask() };
    assert_eq!(word(house.check_at(&token, &bound, NOW)), "key-binding");
    let more = Ask { fields: vec!["cert_no", "spouse_number"], ..house.ask() };
    assert_eq!(word(house.check_at(&token, &more, NOW)), "Insufficient");
    assert_eq!(word(house.check_at(&token, &house.ask(), Now::from_secs(AT + 630))), "Expired");
    house.put_list(&list(&house.idp, &list_claims(1, &[0b1000])));
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "Revoked", "on the next use, memory or not");
    // The authority goes, and with it what its key had said.
    house.authorities = Authorities::default();
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "kid-not-theirs");
}

#[test]
fn a_remembered_token_ends_with_its_key() {
    let idp = new_key();
    let mut doc = document(IDP, &idp);
    doc["jwks"]["keys"][0]["exp"] = (AT + 60).into();
    let authorities = Authorities::new([Authority::from_value(&doc).unwrap()]).unwrap();
    let house = House { idp, authorities, ..house() };
    let mut claims = house.claims();
    claims["authorization_details"][0]["max_uses"] = 5.into();
    let token = house.sign(&claims);
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "consent");
    assert_eq!(word(house.check_at(&token, &house.ask(), Now::from_secs(AT + 60))), "kid-not-theirs");
}

#[test]
fn the_memory_of_tokens_is_bounded() {
    let house = house();
    let mut claims = house.claims();
    claims["authorization_details"][0]["max_uses"] = 2.into();
    let token = house.sign(&claims);
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "consent");
    let known = super::authorizer::remembered_after(&house.authorizer, 10_000);
    assert!(known <= 4096, "{known}");
}

#[test]
fn what_the_list_says_decides_and_silence_closes_the_door() {
    let mut house = house();
    let status = |idx: u64| ("/status", json!({"status_list":{"idx":idx,"uri":LIST}}));
    assert_eq!(house.verdict(&[status(0)]), "StatusStale", "configured, never loaded");
    house.put_list(&list(&house.idp, &list_claims(1, &[0b0000_0010, 0b1000_0000])));
    for (index, expected) in [
        (0, "consent"),
        (1, "Revoked"),
        (2, "consent"),
        (8, "consent"),
        (15, "Revoked"),
        (16, "status-index"),
        ((1 << 53) - 1, "status-index"),
    ] {
        assert_eq!(house.verdict(&[status(index)]), expected, "{index}");
    }
    let elsewhere = ("/status", json!({"status_list":{"idx":0,"uri":"https://status.example.cn/8"}}));
    assert_eq!(house.verdict(&[elsewhere]), "status-list-unknown");
    let mut claims = list_claims(1, &[0]);
    claims["exp"] = AT.into();
    house.put_list(&list(&house.idp, &claims));
    assert_eq!(house.verdict(&[status(0)]), "StatusStale", "past its own exp");
    assert_eq!(house.verdict(&[]), "consent", "a token without status is not concerned");
}

#[test]
fn statuses_of_two_four_and_eight_bits_are_found_where_the_draft_puts_them() {
    // Token Status List §4.1: byte 0 holds index 0 in its least significant bits.
    for (bits, bytes, values) in [
        (1, vec![0xB9, 0xA3], vec![1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]),
        (2, vec![0xC9, 0x44, 0xF9], vec![1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]),
        (4, vec![0x21, 0x0F], vec![1, 2, 15, 0]),
        (8, vec![0, 1, 255], vec![0, 1, 255]),
    ] {
        let mut house = house();
        house.put_list(&list(&house.idp, &list_claims(bits, &bytes)));
        for (index, value) in values.iter().enumerate() {
            let expected = if *value == 0 { Status::Valid } else { Status::Revoked };
            assert_eq!(house.lists.status(IDP, LIST, index as u64, NOW), expected, "{bits} bits, {index}");
        }
        assert_eq!(house.lists.status(IDP, LIST, values.len() as u64, NOW), Status::NoSuchIndex);
    }
}

#[test]
fn a_list_that_is_not_the_authoritys_own_and_sound_is_not_taken() {
    let house = house();
    let keys = house.idp_keys();
    let parse = |text: &str| StatusList::parse(text.as_bytes(), &keys, LIST, NOW).err();
    let changed = |pointer: &str, value: Value| {
        let mut claims = list_claims(1, &[0]);
        *claims.pointer_mut(pointer).unwrap() = value;
        list(&house.idp, &claims)
    };
    let good = list(&house.idp, &list_claims(1, &[0]));
    assert_eq!(parse(&good), None);
    assert_eq!(parse(&format!("{good}\n")), None, "files end with a line end");
    assert!(matches!(
        parse(&list(&house.gateway, &list_claims(1, &[0]))),
        Some(StatusListFault::Envelope(_))
    ));
    let as_token =
        String::from_utf8(seal(&house.idp, Typ::Authorization, &list_claims(1, &[0])).unwrap()).unwrap();
    assert!(matches!(parse(&as_token), Some(StatusListFault::Envelope(_))));
    assert_eq!(parse(&changed("/sub", "https://status.example.cn/8".into())), Some(StatusListFault::Subject));
    assert_eq!(parse(&changed("/iat", (AT + 31).into())), Some(StatusListFault::NotYetValid));
    assert_eq!(parse(&changed("/iat", "x".into())), Some(StatusListFault::Claim("iat")));
    assert_eq!(parse(&changed("/exp", "x".into())), Some(StatusListFault::Claim("exp")));
    assert_eq!(parse(&changed("/status_list", json!({}))), Some(StatusListFault::Claim("bits")));
    assert_eq!(parse(&changed("/status_list/bits", 3.into())), Some(StatusListFault::Claim("bits")));
    assert_eq!(parse(&changed("/status_list/lst", 3.into())), Some(StatusListFault::Claim("lst")));
    assert_eq!(parse(&changed("/status_list/lst", "AAAA".into())), Some(StatusListFault::Compression));
    assert_eq!(parse(&changed("/status_list/lst", "!".into())), Some(StatusListFault::Compression));
    assert_eq!(parse(&changed("/status_list/lst", zlib(&vec![0; 1024 * 1024]).into())), None);
    let bomb = zlib(&vec![0; 64 * 1024 * 1024]);
    assert_eq!(parse(&changed("/status_list/lst", bomb.into())), Some(StatusListFault::TooLarge));
}

#[test]
fn an_older_list_from_the_network_never_replaces_a_newer_one() {
    let mut house = house();
    house.put_list(&list(&house.idp, &list_claims(1, &[1])));
    let mut claims = list_claims(1, &[0]);
    claims["iat"] = (AT - 61).into();
    let older =
        StatusList::parse(list(&house.idp, &claims).as_bytes(), &house.idp_keys(), LIST, NOW).unwrap();
    assert_eq!(house.lists.with_newer(IDP, LIST, older).err(), Some(StatusListFault::Older));
    assert_eq!(house.lists.status(IDP, LIST, 0, NOW), Status::Revoked);
    let any =
        StatusList::parse(list(&house.idp, &list_claims(1, &[0])).as_bytes(), &house.idp_keys(), LIST, NOW);
    assert_eq!(
        house.lists.with(IDP, "https://x.cn", any.unwrap()).err(),
        Some(StatusListFault::NotConfigured)
    );
    // A reload of the authorities keeps the list, an authority's end forgets it.
    let again = house.lists.configured(&house.authorities);
    assert_eq!(again.status(IDP, LIST, 0, NOW), Status::Revoked);
    assert_eq!(again.configured(&Authorities::default()).status(IDP, LIST, 0, NOW), Status::UnknownList);
    // A key taken from the authority takes its lists along: nothing tells who signed them.
    let renewed = Authorities::new([Authority::from_value(&document(IDP, &new_key())).unwrap()]).unwrap();
    assert_eq!(again.configured(&renewed).status(IDP, LIST, 0, NOW), Status::Stale);
    let mut doc = document(IDP, &house.idp);
    doc["jwks"]["keys"].as_array_mut().unwrap().push(new_key().public_jwk());
    let overlapping = Authorities::new([Authority::from_value(&doc).unwrap()]).unwrap();
    assert_eq!(again.configured(&overlapping).status(IDP, LIST, 0, NOW), Status::Revoked);
}

#[test]
fn an_authoritys_file_tells_all_its_faults() {
    let key = new_key();
    let mut doc = document(IDP, &key);
    doc["jwks"]["keys"][0]["use"] = "enc".into();
    doc["status_lists"] = json!([{"uri":LIST,"file":"a","url":"https://x.cn/a"},{"uri":LIST,"file":"b"}]);
    let rules: Vec<String> =
        Authority::from_value(&doc).err().unwrap().into_iter().map(|fault| fault.rule).collect();
    assert!(rules.iter().all(|rule| !rule.is_empty()) && !rules.is_empty(), "{rules:?}");
    let mut doc = document(IDP, &key);
    doc["jwks"]["keys"][0]["use"] = "enc".into();
    let faults = Authority::from_value(&doc).err().unwrap();
    assert!(faults.iter().any(|fault| fault.pointer == "/jwks/keys/0/use"), "{faults:?}");
    for url in ["http://x.cn/a", "file:///etc/passwd"] {
        let mut doc = document(IDP, &key);
        doc["status_lists"] = json!([{"uri":LIST,"url":url}]);
        assert!(Authority::from_value(&doc).is_err(), "{url}");
    }
}

#[test]
fn authorities_share_no_id_and_no_key_and_a_suspended_ones_keys_are_nobodys() {
    let (a, b) = (new_key(), new_key());
    let load = |id: &str, key: &SigningKey| Authority::from_value(&document(id, key)).unwrap();
    let rules = |list: Vec<Authority>| -> Vec<String> {
        Authorities::new(list).err().unwrap_or_default().into_iter().map(|fault| fault.rule).collect()
    };
    assert!(rules(vec![load(IDP, &a), load("urn:tongban:idp:other", &b)]).is_empty());
    assert_eq!(rules(vec![load(IDP, &a), load(IDP, &b)]), ["authority-duplicate"]);
    assert_eq!(rules(vec![load(IDP, &a), load("urn:tongban:idp:other", &a)]), ["key-shared"]);
    let house = house();
    let mut doc = document(IDP, &house.idp);
    doc["status"] = "suspended".into();
    let authorities = Authorities::new([Authority::from_value(&doc).unwrap()]).unwrap();
    let house = House { authorities, ..house };
    assert_eq!(house.verdict(&[]), "kid-not-theirs");
}

#[test]
fn one_authority_does_not_speak_for_another() {
    let house = house();
    let other = new_key();
    let authorities = Authorities::new([
        Authority::from_value(&document(IDP, &house.idp)).unwrap(),
        Authority::from_value(&document("urn:tongban:idp:other", &other)).unwrap(),
    ])
    .unwrap();
    let house = House { authorities, ..house };
    let token = String::from_utf8(seal(&other, Typ::Authorization, &house.claims()).unwrap()).unwrap();
    assert_eq!(word(house.check_at(&token, &house.ask(), NOW)), "issuer");
}
