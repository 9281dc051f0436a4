//! Calls to a target's partner door: TLS 1.3 with an identity of the scene, HTTP by hyper, and
//! a few calls that no proper client would make.
//!
//! Promises: every call has a connection of its own; the target's certificate must be its
//! member's, by a CA of the scene; nothing waits longer than its limit.

mod hello;
mod identity;
mod raw;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request as HttpRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use identity::{key_of, server_config};
pub use raw::{Heard, Pace};

use super::{ConformanceFault, Ground};

/// Longest wait for an answer that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A server under attack by a test may close late, but it must accept at once.
const CONNECT: Duration = Duration::from_secs(10);

/// Unfinished handshakes at once: a gateway may bound those of one address.
const HANDSHAKES: usize = 16;

/// A call to be made.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Without a length.
    pub chunked: bool,
    pub http2: bool,
}

/// What came back, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    #[error("nobody accepts connections there")]
    NotConnected,
    #[error("the connection was refused or closed without an answer")]
    Closed,
    #[error("no answer in time")]
    Late,
    #[error("the request cannot be written")]
    Request,
}

/// The target's partner door, as everybody on stage sees it.
pub struct Wire {
    host: String,
    port: u16,
    callers: BTreeMap<String, Arc<ClientConfig>>,
    shaking: Semaphore,
}

/// A connection that has shown who it is.
pub struct Ready(TlsStream<TcpStream>);

impl Ready {
    /// Its only call.
    pub async fn send(self, request: &Request) -> Result<Answer, Silence> {
        tokio::time::timeout(PATIENCE, exchange(self.0, request)).await.map_err(|_| Silence::Late)?
    }
}

/// An open HTTP/1.1 connection for several calls, one after the other.
pub struct Kept(http1::SendRequest<Body>);

impl Kept {
    pub async fn call(&mut self, request: &Request) -> Result<Answer, Silence> {
        let answer = async {
            self.0.ready().await.map_err(|_| Silence::Closed)?;
            let answer = self.0.send_request(http(request, false)?).await.map_err(|_| Silence::Closed)?;
            whole(answer).await
        };
        tokio::time::timeout(PATIENCE, answer).await.map_err(|_| Silence::Late)?
    }
}

impl Wire {
    /// `member` is whom the target must prove to be.
    pub fn new(ground: &Ground, endpoint: &str, member: &str) -> Result<Self, ConformanceFault> {
        let wrong = || ConformanceFault::Address(endpoint.to_owned());
        let uri: hyper::Uri = endpoint.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let urn = ground.scene.urn(member);
        let mut callers = BTreeMap::new();
        let anybody = [("none".to_owned(), None)].into_iter();
        let known = ground.identities.iter().map(|(name, identity)| (name.clone(), Some(identity)));
        for (name, identity) in anybody.chain(known) {
            callers.insert(name, Arc::new(identity::client_config(&ground.ca, &urn, identity)?));
        }
        let shaking = Semaphore::new(HANDSHAKES);
        Ok(Self { host, port: uri.port_u16().unwrap_or(443), callers, shaking })
    }

    pub async fn tcp(&self) -> Result<TcpStream, Silence> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| Silence::NotConnected)?;
        stream.map_err(|_| Silence::NotConnected)
    }

    async fn tls(&self, identity: &str, http2: bool) -> Result<TlsStream<TcpStream>, Silence> {
        let mut config = ClientConfig::clone(self.callers.get(identity).ok_or(Silence::Request)?);
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        self.handshake(Arc::new(config)).await
    }

    async fn handshake(&self, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Silence> {
        let _turn = self.shaking.acquire().await.map_err(|_| Silence::NotConnected)?;
        let stream = self.tcp().await?;
        let name = ServerName::try_from(self.host.clone()).map_err(|_| Silence::Request)?;
        let shaking = TlsConnector::from(config).connect(name, stream);
        tokio::time::timeout(CONNECT, shaking).await.map_err(|_| Silence::Late)?.map_err(|_| Silence::Closed)
    }

    /// One call on a connection of its own.
    pub async fn call(&self, identity: &str, request: &Request) -> Result<Answer, Silence> {
        self.ready(identity, request.http2).await?.send(request).await
    }

    /// A connection for one call, made before it.
    pub async fn ready(&self, identity: &str, http2: bool) -> Result<Ready, Silence> {
        self.tls(identity, http2).await.map(Ready)
    }

    /// A connection that stays open between calls.
    pub async fn kept(&self, identity: &str) -> Result<Kept, Silence> {
        let stream = TokioIo::new(self.tls(identity, false).await?);
        let (sender, connection) = http1::handshake(stream).await.map_err(|_| Silence::Closed)?;
        tokio::spawn(connection);
        Ok(Kept(sender))
    }

    /// Many calls on one HTTP/2 connection, as fast as it takes them.
    pub async fn burst(&self, identity: &str, requests: Vec<Request>) -> Result<Vec<Answer>, Silence> {
        let stream = TokioIo::new(self.tls(identity, true).await?);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(|_| Silence::Closed)?;
        tokio::spawn(connection);
        let mut under_way = JoinSet::new();
        for request in requests {
            let (mut sender, request) = (sender.clone(), http(&request, true)?);
            under_way.spawn(async move { whole(sender.send_request(request).await.ok()?).await.ok() });
        }
        let answers =
            tokio::time::timeout(PATIENCE, under_way.join_all()).await.map_err(|_| Silence::Late)?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Whether a second connection of the same caller goes on with the session of the first.
    pub async fn resumes(&self, identity: &str, request: &Request) -> Result<bool, Silence> {
        let config = Arc::clone(self.callers.get(identity).ok_or(Silence::Request)?);
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let first = self.handshake(Arc::clone(&config)).await?;
        // Tickets come with the first bytes of an answer.
        tokio::time::timeout(PATIENCE, exchange(first, request)).await.map_err(|_| Silence::Late)??;
        let second = self.handshake(config).await?;
        Ok(second.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
    }
}

async fn exchange(stream: TlsStream<TcpStream>, request: &Request) -> Result<Answer, Silence> {
    let io = TokioIo::new(stream);
    let closed = |_| Silence::Closed;
    let answer = if request.http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(closed)?;
        tokio::spawn(connection);
        sender.send_request(http(request, true)?).await.map_err(closed)?
    } else {
        let (mut sender, connection) = http1::handshake(io).await.map_err(closed)?;
        tokio::spawn(connection);
        sender.send_request(http(request, false)?).await.map_err(closed)?
    };
    whole(answer).await
}

async fn whole(answer: hyper::Response<Incoming>) -> Result<Answer, Silence> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Silence::Closed)?.to_bytes();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

type Body = BoxBody<Bytes, Infallible>;

fn http(request: &Request, http2: bool) -> Result<HttpRequest<Body>, Silence> {
    let uri = if http2 { format!("https://target{}", request.path) } else { request.path.clone() };
    let mut built = HttpRequest::builder().method(request.method.as_str()).uri(uri);
    if !http2 {
        built = built.header("host", "target");
    }
    for (name, value) in &request.headers {
        built = built.header(name, value);
    }
    let body: Body = if request.chunked {
        Pieces(request.body.chunks(16_384).map(Bytes::copy_from_slice).collect()).boxed()
    } else {
        Full::new(request.body.clone()).boxed()
    };
    built.body(body).map_err(|_| Silence::Request)
}

/// A body whose length nobody knows.
struct Pieces(VecDeque<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}
