//! The connections to one partner: a single shared one where it speaks HTTP/2, a few kept
//! ones where it speaks HTTP/1.1. Made by hand rather than by a pooling client, because
//! we want to know why a call failed, and one handshake for a hundred waiting calls.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::uri::{PathAndQuery, Scheme, Uri};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::card::Endpoint;
use super::client::{ClientLimits, PartnerAnswer, RESPONSE, SendFault};
use super::directory::{NotAMember, certificate_text};

type Body = Full<Bytes>;

/// Unused HTTP/1.1 connections kept a partner; an HTTP/2 partner needs one in all.
const MOST_IDLE: usize = 16;
/// Bytes of an answer's head.
const HEAD: usize = 32 * 1024;
/// Bytes an answer may send ahead of our reading.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// A partner that vanished without a word is noticed within the sum of these two.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// TLS 1.3 tells a client that its certificate was refused after the handshake, on the
/// connection's own task; this long a failed request waits for that word.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What to ask for; can be asked again on another connection.
pub(super) struct Ask {
    pub(super) path: PathAndQuery,
    pub(super) body: Bytes,
    /// `None` makes it a GET.
    pub(super) content_type: Option<&'static str>,
}

/// One partner under one directory.
pub(super) struct Partner {
    endpoint: Endpoint,
    tls: TlsConnector,
    generation: u64,
    places: Places,
    limits: ClientLimits,
    pool: Mutex<Pool>,
}

/// Places for calls, and for files beside them.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) calls: Arc<Semaphore>,
    pub(super) files: Arc<Semaphore>,
}

enum Pool {
    /// Not connected; why not, if somebody tried.
    Empty(Option<(Instant, SendFault)>),
    Http2(Link<http2::SendRequest<Body>>),
    Http1(Vec<Link<http1::SendRequest<Body>>>),
}

#[derive(Clone)]
pub(super) struct Link<S> {
    pub(super) sender: S,
    /// Base64 of the DER of the certificate the partner showed.
    certificate: Bytes,
    made: Instant,
    used: Instant,
    /// Set when the connection ended, with the reason if it was an error.
    pub(super) end: watch::Receiver<Option<SendFault>>,
}

enum AnyLink {
    Http2(Link<http2::SendRequest<Body>>),
    Http1(Link<http1::SendRequest<Body>>),
}

impl<S> Link<S> {
    fn fresh_enough(&self, limits: &ClientLimits) -> bool {
        self.made.elapsed() < limits.age && self.used.elapsed() < limits.idle && self.end.borrow().is_none()
    }
}

