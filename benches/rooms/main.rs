//! What each room of the corridor costs by itself: CPU time of one thread, the rooms measured by
//! turns, the median of the rounds.
//!
//! A gateway is built in this process, as `serve` builds it, and its own rooms are asked with real
//! requests of a partner. Rooms that work on threads of their own (the ledger) are measured by the
//! CPU time of the whole process.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use what this one does not")]
mod load;
mod recording;
mod rooms;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use load::machine;
use load::spread::Spread;

#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, default_value_t = LEAST_ROUNDS, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// CPU milliseconds of one room in one round.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(5..=1000))]
    ms: u64,
    /// Exchanges of one round of recording.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    exchanges: u32,
    /// Write the table into docs/ even if this was fewer rounds than the method has.
    #[arg(long)]
    write: bool,
}

const LEAST_ROUNDS: u32 = 5;

/// One row: its name and its rounds, CPU microseconds.
type Row = (&'static str, Vec<f64>);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "measure what is shipped: cargo bench --bench rooms");
    let mut rows = rooms::measure(arguments.rounds, Duration::from_millis(arguments.ms))?;
    rows.extend(recording::measure(arguments.rounds, arguments.exchanges)?);
    let mut text = format!(
        "Measured {}, {} rounds, by `cargo bench --bench rooms`. Machine: {}.\n\n\
         | room 房间 | CPU µs, median (least–most) |\n|---|---|\n",
        machine::when(),
        arguments.rounds,
        machine::machine(),
    );
    for (name, rounds) in rows {
        if let Some(Spread { median, least, most }) = Spread::of(rounds) {
            text.push_str(&format!("| {name} | {median:.2} ({least:.2}–{most:.2}) |\n"));
        }
    }
    println!("\n{text}");
    if arguments.write || arguments.rounds >= LEAST_ROUNDS {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
        load::document::put(&document, "rooms", &text)?;
    }
    Ok(())
}
