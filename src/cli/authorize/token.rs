//! What a development authority is asked to sign, and the claims it makes of it
//! (protocol §3.3). It signs what it is told, also what no gateway will accept: that is how
//! refusals are provoked. Only the holder's number is brought into its one form.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::authorization::holder_digest;
use crate::clock::Now;
use crate::domain::{Region, normalise_holder};
use crate::envelope::{Typ, new_message_id, seal};
use crate::keys::SigningKey;

/// One authorization as the citizen would have been shown it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The answering region.
    pub me: Region,
    /// The asking region.
    pub client: Region,
    /// Thumbprint of the asking gateway's signing key; `None` binds to no key.
    pub jkt: Option<String>,
    /// Who says yes.
    pub holder: Person,
    /// Whose license it is, where a guardian says yes; and the relation (GB/T 4761).
    pub ward: Option<(Person, String)>,
    pub license_types: Vec<String>,
    pub fields: Vec<String>,
    pub actions: Vec<String>,
    pub item: String,
    pub case: Option<String>,
    pub purpose: Option<String>,
    pub max_uses: u32,
    pub minutes: u32,
    pub sensitive: bool,
    pub with_status: bool,
}

/// A document type code (GB/T 36903 appendix A) and its number.
#[derive(Clone, Debug)]
pub struct Person {
    pub kind: String,
    pub number: String,
}

/// A signed authorization.
#[derive(Clone, Debug)]
pub struct Issued {
    pub jws: String,
    pub jti: String,
    /// Its place in the status list.
    pub index: Option<u64>,
    pub exp: i64,
}

impl Asked {
    pub(in crate::cli) fn sign(
        &self,
        key: &SigningKey,
        issuer: &str,
        pairwise_secret: &str,
        list: Option<(u64, &str)>,
        now: Now,
    ) -> anyhow::Result<Issued> {
        let jti = new_message_id();
        let claims = self.claims(&jti, issuer, pairwise_secret, list, now);
        let exp = self.exp(now);
        let jws = String::from_utf8(seal(key, Typ::Authorization, &claims)?)?;
        Ok(Issued { jws, jti, index: list.map(|(index, _)| index), exp })
    }

    fn exp(&self, now: Now) -> i64 {
        now.secs().saturating_add(i64::from(self.minutes) * 60)
    }

    fn claims(
        &self,
        jti: &str,
        issuer: &str,
        pairwise_secret: &str,
        list: Option<(u64, &str)>,
        now: Now,
    ) -> Value {
        let mut claims = json!({
            "ver": 1,
            "iss": issuer,
            "sub": self.pairwise_id(pairwise_secret),
            "aud": self.me.gateway_urn(),
            "client_id": self.client.gateway_urn(),
            "iat": now.secs(),
            "nbf": now.secs(),
            "exp": self.exp(now),
            "jti": jti,
            "auth_time": now.secs().saturating_sub(20),
            "acr": "face",
            "holder": self.holder.digest(jti, now),
            "authorization_details": [self.detail()],
            "sensitive": self.sensitive,
            "guardian": self.ward.as_ref().map(|(ward, relation)| {
                json!({ "holder": ward.digest(jti, now), "relation": relation })
            }),
            "notice": "N-DEV-01",
        });
        if let Some(members) = claims.as_object_mut() {
            if let Some(jkt) = &self.jkt {
                members.insert("cnf".into(), json!({ "jkt": jkt }));
            }
            if let Some((index, uri)) = list {
                members.insert("status".into(), json!({ "status_list": { "idx": index, "uri": uri } }));
            }
        }
        claims
    }

    fn detail(&self) -> Value {
        let mut detail = json!({
            "type": "urn:tongban:license",
            "actions": self.actions,
            "datatypes": self.license_types,
            "fields": self.fields,
            "item": self.item,
            "max_uses": self.max_uses,
            "retention_days": 30,
        });
        if let Some(members) = detail.as_object_mut() {
            let named = [("case", &self.case), ("purpose", &self.purpose)];
            for (name, value) in named {
                if let Some(value) = value {
                    members.insert(name.into(), value.as_str().into());
                }
            }
        }
        detail
    }

    /// The same citizen is the same id to one asking region, and another id to every other.
    fn pairwise_id(&self, secret: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let text = format!("{}\0{}\0{}", self.client, self.holder.kind, self.holder.number);
        let tag = hmac::sign(&key, text.as_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..16).unwrap_or_default())
    }
}

impl Person {
    /// A number that is none is hashed as it stands, so that its refusal can be provoked.
    fn digest(&self, jti: &str, now: Now) -> String {
        let number = normalise_holder(&self.kind, &self.number, now.shanghai_day());
        holder_digest(jti, &self.kind, number.as_deref().unwrap_or(&self.number))
    }
}
