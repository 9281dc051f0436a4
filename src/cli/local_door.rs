//! The region's own door from the shell (protocol §9): one request over loopback or TLS with
//! the caller's bearer token.
//!
//! With TLS exactly the certificate that the configuration names is accepted: no CA, no name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{Common, Exit, Outcome, Stop, out};
use crate::config::LocalListener;
use crate::keys::read_private_file;

/// The whole exchange: longer than the gateway itself waits for a partner.
const DEADLINE: Duration = Duration::from_secs(45);

/// Octets of an answer: 64 licenses with all their fields fit.
const MOST_ANSWER_BYTES: usize = 4 * 1024 * 1024;

const TOKEN_VARIABLE: &str = "TONGBAN_TOKEN";

/// Whose token is shown.
#[derive(clap::Args, Default)]
pub struct Token {
    /// File with the bearer token; else TONGBAN_TOKEN, else keys/local.token 令牌文件
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What the door said.
pub struct Answer {
    pub status: u16,
    pub value: Value,
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// One request.
struct Call<'a> {
    method: Method,
    path: &'a str,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

impl<'a> Call<'a> {
    fn post(path: &'a str, body: &Value) -> Self {
        let headers = vec![(header::CONTENT_TYPE, "application/json".to_owned())];
        Self { method: Method::POST, path, headers, body: Bytes::from(body.to_string()) }
    }
}

/// The local door of the gateway that the configuration describes.
pub struct LocalDoor {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    token: Zeroizing<String>,
}

impl LocalDoor {
    pub fn of(common: &Common, token: &Token) -> Result<Self, Stop> {
        let config = common.load()?;
        let Some(door) = &config.local_listener else {
            return Err(Stop::usage("gateway.toml opens no [local_listener] 配置中没有本地接口"));
        };
        let token_file = token.token_file.clone().unwrap_or_else(|| config.path("keys/local.token"));
        Ok(Self {
            address: reachable(door.listen),
            tls: tls(door, |path| config.path(path))?,
            token: read_token(token.token_file.is_some(), &token_file)?,
        })
    }

    pub fn get(&self, path: &str) -> Result<Answer, Stop> {
        self.call(&Call { method: Method::GET, path, headers: vec![], body: Bytes::new() })
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, Stop> {
        self.call(&Call::post(path, body))
    }

    /// A `POST` that may be sent again: with the same key it is done once.
    pub fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Answer, Stop> {
        let mut call = Call::post(path, body);
        call.headers.push((IDEMPOTENCY_KEY, key.to_owned()));
        self.call(&call)
    }

    /// Brings a file, which the gateway checks against its digest.
    pub fn put_file(&self, path: &str, content_digest: String, file: Bytes) -> Result<Answer, Stop> {
        let headers = vec![
            (CONTENT_DIGEST, content_digest),
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        ];
        self.call(&Call { method: Method::PUT, path, headers, body: file })
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Stop> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
        let exchange = async {
            tokio::time::timeout(DEADLINE, self.exchange(call)).await.unwrap_or_else(|_| {
                Err(format!("no answer within {} s 本地网关响应超时", DEADLINE.as_secs()))
            })
        };
        runtime
            .block_on(exchange)
            .map_err(|why| Stop::failed(format_args!("the gateway's local door {}: {why}", self.address)))
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Answer, String> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|e| format!("{}; is `tongban serve` running? 网关是否已启动？", e.kind()))?;
        match &self.tls {
            None => self.over(stream, call).await,
            Some(config) => {
                let name = ServerName::IpAddress(self.address.ip().into());
                let stream = tokio_rustls::TlsConnector::from(Arc::clone(config))
                    .connect(name, stream)
                    .await
                    .map_err(|_| "TLS failed: it does not hold the certificate in gateway.toml".to_owned())?;
                self.over(stream, call).await
            }
        }
    }

    async fn over<S>(&self, stream: S, call: &Call<'_>) -> Result<Answer, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |_| "the connection broke before the answer was there".to_owned();
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()));
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(call.body.clone()))
            .map_err(|_| "the token, a key or an id holds characters that HTTP does not allow".to_owned())?;
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
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status == 200 && value.is_null() && call.method != Method::PUT {
            return Err("it answered, but not as a gateway does".to_owned());
        }
        Ok(Answer { status, value })
    }
}

/// Shows a refusal, of the door or of the partner behind it; the command failed.
pub fn refused(answer: &Answer, as_json: bool) -> Outcome {
    if as_json && !answer.value.is_null() {
        out::json(&answer.value);
        return Ok(Exit::Failed);
    }
    let text = |name: &str| answer.value.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    let code = text("code").unwrap_or("no further word");
    out::complain(format_args!(
        "{} {code}: {} {}",
        answer.status,
        text("title").unwrap_or_default(),
        text("title_zh").unwrap_or_default()
    ));
    for (name, label) in [
        ("detail", "detail"),
        ("reason", "reason 原因"),
        ("hint", "unsigned hint 未签名提示"),
        ("exchange", "exchange 交换编号"),
        ("trace", "trace"),
        ("retry", "retry 可否重试"),
    ] {
        if let Some(value) = text(name) {
            out::note(format_args!("  {label}: {value}"));
        }
    }
    for fault in answer.value.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default();
        let (place, rule) = (part("pointer"), part("rule"));
        out::note(format_args!("  {place}: {} ({rule}) {}", part("message"), part("message_zh")));
    }
    Ok(Exit::Failed)
}

