//! Requests and their ends: panics, shutdown, shares, and what a caller is told.

use super::*;
use crate::peer::NotAMember;

#[tokio::test]
async fn a_panic_costs_one_answer() {
    for speaks in [Speaks::Both, Speaks::Http1Only] {
        let gate = Gate::with(Limits::default(), speaks, Settings::of).await;
        let clients = gate.yuhuan().clients();
        assert_eq!(get(&clients, "/panic").await, Ok((500, String::new())));
        assert_eq!(get(&clients, "/whoami").await, Ok((200, YUHUAN.into())));
        assert_eq!((gate.count(|s| &s.panics), gate.count(|s| &s.accepted)), (1, 1));
    }
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    for speaks in [Speaks::Both, Speaks::Http1Only] {
        let gate = Gate::with(Limits::default(), speaks, Settings::of).await;
        let (busy, idle) = (Arc::new(gate.yuhuan().clients()), gate.yuhuan().clients());
        assert_eq!(get(&idle, "/whoami").await.unwrap().0, 200);
        let asked = tokio::spawn(async move { get(&busy, "/hang").await });
        eventually(|| gate.hanging.load(Ordering::SeqCst) == 1).await;
        gate.stop.send(true).unwrap();
        eventually(|| gate.count(|s| &s.open) == 1).await; // the idle one left at once
        assert!(matches!(get(&idle, "/whoami").await, Err(SendFault::Connect(_))));
        assert!(!gate.task.is_finished());
        gate.release.notify_waiters();
        assert_eq!(asked.await.unwrap(), Ok((200, "released".into())));
        timeout(PATIENCE, gate.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let gate = Gate::open(Limits::default()).await;
    let patient = ClientLimits { total: PATIENCE, ..ClientLimits::default() };
    let clients = gate.yuhuan().clients_within(patient);
    let asked = tokio::spawn(async move { get(&clients, "/hang").await });
    eventually(|| gate.hanging.load(Ordering::SeqCst) == 1).await;
    gate.stop.send(true).unwrap();
    assert!(pass_until_ended(&gate.task).await >= Limits::default().drain);
    assert_eq!(asked.await.unwrap(), Err(SendFault::Broken));
}

#[tokio::test]
async fn a_peer_has_its_share_of_connections() {
    let gate = Gate::open(Limits { connections_per_peer: 1, ..Limits::default() }).await;
    let first = gate.yuhuan().clients();
    assert_eq!(get(&first, "/whoami").await.unwrap().0, 200);
    assert!(get(&gate.yuhuan().clients(), "/whoami").await.is_err());
    assert!(gate.count(|s| &s.over_share) >= 1);
    assert_eq!(get(&first, "/whoami").await.unwrap().0, 200);
    drop(first);
    eventually(|| gate.count(|s| &s.open) == 0).await;
    assert_eq!(get(&gate.yuhuan().clients(), "/whoami").await.unwrap().0, 200);
}

#[tokio::test]
async fn many_callers_share_one_http2_connection() {
    let gate = Gate::open(Limits::default()).await;
    let clients = Arc::new(gate.yuhuan().clients());
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let clients = Arc::clone(&clients);
            tokio::spawn(async move { get(&clients, "/whoami").await.unwrap().0 })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(gate.count(|s| &s.accepted), 1);
}

#[tokio::test]
async fn many_callers_over_http1_keep_their_connections() {
    let gate = Gate::with(Limits::default(), Speaks::Http1Only, Settings::of).await;
    let clients = Arc::new(gate.yuhuan().clients());
    for _ in 0..5 {
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let clients = Arc::clone(&clients);
                tokio::spawn(async move { get(&clients, "/whoami").await.unwrap().0 })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 200);
        }
    }
    assert!(gate.count(|s| &s.accepted) <= 9);
}

#[tokio::test]
async fn a_body_goes_there_and_its_size_comes_back() {
    for speaks in [Speaks::Both, Speaks::Http1Only] {
        let gate = Gate::with(Limits::default(), speaks, Settings::of).await;
        let clients = gate.yuhuan().clients();
        let answer = clients.post_exchange(region(XIANAN), Bytes::from_static(b"message")).await.unwrap();
        assert_eq!((answer.status, answer.signed), (404, false));
    }
}

