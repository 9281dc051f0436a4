//! Two counties' logs to tamper with: real ledgers with evidence, orders, a month and a half-year
//! that turned, every file at rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use serde_json::{Value, json};
use tongban::clock::{Clock, Now};
use tongban::domain::Region;
use tongban::json::jcs;
use tongban::keys::{Algorithm, SigningKey};
use tongban::ledger::evidence::{AuditorKey, Evidence, Field, SearchKeys, Subject, SubjectKey};
use tongban::ledger::{
    Decision, Entry, Leaf, LeafHash, LeafKind, Ledger, LedgerKey, LedgerSettings, Place, RetentionClass,
    Shard, VaultOrder, origin,
};

use crate::process::copy;
use crate::support::{b64, sha256};

/// 2026-11-28T12:00:00+08:00.
pub const START: i64 = 1_795_838_400;
pub const DAY: i64 = 86_400;
/// Synthetic: region 421202, born on 1900-01-01.
pub const CITIZEN: &str = "42120219000101001X";
pub const SHARD: &str = "2026h2";
pub const MONTH: &str = "2026-11";

/// The keys that both logs' makers, and their checkers, use.
pub struct Keys {
    pub ledger_pem: String,
    pub auditor: Value,
    auditor_public: Arc<AuditorKey>,
    partner: SigningKey,
    pub partner_jwk: Value,
}

impl Keys {
    pub fn new() -> Self {
        let pair = EcKeyPair::generate(EcCurve::P256).unwrap();
        let mut public = pair.to_jwk_public_key();
        public.set_key_use("enc");
        public.set_algorithm("ECDH-ES+A256KW");
        let jwk = SigningKey::generate(Algorithm::Es256).unwrap();
        let partner = SigningKey::from_jwk(&jwk).unwrap();
        Self {
            ledger_pem: LedgerKey::generate_pem().unwrap().to_string(),
            auditor: Value::Object(pair.to_jwk_key_pair().as_ref().clone()),
            auditor_public: Arc::new(AuditorKey::read(&Value::Object(public.as_ref().clone())).unwrap()),
            partner_jwk: partner.public_jwk(),
            partner,
        }
    }

    pub fn ledger(&self) -> LedgerKey {
        LedgerKey::from_pem(self.ledger_pem.as_bytes()).unwrap()
    }

    fn jws(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.partner.kid(), "typ": "tongban+jws"});
        let input = format!("{}.{}", b64(jcs(&header)), b64(jcs(claims)));
        format!("{input}.{}", b64(self.partner.sign(input.as_bytes()).unwrap()))
    }
}

/// One county's log at work.
pub struct County {
    pub data: PathBuf,
    pub region: Region,
    pub clock: Clock,
    pub keys: Arc<Keys>,
    pub ledger: Ledger,
    count: u32,
}

impl County {
    pub fn open(data: &Path, region: &str, keys: &Arc<Keys>) -> Self {
        let clock = Clock::by_hand(Now::from_secs(START));
        let region = Region::parse(region).unwrap();
        let settings = LedgerSettings {
            data_dir: data.to_owned(),
            region,
            key: keys.ledger(),
            auditors: vec![keys.auditor_public.clone()],
            clock: clock.clone(),
            workers: None,
        };
        let (ledger, _) = Ledger::open(settings).unwrap();
        Self { data: data.to_owned(), region, clock, keys: keys.clone(), ledger, count: 0 }
    }

