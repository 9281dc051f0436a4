//! What is measured once and not in rounds: handshakes, two cores, a slow disk, the memory of a
//! used id.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tongban::clock::Clock;
use tongban::envelope::{Claim, Replay};

use crate::Arguments;
use crate::load::inside::{self, IN_FLIGHT};
use crate::load::line::{Line, Protocol};
use crate::load::primitives;
use crate::load::process::{Launch, SERVER_CORE};
use crate::load::scene::Scene;
use crate::slow_disk::{self, SlowDisk};

const HANDSHAKES: u32 = 600;
const LICENSES: u32 = 1_000;
/// Used ids of which the memory is measured.
const IDS: u32 = 1_000_000;
/// Alternations of one core and two, and requests of each.
const TURNS: usize = 9;
const REQUESTS: u32 = 5_000;

/// Two workers ÷ one, each with as many exchanges in flight.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// Requests a second.
    pub rate: f64,
    /// CPU a request.
    pub cpu: f64,
    /// Requests a second, when both have only as many in flight as the one.
    pub shared: f64,
}

#[derive(Default)]
pub struct Special {
    /// CPU microseconds of the gateway for one full handshake with both certificates, and U.
    pub handshake: Option<(f64, f64)>,
    /// By turns.
    pub cores: Vec<Cores>,
    pub slow_disk: Option<SlowDisk>,
    /// Octets of memory for one live used id.
    pub used_id: Option<f64>,
    pub missing: Vec<String>,
}

pub async fn run(arguments: &Arguments) -> Result<Special> {
    let mut special = Special::default();
    println!("handshakes");
    special.handshake = Some(handshake(arguments).await?);
    println!("a slow disk");
    match slow_disk::measure(arguments).await {
        Ok(measured) => special.slow_disk = Some(measured),
        Err(why) => special.missing.push(format!("a slow disk: {why:#}")),
    }
    for turn in 0..TURNS {
        println!("one core and two, turn {} of {TURNS}", turn + 1);
        let on = |workers, in_flight| inside::on_cores(workers, in_flight, REQUESTS);
        let (one, two, shared) = (on(1, IN_FLIGHT)?, on(2, 2 * IN_FLIGHT)?, on(2, IN_FLIGHT)?);
        special.cores.push(Cores {
            rate: two.rate / one.rate,
            cpu: two.cpu / one.cpu,
            shared: shared.rate / one.rate,
        });
    }
    Ok(special)
}

async fn handshake(arguments: &Arguments) -> Result<(f64, f64)> {
    let scene = Scene::set(LICENSES)?;
    let server = Launch::gateway(&arguments.server, &scene.home, scene.addr).on(SERVER_CORE).start().await?;
    // Our gateway gives no tickets, so each is a full one.
    let line = Line::new(&scene.tls, scene.addr, Protocol::H1, 1)?;
    line.open().await?;
    let before = server.cpu()?;
    let begun = Instant::now();
    for _ in 0..HANDSHAKES {
        line.open().await?;
    }
    // The last one's end is on its way.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let each = (server.cpu()? - before).as_secs_f64() * 1e6 / f64::from(HANDSHAKES);
    ensure!(begun.elapsed().as_secs() < 60, "void: handshakes took too long");
    server.stop()?;
    Ok((each, primitives::sum()?.sum()))
}

/// Octets: a key and a content of 16 each. Less growth than that means that memory which was given
/// back before has been used again, and is no figure.
const LEAST_USED_ID: f64 = 32.0;

/// Resident memory that a million live ids take, in octets for each.
pub fn used_id() -> Result<f64> {
    println!("a used id");
    let now = Clock::system().now();
    let memory = Replay::default();
    let ids: Vec<String> = (0..IDS).map(|nth| format!("{nth:022}")).collect();
    let before = resident()?;
    for id in &ids {
        let claim = memory.claim("urn:tongban:gw:331083", id, &[7; 32], now.secs() + 150, now);
        ensure!(matches!(claim, Claim::Fresh(_)), "void: an id was not fresh");
    }
    let each = (resident()? - before) / f64::from(IDS);
    ensure!(each >= LEAST_USED_ID, "void: memory given back before was used again");
    Ok(each)
}

/// Octets resident in this process.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}
