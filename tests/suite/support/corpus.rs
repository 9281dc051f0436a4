//! One true message, bent in one place, for every check that the judge makes: what the door
//! must say, and `explain` after it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tongban::envelope::new_message_id;
use tongban::keys::Algorithm;

use super::authority::LIST;
use super::member::new_key;
use super::message::{Draft, b64};
use super::papers::*;
use super::scene::{Scene, holder};

/// Text that stands in every message and must stand in no refusal.
pub const CANARY: &str = "CANARY-7310";

/// A token at this place of the list is revoked, once [`Case`]s are judged: publish it.
pub const REVOKED_INDEX: u64 = 17;

/// One bent message and the refusal it deserves: `code` or `code/reason`.
pub struct Case {
    pub name: &'static str,
    pub says: &'static str,
    pub body: Vec<u8>,
    /// The pointers of `errors`, where the case is about them.
    pub pointers: Option<Vec<&'static str>>,
}

fn case(name: &'static str, says: &'static str, body: impl Into<Vec<u8>>) -> Case {
    Case { name, says, body: body.into(), pointers: None }
}

fn faulty(name: &'static str, pointers: &[&'static str], body: impl Into<Vec<u8>>) -> Case {
    Case { name, says: "schema-violation", body: body.into(), pointers: Some(pointers.to_vec()) }
}

/// Everything the judge can refuse without a memory, in the order of the checks.
pub fn bent_messages(scene: &Scene) -> Vec<Case> {
    let mut cases = shapes(scene);
    cases.extend(signatures(scene));
    cases.extend(payloads(scene));
    cases.extend(envelopes(scene));
    cases.extend(times(scene));
    cases.extend(agreements(scene));
    cases.extend(bodies(scene));
    cases.extend(terms(scene));
    cases.extend(authorizations(scene));
    cases
}

/// A lookup full of what must not come back.
pub fn hostile_lookup(scene: &Scene) -> Draft {
    scene.lookup().with("/operator", CANARY).with("/purpose", format!("核验{CANARY}"))
}

fn shapes(scene: &Scene) -> Vec<Case> {
    let good = || hostile_lookup(scene).text();
    let parts = || good().split('.').map(str::to_owned).collect::<Vec<_>>();
    let header = |bytes: &str| hostile_lookup(scene).raw_header(bytes);
    let members = hostile_lookup(scene).header_text();
    let opened = members.trim_end_matches('}');
    let loose = |part: usize| {
        let mut parts = parts();
        // The last character carries bits that stand for nothing: another spelling of the
        // same bytes.
        let last = parts[part].pop().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.find(last).unwrap();
        parts[part].push(char::from(alphabet.as_bytes()[at + 1]));
        parts.join(".")
    };
    vec![
        case("an empty body", "malformed/parts", ""),
        case("a newline behind it", "malformed/characters", good() + "\n"),
        case("padding", "malformed/characters", good() + "="),
        case("the other base64 alphabet", "malformed/characters", good().replacen('.', "+/.", 1)),
        case("a byte order mark", "malformed/characters", format!("\u{feff}{}", good())),
        case("a NUL", "malformed/characters", good() + "\0"),
        case(
            "JSON serialization",
            "malformed/characters",
            json!({"payload": "", "signatures": []}).to_string(),
        ),
        case("two parts", "malformed/parts", parts()[..2].join(".")),
        case("four parts", "malformed/parts", good() + ".AAAA"),
        case("a detached payload", "malformed/parts", format!("{}..{}", parts()[0], parts()[2])),
        case("no signature", "malformed/parts", format!("{}.{}.", parts()[0], parts()[1])),
        case("no header", "malformed/parts", format!(".{}.{}", parts()[1], parts()[2])),
        case(
            "a part of an impossible length",
            "malformed/base64url",
            format!("A.{}.{}", parts()[1], parts()[2]),
        ),
        case("another spelling of the signature", "malformed/base64url", loose(2)),
        case("a header that is no JSON", "malformed/header", header("alg=ES256")),
        case("a header that is no object", "malformed/header", header("[]")),
        case("a header with crit", "malformed/header", header(&format!("{opened},\"crit\":[]}}"))),
        case("a header with jwk", "malformed/header", header(&format!("{opened},\"jwk\":{{}}}}"))),
        case("a header with b64", "malformed/header", header(&format!("{opened},\"b64\":false}}"))),
        case("a header with cty", "malformed/header", header(&format!("{opened},\"cty\":\"JWT\"}}"))),
        case(
            "a header with a member twice",
            "malformed/header",
            header(&format!("{opened},\"alg\":\"ES256\"}}")),
        ),
        case("a header with a member twice, escaped", "malformed/header", {
            header(&format!("{opened},\"\\u0061lg\":\"ES256\"}}"))
        }),
        case("a header without kid", "malformed/header", {
            header("{\"alg\":\"ES256\",\"typ\":\"tongban-request+jwt\"}")
        }),
        case("a header whose alg is a number", "malformed/header", hostile_lookup(scene).header("alg", 256)),
        case(
            "a header whose kid is null",
            "malformed/header",
            hostile_lookup(scene).header("kid", Value::Null),
        ),
        case(
            "a header over 512 characters",
            "malformed/header",
            header(&(members.clone() + &" ".repeat(400))),
        ),
        case("a header with a control character", "malformed/header", {
            hostile_lookup(scene).header("typ", "tongban-request+jwt\u{1}")
        }),
        case(
            "a response's typ",
            "malformed/typ",
            hostile_lookup(scene).header("typ", "tongban-response+jwt"),
        ),
        case(
            "a typ in capitals",
            "malformed/typ",
            hostile_lookup(scene).header("typ", "TONGBAN-REQUEST+JWT"),
        ),
        case("a typ with its prefix", "malformed/typ", {
            hostile_lookup(scene).header("typ", "application/tongban-request+jwt")
        }),
    ]
}

