//! A province's server on loopback, with a real certificate, that says what a test wants.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::authorization::{MOST_LIST_FILE_BYTES, Status, StatusListWhere};
use crate::envelope::{Typ, seal};
use crate::house::{Trust, TrustWatch};
use crate::keys::{Algorithm, SigningKey};
use crate::peer::provider;

const AT: i64 = 1_900_000_000;
const NOW: Now = Now::from_secs(AT);
const IDP: &str = "urn:tongban:idp:mengsuban";
const LIST: &str = "https://status.test/7";

/// What the server answers to every call: bytes of HTTP/1.1, or silence.
#[derive(Clone)]
enum Says {
    Http(Vec<u8>),
    Nothing,
}

fn http(status: &str, headers: &str, body: &[u8]) -> Says {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    Says::Http([head.as_bytes(), body].concat())
}

fn ok(list: &[u8]) -> Says {
    http("200 OK", "content-type: application/statuslist+jwt\r\n", list)
}

struct Province {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<String>>>,
    ca_pem: String,
}

impl Province {
    async fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &*ca).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (says, heard) = (Arc::new(Mutex::new(Says::Nothing)), Arc::new(Mutex::new(Vec::new())));
        let (answer, hear) = (says.clone(), heard.clone());
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = socket.accept().await {
                let (acceptor, answer, hear) = (acceptor.clone(), answer.clone(), hear.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        request.push(stream.read_u8().await.unwrap());
                    }
                    hear.lock().unwrap().push(String::from_utf8(request).unwrap());
                    let says = answer.lock().unwrap().clone();
                    match says {
                        Says::Http(bytes) => {
                            // The other side may have seen enough.
                            let _ = stream.write_all(&bytes).await;
                            let _ = stream.shutdown().await;
                        }
                        Says::Nothing => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, says, heard, ca_pem: ca.pem() }
    }

    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/status/7", self.address.port())
    }
}

struct Gateway {
    province: Province,
    idp: SigningKey,
    puller: Puller,
    watch: TrustWatch,
    trust: Trust,
    dir: tempfile::TempDir,
}

fn new_key() -> SigningKey {
    SigningKey::from_jwk(&SigningKey::generate(Algorithm::Es256).unwrap()).unwrap()
}

fn config(dir: &Path) -> Config {
    let text = r#"
        region = { code = "421202", name = "咸宁市咸安区" }
        partner_listener = { listen = "127.0.0.1:0", certificate = "tls.crt", private_key = "tls.key", client_ca = ["ca.crt"] }
        signing = { key = "sign.jwk" }
        ledger = { key = "ledger.key" }
        trust = { partners = "partners", authorities = "authorities", agreements = "agreements" }
    "#;
    Config::parse(text, dir).unwrap_or_else(|faults| panic!("{faults:?}"))
}

impl Gateway {
    async fn new() -> Self {
        let (province, idp, dir) = (Province::new().await, new_key(), tempfile::tempdir().unwrap());
        for folder in ["partners", "authorities", "agreements"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("ca.crt"), &province.ca_pem).unwrap();
        let document = json!({"id":IDP,"name":"测试授权平台","jwks":{"keys":[idp.public_jwk()]},
            "status_lists":[{"uri":LIST,"url":province.url()}],"status":"active"});
        fs::write(dir.path().join("authorities/mengsuban.json"), document.to_string()).unwrap();
        let config = config(dir.path());
        let mut watch = TrustWatch::new(&config);
        let (trust, _) = watch.look(None, NOW);
        assert_eq!(watch.faults(), []);
        Self { province, idp, puller: Puller::new(&config), watch, trust, dir }
    }

    fn list(&self) -> PulledList {
        let authority = Arc::clone(self.trust.authorities.get(IDP).unwrap());
        let [source] = authority.status_lists() else { panic!("one list") };
        let StatusListWhere::Https(url) = source.source.clone() else { panic!("pulled") };
        PulledList { uri: source.uri.clone(), url, authority }
    }

    fn sign(&self, claims: &Value) -> Vec<u8> {
        seal(&self.idp, Typ::StatusList, claims).unwrap()
    }

    async fn pull(&self) -> Result<Pulled, PullFault> {
        self.puller.pull(self.list(), NOW).await
    }

    /// Index 0 at the watch's next look.
    fn status(&mut self) -> Status {
        self.trust = self.watch.look(Some(&self.trust), NOW).0;
        self.trust.status_lists.status(IDP, LIST, 0, NOW)
    }

    fn pulled_file(&self) -> PathBuf {
        pulled_path(&self.dir.path().join("data"), IDP, LIST)
    }
}

fn claims(iat: i64, bits: &[u8]) -> Value {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bits).unwrap();
    let lst = URL_SAFE_NO_PAD.encode(encoder.finish().unwrap());
    json!({"sub":LIST,"iat":iat,"exp":AT + 3600,"status_list":{"bits":1,"lst":lst}})
}

