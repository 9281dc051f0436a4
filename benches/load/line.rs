//! The closed loop: so many requests in flight, the next one when an answer is whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tongban::clock::Clock;
use tongban::ledger::checkpoint::Checkpoint;

use super::requests::Request;
use super::scene::{Scene, Tls};
use super::window::Window;

type HttpRequest = hyper::Request<Full<Bytes>>;

const EXCHANGE: &str = "/v1/exchange";
/// Streams on one HTTP/2 connection.
const STREAMS: u16 = 8;
/// Of so many answers one is kept and checked whole after the window (the bar is one of a hundred).
const SAMPLE: usize = 50;
/// A leaf stands under a signed checkpoint within 10 s (protocol §7).
const SEALED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    H1,
    H2,
}

/// How to reach the gateway.
pub struct Line {
    connector: TlsConnector,
    addr: SocketAddr,
    protocol: Protocol,
    in_flight: u16,
    carried: Carried,
}

/// Where a request has its signed message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// The whole body, as the protocol has it.
    #[default]
    Body,
    /// `Authorization: Bearer`, where proxies look for one.
    Bearer,
    /// Nowhere: a GET of something that does not change.
    Nowhere(&'static str),
}

/// Connections that have shaken hands; one sender for each request in flight.
pub struct OpenLine {
    pub senders: Vec<Sender>,
    pub authority: String,
    carried: Carried,
}

