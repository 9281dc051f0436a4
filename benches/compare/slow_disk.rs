//! The gateway on a disk whose every flush takes two milliseconds more: do exchanges share them, and do
//! evidence and leaves?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::Arguments;
use crate::judge;
use crate::load::line::{Line, OpenLine, Protocol};
use crate::load::process::{Launch, SERVER_CORE, Server};
use crate::load::requests::Mint;
use crate::load::scene::Scene;
use crate::load::spread::Spread;
use crate::load::window::Checked;

/// How much longer a flush takes.
const SLOWER: Duration = Duration::from_millis(2);
const WITHIN: Duration = Duration::from_secs(60);
/// Requests in flight, as in the rounds, and requests of a window.
const TOGETHER: u16 = 32;
const MANY: u32 = 2_000;
const LONE: u32 = 100;
const WARM_UP: u32 = 500;
const LICENSES: u32 = 1_000;
/// Windows of each gateway, by turns.
const TURNS: usize = 11;

#[derive(Clone, Copy, Debug)]
pub struct SlowDisk {
    /// Requests a second with 32 in flight, and with one: each of those waits for its own flush.
    pub together: f64,
    pub lone: f64,
    /// The one over the other.
    pub grouped: Spread,
    /// Median latency of a lone request, over the two milliseconds.
    pub lone_p50: Spread,
    /// Requests a second with evidence over those without, 32 in flight.
    pub with_evidence: Spread,
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

/// A gateway on the slow disk, and who asks it.
struct Slowed<'a> {
    scene: &'a Scene,
    server: Server,
    mint: Mint<'a>,
    checked: Checked,
    answered: u32,
    evidence: bool,
}

impl<'a> Slowed<'a> {
    async fn start(arguments: &Arguments, scene: &'a Scene, shim: &Path, evidence: bool) -> Result<Self> {
        if evidence {
            scene.add_auditor()?;
        }
        let server = Launch::gateway(&arguments.server, &scene.home, scene.addr)
            .env("LD_PRELOAD", shim)
            .env("SLOW_FLUSH_US", SLOWER.as_micros().to_string())
            .on(SERVER_CORE)
            .start()
            .await?;
        let mint = Mint::new(scene, 100);
        Ok(Self { scene, server, mint, checked: Checked::default(), answered: 0, evidence })
    }

    fn line(&self, connections: u16) -> Result<Line> {
        Line::new(&self.scene.tls, self.scene.addr, Protocol::H1, connections)
    }

    /// Requests a second, and the median of their latencies over the two milliseconds.
    async fn window(&mut self, line: &mut OpenLine, count: u32) -> Result<(f64, f64)> {
        let batch = self.mint.batch(count)?;
        let begun = Instant::now();
        let mut window = line.drive(batch, begun + WITHIN).await?;
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        window.check(self.scene, &mut self.checked)?;
        ensure!(window.latencies.len() == count as usize, "void: the slow disk took too long");
        self.answered += count;
        window.latencies.sort_unstable();
        let p50 = window.latencies.get(window.latencies.len() / 2).copied().unwrap_or_default();
        Ok((rate, f64::from(p50) / SLOWER.as_micros() as f64))
    }

    async fn end(self) -> Result<()> {
        let signed = self.line(1)?.checkpoint_over(self.scene, self.checked.last_index).await?;
        self.server.stop()?;
        judge::ledger(self.scene, &signed, u64::from(self.answered), self.evidence)
    }
}

pub async fn measure(arguments: &Arguments) -> Result<SlowDisk> {
    let dir = tempfile::tempdir()?;
    let shim = shim(dir.path())?;
    let scenes = (Scene::set(LICENSES)?, Scene::set(LICENSES)?);
    let mut without = Slowed::start(arguments, &scenes.0, &shim, false).await?;
    let mut with = Slowed::start(arguments, &scenes.1, &shim, true).await?;
    let mut lines = (without.line(TOGETHER)?.open().await?, with.line(TOGETHER)?.open().await?);
    without.window(&mut lines.0, WARM_UP).await?;
    with.window(&mut lines.1, WARM_UP).await?;
    let mut one = without.line(1)?.open().await?;
    let (mut rates, mut lone, mut lone_p50, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (rate, _) = without.window(&mut lines.0, MANY).await?;
        let (with, _) = with.window(&mut lines.1, MANY).await?;
        let (alone, p50) = without.window(&mut one, LONE).await?;
        rates.push(rate);
        lone.push(alone);
        lone_p50.push(p50);
        ratios.push(with / rate);
    }
    drop((lines, one));
    without.end().await?;
    with.end().await?;
    let grouped = Spread::of(rates.iter().zip(&lone).map(|(together, lone)| together / lone));
    let of = |figures| Spread::of(figures).context("there are turns");
    Ok(SlowDisk {
        together: of(rates)?.median,
        lone: of(lone)?.median,
        grouped: grouped.context("there are turns")?,
        lone_p50: of(lone_p50)?,
        with_evidence: of(ratios)?,
    })
}
