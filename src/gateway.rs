//! The whole: builds each room once, opens the doors, watches what can be withdrawn, and
//! drains.
//!
//! Start-up is a list: keys → trust → clock → ledger → register → rooms → doors. What is
//! wrong is told before the first door opens, all of it at once where it can be.

mod around;
pub mod card;
mod couriers;
mod desk;
mod doors;
mod fault;
mod keys;
mod pair;
mod pull;
pub mod reconciling;
mod tending;
mod watch;
pub mod witnessing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio::task::JoinSet;

use crate::casebook::Casebook;
use crate::clock::{Clock, Now};
use crate::config::{Config, Register as RegisterConfig};
use crate::door;
use crate::envelope::Replay;
use crate::house::{Background, House, Rooms, TrustWatch};
use crate::ledger::evidence::AuditorKey;
use crate::ledger::held::Lost;
use crate::ledger::{Leaf, LeafKind, Ledger, LedgerKey, LedgerSettings, Workers};
use crate::license::{Lookup, Register};
use crate::material::Shelf;
use crate::outbound;
use crate::peer::{ClientLimits, PartnerClients};
use crate::reconcile::Book;
use crate::telemetry::PartLabels;
use crate::witness::Witness;

pub use couriers::webhooks;
pub use desk::AtRest;
pub use fault::StartFault;
pub use keys::Keys;

/// Seconds since the epoch before which no honest clock can be: the day this was written.
const BUILT: i64 = 1_763_769_600; // 2025-11-22T00:00:00Z

/// How soon a failed ledger ends the process; until then every answer is a refusal.
const LOOK_AT_LEDGER: Duration = Duration::from_millis(200);

/// How exchanges in flight are given time when the gateway stops.
const DRAIN: Duration = Duration::from_secs(30);

/// How the process was asked to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Published example keys are accepted.
    pub demo: bool,
    /// Refusals are explained to whoever sent the message; with published keys only.
    pub sandbox: bool,
    /// This directory is a restored copy: what was signed after it is given up, and the log goes
    /// on in the next half-year.
    pub after_restore: bool,
    /// How long a partner is waited for, and how many calls may wait.
    pub partner_limits: ClientLimits,
    /// The threads of the runtime that it runs on, where they are known.
    pub workers: Option<Arc<Workers>>,
}

