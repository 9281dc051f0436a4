//! What recording an exchange costs the whole process: leaf, tree, commit and flush, 32 exchanges
//! at once; and what its evidence adds.

use anyhow::{Result, anyhow, ensure};
use tongban::clock::Clock;
use tongban::config::Config;
use tongban::envelope::digest;
use tongban::gateway::{self, Options, Running};
use tongban::ledger::evidence::{Evidence, Field, Subject};
use tongban::ledger::{Decision, Entry, Leaf, LeafHash, LeafKind, Ledger, RetentionClass};

use crate::Row;
use crate::load::process::own_cpu;
use crate::load::scene::Scene;

/// Exchanges on their way at once, as connections are.
const TOGETHER: u32 = 32;
const LICENSES: u32 = 500;
/// Octets of a request, its result and a certificate in base64, as lookups have them.
const REQUEST: usize = 2600;
const RESULT: usize = 700;
const CERTIFICATE: usize = 800;

pub fn measure(rounds: u32, exchanges: u32) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (bare, sealed) = (Scene::set(LICENSES)?, Scene::set(LICENSES)?);
    sealed.add_auditor()?;
    let (without, with) =
        runtime.block_on(async { anyhow::Ok((start(&bare).await?, start(&sealed).await?)) })?;
    let (mut each, mut full, mut adds) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        println!("recording, round {round} of {rounds}");
        let cost =
            |running: &Running| runtime.block_on(record(running.house.ledger.clone(), exchanges, round));
        let (one, other) = (cost(&without)?, cost(&with)?);
        // The first makes files and caches.
        if round > 0 {
            each.push(one);
            full.push(other);
            adds.push(other - one);
        }
    }
    runtime.block_on(async {
        without.stop().await;
        with.stop().await;
    });
    Ok(vec![
        ("an exchange recorded, 32 at once (whole process) 记录", each),
        ("the same with evidence sealed and indexed 含证据", full),
        ("of which evidence 证据所增", adds),
    ])
}

pub async fn start(scene: &Scene) -> Result<Running> {
    let config =
        Config::load(&scene.home.join("gateway.toml")).map_err(|faults| anyhow!("{:?}", faults.first()))?;
    let started = gateway::start(config, Clock::system(), Options::default()).await;
    started.map_err(|faults| anyhow!("{:?}", faults.first()))
}

async fn record(ledger: Ledger, exchanges: u32, round: u32) -> Result<f64> {
    // What is to be recorded is made before: it is the corridor's work, and was a third of this figure.
    let parts: Vec<Vec<Entry>> = (0..TOGETHER)
        .map(|part| (part..exchanges).step_by(TOGETHER as usize).map(|nth| exchange(round, nth)).collect())
        .collect();
    let before = own_cpu()?;
    let mut tasks = tokio::task::JoinSet::new();
    for entries in parts {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            for entry in entries {
                ledger.record(entry).await.map_err(|fault| anyhow!("{fault}"))?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    ensure!(ledger.flush().await && ledger.index().await, "the ledger did not flush");
    Ok((own_cpu()? - before).as_secs_f64() * 1e6 / f64::from(exchanges))
}

fn exchange(round: u32, nth: u32) -> Entry {
    let text = |octets: usize| format!("{round}-{nth:0octets$}").into_bytes();
    let (request, result) = (text(REQUEST), text(RESULT));
    let leaf = Leaf {
        x: Some(format!("{round:04}{nth:018}")),
        op: Some("license.query".into()),
        item: Some("11421202TECT0001914000709001000".into()),
        lt: Some("111000000000131433001".into()),
        peer: Some("331083".into()),
        dec: Some(Decision::Permit),
        status: Some(200),
        rq: Some(LeafHash(digest(&request))),
        rd: Some(LeafHash(digest(&result))),
        agr: Some(LeafHash([7; 32])),
        auth: Some(LeafHash(digest(&nth.to_be_bytes()))),
        ms: vec![3],
        sz: vec![2600],
        iat: Some(1_795_305_600),
        ..Leaf::new(LeafKind::In)
    };
    let evidence = Evidence {
        request: Some(request.into()),
        result: Some(result),
        certificate: Some(text(CERTIFICATE).into()),
        subjects: vec![
            Subject::new(Field::Citizen, format!("citizen {}", nth % 5_000)),
            Subject::new(Field::Case, format!("K{}", nth / 3)),
            Subject::new(Field::Operator, format!("331083:YH{}", nth % 500)),
        ],
        ..Evidence::new(RetentionClass::Provision)
    };
    Entry { evidence: Some(evidence), ..leaf.into() }
}
