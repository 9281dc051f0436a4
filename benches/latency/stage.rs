//! The parts of the measurement, each on a fresh gateway that is checked at its end.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::beside::{self, Own, Slow};
use crate::crowd::{Class, Crowd, Dice, Mix};
use crate::drive::{Doors, Told, check, closed_loop, open_loop, quantile};
use crate::load::line::{Line, Protocol};
use crate::load::process::{Launch, SERVER_CORE, Server, own_cpu};
use crate::report::{self, Overload, Row};
use crate::{Arguments, Part};

const LOOKUPS: Mix = [1_000, 0, 0, 0];
/// What a flood of lookups is like: everything else goes on. Little of it: a submit costs several
/// lookups and is preferred, so that more would make goodput a question of what is counted.
const FLOOD: Mix = [980, 10, 5, 5];
/// Each class brings more than its share of what can be done.
const ALIKE: Mix = [250, 250, 250, 250];

/// In flight where capacity is measured, of each partner: enough for large commits.
const CLOSED: u16 = 8;
/// In flight for each partner in an open loop: what its connections may be (64 a partner), or streams.
const OPEN: u16 = 60;
const OPEN_STREAMS: u16 = 120;
/// Longest measurement of capacity.
const CAPACITY: Duration = Duration::from_secs(6);
const WARM_UP: usize = 3_000;
/// What a mix with nothing but events would cost, above lookups, in lookups.
const CASE_COST: f64 = 4.0;
/// A warm gateway may be so much faster than one that warms up.
const FASTER: f64 = 1.7;

/// The promises (issue 6; reference of security, P8).
const LEAST_GOODPUT: f64 = 0.80;
const MOST_P99_MS: f64 = 1_000.0;
const MOST_PEAK_MIB: f64 = 256.0;
const HEALTH_WITHIN_MS: f64 = 500.0;
/// Of the generator's own lateness: above it the figures would be its own.
const MOST_LAG_MS: f64 = 50.0;
/// In overload: of its core, and of the messages that found no connection to the end.
const MOST_GENERATOR: f64 = 0.95;
const MOST_UNSENT: f64 = 0.05;
/// What slow partners may add to the p99 of the others: what two equal runs differ by.
const MOST_ADDED: f64 = 1.5;
const MOST_ADDED_MS: f64 = 3.0;

/// A running gateway with its partners.
pub struct Stage {
    crowd: Crowd,
    server: Server,
    protocol: Protocol,
    own: Own,
    dice: Dice,
    /// Lookups a second while it warmed up: how many messages a measurement needs.
    pace: f64,
    /// Signed answers so far, and the last index that one of them named.
    answers: u64,
    last: u64,
}

pub async fn run(part: Part, arguments: &Arguments) -> Result<Vec<String>> {
    let mut stage = Stage::set(arguments, part == Part::Evidence).await?;
    let seconds = arguments.seconds;
    let broken = match part {
        Part::Latency | Part::Evidence => stage.latencies(part, seconds).await?,
        Part::Slow => stage.slow(seconds).await?,
        Part::Overload => stage.overload(seconds * 2, arguments.times).await?,
    };
    stage.end(part == Part::Evidence).await?;
    Ok(broken)
}

impl Stage {
    async fn set(arguments: &Arguments, sealed: bool) -> Result<Self> {
        let crowd = Crowd::gather(arguments.licenses)?;
        if sealed {
            crowd.scene.add_auditor()?;
        }
        let launch = Launch::gateway(&arguments.server, &crowd.scene.home, crowd.scene.addr);
        let server = launch.on(SERVER_CORE).start().await?;
        let own = Own::of(&crowd)?;
        let mut stage = Self {
            crowd,
            server,
            protocol: arguments.protocol,
            own,
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            pace: 0.0,
            answers: 0,
            last: 0,
        };
        let warm = stage.crowd.messages(WARM_UP, LOOKUPS)?;
        stage.pace = stage.closed(warm, Duration::from_secs(30)).await?.served_a_second();
        Ok(stage)
    }

    async fn closed(
        &mut self,
        messages: std::collections::VecDeque<crate::crowd::Message>,
        most: Duration,
    ) -> Result<Told> {
        let doors = Doors::open(&self.crowd, self.protocol, CLOSED).await?;
        let told = closed_loop(doors, messages, most).await?;
        self.took(told)
    }

    async fn open(&mut self, mix: Mix, rate: f64, seconds: u32) -> Result<Told> {
        let messages = self.crowd.messages((rate * f64::from(seconds)) as usize, mix)?;
        let doors = self.doors().await?;
        let told = open_loop(doors, messages, rate, &mut self.dice).await?;
        self.took(told)
    }