fn signatures(scene: &Scene) -> Vec<Case> {
    let other = new_key(Algorithm::Es256);
    let resized = |bytes: usize| {
        let text = hostile_lookup(scene).text();
        let (input, signature) = text.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature.resize(bytes, 0);
        format!("{input}.{}", b64(signature))
    };
    let changed = || {
        let text = hostile_lookup(scene).text();
        let [header, _, signature] = text.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
        format!("{header}.{}.{signature}", b64(hostile_lookup(scene).claims.to_string()))
    };
    let kid = "signature-invalid/kid-not-yours";
    let alg = "signature-invalid/alg-not-registered";
    let mismatch = "signature-invalid/signature-mismatch";
    vec![
        case("a key nobody has", kid, hostile_lookup(scene).signed_by(&other)),
        case("another member's key", kid, hostile_lookup(scene).signed_by(&scene.binhai.signing)),
        case("an authority's key", kid, hostile_lookup(scene).signed_by(&scene.authority.key)),
        case("our own key", kid, hostile_lookup(scene).signed_by(&scene.answering.signing)),
        case("a key past its exp", kid, hostile_lookup(scene).signed_by(&scene.asking.retired)),
        case("a key before its nbf", kid, hostile_lookup(scene).signed_by(&scene.asking.coming)),
        case("an empty kid", kid, hostile_lookup(scene).header("kid", "")),
        case("a kid with a canary", kid, hostile_lookup(scene).header("kid", CANARY)),
        case("alg none", alg, hostile_lookup(scene).header("alg", "none")),
        case("a shared secret's alg", alg, hostile_lookup(scene).header("alg", "HS256")),
        case("another key's alg", alg, hostile_lookup(scene).header("alg", "EdDSA")),
        case("alg in small letters", alg, hostile_lookup(scene).header("alg", "es256")),
        case("another's signature", mismatch, hostile_lookup(scene).forged_by(&other)),
        case("another payload under the signature", mismatch, changed()),
        case("a shorter signature", mismatch, resized(63)),
        case("a longer signature", mismatch, resized(65)),
    ]
}

