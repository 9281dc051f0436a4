//! The servers, all of them up, visited in turn: forwards in one round, backwards in the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hyper::StatusCode;
use tongban::envelope::new_message_id;
use tongban::keys::{Algorithm, SigningKey};

use crate::Arguments;
use crate::contender::Kind;
use crate::host::Host;
use crate::load::line::{Carried, Line};
use crate::load::primitives::{self, Primitives};
use crate::load::process::{GENERATOR_CORE, Memory, SERVER_CORE, move_thread, own_cpu};
use crate::load::requests::{Mint, Request};
use crate::load::scene::Scene;
use crate::peers::Given;
use clap::ValueEnum as _;

/// Of so many requests of a visit one more is sent first, unmeasured: the server's caches and
/// the connections.
const WARM_SHARE: u32 = 16;
/// A visit takes some seconds; more is a server that hangs.
const VISIT_WITHIN: Duration = Duration::from_secs(90);
/// How often one authorization is used, where it is used more than once.
const USES: u32 = 100;

/// What one visit brought.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// CPU microseconds for one request: of the server, of the generator, and of the server's
    /// threads that only keep the ledger.
    pub server: f64,
    pub generator: f64,
    pub ledger: f64,
    /// Requests a second.
    pub rate: f64,
    /// Before and after the visit, their mean.
    pub primitives: Primitives,
}

#[derive(Default)]
pub struct Rounds {
    pub visits: BTreeMap<Kind, Vec<Visit>>,
    pub memory: BTreeMap<Kind, Memory>,
    pub left_out: Vec<(Kind, String)>,
    /// How many there were.
    pub made: u32,
}

impl Rounds {
    fn is_left_out(&self, kind: Kind) -> bool {
        self.left_out.iter().any(|(left_out, _)| *left_out == kind)
    }

    /// A peer that goes wrong is void and left out, with its reason; ours must not go wrong.
    fn leave_out(&mut self, kind: Kind, fault: anyhow::Error) -> Result<()> {
        if !kind.is_peer() {
            return Err(fault);
        }
        println!("left out: {}: {fault:#}", kind.name());
        self.visits.remove(&kind);
        // Its log may be long; the first line names what went wrong.
        let why = fault.root_cause().to_string();
        self.left_out.push((kind, why.lines().next().unwrap_or_default().to_owned()));
        Ok(())
    }
}

/// A kind of visit, to one of the hosts.
struct Caller<'a> {
    kind: Kind,
    host: usize,
    mint: Mint<'a>,
}

/// Everybody who is wanted and can be had, up.
struct Company<'a> {
    hosts: Vec<Host<'a>>,
    callers: Vec<Caller<'a>>,
}

/// With what everything is signed.
struct Scenes {
    plain: Scene,
    /// With an auditor.
    sealed: Scene,
    given: Given,
    /// A key that nobody knows.
    stranger: SigningKey,
}

impl Scenes {
    fn set(licenses: u32) -> Result<Self> {
        println!("making keys, agreements and {licenses} licenses");
        let (plain, sealed) = (Scene::set(licenses)?, Scene::set(licenses)?);
        sealed.add_auditor()?;
        let given = Given::new(&plain)?;
        let stranger = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256)?)?;
        Ok(Self { plain, sealed, given, stranger })
    }

    async fn company(&self, arguments: &Arguments, rounds: &mut Rounds) -> Result<Company<'_>> {
        let (mut hosts, mut callers) = (Vec::new(), Vec::new());
        for kind in Kind::value_variants().iter().copied().filter(|kind| arguments.wants(*kind)) {
            let of = if kind == Kind::Evidence { &self.sealed } else { &self.plain };
            let mint = match kind {
                // As many citizens as the others have: what differs is the token, not where the license is.
                Kind::Once => Mint::new(of, 1).among((arguments.requests / USES).max(1).try_into()?),
                _ => Mint::new(of, USES),
            };
            let mint = if kind == Kind::UnknownKey { mint.signed_by(&self.stranger) } else { mint };
            if kind.is_of_gateway() && kind != Kind::Gateway {
                // The gateway is the first of all.
                callers.push(Caller { kind, host: 0, mint });
                continue;
            }
            match Host::start(kind, of, &self.given, arguments).await? {
                Ok(host) => {
                    hosts.push(host);
                    callers.push(Caller { kind, host: hosts.len() - 1, mint });
                }
                Err(why) => {
                    println!("left out: {}: {why}", kind.name());
                    rounds.left_out.push((kind, why));
                }
            }
        }
        Ok(Company { hosts, callers })
    }
}

