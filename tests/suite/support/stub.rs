//! An answering side that says what a test wants: 咸安's certificate and key, nobody's manners.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tongban::envelope::new_message_id;

use super::member::Member;
use super::message::{Draft, b64, sha256};
use super::scene::Scene;

pub const RESPONSE_TYPE: &str = "application/tongban-response+jwt";

/// A request as it arrived.
#[derive(Clone)]
pub struct Asked {
    pub body: Bytes,
    pub claims: Value,
}

/// What the stub says to it.
pub enum Said {
    Answer {
        status: u16,
        content_type: &'static str,
        body: Vec<u8>,
    },
    /// Announces more bytes than it sends, then hangs up.
    Half(Vec<u8>),
    HangsUp,
}

impl Said {
    /// A response whose HTTP status is the one in its claims.
    pub fn signed(draft: &Draft) -> Self {
        let status = draft.claims["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(200);
        Self::Answer { status, content_type: RESPONSE_TYPE, body: draft.bytes() }
    }
}

type Manners = Arc<dyn Fn(Asked) -> Said + Send + Sync>;

pub struct Stub {
    pub addr: SocketAddr,
}

impl Stub {
    /// Opens as `member`, answering every exchange with what `manners` says.
    pub async fn open(member: &Member, manners: impl Fn(Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let chain = CertificateDer::pem_slice_iter(member.chain_pem.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(member.key_pem.as_bytes()).unwrap();
        let mut tls = ServerConfig::builder_with_provider(Arc::clone(tongban::peer::provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let manners: Manners = Arc::new(manners);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, manners) = (acceptor.clone(), Arc::clone(&manners));
                tokio::spawn(async move {
                    // Whoever does not trust this certificate leaves here.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    serve(stream, manners).await;
                });
            }
        });
        Self { addr }
    }
}

async fn serve(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>, manners: Manners) {
    let service = service_fn(move |request| answer(request, Arc::clone(&manners)));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A connection that a test wants broken ends in an error.
    let _ = connection.await;
}

/// A body that may break off in the middle.
struct Cut {
    frames: VecDeque<Result<Bytes, std::io::Error>>,
}

impl Cut {
    fn whole(body: Vec<u8>) -> Self {
        Self { frames: [Ok(body.into())].into() }
    }

    fn half(mut body: Vec<u8>) -> Self {
        body.truncate(body.len() / 2);
        Self { frames: [Ok(body.into()), Err(std::io::Error::other("gone"))].into() }
    }
}

impl Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.frames.pop_front().map(|frame| frame.map(Frame::data)))
    }
}

async fn answer(request: Request<Incoming>, manners: Manners) -> Result<Response<Cut>, std::io::Error> {
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let payload = text.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(payload).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let asked = Asked { claims: claims.unwrap_or_default(), body: body.clone() };
    match manners(asked) {
        Said::Answer { status, content_type, body } => Ok(Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Cut::whole(body))
            .unwrap()),
        Said::Half(body) => Ok(Response::builder()
            .header("content-type", RESPONSE_TYPE)
            .header("content-length", body.len())
            .body(Cut::half(body))
            .unwrap()),
        Said::HangsUp => Err(std::io::Error::other("gone")),
    }
}

impl Scene {
    /// 咸安's true response to a request, with this result: to be bent.
    pub fn response(&self, asked: &Asked, result: Value) -> Draft {
        let claims = json!({
            "ver": 1, "iss": self.answering.urn(), "aud": self.asking.urn(), "iat": self.now(), "exp": self.now() + 60,
            "jti": new_message_id(), "req": {"jti": asked.claims["jti"], "digest": b64(sha256(&asked.body))},
            "op": asked.claims["op"], "status": 200, "result": result,
            "log": {"origin": "tongban/421202/2030h1", "index": 4711, "leaf": b64([7; 32])}
        });
        Draft::new("tongban-response+jwt", &self.answering.signing, claims)
    }
}
