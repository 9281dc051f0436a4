//! What a lookup costs in a large house and in a small one: partners, agreements, licenses,
//! leaves, connections, cores; and how long the house takes to open.
//!
//! Two real gateways stand side by side, alike but for one thing of which one has little and the
//! other much. They are visited by turns with the same requests, server and generator on a core
//! each; the median of the turns' ratios is the figure. Guards as in `compare`: every answer 200,
//! sampled answers checked whole, the small gateway's ledger grown by exactly the answers.
//!
//! Bounded in count and time; loopback only; everything but the figures is gone at the end.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

mod connections;
mod gateway;
#[path = "../load/mod.rs"]
#[expect(dead_code, reason = "other benchmarks use what this one does not")]
mod load;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::{Parser, ValueEnum};

use gateway::{Gateway, House, grouped};
use load::inside;
use load::many::Log;
use load::process::{GENERATOR_CORE, SERVER_CORE, pin_generator, unwanted};
use load::scene::Scene;
use table::{Line, Table};

/// A lookup among many of everything.
#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// How often the two are visited.
    #[arg(long, default_value_t = LEAST_ROUNDS, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// After so many minutes of the whole, two turns are enough.
    #[arg(long, default_value_t = 7)]
    minutes: u64,
    /// Requests of one visit.
    #[arg(long, default_value_t = LEAST_REQUESTS, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    requests: u32,
    /// Partners of the large house: there are some 3 220 regions to be one.
    #[arg(long, default_value_t = 3_200)]
    partners: usize,
    #[arg(long, default_value_t = 5_000)]
    agreements: usize,
    #[arg(long, default_value_t = 1_000_000)]
    licenses: u32,
    #[arg(long, default_value_t = 1_000_000)]
    leaves: u64,
    /// Idle connections beside those that ask.
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// Which.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Axis::ALL)]
    axes: Vec<Axis>,
    /// Write the table into docs/ even if this was less than the whole.
    #[arg(long)]
    write: bool,
    /// Measure another build of the program.
    #[arg(long, default_value = load::process::SHIPPED)]
    server: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Axis {
    Partners,
    Agreements,
    Licenses,
    Leaves,
    Connections,
    Cores,
    /// All of it in one house, and its start.
    All,
}

impl Axis {
    const ALL: [Self; 7] = [
        Self::Partners,
        Self::Agreements,
        Self::Licenses,
        Self::Leaves,
        Self::Connections,
        Self::Cores,
        Self::All,
    ];
}

const LEAST_ROUNDS: u32 = 5;
const LEAST_REQUESTS: u32 = 8_000;
/// The small house.
const FEW: House = House { partners: 10, asking: 0, agreements: 10, licenses: 1_000, leaves: 1_000 };
/// Partners that ask, where it is about partners.
const ASKING: usize = 32;
/// Requests of a turn on one core and on two.
const INSIDE: u32 = 12_000;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!cfg!(debug_assertions), "measure what is shipped: cargo bench --bench scale");
    load::process::ship(&arguments.server)?;
    pin_generator()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (begun, mut table) = (Instant::now(), Table::default());
    runtime.block_on(async {
        tokio::select! {
            done = measure(&arguments, &mut table, begun) => done,
            end = unwanted() => end,
        }
    })?;
    let whole = arguments.rounds >= LEAST_ROUNDS
        && arguments.requests >= LEAST_REQUESTS
        && arguments.axes == Axis::ALL;
    let text = table.told(arguments.rounds, arguments.requests);
    println!("\n{text}\n({:.0} s)", begun.elapsed().as_secs_f64());
    if arguments.write || whole {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
        load::document::put(&document, "scale", &text)?;
    } else {
        println!("A trial: docs/performance.md is left as it is.");
    }
    Ok(())
}

async fn measure(arguments: &Arguments, table: &mut Table, begun: Instant) -> Result<()> {
    let arguments = &Timed { arguments, begun };
    for axis in &arguments.axes {
        match axis {
            Axis::Partners => {
                let many = House { partners: arguments.partners, asking: ASKING, ..FEW };
                compare(arguments, table, "partners 伙伴", House { asking: 10, ..FEW }, many).await?;
            }
            Axis::Agreements => {
                let many = House { agreements: arguments.agreements, ..FEW };
                compare(arguments, table, "agreements 协议", FEW, many).await?;
            }
            Axis::Licenses => {
                let many = House { licenses: arguments.licenses, ..FEW };
                compare(arguments, table, "licenses 证照", FEW, many).await?;
            }
            Axis::Leaves => {
                let many = House { leaves: arguments.leaves, ..FEW };
                compare(arguments, table, "leaves in the log 日志条目", FEW, many).await?;
                // Outside of this runtime: a log has one of its own.
                let recorded = std::thread::scope(|scope| scope.spawn(|| recording(arguments)).join());
                table.add(recorded.map_err(|_| anyhow!("recording panicked"))??);
            }
            Axis::Connections => connections::measure(arguments, table).await?,
            Axis::Cores => cores(arguments, table)?,
            Axis::All => {
                let all = House {
                    partners: arguments.partners,
                    agreements: arguments.agreements,
                    licenses: arguments.licenses,
                    leaves: arguments.leaves,
                    ..FEW
                };
                compare(arguments, table, "all of these 以上全部", FEW, all).await?;
            }
        }
    }
    Ok(())
}

