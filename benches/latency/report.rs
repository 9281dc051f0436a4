//! The tables.

use std::collections::BTreeMap;

use crate::beside::Asked;
use crate::crowd::Class;
use crate::drive::{Tally, Told, quantile, sorted};
use crate::load::process::Memory;

type Metrics = BTreeMap<String, f64>;

/// One open loop.
pub struct Row {
    pub name: String,
    pub p99: f64,
    pub lag_p99: f64,
    rate: f64,
    p50: f64,
    p999: f64,
    shed: u64,
    /// Milliseconds inside the gateway, and of them waiting for the durable record.
    inside: f64,
    record: f64,
}

impl Row {
    pub fn new(name: String, told: &Told, before: &Metrics, after: &Metrics) -> Self {
        let latencies = told.latencies();
        let mean = |phase: &str| {
            let grown = |of: &str| {
                let name = format!("tongban_phase_seconds_{of}{{phase=\"{phase}\"}}");
                let read = |metrics: &Metrics| metrics.get(&name).copied().unwrap_or_default();
                read(after) - read(before)
            };
            grown("sum") * 1e3 / grown("count").max(1.0)
        };
        Self {
            name,
            rate: told.served_a_second(),
            p50: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
            p999: quantile(&latencies, 0.999),
            lag_p99: quantile(&sorted(told.lag.iter().copied()), 0.99),
            shed: told.shed(),
            inside: mean("total"),
            record: mean("record"),
        }
    }
}

pub fn latencies(rows: &[Row]) {
    println!(
        "| load | lookups/s | p50 ms | p99 ms | p99.9 ms | mean inside the gateway ms | of it the durable record ms | refused | generator late p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.2} |",
            row.name, row.rate, row.p50, row.p99, row.p999, row.inside, row.record, row.shed, row.lag_p99
        );
    }
}

/// More than could be done.
pub struct Overload<'a> {
    pub name: &'a str,
    /// Answers a second.
    pub capacity: f64,
    pub times: f64,
    pub told: &'a Told,
    pub health: &'a Asked,
    pub log: &'a Asked,
    pub memory: Memory,
    pub peak: Memory,
    /// Of its core, each.
    pub generator: f64,
    pub server: f64,
}

/// Of all that a class brought, what was accepted.
pub fn accepted(class: &Tally) -> f64 {
    class.served.len() as f64 / (class.served.len() + class.shed.len()).max(1) as f64
}

pub fn overload(overload: &Overload, before: &Metrics, after: &Metrics) {
    let told = overload.told;
    println!(
        "### {}: {:.1} × {:.0}/s for {:.0} s",
        overload.name,
        overload.times,
        overload.capacity,
        told.took.as_secs_f64()
    );
    println!(
        "\n| class | offered/s | accepted | p50 ms | p99 ms | p99.9 ms | refusal p50 / p99 ms | refused, as the gateway counts |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let seconds = told.took.as_secs_f64();
    for (class, tally) in Class::ALL.into_iter().zip(&told.classes) {
        let (served, shed) = (sorted(tally.served.iter().copied()), sorted(tally.shed.iter().copied()));
        let name = format!("tongban_shed_total{{class=\"{}\"}}", class.word());
        let counted = |metrics: &Metrics| metrics.get(&name).copied().unwrap_or_default();
        println!(
            "| {} | {:.0} | {:.1} % | {:.1} | {:.1} | {:.1} | {:.1} / {:.1} | {:.0} |",
            class.word(),
            (served.len() + shed.len()) as f64 / seconds,
            accepted(tally) * 100.0,
            quantile(&served, 0.5),
            quantile(&served, 0.99),
            quantile(&served, 0.999),
            quantile(&shed, 0.5),
            quantile(&shed, 0.99),
            counted(after) - counted(before),
        );
    }
    let all = told.latencies();
    println!(
        "\nGoodput: {:.0}/s, **{:.2} of capacity**; p99 of what was accepted {:.0} ms.",
        told.served_a_second(),
        told.served_a_second() / overload.capacity,
        quantile(&all, 0.99)
    );
    println!("Memory: {} before, {} after.", overload.memory, overload.peak);
    for (what, asked) in [("/healthz", overload.health), ("the checkpoint", overload.log)] {
        println!(
            "{what}: asked {} times, failed {}, p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms.",
            asked.took.len(),
            asked.failed,
            quantile(&asked.took, 0.5),
            quantile(&asked.took, 0.99),
            quantile(&asked.took, 1.0)
        );
    }
    println!(
        "Server: {:.2} of its core. Generator: {:.2} of its own, late p99 {:.1} ms (longest {:.1}), {} unsent.",
        overload.server,
        overload.generator,
        quantile(&sorted(told.lag.iter().copied()), 0.99),
        quantile(&sorted(told.lag.iter().copied()), 1.0),
        told.unsent
    );
}
