//! An answering side under a test's command: a real certificate, and any bytes at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tongban::envelope::new_message_id;

use super::member::Member;
use super::message::{Draft, b64, sha256};

pub const RESPONSE_TYPE: &str = "application/tongban-response+jwt";

/// A request as it arrived.
#[derive(Clone)]
pub struct Heard {
    pub body: Vec<u8>,
    pub claims: Value,
}

type Script = Box<dyn FnMut(Vec<Heard>) -> Vec<Vec<u8>> + Send>;

/// A request that waits for its answer, the raw HTTP bytes. Dropped, its connection is cut.
pub type Waiting = (Heard, oneshot::Sender<Vec<u8>>);

pub struct Answerer {
    pub addr: SocketAddr,
    script: Arc<Mutex<(usize, Script)>>,
}

impl Answerer {
    /// Opens a door with this member's certificate. HTTP/1.1, one request a connection, so that
    /// a test can write every byte of an answer.
    pub async fn open(member: &Member) -> Self {
        let (addr, mut waiting) = Self::by_hand(member).await;
        let script: Arc<Mutex<(usize, Script)>> =
            Arc::new(Mutex::new((1, Box::new(|heard| vec![Vec::new(); heard.len()]))));
        let served = Arc::clone(&script);
        tokio::spawn(async move {
            let mut together = Vec::new();
            while let Some(next) = waiting.recv().await {
                together.push(next);
                let mut script = served.lock().unwrap();
                if together.len() == script.0 {
                    let (heard, replies): (Vec<_>, Vec<_>) = together.drain(..).unzip();
                    for (reply, says) in replies.into_iter().zip((script.1)(heard)) {
                        drop(reply.send(says));
                    }
                }
            }
        });
        Self { addr, script }
    }

    /// The same door; what was heard waits for the test itself, for as long as it likes.
    pub async fn by_hand(member: &Member) -> (SocketAddr, mpsc::UnboundedReceiver<Waiting>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (heard_here, waiting) = mpsc::unbounded_channel::<Waiting>();
        let tls = TlsAcceptor::from(settings(member));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, heard_here) = (tls.clone(), heard_here.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = tls.accept(stream).await else { return };
                    let Some(heard) = hear(&mut stream).await else { return };
                    let (reply, says) = oneshot::channel();
                    heard_here.send((heard, reply)).unwrap();
                    let Ok(says) = says.await else { return };
                    // Whether anybody reads to the end is the other side's business.
                    drop(stream.write_all(&says).await);
                    drop(stream.shutdown().await);
                });
            }
        });
        (addr, waiting)
    }

    pub fn endpoint(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// The raw HTTP answers to the next requests; no bytes are a connection that is cut.
    pub fn says(&self, mut script: impl FnMut(Heard) -> Vec<u8> + Send + 'static) {
        *self.script.lock().unwrap() =
            (1, Box::new(move |heard| heard.into_iter().map(&mut script).collect()));
    }

    /// The same for as many requests at once as `together` says.
    pub fn says_together(
        &self,
        together: usize,
        script: impl FnMut(Vec<Heard>) -> Vec<Vec<u8>> + Send + 'static,
    ) {
        *self.script.lock().unwrap() = (together, Box::new(script));
    }
}

fn settings(member: &Member) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(member.chain_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(member.key_pem.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(tongban::peer::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// One request: its head up to the empty line, then as many octets as it announced.
async fn hear(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Heard> {
    let mut bytes = Vec::new();
    let (end, length) = loop {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&some[..count]);
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            break (end + 4, length.map_or(0, |length| length.parse().unwrap()));
        }
    };
    while bytes.len() < end + length {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&some[..count]);
    }
    let body = bytes.split_off(end);
    let payload = std::str::from_utf8(&body).unwrap().split('.').nth(1).unwrap().to_owned();
    let claims = serde_json::from_slice(&unb64(&payload)).unwrap();
    Some(Heard { body, claims })
}

fn unb64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// An HTTP answer in full.
pub fn http(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} As Told\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         retry-after: 7\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The true answer of `member` to what was heard, with this result.
pub fn answer_to(heard: &Heard, member: &Member, now: i64, result: &Value) -> Draft {
    let claims = json!({"ver": 1, "iss": heard.claims["aud"], "aud": heard.claims["iss"], "iat": now,
        "exp": now + 60, "jti": new_message_id(), "op": heard.claims["op"],
        "req": {"jti": heard.claims["jti"], "digest": b64(sha256(&heard.body))},
        "status": 200, "result": result,
        "log": {"origin": format!("tongban/{}/2030h1", member.region), "index": 4711, "leaf": b64([7; 32])}});
    Draft::new("tongban-response+jwt", &member.signing, claims)
}
