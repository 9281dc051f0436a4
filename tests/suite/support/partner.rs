//! A partner's side of the wire, raw: any certificate, any bytes, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

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
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::member::Member;

pub const REQUEST_TYPE: &str = "application/tongban-request+jwt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// One open connection. Clones share it.
#[derive(Clone)]
pub enum Line {
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
    match http {
        Http::One => {
            let (sender, connection) = http1::handshake(io).await.map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            Ok(Line::One(Arc::new(Mutex::new(sender))))
        }
        Http::Two => {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            Ok(Line::Two(sender))
        }
    }
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
        let answer = match self {
            Self::One(sender) => {
                let request = request.uri(path).header(HOST, host).body(body).unwrap();
                let mut sender = sender.lock().await;
                sender.ready().await.map_err(|e| e.to_string())?;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                let request = request.uri(format!("https://{host}{path}")).body(body).unwrap();
                sender.clone().send_request(request).await
            }
        };
        let (parts, body) = answer.map_err(|e| format!("{e:?}"))?.into_parts();
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
