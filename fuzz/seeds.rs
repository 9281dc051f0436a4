//! Makes `fuzz/seeds/` and `fuzz/keys.json` anew: one synthetic example of everything the
//! targets read. The private keys are thrown away, so a forgery in a fuzz run stays one.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tongban::authorization::holder_digest;
use tongban::domain::Region;
use tongban::envelope::{Typ, seal};
use tongban::keys::{Algorithm, SigningKey};
use tongban::ledger::LedgerKey;
use tongban::ledger::checkpoint::Checkpoint;
use tongban::ledger::leaf::{Leaf, LeafKind};
use tongban::ledger::proof::Proof;
use tongban::ledger::tree::{leaf_hash, node_hash};

const AT: i64 = 1_900_000_000;
const JTI: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const ASKING: &str = "urn:tongban:gw:331083";
const ANSWERING: &str = "urn:tongban:gw:421202";
const ITEM: &str = "11421202TECT0001914000709001000";
const MARRIAGE: &str = "111000000000131433001";
const CITIZEN: &str = "42120219000101001X";
const ORIGIN: &str = "tongban/421202/2026h2";

pub fn main() {
    strict_json();
    let keys: Vec<_> = [Algorithm::Es256, Algorithm::Ps256, Algorithm::Ed25519].map(new_key).into();
    let [es256, ps256, ed25519] = &keys[..] else { unreachable!("three") };
    let public: Vec<_> = keys.iter().map(SigningKey::public_jwk).collect();
    let jwks = json!({ "keys": public });
    write("keys.json", format!("{jwks:#}\n").as_bytes());
    envelope(es256, ps256, ed25519);
    claims();
    trust_files(es256, &jwks);
    ledger_note();
}

fn new_key(alg: Algorithm) -> SigningKey {
    SigningKey::from_jwk(&SigningKey::generate(alg).expect("a random key")).expect("a good key")
}

/// Below `fuzz/`.
fn write(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
    fs::write(path, bytes).expect("the seed can be written");
}

fn seed(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    write(&format!("seeds/{target}/{name}"), bytes.as_ref());
}

