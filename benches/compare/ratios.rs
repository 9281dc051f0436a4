//! The ratios that are promised, each between visits of one round, and whether they hold.

use std::fmt;

use crate::contender::Kind;
use crate::load::spread::Spread;
use crate::rounds::{Rounds, Visit};
use crate::special::{Cores, Special};

/// Above this share of the server's time the generator is part of what is measured.
const MOST_OF_GENERATOR: f64 = 0.25;

/// A figure that must be on one side of a bar.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    AtMost { must: f64, aim: f64 },
    AtLeast { must: f64, aim: f64 },
}

pub struct Row {
    pub number: &'static str,
    pub what: &'static str,
    pub bar: Bar,
    pub measured: Measured,
}

pub enum Measured {
    Is(Spread),
    /// The generator's share was too large.
    NotJudged(Spread, f64),
    /// Why there is no figure.
    Not(String),
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost { must, aim } => write!(f, "≤ {must} | ≤ {aim}"),
            Self::AtLeast { must, aim } => write!(f, "≥ {must} | ≥ {aim}"),
        }
    }
}

impl Row {
    pub fn verdict(&self) -> String {
        let figure = match &self.measured {
            Measured::Is(spread) => spread.median,
            Measured::NotJudged(_, share) => {
                return format!("not judged: the generator took {:.0} % of the server's time", share * 100.0);
            }
            Measured::Not(_) => return "–".to_owned(),
        };
        let met = |bar| match self.bar {
            Bar::AtMost { .. } => figure <= bar,
            Bar::AtLeast { .. } => figure >= bar,
        };
        let (Bar::AtMost { must, aim } | Bar::AtLeast { must, aim }) = self.bar;
        match (met(must), met(aim)) {
            (_, true) => "aim met 达到目标".to_owned(),
            (true, false) => "met 达标".to_owned(),
            (false, false) => "**not met 未达标**".to_owned(),
        }
    }
}

