//! Holding a connection by saying nothing, or too little, at each of its phases.
//!
//! Above TLS a connection needs no network: here it is a pipe in memory, so that time stands
//! still while anybody has something to do and then passes at once. Each deadline is seen to
//! strike when it should, at its true length. Handshakes need sockets; there the test moves time.

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::*;

const REQUEST: &[u8] = b"GET /whoami HTTP/1.1\r\nhost: gw\r\n\r\n";
/// An HTTP/2 preface with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const PING: &[u8] = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00........";
/// A timer's grain is a millisecond.
const GRAIN: Duration = Duration::from_millis(2);
const SECOND: Duration = Duration::from_secs(1);

/// A connection without a network.
struct Pipe {
    stream: DuplexStream,
    begun: Instant,
    limits: Limits,
    stats: Arc<ListenerStats>,
    release: Arc<Notify>,
    stop: watch::Sender<bool>,
}

impl Pipe {
    fn open(protocol: Protocol) -> Self {
        let (stream, theirs) = tokio::io::duplex(64 * 1024);
        let (stats, release) = (Arc::new(ListenerStats::default()), Arc::new(Notify::new()));
        let (stop, shutdown) = watch::channel(false);
        let (begun, limits) = (Instant::now(), Limits::default());
        let pipe = Self { stream, begun, limits: limits.clone(), stats, release, stop };
        let (stats, release) = (Arc::clone(&pipe.stats), Arc::clone(&pipe.release));
        tokio::spawn(async move {
            let service = move |request, _| answer(request, Arc::clone(&release));
            let http = Http { limits: &limits, stats: &stats, service: &service, accepted: begun };
            // Port 0 spreads the age by nothing.
            let caller = ConnInfo::plain(SocketAddr::from(([127, 0, 0, 1], 0)));
            http.serve(theirs, protocol, caller, shutdown).await;
        });
        pipe
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The whole answer to [`REQUEST`].
    async fn hear_answer(&mut self) {
        let mut heard = Vec::new();
        while !heard.ends_with(b"here") {
            heard.push(self.stream.read_u8().await.unwrap());
        }
        assert!(heard.starts_with(b"HTTP/1.1 200"));
    }

    /// What still comes, and when it ended, counted from the beginning.
    async fn end(&mut self) -> (String, Duration) {
        let rest = closed_within(&mut self.stream, self.limits.age * 2).await;
        (rest, self.begun.elapsed())
    }

    /// The door closes it after `limit`, not sooner and not later.
    async fn ends_after(&mut self, limit: Duration) -> String {
        let (rest, after) = self.end().await;
        assert!(after >= limit && after <= limit + GRAIN, "{after:?} instead of {limit:?}");
        rest
    }

    fn cut(&self) -> u64 {
        self.stats.timed_out.load(Ordering::Relaxed)
    }
}

async fn answer(request: Request<Incoming>, release: Arc<Notify>) -> Answer {
    match request.uri().path() {
        "/hang" => release.notified().await,
        "/body" => {
            let fault = collect_body(request.into_body(), 1000, BODY_DEADLINE).await;
            assert_eq!(fault, Err(BodyFault::Timeout));
            return bare(StatusCode::REQUEST_TIMEOUT);
        }
        _ => {}
    }
    Response::new(AnswerBody::Left(Full::new(Bytes::from_static(b"here"))))
}

#[tokio::test]
async fn no_client_hello_or_half_of_one_is_closed() {
    let gate = Gate::open(Limits::default()).await;
    let (mut silent, mut half) = (gate.tcp().await, gate.tcp().await);
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).await.unwrap();
    eventually(|| gate.count(|s| &s.open) == 2).await;
    pass(Limits::default().handshake / 2).await;
    assert_eq!(gate.count(|s| &s.timed_out), 0);
    pass(Limits::default().handshake / 2).await;
    until_closed(&mut silent).await;
    until_closed(&mut half).await;
    eventually(|| gate.count(|s| &s.timed_out) == 2).await;
    eventually(|| gate.count(|s| &s.open) == 0).await;
}

