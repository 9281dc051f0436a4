//! Our own stack with less behind it, as processes of their own: what the listener costs, and what
//! the listener and the envelope cost.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use arc_swap::ArcSwap;
use bytes::Bytes;
use clap::{Subcommand, ValueEnum};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tongban::clock::Clock;
use tongban::config::Config;
use tongban::door::listener::{self, Answer, ConnInfo};
use tongban::envelope::{SignedMessage, Typ};
use tongban::gateway::{Keys, Options};
use tongban::house::TrustWatch;
use tongban::peer::{self, Directory};

#[derive(Subcommand, Clone, Debug)]
pub enum Serve {
    #[command(hide = true)]
    Serve {
        home: PathBuf,
        answer: PathBuf,
        listen: SocketAddr,
        #[arg(value_enum)]
        what: What,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    Fixed,
    VerifyOnly,
}

/// Longest wait for a body, as at the door.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
const MESSAGE_LIMIT: usize = 256 * 1024;

/// Serves until it is killed.
pub fn serve(Serve::Serve { home, answer, listen, what }: Serve) -> Result<()> {
    let told = |fault: &dyn std::fmt::Display| anyhow!("{fault}");
    let config = Config::load(&home.join("gateway.toml")).map_err(|_| anyhow!("the configuration"))?;
    let clock = Clock::system();
    let keys = Keys::load(&config, &Options::default()).map_err(|faults| anyhow!("{:?}", faults.first()))?;
    let (trust, _) = TrustWatch::new(&config).look(None, clock.now());
    let directory = Arc::new(ArcSwap::new(trust.directory));
    let tls = peer::partner_server_config(keys.partner.credentials, directory.clone(), clock.clone())
        .map_err(|fault| told(&fault))?;
    let stack = Arc::new(Stack { directory, clock, answer: std::fs::read(answer)?.into(), what });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpListener::bind(listen).await?;
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let service = move |request, conn| {
            let stack = stack.clone();
            async move { stack.answer(request, conn).await }
        };
        listener::serve(socket, Some(tls), listener::Limits::default(), Arc::default(), service, stopped)
            .await;
        Ok(())
    })
}

struct Stack {
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
    answer: Bytes,
    what: What,
}

impl Stack {
    async fn answer(&self, request: Request<Incoming>, conn: Arc<ConnInfo>) -> Answer {
        if self.what == What::VerifyOnly && !self.holds(request, &conn).await {
            return listener::bare(StatusCode::UNAUTHORIZED);
        }
        let mut answer = Response::new(http_body_util::Either::Left(Full::new(self.answer.clone())));
        // Or the listener would close the connection.
        answer.extensions_mut().insert(listener::BodyRead);
        answer
    }

    /// Who calls, the key, the algorithm, the signature, the strict payload; nothing after that.
    async fn holds(&self, request: Request<Incoming>, conn: &ConnInfo) -> bool {
        let now = self.clock.now();
        let Ok(peer) = conn.identity(&self.directory.load(), now) else { return false };
        let Ok(body) = listener::collect_body(request.into_body(), MESSAGE_LIMIT, BODY_DEADLINE).await else {
            return false;
        };
        SignedMessage::parse(&body)
            .and_then(|signed| signed.open(Typ::Request, peer.card().keys(), now))
            .is_ok()
    }
}
