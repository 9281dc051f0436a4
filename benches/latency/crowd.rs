//! Many partners of one gateway: each with its own certificate, key and agreement, and all the
//! messages that they send, signed ahead.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use tongban::authorization::holder_digest;
use tongban::clock::Clock;
use tongban::domain::CaseNumber;
use tongban::envelope::{Typ, digest, new_message_id, seal};
use tongban::json::jcs;
use tongban::keys::SigningKey;

use crate::load::county::County;
use crate::load::scene::{AUTHORITY, ITEM, MARRIAGE, Scene, Tls};

/// Counties that ask, besides 玉环.
const CODES: [&str; 15] = [
    "110101", "120101", "130102", "140105", "210102", "220102", "230102", "310101", "320102", "330102",
    "340102", "350102", "360102", "370102", "410102",
];
/// One that never answers, and asks nothing.
pub const SILENT: &str = "420102";

/// Seconds; the whole life a lookup may have, and more than a case's message needs here.
const LIFE: i64 = 120;
const CASE_LIFE: i64 = 3_600;
/// Uses of one authorization (protocol §3.3: at most 100, 24 h).
const USES: u16 = 100;

/// What a message is for, in the order in which a full gateway gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Lookup,
    Status,
    Submit,
    Receipt,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Lookup, Self::Status, Self::Submit, Self::Receipt];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Status => "status",
            Self::Submit => "submit",
            Self::Receipt => "receipt",
        }
    }

    pub const fn op(self) -> &'static str {
        match self {
            Self::Lookup => "license.query",
            Self::Status => "application.status",
            Self::Submit => "application.submit",
            Self::Receipt => "application.event",
        }
    }

    pub const fn success(self) -> u16 {
        if matches!(self, Self::Submit) { 202 } else { 200 }
    }
}

/// Parts of a thousand, by class.
pub type Mix = [u32; 4];

/// One message, ready to be sent by its partner.
pub struct Message {
    pub partner: usize,
    pub class: Class,
    pub jti: String,
    pub body: Bytes,
}

pub struct Partner {
    pub urn: String,
    pub tls: Tls,
    key: SigningKey,
    agreement: String,
    county: County,
    /// The authorization in use, whose it is, and how often it may still be used.
    citizen: Option<(String, String, u16)>,
    /// Cases made so far.
    serial: u32,
    /// A case that is there for good, and those that can still be withdrawn, with the digest of
    /// their submit.
    standing: Option<String>,
    open: VecDeque<(String, String)>,
}

pub struct Crowd {
    pub scene: Scene,
    pub partners: Vec<Partner>,
    pub silent: County,
    _dir: tempfile::TempDir,
    /// Citizens and classes are drawn with it; the same in each run.
    dice: Dice,
}

impl Crowd {
    pub fn gather(licenses: u32) -> Result<Self> {
        let (scene, dir) = (Scene::set(licenses)?, tempfile::tempdir()?);
        let put = |path: String, document: &Value| {
            std::fs::write(scene.home.join("trust").join(path), document.to_string())
        };
        let mut partners = Vec::new();
        for code in CODES {
            let county = County::found(dir.path(), code, "测试县")?;
            let agreement = format!("421202-{code}-2020");
            put(format!("partners/{code}.json"), &county.card)?;
            put(format!("agreements/{code}.json"), &terms(&agreement, code))?;
            let tls = Tls {
                chain: county.read("keys/tls.crt")?,
                key: county.read("keys/tls.key")?,
                server_chain: scene.tls.server_chain.clone(),
            };
            partners.push(Partner {
                urn: county.region.gateway_urn(),
                tls,
                key: SigningKey::load(&county.home.join("keys/sign.jwk"))?,
                agreement,
                county,
                citizen: None,
                serial: 0,
                standing: None,
                open: VecDeque::new(),
            });
        }
        let silent = County::found(dir.path(), SILENT, "测试县")?;
        put(format!("partners/{SILENT}.json"), &silent.card)?;
        Ok(Self { scene, partners, silent, _dir: dir, dice: Dice(0x2545_f491_4f6c_dd1d) })
    }

