//! Signs requests ahead of a window, each with its own jti, with authorizations of one or many
//! uses.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::json;
use tongban::authorization::holder_digest;
use tongban::clock::Clock;
use tongban::domain::Region;
use tongban::envelope::{Typ, new_message_id, seal};
use tongban::keys::SigningKey;

use super::many::Asker;
use super::scene::{AGREEMENT, AUTHORITY, ITEM, MARRIAGE, Scene};

/// The whole life a request may have (seconds; protocol §3.1).
const LIFE: i64 = 120;
/// The whole life of an authorization for one use, and of one for several.
const ONCE_LIFE: i64 = 900;
const OFTEN_LIFE: i64 = 3600;
/// A prime: every license comes once before one comes twice.
const STRIDE: usize = 7919;
/// As a real request, names its case.
const CASE: &str = "K3310834212022026101200000001M";

/// An id without any order, as a partner may choose it: what is kept by such ids must not cost more
/// than what is kept by ids that follow the time.
fn random_id() -> Result<String> {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets)?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

pub struct Mint<'a> {
    scene: &'a Scene,
    uses: u32,
    /// Who asks, with which key, under which agreement.
    asking: Region,
    key: &'a SigningKey,
    agreement: &'a str,
    /// Authorizations made so far; each is another citizen's, as far as there are licenses.
    made: usize,
    /// So many citizens take turns, where not all do.
    among: usize,
}

/// One request, ready to be sent.
pub struct Request {
    pub jti: String,
    pub body: Bytes,
}

impl Request {
    /// The same with a signature that nobody made: it has its shape and does not hold.
    pub fn forged(self) -> Self {
        let mut body = self.body.to_vec();
        // Inside the signature's first half, where every character carries six bits.
        let middle = body.len().saturating_sub(60);
        if let Some(character) = body.get_mut(middle) {
            *character = if *character == b'A' { b'B' } else { b'A' };
        }
        Self { body: body.into(), ..self }
    }
}

impl<'a> Mint<'a> {
    pub fn new(scene: &'a Scene, uses: u32) -> Self {
        let (asking, key) = (scene.asking, &scene.gateway_key);
        Self { scene, uses, asking, key, agreement: AGREEMENT, made: 0, among: usize::MAX }
    }

    /// Requests of another partner than the scene's own.
    pub fn asked_by(self, asker: &'a Asker) -> Self {
        Self { asking: asker.region, key: &asker.key, agreement: &asker.agreement, ..self }
    }

    /// The same, signed by another key than the partner's.
    pub fn signed_by(self, key: &'a SigningKey) -> Self {
        Self { key, ..self }
    }

    /// So many citizens take turns: their licenses are soon in the gateway's memory.
    pub fn among(self, citizens: usize) -> Self {
        Self { among: citizens, ..self }
    }

    /// Begins with other citizens than the first so many.
    pub fn after(self, made: usize) -> Self {
        Self { made, ..self }
    }

    pub fn made(&self) -> usize {
        self.made
    }

    /// So many signed requests. Authorizations take turns, so that requests sent together are
    /// different citizens'.
    pub fn batch(&mut self, count: u32) -> Result<Vec<Request>> {
        let citizens = (0..count.div_ceil(self.uses)).map(|_| self.citizen()).collect::<Result<Vec<_>>>()?;
        citizens
            .iter()
            .cycle()
            .take(count.try_into()?)
            .map(|(holder, authorization)| self.request(holder, authorization))
            .collect()
    }

    /// A citizen's ID number and authorization.
    fn citizen(&mut self) -> Result<(&'a str, String)> {
        let scene = self.scene;
        // Spread over the register, whatever its size.
        let nth = self.made % self.among * STRIDE % scene.holders.len();
        let holder = scene.holders.get(nth).map_or("", String::as_str);
        self.made += 1;
        let now = Clock::system().now().secs();
        let jti = new_message_id();
        let claims = json!({
            "ver": 1, "iss": AUTHORITY, "sub": format!("p-{:016x}", self.made), "aud": scene.answering.gateway_urn(),
            "client_id": self.asking.gateway_urn(), "iat": now, "nbf": now,
            "exp": now + if self.uses == 1 { ONCE_LIFE } else { OFTEN_LIFE }, "jti": jti, "auth_time": now - 10,
            "acr": "face", "holder": holder_digest(&jti, "111", holder), "cnf": {"jkt": self.key.kid()},
            "authorization_details": [{"type": "urn:tongban:license", "actions": ["read"], "datatypes": [MARRIAGE],
                "fields": ["cert_no", "registered_on"], "item": ITEM, "case": CASE, "purpose": "新生儿户口登记",
                "max_uses": self.uses, "retention_days": 30}],
            "sensitive": false, "guardian": null, "notice": "N-2026-03",
        });
        Ok((holder, String::from_utf8(seal(&scene.authority_key, Typ::Authorization, &claims)?)?))
    }

    fn request(&self, holder: &str, authorization: &str) -> Result<Request> {
        let (scene, now, jti) = (self.scene, Clock::system().now().secs(), random_id()?);
        let claims = json!({
            "ver": 1, "iss": self.asking.gateway_urn(), "aud": scene.answering.gateway_urn(), "iat": now,
            "exp": now + LIFE, "jti": jti, "op": "license.query", "item": ITEM, "case": CASE, "basis": "consent",
            "purpose": "新生儿户口登记核验父母婚姻状况", "operator": "YH0123", "agreement": self.agreement,
            "body": {"license": {"type": MARRIAGE, "holder": {"type": "111", "number": holder, "name": "测试甲"}},
                     "mode": "read", "fields": ["cert_no", "registered_on"]},
            "authorization": authorization,
        });
        Ok(Request { jti, body: seal(self.key, Typ::Request, &claims)?.into() })
    }
}
