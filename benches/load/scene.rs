//! Two gateways' directories, as `tongban init` makes them, an agreement, an authority and a
//! register of synthetic licenses.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use serde_json::{Value, json};
use tongban::clock::{Clock, Now};
use tongban::domain::{LicenseId, Region};
use tongban::keys::{Algorithm, KeySet, SigningKey};
use tongban::ledger::{Leaf, LeafKind, checkpoint::Checkpoint, tree};
use tongban::license;
use tongban::store::{Shard, Shelf as _, sqlite::SqliteShelf};

use super::county::County;

pub const MARRIAGE: &str = "111000000000131433001";
pub const ITEM: &str = "11421202TECT0001914000709001000";
pub const AGREEMENT: &str = "421202-331083-2020";
pub const AUTHORITY: &str = "urn:tongban:idp:mengsuban";
const ISSUER: &str = "11421202TECT000191";

/// Couples whose licenses share a pair of birthdays.
const COUPLES_A_DAY: u32 = 400;

/// Everything both sides need; the directory goes when this goes.
pub struct Scene {
    _dir: tempfile::TempDir,
    /// 咸安's directory.
    pub home: PathBuf,
    pub answering: Region,
    pub asking: Region,
    pub addr: SocketAddr,
    /// 咸安's keys for responses.
    pub answering_keys: KeySet,
    /// 玉环's TLS certificate and key (PEM), and 咸安's certificate.
    pub tls: Tls,
    pub gateway_key: SigningKey,
    pub authority_key: SigningKey,
    /// ID number of one holder of each license.
    pub holders: Vec<String>,
    /// The licenses, one a line.
    pub licenses: PathBuf,
}

pub struct Tls {
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
    pub server_chain: Vec<u8>,
}

/// What the ledger holds, after its tree was found to be the signed one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leaves {
    pub answers: u64,
    pub own: u64,
    /// Answers whose evidence is sealed.
    pub sealed: u64,
    pub bytes: u64,
}

impl Scene {
    pub fn set(licenses: u32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let now = Clock::system().now();
        let answering = County::found(dir.path(), "421202", "咸宁市咸安区")?;
        let asking = County::found(dir.path(), "331083", "台州市玉环市")?;
        let authority_key = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256)?)?;
        answering.befriend(&asking)?;
        answering.trust("agreements/2020.json", &agreement(AGREEMENT, &["421202", "331083"]))?;
        answering.trust(
            "authorities/mengsuban.json",
            &json!({"id": AUTHORITY, "name": "测试授权平台", "jwks": {"keys": [authority_key.public_jwk()]},
                "status_lists": [], "status": "active"}),
        )?;
        let file = dir.path().join("licenses.jsonl");
        let holders = import(&answering.home, &file, licenses, now)?;
        let keys = answering.card.get("jwks").context("a card has keys")?;
        Ok(Self {
            answering: answering.region,
            asking: asking.region,
            addr: answering.doors.partner,
            answering_keys: KeySet::from_jwks(keys).map_err(|faults| anyhow!("{faults:?}"))?,
            tls: Tls {
                chain: asking.read("keys/tls.crt")?,
                key: asking.read("keys/tls.key")?,
                server_chain: answering.read("keys/tls.crt")?,
            },
            gateway_key: SigningKey::load(&asking.home.join("keys/sign.jwk"))?,
            authority_key,
            holders,
            licenses: file,
            home: answering.home,
            _dir: dir,
        })
    }

    /// Somebody to seal evidence to.
    pub fn add_auditor(&self) -> Result<()> {
        let mut public = EcKeyPair::generate(EcCurve::P256)?.to_jwk_public_key();
        public.set_key_use("enc");
        public.set_algorithm("ECDH-ES+A256KW");
        let jwk = serde_json::to_vec(public.as_ref())?;
        Ok(fs::write(self.home.join("trust/auditors/li.jwk"), jwk)?)
    }

    /// Reads every leaf and holds the tree against the signed checkpoint.
    pub fn leaves(&self, signed: &Checkpoint) -> Result<Leaves> {
        let shelf = SqliteShelf::of_data_dir(&self.home.join("data"));
        let shard =
            signed.origin.rsplit('/').next().and_then(Shard::parse).context("an origin names a shard")?;
        let (mut told, mut hashes) = (Leaves::default(), Vec::new());
        for stored in shelf.leaves(shard, 0..signed.size)? {
            let leaf = Leaf::from_bytes(&stored.leaf).context("void: a leaf cannot be read")?;
            let counter = if leaf.t == LeafKind::In { &mut told.answers } else { &mut told.own };
            *counter += 1;
            told.sealed += u64::from(leaf.t == LeafKind::In && leaf.ev.is_some());
            told.bytes += stored.leaf.len() as u64;
            hashes.push(tree::leaf_hash(&stored.leaf));
        }
        ensure!(tree::root_of(&hashes) == signed.root, "void: the ledger is not the tree that was signed");
        Ok(told)
    }
}