    /// So many messages of all partners, in a random order of partners and classes.
    pub fn messages(&mut self, count: usize, mix: Mix) -> Result<VecDeque<Message>> {
        ensure!(mix.iter().sum::<u32>() == 1_000, "a mix is parts of a thousand");
        (0..count)
            .map(|_| {
                let partner = usize::try_from(self.dice.below(self.partners.len() as u64))?;
                let mut drawn = u32::try_from(self.dice.below(1_000))?;
                let class = Class::ALL.into_iter().zip(mix).find(|(_, part)| {
                    let here = drawn < *part;
                    drawn = drawn.saturating_sub(*part);
                    here
                });
                self.message(partner, class.map_or(Class::Lookup, |(class, _)| class))
            })
            .collect()
    }

    /// Submits, so many of each partner: the first stands, the others can be withdrawn.
    pub fn opening(&mut self, each: usize) -> Result<VecDeque<Message>> {
        let all = (0..each).flat_map(|_| 0..self.partners.len()).collect::<Vec<_>>();
        all.into_iter()
            .map(|partner| {
                let (message, case, digest) = self.submit(partner)?;
                let partner = self.partners.get_mut(partner).context("one of them")?;
                match &partner.standing {
                    None => partner.standing = Some(case),
                    Some(_) => partner.open.push_back((case, digest)),
                }
                Ok(message)
            })
            .collect()
    }

    fn message(&mut self, partner: usize, class: Class) -> Result<Message> {
        match class {
            Class::Lookup => self.lookup(partner),
            Class::Submit => Ok(self.submit(partner)?.0),
            Class::Status => {
                let case = self.partner(partner)?.standing.clone().context("a case that is there")?;
                self.sealed(partner, class, &case, json!({"case": case}), None)
            }
            Class::Receipt => {
                let now = Clock::system().now().secs();
                let (case, prev) =
                    self.partner(partner)?.open.pop_front().context("not enough cases were opened")?;
                let body = json!({"seq": 1, "prev": prev, "event": "withdraw", "at": now,
                    "by": {"org": "11331083TECT000279", "officer": "YH0123"}, "data": {}});
                self.sealed(partner, class, &case, body, None)
            }
        }
    }

    fn lookup(&mut self, partner: usize) -> Result<Message> {
        let holder = self.dice.below(self.scene.holders.len() as u64);
        let holder = self.scene.holders.get(usize::try_from(holder)?).context("one of them")?.clone();
        let asking = self.partners.get(partner).context("one of them")?;
        let (holder, token) = match &asking.citizen {
            Some((holder, token, left)) if *left > 0 => (holder.clone(), token.clone()),
            _ => (holder.clone(), authorization(&self.scene, asking, &holder)?),
        };
        let body = json!({"license": {"type": MARRIAGE, "holder": {"type": "111", "number": holder, "name": "测试甲"}},
            "mode": "read", "fields": ["cert_no", "registered_on"]});
        let message = self.sealed(partner, Class::Lookup, CASE, body, Some(&token))?;
        let asking = self.partner(partner)?;
        let left = asking.citizen.as_ref().map_or(0, |(_, _, left)| *left);
        let left = if left > 0 { left - 1 } else { USES - 1 };
        asking.citizen = Some((holder, token, left));
        Ok(message)
    }

