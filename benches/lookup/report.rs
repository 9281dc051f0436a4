//! The figures of each run, side by side.

use std::time::Duration;

use crate::load::primitives::Primitives;
use crate::load::scene::Leaves;
use crate::load::window::{Checked, Window};
use crate::{Arguments, Kind};

pub struct Measured {
    kind: Kind,
    pub primitives: Vec<Primitives>,
    /// Of all windows together; what happens between windows is not measured.
    pub wall: Duration,
    pub server_cpu: Duration,
    pub generator_cpu: Duration,
    pub rss_start_kib: u64,
    pub rss_end_kib: u64,
    pub rss_peak_kib: u64,
    pub checked: Checked,
    pub leaves: Leaves,
    latencies: Vec<u32>,
    request_bytes: u64,
    answer_bytes: u64,
}

impl Measured {
    pub fn new(kind: Kind, primitives: Primitives) -> Self {
        Self {
            kind,
            primitives: vec![primitives],
            wall: Duration::ZERO,
            server_cpu: Duration::ZERO,
            generator_cpu: Duration::ZERO,
            rss_start_kib: 0,
            rss_end_kib: 0,
            rss_peak_kib: 0,
            checked: Checked::default(),
            leaves: Leaves::default(),
            latencies: Vec::new(),
            request_bytes: 0,
            answer_bytes: 0,
        }
    }

    pub fn add(&mut self, window: Window) {
        self.latencies.extend(window.latencies);
        self.request_bytes += window.request_bytes;
        self.answer_bytes += window.answer_bytes;
    }

    pub fn answers(&self) -> u64 {
        self.latencies.len() as u64
    }

    fn per_answer(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.answers() as f64
    }

    /// The mean of U before and after the run.
    fn u(&self) -> f64 {
        self.mean(Primitives::sum)
    }

    fn mean(&self, of: impl Fn(&Primitives) -> f64) -> f64 {
        self.primitives.iter().map(of).sum::<f64>() / self.primitives.len() as f64
    }
}

/// Microseconds that `share` of all answers did not exceed.
fn percentile(sorted: &[u32], share: f64) -> u32 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

pub fn print(arguments: &Arguments, runs: &[Measured]) {
    let row = |name: &str, cell: &dyn Fn(&Measured) -> String| {
        let cells: Vec<String> = runs.iter().map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    println!();
    row(&format!("{:?}, {} in flight", arguments.protocol, arguments.connections), &|m| {
        let sealed = if m.kind.is_sealed() { ", evidence" } else { "" };
        format!("{} use(s) a token, log {}{sealed}", m.kind.uses(arguments), m.kind.log_level())
    });
    println!("|---|{}", "---|".repeat(runs.len()));
    row("lookups", &|m| m.answers().to_string());
    row("lookups/s", &|m| format!("{:.0}", m.answers() as f64 / m.wall.as_secs_f64()));
    for (name, share) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999)] {
        row(name, &|m| {
            let mut sorted = m.latencies.clone();
            sorted.sort_unstable();
            format!("{:.2}", f64::from(percentile(&sorted, share)) / 1000.0)
        });
    }
    row("server CPU µs/lookup", &|m| format!("{:.1}", m.per_answer(m.server_cpu)));
    row("generator CPU µs/lookup", &|m| format!("{:.1}", m.per_answer(m.generator_cpu)));
    row("server CPU, cores", &|m| format!("{:.2}", m.server_cpu.as_secs_f64() / m.wall.as_secs_f64()));
    row("U µs (verify + sign + SHA-256 + records)", &|m| {
        format!(
            "{:.1} ({:.1} + {:.1} + {:.1} + {:.1})",
            m.u(),
            m.mean(|p| p.verify),
            m.mean(|p| p.sign),
            m.mean(|p| p.sha256),
            m.mean(|p| p.records)
        )
    });
    row("server CPU ÷ U (1-use tokens: ÷ (U + 1 verify))", &|m| {
        let more = if m.kind == Kind::Once { m.mean(|p| p.verify) } else { 0.0 };
        format!("{:.2}", m.per_answer(m.server_cpu) / (m.u() + more))
    });
    row("RSS MiB: warm, after the run, peak", &|m| {
        format!("{}, {}, {}", mib(m.rss_start_kib), mib(m.rss_end_kib), mib(m.rss_peak_kib))
    });
    row("request, answer, leaf: mean bytes", &|m| {
        let mean = |bytes: u64, of: u64| bytes / of.max(1);
        format!(
            "{}, {}, {}",
            mean(m.request_bytes, m.answers()),
            mean(m.answer_bytes, m.answers()),
            mean(m.leaves.bytes, m.leaves.answers + m.leaves.own)
        )
    });
    row("ledger leaves: answers (with warm-up) + own", &|m| {
        format!("{} + {}", m.leaves.answers, m.leaves.own)
    });
    row("answers checked whole, from the cache", &|m| {
        format!(
            "{}, {:.0} %",
            m.checked.samples,
            100.0 * m.checked.from_cache as f64 / m.checked.samples as f64
        )
    });
    let rates = |sealed: bool| {
        let mut rates: Vec<f64> = runs
            .iter()
            .filter(|m| matches!(m.kind, Kind::Warn | Kind::Evidence) && m.kind.is_sealed() == sealed)
            .map(|m| m.answers() as f64 / m.wall.as_secs_f64())
            .collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    };
    if let (Some(with), Some(without)) = (rates(true), rates(false)) {
        println!("\nlookups/s with evidence and index ÷ without (medians): {:.3}", with / without);
    }
}