/// License lookups between `parties`; the quota is far above the load.
pub fn agreement(id: &str, parties: &[&str]) -> Value {
    json!({
        "id": id, "parties": parties, "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2039-07-31",
        // Far above the load: the quota is checked and never met.
        "quota": {"requests_per_second": 1_000_000, "burst": 1_000_000, "concurrent": 100_000,
                  "per_day": 10_000_000_000_i64},
        "items": [{
            "code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": parties.get(1..).unwrap_or_default(),
            "mode": "multi_joint", "bases": ["consent"], "ops": ["license.query"],
            "licenses": [{"type": MARRIAGE, "holder_region": ["421202"], "modes": ["read", "verify"],
                          "fields": ["cert_no", "registered_on", "authority", "op_type"]}]
        }]
    })
}

/// Fills the register; returns the ID number of one holder of each license.
fn import(home: &Path, file: &Path, licenses: u32, now: Now) -> Result<Vec<String>> {
    let mut lines = BufWriter::new(File::create(file)?);
    let mut holders = Vec::new();
    for nth in 0..licenses {
        let (document, holder) = marriage(nth)?;
        writeln!(lines, "{document}")?;
        holders.push(holder);
    }
    let register = home.join("data/register.db");
    lines.flush()?;
    let report = license::import(&register, BufReader::new(File::open(file)?), now.shanghai_day(), |_| {})?;
    ensure!(report.loaded == u64::from(licenses), "{:?}", report.refused.first());
    Ok(holders)
}

/// A marriage of two people born in 1900–1905: nobody alive has their numbers.
fn marriage(nth: u32) -> Result<(Value, String)> {
    let birth =
        jiff::civil::date(1900, 1, 1).saturating_add(jiff::Span::new().days(i64::from(nth / COUPLES_A_DAY)));
    let (man, woman) = (
        resident_id(birth, 2 * (nth % COUPLES_A_DAY) + 1),
        resident_id(birth, 2 * (nth % COUPLES_A_DAY) + 2),
    );
    let serial = format!("J4212022026{nth:07}");
    let spouse = |name: &str, number: &str| json!({"name": name, "id_type": "111", "id_number": number, "birth": birth.to_string(), "nationality": "156"});
    let document = json!({
        "license_id": LicenseId::compose(MARRIAGE, ISSUER, &serial, "001")?.as_str(), "type_code": MARRIAGE,
        "name": "结婚证", "number": format!("J421202-2026-{nth:06}"), "issuer_name": "测试民政局", "issuer_code": ISSUER,
        "area_code": "421202", "issued_on": "2026-01-05", "valid_from": "2026-01-05", "valid_to": null,
        "long_term": true, "status": "01", "version": "001",
        "holders": [{"name": "测试甲", "type_code": "111", "code": man},
                    {"name": "测试乙", "type_code": "111", "code": woman}],
        "data": {"cert_no": format!("J421202-2026-{nth:06}"), "registered_on": "2026-01-05", "op_type": "IA",
                 "authority": "测试民政局", "man": spouse("测试甲", &man), "woman": spouse("测试乙", &woman)}
    });
    Ok((document, man))
}

/// 公民身份号码 of 咸安 with its check character (GB 11643: ISO 7064 MOD 11-2).
fn resident_id(birth: jiff::civil::Date, sequence: u32) -> String {
    let body = format!("421202{}{sequence:03}", birth.strftime("%Y%m%d"));
    let p = body.bytes().fold(0, |p, digit| (p + u32::from(digit - b'0')) * 2 % 11);
    match (12 - p) % 11 {
        10 => format!("{body}X"),
        check => format!("{body}{check}"),
    }
}