/// A gateway with open doors.
pub struct Running {
    pub house: Arc<House>,
    pub partner_addr: SocketAddr,
    pub local_addr: Option<SocketAddr>,
    pub console_addr: Option<SocketAddr>,
    /// The auditors' pages, where the configuration opens them.
    pub console: Option<Arc<door::console::Console>>,
    stop: channel::Sender<bool>,
    reload: mpsc::Sender<oneshot::Sender<()>>,
    witness: mpsc::Sender<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

/// Builds everything and opens the doors.
pub async fn start(config: Config, clock: Clock, options: Options) -> Result<Running, Vec<StartFault>> {
    let now = clock.now();
    let keys = Keys::load(&config, &options)?;
    let webhooks = webhooks(&config)?;
    let calendar = config
        .load_calendar()
        .map_err(|faults| faults.into_iter().map(StartFault::Trust).collect::<Vec<_>>())?;
    let (watch, trust) = trust(&config, &options, now)?;
    let directory = Arc::new(ArcSwap::new(trust.directory.clone()));
    let trust = Arc::new(ArcSwap::from_pointee(trust));
    if now.secs() < BUILT {
        return Err(vec![StartFault::ClockBeforeBuild]);
    }
    let auditors = trust.load().auditors.to_vec();
    let clients = Arc::new(PartnerClients::with_limits(
        keys.partner.credentials.clone(),
        directory.clone(),
        clock.clone(),
        options.partner_limits.clone(),
    ));
    let witness = open_witness(&config, now)?;
    let asking = witnessing::standing::Asking {
        data: &config.data_dir(),
        region: config.region.code,
        public: keys.ledger_public,
        clients: &clients,
        web: &pull::web_client(&config),
        directory: &directory.load(),
        witness: &witness,
        now,
    };
    // Before the first leaf and the first signature: an older copy must make neither.
    let stood = witnessing::standing::stand(asking, options.after_restore).await.map_err(|f| vec![f])?;
    let opened = open_ledger(&config, keys.ledger()?, auditors, &clock, stood.lost, options.workers.clone());
    let (ledger, casebook, recovered) = opened.await?;
    desk::not_behind(&recovered, now)?;
    // The ledger's lock is ours now: nobody else writes here.
    let windows = Book::open(&config.data_dir()).map_err(|fault| vec![fault.into()])?;
    let background = Background::begin().map_err(|e| vec![StartFault::Thread { kind: e.kind() }])?;
    let desk = desk::open(&config, &ledger, &clock, false).await.map_err(|fault| vec![fault])?;
    let replay = Replay::default();
    replay.load(recovered.used_ids.iter().map(remembered), now);
    let register = register(&config).map_err(|fault| vec![fault])?;
    let materials = materials(&config, now)?;
    let card = card::of_log(keys.card(&config, now), &ledger);
    let house = Arc::new(House::new(Rooms {
        web: pull::web_client(&config),
        lookup: Lookup::new(register),
        signing: keys.signing.clone(),
        config,
        clock: clock.clone(),
        trust,
        calendar,
        replay,
        ledger,
        casebook,
        witness,
        desk,
        windows,
        background,
        clients,
        materials,
        card,
        sandbox: options.sandbox,
    }));
    show_materials(&house);
    begin(&house, recovered.open_sends).await?;
    let running = doors::open(house, keys, webhooks, watch, directory).await?;
    if running.house.ledger.auditors() == 0 {
        tracing::warn!(target: "gateway", "no auditor's key: exchanges are logged, but no evidence is kept");
    }
    Ok(running)
}

fn trust(
    config: &Config,
    options: &Options,
    now: Now,
) -> Result<(TrustWatch, crate::house::Trust), Vec<StartFault>> {
    let mut watch = match options.demo {
        true => TrustWatch::new(config),
        false => TrustWatch::without_published_cas(config),
    };
    let (trust, _) = watch.look(None, now);
    let faults = watch.pki_faults();
    if !faults.is_empty() {
        return Err(faults.into_iter().map(StartFault::Trust).collect());
    }
    for left_out in watch.faults() {
        tracing::error!(target: "trust", fault = %StartFault::Trust(left_out), "file left out; `tongban check` tells all");
    }
    Ok((watch, trust))
}

async fn open_ledger(
    config: &Config,
    key: LedgerKey,
    auditors: Vec<Arc<AuditorKey>>,
    clock: &Clock,
    lost: Option<Lost>,
    workers: Option<Arc<Workers>>,
) -> Result<(Ledger, Casebook, crate::ledger::Recovered), Vec<StartFault>> {
    let settings = LedgerSettings {
        data_dir: config.data_dir(),
        region: config.region.code,
        key,
        auditors,
        clock: clock.clone(),
        workers,
    };
    // Opening verifies the store against its last checkpoint: it reads the disk.
    let opened = tokio::task::spawn_blocking(move || {
        let (casebook, carrier) = Casebook::open(&settings.data_dir)?;
        let (ledger, recovered) = match lost {
            None => Ledger::open_carrying(settings, carrier)?,
            Some(lost) => Ledger::open_after_restore(settings, carrier, lost)?,
        };
        Ok::<_, StartFault>((ledger, casebook, recovered))
    });
    let (ledger, casebook, mut recovered) = match opened.await {
        Ok(opened) => opened.map_err(|fault| vec![fault])?,
        Err(_) => return Err(vec![StartFault::Register("the ledger's opening was interrupted".into())]),
    };
    // Before a door opens: what a crash left between the two stands where it belongs.
    let deeds = std::mem::take(&mut recovered.deeds);
    casebook.replay(deeds).await.map_err(|fault| vec![fault.into()])?;
    Ok((ledger, casebook, recovered))
}

fn open_witness(config: &Config, now: Now) -> Result<Witness, Vec<StartFault>> {
    let policy = config.load_policy().map_err(|faults| {
        let told = |(path, rule): (std::path::PathBuf, String)| (path.display().to_string(), rule);
        faults.into_iter().map(told).map(|(path, rule)| StartFault::File { path, rule }).collect::<Vec<_>>()
    })?;
    Witness::open(&config.data_dir(), config.region.code, policy, now).map_err(|fault| vec![fault.into()])
}

fn remembered(used: &crate::ledger::UsedId) -> crate::envelope::UsedId {
    crate::envelope::UsedId { key: used.key, content: used.content, expires: used.expires }
}

fn register(config: &Config) -> Result<Register, StartFault> {
    if let Some(register) = http_register(config)? {
        return Ok(register);
    }
    Register::embedded(&config.data_dir().join("register.db"))
        .map_err(|fault| StartFault::Register(fault.to_string()))
}

/// The register that is asked over HTTP, where the configuration names one. Asks nothing yet.
pub fn http_register(config: &Config) -> Result<Option<Register>, StartFault> {
    match &config.register {
        RegisterConfig::Embedded => Ok(None),
        RegisterConfig::Http(settings) => Register::http(settings, &config.base)
            .map(Some)
            .map_err(|fault| StartFault::Register(fault.to_string())),
    }
}

fn materials(config: &Config, now: Now) -> Result<Shelf, Vec<StartFault>> {
    let folder = config.data_dir().join("materials");
    Shelf::open(&folder, now).map_err(|error| {
        let (path, rule) = (folder.display().to_string(), format!("cannot be used ({})", error.kind()));
        vec![StartFault::File { path, rule }]
    })
}

/// The first leaves of a run: the ends of a crashed one's requests, and that we are here.
async fn begin(house: &House, open_sends: Vec<crate::ledger::OpenSend>) -> Result<(), Vec<StartFault>> {
    let unrecorded = |_| vec![StartFault::Register("the exchange log does not take entries".into())];
    let closed = outbound::close_open_sends(house, open_sends).await.map_err(unrecorded)?;
    if closed > 0 {
        tracing::warn!(target: "gateway", closed, "requests of a crashed run were given their end");
    }
    let leaf = Leaf { code: Some("start".into()), ..Leaf::new(LeafKind::Config) };
    house.ledger.record(leaf.into()).await.map(drop).map_err(unrecorded)
}

fn show_materials(house: &House) {
    let shelf = house.materials.clone();
    house.on_scrape(move |metrics| {
        let stats = shelf.stats();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed).try_into().unwrap_or(i64::MAX);
        let counts = [
            ("received-bytes", count(&stats.received_bytes)),
            ("read-bytes", count(&stats.sent_bytes)),
            ("arrived", count(&stats.arrived)),
            ("coming", shelf.coming().try_into().unwrap_or(i64::MAX)),
        ];
        for (part, count) in counts {
            metrics.materials.get_or_create(&PartLabels { part: part.into() }).set(count);
        }
    });
}