fn payloads(scene: &Scene) -> Vec<Case> {
    let claims = hostile_lookup(scene).claims;
    let text = claims.to_string();
    let json_fault = |name: &'static str, payload: Vec<u8>| {
        case(name, "malformed/JSON", hostile_lookup(scene).raw_payload(payload))
    };
    let more = |member: &str| format!("{{{member},{}", &text[1..]).into_bytes();
    let deep = |depth: usize| more(&format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    let wide = |nodes: usize| more(&format!("\"x\":[{}]", vec!["0"; nodes].join(",")));
    let operator = |text: &str| more(&format!("\"x\":\"{text}\""));
    vec![
        json_fault("a payload that is a list", format!("[{text}]").into_bytes()),
        json_fault("a payload that is a word", b"true".to_vec()),
        json_fault("a payload that is no JSON", b"ver=1".to_vec()),
        json_fault("something behind the payload", format!("{text} {{}}").into_bytes()),
        json_fault("a byte order mark before the payload", format!("\u{feff}{text}").into_bytes()),
        json_fault("a member twice", more("\"ver\":1")),
        json_fault("a member twice, escaped", more("\"\\u0076er\":1")),
        json_fault("a fraction", more("\"x\":1.0")),
        json_fault("an exponent", more("\"x\":1e3")),
        json_fault("minus zero", more("\"x\":-0")),
        json_fault("a number beyond 2^53", more("\"x\":9007199254740993")),
        json_fault("thirteen levels", deep(12)),
        json_fault("more than 2 000 values", wide(2000)),
        json_fault("a replacement character", operator("\u{fffd}")),
        json_fault("a private-use character", operator("\u{e000}")),
        json_fault("a control character", operator("\\u0007")),
        json_fault("a bidirectional override", operator("\u{202e}")),
        json_fault("a non-character", operator("\u{fdd0}")),
        json_fault("half a surrogate pair", operator("\\ud800")),
        json_fault("bytes that are no UTF-8", {
            let mut bytes = more("\"x\":\"?\"");
            let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
            bytes[at] = 0xff;
            bytes
        }),
        json_fault("a forbidden character in a name", more("\"\u{202e}\":1")),
        case("a lookup above 32 KiB", "too-large", {
            hostile_lookup(scene).raw_payload(text.clone() + &" ".repeat(32 * 1024))
        }),
        case("a ping above 32 KiB", "too-large", {
            scene.ping().raw_payload(scene.ping().claims.to_string() + &" ".repeat(32 * 1024))
        }),
    ]
}