/// Every promised ratio, P1 to P21, in their order.
pub fn rows(rounds: &Rounds, special: &Special) -> Vec<Row> {
    use Kind::{
        Envoy, Evidence, Fixed, Forged, Gateway, Haproxy, Http2, Jvm, JvmJdk, Nginx, Node, Once, Python,
        UnknownKey, VerifyOnly,
    };
    let most = |must, aim| Bar::AtMost { must, aim };
    let least = |must, aim| Bar::AtLeast { must, aim };
    let over = |one, other| rounds.ratio(one, other);
    let alone = |kind, of: fn(&Visit) -> f64| rounds.figure(kind, of);
    let row = |number, what, measured, bar| Row { number, what, bar, measured };
    let not = |why: &str| Measured::Not(why.to_owned());
    let slow = |of: fn(&crate::slow_disk::SlowDisk) -> Spread| match &special.slow_disk {
        Some(disk) => Measured::Is(of(disk)),
        None => Measured::Not(special.missing.join("; ")),
    };
    let cores = |of: fn(&Cores) -> f64| {
        Spread::of(special.cores.iter().map(of)).map_or_else(|| not("not run"), Measured::Is)
    };
    vec![
        row("P1", "Tongban ÷ U", alone(Gateway, |v| v.server / v.primitives.sum()), most(2.0, 1.6)),
        row(
            "P2",
            "tokens of one use ÷ (U + 1 verify)",
            alone(Once, |v| v.server / (v.primitives.sum() + v.primitives.verify)),
            most(1.8, 1.4),
        ),
        row("P3", "Tongban ÷ HAProxy jwt_verify", over(Gateway, Haproxy), most(1.6, 1.3)),
        row(
            "P4",
            "our stack, signature only ÷ HAProxy jwt_verify",
            over(VerifyOnly, Haproxy),
            most(1.0, 0.85),
        ),
        row("P5", "Tongban ÷ Envoy jwt_authn", over(Gateway, Envoy), most(1.2, 1.0)),
        row("P6", "Node ÷ Tongban", over(Node, Gateway), least(1.6, 2.0)),
        row("P7", "Python ÷ Tongban", over(Python, Gateway), least(2.5, 3.3)),
        row("P8a", "JVM with BouncyCastle ÷ Tongban", over(Jvm, Gateway), least(3.0, 4.0)),
        row("P8b", "JVM with its own signatures ÷ Tongban", over(JvmJdk, Gateway), least(8.0, 12.0)),
        row("P9", "lookups/s, two cores ÷ one, without sockets", cores(|cores| cores.rate), least(1.7, 1.9)),
        row(
            "P10",
            "CPU a lookup, two cores ÷ one, without sockets",
            cores(|cores| cores.cpu),
            most(1.15, 1.05),
        ),
        row("P11", "recording, a long log ÷ a short one", not("see Scale 规模"), most(1.15, 1.05)),
        row("P12", "10 000 partners ÷ 10", not("see Scale 规模"), most(1.2, 1.1)),
        row(
            "P13",
            "lookups/s with flushes 2 ms slower: 32 in flight ÷ one",
            slow(|disk| disk.grouped),
            least(8.0, 14.0),
        ),
        row("P14", "median of a lone lookup with them ÷ 2 ms", slow(|disk| disk.lone_p50), most(1.5, 1.25)),
        row(
            "P15",
            "all threads ÷ those that do not only keep the ledger",
            alone(Gateway, |v| v.server / (v.server - v.ledger)),
            most(1.25, 1.10),
        ),
        row("P16a", "forged message ÷ Tongban", over(Forged, Gateway), most(0.8, 0.7)),
        row("P16b", "unknown key ÷ Tongban", over(UnknownKey, Gateway), most(0.3, 0.15)),
        row("P17", "HTTP/2 ÷ HTTP/1.1", over(Http2, Gateway), most(1.3, 1.15)),
        row(
            "P18",
            "resumed handshake ÷ full",
            not("sessions are never resumed: a resumed one would skip the question who is a member today"),
            most(0.65, 0.5),
        ),
        row("P19", "SM2 lookup ÷ its primitives", not("no SM2 signatures yet"), most(1.5, 1.2)),
        row(
            "P20",
            "octets of memory a live used id",
            special.used_id.map_or_else(|| not("not run"), once),
            most(600.0, 100.0),
        ),
        row("P21", "our stack, fixed answer ÷ nginx", over(Fixed, Nginx), most(1.5, 1.0)),
        // The promise is 90 % of the lookups: as CPU, and where the disk is what they wait for.
        row("E1", "CPU with evidence and its index ÷ without", over(Evidence, Gateway), most(1.11, 1.11)),
        row(
            "E2",
            "lookups/s with evidence ÷ without, with flushes 2 ms slower",
            slow(|disk| disk.with_evidence),
            least(0.9, 0.9),
        ),
    ]
}

fn once(figure: f64) -> Measured {
    Measured::Is(Spread::once(figure))
}

impl Rounds {
    fn of(&self, kind: Kind) -> Result<&[Visit], String> {
        let visits = self.visits.get(&kind).map(Vec::as_slice).unwrap_or_default();
        if !visits.is_empty() {
            return Ok(visits);
        }
        let why = self.left_out.iter().find(|(left_out, _)| *left_out == kind);
        Err(why.map_or_else(|| "not run".to_owned(), |(_, why)| why.clone()))
    }

    fn ratio(&self, over: Kind, under: Kind) -> Measured {
        let (over, under) = match (self.of(over), self.of(under)) {
            (Ok(over), Ok(under)) => (over, under),
            (Err(why), _) | (_, Err(why)) => return Measured::Not(why),
        };
        let share = generator_share(over).max(generator_share(under));
        judged(over.iter().zip(under).map(|(over, under)| over.server / under.server), share)
    }

    fn figure(&self, kind: Kind, of: fn(&Visit) -> f64) -> Measured {
        match self.of(kind) {
            Ok(visits) => judged(visits.iter().map(of), generator_share(visits)),
            Err(why) => Measured::Not(why),
        }
    }
}

/// The generator's CPU time over the server's, the median of the rounds.
pub fn generator_share(visits: &[Visit]) -> f64 {
    Spread::of(visits.iter().map(|visit| visit.generator / visit.server)).map_or(f64::NAN, |s| s.median)
}

fn judged(figures: impl IntoIterator<Item = f64>, share: f64) -> Measured {
    match Spread::of(figures) {
        None => Measured::Not("not run".to_owned()),
        Some(spread) if share > MOST_OF_GENERATOR => Measured::NotJudged(spread, share),
        Some(spread) => Measured::Is(spread),
    }
}
