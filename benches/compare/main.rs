//! The gateway, the sum of its primitives and what a county could use in its place, side by
//! side in one run.
//!
//! Every server is visited in turn, several times over, by the same generator with the same
//! requests; the server has one core, the generator the other. What counts is the CPU time of all
//! processes of a server for one request, and of that only ratios between visits of the same
//! round; their median is the figure. The primitives are measured on the server's core before and
//! after every visit.
//!
//! A figure is void, and the program ends with a failure, unless every answer had the status it
//! must have, the sampled signatures hold, no id was used twice, and the record of each server
//! holds exactly the answers: for the gateway as the tree that its signed checkpoint names, for
//! the other applications as an unbroken chain. A server that takes a forged message is not
//! measured. Where the generator took more than a quarter of the server's time, nothing is judged.
//!
//! Bounded in count and time; loopback only; everything but the figures is gone at the end.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod contender;
mod document;
mod host;
mod judge;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use what this one does not")]
mod load;
mod peers;
mod plain;
mod plot;
mod ratios;
mod rounds;
mod slow_disk;
mod special;
mod versions;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use contender::Kind;
use document::Report;
use load::process::{pin_generator, unwanted};

/// The gateway beside its primitives and its peers.
#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// How often every server is visited.
    #[arg(long, default_value_t = LEAST_ROUNDS, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// No round begins after so many minutes of them.
    #[arg(long, default_value_t = 12)]
    minutes: u64,
    /// Requests of one visit.
    #[arg(long, default_value_t = LEAST_REQUESTS, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    requests: u32,
    /// Requests in flight.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Synthetic licenses.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    licenses: u32,
    /// Only these; the gateway always runs.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Leave out what is measured once and not in rounds: handshakes, two cores, a slow disk.
    #[arg(long)]
    rounds_only: bool,
    /// Where `benches/compare/install` put the peers.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers"))]
    peers: PathBuf,
    /// Write the tables into docs/ even if this was fewer rounds or requests than the method has.
    #[arg(long)]
    write: bool,
    /// Measure another build of the program.
    #[arg(long, default_value = load::process::SHIPPED)]
    server: PathBuf,
    /// Be a server of our own stack instead (the benchmark starts itself so).
    #[command(subcommand)]
    serve: Option<plain::Serve>,
}

impl Arguments {
    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Gateway || self.only.is_empty() || self.only.contains(&kind)
    }
}

/// The method's least: below that a run is for trying out. Many short visits: what else the machine does comes
/// and goes within seconds, and both sides of a ratio should have the same of it.
const LEAST_ROUNDS: u32 = 45;
const LEAST_REQUESTS: u32 = 900;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "measure what is shipped: cargo bench --bench compare");
    if let Some(serve) = arguments.serve {
        return plain::serve(serve);
    }
    load::process::ship(&arguments.server)?;
    pin_generator()?;
    // One thread: the generator has one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = compare(&arguments) => done,
            end = unwanted() => end,
        }
    })
}

async fn compare(arguments: &Arguments) -> Result<()> {
    // First of all: memory that was used and given back before would be taken again.
    let used_id = if arguments.rounds_only { None } else { Some(special::used_id()?) };
    let rounds = rounds::run(arguments).await?;
    let mut special = special::Special::default();
    if !arguments.rounds_only {
        special = special::run(arguments).await?;
    }
    special.used_id = used_id;
    let report = Report::new(arguments, &rounds, &special)?;
    println!("\n{report}");
    if arguments.write || (arguments.rounds >= LEAST_ROUNDS && arguments.requests >= LEAST_REQUESTS) {
        report.write()?;
    } else {
        println!("\nA trial: docs/performance.md and docs/images/compare.svg are left as they are.");
    }
    Ok(())
}