fn envelopes(scene: &Scene) -> Vec<Case> {
    let bent = |pointer: &str, value: Value| hostile_lookup(scene).with(pointer, value);
    let mut cases = vec![
        case("an unknown op", "unknown-op", bent("/op", json!(format!("{CANARY}.query")))),
        case(
            "an unknown op with a faulty envelope",
            "unknown-op",
            bent("/op", json!("nonsense")).without("/item"),
        ),
        faulty("an op that is no word", &["/op"], bent("/op", json!(7))),
        faulty("another version", &["/ver"], bent("/ver", json!(2))),
        faulty("a short jti", &["/jti"], bent("/jti", json!("0190f3a2"))),
        faulty("a jti with a forbidden character", &["/jti"], bent("/jti", json!("0190f3a2=7c1e=7d4b=9a51"))),
        faulty("an exp that is not later than iat", &["/exp"], {
            let iat = scene.now();
            bent("/exp", json!(iat))
        }),
        faulty("times that are words", &["/exp", "/iat"], {
            bent("/iat", json!("now")).with("/exp", json!("later"))
        }),
        faulty("an unknown member", &["/extra"], bent("/extra", json!(CANARY))),
        faulty("an item with a bad credit code", &["/item"], {
            bent("/item", json!("11421202TECT0001924000709001000"))
        }),
        faulty("a case with a bad check character", &["/case"], {
            bent("/case", json!("K3310834212022026101200000001N"))
        }),
        faulty("an unknown basis", &["/basis"], bent("/basis", json!("curiosity"))),
        faulty("an empty purpose", &["/purpose"], bent("/purpose", json!(""))),
        faulty("a purpose of 201 characters", &["/purpose"], bent("/purpose", json!("核".repeat(201)))),
        faulty("an operator of 65 characters", &["/operator"], bent("/operator", json!("Y".repeat(65)))),
        faulty("a body that is a list", &["/body"], bent("/body", json!([]))),
        faulty(
            "everything wrong at once",
            &["/aud", "/basis", "/case", "/exp", "/item", "/jti", "/operator", "/ver"],
            {
                hostile_lookup(scene).bent(|claims| {
                    for name in ["ver", "aud", "exp", "jti", "item", "case", "basis", "operator"] {
                        claims[name] = json!({CANARY: CANARY});
                    }
                })
            },
        ),
        faulty("a ping that names an item", &["/item"], scene.ping().with("/item", ITEM)),
    ];
    for (name, pointers) in [
        ("ver", &["/ver"]),
        ("iss", &["/iss"]),
        ("aud", &["/aud"]),
        ("iat", &["/iat"]),
        ("exp", &["/exp"]),
        ("jti", &["/jti"]),
        ("op", &["/op"]),
        ("body", &["/body"]),
        ("item", &["/item"]),
        ("basis", &["/basis"]),
        ("purpose", &["/purpose"]),
        ("operator", &["/operator"]),
        ("agreement", &["/agreement"]),
    ] {
        cases.push(faulty(
            "a claim is missing",
            pointers,
            hostile_lookup(scene).without(&format!("/{name}")),
        ));
    }
    cases.extend([
        case("another member's name", "issuer-mismatch", bent("/iss", json!(scene.binhai.urn()))),
        case("our own name as issuer", "issuer-mismatch", bent("/iss", json!(scene.answering.urn()))),
        case("for somebody else", "audience-mismatch", bent("/aud", json!(scene.binhai.urn()))),
        case("for the sender itself", "audience-mismatch", bent("/aud", json!(scene.asking.urn()))),
    ]);
    cases
}

fn times(scene: &Scene) -> Vec<Case> {
    let now = scene.now();
    let timed = |iat: i64, exp: i64| hostile_lookup(scene).with("/iat", iat).with("/exp", exp);
    vec![
        case("31 s ahead", "not-yet-valid", timed(now + 31, now + 91)),
        case("past exp by the skew", "message-expired", timed(now - 90, now - 30)),
        case("a life of 121 s", "lifetime-too-long", timed(now, now + 121)),
        case("years ago", "message-expired", timed(1, 61)),
    ]
}

fn agreements(scene: &Scene) -> Vec<Case> {
    let named = |item: &str| hostile_lookup(scene).with("/item", item);
    vec![
        case("an agreement nobody has", "no-agreement", hostile_lookup(scene).with("/agreement", CANARY)),
        case("an agreement that has ended", "no-agreement", {
            hostile_lookup(scene).with("/agreement", "421202-331083-2010")
        }),
        case("an agreement of two others", "no-agreement", {
            hostile_lookup(scene).with("/agreement", "421202-150421-2020")
        }),
        case("an item that has lapsed, under the lapsed agreement", "no-agreement", {
            named(LAPSED_ITEM).with("/agreement", "421202-331083-2010")
        }),
        case("an item nobody has agreed on", "unknown-item", named(NO_ITEM)),
        case("an item of the lapsed agreement", "item-not-agreed", named(LAPSED_ITEM)),
        case("an item without lookups", "op-not-agreed", named(QUIET_ITEM)),
        case("a basis that is not agreed", "basis-not-agreed", {
            hostile_lookup(scene).with("/basis", "statutory_duty").without("/authorization")
        }),
        case("a basis that is not agreed, with an authorization", "basis-not-agreed", {
            hostile_lookup(scene).with("/basis", "emergency")
        }),
    ]
}

