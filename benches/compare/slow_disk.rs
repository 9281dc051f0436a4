//! The gateway on a disk whose every flush takes two milliseconds more: do exchanges share them?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::Arguments;
use crate::judge;
use crate::load::line::{Line, Protocol};
use crate::load::process::{Launch, SERVER_CORE};
use crate::load::requests::Mint;
use crate::load::scene::Scene;
use crate::load::window::Checked;

/// How much longer a flush takes.
const SLOWER: Duration = Duration::from_millis(2);
const WITHIN: Duration = Duration::from_secs(60);
/// Requests in flight, as in the rounds, and requests of the three windows.
const TOGETHER: u16 = 32;
const MANY: u32 = 6_000;
const LONE: u32 = 600;
const WARM_UP: u32 = 500;
const LICENSES: u32 = 1_000;

#[derive(Clone, Copy, Debug)]
pub struct SlowDisk {
    /// Requests a second with 32 in flight, and with one: each of those waits for its own flush.
    pub together: f64,
    pub lone: f64,
    /// Median latency of a lone request, over the two milliseconds.
    pub lone_p50: f64,
}

/// Compiles the shim; needs a C compiler.
fn shim(dir: &Path) -> Result<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/compare/slow_flush.c");
    let shim = dir.join("slow_flush.so");
    let ended = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&shim)
        .arg(source)
        .arg("-ldl")
        .output()
        .context("cc is not installed")?;
    ensure!(ended.status.success(), "cc: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(shim)
}

pub async fn measure(arguments: &Arguments) -> Result<SlowDisk> {
    let dir = tempfile::tempdir()?;
    let shim = shim(dir.path())?;
    let scene = Scene::set(LICENSES)?;
    let server = Launch::gateway(&arguments.server, &scene.home, scene.addr)
        .env("LD_PRELOAD", shim)
        .env("SLOW_FLUSH_US", SLOWER.as_micros().to_string())
        .on(SERVER_CORE)
        .start()
        .await?;
    let (many, one) = (
        Line::new(&scene.tls, scene.addr, Protocol::H1, TOGETHER)?,
        Line::new(&scene.tls, scene.addr, Protocol::H1, 1)?,
    );
    let mut mint = Mint::new(&scene, 100);
    let mut checked = Checked::default();
    let warm = many.send(mint.batch(WARM_UP)?, Instant::now() + WITHIN).await?;
    warm.check(&scene, &mut checked)?;
    let mut told = Vec::new();
    for (line, count) in [(&many, MANY), (&one, LONE)] {
        let batch = mint.batch(count)?;
        let mut open = line.open().await?;
        let begun = Instant::now();
        let mut window = open.drive(batch, begun + WITHIN).await?;
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        window.check(&scene, &mut checked)?;
        ensure!(window.latencies.len() == count as usize, "void: the slow disk took too long");
        window.latencies.sort_unstable();
        let p50 = window.latencies.get(window.latencies.len() / 2).copied().unwrap_or_default();
        told.push((rate, f64::from(p50) / SLOWER.as_micros() as f64));
    }
    let signed = one.checkpoint_over(&scene, checked.last_index).await?;
    server.stop()?;
    judge::ledger(&scene, &signed, u64::from(WARM_UP + MANY + LONE), false)?;
    let [(together, _), (lone, lone_p50)] = told[..] else { anyhow::bail!("two windows") };
    Ok(SlowDisk { together, lone, lone_p50 })
}