#[tokio::test]
async fn whoever_answers_must_be_that_partner() {
    let gate = Gate::open(Limits::default()).await;
    let foreign = gate.ca.issue(&Leaf::of("330106"));
    let credentials = gate.credentials.as_ref().unwrap();
    credentials.replace(foreign.chain_pem.as_bytes(), foreign.key_pem.as_bytes(), None).unwrap();
    let fault = get(&gate.yuhuan().clients(), "/whoami").await.unwrap_err();
    assert_eq!(fault, SendFault::NotThisPartner(NotAMember::Stranger(region("330106"))));
    assert!(!fault.maybe_sent());

    // Known, but another one.
    let caller = gate.yuhuan();
    let mut settings = Settings::of(&gate.ca);
    settings.cards = vec![
        Card::for_test(XIANAN, gate.addr.port(), vec![], Status::Active),
        Card::for_test("330106", 1, vec![], Status::Active),
    ];
    caller.directory.store(settings.directory(YUHUAN, None));
    let fault = get(&caller.clients(), "/whoami").await.unwrap_err();
    assert!(matches!(fault, SendFault::NotThisPartner(_)), "{fault:?}");
}

#[tokio::test]
async fn a_partner_that_was_withdrawn_is_not_called_over_an_old_connection() {
    let gate = Gate::open(Limits::default()).await;
    let caller = gate.yuhuan();
    let clients = caller.clients();
    assert_eq!(get(&clients, "/whoami").await.unwrap().0, 200);
    let before = caller.directory.load_full();
    let with = |crls: Vec<String>, status| {
        let cards = vec![Card::for_test(XIANAN, gate.addr.port(), vec![], status)];
        let settings = Settings { cas: vec![gate.ca.pem()], crls, cards };
        caller.directory.store(settings.directory(YUHUAN, Some(&before)));
    };
    with(vec![gate.ca.crl(&[7], -9, 9)], Status::Active);
    assert!(matches!(
        get(&clients, "/whoami").await,
        Err(SendFault::NotThisPartner(NotAMember::Untrusted(..)))
    ));
    with(vec![], Status::Suspended);
    assert_eq!(get(&clients, "/whoami").await, Err(SendFault::NotActive(region(XIANAN))));
    let stranger = clients.get(region("330106"), "/whoami").await.map(|a| a.status);
    assert_eq!(stranger, Err(SendFault::NoSuchPartner(region("330106"))));
}

#[tokio::test]
async fn a_caller_hears_why_there_is_no_answer() {
    let gate = Gate::open(Limits::default()).await;
    let small = ClientLimits { in_flight: 1, answer: 99_999, ..ClientLimits::default() };
    let clients = Arc::new(gate.yuhuan().clients_within(small));
    assert_eq!(get(&clients, "/large").await, Err(SendFault::TooLarge));
    let ask = |path: &'static str| {
        let clients = Arc::clone(&clients);
        tokio::spawn(async move { get(&clients, path).await })
    };
    let hanging = ask("/hang");
    eventually(|| gate.hanging.load(Ordering::SeqCst) == 1).await;
    let queued = ask("/whoami");
    pass_until_ended(&queued).await;
    assert_eq!(queued.await.unwrap(), Err(SendFault::Busy));
    assert!(!hanging.is_finished());
    pass_until_ended(&hanging).await;
    assert_eq!(hanging.await.unwrap(), Err(SendFault::Timeout));
    assert_eq!(clients.last_attempt(region(XIANAN)).map(|a| a.up), Some(false));
    assert_eq!(get(&clients, "relative").await, Err(SendFault::Path));

    gate.stop.send(true).unwrap();
    timeout(PATIENCE, gate.task).await.unwrap().unwrap();
    assert!(matches!(get(&clients, "/whoami").await, Err(SendFault::Connect(_))));
}
