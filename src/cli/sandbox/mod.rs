//! `sandbox`: one command that runs a region to develop against, with the published keys and the
//! synthetic papers of the conformance scene. Every refusal says what it comes from.
//!
//! Promises: no key in it is anybody's own; where one is, it does not run. What it keeps lies in
//! one folder, which goes with it unless a person named it.

mod keys;
mod place;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Exit, Outcome, Stop};
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::{self, Options, Running};
use crate::telemetry;
use place::Place;

/// Run a region to develop against: published keys, synthetic licenses, explained refusals.
#[derive(Args)]
pub struct Sandbox {
    /// Keep everything here; left out: a temporary folder that goes at the end 数据目录
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where partners reach it 对外地址
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:18443")]
    listen: SocketAddr,
    /// Its local door, for readyz 对内地址
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:18480")]
    local: SocketAddr,
}

/// How often it looks whether a key came in that is somebody's own.
const LOOK: Duration = Duration::from_secs(1);

impl Sandbox {
    pub fn run(self, common: &Common) -> Outcome {
        // Beside a gateway's own configuration it does not run: nobody shall take one for the other.
        if common.config.exists() {
            keys::only_published(&common.load()?)?;
        }
        let place = Place::make(self.data.as_deref(), self.listen, self.local)?;
        let config = Config::load(&place.config())?;
        keys::only_published(&config)?;
        telemetry::start_logging();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
        runtime.block_on(serve(config, &place))
    }
}

async fn serve(config: Config, place: &Place) -> Outcome {
    let receive = |kind| {
        signal(kind).map_err(|e| Stop::failed(format_args!("signals cannot be received ({})", e.kind())))
    };
    let (mut term, mut interrupt) = (receive(SignalKind::terminate())?, receive(SignalKind::interrupt())?);
    let options = Options { demo: true, sandbox: true, ..Options::default() };
    let running = gateway::start(config, Clock::system(), options)
        .await
        .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
    let ended = match place.furnish(&running.house.own_card()) {
        Ok(()) => {
            place.introduce(running.partner_addr);
            let mut look = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = term.recv() => break Ok(Exit::Well),
                    _ = interrupt.recv() => break Ok(Exit::Well),
                    () = running.poisoned() => break Err(Stop::failed("the sandbox's exchange log failed with an I/O error")),
                    _ = look.tick() => if let Err(stop) = looked_after(&running, place) { break Err(stop) },
                }
            }
        }
        Err(stop) => Err(stop),
    };
    running.stop().await;
    ended
}

/// Somebody's own key stops it; the citizen's token is renewed before it runs out.
fn looked_after(running: &Running, place: &Place) -> Result<(), Stop> {
    keys::none_but_published(&running.house.trust.load())?;
    place.renew_authorization()
}
