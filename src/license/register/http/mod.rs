//! A county's existing license library behind HTTP: one call per question, its JSON mapped
//! onto our license document by the operator's settings.
//!
//! Promises: only the configured address is asked, redirects are not followed, an answer is
//! at most 1 MiB and arrives in time or not at all, and nothing it says is believed before
//! the checks of [`LicenseRecord`]. Its words are neither logged nor passed on.

mod dates;
mod mapping;
mod settings;
mod template;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::civil::Date;
use serde_json::Value;
use tokio::sync::Semaphore;

pub use settings::{HttpRegisterSettings, SettingsFault, SettingsFaults};

use self::mapping::Mapping;
use self::template::{BodyTemplate, UrlTemplate};
use super::{Ask, RegisterFault};
use crate::json;
use crate::license::record::LicenseRecord;

/// The largest answer read (bytes): two hundred licenses of a few KiB each.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// A connection that nothing used for so long is closed: libraries behind firewalls drop them
/// silently.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// Answers from the county's license library. Clones share connections and places.
#[derive(Clone)]
pub struct HttpRegister(Arc<Inner>);

struct Inner {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    by_holder: UrlTemplate,
    by_id: Option<UrlTemplate>,
    method: Method,
    body: Option<BodyTemplate>,
    headers: HeaderMap,
    timeout: Duration,
    places: Semaphore,
    mapping: Mapping,
}

impl HttpRegister {
    /// Checks the settings, reads the secrets and the CA; connects to nothing yet. Paths are
    /// relative to `base`.
    pub fn new(settings: HttpRegisterSettings, base: &std::path::Path) -> Result<Self, Vec<SettingsFault>> {
        let ready = settings.compile(base)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(ready.timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ready.tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(ready.concurrency)
            .build(connector);
        Ok(Self(Arc::new(Inner {
            client,
            by_holder: ready.by_holder,
            by_id: ready.by_id,
            method: ready.method,
            body: ready.body,
            headers: ready.headers,
            timeout: ready.timeout,
            places: Semaphore::new(ready.concurrency),
            mapping: ready.mapping,
        })))
    }

    /// One call within the time limit; waiting for a place counts.
    pub(super) async fn fetch(&self, ask: &Ask, today: Date) -> Result<Vec<LicenseRecord>, RegisterFault> {
        let call = async {
            let _place = self.0.places.acquire().await.map_err(|_| RegisterFault::Unavailable)?;
            self.0.call(ask).await
        };
        match tokio::time::timeout(self.0.timeout, call).await {
            Ok(Ok(Some(body))) => self.0.records(ask, &body, today),
            Ok(Ok(None)) => Ok(Vec::new()),
            Ok(Err(fault)) => Err(fault),
            Err(_) => {
                tracing::warn!("the register did not answer in time");
                Err(RegisterFault::Timeout)
            }
        }
    }
}

impl Inner {
    /// The body of a 200; `None` for a 404.
    async fn call(&self, ask: &Ask) -> Result<Option<Bytes>, RegisterFault> {
        let response = self.client.request(self.request(ask)?).await.map_err(|error| {
            // `is_connect` and nothing else: the error's text may repeat the address, which
            // carries the holder's number.
            tracing::warn!(connect = error.is_connect(), "the register cannot be reached");
            RegisterFault::Unavailable
        })?;
        match response.status() {
            StatusCode::OK => Ok(Some(read_body(response).await?)),
            StatusCode::NOT_FOUND => Ok(None),
            other => {
                tracing::warn!(status = other.as_u16(), "the register refused");
                Err(RegisterFault::Unavailable)
            }
        }
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, RegisterFault> {
        let template = match ask {
            Ask::Holder { .. } => &self.by_holder,
            Ask::Id { .. } => self.by_id.as_ref().ok_or_else(|| {
                tracing::error!("asked by license id, but the settings have no url_by_id");
                RegisterFault::Unavailable
            })?,
        };
        let body = self.body.as_ref().map(|template| template.filled(ask));
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(template.filled(ask))
            .body(Full::new(body.clone().map(Bytes::from).unwrap_or_default()))
            .map_err(|_| {
                tracing::error!("the register's address cannot be made from the template");
                RegisterFault::Unavailable
            })?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (HeaderName::from(name), value.clone())));
        Ok(request)
    }

    fn records(&self, ask: &Ask, body: &[u8], today: Date) -> Result<Vec<LicenseRecord>, RegisterFault> {
        let answer = json::parse_record(body).map_err(|fault| {
            tracing::error!(%fault, "the register's answer is no JSON of ours");
            RegisterFault::Record
        })?;
        let documents = self.mapping.documents(&answer, ask)?;
        documents.iter().map(|document| believed(document, today)).collect()
    }
}

fn believed(document: &Value, today: Date) -> Result<LicenseRecord, RegisterFault> {
    LicenseRecord::from_value(document, today).map_err(|faults| {
        super::log_unbelieved(&faults);
        RegisterFault::Record
    })
}

async fn read_body(response: Response<Incoming>) -> Result<Bytes, RegisterFault> {
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            tracing::error!("the register's answer is larger than 1 MiB");
            RegisterFault::Record
        } else {
            tracing::warn!("the register's answer broke off");
            RegisterFault::Unavailable
        }
    })?;
    Ok(body.to_bytes())
}