fn bodies(scene: &Scene) -> Vec<Case> {
    let bent = |pointer: &str, value: Value| hostile_lookup(scene).with(&format!("/body{pointer}"), value);
    let holder = |kind: &str, number: &str| bent("/license/holder", json!({"type": kind, "number": number}));
    let number = "/body/license/holder/number";
    let many: Vec<String> = (0..65).map(|n| format!("f{n}")).collect();
    vec![
        faulty("a ping with something in it", &["/body/x"], scene.ping().with("/body", json!({"x": CANARY}))),
        faulty("no license", &["/body/license"], hostile_lookup(scene).without("/body/license")),
        faulty(
            "neither holder nor id",
            &["/body/license"],
            hostile_lookup(scene).without("/body/license/holder"),
        ),
        faulty("both holder and id", &["/body/license"], bent("/license/license_id", json!(MARRIAGE_ID))),
        faulty("an ID number with a bad check character", &[number], holder("111", "421202190001010019")),
        faulty("an ID number in full-width digits", &[number], holder("111", "４２１２０２19000101001X")),
        faulty("an ID number of a region that never was", &[number], holder("111", "990101190001010018")),
        faulty("an ID number born tomorrow", &[number], holder("111", "331083209912310024")),
        faulty("a bad credit code", &[number], holder("001", "11421202TECT000192")),
        faulty("an unknown holder type", &["/body/license/holder/type"], holder("777", JIA)),
        faulty("an unknown member of the body", &["/body/why"], bent("/why", json!(CANARY))),
        faulty("a type that is no code", &["/body/license/type"], bent("/license/type", json!("结婚证"))),
        faulty("a license id of another type", &["/body/license/license_id"], {
            let id = license_id(DIVORCE, "D0000000001", "001");
            bent("/license", json!({"type": MARRIAGE, "license_id": id}))
        }),
        faulty("a license id with a bad check character", &["/body/license/license_id"], {
            let id = format!("{}A", &MARRIAGE_ID[..MARRIAGE_ID.len() - 1]);
            bent("/license", json!({"type": MARRIAGE, "license_id": id}))
        }),
        faulty("no fields", &["/body/fields"], bent("/fields", json!([]))),
        faulty("a field twice", &["/body/fields"], bent("/fields", json!(["cert_no", "cert_no"]))),
        faulty("65 fields", &["/body/fields"], bent("/fields", json!(many))),
        faulty("an unknown mode", &["/body/mode"], bent("/mode", json!("copy"))),
        faulty("verify with fields", &["/body/expect", "/body/fields"], bent("/mode", json!("verify"))),
        faulty("read with expect", &["/body/expect"], bent("/expect", json!({"cert_no": CANARY}))),
        faulty("an age above a day", &["/body/max_age"], bent("/max_age", json!(86_401))),
        faulty("a negative age", &["/body/max_age"], bent("/max_age", json!(-1))),
        faulty("many faults at once", &[number, "/body/max_age", "/body/mode", "/body/why"], {
            holder("111", "421202190001010019")
                .with("/body/mode", CANARY)
                .with("/body/max_age", -1)
                .with("/body/why", CANARY)
        }),
    ]
}

fn terms(scene: &Scene) -> Vec<Case> {
    let kind = |code: &str| hostile_lookup(scene).with("/body/license/type", code);
    let fields = |names: &[&str]| hostile_lookup(scene).with("/body/fields", names.to_vec());
    vec![
        case("a license type nobody knows", "unknown-license-type", kind(NO_TYPE)),
        // A type code is looked up, not computed.
        case("a license type with a bad credit code", "unknown-license-type", kind("11100000000013128D001")),
        case("a license type that no agreement lists", "license-not-agreed", kind(DIVORCE)),
        case("a license type whose holders are elsewhere", "license-not-agreed", kind(BUSINESS)),
        case("a mode that is not agreed", "license-not-agreed", {
            hostile_lookup(scene).with("/item", DUTY_ITEM).with("/body/fields", vec!["cert_no"])
        }),
        case("a field that is not agreed", "field-not-agreed", fields(&["cert_no", "man"])),
        case("a field that there is not", "field-not-agreed", fields(&["cert_no", "canary_7310"])),
        case("a field that is never shared", "field-not-agreed", fields(&["photo"])),
        case("an expected field that is not agreed", "field-not-agreed", {
            hostile_lookup(scene)
                .without("/body/fields")
                .with("/body/mode", "verify")
                .with("/body/expect", json!({"woman": CANARY}))
        }),
    ]
}

