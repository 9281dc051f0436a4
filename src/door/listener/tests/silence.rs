//! Holding a connection by saying nothing, or too much, at each of its phases.

use tokio::io::AsyncWriteExt as _;

use super::*;

const REQUEST: &[u8] = b"GET /whoami HTTP/1.1\r\nhost: gw\r\n\r\n";
/// An HTTP/2 preface with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

fn quick_handshake() -> Limits {
    Limits { handshake: SOON, ..Limits::default() }
}

fn quick_first_request() -> Limits {
    Limits { first_request: SOON, ..Limits::default() }
}

#[tokio::test]
async fn no_client_hello_or_half_of_one_is_closed() {
    let gate = Gate::open(quick_handshake()).await;
    let (mut silent, mut half) = (gate.tcp().await, gate.tcp().await);
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).await.unwrap();
    until_closed(&mut silent).await;
    until_closed(&mut half).await;
    eventually(|| gate.count(|s| &s.timed_out) == 2).await;
    eventually(|| gate.count(|s| &s.open) == 0).await;
}

#[tokio::test]
async fn a_handshake_without_a_request_is_closed() {
    let gate = Gate::open(quick_first_request()).await;
    for alpn in [b"h2".as_slice(), b"http/1.1"] {
        until_closed(&mut gate.speak(alpn).await).await;
    }
    eventually(|| gate.count(|s| &s.timed_out) == 2).await;
}

#[tokio::test]
async fn half_an_http2_preface_or_a_whole_one_without_request_is_closed() {
    let gate = Gate::open(quick_first_request()).await;
    for said in [&PREFACE[..10], PREFACE] {
        let mut stream = gate.speak(b"h2").await;
        stream.write_all(said).await.unwrap();
        until_closed(&mut stream).await;
    }
    eventually(|| gate.count(|s| &s.timed_out) == 2).await;
}

#[tokio::test]
async fn pings_are_no_requests() {
    let gate = Gate::open(quick_first_request()).await;
    let mut stream = gate.speak(b"h2").await;
    stream.write_all(PREFACE).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let chatter = tokio::spawn(async move {
        while write.write_all(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00........").await.is_ok() {
            tokio::time::sleep(SOON / 8).await;
        }
    });
    until_closed(&mut read).await;
    chatter.await.unwrap();
}

