//! The accept loop under every door: connections in, requests out to a service, and no
//! way to hold a connection by saying nothing.
//!
//! Promises: each phase of a connection has a deadline, each kind of resource a cap
//! ([`Limits`]); a panic in the service costs one `500`; a shutdown finishes what is in
//! flight. Protocol by ALPN, never by sniffing: hyper's sniffer has no timer.
//! Leaves to others: routing, and what a caller may do.

mod body;
mod caller;
mod connection;
mod heard;
mod hygiene;
mod pulse;
mod tally;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::material::Pieces;

pub use body::{BODY_DEADLINE, BodyFault, collect_body};
pub use caller::ConnInfo;
pub use hygiene::refuse_odd;

pub use connection::BodyRead;
use connection::{Http, Protocol};
use tally::Tally;

/// What a service answers with: bytes, or a file that is read while it is sent.
pub type Answer = Response<AnswerBody>;

pub type AnswerBody = Either<Full<Bytes>, Pieces>;

/// Turns true (or its sender goes away) when the doors are to close.
pub type Shutdown = watch::Receiver<bool>;

/// An answer without a body: it cannot repeat what was sent.
pub fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// Deadlines count from the accept or from the first byte of their phase; all are maxima
/// (protocol §2).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once. Each may cost about 100 KiB of buffers, and one descriptor.
    pub connections: usize,
    /// Connections one certificate may hold: enough for HTTP/1.1 without multiplexing, too
    /// few to crowd out the others.
    pub connections_per_peer: usize,
    /// Unfinished TLS handshakes at once; a CPU does a few thousand a second, and what
    /// waits here is mostly silence.
    pub handshakes: usize,
    /// Unfinished handshakes from one address, so that one silent host cannot fill
    /// `handshakes`.
    pub handshakes_per_address: usize,
    /// TLS handshake, from accept.
    pub handshake: Duration,
    /// The first request's head complete, from accept.
    pub first_request: Duration,
    /// One HTTP/1.1 request head, from its first byte.
    pub header: Duration,
    /// A connection without a request in flight.
    pub idle: Duration,
    /// After this a connection is asked to leave, so that a peer comes back with the
    /// certificate and to the process of today. Spread by up to a tenth.
    pub age: Duration,
    /// What is in flight may finish for so long once the connection is to leave.
    pub drain: Duration,
    /// HTTP/2 streams at once on a connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_peer: 64,
            handshakes: 256,
            handshakes_per_address: 64,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(15),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            age: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            streams: 64,
        }
    }
}

/// Counters for `/metrics`; one set a door.
#[derive(Debug, Default)]
pub struct ListenerStats {
    pub accepted: AtomicU64,
    pub accept_failed: AtomicU64,
    /// A gauge.
    pub open: AtomicU64,
    pub handshakes_failed: AtomicU64,
    /// Closed because an address or a peer had its share.
    pub over_share: AtomicU64,
    /// Cut for silence: handshake, first request, header.
    pub timed_out: AtomicU64,
    /// Refused by [`refuse_odd`].
    pub odd_requests: AtomicU64,
    pub panics: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How long the loop rests when the system has no descriptor left (EMFILE, ENFILE):
/// spinning would take the CPU from those who could give one back.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Milliseconds after which a caller that acknowledges nothing of what was sent is gone
/// (TCP_USER_TIMEOUT): the system alone would wait some fifteen minutes.
const UNACKNOWLEDGED_MS: u32 = 20_000;

/// Accepts until `shutdown`, then waits for what is in flight (at most [`Limits::drain`]).
pub async fn serve<F, Fut>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    limits: Limits,
    stats: Arc<ListenerStats>,
    service: F,
    mut shutdown: Shutdown,
) where
    F: Fn(Request<Incoming>, Arc<ConnInfo>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let all_slots = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let patience = limits.drain + Duration::from_secs(1);
    let door = Arc::new(Door {
        tls: tls.map(TlsAcceptor::from),
        handshakes: Semaphore::new(limits.handshakes),
        addresses: Tally::new(limits.handshakes_per_address),
        peers: Tally::new(limits.connections_per_peer),
        limits,
        stats,
        service,
    });
    loop {
        let slot = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, remote)) = accepted else {
            count(&door.stats.accept_failed);
            sleep(ACCEPT_REST).await;
            continue;
        };
        let (door, shutdown) = (Arc::clone(&door), shutdown.clone());
        tokio::spawn(async move {
            count(&door.stats.accepted);
            let _open = Open::new(Arc::clone(&door.stats));
            door.welcome(stream, remote, shutdown).await;
            drop(slot);
        });
    }
    drop(listener);
    // Each connection cuts itself off after `drain`; this only waits for all of them.
    timeout(patience, slots.acquire_many(all_slots)).await.ok();
}

async fn stopped(shutdown: &mut Shutdown) {
    shutdown.wait_for(|stop| *stop).await.ok();
}

/// One door's settings and shares.
struct Door<F> {
    tls: Option<TlsAcceptor>,
    handshakes: Semaphore,
    addresses: Tally<IpAddr>,
    peers: Tally<caller::Peer>,
    limits: Limits,
    stats: Arc<ListenerStats>,
    service: F,
}

impl<F, Fut> Door<F>
where
    F: Fn(Request<Incoming>, Arc<ConnInfo>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    async fn welcome(&self, stream: TcpStream, remote: SocketAddr, mut shutdown: Shutdown) {
        let accepted = Instant::now();
        // Answers are single writes; waiting to fill a packet only adds 40 ms.
        stream.set_nodelay(true).ok();
        // Where the system has no such setting the answer's own deadline is what remains.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MS);
        let http = Http { limits: &self.limits, stats: &self.stats, service: &self.service, accepted };
        let Some(acceptor) = &self.tls else {
            return http.serve(stream, Protocol::Http1, ConnInfo::plain(remote), shutdown).await;
        };
        let secured = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => return,
            secured = self.handshake(acceptor, stream, remote, accepted) => secured,
        };
        let Some(secured) = secured else { return };
        let (_, tls) = secured.get_ref();
        let protocol = match tls.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let caller = ConnInfo::secured(remote, tls.peer_certificates());
        let _share = match caller.peer() {
            None => None,
            Some(peer) => match self.peers.enter(peer) {
                Some(share) => Some(share),
                None => return count(&self.stats.over_share),
            },
        };
        http.serve(secured, protocol, caller, shutdown).await;
    }

    async fn handshake(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
        remote: SocketAddr,
        accepted: Instant,
    ) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
        let Some(_share) = self.addresses.enter(remote.ip()) else {
            count(&self.stats.over_share);
            return None;
        };
        let secured = timeout_at(accepted + self.limits.handshake, async {
            let _turn = self.handshakes.acquire().await;
            acceptor.accept(stream).await
        });
        match secured.await {
            Ok(Ok(secured)) => Some(secured),
            Ok(Err(error)) => {
                count(&self.stats.handshakes_failed);
                tracing::info!(%remote, reason = %error, "handshake refused");
                None
            }
            Err(_) => {
                count(&self.stats.handshakes_failed);
                count(&self.stats.timed_out);
                None
            }
        }
    }
}

/// Keeps the gauge right on every way out.
struct Open(Arc<ListenerStats>);

impl Open {
    fn new(stats: Arc<ListenerStats>) -> Self {
        count(&stats.open);
        Self(stats)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
