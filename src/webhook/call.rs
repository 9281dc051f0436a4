//! One call of a webhook: a POST with an end in time, no redirects, nothing believed of the
//! answer but its status.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::WebhookSettings;
use super::sender::{Call, Called};
use super::settings::SettingsFault;
use super::signature::{Secret, SecretFault};
use crate::clock::Now;

/// One call in all: a receiver that wants to think first answers first.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that the connection can be used again.
const MOST_ANSWER: usize = 16 * 1024;
/// Less than the minute after which servers and firewalls drop an idle connection.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

const SIGNATURE: HeaderName = HeaderName::from_static("tongban-signature");
const DELIVERY: HeaderName = HeaderName::from_static("tongban-delivery");

/// Why a webhook cannot be called at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerFault {
    #[error("{0}")]
    Settings(#[from] SettingsFault),
    #[error("{0}")]
    Secret(#[from] SecretFault),
    #[error("{0}: no readable PEM certificates")]
    Ca(String),
    #[error("TLS cannot be set up")]
    Tls,
}

/// Calls one webhook.
pub struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    secret: Secret,
}

impl Caller {
    /// Reads the secret and the CAs (paths relative to `base`); connects to nothing yet.
    pub fn new(settings: &WebhookSettings, base: &Path) -> Result<Self, CallerFault> {
        let uri = settings.address().ok_or(SettingsFault::Address)?;
        let secret = Secret::load(&base.join(&settings.secret_file))?;
        let tls = tls(settings.ca.as_deref().map(|ca| base.join(ca)).as_deref())?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(DEADLINE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .build(connector);
        Ok(Self { client, uri, secret })
    }

    async fn post(&self, id: &str, body: Bytes, now: Now) -> Called {
        let Ok(id) = HeaderValue::from_str(id) else { return Called::Refused(0) };
        let Ok(signature) = HeaderValue::from_str(&self.secret.sign(&body, now)) else {
            return Called::Refused(0);
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("tongban"));
        headers.insert(SIGNATURE, signature);
        headers.insert(DELIVERY, id);
        let Ok(response) = self.client.request(request).await else { return Called::Unreachable };
        let (head, body) = response.into_parts();
        // Whether the rest comes says nothing about whether we were heard.
        let _ = Limited::new(body, MOST_ANSWER).collect().await;
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        judge(head.status, retry_after)
    }
}

impl Call for Caller {
    async fn call(&self, id: &str, body: Bytes, now: Now) -> Called {
        tokio::time::timeout(DEADLINE, self.post(id, body, now)).await.unwrap_or(Called::Unreachable)
    }
}

/// What a status says: of this notice, or of the receiver as a whole.
fn judge(status: StatusCode, retry_after: Option<u64>) -> Called {
    match status {
        _ if status.is_success() => Called::Heard,
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::GONE
        | StatusCode::TOO_MANY_REQUESTS => {
            Called::Away { status: status.as_u16(), retry_after: retry_after.map(Duration::from_secs) }
        }
        _ if status.is_client_error() => Called::Refused(status.as_u16()),
        _ => Called::Away { status: status.as_u16(), retry_after: retry_after.map(Duration::from_secs) },
    }
}

/// Only the configured CAs are trusted: a county's system has no public certificate.
fn tls(ca: Option<&Path>) -> Result<ClientConfig, CallerFault> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        let unreadable = || CallerFault::Ca(ca.display().to_string());
        for certificate in CertificateDer::pem_file_iter(ca).map_err(|_| unreadable())? {
            roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
        }
        if roots.is_empty() {
            return Err(unreadable());
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::clone(crate::peer::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| CallerFault::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