#[tokio::test]
async fn a_published_list_is_pulled_and_a_revocation_is_in_force_at_the_next_look() {
    let mut gateway = Gateway::new().await;
    assert_eq!(gateway.status(), Status::Stale, "never loaded: nobody can tell");
    gateway.province.says(ok(&gateway.sign(&claims(AT - 60, &[0]))));
    assert_eq!(gateway.pull().await, Ok(Pulled::Renewed));
    assert_eq!(gateway.status(), Status::Valid);
    gateway.province.says(ok(&gateway.sign(&claims(AT - 30, &[1]))));
    assert_eq!(gateway.pull().await, Ok(Pulled::Renewed));
    assert_eq!(gateway.status(), Status::Revoked);
    let heard = gateway.province.heard.lock().unwrap()[0].clone();
    assert!(heard.starts_with("GET /status/7 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("accept: application/statuslist+jwt\r\n"), "{heard}");
    assert_eq!(
        fs::read_dir(gateway.pulled_file().parent().unwrap()).unwrap().count(),
        1,
        "nothing unfinished"
    );
}

#[tokio::test]
async fn the_same_list_again_is_not_written_again() {
    let gateway = Gateway::new().await;
    gateway.province.says(ok(&gateway.sign(&claims(AT - 60, &[0]))));
    gateway.pull().await.unwrap();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&gateway.pulled_file());
    assert_eq!(gateway.pull().await, Ok(Pulled::Unchanged));
    assert_eq!(inode(&gateway.pulled_file()), before);
}

#[tokio::test]
async fn whatever_else_comes_leaves_the_list_in_force() {
    let mut gateway = Gateway::new().await;
    let good = gateway.sign(&claims(AT - 60, &[1]));
    gateway.province.says(ok(&good));
    gateway.pull().await.unwrap();
    assert_eq!(gateway.status(), Status::Revoked);

    let newer = gateway.sign(&claims(AT - 30, &[0]));
    let forged = seal(&new_key(), Typ::StatusList, &claims(AT - 30, &[0])).unwrap();
    let mut other = claims(AT - 30, &[0]);
    other["sub"] = "https://status.test/8".into();
    let older = gateway.sign(&claims(AT - 90, &[0]));
    let elsewhere = format!("location: {}\r\n", gateway.province.url());
    let half = newer.split_at(newer.len() / 2).0;
    let huge = vec![b'a'; MOST_LIST_FILE_BYTES + 1];
    let unannounced = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", huge.as_slice()].concat();
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", newer.len());
    let cases = [
        ("a redirect", http("302 Found", &elsewhere, &newer), "302"),
        ("not found", http("404 Not Found", "", &newer), "404"),
        ("nothing new to say", http("204 No Content", "", b""), "204"),
        ("a page", ok(b"<html>login</html>"), "is no list"),
        ("an empty body", ok(b""), "is no list"),
        ("half a list", ok(half), "is no list"),
        ("a stranger's list", ok(&forged), "is no list"),
        ("another list", ok(&gateway.sign(&other)), "sub"),
        ("an older list", ok(&older), "newer"),
        ("too large a list", ok(&huge), "2 MiB"),
        ("too large a list, unannounced", Says::Http(unannounced), "2 MiB"),
        ("a body that ends early", Says::Http([cut.as_bytes(), half].concat()), "broke off"),
        ("no HTTP", Says::Http(b"220 smtp\r\n".to_vec()), "cannot be reached"),
    ];
    for (what, says, why) in cases {
        gateway.province.says(says);
        let fault = gateway.pull().await.expect_err(what);
        assert!(fault.to_string().contains(why), "{what}: {fault}");
        assert_eq!(fs::read(gateway.pulled_file()).unwrap(), good, "{what}");
        assert_eq!(gateway.status(), Status::Revoked, "{what}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let mut gateway = Gateway::new().await;
    let short = Duration::from_millis(100);
    gateway.puller.deadline = short;
    assert_eq!(gateway.pull().await, Err(PullFault::Timeout));
}

#[tokio::test]
async fn a_server_whose_ca_nobody_trusts_is_not_asked_until_its_ca_is_there() {
    let gateway = Gateway::new().await;
    let ca = gateway.dir.path().join("ca.crt");
    gateway.province.says(ok(&gateway.sign(&claims(AT - 60, &[0]))));
    fs::rename(&ca, ca.with_extension("away")).unwrap();
    assert_eq!(gateway.pull().await, Err(PullFault::Unreachable));
    assert!(gateway.province.heard.lock().unwrap().is_empty());
    fs::rename(ca.with_extension("away"), &ca).unwrap();
    assert_eq!(gateway.pull().await, Ok(Pulled::Renewed));
}

#[tokio::test]
async fn an_address_without_tls_is_never_called() {
    let gateway = Gateway::new().await;
    let url = gateway.province.url().replace("https:", "http:");
    let list = PulledList { url, ..gateway.list() };
    assert_eq!(gateway.puller.pull(list, NOW).await, Err(PullFault::Address));
    let list = PulledList { url: "https://".into(), ..gateway.list() };
    assert_eq!(gateway.puller.pull(list, NOW).await, Err(PullFault::Address));
}

#[tokio::test]
async fn a_list_is_due_at_once_then_every_twenty_seconds_and_sooner_after_a_fault() {
    let gateway = Gateway::new().await;
    let authorities = &gateway.trust.authorities;
    let (mut timetable, start) = (Timetable::default(), Instant::now());
    timetable.follow(authorities, start);
    let [list] = &timetable.due(start)[..] else { panic!("one list") };
    assert_eq!(timetable.due(start + PULL_EVERY / 2).len(), 0);

    timetable.note(list, Err(PullFault::Timeout), start);
    assert_eq!(timetable.fault(IDP, LIST), Some(&PullFault::Timeout));
    timetable.follow(authorities, start);
    assert_eq!(timetable.due(start + PULL_EVERY).len(), 1, "at the latest");
    timetable.note(list, Ok(Pulled::Unchanged), start + PULL_EVERY);
    assert_eq!(timetable.fault(IDP, LIST), None);
    assert_eq!(timetable.due(start + PULL_EVERY * 2).len(), 1);

    timetable.follow(&Default::default(), start);
    assert_eq!(timetable.due(start + PULL_EVERY * 9).len(), 0, "no longer configured");
    timetable.note(list, Ok(Pulled::Renewed), start);
}
