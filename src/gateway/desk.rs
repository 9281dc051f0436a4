//! The auditors' desk of this gateway: opened with the ledger, reached through the admin
//! socket, and the daily round that lets old evidence go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{StartFault, open_ledger};
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

/// How far the clock may be behind the last leaf, as after a leap second or an NTP slew.
const CLOCK_BEHIND_S: i64 = 2;

/// How often it is asked whether a new day has begun.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Opens the desk; what a crash left half done is finished before anybody comes.
pub(super) async fn open(config: &Config, ledger: &Ledger, clock: &Clock) -> Result<Desk, StartFault> {
    let settings = DeskSettings {
        ledger: ledger.clone(),
        clock: clock.clone(),
        region: config.region.code,
        data_dir: config.data_dir(),
        periods: config.ledger.periods(),
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

/// A gateway that does not run, opened for errands: it holds the store's lock meanwhile.
pub struct AtRest {
    desk: Desk,
    accounts: Arc<Accounts>,
    ledger: Ledger,
    _casebook: Casebook,
}

impl AtRest {
    pub async fn open(config: &Config, clock: Clock) -> Result<Self, Vec<StartFault>> {
        let path = config.path(&config.ledger.key);
        let pem = read_private_file(&path).map_err(|fault| vec![fault.into()])?;
        let key = LedgerKey::from_pem(&pem).map_err(|fault| {
            vec![StartFault::File { path: path.display().to_string(), rule: fault.to_string() }]
        })?;
        let (trust, _) = TrustWatch::new(config).look(None, clock.now());
        let (ledger, casebook, recovered) =
            open_ledger(config, key, trust.auditors.to_vec(), &clock, None).await?;
        not_behind(&recovered, clock.now())?;
        let desk = open(config, &ledger, &clock).await.map_err(|fault| vec![fault])?;
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

/// A clock behind the log would write leaves before its last.
pub(super) fn not_behind(recovered: &Recovered, now: Now) -> Result<(), Vec<StartFault>> {
    let behind = recovered.last_ms.map_or(0, |last| (last - now.ms()).div_euclid(1000));
    if behind > CLOCK_BEHIND_S { Err(vec![StartFault::ClockBehindLedger(behind)]) } else { Ok(()) }
}
