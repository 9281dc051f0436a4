//! One GET over HTTPS: no redirects, no reuse, an end in time and in size.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes};
use hyper::header::{ACCEPT, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::PullFault;
use crate::authorization::MOST_LIST_FILE_BYTES;
use crate::envelope::Typ;
use crate::peer::provider;

/// Where Linux distributions keep the public CAs (Debian and Alpine; RHEL and its kin).
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    /// The operator's CA files; the system's come with them.
    roots: Vec<PathBuf>,
    deadline: Duration,
    /// Read once and again after a failure: the CA may have been renewed.
    tls: ArcSwapOption<ClientConfig>,
}

impl Fetcher {
    pub fn new(roots: Vec<PathBuf>, deadline: Duration) -> Self {
        Self(Arc::new(Inner { roots, deadline, tls: ArcSwapOption::empty() }))
    }

    /// The body of a 200.
    pub async fn fetch(&self, url: &str) -> Result<Bytes, PullFault> {
        let fetched = tokio::time::timeout(self.0.deadline, self.0.get(url)).await;
        let fetched = fetched.unwrap_or(Err(PullFault::Timeout));
        if matches!(fetched, Err(PullFault::Unreachable | PullFault::Roots)) {
            self.0.tls.store(None);
        }
        fetched
    }
}

impl Inner {
    async fn get(&self, url: &str) -> Result<Bytes, PullFault> {
        let uri: Uri = url.parse().map_err(|_| PullFault::Address)?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = uri;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(Typ::StatusList.media_type()));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("tongban"));
        let response = self.client()?.request(request).await.map_err(|_| PullFault::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(PullFault::HttpStatus(response.status().as_u16()));
        }
        if response.body().size_hint().lower() > MOST_LIST_FILE_BYTES as u64 {
            return Err(PullFault::TooLarge);
        }
        match Limited::new(response.into_body(), MOST_LIST_FILE_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(PullFault::TooLarge),
            Err(_) => Err(PullFault::BrokeOff),
        }
    }

    /// A client for one call: a connection that a firewall dropped silently in the meantime
    /// would cost the whole deadline, a handshake every twenty seconds costs nothing.
    fn client(&self) -> Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, PullFault> {
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
            .https_only()
            .enable_http1()
            .build();
        Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

/// Server authentication only: our own certificate is shown to partners and nobody else.
fn tls(operators: &[PathBuf]) -> Result<ClientConfig, PullFault> {
    let mut roots = RootCertStore::empty();
    for file in operators.iter().map(PathBuf::as_path).chain(SYSTEM_ROOTS.map(Path::new)) {
        // A missing bundle is a smaller choice of roots; without any, every call fails.
        if let Ok(certificates) = CertificateDer::pem_file_iter(file) {
            roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| PullFault::Roots)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
