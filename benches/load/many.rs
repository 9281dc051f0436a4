//! Many of everything: partners, agreements and leaves beside those of a scene.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tongban::cli::pki;
use tongban::clock::Clock;
use tongban::domain::Region;
use tongban::keys::{Algorithm, SigningKey};
use tongban::ledger::tree::sha256;
use tongban::ledger::{Decision, Leaf, LeafHash, LeafKind, Ledger, LedgerKey, LedgerSettings};

use super::process::{GENERATOR_CORE, SERVER_CORE, move_thread, own_cpu};
use super::scene::{ITEM, MARRIAGE, Scene, Tls, agreement};

/// A partner that sends requests.
pub struct Asker {
    pub region: Region,
    pub key: SigningKey,
    pub tls: Tls,
    pub agreement: String,
}

/// Days a certificate of these is good.
const DAYS: u32 = 30;
/// Leaves on their way at once.
const AT_ONCE: usize = 1024;

/// Every region of the country that may have a gateway, but the scene's two.
pub fn regions() -> impl Iterator<Item = Region> {
    (110_000..830_000)
        .filter_map(|code: u32| Region::parse(&code.to_string()).ok())
        .filter(|region| !["421202", "331083"].contains(&region.as_str()))
}

impl Scene {
    /// Makes `count` more regions partners, of which `asking`, evenly spread, have a certificate, a
    /// key and an agreement of their own and are returned; the others are known and silent.
    pub fn add_partners(&self, count: usize, asking: usize) -> Result<Vec<Asker>> {
        let regions: Vec<Region> = regions().take(count).collect();
        ensure!(regions.len() == count, "there are only {} regions", regions.len());
        let every = count.div_ceil(asking.max(1));
        let mut askers = Vec::new();
        for (nth, region) in regions.into_iter().enumerate() {
            let key = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256)?)?;
            let mut pin = URL_SAFE_NO_PAD.encode(sha256(region.as_str().as_bytes()));
            if nth.is_multiple_of(every) {
                let validity = pki::Validity { from: Clock::system().now(), days: DAYS };
                let issued = pki::self_signed(&pki::Subject::gateway(&region, &[]), validity)
                    .map_err(|fault| anyhow!("{fault}"))?;
                pin = issued.spki_sha256;
                let id = format!("421202-{region}-own");
                self.put(&format!("agreements/{id}.json"), &agreement(&id, &["421202", region.as_str()]))?;
                let key = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256)?)?;
                let tls = Tls {
                    chain: issued.certificate_pem.into_bytes(),
                    key: issued.private_key_pem.as_bytes().to_vec(),
                    server_chain: self.tls.server_chain.clone(),
                };
                self.put_card(region, &key, &pin)?;
                askers.push(Asker { region, key, tls, agreement: id });
            } else {
                self.put_card(region, &key, &pin)?;
            }
        }
        Ok(askers)
    }

    /// So many more agreements, each with another region, as far as there are regions.
    pub fn add_agreements(&self, count: usize) -> Result<()> {
        let regions: Vec<Region> = regions().collect();
        for (nth, region) in regions.iter().cycle().take(count).enumerate() {
            let id = format!("421202-{region}-{nth}");
            self.put(&format!("agreements/{id}.json"), &agreement(&id, &["421202", region.as_str()]))?;
        }
        Ok(())
    }

    fn put_card(&self, region: Region, key: &SigningKey, pin: &str) -> Result<()> {
        let card = json!({
            "id": region.gateway_urn(), "region": region, "name": region.name(),
            "endpoint": "https://127.0.0.1:9", "tls": {"spki_sha256": [pin]},
            "jwks": {"keys": [key.public_jwk()]}, "status": "active",
        });
        self.put(&format!("partners/{region}.json"), &card)
    }

    fn put(&self, path: &str, document: &Value) -> Result<()> {
        Ok(fs::write(self.home.join("trust").join(path), document.to_string())?)
    }

    /// Writes `count` leaves of lookups into the ledger, as the gateway does, the gateway being
    /// down. For a thread of its own.
    pub fn add_leaves(&self, count: u64) -> Result<()> {
        // No server runs yet.
        move_thread(&format!("{SERVER_CORE},{GENERATOR_CORE}"))?;
        Log::open(self)?.add(count).map(drop)
    }
}

/// The ledger of a scene, open without a gateway.
pub struct Log {
    ledger: Ledger,
    leaves: u64,
    runtime: tokio::runtime::Runtime,
}

impl Log {
    /// For a thread outside of any runtime.
    pub fn open(scene: &Scene) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let settings = LedgerSettings {
            data_dir: scene.home.join("data"),
            region: scene.answering,
            key: LedgerKey::from_pem(&fs::read(scene.home.join("keys/ledger.key"))?)
                .map_err(|fault| anyhow!("{fault}"))?,
            auditors: Vec::new(),
            clock: Clock::system(),
            workers: None,
        };
        let opened = runtime.block_on(async { Ledger::open(settings) });
        let (ledger, _) = opened.map_err(|fault| anyhow!("{fault}"))?;
        let (_, leaves) = ledger.present();
        Ok(Self { ledger, leaves, runtime })
    }

    /// Records so many more leaves, indexed and under a checkpoint in the end; CPU time of this process
    /// for one.
    pub fn add(&mut self, count: u64) -> Result<Duration> {
        let (ledger, from) = (&self.ledger, self.leaves);
        let before = own_cpu()?;
        self.runtime.block_on(async {
            record(ledger, from..from + count).await?;
            ensure!(ledger.flush().await && ledger.index().await, "the ledger did not flush");
            Ok(())
        })?;
        self.leaves += count;
        Ok((own_cpu()? - before).div_f64(count.max(1) as f64))
    }
}

async fn record(ledger: &Ledger, leaves: std::ops::Range<u64>) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for nth in leaves {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.context("a leaf is on its way")???;
        }
        let ledger = ledger.clone();
        tasks.spawn(async move {
            ledger.record(leaf(nth).into()).await.map(drop).map_err(|fault| anyhow!("{fault}"))
        });
    }
    while let Some(recorded) = tasks.join_next().await {
        recorded??;
    }
    Ok(())
}

/// A leaf as lookups make them.
fn leaf(nth: u64) -> Leaf {
    let hash = |what: u64| LeafHash(sha256(&(nth * 8 + what).to_be_bytes()));
    Leaf {
        // Without an order, as most clients choose their ids.
        x: hash(3).0.first_chunk::<16>().map(|octets| URL_SAFE_NO_PAD.encode(octets)),
        op: Some("license.query".into()),
        item: Some(ITEM.into()),
        lt: Some(MARRIAGE.into()),
        peer: Some("331083".into()),
        dec: Some(Decision::Permit),
        status: Some(200),
        rq: Some(hash(0)),
        rd: Some(hash(1)),
        agr: Some(LeafHash([7; 32])),
        auth: Some(hash(2)),
        ms: vec![3],
        sz: vec![2593],
        iat: Some(Clock::system().now().secs()),
        ..Leaf::new(LeafKind::In)
    }
}
