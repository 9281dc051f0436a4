//! A gateway with one fault: a proxy that holds all keys of the scene, before a sound gateway.
//!
//! It lets callers in as the gateway would, changes what comes or what goes, and signs anew, so
//! that only the fault can be seen from outside.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tongban::conformance::Ground;
use tongban::conformance::wire::{Answer, Request, Silence, Wire, key_of};

use super::faults::Fault;

pub struct Mutant {
    pub at: SocketAddr,
    fault: Arc<Mutex<Arc<Fault>>>,
    ground: Arc<Ground>,
}

impl Mutant {
    /// Before the gateway that stands at the scene's answering endpoint.
    pub async fn before(ground: Ground) -> Self {
        let ground = Arc::new(ground);
        let config = Arc::new(server_config(&ground));
        let wire = Arc::new(Wire::new(&ground, &ground.endpoints["answering"], "answering").unwrap());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let fault = Arc::new(Mutex::new(Arc::new(Fault::none(Arc::clone(&ground.scene)))));
        let (current, callers) = (Arc::clone(&fault), Arc::new(callers(&ground)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&config));
                let (wire, callers) = (Arc::clone(&wire), Arc::clone(&callers));
                let fault = Arc::clone(&current.lock().unwrap());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    let known = leaf.and_then(|leaf| callers.get(leaf.as_ref()).cloned());
                    let Some(caller) = known.or_else(|| fault.serves("anybody").then(|| "asking".into()))
                    else {
                        return;
                    };
                    let service = service_fn(move |request| {
                        let (wire, fault, caller) = (Arc::clone(&wire), Arc::clone(&fault), caller.clone());
                        async move { answered(&wire, &fault, &caller, request).await }
                    });
                    // A connection that the proxy breaks is part of the play.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { at, fault, ground }
    }

    /// From the next connection on.
    pub fn plays(&self, mutation: &str) {
        *self.fault.lock().unwrap() = Arc::new(Fault::new(mutation, Arc::clone(&self.ground.scene)));
    }
}

async fn answered(
    wire: &Wire,
    fault: &Fault,
    caller: &str,
    request: HttpRequest<Incoming>,
) -> Result<Response<Full<Bytes>>, Silence> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Silence::Closed)?.to_bytes();
    let headers = parts
        .headers
        .iter()
        .filter(|(name, _)| {
            !["host", "connection", "content-length", "transfer-encoding"].contains(&name.as_str())
        })
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()));
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let request = Request {
        method: parts.method.to_string(),
        path,
        headers: headers.collect(),
        body,
        ..Request::default()
    };
    let answer = fault.play(wire, caller, request).await?;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(Full::new(answer.body)).map_err(|_| Silence::Request)
}

/// Scene's name of whoever shows a certificate.
fn callers(ground: &Ground) -> BTreeMap<Vec<u8>, String> {
    let leaf = |identity| key_of(identity).unwrap().0[0].to_vec();
    ground.identities.iter().map(|(name, identity)| (leaf(identity), name.clone())).collect()
}

fn server_config(ground: &Ground) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = key_of(&ground.identities["answering"]).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Anybody))
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Takes every certificate: the gateway behind judges it again.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a proxy may answer by itself.
pub fn plain(status: u16, media_type: &str, body: Vec<u8>) -> Answer {
    let mut headers = hyper::HeaderMap::new();
    headers.insert("content-type", media_type.parse().unwrap());
    Answer { status, headers, body: Bytes::from(body) }
}