impl Partner {
    pub(super) fn new(
        endpoint: Endpoint,
        tls: Arc<ClientConfig>,
        generation: u64,
        places: Places,
        limits: ClientLimits,
    ) -> Self {
        let pool = Mutex::new(Pool::Empty(None));
        Self { endpoint, tls: TlsConnector::from(tls), generation, places, limits, pool }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn places(&self) -> Places {
        self.places.clone()
    }

    pub(super) async fn call(&self, ask: &Ask, deadline: Instant) -> Result<PartnerAnswer, SendFault> {
        let link = timeout_at(deadline, self.link()).await.unwrap_or(Err(SendFault::ConnectTimeout))?;
        match timeout_at(deadline, self.send(link, ask))
            .await
            .unwrap_or(Err(Failed::Sent(SendFault::Timeout)))
        {
            Ok(answer) => Ok(answer),
            Err(Failed::Sent(fault)) => Err(fault),
            // A kept connection was closed as we took it: once more, on a new one.
            Err(Failed::Unsent(SendFault::Broken)) => {
                let link =
                    timeout_at(deadline, self.link()).await.unwrap_or(Err(SendFault::ConnectTimeout))?;
                let again = timeout_at(deadline, self.send(link, ask));
                again.await.unwrap_or(Err(Failed::Sent(SendFault::Timeout))).map_err(Failed::fault)
            }
            Err(Failed::Unsent(fault)) => Err(fault),
        }
    }

    /// A connection to send on. While nobody knows what the partner speaks, one caller
    /// connects and the others wait for its connection, or its failure.
    async fn link(&self) -> Result<AnyLink, SendFault> {
        let asked = Instant::now();
        let mut pool = self.pool.lock().await;
        match &mut *pool {
            Pool::Http2(link) if link.fresh_enough(&self.limits) && !link.sender.is_closed() => {
                link.used = Instant::now();
                return Ok(AnyLink::Http2(link.clone()));
            }
            Pool::Http1(kept) => {
                while let Some(link) = kept.pop() {
                    if link.fresh_enough(&self.limits) && link.sender.is_ready() {
                        return Ok(AnyLink::Http1(link));
                    }
                }
                drop(pool);
                return self.connect().await;
            }
            Pool::Empty(Some((at, fault))) if *at >= asked => return Err(fault.clone()),
            Pool::Empty(_) | Pool::Http2(_) => {}
        }
        let connected = self.connect().await;
        *pool = match &connected {
            Ok(AnyLink::Http2(link)) => Pool::Http2(link.clone()),
            Ok(AnyLink::Http1(_)) => Pool::Http1(Vec::new()),
            Err(fault) => Pool::Empty(Some((Instant::now(), fault.clone()))),
        };
        connected
    }

    async fn connect(&self) -> Result<AnyLink, SendFault> {
        let stream = self.dial().await?;
        Ok(if speaks_http2(&stream) {
            AnyLink::Http2(speak_http2(stream).await?)
        } else {
            AnyLink::Http1(speak_http1(stream).await?)
        })
    }

    /// A new connection to this partner and nobody else.
    pub(super) async fn dial(&self) -> Result<TlsStream<TcpStream>, SendFault> {
        let host = self.endpoint.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| SendFault::Connect(io::ErrorKind::InvalidInput))?;
        let stream = timeout(self.limits.connect, TcpStream::connect((host, self.endpoint.port())))
            .await
            .map_err(|_| SendFault::ConnectTimeout)?
            .map_err(|e| SendFault::Connect(e.kind()))?;
        stream.set_nodelay(true).ok();
        timeout(self.limits.handshake, self.tls.connect(name, stream))
            .await
            .map_err(|_| SendFault::ConnectTimeout)?
            .map_err(|e| of_tls(&e).unwrap_or(SendFault::Connect(e.kind())))
    }

    async fn send(&self, link: AnyLink, ask: &Ask) -> Result<PartnerAnswer, Failed> {
        match link {
            AnyLink::Http2(mut link) => {
                let request = self.absolute(ask).ok_or(Failed::Unsent(SendFault::Path))?;
                let sent = link.sender.try_send_request(request).await;
                let response = match sent {
                    Ok(response) => response,
                    Err(mut e) => {
                        return Err(failed(e.take_message().is_some(), e.error(), &mut link.end).await);
                    }
                };
                let answer = self.read(response).await?;
                Ok(PartnerAnswer { certificate: link.certificate, ..answer })
            }
            AnyLink::Http1(mut link) => {
                let request = self.origin_form(ask).ok_or(Failed::Unsent(SendFault::Path))?;
                let sent = link.sender.try_send_request(request).await;
                let response = match sent {
                    Ok(response) => response,
                    Err(mut e) => {
                        return Err(failed(e.take_message().is_some(), e.error(), &mut link.end).await);
                    }
                };
                let answer = self.read(response).await?;
                let certificate = link.certificate.clone();
                self.keep(link).await;
                Ok(PartnerAnswer { certificate, ..answer })
            }
        }
    }

    fn absolute(&self, ask: &Ask) -> Option<Request<Body>> {
        Some(ask.request(self.absolute_uri(ask.path.clone())?, None))
    }

    fn origin_form(&self, ask: &Ask) -> Option<Request<Body>> {
        Some(ask.request(Uri::from(ask.path.clone()), Some(self.host()?)))
    }

    /// The address as HTTP/2 names it.
    pub(super) fn absolute_uri(&self, path: PathAndQuery) -> Option<Uri> {
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(self.endpoint.authority());
        uri.path_and_query(path).build().ok()
    }

