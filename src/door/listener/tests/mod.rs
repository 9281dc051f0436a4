//! Two gateways' ends over loopback: 咸安 (421202) has the door, 玉环 (331083) calls.

mod calls;
mod excess;
mod identity;
mod silence;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::clock::Clock;
use crate::domain::Region;
use crate::peer::testing::{Ca, Leaf, NOON, Pair};
use crate::peer::{
    CaFile, Card, ClientLimits, Credentials, CrlFile, Directory, PartnerClients, SendFault, Status, Trust,
    partner_client_config, partner_server_config,
};

const XIANAN: &str = "421202";
const YUHUAN: &str = "331083";
/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

/// What 咸安 trusts, as files would say it.
struct Settings {
    cas: Vec<String>,
    crls: Vec<String>,
    cards: Vec<Card>,
}

impl Settings {
    fn of(ca: &Ca) -> Self {
        Self {
            cas: vec![ca.pem()],
            crls: vec![],
            cards: vec![Card::for_test(YUHUAN, 1, vec![], Status::Active)],
        }
    }

    fn directory(self, me: &str, before: Option<&Directory>) -> Arc<Directory> {
        let cards: HashMap<PathBuf, Arc<Card>> =
            self.cards.into_iter().map(|c| (c.region().as_str().into(), Arc::new(c))).collect();
        let cas = self.cas.iter().map(|pem| Arc::new(CaFile::from_pem(pem.as_bytes()).unwrap())).collect();
        let crls = self.crls.iter().map(|pem| Arc::new(CrlFile::from_pem(pem.as_bytes()).unwrap())).collect();
        let (directory, refused) = Directory::build(region(me), &cards, Trust::new(cas, crls), before);
        assert_eq!(refused, []);
        Arc::new(directory)
    }
}

/// 咸安's door.
struct Gate {
    addr: SocketAddr,
    ca: Ca,
    clock: Clock,
    directory: Arc<ArcSwap<Directory>>,
    credentials: Option<Arc<Credentials>>,
    stats: Arc<ListenerStats>,
    /// Lets `/hang` go on; `hanging` counts who waits there.
    release: Arc<Notify>,
    hanging: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Both,
    Http1Only,
    Plain,
}

impl Gate {
    async fn open(limits: Limits) -> Self {
        Self::with(limits, Speaks::Both, Settings::of).await
    }

    async fn with(limits: Limits, speaks: Speaks, settings: impl FnOnce(&Ca) -> Settings) -> Self {
        let ca = Ca::new("咸安 CA");
        let clock = Clock::by_hand(NOON);
        let directory = Arc::new(ArcSwap::new(settings(&ca).directory(XIANAN, None)));
        let credentials =
            (speaks != Speaks::Plain).then(|| credentials(&ca.issue(&Leaf::of(XIANAN)), XIANAN));
        let tls = credentials.as_ref().map(|credentials| {
            let config =
                partner_server_config(Arc::clone(credentials), Arc::clone(&directory), clock.clone())
                    .unwrap();
            let mut config = (*config).clone();
            if speaks == Speaks::Http1Only {
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
            }
            Arc::new(config)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, shutdown) = watch::channel(false);
        let stats = Arc::new(ListenerStats::default());
        let room = Room {
            directory: Arc::clone(&directory),
            clock: clock.clone(),
            release: Arc::default(),
            hanging: Arc::default(),
        };
        let (release, hanging) = (Arc::clone(&room.release), Arc::clone(&room.hanging));
        let service = move |request, caller| room.clone().answer(request, caller);
        let task = tokio::spawn(serve(listener, tls, limits, Arc::clone(&stats), service, shutdown));
        Self { addr, ca, clock, directory, credentials, stats, release, hanging, stop, task }
    }

    fn reconfigure(&self, settings: Settings) {
        let before = self.directory.load_full();
        self.directory.store(settings.directory(XIANAN, Some(&before)));
    }

    /// 玉环's way here, with this certificate.
    fn caller(&self, pair: &Pair) -> Caller {
        let mut settings = Settings::of(&self.ca);
        settings.cards = vec![Card::for_test(XIANAN, self.addr.port(), vec![], Status::Active)];
        Caller {
            credentials: credentials_of_anybody(pair),
            directory: Arc::new(ArcSwap::new(settings.directory(YUHUAN, None))),
            clock: self.clock.clone(),
        }
    }

    /// 玉环 with a good certificate.
    fn yuhuan(&self) -> Caller {
        self.caller(&self.ca.issue(&Leaf::of(YUHUAN)))
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn tls(&self, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, self.tcp().await).await
    }

    /// A good connection of 玉环 on which this test speaks by hand.
    async fn speak(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let mut config = (*self.yuhuan().config()).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        self.tls(Arc::new(config)).await.unwrap()
    }

    fn count(&self, counter: impl Fn(&ListenerStats) -> &AtomicU64) -> u64 {
        counter(&self.stats).load(Ordering::Relaxed)
    }
}

struct Caller {
    credentials: Arc<Credentials>,
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
}

impl Caller {
    fn config(&self) -> Arc<ClientConfig> {
        let (credentials, directory) = (Arc::clone(&self.credentials), Arc::clone(&self.directory));
        partner_client_config(credentials, directory, self.clock.clone(), region(XIANAN)).unwrap()
    }