    /// Connections for an open loop, fresh: the gateway closes those that were idle meanwhile.
    async fn doors(&self) -> Result<Doors> {
        let each = if self.protocol == Protocol::H1 { OPEN } else { OPEN_STREAMS };
        Doors::open(&self.crowd, self.protocol, each).await
    }

    /// Checks the samples of what was told and counts it.
    fn took(&mut self, told: Told) -> Result<Told> {
        self.answers += told.served();
        self.last = self.last.max(check(&told, &self.crowd)?);
        Ok(told)
    }

    /// Answers a second of a closed loop.
    async fn capacity(&mut self, mix: Mix, name: &str, cost: f64) -> Result<f64> {
        let messages = self.crowd.messages(self.enough(cost), mix)?;
        let (server, own) = (self.server.cpu()?, own_cpu()?);
        let told = self.closed(messages, CAPACITY).await?;
        ensure!(told.shed() == 0, "void: a closed loop of {CLOSED} a partner was refused");
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / told.served() as f64;
        let latencies = told.latencies();
        println!(
            "\nCapacity ({name}): **{:.0}/s** in a closed loop, {} in flight; p50 {:.1} ms, p99 {:.1} ms; server {:.0} µs CPU each, generator {:.0} µs.\n",
            told.served_a_second(),
            usize::from(CLOSED) * self.crowd.partners.len(),
            quantile(&latencies, 0.5),
            quantile(&latencies, 0.99),
            each(self.server.cpu()? - server),
            each(own_cpu()? - own),
        );
        Ok(told.served_a_second())
    }

    async fn latencies(&mut self, part: Part, seconds: u32) -> Result<Vec<String>> {
        println!("\n## Latency{}", if part == Part::Evidence { ", with sealed evidence" } else { "" });
        let capacity = self.capacity(LOOKUPS, "lookups", 1.0).await?;
        let (mut rows, mut broken) = (Vec::new(), Vec::new());
        for share in [0.25, 0.5, 0.8] {
            let before = self.own.metrics().await?;
            let told = self.open(LOOKUPS, capacity * share, seconds).await?;
            let after = self.own.metrics().await?;
            let row = Row::new(format!("{:.0} %", share * 100.0), &told, &before, &after);
            if row.lag_p99 > MOST_LAG_MS {
                broken.push(format!("void: the generator was late ({} ms) at {}", row.lag_p99, row.name));
            }
            rows.push(row);
        }
        report::latencies(&rows);
        Ok(broken)
    }

    async fn slow(&mut self, seconds: u32) -> Result<Vec<String>> {
        println!("\n## Slow partners beside");
        let capacity = self.capacity(LOOKUPS, "lookups", 1.0).await?;
        let (mut rows, mut broken) = (Vec::new(), Vec::new());
        // Alternating: what differs between two equal runs is seen too.
        for with in [false, true, false, true] {
            let slow = if with { Some(Slow::begin(&self.crowd, &self.own).await?) } else { None };
            // What it takes to become slow is not what it costs to be slow.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = self.own.metrics().await?;
            let told = self.open(LOOKUPS, capacity * 0.5, seconds.div_ceil(2)).await?;
            let after = self.own.metrics().await?;
            drop(slow);
            rows.push(Row::new(if with { "with" } else { "without" }.into(), &told, &before, &after));
        }
        report::latencies(&rows);
        let least = |name: &str| {
            rows.iter().filter(|row| row.name == name).map(|row| row.p99).fold(f64::MAX, f64::min)
        };
        let (without, with) = (least("without"), least("with"));
        println!(
            "\np99 of the others, the better of two: {without:.2} ms without, {with:.2} ms with slow partners."
        );
        if with > without * MOST_ADDED && with > without + MOST_ADDED_MS {
            broken.push(format!("slow partners added {:.1} ms to the p99 of the others", with - without));
        }
        Ok(broken)
    }

    async fn overload(&mut self, seconds: u32, times: f64) -> Result<Vec<String>> {
        println!("\n## Overload: {times} × capacity");
        let mut broken = Vec::new();
        for (name, mix, seconds) in
            [("a flood of lookups", FLOOD, seconds), ("all classes alike", ALIKE, seconds / 3)]
        {
            broken.extend(self.overload_of(name, mix, seconds, times).await?);
        }
        Ok(broken)
    }

