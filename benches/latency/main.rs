//! How long a lookup takes at a quarter, a half and four fifths of what the gateway can do, what
//! its durable record adds, what slow partners add to the others, and what becomes of everybody
//! when three times as much comes.
//!
//! Starts the real `tongban serve` on one core and plays fifteen partners from another, over mutual
//! TLS, with messages signed ahead. Latencies are counted from the moment a message was due (open
//! loop, independent arrivals), so that nobody's waiting is left out. The program ends with a failure when a
//! promise is broken, and a figure is void unless every answer is either signed or an `overloaded` with
//! `Retry-After`, the sampled signatures hold, and the ledger has grown by exactly the answers.
//!
//! Bounded in count and in time; loopback only; everything lies in temporary directories.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod beside;
mod crowd;
mod drive;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use what this one does not")]
mod load;
mod report;
mod stage;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};

use load::line::Protocol;
use load::process::pin_generator;

/// Latency under load, and overload.
#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// Seconds of each open loop; overload takes twice as long.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=30))]
    seconds: u32,
    /// How much comes in overload, in capacities.
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    #[arg(long, value_enum, default_value_t = Protocol::H1)]
    protocol: Protocol,
    /// Synthetic licenses in the register.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    licenses: u32,
    /// Which parts.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Latency, Part::Evidence, Part::Slow, Part::Overload])]
    parts: Vec<Part>,
    /// Measure another build of the program.
    #[arg(long, default_value = load::process::SHIPPED)]
    server: PathBuf,
}

/// Each on a fresh gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// At 25, 50 and 80 % of capacity.
    Latency,
    /// The same with evidence sealed to an auditor.
    Evidence,
    /// At 50 %, without and with slow partners beside.
    Slow,
    /// More than it can do.
    Overload,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "measure what is shipped: cargo bench --bench latency");
    load::process::ship(&arguments.server)?;
    pin_generator()?;
    // One thread (and one that sleeps): the generator has one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut broken = Vec::new();
    for part in &arguments.parts {
        broken.extend(runtime.block_on(stage::run(*part, &arguments))?);
    }
    if broken.is_empty() {
        println!("\nEvery promise held.");
        return Ok(());
    }
    bail!("broken: {}", broken.join("; "))
}