#[tokio::test]
async fn a_handshake_without_a_request_is_closed() {
    let gate = Gate::open(Limits::default()).await;
    for alpn in [b"h2".as_slice(), b"http/1.1"] {
        let mut stream = gate.speak(alpn).await;
        pass(Limits::default().first_request).await;
        until_closed(&mut stream).await;
    }
    eventually(|| gate.count(|s| &s.timed_out) == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_first_request_is_cut() {
    for (protocol, said) in [
        (Protocol::Http1, b"".as_slice()),
        (Protocol::Http2, b""),
        (Protocol::Http2, &PREFACE[..10]),
        (Protocol::Http2, PREFACE),
    ] {
        let mut pipe = Pipe::open(protocol);
        pipe.say(said).await;
        pipe.ends_after(pipe.limits.first_request).await;
        assert_eq!(pipe.cut(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_no_requests() {
    let mut pipe = Pipe::open(Protocol::Http2);
    pipe.say(PREFACE).await;
    while pipe.begun.elapsed() + SECOND < pipe.limits.first_request {
        pipe.say(PING).await;
        tokio::time::sleep(SECOND).await;
    }
    pipe.ends_after(pipe.limits.first_request).await;
    assert_eq!(pipe.cut(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_cut_first_or_later_request() {
    let mut first = Pipe::open(Protocol::Http1);
    first.say(b"GET /whoami HTTP/1.1\r\nhost: ").await;
    first.ends_after(first.limits.header).await;

    let mut later = Pipe::open(Protocol::Http1);
    later.say(REQUEST).await;
    later.hear_answer().await;
    // Between requests silence is longer.
    tokio::time::sleep(SECOND * 30).await;
    later.say(b"GET /whoami HTTP/1.1\r\nhost: ").await;
    later.ends_after(SECOND * 30 + later.limits.header).await;
    assert_eq!((first.cut(), later.cut()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_trickled_head_is_cut_whatever_comes() {
    let mut pipe = Pipe::open(Protocol::Http1);
    while pipe.begun.elapsed() + SECOND < pipe.limits.header {
        pipe.say(b"G").await;
        tokio::time::sleep(SECOND).await;
    }
    pipe.ends_after(pipe.limits.header).await;
    assert_eq!(pipe.cut(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_asked_to_leave() {
    let mut pipe = Pipe::open(Protocol::Http1);
    pipe.say(REQUEST).await;
    pipe.hear_answer().await;
    pipe.ends_after(pipe.limits.idle).await;
    assert_eq!(pipe.cut(), 0);

    // HTTP/2 goes with a GOAWAY, without an error.
    let pipe = Pipe::open(Protocol::Http2);
    let (begun, idle) = (pipe.begun, pipe.limits.idle);
    let (mut asks, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(pipe.stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://gw/whoami").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(asks.send_request(request).await.unwrap().status(), 200);
    connection.await.unwrap().unwrap();
    assert!(begun.elapsed() >= idle && begun.elapsed() <= idle + GRAIN);
}

#[tokio::test]
async fn whoever_was_asked_to_leave_simply_comes_back() {
    let gate = Gate::open(Limits::default()).await;
    let clients = gate.yuhuan().clients();
    assert_eq!(get(&clients, "/whoami").await.unwrap().0, 200);
    pass(Limits::default().idle).await;
    eventually(|| gate.count(|s| &s.open) == 0).await;
    assert_eq!(get(&clients, "/whoami").await.unwrap().0, 200);
    assert_eq!(gate.count(|s| &s.timed_out), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_asked_to_leave_between_requests() {
    let mut pipe = Pipe::open(Protocol::Http1);
    pipe.say(b"GET /hang HTTP/1.1\r\nhost: gw\r\n\r\n").await;
    let late = pipe.limits.age + pipe.limits.drain / 2;
    tokio::time::sleep(late).await;
    pipe.release.notify_one();
    let rest = pipe.ends_after(late).await;
    assert!(rest.starts_with("HTTP/1.1 200") && rest.ends_with("here"), "{rest}");
    assert_eq!(pipe.cut(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_longer_than_the_drain_is_cut() {
    let mut old = Pipe::open(Protocol::Http1);
    old.say(b"GET /hang HTTP/1.1\r\nhost: gw\r\n\r\n").await;
    old.ends_after(old.limits.age + old.limits.drain).await;

    let mut stopping = Pipe::open(Protocol::Http1);
    stopping.say(b"GET /hang HTTP/1.1\r\nhost: gw\r\n\r\n").await;
    tokio::time::sleep(SECOND).await;
    stopping.stop.send(true).unwrap();
    stopping.ends_after(SECOND + stopping.limits.drain).await;
    assert_eq!((old.cut(), stopping.cut()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up() {
    let mut pipe = Pipe::open(Protocol::Http1);
    pipe.say(b"POST /body HTTP/1.1\r\nhost: gw\r\ncontent-length: 9\r\n\r\nhalf").await;
    assert!(pipe.ends_after(BODY_DEADLINE).await.starts_with("HTTP/1.1 408"));
}