fn authorizations(scene: &Scene) -> Vec<Case> {
    let carrying = |token: String| hostile_lookup(scene).with("/authorization", token);
    let bent = |bend: &dyn Fn(Draft) -> Draft| carrying(bend(scene.authorization()).text());
    let entry = |member: &str, value: Value| {
        bent(&|token| token.with(&format!("/authorization_details/0/{member}"), value.clone()))
    };
    let now = scene.now();
    let token = || scene.authorization().text();
    let other = new_key(Algorithm::Es256);
    let header = scene.authorization().header_text();
    let mut cases = vec![
        case("no authorization", "authorization-missing", hostile_lookup(scene).without("/authorization")),
        case("an authorization above 8 KiB", "authorization-invalid/size", {
            let claims = scene.authorization().claims.to_string() + &" ".repeat(8 * 1024);
            bent(&|token| token.raw_payload(&claims))
        }),
        case("an authorization with a newline", "authorization-invalid/characters", carrying(token() + "=")),
        case("an empty authorization", "authorization-invalid/parts", carrying(String::new())),
        case("an authorization of two parts", "authorization-invalid/parts", {
            carrying(token().rsplit_once('.').unwrap().0.to_owned())
        }),
        case("an authorization of an impossible length", "authorization-invalid/base64url", {
            carrying(format!("A.{}", token().split_once('.').unwrap().1))
        }),
        case("an authorization with crit", "authorization-invalid/header", {
            let crit = format!("{},\"crit\":[]}}", header.trim_end_matches('}'));
            bent(&|token| token.raw_header(&crit))
        }),
        case("a request in place of an authorization", "authorization-invalid/typ", {
            bent(&|token| token.header("typ", "tongban-request+jwt"))
        }),
        case("an authorization by nobody", "authorization-invalid/kid-not-theirs", {
            bent(&|token| token.signed_by(&other))
        }),
        case("an authorization by the asking gateway", "authorization-invalid/kid-not-theirs", {
            bent(&|token| token.signed_by(&scene.asking.signing))
        }),
        case("an authorization without alg", "authorization-invalid/alg-not-registered", {
            bent(&|token| token.header("alg", "none"))
        }),
        case("a forged authorization", "authorization-invalid/signature-mismatch", {
            bent(&|token| token.forged_by(&other))
        }),
        case("an authorization with a member twice", "authorization-invalid/JSON", {
            let text = scene.authorization().claims.to_string();
            bent(&|token| token.raw_payload(format!("{{\"ver\":1,{}", &text[1..])))
        }),
        case("an authorization with an unknown member", "authorization-invalid/schema", {
            bent(&|token| token.with("/canary", CANARY))
        }),
        case("an authorization without a holder", "authorization-invalid/schema", {
            bent(&|token| token.without("/holder"))
        }),
        case("an authorization of 101 uses", "authorization-invalid/schema", entry("max_uses", json!(101))),
        case("an authorization in another's name", "authorization-invalid/issuer", {
            bent(&|token| token.with("/iss", "urn:tongban:idp:ehubei"))
        }),
        case("an authorization for another gateway", "authorization-invalid/audience", {
            bent(&|token| token.with("/aud", scene.binhai.urn()))
        }),
        case("an authorization of another asker", "authorization-invalid/client", {
            bent(&|token| token.with("/client_id", scene.binhai.urn()))
        }),
        case("an authorization of tomorrow", "authorization-invalid/not-yet-valid", {
            bent(&|token| token.with("/nbf", now + 31))
        }),
        case("an authorization made in the future", "authorization-invalid/not-yet-valid", {
            bent(&|token| token.with("/iat", now + 31))
        }),
        case("an authorization of yesterday", "authorization-expired", {
            bent(&|token| token.with("/iat", now - 700).with("/nbf", now - 700).with("/exp", now - 30))
        }),
        case(
            "one use for an hour",
            "authorization-invalid/lifetime",
            bent(&|token| token.with("/exp", now + 901)),
        ),
        case("many uses for two days", "authorization-invalid/lifetime", {
            bent(&|token| token.with("/exp", now + 86_401).with("/authorization_details/0/max_uses", 5))
        }),
        case("another person's authorization", "authorization-invalid/holder", {
            carrying(scene.authorization_of("111", BING).text())
        }),
        case("the same number as another document", "authorization-invalid/holder", {
            carrying(scene.authorization_of("112", JIA).text())
        }),
        case("a guardian's authorization for another child", "authorization-invalid/holder", {
            bent(&|token| {
                let ward = holder(token.jti(), "111", WARD);
                token.with("/guardian", json!({"holder": ward, "relation": "51"}))
            })
        }),
        case("an authorization bound to another key", "authorization-invalid/key-binding", {
            bent(&|token| token.with("/cnf/jkt", other.kid()))
        }),
        case("a status list nobody configured", "authorization-invalid/status-list-unknown", {
            bent(&|token| token.with("/status/status_list/uri", "https://elsewhere.example/1"))
        }),
        case("outside the status list", "authorization-invalid/status-index", {
            bent(&|token| token.with("/status/status_list/idx", 1_000_000))
        }),
        case("a withdrawn authorization", "authorization-revoked", {
            bent(&|token| token.with("/status/status_list", json!({"idx": REVOKED_INDEX, "uri": LIST})))
        }),
    ];
    let insufficient = "authorization-insufficient";
    cases.extend([
        case("a field that is not granted", insufficient, entry("fields", json!(["cert_no"]))),
        case("another license type granted", insufficient, entry("datatypes", json!([DIVORCE]))),
        case("verify granted, read asked", insufficient, entry("actions", json!(["verify"]))),
        case("another item granted", insufficient, entry("item", json!(DUTY_ITEM))),
        case("another case granted", insufficient, entry("case", json!("K42010042120220261012000000257"))),
        case("a case granted, none named", insufficient, hostile_lookup(scene).without("/case")),
        case("an entry of another type", insufficient, {
            bent(&|token| {
                token.with("/authorization_details/0", json!({"type": "urn:elsewhere:thing", "x": 1}))
            })
        }),
        case("two entries that cover together", insufficient, {
            bent(&|token| {
                token.bent(|claims| {
                    let mut second = claims["authorization_details"][0].clone();
                    claims["authorization_details"][0]["fields"] = json!(["cert_no"]);
                    second["fields"] = json!(["registered_on"]);
                    claims["authorization_details"].as_array_mut().unwrap().push(second);
                })
            })
        }),
        case("a sensitive type without the citizen's special yes", insufficient, {
            let token = scene
                .authorization()
                .with("/sensitive", false)
                .with("/authorization_details/0/datatypes", vec![HOUSEHOLD])
                .with("/authorization_details/0/fields", vec!["address"]);
            hostile_lookup(scene)
                .with("/body/license/type", HOUSEHOLD)
                .with("/body/fields", vec!["address"])
                .authorized(&token)
        }),
        case("a bad authorization beside a statutory duty", "authorization-invalid/signature-mismatch", {
            scene.duty().authorized(&scene.authorization().forged_by(&other))
        }),
        case("a jti of a token is not a token", "authorization-invalid/parts", carrying(new_message_id())),
        case("an authorization in the other base64", "authorization-invalid/characters", {
            carrying(STANDARD.encode(token()) + "=")
        }),
    ]);
    cases
}