pub async fn run(arguments: &Arguments) -> Result<Rounds> {
    let scenes = Scenes::set(arguments.licenses)?;
    let mut rounds = Rounds::default();
    let Company { mut hosts, mut callers } = scenes.company(arguments, &mut rounds).await?;
    let stage = Stage { arguments, given: &scenes.given };
    for caller in &mut callers {
        println!("warming {}", caller.kind.name());
        let host = hosts.get_mut(caller.host).context("a caller has a host")?;
        if let Err(fault) = stage.warm(caller, host).await {
            rounds.leave_out(caller.kind, fault)?;
        }
    }
    let begun = Instant::now();
    for round in 0..arguments.rounds {
        if begun.elapsed() > Duration::from_secs(60 * arguments.minutes) {
            println!("{} minutes are over: no more rounds", arguments.minutes);
            break;
        }
        rounds.made = round + 1;
        let mut before = look()?;
        for nth in 0..callers.len() {
            let nth = if round % 2 == 0 { nth } else { callers.len() - 1 - nth };
            let caller = callers.get_mut(nth).context("within")?;
            if rounds.is_left_out(caller.kind) {
                continue;
            }
            let host = hosts.get_mut(caller.host).context("a caller has a host")?;
            let count = caller.kind.requests(arguments.requests);
            let mut visit = match stage.visit(caller, host, count).await {
                Ok(visit) => visit,
                Err(fault) => {
                    rounds.leave_out(caller.kind, fault)?;
                    continue;
                }
            };
            let after = look()?;
            visit.primitives = before.mean(&after);
            before = after;
            println!(
                "{:>4} s, round {} of {}: {:<46} {:>7.1} µs, {:.0}/s, U {:.1}",
                begun.elapsed().as_secs(),
                round + 1,
                arguments.rounds,
                caller.kind.name(),
                visit.server,
                visit.rate,
                visit.primitives.sum()
            );
            rounds.visits.entry(caller.kind).or_default().push(visit);
        }
    }
    for host in hosts {
        let (kind, memory) = (host.kind, host.server.memory());
        if rounds.is_left_out(kind) {
            continue;
        }
        rounds.memory.insert(kind, memory?);
        if let Err(fault) = host.end().await {
            rounds.leave_out(kind, fault)?;
        }
    }
    Ok(rounds)
}

/// The primitives on the server's core, while no server has anything to do.
fn look() -> Result<Primitives> {
    move_thread(SERVER_CORE)?;
    let looked = primitives::look();
    move_thread(GENERATOR_CORE)?;
    looked
}

struct Stage<'a> {
    arguments: &'a Arguments,
    given: &'a Given,
}

impl Stage<'_> {
    fn line(&self, kind: Kind, host: &Host<'_>) -> Result<Line> {
        let line = Line::new(&host.scene.tls, host.addr, kind.protocol(), self.arguments.connections)?;
        Ok(line.carrying(kind.carried()))
    }

    /// Who takes a forged message is not compared. Those who look at none are not asked.
    async fn refuses_forgery(&self, caller: &mut Caller<'_>, host: &mut Host<'_>) -> Result<()> {
        if matches!(caller.kind, Kind::Nginx | Kind::Fixed) {
            return Ok(());
        }
        let forged = caller.mint.batch(1)?.into_iter().map(Request::forged).collect();
        let mut open = self.line(caller.kind, host)?.open().await.with_context(|| host.told())?;
        let asked = open.drive_to(forged, Instant::now() + VISIT_WITHIN, StatusCode::UNAUTHORIZED).await;
        asked.map(drop).with_context(|| format!("a forged message: {}", host.told()))
    }

    async fn warm(&self, caller: &mut Caller<'_>, host: &mut Host<'_>) -> Result<()> {
        self.refuses_forgery(caller, host).await?;
        self.visit(caller, host, caller.kind.warm_up(self.arguments.requests)).await.map(drop)
    }

    async fn visit(&self, caller: &mut Caller<'_>, host: &mut Host<'_>, count: u32) -> Result<Visit> {
        let (kind, must) = (caller.kind, caller.kind.must());
        let mut open = self.line(kind, host)?.open().await.with_context(|| host.told())?;
        let warm = batch(caller, (count / WARM_SHARE).max(self.arguments.connections.into()))?;
        host.sent.note(&warm)?;
        let window = open.drive_to(warm, Instant::now() + VISIT_WITHIN, must).await;
        let window = window.with_context(|| host.told())?;
        host.judge(&window, must, self.given)?;

        let measured = batch(caller, count)?;
        host.sent.note(&measured)?;
        let (server, generator, ledger) = (host.server.cpu()?, own_cpu()?, host.ledger_cpu()?);
        let begun = Instant::now();
        let window = open.drive_to(measured, begun + VISIT_WITHIN, must).await;
        let wall = begun.elapsed();
        let (server, generator) = (host.server.cpu()? - server, own_cpu()? - generator);
        let ledger = host.ledger_cpu()?.saturating_sub(ledger);
        let window = window.with_context(|| host.told())?;
        host.judge(&window, must, self.given)?;
        ensure!(window.latencies.len() == count as usize, "void: {} hung", kind.name());
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / f64::from(count);
        Ok(Visit {
            server: each(server),
            generator: each(generator),
            ledger: each(ledger),
            rate: f64::from(count) / wall.as_secs_f64(),
            primitives: Primitives::default(),
        })
    }
}

fn batch(caller: &mut Caller<'_>, count: u32) -> Result<Vec<Request>> {
    match caller.kind {
        Kind::Forged => Ok(caller.mint.batch(count)?.into_iter().map(Request::forged).collect()),
        // Nothing is signed that nobody reads.
        kind if matches!(kind.carried(), Carried::Nowhere(_)) => {
            Ok((0..count).map(|_| Request { jti: new_message_id(), body: Bytes::new() }).collect())
        }
        _ => caller.mint.batch(count),
    }
}