fn strict_json() {
    let seeds = [
        ("object", r#"{"a":[1,-9007199254740992,9007199254740992,0],"b":{"c":null,"d":true,"e":false}}"#),
        ("text", r#"{"名":"测试·甲","\u0041":"\ud83d\ude00 \" \\ \/ \b \f \n \r \t"}"#),
        ("decimals", "[0.5,-12.25,100.00]"),
        ("twice", r#"{"a":1,"\u0061":2}"#),
        ("deep", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"),
        ("zero", "[-0,01,1e3]"),
        ("bidi", "[\"\u{202e}\u{fffd}\u{e000}\"]"),
        ("half", r#"["\ud83d"]"#),
    ];
    for (name, text) in seeds {
        seed("strict_json", name, text);
    }
}

fn request() -> Value {
    json!({"ver":1,"iss":ASKING,"aud":ANSWERING,"iat":AT,"exp":AT + 60,"jti":JTI,"op":"license.query","item":ITEM,
        "case":"K3310834212022026101200000001M","basis":"consent","purpose":"新生儿户口登记核验父母婚姻状况",
        "operator":"YH0123","agreement":"421202-331083-2020","body":query()})
}

fn query() -> Value {
    json!({"license":{"type":MARRIAGE,"holder":{"type":"111","number":CITIZEN,"name":"测试甲"}},
        "mode":"read","fields":["cert_no","registered_on"],"max_age":600})
}

fn ping() -> Value {
    json!({"ver":1,"iss":ASKING,"aud":ANSWERING,"iat":AT,"exp":AT + 60,"jti":JTI,"op":"ping","body":{}})
}

fn response() -> Value {
    let zeros = "A".repeat(43);
    json!({"ver":1,"iss":ANSWERING,"aud":ASKING,"iat":AT,"exp":AT + 60,"jti":"BAAAAAAAAAAAAAAAAAAAAA",
        "req":{"jti":JTI,"digest":zeros},"op":"ping","status":200,"result":{"time":AT,"version":"0.1.0"},
        "log":{"origin":ORIGIN,"index":4711,"leaf":zeros}})
}

fn authorization() -> Value {
    json!({"ver":1,"iss":"urn:tongban:idp:mengsuban","sub":"p-3f9c2d1e8b7a4c56","aud":ANSWERING,"client_id":ASKING,
        "iat":AT,"nbf":AT,"exp":AT + 600,"jti":JTI,"auth_time":AT - 10,"acr":"face",
        "holder":holder_digest(JTI, "111", CITIZEN),"cnf":{"jkt":"A".repeat(43)},
        "authorization_details":[{"type":"urn:tongban:license","actions":["read"],"datatypes":[MARRIAGE],
            "fields":["cert_no","registered_on"],"item":ITEM,"case":"K3310834212022026101200000001M",
            "purpose":"新生儿户口登记","max_uses":1,"retention_days":30}],
        "sensitive":true,"guardian":null,"notice":"N-2026-03",
        "status":{"status_list":{"idx":3,"uri":"https://status.test/7"}}})
}

fn envelope(es256: &SigningKey, ps256: &SigningKey, ed25519: &SigningKey) {
    // The list of RFC draft §4.1: 16 statuses of one bit, zlib.
    let list = json!({"sub":"https://status.test/7","iat":AT - 60,"exp":AT + 3600,"ttl":60,
        "status_list":{"bits":1,"lst":"eNrbuRgAAhcBXQ"}});
    let seeds = [
        ("request-es256", es256, Typ::Request, request()),
        ("request-ps256", ps256, Typ::Request, request()),
        ("request-ed25519", ed25519, Typ::Request, ping()),
        ("response", es256, Typ::Response, response()),
        ("authorization", es256, Typ::Authorization, authorization()),
        ("status-list", es256, Typ::StatusList, list),
    ];
    for (name, key, typ, claims) in seeds {
        seed("envelope", name, seal(key, typ, &claims).expect("it can be signed"));
    }
    seed("envelope", "four-parts", "e30.e30.AAAA.");
    seed("envelope", "loose-bits", "e31.e30.AAB");
}

fn claims() {
    let refused = json!({"ver":1,"iss":ANSWERING,"aud":ASKING,"iat":AT,"exp":AT + 60,"jti":"BAAAAAAAAAAAAAAAAAAAAA",
        "req":{"jti":JTI,"digest":"A".repeat(43)},"op":"license.query","status":403,
        "problem":{"type":"urn:tongban:problem:no-agreement","title":"No agreement","title_zh":"无协议","status":403,
            "code":"no-agreement","detail":"no agreement in force","retry":"no","trace":"0190f3a27c1e7d4b9a515c3e0e8f1a22"},
        "log":{"origin":ORIGIN,"index":4711,"leaf":"A".repeat(43)}});
    let result = json!({"found":true,"source":"cache","as_of":AT,"licenses":[{"license_id":
        "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N","type":MARRIAGE,
        "name":"结婚证","issuer":{"code":"11331083TECT000279","name":"测试民政局"},"issued_on":"2026-01-05",
        "valid_from":"2026-01-05","valid_to":null,"long_term":true,"status":"01",
        "data":{"cert_no":"J331083-2026-000001","registered_on":"2026-01-05"}}]});
    let verify = json!({"license":{"type":MARRIAGE,"license_id":
        "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N"},
        "mode":"verify","expect":{"cert_no":"J331083-2026-000001"}});
    let seeds = [
        ("request", request()),
        ("ping", ping()),
        ("query", query()),
        ("verify", verify),
        ("response", response()),
        ("refusal", refused),
        ("result", result),
        ("authorization", authorization()),
    ];
    for (name, value) in seeds {
        seed("claims", name, value.to_string());
    }
    let documents = include_str!("../tests/vectors/licenses.jsonl");
    for (place, line) in documents.lines().enumerate().take(6) {
        seed("claims", &format!("license-{place}"), line);
    }
}

/// The certificates and the revocation list beside these are openssl's.
fn trust_files(key: &SigningKey, jwks: &Value) {
    let vkey = LedgerKey::from_seed(&[1; 32]).and_then(|key| Ok(key.vkey(ORIGIN))).ok().flatten();
    let card = json!({"id":ANSWERING,"region":"421202","name":"咸宁市咸安区","endpoint":"https://gw.test:8443",
        "tls":{"spki_sha256":["A".repeat(43)]},"jwks":{"keys":[key.public_jwk()]},
        "ledger":{"origin":ORIGIN,"vkey":vkey.expect("a good name").to_string()},"contact":"0715-0000000","status":"active"});
    let agreement = json!({"id":"421202-331083-2020","parties":["421202","331083"],"name":"咸安—玉环跨省联办协议",
        "valid_from":"2020-08-01","valid_to":"2030-07-31","items":[{"code":ITEM,"name":"新生儿户口登记",
            "handling":"421202","collecting":["331083"],"mode":"multi_joint","project_type":"2","bases":["consent"],
            "ops":["license.query"],"licenses":[{"type":MARRIAGE,"holder_region":["331083","421202"],
                "modes":["read","verify"],"fields":["cert_no","registered_on"]}],
            "materials":[{"code":"M2","name":"结婚证","necessity":"required","license":MARRIAGE,
                "evidence":["shared_data","commitment","timed_verification","upload"]}]}],
        "quota":{"requests_per_second":10,"burst":20,"concurrent":10,"per_day":20_000}});
    let authority = json!({"id":"urn:tongban:idp:mengsuban","name":"测试授权平台","jwks":jwks,
        "status_lists":[{"uri":"https://status.test/7","url":"https://status.test/7"},
            {"uri":"https://status.test/8","file":"lists/8.jwt"}],"status":"active"});
    for (name, value) in [("card", card), ("agreement", agreement), ("authority", authority)] {
        seed("trust_files", name, value.to_string());
    }
}

fn ledger_note() {
    let key = LedgerKey::from_seed(&[1; 32]).expect("a key");
    let mut leaf = Leaf::new(LeafKind::In);
    leaf.me = Region::parse("421202").ok().map(|region| region.to_string());
    leaf.ts = AT * 1000;
    let leaf = leaf.to_bytes().expect("a small leaf");
    let (first, second) = (leaf_hash(b"one"), leaf_hash(&leaf));
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 2, root: node_hash(&first, &second) };
    let note = checkpoint.sign(&key).expect("a good name");
    let proof = Proof { leaf: Some(leaf.clone()), index: 1, path: vec![first], checkpoint: note.clone() };
    seed("ledger_note", "leaf", &leaf);
    seed("ledger_note", "checkpoint-text", checkpoint.text());
    seed("ledger_note", "note", &note);
    seed("ledger_note", "proof", proof.to_bytes());
    seed("ledger_note", "vkey", key.vkey(ORIGIN).expect("a good name").to_string());
    for (name, path) in [
        ("tile", "tile/0/x001/x234/067"),
        ("tile-partial", "tile/63/000.p/255"),
        ("tile-entries", "tile/entries/x999/999.p/1"),
    ] {
        seed("ledger_note", name, path);
    }
}
