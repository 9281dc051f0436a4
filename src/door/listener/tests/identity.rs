//! Who gets in, and who stays in.

use rcgen::ExtendedKeyUsagePurpose as Purpose;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::peer::spki_sha256;

const DAY: i64 = 86_400;

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }
    fn has_certs(&self) -> bool {
        false
    }
}

/// The certificate gets no handshake at this door.
async fn is_turned_away(gate: &Gate, pair: &Pair) {
    let before = gate.count(|s| &s.handshakes_failed);
    let fault = get(&gate.caller(pair).clients(), "/whoami").await.unwrap_err();
    // Usually the alert is read; a reset may overtake it.
    assert!(
        matches!(fault, SendFault::RefusedUs(_) | SendFault::Broken | SendFault::Connect(_)),
        "{fault:?}"
    );
    eventually(|| gate.count(|s| &s.handshakes_failed) > before).await;
    assert_eq!(gate.count(|s| &s.timed_out), 0);
}

#[tokio::test]
async fn a_member_is_known_over_both_protocols() {
    for speaks in [Speaks::Both, Speaks::Http1Only] {
        let gate = Gate::with(Limits::default(), speaks, Settings::of).await;
        let clients = gate.yuhuan().clients();
        for _ in 0..3 {
            assert_eq!(get(&clients, "/whoami").await, Ok((200, YUHUAN.into())));
        }
        assert_eq!(gate.count(|s| &s.accepted), 1);
    }
}

#[tokio::test]
async fn strangers_get_no_handshake() {
    let gate = Gate::open(Limits::default()).await;
    let leaf = || Leaf::of(YUHUAN);
    let two = vec![format!("urn:tongban:gw:{YUHUAN}"), format!("urn:tongban:gw:{XIANAN}")];
    for pair in [
        leaf().self_signed(),
        Ca::new("another").issue(&leaf()),
        gate.ca.issue(&Leaf { not_after: -1, ..leaf() }),
        gate.ca.issue(&Leaf { purposes: vec![Purpose::ServerAuth], ..leaf() }),
        gate.ca.issue(&Leaf { uris: two, ..leaf() }),
        gate.ca.issue(&Leaf { uris: vec![], ..leaf() }),
        gate.ca.issue(&Leaf::of("330106")),
        gate.ca.issue(&Leaf::of(XIANAN)),
    ] {
        is_turned_away(&gate, &pair).await;
    }
}