    /// `Host`, for HTTP/1.1.
    pub(super) fn host(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.endpoint.authority()).ok()
    }

    pub(super) async fn read(&self, response: Response<Incoming>) -> Result<PartnerAnswer, Failed> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, self.limits.answer).collect().await.map_err(|e| {
            let long = e.downcast_ref::<LengthLimitError>().is_some();
            Failed::Sent(if long { SendFault::TooLarge } else { SendFault::Broken })
        })?;
        Ok(PartnerAnswer {
            status: head.status.as_u16(),
            signed: head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == RESPONSE),
            retry_after: head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()),
            body: body.to_bytes(),
            certificate: Bytes::new(),
        })
    }

    async fn keep(&self, mut link: Link<http1::SendRequest<Body>>) {
        if link.sender.ready().await.is_err() {
            return;
        }
        link.used = Instant::now();
        if let Pool::Http1(kept) = &mut *self.pool.lock().await
            && kept.len() < MOST_IDLE
        {
            kept.push(link);
        }
    }
}

pub(super) fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

pub(super) async fn speak_http2<B>(
    stream: TlsStream<TcpStream>,
) -> Result<Link<http2::SendRequest<B>>, SendFault>
where
    B: HttpBody<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let certificate = shown(&stream);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_header_list_size(HEAD as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| of_hyper(&e))?;
    Ok(link(sender, certificate, connection))
}

pub(super) async fn speak_http1<B>(
    stream: TlsStream<TcpStream>,
) -> Result<Link<http1::SendRequest<B>>, SendFault>
where
    B: HttpBody<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let certificate = shown(&stream);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| of_hyper(&e))?;
    Ok(link(sender, certificate, connection))
}

fn shown(stream: &TlsStream<TcpStream>) -> Bytes {
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    leaf.map(|der| certificate_text(der)).unwrap_or_default()
}

fn link<S>(
    sender: S,
    certificate: Bytes,
    connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
) -> Link<S> {
    let (ended, end) = watch::channel(None);
    tokio::spawn(async move {
        let fault = connection.await.map_or_else(|e| of_hyper(&e), |()| SendFault::Broken);
        ended.send_replace(Some(fault));
    });
    let now = Instant::now();
    Link { sender, certificate, made: now, used: now, end }
}

/// A call that failed, and whether the partner may have got it.
pub(super) enum Failed {
    Sent(SendFault),
    Unsent(SendFault),
}

impl Failed {
    pub(super) fn fault(self) -> SendFault {
        match self {
            Self::Sent(fault) => fault,
            Self::Unsent(fault) => fault,
        }
    }
}

pub(super) async fn failed(
    unsent: bool,
    error: &hyper::Error,
    end: &mut watch::Receiver<Option<SendFault>>,
) -> Failed {
    let mut fault = of_hyper(error);
    if fault == SendFault::Broken
        && let Ok(Ok(last)) = timeout(LAST_WORDS, end.wait_for(Option::is_some)).await
        && let Some(last) = last.clone()
    {
        fault = last;
    }
    // Whoever refused our certificate read no request.
    if unsent || matches!(fault, SendFault::RefusedUs(_)) {
        Failed::Unsent(fault)
    } else {
        Failed::Sent(fault)
    }
}

fn of_hyper(error: &hyper::Error) -> SendFault {
    let mut cause = error.source();
    while let Some(e) = cause {
        if let Some(fault) = e.downcast_ref::<io::Error>().and_then(of_tls) {
            return fault;
        }
        cause = e.source();
    }
    SendFault::Broken
}

fn of_tls(error: &io::Error) -> Option<SendFault> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match tls {
        rustls::Error::AlertReceived(alert) => SendFault::RefusedUs(format!("{alert:?}")),
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            match other.0.downcast_ref::<NotAMember>() {
                Some(why) => SendFault::NotThisPartner(why.clone()),
                None => SendFault::Tls(tls.to_string()),
            }
        }
        other => SendFault::Tls(other.to_string()),
    })
}
