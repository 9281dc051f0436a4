//! The corridor itself, in this process and without sockets: what the gateway does for a request
//! once its bytes are there, on as many cores as one likes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use tongban::admission::Class;
use tongban::clock::Clock;
use tongban::config::Config;
use tongban::gateway::{self, Options};
use tongban::inbound;
use tongban::ledger::Workers;
use tongban::peer::PeerIdentity;

use super::process::{GENERATOR_CORE, SERVER_CORE, move_thread, own_cpu};
use super::requests::Mint;
use super::scene::Scene;

/// Exchanges in flight for each worker, as connections are.
pub const IN_FLIGHT: usize = 32;
const WARM_UP: u32 = 1_000;
const LICENSES: u32 = 2_000;
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// Requests a second, and CPU microseconds of the whole process for one.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    pub rate: f64,
    pub cpu: f64,
}

/// Answers `count` lookups, so many at once, with so many workers, each on a core of its own (one or two).
pub fn on_cores(workers: usize, in_flight: usize, count: u32) -> Result<Inside> {
    // A thread outside of any runtime: it makes one, whose threads inherit its cores.
    let ended = std::thread::spawn(move || measure(workers, in_flight, count)).join();
    ended.map_err(|_| anyhow!("the corridor's thread panicked"))?
}

fn measure(workers: usize, in_flight: usize, count: u32) -> Result<Inside> {
    let both = format!("{SERVER_CORE},{GENERATOR_CORE}");
    move_thread(if workers == 1 { SERVER_CORE } else { &both })?;
    let scene = Scene::set(LICENSES)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let threads = Workers::of(&mut builder);
    let runtime = builder.enable_all().build()?;
    let measured = runtime.block_on(async {
        let config = Config::load(&scene.home.join("gateway.toml"))
            .map_err(|faults| anyhow!("{:?}", faults.first()))?;
        let options = Options { workers: Some(threads), ..Options::default() };
        let running = gateway::start(config, Clock::system(), options)
            .await
            .map_err(|faults| anyhow!("{:?}", faults.first()))?;
        let house = running.house.clone();
        let peer = house.trust.load().directory.assume(scene.asking).context("a partner")?;
        let mut mint = Mint::new(&scene, 100);
        let bodies = |count| -> Result<Vec<Bytes>> {
            Ok(mint.batch(count)?.into_iter().map(|request| request.body).collect())
        };
        let mut bodies = bodies;
        answer(&house, &peer, in_flight, bodies(WARM_UP)?).await?;
        let measured = bodies(count)?;
        let (cpu, begun) = (own_cpu()?, Instant::now());
        answer(&house, &peer, in_flight, measured).await?;
        let (wall, cpu) = (begun.elapsed(), own_cpu()? - cpu);
        running.stop().await;
        let each = f64::from(count);
        Ok(Inside { rate: each / wall.as_secs_f64(), cpu: cpu.as_secs_f64() * 1e6 / each })
    });
    runtime.shutdown_timeout(STOPS_WITHIN);
    measured
}

/// Every answer must be 200 and signed.
async fn answer(
    house: &Arc<tongban::house::House>,
    peer: &PeerIdentity,
    in_flight: usize,
    bodies: Vec<Bytes>,
) -> Result<()> {
    let bodies = Arc::new(bodies);
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let (house, peer, bodies, next) = (house.clone(), peer.clone(), bodies.clone(), next.clone());
        loops.spawn(async move {
            let mut answered = 0;
            while let Some(body) = bodies.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                let place = house.admission.enter(peer.region(), || Class::Lookup)?;
                let answer = inbound::exchange(house.clone(), peer.clone(), body.clone(), place).await;
                ensure!(answer.status == 200 && answer.signed, "void: answered {}", answer.status);
                answered += 1;
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(ended) = loops.join_next().await {
        answered += ended??;
    }
    ensure!(answered == bodies.len(), "void: {answered} answers");
    Ok(())
}