/// The arguments, and since when.
struct Timed<'a> {
    arguments: &'a Arguments,
    begun: Instant,
}

impl Timed<'_> {
    fn is_late(&self) -> bool {
        self.begun.elapsed() > Duration::from_secs(60 * self.arguments.minutes)
    }
}

impl std::ops::Deref for Timed<'_> {
    type Target = Arguments;

    fn deref(&self) -> &Arguments {
        self.arguments
    }
}

/// Two houses by turns.
async fn compare(
    arguments: &Timed<'_>,
    table: &mut Table,
    what: &'static str,
    few: House,
    many: House,
) -> Result<()> {
    println!("{:>4} s, {what}: building", arguments.begun.elapsed().as_secs());
    let mut small = Gateway::open(arguments, few).await?;
    let mut large = Gateway::open(arguments, many).await?;
    let mut turns = Vec::new();
    for gateway in [&mut small, &mut large] {
        gateway.visit(arguments.requests / 4).await?;
    }
    for round in 0..arguments.rounds {
        if turns.len() >= 2 && arguments.is_late() {
            break;
        }
        let turn = if round % 2 == 0 {
            let one = small.visit(arguments.requests).await?;
            (one, large.visit(arguments.requests).await?)
        } else {
            let many = large.visit(arguments.requests).await?;
            (small.visit(arguments.requests).await?, many)
        };
        println!("{what}: turn {} of {}: {:.1} and {:.1} µs", round + 1, arguments.rounds, turn.0, turn.1);
        turns.push(turn);
    }
    let (from, to) = (few.of(&many), many.of(&few));
    table.add(Line {
        what: format!("CPU µs a lookup: {what} 每次查询"),
        from: from.clone(),
        to: to.clone(),
        turns,
        places: 1,
    });
    let start = (small.started.as_secs_f64() * 1e3, large.started.as_secs_f64() * 1e3);
    let memory = (small.resident_mib()?, large.resident_mib()?);
    let line =
        |what: String, turn| Line { what, from: from.clone(), to: to.clone(), turns: vec![turn], places: 0 };
    table.add(line(format!("ms from start to open door: {what} 启动"), start));
    table.add(line(format!("MiB resident after it: {what} 内存"), memory));
    small.close().await?;
    large.close().await
}

/// What it costs to record a leaf, its index and checkpoint included, behind few leaves and many.
fn recording(arguments: &Timed<'_>) -> Result<Line> {
    const AT_ONCE: u64 = 10_000;
    let (few, many) = (Scene::set(FEW.licenses)?, Scene::set(FEW.licenses)?);
    few.add_leaves(FEW.leaves)?;
    many.add_leaves(arguments.leaves)?;
    let (mut few, mut many) = (Log::open(&few)?, Log::open(&many)?);
    let mut turns = Vec::new();
    for round in 0..arguments.rounds {
        println!("recording: turn {} of {}", round + 1, arguments.rounds);
        let each = |log: &mut Log| Ok::<_, anyhow::Error>(log.add(AT_ONCE)?.as_secs_f64() * 1e6);
        turns.push(if round % 2 == 0 {
            let one = each(&mut few)?;
            (one, each(&mut many)?)
        } else {
            let other = each(&mut many)?;
            (each(&mut few)?, other)
        });
    }
    let what = "CPU µs to record a leaf (P11) 记录一条".to_owned();
    Ok(Line { what, from: grouped(FEW.leaves), to: grouped(arguments.leaves), turns, places: 1 })
}

/// One worker and two, without sockets.
fn cores(arguments: &Arguments, table: &mut Table) -> Result<()> {
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds.min(3) {
        println!("cores {SERVER_CORE} and {SERVER_CORE},{GENERATOR_CORE}: turn {}", round + 1);
        // As many in flight for each.
        let on = |workers| inside::on_cores(workers, workers * inside::IN_FLIGHT, INSIDE);
        let (one, two) = (on(1)?, on(2)?);
        rates.push((one.rate, two.rate));
        costs.push((one.cpu, two.cpu));
    }
    let line = |what: &str, turns, places| Line {
        what: what.to_owned(),
        from: "1 core".to_owned(),
        to: "2 cores".to_owned(),
        turns,
        places,
    };
    table.add(line("lookups/s without sockets 每秒查询", rates, 0));
    table.add(line("CPU µs a lookup without sockets 每次查询", costs, 1));
    Ok(())
}