    /// A submit with its case and the digest of its body.
    fn submit(&mut self, partner: usize) -> Result<(Message, String, String)> {
        let now = Clock::system().now();
        let (answering, asking) = (self.scene.answering, self.partner(partner)?);
        asking.serial += 1;
        let region = asking.county.region;
        let case = CaseNumber::compose(region, answering, now.shanghai_day(), asking.serial)?;
        let case = case.as_str().to_owned();
        let body = json!({
            "mode": "multi_joint", "parent": null, "native": {"collecting": "YH2026101200017"},
            "collecting": {"region": region, "place": format!("{region}001"), "org": "11331083TECT000279",
                           "officer": "YH0123", "collected_at": now.secs(), "identity_check": "id_card_reader"},
            "handling": {"region": answering, "org": "11421202TECT000191"},
            "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": "42120219000101001X",
                          "mobile": "13900000000", "agent": null},
            "form": {},
            "materials": [{"code": "M2", "name": "结婚证", "evidence": "upload", "bytes": 3,
                "sha256": hex::encode(digest(case.as_bytes())),
                "media_type": "application/pdf"}],
            "authorizations": []
        });
        let told = URL_SAFE_NO_PAD.encode(digest(&jcs(&body)));
        let message = self.sealed(partner, Class::Submit, &case, body, None)?;
        Ok((message, case, told))
    }

    fn sealed(
        &self,
        at: usize,
        class: Class,
        case: &str,
        body: Value,
        token: Option<&str>,
    ) -> Result<Message> {
        let partner = self.partners.get(at).context("one of them")?;
        let (now, jti) = (Clock::system().now().secs(), new_message_id());
        let life = if class == Class::Lookup { LIFE } else { CASE_LIFE };
        let mut claims = json!({
            "ver": 1, "iss": partner.urn, "aud": self.scene.answering.gateway_urn(), "iat": now, "exp": now + life,
            "jti": jti, "op": class.op(), "item": ITEM, "case": case, "basis": "consent",
            "purpose": "新生儿户口登记核验父母婚姻状况", "operator": "YH0123", "agreement": partner.agreement, "body": body,
        });
        if let (Some(token), Some(claims)) = (token, claims.as_object_mut()) {
            claims.insert("authorization".into(), token.into());
        }
        Ok(Message { partner: at, class, jti, body: seal(&partner.key, Typ::Request, &claims)?.into() })
    }

    fn partner(&mut self, at: usize) -> Result<&mut Partner> {
        self.partners.get_mut(at).context("one of them")
    }
}

/// As a real lookup, names its case.
const CASE: &str = "K3310834212022026101200000001M";

fn authorization(scene: &Scene, asking: &Partner, holder: &str) -> Result<String> {
    let (now, jti) = (Clock::system().now().secs(), new_message_id());
    let claims = json!({
        "ver": 1, "iss": AUTHORITY, "sub": "p-3f9c2d1e8b7a4c56", "aud": scene.answering.gateway_urn(),
        "client_id": asking.urn, "iat": now, "nbf": now, "exp": now + 3_600, "jti": jti, "auth_time": now - 10,
        "acr": "face", "holder": holder_digest(&jti, "111", holder), "cnf": {"jkt": asking.key.kid()},
        "authorization_details": [{"type": "urn:tongban:license", "actions": ["read"], "datatypes": [MARRIAGE],
            "fields": ["cert_no", "registered_on"], "item": ITEM, "case": CASE, "purpose": "新生儿户口登记",
            "max_uses": USES, "retention_days": 30}],
        "sensitive": false, "guardian": null, "notice": "N-2026-03",
    });
    Ok(String::from_utf8(seal(&scene.authority_key, Typ::Authorization, &claims)?)?)
}

/// What 咸安 and this county agreed on; the quota is far above the load.
fn terms(id: &str, code: &str) -> Value {
    json!({
        "id": id, "parties": ["421202", code], "name": "咸安—测试县跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2039-07-31",
        "quota": {"requests_per_second": 1_000_000, "burst": 1_000_000, "concurrent": 100_000,
                  "per_day": 10_000_000_000_i64},
        "items": [{
            "code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": [code],
            "mode": "multi_joint", "project_type": "2", "bases": ["consent"],
            "ops": ["license.query", "application.submit", "application.event", "application.status"],
            "licenses": [{"type": MARRIAGE, "holder_region": ["421202"], "modes": ["read", "verify"],
                          "fields": ["cert_no", "registered_on", "authority", "op_type"]}],
            "materials": [{"code": "M2", "name": "结婚证", "necessity": "required", "license": MARRIAGE,
                           "evidence": ["shared_data", "upload"]}]
        }]
    })
}

/// xorshift64: the same throws in each run.
pub struct Dice(pub u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        // The remainder's unevenness is below one part in 2^40 here.
        (self.throw() >> 8) % end.max(1)
    }

    /// The next gap of arrivals that come independently (exponential), in means.
    pub fn gap(&mut self) -> f64 {
        let whole = (1_u64 << 53) as f64;
        -(1.0 - (self.throw() >> 11) as f64 / whole).ln()
    }
}