    async fn overload_of(&mut self, name: &str, mix: Mix, seconds: u32, times: f64) -> Result<Vec<String>> {
        // A submit or an event costs several lookups. Every event carries on a case that is there:
        // they are opened first.
        let receipts = f64::from(mix[3]) / 1e3;
        let cost = 1.0 + receipts * CASE_COST;
        let (closed, opened) = (self.enough(cost), self.pace * FASTER / cost * times * f64::from(seconds));
        let cases = (closed as f64 + opened) * receipts * 1.1 / self.crowd.partners.len() as f64;
        let opening = self.crowd.opening(cases as usize + 50)?;
        self.closed(opening, Duration::from_secs(60)).await?;
        let capacity = self.capacity(mix, name, cost).await?;
        let memory = self.server.memory()?;

        let messages = self.crowd.messages((capacity * times * f64::from(seconds)) as usize, mix)?;
        let doors = self.doors().await?;
        let (health, log) = (self.own.watch_health().await?, beside::watch_log(&self.crowd).await?);
        let (before, own, served) = (self.own.metrics().await?, own_cpu()?, self.server.cpu()?);
        let told = open_loop(doors, messages, capacity * times, &mut self.dice).await?;
        let generator = (own_cpu()? - own).as_secs_f64() / told.took.as_secs_f64();
        let server = (self.server.cpu()? - served).as_secs_f64() / told.took.as_secs_f64();
        let after = self.own.metrics().await?;
        let (health, log) = (health.end().await?, log.end().await?);
        let told = self.took(told)?;
        let peak = self.server.memory()?;

        let overload = Overload {
            name,
            capacity,
            times,
            told: &told,
            health: &health,
            log: &log,
            memory,
            peak,
            generator,
            server,
        };
        report::overload(&overload, &before, &after);
        Ok(broken_by(&overload))
    }

    /// Messages for a measurement of capacity, where one costs so many lookups.
    fn enough(&self, cost: f64) -> usize {
        (self.pace * FASTER * CAPACITY.as_secs_f64() / cost) as usize
    }

    /// The ledger says the same as the answers.
    async fn end(self, sealed: bool) -> Result<()> {
        let line = Line::new(&self.crowd.scene.tls, self.crowd.scene.addr, Protocol::H1, 1)?;
        let signed = line.checkpoint_over(&self.crowd.scene, self.last).await?;
        self.server.stop()?;
        let leaves = self.crowd.scene.leaves(&signed)?;
        ensure!(
            leaves.answers == self.answers,
            "void: {} answers, but {} leaves of answers",
            self.answers,
            leaves.answers
        );
        ensure!(
            !sealed || leaves.sealed == self.answers,
            "void: evidence of {} of {}",
            leaves.sealed,
            self.answers
        );
        println!(
            "\nLedger: {} leaves of answers, as many as were signed, under the signed checkpoint.",
            leaves.answers
        );
        Ok(())
    }
}

fn broken_by(overload: &Overload) -> Vec<String> {
    let Overload { name, told, .. } = overload;
    let mut broken = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            broken.push(format!("{name}: {what}"));
        }
    };
    let goodput = told.served_a_second() / overload.capacity;
    must(goodput >= LEAST_GOODPUT, format!("goodput is {goodput:.2} of capacity"));
    let p99 = quantile(&told.latencies(), 0.99);
    must(p99 <= MOST_P99_MS, format!("p99 of what was accepted is {p99:.0} ms"));
    let peak = overload.peak.peak_kib as f64 / 1024.0;
    must(peak <= MOST_PEAK_MIB, format!("memory reached {peak:.0} MiB"));
    let shares: Vec<f64> =
        Class::ALL.iter().zip(&told.classes).map(|(_, class)| report::accepted(class)).collect();
    must(shares.is_sorted(), format!("the order of giving up was {shares:.2?}"));
    must(told.shed() > 0, "nothing was refused: it was no overload".to_owned());
    for (what, asked) in [("health", overload.health), ("the checkpoint", overload.log)] {
        let worst = quantile(&asked.took, 1.0);
        must(asked.failed == 0 && !asked.took.is_empty(), format!("{what} was not always served"));
        must(worst <= HEALTH_WITHIN_MS, format!("{what} took {worst:.0} ms"));
    }
    // Late for want of a free connection is the gateway's doing, and charged to it above.
    let offered = (told.served() + told.shed() + told.unsent) as f64;
    let kept_up = overload.generator <= MOST_GENERATOR && (told.unsent as f64) <= offered * MOST_UNSENT;
    must(kept_up, format!("void: the generator did not keep up ({} unsent)", told.unsent));
    broken
}
