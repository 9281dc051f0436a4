//! The auditors' desk of this gateway: opened with the ledger, reached through the admin
//! socket, and the daily round that lets old evidence go.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pair::{Pair, PairFiles};
use super::pull::web_client;
use super::witnessing::standing::{self, Asking};
use super::{StartFault, open_ledger, open_witness};
use crate::account::Accounts;
use crate::audit::{Desk, DeskFault, DeskSettings, Sent};
use crate::casebook::Casebook;
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::door::admin::{self, AdminSocket, MintLink};
use crate::door::console::Console;
use crate::house::{House, TrustWatch};
use crate::keys::read_private_file;
use crate::ledger::{Ledger, LedgerKey, Recovered};
use crate::peer::{Directory, PartnerClients, Trust as PkiTrust};

/// How far the clock may be behind the last leaf, as after a leap second or an NTP slew.
const CLOCK_BEHIND_S: i64 = 2;

/// How often it is asked whether a new day has begun.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Opens the desk; what a crash left half done is finished before anybody comes.
pub(super) async fn open(
    config: &Config,
    ledger: &Ledger,
    clock: &Clock,
    offline: bool,
) -> Result<Desk, StartFault> {
    let settings = DeskSettings {
        ledger: ledger.clone(),
        clock: clock.clone(),
        region: config.region.code,
        data_dir: config.data_dir(),
        periods: config.ledger.periods(),
        offline,
    };
    let opened = tokio::task::spawn_blocking(move || Desk::open(settings)).await;
    let desk = opened.unwrap_or(Err(DeskFault::Interrupted))?;
    let finished = desk.settle().await?;
    if finished > 0 {
        tracing::warn!(target: "desk", finished, "acts of a crashed run were finished");
    }
    Ok(desk)
}

/// What the console hands out to who asks for it on this machine.
pub(super) fn links((console, addr): (Arc<Console>, SocketAddr)) -> MintLink {
    Arc::new(move |account| Some(format!("https://{addr}{}", console.mint_link(account).ok()?)))
}

/// Opens the socket and begins the daily round.
pub(super) fn begin(
    house: &Arc<House>,
    links: Option<MintLink>,
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Result<(), StartFault> {
    let data = house.config.data_dir();
    let socket = AdminSocket::open(&data).map_err(|e| StartFault::File {
        path: data.join("admin.sock").display().to_string(),
        rule: format!("cannot be made ({})", e.kind()),
    })?;
    tasks.spawn(admin::serve(socket, house.clone(), links, stopped.clone()));
    tasks.spawn(retention(house.clone(), stopped.clone()));
    Ok(())
}

/// At start and with each new day: what is due goes.
async fn retention(house: Arc<House>, mut stopped: watch::Receiver<bool>) {
    let mut last = None;
    loop {
        let today = house.clock.now().shanghai_day();
        if last != Some(today) {
            match house.desk.retain().await {
                Ok(run) => {
                    last = Some(today);
                    for month in run.dropped {
                        tracing::info!(target: "desk", month = month.month, class = month.class, rows = month.rows, "evidence whose period is over was dropped");
                    }
                }
                // Tried again at the next look.
                Err(fault) => tracing::error!(target: "desk", %fault, "old evidence could not be dropped"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// A gateway that does not run, opened for errands: it holds the store's lock meanwhile. Like one
/// that starts, it asks its partners first whether its log is an older copy, and writes to none.
pub struct AtRest {
    desk: Desk,
    accounts: Arc<Accounts>,
    ledger: Ledger,
    _casebook: Casebook,
}

impl AtRest {
    /// `offline`: nobody is asked, and each act's register entry says so. What this gateway
    /// remembers itself of its witnesses counts all the same.
    pub async fn open(config: &Config, clock: Clock, offline: bool) -> Result<Self, Vec<StartFault>> {
        let path = config.path(&config.ledger.key);
        let pem = read_private_file(&path).map_err(|fault| vec![fault.into()])?;
        let key = LedgerKey::from_pem(&pem).map_err(|fault| {
            vec![StartFault::File { path: path.display().to_string(), rule: fault.to_string() }]
        })?;
        let (trust, _) = TrustWatch::new(config).look(None, clock.now());
        let directory = if offline { nobody(config) } else { trust.directory.clone() };
        stand(config, key.public(), &directory, &clock, offline).await?;
        let (ledger, casebook, recovered) =
            open_ledger(config, key, trust.auditors.to_vec(), &clock, None, None).await?;
        not_behind(&recovered, clock.now())?;
        let desk = open(config, &ledger, &clock, offline).await.map_err(|fault| vec![fault])?;
        Ok(Self { desk, accounts: trust.accounts, ledger, _casebook: casebook })
    }

    /// Does an errand, and signs a checkpoint over what it recorded.
    pub async fn run(&self, sent: Sent) -> Result<serde_json::Value, DeskFault> {
        let done = self.desk.run(self.accounts.clone(), sent).await;
        if !self.ledger.flush().await {
            tracing::warn!(target: "desk", "the checkpoint could not be signed; it will be at the next start");
        }
        done
    }
}

/// The same question as before a start. Where there are partners, one of them must have answered.
async fn stand(
    config: &Config,
    public: [u8; 32],
    directory: &Arc<Directory>,
    clock: &Clock,
    offline: bool,
) -> Result<(), Vec<StartFault>> {
    let section = &config.partner_listener;
    // Only to be known by the partners that are asked: who may serve with which key is for `serve`.
    let pair = Pair::load(PairFiles {
        setting: "[partner_listener] private_key",
        certificate: config.path(&section.certificate),
        private_key: config.path(&section.private_key),
        me: Some(config.region.code),
        demo: true,
    })
    .map_err(|fault| vec![fault])?;
    let shared = Arc::new(ArcSwap::new(directory.clone()));
    let clients = Arc::new(PartnerClients::new(pair.credentials, shared, clock.clone()));
    let asking = Asking {
        data: &config.data_dir(),
        region: config.region.code,
        public,
        clients: &clients,
        web: &web_client(config),
        directory,
        witness: &open_witness(config, clock.now())?,
        now: clock.now(),
    };
    let stood = standing::stand(asking, false).await.map_err(|fault| vec![fault])?;
    if stood.answered == 0 && stood.witnesses > 0 && !offline {
        return Err(vec![StartFault::NobodyAsked]);
    }
    Ok(())
}

/// A directory without partners.
fn nobody(config: &Config) -> Arc<Directory> {
    let trust = PkiTrust::new(Vec::new(), Vec::new());
    Arc::new(Directory::build(config.region.code, &HashMap::new(), trust, None).0)
}

/// A clock behind the log would write leaves before its last.
pub(super) fn not_behind(recovered: &Recovered, now: Now) -> Result<(), Vec<StartFault>> {
    let behind = recovered.last_ms.map_or(0, |last| (last - now.ms()).div_euclid(1000));
    if behind > CLOCK_BEHIND_S { Err(vec![StartFault::ClockBehindLedger(behind)]) } else { Ok(()) }
}
