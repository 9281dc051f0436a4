//! Our calls to partners: one small pool of connections a partner, to the endpoint of its
//! card and no other place.
//!
//! Promises: whoever answers proved to be exactly that partner; a change of the directory
//! takes the connections made under the old one with it; nothing is sent twice by itself
//! unless it certainly never left; every wait ends.
//! Leaves to others: what is sent, and believing what comes back (the envelope).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::card::Status;
use super::connection::{Ask, Partner, Places};
use super::credentials::Credentials;
use super::directory::{Directory, NotAMember};
use super::tls::partner_client_config;
use crate::clock::{Clock, Now};
use crate::domain::Region;

#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Requests to one partner at once; the other side's door takes as many streams.
    pub in_flight: usize,
    /// Files to one partner at once, each on a connection of its own; more would only share
    /// the line.
    pub files: usize,
    /// Waiting for one of those places. Longer means the partner is the bottleneck, and
    /// the caller should know.
    pub queue: Duration,
    /// Name lookup and TCP connect.
    pub connect: Duration,
    /// TLS handshake.
    pub handshake: Duration,
    /// The whole call, from asking for a place to the last byte.
    pub total: Duration,
    /// Bytes of an answer's body: a signed response is at most 256 KiB, a tile less.
    pub answer: usize,
    /// An unused connection is dropped before the other side's idle deadline (60 s) would
    /// close it under a request.
    pub idle: Duration,
    /// A connection is not used longer, so that a certificate that ended is noticed.
    pub age: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            in_flight: 64,
            files: 4,
            queue: Duration::from_secs(1),
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            total: Duration::from_secs(20),
            answer: 1024 * 1024,
            idle: Duration::from_secs(45),
            age: Duration::from_secs(300),
        }
    }
}

/// What a partner answered. Nothing in it is believed yet.
#[derive(Clone, Debug)]
pub struct PartnerAnswer {
    pub status: u16,
    /// It says to be a signed response (by its media type, which proves nothing yet).
    pub signed: bool,
    /// Seconds, from `Retry-After`.
    pub retry_after: Option<u32>,
    pub body: Bytes,
    /// Base64 of the DER of the certificate it showed on this connection.
    pub certificate: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    #[error("there is no card of {0}")]
    NoSuchPartner(Region),
    #[error("{0} is not active")]
    NotActive(Region),
    #[error("the path cannot be asked for")]
    Path,
    #[error("our own TLS settings cannot be used")]
    Settings,
    #[error("too many requests to this partner are under way")]
    Busy,
    #[error("its endpoint cannot be reached ({0})")]
    Connect(std::io::ErrorKind),
    #[error("its endpoint did not answer in time")]
    ConnectTimeout,
    #[error("it did not prove to be this partner: {0}")]
    NotThisPartner(NotAMember),
    #[error("the TLS handshake failed ({0})")]
    Tls(String),
    #[error("it refused our certificate ({0})")]
    RefusedUs(String),
    #[error("it did not answer in time")]
    Timeout,
    #[error("its answer is larger than its limit")]
    TooLarge,
    #[error("the connection broke")]
    Broken,
}

impl SendFault {
    /// Whether the request may have reached the partner. If not, the same message may be
    /// sent again.
    pub fn maybe_sent(&self) -> bool {
        match self {
            Self::Timeout | Self::TooLarge | Self::Broken => true,
            Self::NoSuchPartner(_)
            | Self::NotActive(_)
            | Self::Path
            | Self::Settings
            | Self::Busy
            | Self::Connect(_)
            | Self::ConnectTimeout
            | Self::NotThisPartner(_)
            | Self::Tls(_)
            | Self::RefusedUs(_) => false,
        }
    }
}

/// All partners' connections. Pools never mix: each shows our certificate to one region.
pub struct PartnerClients {
    credentials: Arc<Credentials>,
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
    limits: ClientLimits,
    partners: Mutex<HashMap<Region, Arc<Partner>>>,
    attempts: Mutex<HashMap<Region, Attempt>>,
}

/// Whether a partner answered when last asked, and since when that is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub up: bool,
    pub since: Now,
}

/// Media types of protocol §3.
const REQUEST: &str = "application/tongban-request+jwt";
pub(super) const RESPONSE: &str = "application/tongban-response+jwt";

impl PartnerClients {
    pub fn new(credentials: Arc<Credentials>, directory: Arc<ArcSwap<Directory>>, clock: Clock) -> Self {
        Self::with_limits(credentials, directory, clock, ClientLimits::default())
    }

    pub fn with_limits(
        credentials: Arc<Credentials>,
        directory: Arc<ArcSwap<Directory>>,
        clock: Clock,
        limits: ClientLimits,
    ) -> Self {
        let (partners, attempts) = (Mutex::default(), Mutex::default());
        Self { credentials, directory, clock, limits, partners, attempts }
    }

    /// `POST /v1/exchange` with one signed message.
    pub async fn post_exchange(&self, region: Region, message: Bytes) -> Result<PartnerAnswer, SendFault> {
        self.call(region, Ask::post("/v1/exchange", message, REQUEST)).await
    }

