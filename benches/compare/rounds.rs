//! The servers, all of them up, visited in turn: forwards in one round, backwards in the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hyper::StatusCode;
use tongban::envelope::new_message_id;
use tongban::keys::{Algorithm, SigningKey};

use crate::Arguments;
use crate::contender::Kind;
use crate::judge::{self, Sent};
use crate::load::county::free_address;
use crate::load::line::{Carried, Checked, Line, Window};
use crate::load::primitives::{self, Primitives};
use crate::load::process::{GENERATOR_CORE, Launch, Memory, SERVER_CORE, Server, move_thread, own_cpu};
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
}

/// What a server must have recorded in the end.
enum Truth {
    Ledger {
        sealed: bool,
    },
    Record(PathBuf),
    /// Answers this text and records nothing.
    Fixed,
}

struct Host<'a> {
    kind: Kind,
    server: Server,
    addr: SocketAddr,
    scene: &'a Scene,
    truth: Truth,
    sent: Sent,
    answers: u64,
    checked: Checked,
}

/// A kind of visit, to one of the hosts.
struct Caller<'a> {
    kind: Kind,
    host: usize,
    mint: Mint<'a>,
}

pub async fn run(arguments: &Arguments) -> Result<Rounds> {
    let wanted: Vec<Kind> = Kind::value_variants()
        .iter()
        .copied()
        .filter(|kind| *kind == Kind::Gateway || arguments.only.is_empty() || arguments.only.contains(kind))
        .collect();
    println!("making keys, agreements and {} licenses", arguments.licenses);
    let scene = Scene::set(arguments.licenses)?;
    let sealed = Scene::set(arguments.licenses)?;
    sealed.add_auditor()?;
    let given = Given::new(&scene)?;
    let stranger = SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256)?)?;

    let mut rounds = Rounds::default();
    let (mut hosts, mut callers) = (Vec::new(), Vec::new());
    for kind in wanted {
        let of = if kind == Kind::Evidence { &sealed } else { &scene };
        let mint = Mint::new(of, if kind == Kind::Once { 1 } else { USES });
        let mint = if kind == Kind::UnknownKey { mint.signed_by(&stranger) } else { mint };
        if kind.is_of_gateway() && kind != Kind::Gateway {
            callers.push(Caller { kind, host: 0, mint });
            continue;
        }
        match Host::start(kind, of, &given, arguments).await? {
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
    let stage = Stage { arguments, given: &given };
    for caller in &mut callers {
        let host = hosts.get_mut(caller.host).context("a caller has a host")?;
        stage.refuses_forgery(caller, host).await?;
        stage.visit(caller, host, caller.kind.warm_up(arguments.requests)).await?;
    }
    for round in 0..arguments.rounds {
        let mut before = look()?;
        for nth in 0..callers.len() {
            let nth = if round % 2 == 0 { nth } else { callers.len() - 1 - nth };
            let caller = callers.get_mut(nth).context("within")?;
            let host = hosts.get_mut(caller.host).context("a caller has a host")?;
            let mut visit = stage.visit(caller, host, caller.kind.requests(arguments.requests)).await?;
            let after = look()?;
            visit.primitives = before.mean(&after);
            before = after;
            println!(
                "round {} of {}: {:<46} {:>7.1} µs, U {:.1}",
                round + 1,
                arguments.rounds,
                caller.kind.name(),
                visit.server,
                visit.primitives.sum()
            );
            rounds.visits.entry(caller.kind).or_default().push(visit);
        }
    }
    for host in hosts {
        rounds.memory.insert(host.kind, host.server.memory()?);
        host.end().await?;
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

impl<'a> Host<'a> {
    async fn start(
        kind: Kind,
        scene: &'a Scene,
        given: &Given,
        arguments: &Arguments,
    ) -> Result<Result<Self, String>> {
        let (launch, addr, truth) = match kind {
            Kind::Gateway | Kind::Evidence => {
                let launch = Launch::gateway(&arguments.server, &scene.home, scene.addr).on(SERVER_CORE);
                (launch, scene.addr, Truth::Ledger { sealed: kind == Kind::Evidence })
            }
            Kind::VerifyOnly | Kind::Fixed => {
                let addr = free_address()?;
                let what = if kind == Kind::Fixed { "fixed" } else { "verify-only" };
                let launch = Launch::new(std::env::current_exe()?, addr, given.dir().join(what))
                    .argument("serve")
                    .argument(&scene.home)
                    .argument(given.dir().join("answer.jws"))
                    .arguments([&addr.to_string(), what])
                    .on(SERVER_CORE);
                (launch, addr, Truth::Fixed)
            }
            _ => match given.launch(kind, &arguments.peers)? {
                Err(why) => return Ok(Err(why)),
                Ok((launch, peer)) => {
                    let fixed = matches!(kind, Kind::Haproxy | Kind::Envoy | Kind::Nginx);
                    let truth = if fixed { Truth::Fixed } else { Truth::Record(peer.record) };
                    (launch, peer.addr, truth)
                }
            },
        };
        println!("starting {}", kind.name());
        let server = match launch.start().await {
            Ok(server) => server,
            // Ours must start.
            Err(fault) if kind.is_peer() => return Ok(Err(format!("did not start: {fault:#}"))),
            Err(fault) => return Err(fault),
        };
        let (sent, checked) = (Sent::default(), Checked::default());
        Ok(Ok(Self { kind, server, addr, scene, truth, sent, answers: 0, checked }))
    }

    fn judge(&mut self, window: &Window, must: StatusCode, given: &Given) -> Result<()> {
        if must != StatusCode::OK {
            return Ok(());
        }
        self.answers += window.latencies.len() as u64;
        match self.truth {
            Truth::Ledger { .. } => window.check(self.scene, &mut self.checked),
            Truth::Record(_) => judge::application(window, &given.answering),
            Truth::Fixed => judge::fixed(window, &given.fixed),
        }
    }

    /// CPU time of the threads that only keep the ledger.
    fn ledger_cpu(&self) -> Result<Duration> {
        let threads = self.server.threads()?;
        Ok(threads.iter().filter(|(name, _)| name.starts_with("ledger")).map(|(_, cpu)| *cpu).sum())
    }

    async fn end(self) -> Result<()> {
        match &self.truth {
            Truth::Ledger { sealed } => {
                let line = Line::new(&self.scene.tls, self.addr, Kind::Gateway.protocol(), 1)?;
                let signed = line.checkpoint_over(self.scene, self.checked.last_index).await?;
                self.server.stop()?;
                judge::ledger(self.scene, &signed, self.answers, *sealed)
            }
            Truth::Record(path) => judge::record(path, self.answers),
            Truth::Fixed => Ok(()),
        }
    }
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
        let mut open = self.line(caller.kind, host)?.open().await?;
        open.drive_to(forged, Instant::now() + VISIT_WITHIN, StatusCode::UNAUTHORIZED)
            .await
            .map(drop)
            .with_context(|| format!("{} and a forged message", caller.kind.name()))
    }

    async fn visit(&self, caller: &mut Caller<'_>, host: &mut Host<'_>, count: u32) -> Result<Visit> {
        let (kind, must) = (caller.kind, caller.kind.must());
        let mut open = self.line(kind, host)?.open().await?;
        let warm = batch(caller, (count / WARM_SHARE).max(self.arguments.connections.into()))?;
        host.sent.note(&warm)?;
        let window = open.drive_to(warm, Instant::now() + VISIT_WITHIN, must).await;
        host.judge(&window.with_context(|| kind.name())?, must, self.given)?;

        let measured = batch(caller, count)?;
        host.sent.note(&measured)?;
        let (server, generator, ledger) = (host.server.cpu()?, own_cpu()?, host.ledger_cpu()?);
        let begun = Instant::now();
        let window = open.drive_to(measured, begun + VISIT_WITHIN, must).await;
        let wall = begun.elapsed();
        let (server, generator) = (host.server.cpu()? - server, own_cpu()? - generator);
        let ledger = host.ledger_cpu()?.saturating_sub(ledger);
        let window = window.with_context(|| kind.name())?;
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