pub enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Line {
    pub fn new(tls: &Tls, addr: SocketAddr, protocol: Protocol, in_flight: u16) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for server in CertificateDer::pem_slice_iter(&tls.server_chain) {
            roots.add(server?)?;
        }
        let chain = CertificateDer::pem_slice_iter(&tls.chain).collect::<Result<Vec<_>, _>>()?;
        let mut config = rustls::ClientConfig::builder_with_provider(tongban::peer::provider().clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&tls.key)?)?;
        config.alpn_protocols = vec![match protocol {
            Protocol::H1 => b"http/1.1".to_vec(),
            Protocol::H2 => b"h2".to_vec(),
        }];
        Ok(Self { connector: Arc::new(config).into(), addr, protocol, in_flight, carried: Carried::Body })
    }

    /// The same, with the message elsewhere.
    pub fn carrying(self, carried: Carried) -> Self {
        Self { carried, ..self }
    }

    /// Opens the connections and sends everything; for what is not measured.
    pub async fn send(&self, batch: Vec<Request>, until: Instant) -> Result<Window> {
        self.open().await?.drive(batch, until).await
    }

    pub async fn open(&self) -> Result<OpenLine> {
        let mut senders = Vec::new();
        while senders.len() < usize::from(self.in_flight) {
            let io = TokioIo::new(self.secured().await?);
            match self.protocol {
                Protocol::H1 => {
                    let (sender, connection) = http1::handshake(io).await?;
                    tokio::spawn(connection);
                    senders.push(Sender::Http1(sender));
                }
                Protocol::H2 => {
                    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                    tokio::spawn(connection);
                    let room = usize::from(self.in_flight) - senders.len();
                    senders.extend((0..room.min(STREAMS.into())).map(|_| Sender::Http2(sender.clone())));
                }
            }
        }
        Ok(OpenLine { senders, authority: self.addr.to_string(), carried: self.carried })
    }

    /// A connection that has shaken hands and says nothing yet.
    pub async fn secured(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.addr).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.addr.ip().into());
        Ok(self.connector.connect(name, stream).await?)
    }

    /// Waits for a signed checkpoint that covers the leaf at `index`.
    pub async fn checkpoint_over(&self, scene: &Scene, index: u64) -> Result<Checkpoint> {
        let OpenLine { mut senders, authority, .. } = self.open().await?;
        let sender = senders.first_mut().context("there is a connection")?;
        let origin = tongban::ledger::current_origin(scene.answering, Clock::system().now());
        let path = format!("/v1/log/{origin}/checkpoint");
        let until = Instant::now() + SEALED_WITHIN;
        loop {
            let answer = sender.send(get(&path)?, &authority).await?;
            let note = answer.into_body().collect().await?.to_bytes();
            let signed = Checkpoint::peek(&note).map_err(|fault| anyhow!("{fault}"))?;
            if signed.size > index {
                return Ok(signed);
            }
            ensure!(Instant::now() < until, "void: no checkpoint over leaf {index} within {SEALED_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl OpenLine {
    /// Sends `batch` and returns when every answer is there, or what was begun before `until`.
    pub async fn drive(&mut self, batch: Vec<Request>, until: Instant) -> Result<Window> {
        self.drive_to(batch, until, StatusCode::OK).await
    }

    /// As `drive`, where every answer must have another status.
    pub async fn drive_to(
        &mut self,
        batch: Vec<Request>,
        until: Instant,
        must: StatusCode,
    ) -> Result<Window> {
        let shared = Arc::new(Shared {
            next: AtomicUsize::new(0),
            batch,
            authority: self.authority.clone(),
            carried: self.carried,
            until,
            must,
        });
        // A task each: one that waits costs nothing while another is answered.
        let mut loops = JoinSet::new();
        for sender in self.senders.drain(..) {
            loops.spawn(Arc::clone(&shared).turn(sender));
        }
        let mut whole = Window::default();
        let mut kept = Vec::new();
        while let Some(ended) = loops.join_next().await {
            let (sender, window, answers) = ended??;
            self.senders.push(sender);
            whole.latencies.extend(window.latencies);
            whole.request_bytes += window.request_bytes;
            whole.answer_bytes += window.answer_bytes;
            kept.extend(answers);
        }
        let shared = Arc::into_inner(shared).context("every loop has ended")?;
        let mut requests: Vec<Option<Request>> = shared.batch.into_iter().map(Some).collect();
        for (nth, body) in kept {
            whole.samples.extend(requests.get_mut(nth).and_then(Option::take).map(|request| (request, body)));
        }
        Ok(whole)
    }
}

/// What the loops of one window share.
struct Shared {
    batch: Vec<Request>,
    next: AtomicUsize,
    authority: String,
    carried: Carried,
    until: Instant,
    must: StatusCode,
}

/// A request's place in its batch, and its answer.
type Kept = (usize, Bytes);

impl Shared {
    /// The next request when the last one's answer is whole.
    async fn turn(self: Arc<Self>, mut sender: Sender) -> Result<(Sender, Window, Vec<Kept>)> {
        let (mut window, mut kept) = (Window::default(), Vec::new());
        loop {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = self.batch.get(nth) else { break };
            let begun = Instant::now();
            if begun >= self.until {
                break;
            }
            let answer = sender.send(self.carried.request(&request.body)?, &self.authority).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            window.latencies.push(begun.elapsed().as_micros().try_into()?);
            if status != self.must {
                bail!("void: answered {status}: {}", String::from_utf8_lossy(&body));
            }
            window.request_bytes += request.body.len() as u64;
            window.answer_bytes += body.len() as u64;
            if nth.is_multiple_of(SAMPLE) || nth + 1 == self.batch.len() {
                kept.push((nth, body));
            }
        }
        Ok((sender, window, kept))
    }
}

impl OpenLine {
    /// Asks once on its first connection, for what is carried nowhere.
    pub async fn ask(&mut self) -> Result<()> {
        let request = self.carried.request(&Bytes::new())?;
        let sender = self.senders.first_mut().context("there is a connection")?;
        let answer = sender.send(request, &self.authority).await?;
        ensure!(answer.status() == StatusCode::OK, "void: answered {}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    }

    pub fn is_open(&self) -> bool {
        self.senders.iter().all(|sender| match sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        })
    }
}

/// Runs futures side by side on this task until all have ended.
pub async fn futures_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut ready = true;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

fn get(path: &str) -> Result<HttpRequest> {
    Ok(hyper::Request::get(path).body(Full::default())?)
}

impl Carried {
    fn request(self, message: &Bytes) -> Result<HttpRequest> {
        Ok(match self {
            Self::Body => hyper::Request::post(EXCHANGE)
                .header(CONTENT_TYPE, "application/tongban-request+jwt")
                .body(Full::new(message.clone()))?,
            Self::Bearer => {
                let token = [b"Bearer ", message.as_ref()].concat();
                hyper::Request::get(EXCHANGE).header(AUTHORIZATION, token).body(Full::default())?
            }
            Self::Nowhere(path) => get(path)?,
        })
    }
}

impl Sender {
    /// Sends a request whose target is a path.
    pub async fn send(&mut self, mut request: HttpRequest, authority: &str) -> Result<Response<Incoming>> {
        Ok(match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                request.headers_mut().insert(HOST, authority.parse()?);
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                *request.uri_mut() = format!("https://{authority}{}", request.uri()).parse()?;
                sender.send_request(request).await?
            }
        })
    }
}