    /// `GET` of a path of the partner door (card, checkpoint, tile).
    pub async fn get(&self, region: Region, path: &str) -> Result<PartnerAnswer, SendFault> {
        self.call(region, Ask::get(path).ok_or(SendFault::Path)?).await
    }

    /// `POST /v1/log/add-checkpoint`. Watching is no business: whether a partner is up is told
    /// by exchanges.
    pub async fn add_checkpoint(&self, region: Region, body: Bytes) -> Result<PartnerAnswer, SendFault> {
        self.call_quietly(region, Ask::post("/v1/log/add-checkpoint", body, "text/plain; charset=utf-8"))
            .await
    }

    /// `GET` for watching a partner, which says nothing about its being up.
    pub async fn watch(&self, region: Region, path: &str) -> Result<PartnerAnswer, SendFault> {
        self.call_quietly(region, Ask::get(path).ok_or(SendFault::Path)?).await
    }

    async fn call(&self, region: Region, ask: Ask) -> Result<PartnerAnswer, SendFault> {
        let answer = self.call_quietly(region, ask).await;
        match &answer {
            // These were not sent, and say nothing about the partner.
            Err(
                SendFault::NoSuchPartner(_) | SendFault::NotActive(_) | SendFault::Settings | SendFault::Busy,
            ) => {}
            answered => self.note(region, answered.is_ok()),
        }
        answer
    }

    async fn call_quietly(&self, region: Region, ask: Ask) -> Result<PartnerAnswer, SendFault> {
        let now = Instant::now();
        let deadline = now + self.limits.total;
        let partner = self.partner(region)?;
        let place = timeout_at(deadline.min(now + self.limits.queue), partner.places().calls.acquire_owned());
        let _place = place.await.ok().and_then(Result::ok).ok_or(SendFault::Busy)?;
        partner.call(&ask, deadline).await
    }

    pub(super) fn note(&self, region: Region, up: bool) {
        let now = self.clock.now();
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let last = attempts.entry(region).or_insert(Attempt { up, since: now });
        if last.up != up {
            *last = Attempt { up, since: now };
        }
    }

    /// How the partner was when last asked; `None` before the first time.
    pub fn last_attempt(&self, region: Region) -> Option<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).get(&region).copied()
    }

    /// Whether the certificate that we show is within its time.
    pub fn own_certificate_valid(&self, now: Now) -> bool {
        let validity = self.credentials.validity();
        (validity.not_before..=validity.not_after).contains(&now.secs())
    }

    /// The last second of the certificate that we show.
    pub fn own_certificate_end(&self) -> Option<i64> {
        Some(self.credentials.validity().not_after)
    }

    /// The partner's pool under today's directory.
    pub(super) fn partner(&self, region: Region) -> Result<Arc<Partner>, SendFault> {
        let directory = self.directory.load();
        let card = directory.card(region).ok_or(SendFault::NoSuchPartner(region))?;
        if card.status() != Status::Active {
            return Err(SendFault::NotActive(region));
        }
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let places = match partners.get(&region) {
            Some(known) if known.generation() == directory.generation() => return Ok(Arc::clone(known)),
            Some(outdated) => outdated.places(),
            None => Places {
                calls: Arc::new(Semaphore::new(self.limits.in_flight)),
                files: Arc::new(Semaphore::new(self.limits.files)),
            },
        };
        let tls = partner_client_config(
            Arc::clone(&self.credentials),
            Arc::clone(&self.directory),
            self.clock.clone(),
            region,
        )
        .map_err(|_| SendFault::Settings)?;
        let endpoint = card.endpoint().clone();
        let fresh =
            Arc::new(Partner::new(endpoint, tls, directory.generation(), places, self.limits.clone()));
        partners.insert(region, Arc::clone(&fresh));
        Ok(fresh)
    }

    /// Forgets the connections to partners that are gone, once the directory changed.
    pub fn forget_strangers(&self) {
        let directory = self.directory.load();
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        partners.retain(|region, _| directory.card(*region).is_some_and(|c| c.status() == Status::Active));
    }
}

impl Ask {
    fn post(path: &'static str, body: Bytes, content_type: &'static str) -> Self {
        Self {
            path: hyper::http::uri::PathAndQuery::from_static(path),
            body,
            content_type: Some(content_type),
        }
    }

    fn get(path: &str) -> Option<Self> {
        let path = path.starts_with('/').then(|| path.parse().ok())??;
        Some(Self { path, body: Bytes::new(), content_type: None })
    }

    pub(super) fn request(
        &self,
        uri: hyper::Uri,
        host: Option<HeaderValue>,
    ) -> hyper::Request<http_body_util::Full<Bytes>> {
        let mut request = hyper::Request::new(http_body_util::Full::new(self.body.clone()));
        *request.uri_mut() = uri;
        if let Some(host) = host {
            request.headers_mut().insert(hyper::header::HOST, host);
        }
        if let Some(kind) = self.content_type {
            *request.method_mut() = hyper::Method::POST;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        request
    }
}
