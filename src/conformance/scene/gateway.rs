//! A target's configuration: its keys, the papers it trusts, and for our own gateway a ready
//! `gateway.toml`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use super::super::{ConformanceFault, b64url, sha256};
use super::certificates::{Authority, Pair};
use super::{Scene, pretty, store, store_private};
use crate::clock::Now;

/// A list that is in force stays so for a run's life, whatever the case data say of theirs (seconds).
const LIST_LIFE: i64 = 7 * 86_400;

/// One role's folder.
pub(super) struct Home<'a> {
    pub dir: &'a Path,
    pub scene: &'a Scene,
    pub name: &'a str,
    pub partner: SocketAddr,
    pub local: SocketAddr,
    pub token: &'a str,
}

impl Home<'_> {
    pub(super) fn write(
        &self,
        cards: &BTreeMap<&str, Value>,
        peer: SocketAddr,
        tls: &Pair,
        authority: &Authority,
        now: Now,
    ) -> Result<(), ConformanceFault> {
        let at = |path: &str| self.dir.join(path);
        let key = |name: &str| self.scene.keys.get(name).ok_or(ConformanceFault::Key);
        store_private(&at("keys/sign.jwk"), pretty(&key(self.name)?.private))?;
        store_private(&at("keys/ledger.key"), key(&format!("{}-ledger", self.name))?.pem())?;
        store_private(&at("keys/tls.key"), &tls.key)?;
        store_private(&at("keys/local.token"), self.token)?;
        store(&at("keys/tls.crt"), &tls.chain)?;
        store(&at("trust/auditors/auditor.jwk"), pretty(&key("auditor")?.public))?;
        store(&at("trust/ca.crt"), authority.pem())?;
        store(&at("trust/crl.pem"), authority.crl()?)?;
        for (name, card) in cards.iter().filter(|(name, _)| **name != self.name) {
            let mut card = card.clone();
            if let Some(endpoint) = card.get_mut("endpoint") {
                // Whoever is on the other side is played by the runner.
                *endpoint = format!("https://{peer}").into();
            }
            self.paper(&format!("partners/{}.json", self.scene.region(name)), &card)?;
        }
        for agreement in self.scene.agreements() {
            let id = agreement.get("id").and_then(Value::as_str).ok_or(ConformanceFault::Data("scene"))?;
            let parties = agreement.get("parties").and_then(Value::as_array).into_iter().flatten();
            // A county has its own agreements only.
            if parties.into_iter().any(|party| party == self.scene.region(self.name)) {
                self.paper(&format!("agreements/{id}.json"), agreement)?;
            }
        }
        for (id, written) in self.scene.authorities() {
            self.authority(id, written, now)?;
        }
        for year in &self.scene.made_up {
            let number = year.get("year").and_then(Value::as_i64).unwrap_or_default();
            store(&at(&format!("calendar/{number}.json")), pretty(year))?;
        }
        if self.scene.made_up.is_empty() {
            std::fs::create_dir_all(at("calendar"))
                .map_err(|e| ConformanceFault::File(at("calendar").display().to_string(), e.kind()))?;
        }
        store(
            &at("licenses.jsonl"),
            if self.name == "answering" { self.scene.licenses() } else { String::new() },
        )?;
        store(&at("gateway.toml"), self.toml())
    }

    /// One that the target trusts, and the same for the operator, who may be told to put it back.
    fn paper(&self, name: &str, paper: &Value) -> Result<(), ConformanceFault> {
        store(&self.dir.join("trust").join(name), pretty(paper))?;
        store(&self.dir.join("papers").join(name), pretty(paper))
    }

    /// An authority's file, and its status lists signed for this run.
    fn authority(&self, id: &str, written: &Value, now: Now) -> Result<(), ConformanceFault> {
        let short = id.rsplit(':').next().unwrap_or(id);
        let mut lists = Vec::new();
        let declared = written.get("status_lists").and_then(Value::as_object).into_iter().flatten();
        for (nth, (uri, list)) in declared.enumerate() {
            let file = format!("{short}-{nth}.statuslist");
            store(&self.dir.join("trust/lists").join(&file), self.status_list(uri, list, now)?)?;
            let path = self.dir.join("trust/lists").join(&file);
            let path = path.canonicalize().unwrap_or(path);
            lists.push(json!({"uri": uri, "file": path}));
        }
        let document = json!({
            "id": id, "name": written.get("name"), "jwks": {"keys": self.scene.jwks(written)},
            "status_lists": lists, "status": "active",
        });
        store(&self.dir.join(format!("trust/authorities/{short}.json")), pretty(&document))
    }

    /// A Token Status List: one bit a token, least significant first, zlib, signed.
    fn status_list(&self, uri: &str, list: &Value, now: Now) -> Result<String, ConformanceFault> {
        let number = |name: &str| list.get(name).and_then(Value::as_i64).unwrap_or_default();
        let mut bits = vec![0u8; usize::try_from(number("places") / 8).unwrap_or_default()];
        for place in list.get("set").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64)
        {
            if let Some(byte) = usize::try_from(place / 8).ok().and_then(|at| bits.get_mut(at)) {
                *byte |= 1 << (place % 8);
            }
        }
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        let packed =
            packed.write_all(&bits).and_then(|()| packed.finish()).map_err(|_| ConformanceFault::Key)?;
        let life = if number("exp") > 0 { LIST_LIFE } else { number("exp") };
        let claims = json!({
            "sub": uri, "iat": now.secs() + number("iat"), "exp": now.secs() + life, "ttl": 30,
            "status_list": {"bits": 1, "lst": b64url(&packed)},
        });
        let key = self.scene.keys.get("authority").ok_or(ConformanceFault::Key)?;
        let header = json!({"alg": key.alg, "typ": "statuslist+jwt", "kid": key.kid});
        let signed =
            format!("{}.{}", b64url(header.to_string().as_bytes()), b64url(claims.to_string().as_bytes()));
        Ok(format!("{signed}.{}", b64url(&key.sign(signed.as_bytes()))))
    }

    fn toml(&self) -> String {
        let region = self.scene.region(self.name);
        let name = self.scene.members().find(|(name, _)| *name == self.name).map(|(_, member)| member);
        let name = name.and_then(|member| member.get("name")?.as_str()).unwrap_or_default();
        format!(
            r#"# Written by `tongban conformance scene`: a target for conformance runs, with published keys. Never for real use.
# 由 tongban conformance scene 生成,密钥是公开的,仅供一致性测试。
[region]
code = "{region}"
name = "{name}"
data_dir = "data"

[partner_listener]
listen = "{partner}"
endpoint = "https://{partner}"
certificate = "keys/tls.crt"
private_key = "keys/tls.key"
client_ca = ["trust/ca.crt"]
crl = ["trust/crl.pem"]
connections_per_partner = 512

[local_listener]
listen = "{local}"
[[local_listener.client]]
name = "conformance"
token_sha256 = "{token}"
may = ["*"]

[signing]
key = "keys/sign.jwk"

[ledger]
key = "keys/ledger.key"
auditors = ["trust/auditors/*.jwk"]

[trust]
partners = "trust/partners"
authorities = "trust/authorities"
agreements = "trust/agreements"

[register]
kind = "embedded"

[store]
kind = "sqlite"

[calendar]
folder = "calendar"
"#,
            partner = self.partner,
            local = self.local,
            token = hex::encode(sha256(self.token.as_bytes())),
        )
    }
}