    fn clients(&self) -> PartnerClients {
        self.clients_within(ClientLimits::default())
    }

    fn clients_within(&self, limits: ClientLimits) -> PartnerClients {
        let (credentials, directory) = (Arc::clone(&self.credentials), Arc::clone(&self.directory));
        PartnerClients::with_limits(credentials, directory, self.clock.clone(), limits)
    }
}

async fn get(clients: &PartnerClients, path: &str) -> Result<(u16, String), SendFault> {
    let answer = clients.get(region(XIANAN), path).await?;
    Ok((answer.status, String::from_utf8(answer.body.to_vec()).unwrap()))
}

fn credentials(pair: &Pair, me: &str) -> Arc<Credentials> {
    Credentials::new(pair.chain_pem.as_bytes(), pair.key_pem.as_bytes(), region(me)).unwrap()
}

fn credentials_of_anybody(pair: &Pair) -> Arc<Credentials> {
    Credentials::for_host(pair.chain_pem.as_bytes(), pair.key_pem.as_bytes()).unwrap()
}

/// What stands behind the door.
#[derive(Clone)]
struct Room {
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
    release: Arc<Notify>,
    hanging: Arc<AtomicU64>,
}

impl Room {
    async fn answer(self, request: Request<Incoming>, caller: Arc<ConnInfo>) -> Answer {
        let said = |text: String| Response::new(Either::Left(Full::new(Bytes::from(text))));
        match request.uri().path() {
            "/whoami" => match caller.identity(&self.directory.load(), self.clock.now()) {
                Ok(peer) => said(peer.region().to_string()),
                Err(_) => bare(StatusCode::FORBIDDEN),
            },
            "/hang" => {
                let released = self.release.notified();
                self.hanging.fetch_add(1, Ordering::SeqCst);
                released.await;
                said("released".into())
            }
            "/body" => match collect_body(request.into_body(), 1000, BODY_DEADLINE).await {
                Ok(body) => said(body.len().to_string()),
                Err(BodyFault::TooLarge) => bare(StatusCode::PAYLOAD_TOO_LARGE),
                Err(BodyFault::Timeout) => bare(StatusCode::REQUEST_TIMEOUT),
                Err(BodyFault::Broken) => bare(StatusCode::BAD_REQUEST),
            },
            "/large" => said("x".repeat(100_000)),
            "/panic" => panic!("on purpose"),
            _ => bare(StatusCode::NOT_FOUND),
        }
    }
}

/// Waits for a condition that another task brings about.
async fn eventually(condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it never came about");
        tokio::task::yield_now().await;
    }
}

/// Lets this much time pass at once. For the tests with sockets: time may stand still only
/// while nothing is on its way through them, since it would jump to the next deadline.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Lets time pass, a second at once, until this ends; how much it was.
async fn pass_until_ended<T>(task: &JoinHandle<T>) -> Duration {
    let mut passed = Duration::ZERO;
    while !task.is_finished() {
        pass(Duration::from_secs(1)).await;
        passed += Duration::from_secs(1);
    }
    passed
}

/// What comes until the other side closes.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    closed_within(stream, PATIENCE).await
}

async fn closed_within(stream: &mut (impl tokio::io::AsyncRead + Unpin), patience: Duration) -> String {
    let mut read = Vec::new();
    // A cut connection ends without TLS's farewell, or with a reset: closed is closed.
    timeout(patience, stream.read_to_end(&mut read)).await.expect("still open").ok();
    String::from_utf8_lossy(&read).into_owned()
}
