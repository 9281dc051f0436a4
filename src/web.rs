//! One call over HTTPS to a configured address that is no partner's: no redirects, no reuse,
//! an end in time and in size.
//!
//! Promises: the server proves its name with a public or a configured CA, and our own
//! certificate is shown to partners and nobody else; plain HTTP goes to this machine's own
//! loopback only, where a development authority may listen.
//! Leaves to others: which address, and believing what comes back.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::peer::provider;

/// Where Linux distributions keep the public CAs (Debian and Alpine; RHEL and its kin).
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebFault {
    #[error("its address is not an https URL")]
    Address,
    #[error("the TLS roots cannot be used")]
    Roots,
    #[error("cannot be reached")]
    Unreachable,
    #[error("did not answer in time")]
    Timeout,
    #[error("its answer is larger than its limit")]
    TooLarge,
    #[error("its answer broke off")]
    BrokeOff,
}

/// What was answered; nothing in it is believed yet.
#[derive(Clone, Debug)]
pub struct WebAnswer {
    pub status: u16,
    pub body: Bytes,
}

/// How much of an answer is read, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub deadline: Duration,
    /// Bytes.
    pub most: usize,
}

#[derive(Clone)]
pub struct WebClient(Arc<Inner>);

struct Inner {
    /// The operator's CA files; the system's come with them.
    roots: Vec<PathBuf>,
    /// Read once and again after a failure: the CA may have been renewed.
    tls: ArcSwapOption<ClientConfig>,
}

impl WebClient {
    /// Connects to nothing yet.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self(Arc::new(Inner { roots, tls: ArcSwapOption::empty() }))
    }

    pub async fn get(&self, url: &str, accept: &'static str, bounds: Bounds) -> Result<WebAnswer, WebFault> {
        let mut request = request(url)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        self.call(request, bounds).await
    }

    pub async fn post(&self, url: &str, body: &Value, bounds: Bounds) -> Result<WebAnswer, WebFault> {
        let mut request = request(url)?;
        *request.method_mut() = Method::POST;
        for name in [ACCEPT, CONTENT_TYPE] {
            request.headers_mut().insert(name, HeaderValue::from_static(JSON));
        }
        *request.body_mut() = Full::from(body.to_string());
        self.call(request, bounds).await
    }

    /// Text as it is, for protocols that are no JSON.
    pub async fn post_text(&self, url: &str, body: Bytes, bounds: Bounds) -> Result<WebAnswer, WebFault> {
        let mut request = request(url)?;
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
        *request.body_mut() = Full::from(body);
        self.call(request, bounds).await
    }

    async fn call(&self, request: Request<Full<Bytes>>, bounds: Bounds) -> Result<WebAnswer, WebFault> {
        let called = tokio::time::timeout(bounds.deadline, self.0.call(request, bounds.most)).await;
        let called = called.unwrap_or(Err(WebFault::Timeout));
        if matches!(called, Err(WebFault::Unreachable | WebFault::Roots)) {
            self.0.tls.store(None);
        }
        called
    }
}

fn request(url: &str) -> Result<Request<Full<Bytes>>, WebFault> {
    let uri: Uri = url.parse().map_err(|_| WebFault::Address)?;
    if !may_be_called(&uri) {
        return Err(WebFault::Address);
    }
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("tongban"));
    Ok(request)
}

/// HTTPS anywhere; plain HTTP by a loopback address, not by a name that could be another's.
fn may_be_called(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        _ => false,
    }
}

/// Whether [`WebClient`] would call there.
pub fn is_callable(url: &str) -> bool {
    url.parse().is_ok_and(|uri| may_be_called(&uri))
}

impl Inner {
    async fn call(&self, request: Request<Full<Bytes>>, most: usize) -> Result<WebAnswer, WebFault> {
        let response = self.client()?.request(request).await.map_err(|_| WebFault::Unreachable)?;
        let status = response.status().as_u16();
        if response.body().size_hint().lower() > most as u64 {
            return Err(WebFault::TooLarge);
        }
        match Limited::new(response.into_body(), most).collect().await {
            Ok(body) => Ok(WebAnswer { status, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => Err(WebFault::TooLarge),
            Err(_) => Err(WebFault::BrokeOff),
        }
    }

    /// A client for one call: a connection that a firewall dropped silently in the meantime
    /// would cost the whole deadline, a handshake every twenty seconds costs nothing.
    fn client(&self) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, WebFault> {
        let tls = match self.tls.load_full() {
            Some(tls) => tls,
            None => {
                let tls = Arc::new(tls(&self.roots)?);
                self.tls.store(Some(Arc::clone(&tls)));
                tls
            }
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&tls))
            .https_or_http() // [`may_be_called`] keeps plain HTTP on loopback
            .enable_http1()
            .build();
        Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

/// Server authentication only: our own certificate is shown to partners and nobody else.
fn tls(operators: &[PathBuf]) -> Result<ClientConfig, WebFault> {
    let mut roots = RootCertStore::empty();
    for file in operators.iter().map(PathBuf::as_path).chain(SYSTEM_ROOTS.map(Path::new)) {
        // A missing bundle is a smaller choice of roots; without any, every call fails.
        if let Ok(certificates) = CertificateDer::pem_file_iter(file) {
            roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| WebFault::Roots)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_loopback_addresses_only() {
        for url in ["https://idp.example/redeem", "http://127.0.0.1:8092/redeem", "http://[::1]:1/"] {
            assert!(is_callable(url), "{url}");
        }
        for url in [
            "http://idp.example/redeem",
            "http://localhost:8092/redeem",
            "http://10.0.0.1/",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1@evil.example/",
            "ftp://127.0.0.1/",
            "/redeem",
            "",
        ] {
            assert!(!is_callable(url), "{url}");
        }
    }
}