#[tokio::test]
async fn half_a_head_is_closed_first_or_later_request() {
    let gate = Gate::open(Limits { header: SOON, ..Limits::default() }).await;
    for before in [b"".as_slice(), REQUEST] {
        let mut stream = gate.speak(b"http/1.1").await;
        stream.write_all(before).await.unwrap();
        if !before.is_empty() {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        stream.write_all(b"GET /whoami HTTP/1.1\r\nhost: ").await.unwrap();
        until_closed(&mut stream).await;
    }
    eventually(|| gate.count(|s| &s.timed_out) == 2).await;
}

#[tokio::test]
async fn a_trickled_head_is_closed() {
    let gate = Gate::with(Limits { header: SOON, ..Limits::default() }, Speaks::Plain, Settings::of).await;
    let (mut read, mut write) = gate.tcp().await.into_split();
    let chatter = tokio::spawn(async move {
        while write.write_all(b"G").await.is_ok() {
            tokio::time::sleep(SOON / 8).await;
        }
    });
    until_closed(&mut read).await;
    chatter.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_asked_to_leave() {
    let gate = Gate::open(Limits { idle: SOON, ..Limits::default() }).await;
    let mut stream = gate.speak(b"http/1.1").await;
    stream.write_all(REQUEST).await.unwrap();
    assert!(until_closed(&mut stream).await.ends_with(YUHUAN));

    // HTTP/2 goes with a GOAWAY, and the caller simply connects again.
    let clients = gate.yuhuan().clients();
    assert_eq!(get(&clients, "/whoami").await.unwrap().0, 200);
    eventually(|| gate.count(|s| &s.open) == 0).await;
    assert_eq!(get(&clients, "/whoami").await.unwrap().0, 200);
    assert_eq!(gate.count(|s| &s.timed_out), 0);
}

#[tokio::test]
async fn an_old_connection_is_asked_to_leave_between_requests() {
    let gate = Gate::open(Limits { age: SOON, ..Limits::default() }).await;
    let clients = gate.yuhuan().clients();
    let asked = tokio::spawn(async move { get(&clients, "/hang").await });
    eventually(|| gate.hanging.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(SOON * 2).await; // past its age, with a request in flight
    gate.release.notify_waiters();
    assert_eq!(asked.await.unwrap(), Ok((200, "released".into())));
    eventually(|| gate.count(|s| &s.open) == 0).await;
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let gate = Gate::open(Limits::default()).await;
    let mut stream = gate.speak(b"http/1.1").await;
    stream.write_all(b"POST /body HTTP/1.1\r\nhost: gw\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    assert!(until_closed(&mut stream).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn too_much_is_refused_early() {
    let gate = Gate::with(Limits::default(), Speaks::Plain, Settings::of).await;
    let ask = async |request: String| {
        let (mut read, mut write) = gate.tcp().await.into_split();
        let writer = tokio::spawn(async move { write.write_all(request.as_bytes()).await.map(|()| write) });
        let answer = until_closed(&mut read).await;
        drop(writer);
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    let headers: String = (0..70).map(|i| format!("h{i}: x\r\n")).collect();
    assert_eq!(ask(format!("GET / HTTP/1.1\r\nhost: gw\r\n{headers}\r\n")).await, "431");
    assert_eq!(
        ask(format!("GET / HTTP/1.1\r\nhost: gw\r\nlong: {}\r\n\r\n", "x".repeat(16_384))).await,
        "431"
    );
    let close = "connection: close\r\n";
    assert_eq!(
        ask(format!("POST /body HTTP/1.1\r\nhost: gw\r\n{close}content-length: 1001\r\n\r\n")).await,
        "413"
    );
    let chunk = format!("3e9\r\n{}\r\n", "x".repeat(1001));
    assert_eq!(
        ask(format!("POST /body HTTP/1.1\r\nhost: gw\r\n{close}transfer-encoding: chunked\r\n\r\n{chunk}"))
            .await,
        "413"
    );
}

#[tokio::test]
async fn odd_requests_are_refused_and_their_connection_closed() {
    let gate = Gate::with(Limits::default(), Speaks::Plain, Settings::of).await;
    for odd in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx_client_cert: a\r\n\r\n",
    ] {
        let mut stream = gate.tcp().await;
        stream.write_all(odd.as_bytes()).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("\r\n\r\n"), "{odd:?}: {answer:?}");
    }
    assert_eq!(gate.count(|s| &s.odd_requests), 5);
}

#[tokio::test]
async fn one_address_cannot_hold_all_handshakes() {
    let gate = Gate::open(Limits { handshakes_per_address: 1, ..Limits::default() }).await;
    let _silent = gate.tcp().await;
    eventually(|| gate.count(|s| &s.open) == 1).await;
    until_closed(&mut gate.tcp().await).await;
    assert_eq!(gate.count(|s| &s.over_share), 1);
}

#[tokio::test]
async fn who_is_still_sending_too_much_reads_the_refusal() {
    let gate = Gate::open(Limits::default()).await;
    for head in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let stream = gate.speak(b"http/1.1").await;
        let (mut read, mut write) = tokio::io::split(stream);
        let mut request = format!("POST /body HTTP/1.1\r\nhost: gw\r\n{head}\r\n\r\nf4240\r\n").into_bytes();
        request.resize(request.len() + 1_000_000, b'x');
        write.write_all(&request).await.unwrap();
        write.flush().await.unwrap();
        assert!(until_closed(&mut read).await.starts_with("HTTP/1.1 413"));
    }
}
