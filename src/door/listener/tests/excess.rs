//! Too much, or odd: refused before it costs anything.

use tokio::io::AsyncWriteExt as _;

use super::*;

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
