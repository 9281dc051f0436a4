//! A server that is up: how it is started, what it answered, what it must have recorded.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use hyper::StatusCode;

use crate::Arguments;
use crate::contender::Kind;
use crate::judge::{self, Sent};
use crate::load::county::free_address;
use crate::load::line::Line;
use crate::load::process::{Launch, SERVER_CORE, Server};
use crate::load::scene::Scene;
use crate::load::window::{Checked, Window};
use crate::peers::Given;

/// What a server must have recorded in the end.
enum Truth {
    Ledger {
        sealed: bool,
    },
    Record(PathBuf),
    /// Answers this text and records nothing.
    Fixed,
}

pub struct Host<'a> {
    pub kind: Kind,
    pub server: Server,
    pub addr: SocketAddr,
    pub scene: &'a Scene,
    truth: Truth,
    pub sent: Sent,
    answers: u64,
    checked: Checked,
}

impl<'a> Host<'a> {
    pub async fn start(
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

    pub fn judge(&mut self, window: &Window, must: StatusCode, given: &Given) -> Result<()> {
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

    /// Its name and the end of its log.
    pub fn told(&self) -> String {
        format!("{}\n{}", self.kind.name(), self.server.said())
    }

    /// CPU time of the threads that only keep the ledger.
    pub fn ledger_cpu(&self) -> Result<Duration> {
        let threads = self.server.threads()?;
        Ok(threads.iter().filter(|(name, _)| name.starts_with("ledger")).map(|(_, cpu)| *cpu).sum())
    }

    pub async fn end(self) -> Result<()> {
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
