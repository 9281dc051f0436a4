//! The tables, and where they are written.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::Arguments;
use crate::contender::Kind;
use crate::load::spread::Spread;
use crate::load::{self, machine};
use crate::plot;
use crate::ratios::{self, Measured, Row};
use crate::rounds::Rounds;
use crate::special::Special;
use crate::versions;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MARK: &str = "compare";

/// Everything that is told of a run.
pub struct Report {
    text: String,
    plot: String,
}

impl Report {
    pub fn new(arguments: &Arguments, rounds: &Rounds, special: &Special) -> Result<Self> {
        let mut text = String::new();
        let (when, machine) = (machine::when(), machine::machine());
        writeln!(
            text,
            "Measured {when}, {} rounds of {} requests, {} in flight, by `cargo bench --bench compare`. Machine: {machine}.\n",
            rounds.made, arguments.requests, arguments.connections
        )?;
        writeln!(text, "![CPU time for one request, by server](images/compare.svg)\n")?;
        let before = RunBefore::read()?;
        ratio_table(&mut text, &ratios::rows(rounds, special), &before)?;
        writeln!(text, "The run before 上次: {}\n", before.told)?;
        server_table(&mut text, rounds)?;
        if let Some((handshake, u)) = special.handshake {
            writeln!(
                text,
                "A full handshake with both certificates costs the gateway {handshake:.0} µs, {:.1} U. \
                 Every one is full: partners keep their connections.",
                handshake / u
            )?;
        }
        if let Some(disk) = special.slow_disk {
            writeln!(
                text,
                "With flushes 2 ms slower: {:.0} lookups/s with 32 in flight, {:.0} with one.",
                disk.together, disk.lone
            )?;
        }
        if let Some(shared) = Spread::of(special.cores.iter().map(|cores| cores.shared)) {
            writeln!(
                text,
                "P9 and P10 have 32 exchanges in flight for each core; two cores that share 32 answer {shared} times as many as one."
            )?;
        }
        for (kind, why) in &rounds.left_out {
            writeln!(text, "Left out: {}: {why}.", kind.name())?;
        }
        writeln!(text, "\nVersions: {}.", versions::of_all(&arguments.peers))?;
        Ok(Self { text, plot: plot::bars(rounds, &when, &machine) })
    }

    /// Into docs/, between the marks.
    pub fn write(&self) -> Result<()> {
        load::document::put(&Path::new(ROOT).join("docs/performance.md"), MARK, &self.text)?;
        let images = Path::new(ROOT).join("docs/images");
        fs::create_dir_all(&images)?;
        fs::write(images.join("compare.svg"), &self.plot).context("docs/images")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The run whose tables stand in the document: does the same command say the same again?
struct RunBefore {
    /// When it was, and of what.
    told: String,
    /// The medians by the ratio's number.
    figures: BTreeMap<String, f64>,
}

impl RunBefore {
    fn read() -> Result<Self> {
        let text = load::document::between(&Path::new(ROOT).join("docs/performance.md"), MARK)?;
        let figures = text.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (number, measured) = (cells.next()?, cells.nth(1)?);
            Some((number.to_owned(), measured.split(' ').next()?.parse().ok()?))
        });
        let told = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self { told, figures: figures.collect() })
    }

    /// Its figure, and by how much this one differs from it.
    fn beside(&self, row: &Row) -> String {
        let (Measured::Is(now) | Measured::NotJudged(now, _)) = &row.measured else {
            return "–".to_owned();
        };
        let Some(before) = self.figures.get(row.number) else { return "–".to_owned() };
        format!("{before}, {:+.0} %", (now.median / before - 1.0) * 100.0)
    }
}

fn ratio_table(text: &mut String, rows: &[Row], before: &RunBefore) -> fmt::Result {
    writeln!(
        text,
        "| | ratio 比值 | measured 实测 (least–most) | must | aim | | the run before, and since 上次 |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for row in rows {
        let measured = match &row.measured {
            Measured::Is(spread) | Measured::NotJudged(spread, _) => spread.to_string(),
            Measured::Not(why) => why.clone(),
        };
        writeln!(
            text,
            "| {} | {} | {measured} | {} | {} | {} |",
            row.number,
            row.what,
            row.bar,
            row.verdict(),
            before.beside(row)
        )?;
    }
    writeln!(text)
}

fn server_table(text: &mut String, rounds: &Rounds) -> fmt::Result {
    writeln!(
        text,
        "| server | for one request | CPU µs | ÷ U | requests/s, one core | generator's CPU | resident MiB |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for (kind, visits) in &rounds.visits {
        let middle = |of: fn(&crate::rounds::Visit) -> f64| {
            Spread::of(visits.iter().map(of)).map_or(f64::NAN, |spread| spread.median)
        };
        let cpu = Spread::of(visits.iter().map(|visit| visit.server));
        let memory = rounds.memory.get(kind).map(|memory| (memory.now_kib / 1024).to_string());
        writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.0} | {:.0} % | {} |",
            kind.name(),
            kind.work(),
            cpu.map_or_else(String::new, |cpu| format!(
                "{:.1} ({:.1}–{:.1})",
                cpu.median, cpu.least, cpu.most
            )),
            middle(|visit| visit.server / visit.primitives.sum()),
            middle(|visit| visit.rate),
            ratios::generator_share(visits) * 100.0,
            memory.unwrap_or_default(),
        )?;
    }
    let all = || rounds.visits.get(&Kind::Gateway).into_iter().flatten().map(|visit| visit.primitives);
    let middle = |of: fn(&load::primitives::Primitives) -> f64| {
        Spread::of(all().map(|look| of(&look))).map_or(f64::NAN, |spread| spread.median)
    };
    writeln!(
        text,
        "| U | one P-256 verification, one signature, SHA-256 of 2 KiB, a TLS record opened and one sealed \
         | {:.1} ({:.1} + {:.1} + {:.1} + {:.1}) | 1 | | | |\n",
        middle(load::primitives::Primitives::sum),
        middle(|p| p.verify),
        middle(|p| p.sign),
        middle(|p| p.sha256),
        middle(|p| p.records),
    )
}
