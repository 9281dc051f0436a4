//! What clients ask for: each message unique, most of them under authorizations that more want
//! to use than may.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use tongban::authorization::holder_digest;
use tongban::clock::{Clock, Now};
use tongban::envelope::{Typ, new_message_id, seal};
use tongban::keys::{Algorithm, SigningKey};

use crate::process::{Home, Pair};
use crate::support::*;

const AUTHORITY: &str = "urn:tongban:idp:crowd";
/// An authorization that is used at the same moment by more callers than it allows, and one that
/// lasts over kills: uses allowed, uses tried.
const CROWDED: (u32, u32) = (5, 8);
const LASTING: (u32, u32) = (100, 140);
/// Seconds for which a lookup's or ping's message lives (protocol Q-3), and an authorization.
pub const LIFE: i64 = 120;
const AUTHORIZATION_LIFE: i64 = 3600;

/// What is asked, as far as the ledger must say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Ping,
    /// Under the authorization of this number.
    Lookup(usize),
    Submit(Submit),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Submit {
    pub case: String,
    /// Of its body: the digest of event 0.
    pub digest: String,
}

/// A signed request.
#[derive(Clone)]
pub struct Message {
    pub x: String,
    pub kind: Kind,
    pub bytes: Bytes,
    /// Seconds since 1970.
    pub made: i64,
}

impl Message {
    pub fn digest(&self) -> String {
        b64(sha256(&self.bytes))
    }
}

/// An authorization as the ledger names it, and how often it may be used.
#[derive(Clone, Debug)]
pub struct Token {
    pub auth: String,
    pub max: u32,
}

/// Makes messages of 玉环 for 咸安. Shared by all callers.
pub struct Mint {
    asker: Arc<SigningKey>,
    asker_urn: String,
    answerer_urn: String,
    authority: SigningKey,
    purses: Mutex<Purses>,
    serial: AtomicU32,
    body: Value,
}

#[derive(Default)]
struct Purses {
    tokens: Vec<(Token, String)>,
    crowded: Purse,
    lasting: Purse,
}

/// The authorization that is used now, and how often it may still be tried.
#[derive(Default)]
struct Purse {
    token: usize,
    left: u32,
}

/// The suite's agreement with a case's ops and a quota that no test meets.
fn agreement_for_crowds() -> Value {
    let mut agreement = crate::history::case_plan(crate::process::day_plan());
    agreement["quota"] = json!({"requests_per_second": 1_000_000, "burst": 1_000_000, "concurrent": 100_000,
        "per_day": 1_000_000_000});
    agreement
}