    /// One answered exchange, a second after the last; every third a ping, every fifth about
    /// [`CITIZEN`].
    pub async fn answer(&mut self) -> Place {
        let n = self.count;
        self.count += 1;
        self.clock.advance(1000);
        let (op, class) = match n % 3 {
            0 => ("ping", RetentionClass::Other),
            _ => ("license.query", RetentionClass::Provision),
        };
        let x = format!("0190f3a2-7c1e-7d4b-9a51-{n:012}");
        let request = self.keys.jws(&json!({"jti": x, "op": op, "iat": self.clock.now().secs()}));
        let result = jcs(&json!({"found": n.is_multiple_of(2), "n": n}));
        let mut subjects = vec![Subject::new(Field::Operator, format!("331083:YH{:04}", n % 7))];
        if n.is_multiple_of(5) {
            subjects.push(Subject::new(Field::Citizen, CITIZEN));
        }
        let leaf = Leaf {
            x: Some(x),
            op: Some(op.into()),
            peer: Some("331083".into()),
            dec: Some(Decision::Permit),
            status: Some(200),
            rq: Some(LeafHash(sha256(request.as_bytes()))),
            rd: Some(LeafHash(sha256(&result))),
            auth: (!n.is_multiple_of(3)).then(|| LeafHash(sha256(&(n / 4).to_be_bytes()))),
            iat: Some(self.clock.now().secs()),
            ..Leaf::new(LeafKind::In)
        };
        let evidence = Evidence {
            request: Some(request.into_bytes().into()),
            result: Some(result),
            certificate: Some("MII=".into()),
            subjects,
            ..Evidence::new(class)
        };
        self.ledger.record(Entry { evidence: Some(evidence), ..leaf.into() }).await.unwrap()
    }

    pub async fn answers(&mut self, n: u32) -> Vec<Place> {
        let mut places = Vec::new();
        for _ in 0..n {
            places.push(self.answer().await);
        }
        places
    }

    /// Records an order as the desk does, and has it carried out.
    pub async fn order(&mut self, op: Option<&str>, of: &[&Place]) -> Place {
        let shard = of[0].mark.shard;
        let of: Vec<u64> = of.iter().map(|place| place.index).collect();
        let leaf = Leaf {
            by: Some("zhao-security".into()),
            op: op.map(str::to_owned),
            n: Some(of.len() as u64),
            of: of.clone(),
            past: Some(origin(self.region, shard)),
            ..Leaf::new(LeafKind::Erase)
        };
        let place = self.ledger.record(leaf.into()).await.unwrap();
        let order = match op {
            None => VaultOrder::Erase { shard, of, leaf: place.mark },
            Some("hold") => VaultOrder::Hold { shard, of, leaf: place.mark },
            _ => VaultOrder::Release { shard, of },
        };
        self.ledger.obey(order).await.unwrap();
        place
    }

    /// Drops what the `other` class holds of a month, as the desk's retention does.
    pub async fn drop_other(&mut self, shard: Shard, month: &str) -> Place {
        let leaf = Leaf {
            by: Some("(gateway)".into()),
            code: Some(format!("{month}.other")),
            op: Some("drop".into()),
            past: Some(origin(self.region, shard)),
            ..Leaf::new(LeafKind::Erase)
        };
        let place = self.ledger.record(leaf.into()).await.unwrap();
        let month = tongban::ledger::Month::parse(month).unwrap();
        let order = VaultOrder::Drop { shard, month, class: RetentionClass::Other };
        self.ledger.obey(order).await.unwrap();
        place
    }

    /// Everything signed, indexed and on disk.
    pub async fn settle(&self) {
        assert!(self.ledger.flush().await);
        assert!(self.ledger.index().await);
    }

    /// At rest.
    pub async fn close(self) -> PathBuf {
        self.settle().await;
        let data = self.data.clone();
        drop(self);
        data
    }

    pub fn vkey(&self, shard: Shard) -> String {
        self.ledger.vkey(&origin(self.region, shard)).unwrap().to_string()
    }

    /// What finds [`CITIZEN`].
    pub fn subject(&self, shard: Shard) -> SubjectKey {
        let keys = SearchKeys::of_data_dir(&self.data);
        keys.of_shard(shard).unwrap().subject(Field::Citizen, CITIZEN)
    }
}

/// The published checkpoint of a log.
pub fn checkpoint(data: &Path, region: &str, shard: &str) -> PathBuf {
    data.join(format!("tiles/tongban/{region}/{shard}/checkpoint"))
}

/// A copy of a data directory at rest.
pub fn copy_of(data: &Path, to: &Path) -> PathBuf {
    fs::create_dir_all(to).unwrap();
    copy(data, to);
    to.to_owned()
}
