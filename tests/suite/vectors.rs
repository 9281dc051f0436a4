//! The vectors of `conformance/vectors/`, made by a script that knows nothing of us: we say of
//! each message, answer and key what the script says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tongban::authorization::Authorizer;
use tongban::cli::init::{Doors, create};
use tongban::clock::Now;
use tongban::config::Config;
use tongban::domain::Region;
use tongban::envelope::{Asked, check_response};
use tongban::house::Trust;
use tongban::inbound::judge::{Bench, FreshMemory, Seen, judge};
use tongban::keys::{KeySet, SigningKey};
use tongban::license;
use tongban::policy::Agreement;
use tongban::schema::Catalog;

use crate::support::*;

/// A file of the vectors.
pub fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/vectors").join(name);
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

pub fn rows(list: &Value) -> &[Value] {
    let rows = list.as_array().expect("a list of rows").as_slice();
    assert!(!rows.is_empty());
    rows
}

pub fn text<'v>(row: &'v Value, member: &str) -> &'v str {
    row[member].as_str().unwrap_or_else(|| panic!("{member} of {row}"))
}

pub fn whole(row: &Value, member: &str) -> i64 {
    row[member].as_i64().unwrap_or_else(|| panic!("{member} of {row}"))
}

/// A gateway's directory with the trust files of the vectors.
fn home(root: &Path, trust: &Value, now: Now) -> Config {
    let me = Region::parse(text(trust, "me")).unwrap();
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let doors = Doors { partner: anywhere, local: anywhere, console: anywhere };
    let home = root.join("gateway");
    create(&home, me, me.name(), doors, now).unwrap();
    let place = |folder: &str, name: &str, document: &Value| {
        put(&home.join("trust").join(folder).join(format!("{name}.json")), document.to_string());
    };
    for card in rows(&trust["cards"]).iter().filter(|card| card["region"] != trust["me"]) {
        place("partners", text(card, "region"), card);
    }
    for authority in rows(&trust["authorities"]) {
        place("authorities", text(authority, "id").rsplit_once(':').unwrap().1, authority);
    }
    fs::create_dir_all(home.join("trust/authorities/lists")).unwrap();
    for list in rows(&trust["status_lists"]) {
        put(&home.join("trust/authorities").join(text(list, "file")), text(list, "jwt"));
    }
    for row in rows(&trust["agreements"]) {
        place("agreements", text(&row["agreement"], "id"), &row["agreement"]);
    }
    Config::load(&home.join("gateway.toml")).unwrap_or_else(|faults| panic!("{faults:?}"))
}

#[test]
fn every_message_is_judged_as_its_vector_says() {
    let (root, trust) = (tempfile::tempdir().unwrap(), vectors("trust.json"));
    let now = Now::from_secs(whole(&trust, "at"));
    let config = home(root.path(), &trust, now);
    let (read, left_out) = Trust::load(&config, now).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert!(left_out.is_empty(), "{left_out:?}");
    let authorizer = Authorizer::default();
    let all = vectors("requests.json");
    let mut different = Vec::new();
    for row in rows(&all["requests"]) {
        let bench = Bench {
            me: config.region.code,
            policy: &read.policy,
            authorities: &read.authorities,
            status_lists: &read.status_lists,
            authorizer: &authorizer,
            catalog: Catalog::embedded(),
            now: Now::from_secs(whole(row, "at")),
        };
        let peer = read.directory.assume(Region::parse(text(row, "from")).unwrap()).unwrap();
        let body = text(row, "body").as_bytes();
        let found = match judge(&bench, &peer, body, &FreshMemory, &mut Seen::default()) {
            Ok(_) => json!({"accepted": true}),
            Err(stopped) => {
                let refusal = stopped.refusal;
                let mut found = json!({"accepted": false, "status": refusal.code.status(),
                    "signed": refusal.is_signed(), "code": refusal.code.word()});
                if let Some(reason) = refusal.reason {
                    found["reason"] = reason.into();
                }
                // Where a case leaves the pointers open, they are not compared.
                if row["expect"].get("errors").is_some() {
                    let mut pointers: Vec<String> =
                        refusal.errors.iter().map(|fault| fault.pointer.clone()).collect();
                    pointers.sort_unstable();
                    // Two rules may be broken in one place.
                    pointers.dedup();
                    found["errors"] = pointers.into();
                }
                found
            }
        };
        if found != row["expect"] {
            different.push(format!("{}: {found}, the vector says {}", row["id"], row["expect"]));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(rows(&all["requests"]).len() > 300);
}

#[test]
fn every_answer_is_believed_or_not_as_its_vector_says() {
    let (trust, all) = (vectors("trust.json"), vectors("responses.json"));
    let card = rows(&trust["cards"]).iter().find(|card| card["region"] == trust["me"]).unwrap();
    let keys = KeySet::from_jwks(&card["jwks"]).unwrap();
    for row in rows(&all["responses"]) {
        let request = text(&all["asked"], text(row, "asked"));
        let claims = claims_of(request);
        let asked = Asked {
            member: text(&claims, "aud"),
            keys: &keys,
            me: text(&claims, "iss"),
            jti: text(&claims, "jti"),
            op: text(&claims, "op"),
            request_digest: &sha256(request.as_bytes()),
        };
        let status = u16::try_from(whole(row, "http_status")).unwrap();
        let now = Now::from_secs(whole(row, "at"));
        let body = text(row, "body").as_bytes();
        let why = match check_response(body, status, &asked, now) {
            Err(fault) => Some(fault.word()),
            Ok(answer) => match (&answer.op[..], &answer.result) {
                ("license.query", Some(result)) => {
                    license::fits(&claims["body"], result).err().map(|fault| fault.word())
                }
                _ => None,
            },
        };
        let mut found = json!({"believed": why.is_none()});
        if let Some(why) = why {
            found["why"] = why.into();
        }
        assert_eq!(found, row["expect"], "{}", row["id"]);
    }
}

fn claims_of(message: &str) -> Value {
    use base64::Engine as _;
    let payload = message.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn keys_have_their_names_and_bad_ones_are_not_loaded() {
    let all = vectors("keys.json");
    let signing = ["gateway", "authority", "nobody's"];
    for row in rows(&all["keys"]).iter().filter(|row| signing.contains(&text(row, "role"))) {
        let mut jwk = row["public"].clone();
        if jwk["alg"] == "Ed25519" && row["role"] == "nobody's" {
            continue;
        }
        assert!(KeySet::from_jwks(&json!({"keys": [jwk]})).is_ok(), "{}", row["name"]);
        for (name, value) in row["private"].as_object().unwrap() {
            jwk[name] = value.clone();
        }
        // The times of a card are no part of a private key.
        for name in ["nbf", "exp"] {
            jwk.as_object_mut().unwrap().shift_remove(name);
        }
        let key = SigningKey::from_jwk(&jwk).unwrap();
        assert_eq!(key.kid(), text(&row["public"], "kid"), "{}", row["name"]);
    }
    for row in rows(&all["refused"]) {
        assert!(KeySet::from_jwks(&json!({"keys": [row["key"]]})).is_err(), "{}", row["why"]);
    }
}

#[test]
fn agreements_have_their_digests() {
    for row in rows(&vectors("trust.json")["agreements"]) {
        let agreement = Agreement::from_value(&row["agreement"]).unwrap();
        assert_eq!(b64(agreement.digest()), text(row, "jcs_sha256"), "{}", agreement.id());
    }
}