impl Mint {
    /// Makes 咸安 trust the authority and the agreement that these messages are under.
    pub fn settle(pair: &Pair) -> Self {
        let authority = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256).unwrap()).unwrap();
        let home: &Home = &pair.xianan;
        home.trust_agreement(&agreement_for_crowds());
        home.write(
            "trust/authorities/crowd.json",
            &json!({"id": AUTHORITY, "name": "测试授权平台", "jwks": {"keys": [authority.public_jwk()]},
                "status_lists": [], "status": "active"}),
        );
        Self {
            asker: Arc::clone(&pair.asker.signing),
            asker_urn: pair.asker.urn(),
            answerer_urn: pair.answerer.urn(),
            authority,
            purses: Mutex::default(),
            serial: AtomicU32::new(1),
            body: submit_body_at(Self::now().secs()),
        }
    }

    pub fn now() -> Now {
        Clock::system().now()
    }

    pub fn tokens(&self) -> Vec<Token> {
        self.purses.lock().unwrap().tokens.iter().map(|(token, _)| token.clone()).collect()
    }

    pub fn ping(&self) -> Message {
        self.sealed(Kind::Ping, LIFE, |_| ())
    }

    /// A lookup under an authorization that others use right now.
    pub fn crowded_lookup(&self) -> Message {
        let (number, jws) = self.purses.lock().unwrap().crowded(self);
        self.lookup(number, &jws)
    }

    /// A lookup under an authorization that was used before and will be used again.
    pub fn lasting_lookup(&self) -> Message {
        let (number, jws) = self.purses.lock().unwrap().lasting(self);
        self.lookup(number, &jws)
    }

    fn lookup(&self, number: usize, jws: &str) -> Message {
        self.sealed(Kind::Lookup(number), LIFE, |claims| {
            claims["op"] = "license.query".into();
            claims["authorization"] = jws.into();
            claims["body"] = json!({"license": {"type": MARRIAGE, "holder": {"type": "111", "number": JIA}},
                "mode": "read", "fields": ["cert_no", "registered_on"]});
            under_the_agreement(claims);
        })
    }

    /// An application nobody handed in before.
    pub fn submit(&self) -> Message {
        let case = case_number(self.serial.fetch_add(1, Ordering::Relaxed));
        self.submit_again(&Submit { digest: digest_of(&self.body), case })
    }

    /// The same application in a message of its own.
    pub fn submit_again(&self, submit: &Submit) -> Message {
        self.sealed(Kind::Submit(submit.clone()), 3600, |claims| {
            claims["op"] = "application.submit".into();
            claims["case"] = submit.case.as_str().into();
            claims["body"] = self.body.clone();
            under_the_agreement(claims);
        })
    }

    fn sealed(&self, kind: Kind, life: i64, bend: impl FnOnce(&mut Value)) -> Message {
        let (made, x) = (Self::now().secs(), new_message_id());
        let mut claims = json!({"ver": 1, "iss": self.asker_urn, "aud": self.answerer_urn, "iat": made,
            "exp": made + life, "jti": x, "op": "ping", "body": {}});
        bend(&mut claims);
        let bytes = seal(&self.asker, Typ::Request, &claims).unwrap().into();
        Message { x, kind, bytes, made }
    }

    fn issue(&self, max: u32) -> (Token, String) {
        let (now, jti) = (Self::now().secs(), new_message_id());
        let claims = json!({
            "ver": 1, "iss": AUTHORITY, "sub": "p-0000000000000001", "aud": self.answerer_urn,
            "client_id": self.asker_urn, "iat": now, "nbf": now, "exp": now + AUTHORIZATION_LIFE, "jti": jti,
            "auth_time": now, "acr": "face", "holder": holder_digest(&jti, "111", JIA),
            "cnf": {"jkt": self.asker.kid()},
            "authorization_details": [{"type": "urn:tongban:license", "actions": ["read"], "datatypes": [MARRIAGE],
                "fields": ["cert_no", "registered_on"], "item": ITEM, "purpose": "新生儿户口登记",
                "max_uses": max, "retention_days": 30}],
            "sensitive": false, "guardian": null, "notice": "N-2026-03",
        });
        let jws = String::from_utf8(seal(&self.authority, Typ::Authorization, &claims).unwrap()).unwrap();
        (Token { auth: b64(sha256(format!("{AUTHORITY}\0{jti}").as_bytes())), max }, jws)
    }
}

fn under_the_agreement(claims: &mut Value) {
    claims["item"] = ITEM.into();
    claims["basis"] = "consent".into();
    claims["purpose"] = "新生儿户口登记核验父母婚姻状况".into();
    claims["operator"] = "YH0123".into();
    claims["agreement"] = AGREEMENT.into();
}

impl Purses {
    fn crowded(&mut self, mint: &Mint) -> (usize, String) {
        let Self { tokens, crowded, .. } = self;
        crowded.next(tokens, CROWDED, mint)
    }

    fn lasting(&mut self, mint: &Mint) -> (usize, String) {
        let Self { tokens, lasting, .. } = self;
        lasting.next(tokens, LASTING, mint)
    }
}

impl Purse {
    fn next(
        &mut self,
        tokens: &mut Vec<(Token, String)>,
        (max, tries): (u32, u32),
        mint: &Mint,
    ) -> (usize, String) {
        if self.left == 0 {
            tokens.push(mint.issue(max));
            (self.token, self.left) = (tokens.len() - 1, tries);
        }
        self.left -= 1;
        (self.token, tokens[self.token].1.clone())
    }
}
