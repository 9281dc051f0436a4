//! A partner's side of the wire, raw: any certificate, any bytes, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::member::Member;

pub const REQUEST_TYPE: &str = "application/tongban-request+jwt";

/// For an answer that was read before its connection ended to reach its caller.
const AFTER_THE_END: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// One open connection. Clones share it.
#[derive(Clone)]
pub struct Line {
    way: Way,
    /// Without a sender once the connection is over.
    open: watch::Receiver<()>,
}

#[derive(Clone)]
enum Way {
    One(Arc<Mutex<http1::SendRequest<Full<Bytes>>>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Told {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Told {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Opens a connection; `None` shows no certificate. An error is what a refused caller sees.
pub async fn dial(door: SocketAddr, member: Option<&Member>, http: Http) -> Result<Line, String> {
    let stream = TcpStream::connect(door).await.map_err(|e| e.to_string())?;
    let tls = TlsConnector::from(config(member, http));
    let name = ServerName::IpAddress(door.ip().into());
    let stream = tls.connect(name, stream).await.map_err(|e| e.to_string())?;
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!(agreed.as_deref(), Some(alpn(http)), "the door speaks what was asked for");
    let io = TokioIo::new(stream);
    let (held, open) = watch::channel(());
    let way = match http {
        Http::One => {
            let (sender, connection) = http1::handshake(io).await.map_err(|e| e.to_string())?;
            tokio::spawn(hold(connection, held));
            Way::One(Arc::new(Mutex::new(sender)))
        }
        Http::Two => {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|e| e.to_string())?;
            tokio::spawn(hold(connection, held));
            Way::Two(sender)
        }
    };
    Ok(Line { way, open })
}

/// Drives a connection to its end, which drops `held`.
pub async fn hold<T>(connection: impl Future<Output = T>, held: watch::Sender<()>) {
    connection.await;
    drop(held);
}

/// The answer on a connection that is `open` until its sender is dropped. A request that is
/// handed over in the moment its connection ends is never answered by hyper, not even with an
/// error: what is not there a little after the end will not come.
pub async fn answered<T>(
    answer: impl Future<Output = hyper::Result<T>>,
    mut open: watch::Receiver<()>,
) -> Result<T, String> {
    let mut answer = pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = open.changed() => match timeout(AFTER_THE_END, answer).await {
            Ok(answer) => answer,
            Err(_) => return Err("the connection ended".to_owned()),
        },
    };
    answer.map_err(|e| format!("{e:?}"))
}

/// The certificate that a door shows, in DER.
pub async fn shown_certificate(door: SocketAddr, member: &Member) -> Vec<u8> {
    let stream = TcpStream::connect(door).await.unwrap();
    let tls = TlsConnector::from(config(Some(member), Http::Two));
    let stream = tls.connect(ServerName::IpAddress(door.ip().into()), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

const fn alpn(http: Http) -> &'static [u8] {
    match http {
        Http::One => b"http/1.1",
        Http::Two => b"h2",
    }
}

fn config(member: Option<&Member>, http: Http) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(tongban::peer::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match member {
        None => builder.with_no_client_auth(),
        Some(member) => {
            let chain =
                CertificateDer::pem_slice_iter(member.chain_pem.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(member.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn(http).to_vec()];
    Arc::new(config)
}

impl Line {
    /// `POST /v1/exchange` as a partner sends it.
    pub async fn exchange(&self, body: impl Into<Vec<u8>>) -> Told {
        self.try_exchange(body).await.unwrap()
    }

    pub async fn try_exchange(&self, body: impl Into<Vec<u8>>) -> Result<Told, String> {
        self.post("/v1/exchange", &[(CONTENT_TYPE.as_str(), REQUEST_TYPE)], body.into()).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Told, String> {
        self.call(Method::POST, path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.call(Method::GET, path, &[], Vec::new()).await.unwrap()
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Told, String> {
        self.call_at("gateway", method, path, headers, body).await
    }

    /// The same, under a host name of the caller's choice.
    pub async fn call_at(
        &self,
        host: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Told, String> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body));
        let answer = async {
            match &self.way {
                Way::One(sender) => {
                    let request = request.uri(path).header(HOST, host).body(body).unwrap();
                    let mut sender = sender.lock().await;
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Way::Two(sender) => {
                    let request = request.uri(format!("https://{host}{path}")).body(body).unwrap();
                    sender.clone().send_request(request).await
                }
            }
        };
        let (parts, body) = answered(answer, self.open.clone()).await?.into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Told { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

/// The caller checks answers by their signatures; whose certificate the door shows is the
/// business of the gateway's own client and its tests.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &tongban::peer::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tongban::peer::provider().signature_verification_algorithms.supported_schemes()
    }
}