#[tokio::test]
async fn without_a_certificate_there_is_no_handshake() {
    let gate = Gate::open(Limits::default()).await;
    let mut config = (*gate.yuhuan().config()).clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    if let Ok(mut stream) = gate.tls(Arc::new(config)).await {
        stream.write_all(b"GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await.ok();
        assert_eq!(until_closed(&mut stream).await, "");
    }
    eventually(|| gate.count(|s| &s.handshakes_failed) == 1).await;
}

#[tokio::test]
async fn revoked_or_of_unknown_standing_gets_no_handshake() {
    let gate = Gate::open(Limits::default()).await;
    let pair = gate.ca.issue(&Leaf::of(YUHUAN));
    let other = Ca::new("another");
    for crl in [gate.ca.crl(&[7], -DAY, DAY), gate.ca.crl(&[], -DAY, -1), other.crl(&[], -DAY, DAY)] {
        gate.reconfigure(Settings { crls: vec![crl], ..Settings::of(&gate.ca) });
        is_turned_away(&gate, &pair).await;
    }
}

#[tokio::test]
async fn a_pinned_certificate_needs_no_ca() {
    let gate = Gate::open(Limits::default()).await;
    let pair = Leaf::of(YUHUAN).self_signed();
    let pins = vec![spki_sha256(&pair.der).unwrap()];
    let cards = vec![Card::for_test(YUHUAN, 1, pins, Status::Active)];
    gate.reconfigure(Settings { cards, ..Settings::of(&gate.ca) });
    assert_eq!(get(&gate.caller(&pair).clients(), "/whoami").await, Ok((200, YUHUAN.into())));
}

#[tokio::test]
async fn a_suspended_or_removed_member_is_told_so_per_request() {
    for status in [Status::Suspended, Status::Removed] {
        let gate = Gate::with(Limits::default(), Speaks::Both, |ca| Settings {
            cards: vec![Card::for_test(YUHUAN, 1, vec![], status)],
            ..Settings::of(ca)
        })
        .await;
        assert_eq!(get(&gate.yuhuan().clients(), "/whoami").await.unwrap().0, 403);
    }
}

#[tokio::test]
async fn what_is_withdrawn_is_refused_on_open_connections_too() {
    for speaks in [Speaks::Both, Speaks::Http1Only] {
        let gate = Gate::with(Limits::default(), speaks, Settings::of).await;
        let clients = gate.yuhuan().clients();
        let status = async || get(&clients, "/whoami").await.unwrap().0;
        let settings = || Settings::of(&gate.ca);
        assert_eq!(status().await, 200);
        gate.reconfigure(Settings { crls: vec![gate.ca.crl(&[7], -DAY, DAY)], ..settings() });
        assert_eq!(status().await, 403);
        gate.reconfigure(Settings { crls: vec![gate.ca.crl(&[], -DAY, DAY)], ..settings() });
        assert_eq!(status().await, 200);
        gate.reconfigure(Settings { cas: vec![], ..settings() });
        assert_eq!(status().await, 403);
        gate.reconfigure(Settings { cards: vec![], ..settings() });
        assert_eq!(status().await, 403);
        assert_eq!(gate.count(|s| &s.accepted), 1);
    }
}

#[tokio::test]
async fn time_alone_withdraws_too() {
    let gate = Gate::with(Limits::default(), Speaks::Both, |ca| Settings {
        crls: vec![ca.crl(&[], -DAY, DAY)],
        ..Settings::of(ca)
    })
    .await;
    let clients = gate.caller(&gate.ca.issue(&Leaf { not_after: 2 * DAY, ..Leaf::of(YUHUAN) })).clients();
    let status = async || get(&clients, "/whoami").await.unwrap().0;
    assert_eq!(status().await, 200);
    gate.clock.advance(DAY * 1000); // the list's nextUpdate
    assert_eq!(status().await, 403);
    gate.reconfigure(Settings { crls: vec![gate.ca.crl(&[], 0, 9 * DAY)], ..Settings::of(&gate.ca) });
    assert_eq!(status().await, 200);
    gate.clock.advance((DAY + 1) * 1000); // the certificate's notAfter
    assert_eq!(status().await, 403);
    assert_eq!(gate.count(|s| &s.accepted), 1);
}

#[tokio::test]
async fn nothing_is_offered_to_resume() {
    let gate = Gate::open(Limits::default()).await;
    let mut stream = gate.speak(b"http/1.1").await;
    stream.write_all(b"GET /whoami HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut stream).await.ends_with(YUHUAN));
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let gate = Gate::open(Limits::default()).await;
    let shown = async || {
        let stream = gate.speak(b"h2").await;
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let credentials = gate.credentials.as_ref().unwrap();
    let renewed = gate.ca.issue(&Leaf::of(XIANAN));
    let first = shown().await;
    let me = Some(region(XIANAN));
    credentials.replace(renewed.chain_pem.as_bytes(), renewed.key_pem.as_bytes(), me).unwrap();
    assert_eq!(shown().await, renewed.der);
    assert_ne!(first, renewed.der);
    // Half a renewal, or somebody else's certificate, changes nothing.
    let other = gate.ca.issue(&Leaf::of(XIANAN));
    assert!(credentials.replace(other.chain_pem.as_bytes(), renewed.key_pem.as_bytes(), me).is_err());
    let foreign = gate.ca.issue(&Leaf::of(YUHUAN));
    assert!(credentials.replace(foreign.chain_pem.as_bytes(), foreign.key_pem.as_bytes(), me).is_err());
    assert!(credentials.replace(b"-----BEGIN", renewed.key_pem.as_bytes(), me).is_err());
    assert_eq!(shown().await, renewed.der);
}
