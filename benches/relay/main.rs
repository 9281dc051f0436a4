//! How many applications a gateway accepts, how many arrive at the partner, and what waiting
//! ones cost.
//!
//! Starts the real `tongban serve` of 玉环 (331083) and of 咸安 (421202), each a process of its
//! own with a directory as `tongban init` makes it, and plays window systems at 玉环's local
//! door in a closed loop. Every submit has its own bytes and its own case. Three runs:
//! `through` (both gateways run; measured until the last receipt is stored), `waiting` (咸安 is
//! down; memory while the backlog grows) and `drain` (咸安 comes back to that backlog).
//!
//! A figure is void, and the program ends with a failure, unless every submit was answered 202,
//! every parcel ended as delivered, and 咸安's books hold exactly the cases that were submitted.
//! Bounded in count; loopback only; everything lies in a temporary directory.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use what this one does not")]
mod load;
mod scene;
mod windows;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use load::process::{Launch, Server};
use scene::{Home, Scene};
use windows::Windows;

/// Applications between two gateways: accepted, delivered, waiting.
#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// Submits in flight at once, a connection each.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    windows: u16,
    /// Submits of `through`.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    submits: u32,
    /// Submits that wait in `waiting`.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    backlog: u32,
    /// Which runs; `drain` follows `waiting`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Through, Kind::Waiting, Kind::Drain])]
    runs: Vec<Kind>,
    /// Measure another build of the program.
    #[arg(long, default_value = load::process::SHIPPED)]
    server: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Through,
    Waiting,
    Drain,
}

/// Sent before anything is measured: caches, allocator, connections.
const WARM_UP: u32 = 500;
/// Lines of the table of `waiting`.
const STEPS: u32 = 10;
/// How often it is asked whether anything waits: seldom enough not to be the load.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the last parcel may take after the last submit.
const DRAINS_WITHIN: Duration = Duration::from_secs(1_800);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "measure what is shipped: cargo bench --bench relay");
    load::process::ship(&arguments.server)?;
    // One thread: the windows must leave the machine to the gateways.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wants = |kind| arguments.runs.contains(&kind);
    if wants(Kind::Through) {
        runtime.block_on(through(&arguments))?;
    }
    if wants(Kind::Waiting) || wants(Kind::Drain) {
        runtime.block_on(waiting(&arguments, wants(Kind::Drain)))?;
    }
    Ok(())
}

async fn through(arguments: &Arguments) -> Result<()> {
    let scene = Scene::set()?;
    let handling = start(arguments, &scene.xianan).await?;
    let collecting = start(arguments, &scene.yuhuan).await?;
    let mut windows = Windows::open(&scene.yuhuan, arguments.windows).await?;
    windows.submit(WARM_UP).await?;
    until_delivered(&scene.yuhuan).await?;
    let before = [collecting.cpu()?, handling.cpu()?];
    let begun = Instant::now();
    let run = windows.submit(arguments.submits).await?;
    let accepted = begun.elapsed();
    until_delivered(&scene.yuhuan).await?;
    let delivered = begun.elapsed();
    println!("through: {} submits, {} windows", arguments.submits, arguments.windows);
    println!("  accepted {}, while the courier worked; {run}", rate(arguments.submits, accepted));
    println!("  delivered {}, from the first submit to the last receipt", rate(arguments.submits, delivered));
    for (name, server, before) in [("玉环", &collecting, before[0]), ("咸安", &handling, before[1])] {
        let cpu = (server.cpu()? - before).as_secs_f64() * 1e6 / f64::from(arguments.submits);
        println!("  {name}: {cpu:.0} µs CPU a submit, resident {}", server.memory()?);
    }
    collecting.stop()?;
    handling.stop()?;
    scene.check(arguments.submits + WARM_UP)
}

async fn waiting(arguments: &Arguments, drain: bool) -> Result<()> {
    let scene = Scene::set()?;
    let collecting = start(arguments, &scene.yuhuan).await?;
    let mut windows = Windows::open(&scene.yuhuan, arguments.windows).await?;
    windows.submit(WARM_UP).await?;
    println!("waiting: 咸安 is down, {} windows; warm: {}", arguments.windows, collecting.memory()?);
    let mut left = arguments.backlog.saturating_sub(WARM_UP);
    let step = arguments.backlog.div_ceil(STEPS);
    while left > 0 {
        let (some, begun) = (step.min(left), Instant::now());
        let run = windows.submit(some).await?;
        left -= some;
        let waits = arguments.backlog - left;
        println!(
            "  {waits} wait; accepted {}; {run}; resident {}",
            rate(some, begun.elapsed()),
            collecting.memory()?
        );
    }
    if drain {
        let handling = start(arguments, &scene.xianan).await?;
        let begun = Instant::now();
        until_delivered(&scene.yuhuan).await?;
        println!("drain: {}", rate(arguments.backlog, begun.elapsed()));
        println!("  resident: 玉环 {}, 咸安 {}", collecting.memory()?, handling.memory()?);
        collecting.stop()?;
        handling.stop()?;
        return scene.check(arguments.backlog);
    }
    collecting.stop()
}

async fn start(arguments: &Arguments, home: &Home) -> Result<Server> {
    Launch::gateway(&arguments.server, &home.dir, home.doors.local).start().await
}

/// Waits until nothing waits.
async fn until_delivered(home: &Home) -> Result<()> {
    let begun = Instant::now();
    while windows::waits(home).await? {
        ensure!(begun.elapsed() < DRAINS_WITHIN, "void: parcels still wait after {DRAINS_WITHIN:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn rate(count: u32, took: Duration) -> String {
    format!("{:.0}/s ({:.1} s)", f64::from(count) / took.as_secs_f64(), took.as_secs_f64())
}