/// A door that listens everywhere is reached by loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
        _ => listen,
    }
}

fn read_token(named: bool, file: &Path) -> Result<Zeroizing<String>, Stop> {
    if !named && let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        return Ok(Zeroizing::new(token.trim().to_owned()));
    }
    let bytes = read_private_file(file)?;
    match std::str::from_utf8(&bytes).map(str::trim) {
        Ok(token) if !token.is_empty() => Ok(Zeroizing::new(token.to_owned())),
        _ => Err(Stop::usage(format_args!("{}: holds no bearer token", file.display()))),
    }
}

fn tls(door: &LocalListener, place: impl Fn(&PathBuf) -> PathBuf) -> Result<Option<Arc<ClientConfig>>, Stop> {
    let Some(certificate) = &door.certificate else { return Ok(None) };
    let path = place(certificate);
    let only = CertificateDer::from_pem_file(&path)
        .map_err(|_| Stop::usage(format_args!("{}: is not a PEM certificate", path.display())))?;
    let provider = Arc::clone(crate::peer::provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Stop::failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OnlyThis { only, provider }))
        .with_no_client_auth();
    Ok(Some(Arc::new(config)))
}

/// Accepts one certificate, byte for byte, from whoever proves to hold its key.
#[derive(Debug)]
struct OnlyThis {
    only: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThis {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.only {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with `status` and the authorization header it saw.
    fn door(tls: Option<Arc<rustls::ServerConfig>>, status: u16) -> SocketAddr {
        use hyper::service::service_fn;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| async move {
            let token = request.headers()["authorization"].to_str().unwrap().to_owned();
            let body = Full::new(bytes::Bytes::from(serde_json::json!({ "token": token }).to_string()));
            hyper::Response::builder().status(status).body(body)
        });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let (stream, _) = listener.accept().await.unwrap();
                let http = hyper::server::conn::http1::Builder::new();
                match tls {
                    None => http.serve_connection(TokioIo::new(stream), answer).await.unwrap(),
                    Some(config) => {
                        let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await else {
                            return;
                        };
                        http.serve_connection(TokioIo::new(stream), answer).await.ok();
                    }
                }
            });
        });
        address
    }

    fn caller(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> LocalDoor {
        LocalDoor { address, tls, token: Zeroizing::new("secret".to_owned()) }
    }

    #[test]
    fn the_token_is_shown_and_the_answer_comes_back_whatever_its_status() {
        for status in [200, 403] {
            let answer = caller(door(None, status), None).post("/local/v1/x", &Value::Null).unwrap();
            assert_eq!((answer.status, answer.value["token"].as_str()), (status, Some("Bearer secret")));
        }
    }

    #[test]
    fn with_tls_only_the_configured_certificate_is_spoken_to() {
        use super::super::pki::{Subject, Validity, self_signed};
        let dir = tempfile::tempdir().unwrap();
        let region = crate::domain::Region::parse("421202").unwrap();
        let validity = Validity { from: crate::clock::Clock::system().now(), days: 1 };
        let [right, wrong] = ["right", "wrong"].map(|name| {
            let made = self_signed(&Subject::gateway(&region, &[]), validity).unwrap();
            let path = dir.path().join(name);
            std::fs::write(&path, &made.certificate_pem).unwrap();
            (path, made)
        });
        for (named, reached) in [(&right.0, true), (&wrong.0, false)] {
            let (chain, key) = (right.1.certificate_pem.as_bytes(), right.1.private_key_pem.as_bytes());
            let credentials = crate::peer::Credentials::for_host(chain, key).unwrap();
            let server = crate::peer::plain_server_config(credentials).unwrap();
            let listener = LocalListener {
                listen: door(Some(server), 200),
                certificate: Some(named.clone()),
                private_key: None,
                client: vec![],
            };
            let client = tls(&listener, PathBuf::clone).unwrap();
            assert_eq!(caller(listener.listen, client).post("/local/v1/x", &Value::Null).is_ok(), reached);
        }
    }

    #[test]
    fn a_gateway_that_does_not_run_is_said_to_be_away() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let stop = caller(free, None).post("/local/v1/x", &Value::Null).err().unwrap();
        assert_eq!(stop.exit(), Exit::Failed);
        assert!(stop.lines()[0].contains("is `tongban serve` running?"));
    }

    #[test]
    fn a_door_that_listens_everywhere_is_reached_by_loopback() {
        assert_eq!(reachable("0.0.0.0:8080".parse().unwrap()), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(reachable("10.1.2.3:8080".parse().unwrap()), "10.1.2.3:8080".parse().unwrap());
    }

    #[test]
    fn a_token_file_that_others_may_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "secret\n").unwrap();
        assert_eq!(read_token(true, &path).unwrap_err().exit(), Exit::Usage);
        std::fs::remove_file(&path).unwrap();
        crate::keys::write_private_file(&path, b"secret\n").unwrap();
        assert_eq!(read_token(true, &path).unwrap().as_str(), "secret");
    }
}
