//! The folder of a run: what both roles of a target are configured with, and what the runner
//! needs to play everybody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::ConformanceFault;
use super::certificates::{Authority, Pair, Wanted};
use super::{Scene, gateway, pretty, store, store_private};
use crate::clock::Now;

/// A region of today that has no card on stage.
const UNLISTED: &str = "urn:tongban:gw:320981";

/// What our own gateway has on a written scene, of what cases may need.
const HAS: [&str; 5] = ["register", "cases", "crl", "submitted", "reconcile"];

/// Where everybody on stage listens.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The target's partner and local door, playing the answering side.
    pub answering: (SocketAddr, SocketAddr),
    /// The target's doors, playing the asking side.
    pub asking: (SocketAddr, SocketAddr),
    /// The runner, as the partner whom the asking side asks.
    pub peer: SocketAddr,
}

impl Default for Places {
    fn default() -> Self {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { answering: (at(18443), at(18480)), asking: (at(18453), at(18490)), peer: at(18463) }
    }
}

/// A TLS identity: PEM chain and key.
#[derive(Clone)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

/// A folder that was written, read back for a run.
pub struct Ground {
    pub scene: Arc<Scene>,
    pub ca: String,
    pub identities: BTreeMap<String, Identity>,
    /// Endpoint by role's name.
    pub endpoints: BTreeMap<String, String>,
    pub peer: SocketAddr,
    pub local: String,
    pub token: String,
    pub has: Vec<String>,
}

/// Writes a scene for `now`; the folder is new or a scene from before.
pub fn write(dir: &Path, places: Places, now: Now) -> Result<(), ConformanceFault> {
    let scene = Scene::on(now)?;
    let authority = Authority::new(now.secs())?;
    let certificates = identities(&scene, &authority)?;
    for (name, pair) in &certificates {
        store(&dir.join(format!("identities/{name}.crt")), &pair.chain)?;
        store_private(&dir.join(format!("identities/{name}.key")), &pair.key)?;
    }
    store(&dir.join("ca.crt"), authority.pem())?;
    store(&dir.join("crl.pem"), authority.crl()?)?;
    let mut cards = BTreeMap::new();
    for (name, member) in scene.members() {
        let endpoint = match name {
            "asking" => places.asking.0,
            "answering" => places.answering.0,
            _ => places.peer,
        };
        let pins: Vec<&str> = if name == "third" {
            certificates.get(name).map(|p| p.pin.as_str()).into_iter().collect()
        } else {
            vec![]
        };
        cards.insert(name, card(&scene, name, member, endpoint, &pins, now)?);
    }
    for (name, card) in &cards {
        store(&dir.join(format!("cards/{}.json", scene.region(name))), pretty(card))?;
    }
    let token = super::super::moment::new_id();
    let tls = |name: &str| certificates.get(name).ok_or(ConformanceFault::Key);
    for (name, (partner, local)) in [("answering", places.answering), ("asking", places.asking)] {
        gateway::Home { dir: &dir.join(name), scene: &scene, name, partner, local, token: &token }.write(
            &cards,
            places.peer,
            tls(name)?,
            &authority,
            now,
        )?;
    }
    let run = json!({
        "format": 1,
        "made": now.secs(),
        "endpoints": {
            "answering": format!("https://{}", places.answering.0),
            "asking": format!("https://{}", places.asking.0),
        },
        "peer": places.peer.to_string(),
        "local": format!("http://{}", places.asking.1),
        "has": HAS,
    });
    store(&dir.join("run.json"), pretty(&run))?;
    store_private(&dir.join("local.token"), &token)?;
    store(&dir.join("README.md"), include_str!("README.md.template"))
}

/// Everybody who will call, and those who should not be let in.
fn identities(scene: &Scene, authority: &Authority) -> Result<BTreeMap<String, Pair>, ConformanceFault> {
    let of = |member: &str| [scene.urn(member)];
    let mut made = BTreeMap::new();
    for member in ["asking", "answering", "suspended"] {
        made.insert(member.to_owned(), authority.issue(&Wanted::of(&of(member)))?);
    }
    made.insert("third".into(), authority.self_signed(&Wanted::of(&of("third")))?);
    made.insert("stranger".into(), authority.self_signed(&Wanted::of(&of("asking")))?);
    made.insert("no-uri".into(), authority.issue(&Wanted::of(&[]))?);
    made.insert("two-uris".into(), authority.issue(&Wanted::of(&[scene.urn("asking"), scene.urn("third")]))?);
    made.insert("expired".into(), authority.issue(&Wanted { expired: true, ..Wanted::of(&of("asking")) })?);
    let asking = of("asking");
    let server_only = Wanted { server_only: true, ..Wanted::of(&asking) };
    made.insert("server-only".into(), authority.issue(&server_only)?);
    made.insert("unlisted".into(), authority.issue(&Wanted::of(&[UNLISTED.to_owned()]))?);
    made.insert("revoked".into(), authority.issue(&Wanted::revoked(&of("asking")))?);
    Ok(made)
}

fn card(
    scene: &Scene,
    name: &str,
    member: &Value,
    endpoint: SocketAddr,
    pins: &[&str],
    now: Now,
) -> Result<Value, ConformanceFault> {
    let origin = scene.origin(name, now.secs());
    let ledger = scene.keys.get(&format!("{name}-ledger")).ok_or(ConformanceFault::Key)?;
    Ok(json!({
        "id": scene.urn(name), "region": scene.region(name), "name": member.get("name"),
        "endpoint": format!("https://{endpoint}"), "tls": {"spki_sha256": pins},
        "jwks": {"keys": scene.jwks(member)},
        "ledger": {"origin": origin, "vkey": ledger.vkey(&origin)},
        "contact": "conformance", "status": member.get("status"),
    }))
}

impl Ground {
    /// Reads a folder that [`write()`] made.
    pub fn read(dir: &Path) -> Result<Self, ConformanceFault> {
        let text = |path: &str| {
            let path = dir.join(path);
            std::fs::read_to_string(&path)
                .map_err(|e| ConformanceFault::File(path.display().to_string(), e.kind()))
        };
        let none = || ConformanceFault::Scene(dir.display().to_string());
        let run: Value = serde_json::from_str(&text("run.json")?).map_err(|_| none())?;
        let said = |name: &str| run.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(none);
        let mut identities = BTreeMap::new();
        let names = [
            "asking",
            "answering",
            "third",
            "suspended",
            "stranger",
            "no-uri",
            "two-uris",
            "expired",
            "server-only",
            "unlisted",
            "revoked",
        ];
        for name in names {
            let (chain, key) =
                (text(&format!("identities/{name}.crt"))?, text(&format!("identities/{name}.key"))?);
            identities.insert(name.to_owned(), Identity { chain, key });
        }
        let endpoints = run.get("endpoints").and_then(Value::as_object).ok_or_else(none)?;
        let endpoint = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let has = run.get("has").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            scene: Arc::new(Scene::embedded()?),
            ca: text("ca.crt")?,
            identities,
            endpoints: endpoints.iter().filter_map(endpoint).collect(),
            peer: said("peer")?.parse().map_err(|_| none())?,
            local: said("local")?,
            token: text("local.token")?.trim().to_owned(),
            has: has.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}
