//! Where the command line stands at the desk: through the socket of the gateway that runs on a
//! directory, or, when none does, with the store's lock in its own hand. The same errand both
//! ways.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;

use super::super::{Common, Exit, Outcome, Stop, out};
use crate::audit::{Errand, Sent};
use crate::clock::Clock;
use crate::config::Config;
use crate::door::admin::{DESK, LINK, LinkAsked, problem_of, socket_path};
use crate::gateway::AtRest;

/// The longest errand: a completeness check over a large log.
const DEADLINE: Duration = Duration::from_secs(600);
/// Octets of an answer: a hundred exchanges with their evidence.
const MOST_ANSWER_BYTES: usize = 128 << 20;

/// Who sends an errand.
#[derive(clap::Args)]
pub struct As {
    /// The account of trust/console that acts 账户名
    #[arg(long = "as", value_name = "NAME")]
    name: String,
}

/// Who sends an errand, and why.
#[derive(clap::Args)]
pub struct Why {
    #[command(flatten)]
    by: As,
    /// What for, in words that name no person 用途
    #[arg(long)]
    purpose: String,
    /// The paper that asks for it: order or case number 文号或案号
    #[arg(long)]
    order: String,
}

impl As {
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// For errands that need no reason of their own.
    pub fn sends(&self, errand: Errand) -> Sent {
        Sent { by: self.name.clone(), purpose: String::new(), order: String::new(), errand }
    }
}

impl Why {
    pub fn sends(&self, errand: Errand) -> Sent {
        let (purpose, order) = (self.purpose.clone(), self.order.clone());
        Sent { by: self.by.name.clone(), purpose, order, errand }
    }
}

/// What came of an errand.
pub enum Answer {
    Done(Value),
    /// An RFC 9457 problem.
    Refused(Value),
}

impl Answer {
    /// Shows what was done with `show`, or as JSON; a refusal is told and the command failed.
    pub fn print(self, common: &Common, show: impl FnOnce(&Value)) -> Outcome {
        match self {
            Self::Done(value) if common.json => out::json(&value),
            Self::Done(value) => show(&value),
            Self::Refused(problem) => return refused(&problem, common),
        }
        Ok(Exit::Well)
    }

    /// The result; a refusal ends the command.
    pub fn done(self) -> Result<Value, Stop> {
        match self {
            Self::Done(value) => Ok(value),
            Self::Refused(problem) => Err(Stop::failed(words(&problem))),
        }
    }
}

fn refused(problem: &Value, common: &Common) -> Outcome {
    if common.json {
        out::json(problem);
    } else {
        out::complain(words(problem));
    }
    Ok(Exit::Failed)
}

fn words(problem: &Value) -> String {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{}: {} {}", text("code"), text("title"), text("title_zh"))
}

/// Sends an errand.
pub fn send(common: &Common, sent: &Sent) -> Result<Answer, Stop> {
    let config = common.load()?;
    on_runtime(async {
        match connect(&config.data_dir()).await? {
            Some(stream) => post(stream, DESK, sent).await,
            None => at_rest(&config, sent.clone(), common.offline).await,
        }
    })
}

/// A one-time sign-in link of the running gateway's console.
pub fn link(common: &Common, account: &str) -> Result<Answer, Stop> {
    let config = common.load()?;
    on_runtime(async {
        match connect(&config.data_dir()).await? {
            Some(stream) => post(stream, LINK, &LinkAsked { account: account.to_owned() }).await,
            None => Err(Stop::failed("no gateway runs on this directory 网关未运行")),
        }
    })
}

fn on_runtime<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
    runtime.block_on(work)
}

/// The running gateway's socket; `None` when no gateway listens there.
async fn connect(data: &Path) -> Result<Option<UnixStream>, Stop> {
    let failed =
        |e: std::io::Error| Stop::failed(format_args!("{}: {}", data.join("admin.sock").display(), e.kind()));
    let (path, _folder) = match socket_path(data) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

async fn at_rest(config: &Config, sent: Sent, offline: bool) -> Result<Answer, Stop> {
    let desk = AtRest::open(config, Clock::system(), offline)
        .await
        .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
    Ok(match desk.run(sent).await {
        Ok(value) => Answer::Done(value),
        Err(fault) => Answer::Refused(problem_of(&fault)),
    })
}

async fn post(stream: UnixStream, path: &str, body: &impl Serialize) -> Result<Answer, Stop> {
    let told = tokio::time::timeout(DEADLINE, exchange(stream, path, body)).await;
    let (status, body) = told
        .unwrap_or_else(|_| Err("no answer in time 响应超时".to_owned()))
        .map_err(|why| Stop::failed(format_args!("the gateway's admin socket: {why}")))?;
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (status, &value) {
        (200, _) => Ok(Answer::Done(value)),
        (_, Value::Object(_)) => Ok(Answer::Refused(value)),
        (status, _) => Err(Stop::failed(format_args!("the gateway's admin socket: status {status}"))),
    }
}

async fn exchange(stream: UnixStream, path: &str, body: &impl Serialize) -> Result<(u16, Bytes), String> {
    let broken = |_| "the connection broke before the answer was there".to_owned();
    let body = serde_json::to_vec(body).map_err(|_| "the errand cannot be written".to_owned())?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| "the errand cannot be sent".to_owned())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends by itself when `sender` is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MOST_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|_| "the answer is too long or broke off".to_owned())?
        .to_bytes();
    Ok((status, body))
}