impl Running {
    /// Reads every watched file now (SIGHUP) and returns when it is in force.
    pub async fn reload(&self) {
        let (told, looked) = oneshot::channel();
        // Without a watch the gateway is stopping: nothing will be in force.
        if self.reload.send(told).await.is_ok() {
            let _ = looked.await;
        }
    }

    /// Sends the newest checkpoint to every witness now and returns when all have answered.
    pub async fn ask_witnesses(&self) {
        let (told, asked) = oneshot::channel();
        if self.witness.send(told).await.is_ok() {
            let _ = asked.await;
        }
    }

    /// Stops accepting, lets exchanges in flight end, flushes the ledger.
    pub async fn stop(mut self) {
        self.house.drain();
        // Without receivers everything has already ended.
        let _ = self.stop.send(true);
        let ended = tokio::time::timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!(target: "gateway", "exchanges were still open when the drain ended");
            self.tasks.abort_all();
        }
        self.house.casebook.end_waiting();
        self.house.record_unsigned_counts().await;
        if !self.house.ledger.flush().await {
            tracing::warn!(target: "gateway", "the last checkpoint could not be signed; it will be at the next start");
        }
    }

    /// Waits until the ledger can never be written again in this process: an I/O error, or a
    /// witness that knows a longer log ([`Running::is_older_copy`]).
    pub async fn poisoned(&self) {
        while self.house.ledger.health().poisoned.is_none() && !self.house.casebook.is_stopped() {
            tokio::time::sleep(LOOK_AT_LEDGER).await;
        }
    }

    /// A witness proved that this log is an older copy of what was signed.
    pub fn is_older_copy(&self) -> bool {
        self.house.ledger.health().poisoned == Some(witnessing::standing::OLDER_COPY)
    }
}
