//! How many license lookups a gateway answers, and what one costs.
//!
//! Starts the real `tongban serve` of 咸安 (421202) as a process of its own, plays 玉环 (331083)
//! against it over mutual TLS in a closed loop, and prints throughput, latency, CPU, memory and
//! the ratio to the primitives that no design can do without. Requests are signed before each
//! window, never inside it. A figure is void, and the program ends with a failure, unless every
//! answer was 200, the sampled signatures hold, and the ledger has grown by exactly the answers
//! and is the tree that its signed checkpoint names.
//!
//! Bounded in count and in time; loopback only; everything lies in a temporary directory.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use what this one does not")]
mod load;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};

use load::line::{Line, Protocol};
use load::primitives;
use load::process::{Launch, SERVER_CORE, own_cpu, pin_generator};
use load::requests::Mint;
use load::scene::Scene;
use load::window::Window;
use report::Measured;

/// License lookups over mutual TLS: throughput, latency, CPU, memory.
#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// Longest measured time of one run, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Requests in flight at once (HTTP/2: eight to a connection): a gateway takes 64 connections of a partner.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Requests of one run.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    requests: u32,
    #[arg(long, value_enum, default_value_t = Protocol::H1)]
    protocol: Protocol,
    /// How often one authorization is used, where it is used more than once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=100))]
    uses: u32,
    /// Synthetic licenses in the register.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    licenses: u32,
    /// Which runs.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Warn, Kind::Info, Kind::Once])]
    runs: Vec<Kind>,
    /// The server on one core and the generator on the other: what the ratios are stated for.
    #[arg(long)]
    pin: bool,
    /// Measure another build of the program.
    #[arg(long, default_value = load::process::SHIPPED)]
    server: PathBuf,
}

/// One run, on a fresh gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Authorizations of many uses, log level warn.
    Warn,
    /// The same with log level info: one line an exchange.
    Info,
    /// Every request with an authorization of its own, log level warn.
    Once,
    /// As `Warn`, with evidence sealed to an auditor and indexed.
    Evidence,
}

impl Kind {
    const fn log_level(self) -> &'static str {
        match self {
            Self::Warn | Self::Once | Self::Evidence => "warn",
            Self::Info => "info",
        }
    }

    fn uses(self, arguments: &Arguments) -> u32 {
        if self == Self::Once { 1 } else { arguments.uses }
    }

    fn is_sealed(self) -> bool {
        self == Self::Evidence
    }
}

/// Requests signed ahead of one measured window: small enough to be sent long before they expire
/// (120 s), large enough that a window lasts some seconds.
const WINDOW: u32 = 20_000;
/// Sent before the first window, unmeasured: caches, allocator and branch predictors.
const WARM_UP: u32 = 2_000;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "measure what is shipped: cargo bench --bench lookup");
    load::process::ship(&arguments.server)?;
    if arguments.pin {
        pin_generator()?;
    }
    // One thread: the generator must leave the machine to the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut measured = Vec::new();
    for kind in &arguments.runs {
        measured.push(runtime.block_on(run(*kind, &arguments))?);
    }
    report::print(&arguments, &measured);
    Ok(())
}

async fn run(kind: Kind, arguments: &Arguments) -> Result<Measured> {
    let scene = Scene::set(arguments.licenses)?;
    if kind.is_sealed() {
        scene.add_auditor()?;
    }
    let launch =
        Launch::gateway(&arguments.server, &scene.home, scene.addr).env("TONGBAN_LOG", kind.log_level());
    let server = if arguments.pin { launch.on(SERVER_CORE) } else { launch }.start().await?;
    let line = Line::new(&scene.tls, scene.addr, arguments.protocol, arguments.connections)?;
    let mut mint = Mint::new(&scene, kind.uses(arguments));
    let mut m = Measured::new(kind, primitives::sum()?);

    let warm = line.send(mint.batch(WARM_UP)?, Instant::now() + Duration::from_secs(60)).await?;
    warm.check(&scene, &mut m.checked)?;
    m.rss_start_kib = server.memory()?.now_kib;

    let most = Duration::from_secs(arguments.seconds);
    let mut left = arguments.requests;
    while left > 0 && m.wall < most {
        let batch = mint.batch(left.min(WINDOW))?;
        left = left.saturating_sub(WINDOW);
        let mut open = line.open().await?;
        let (server_cpu, generator_cpu, begun) = (server.cpu()?, own_cpu()?, Instant::now());
        let window: Window = open.drive(batch, begun + (most - m.wall)).await?;
        m.wall += begun.elapsed();
        m.server_cpu += server.cpu()? - server_cpu;
        m.generator_cpu += own_cpu()? - generator_cpu;
        window.check(&scene, &mut m.checked)?;
        m.add(window);
    }
    m.primitives.push(primitives::sum()?);
    let memory = server.memory()?;
    (m.rss_end_kib, m.rss_peak_kib) = (memory.now_kib, memory.peak_kib);

    let signed = line.checkpoint_over(&scene, m.checked.last_index).await?;
    server.stop()?;
    let answers = u64::from(WARM_UP) + m.answers();
    let leaves = scene.leaves(&signed)?;
    if kind.is_sealed() && leaves.sealed != answers {
        bail!("void: {answers} answers, but evidence of {}", leaves.sealed);
    }
    if leaves.answers != answers {
        bail!("void: {answers} answers, but the ledger has {} leaves of answers", leaves.answers);
    }
    m.leaves = leaves;
    Ok(m)
}
