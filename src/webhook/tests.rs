//! What webhooks promise: on virtual time with a feed and a receiver made of paper, and one
//! call over a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::notice::Feed;
use super::sender::{Call, Called, GIVEN_UP, run};
use super::window::Progress;
use super::*;
use crate::casebook::{Casebook, CasebookFault, Listed, NoticeRow, Write};
use crate::clock::{Clock, Now};

const START: i64 = 1_795_276_800;

fn notice(n: i64, line: &str, kind: &str) -> NoticeRow {
    NoticeRow {
        id: format!("N{n}"),
        line: line.into(),
        kind: kind.into(),
        at: START * 1000,
        body: json!({"n": n}),
    }
}

struct Paper {
    notices: Mutex<Vec<NoticeRow>>,
    progress: Mutex<Option<Progress>>,
    largest_read: Mutex<u32>,
    version: watch::Sender<u64>,
}

impl Paper {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            notices: Mutex::default(),
            progress: Mutex::default(),
            largest_read: Mutex::default(),
            version: watch::Sender::new(0),
        })
    }

    fn add(&self, line: &str, kind: &str) {
        let mut notices = self.notices.lock().unwrap();
        let n = i64::try_from(notices.len()).unwrap() + 1;
        notices.push(notice(n, line, kind));
        self.version.send_modify(|version| *version += 1);
    }

    fn given_up(&self) -> Vec<Value> {
        let notices = self.notices.lock().unwrap();
        notices.iter().filter(|n| n.kind == GIVEN_UP).map(|n| n.body.clone()).collect()
    }

    fn kept(&self) -> (i64, Vec<i64>) {
        let progress = self.progress.lock().unwrap().clone().unwrap();
        (progress.read, progress.open)
    }
}

impl Feed for Paper {
    type Changes = watch::Receiver<u64>;

    async fn after(&self, cursor: i64, most: u32) -> Result<Vec<Listed<NoticeRow>>, CasebookFault> {
        let mut largest = self.largest_read.lock().unwrap();
        *largest = most.max(*largest);
        let notices = self.notices.lock().unwrap();
        let numbered = (1_i64..).zip(notices.iter()).map(|(n, row)| Listed { n, row: row.clone() });
        Ok(numbered.filter(|listed| listed.n > cursor).take(most as usize).collect())
    }

    async fn progress(&self, _: &str) -> Result<Progress, CasebookFault> {
        Ok(self.progress.lock().unwrap().get_or_insert_default().clone())
    }

    async fn keep(&self, _: &str, progress: &Progress) -> Result<(), CasebookFault> {
        *self.progress.lock().unwrap() = Some(progress.clone());
        Ok(())
    }

    async fn tell(&self, notice: NoticeRow) -> Result<(), CasebookFault> {
        self.notices.lock().unwrap().push(notice);
        self.version.send_modify(|version| *version += 1);
        Ok(())
    }

    fn changes(&self) -> Self::Changes {
        self.version.subscribe()
    }
}

type Manner = Box<dyn Fn(i64, usize) -> Called + Send + Sync>;

/// Answers by the notice's number and how often it was told.
struct Receiver {
    manner: Manner,
    told: Mutex<Vec<(i64, String)>>,
}

impl Receiver {
    fn new(manner: impl Fn(i64, usize) -> Called + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { manner: Box::new(manner), told: Mutex::default() })
    }

    fn told(&self) -> Vec<i64> {
        self.told.lock().unwrap().iter().map(|(n, _)| *n).collect()
    }
}

impl Call for Arc<Receiver> {
    async fn call(&self, id: &str, body: Bytes, _: Now) -> Called {
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["id"], id);
        let n = body["data"]["n"].as_i64().unwrap();
        let nth = {
            let mut told = self.told.lock().unwrap();
            told.push((n, body["subject"].as_str().unwrap().to_owned()));
            told.iter().filter(|(other, _)| *other == n).count()
        };
        sleep(Duration::from_millis(20)).await;
        (self.manner)(n, nth)
    }
}

struct Scene {
    paper: Arc<Paper>,
    clock: Clock,
    stop: watch::Sender<bool>,
    board: Arc<Board>,
}

impl Scene {
    fn new() -> Self {
        let clock = Clock::by_hand(Now::from_secs(START));
        Self { paper: Paper::new(), clock, stop: watch::Sender::new(false), board: Arc::default() }
    }

    fn start(&self, receiver: &Arc<Receiver>, events: Option<&[&str]>) -> tokio::task::JoinHandle<()> {
        let settings = WebhookSettings {
            url: "http://127.0.0.1:1/in?key=1".into(),
            secret_file: "secret".into(),
            events: events.map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect()),
            ca: None,
        };
        let (feed, board) = (self.paper.clone(), self.board.clone());
        tokio::spawn(run(settings, feed, receiver.clone(), self.clock.clone(), board, self.stop.subscribe()))
    }
}

#[tokio::test(start_paused = true)]
async fn each_subject_hears_in_order_whatever_fails_and_others_do_not_wait() {
    let scene = Scene::new();
    for n in 0..400 {
        scene.paper.add(&format!("K{}", n % 40), "case.state");
    }
    // One notice in ten fails twice; number 5 is never wanted.
    let receiver = Receiver::new(|n, nth| match n {
        5 => Called::Refused(400),
        n if n % 10 == 3 && nth == 1 => Called::Unreachable,
        n if n % 10 == 3 && nth == 2 => Called::Away { status: 503, retry_after: None },
        _ => Called::Heard,
    });
    let sender = scene.start(&receiver, None);
    sleep(Duration::from_secs(1200)).await;
    let told = receiver.told.lock().unwrap().clone();
    for line in 0..40 {
        let name = format!("K{line}");
        let mut of_line: Vec<i64> =
            told.iter().filter(|(_, subject)| *subject == name).map(|(n, _)| *n).collect();
        of_line.dedup();
        let expected: Vec<i64> = (0..10).map(|k| k * 40 + line + 1).collect();
        if name == "K4" {
            assert_eq!(of_line, [5], "what comes after number 5 waits for its end");
        } else {
            assert_eq!(of_line, expected, "{name} goes on beside K4");
        }
    }
    assert!(*scene.paper.largest_read.lock().unwrap() <= 128, "what waits is not read ahead of the window");
    let behind: Vec<i64> = (0..10).map(|k| k * 40 + 5).collect();
    assert_eq!(scene.paper.kept(), (400, behind), "what was not heard is remembered");
    // After three days number 5 is given up, visibly, and everything else is heard.
    scene.clock.advance(i64::try_from(sender::GIVE_UP_AFTER.as_millis()).unwrap() + 1);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        scene.paper.given_up(),
        [
            json!({"webhook": "http://127.0.0.1:1/in", "notice": "N5", "cursor": "5", "reason": "refused", "status": 400})
        ]
    );
    scene.stop.send_replace(true);
    sender.await.unwrap();
    assert_eq!(scene.paper.kept(), (401, Vec::new()), "the word that it was given up is passed over");
    let shown = scene.board.shown()["http://127.0.0.1:1/in"].clone();
    assert_eq!((shown.heard, shown.given_up), (399, 1));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_away_is_asked_seldom_and_then_hears_everything() {
    let scene = Scene::new();
    for n in 0..100 {
        scene.paper.add(&format!("K{n}"), "case.state");
    }
    let back = Instant::now() + Duration::from_secs(6 * 3600);
    let receiver =
        Receiver::new(move |_, _| if Instant::now() < back { Called::Unreachable } else { Called::Heard });
    let sender = scene.start(&receiver, None);
    tokio::time::sleep_until(back).await;
    let while_away = receiver.told().len();
    assert!(while_away < 900, "{while_away} calls in six hours");
    sleep(Duration::from_secs(70)).await;
    scene.stop.send_replace(true);
    sender.await.unwrap();
    assert_eq!(receiver.told().len() - while_away, 100);
    assert_eq!(scene.paper.kept(), (100, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_at_a_crash_is_told_again_and_nothing_is_left_out() {
    let scene = Scene::new();
    for n in 0..300 {
        scene.paper.add(&format!("K{n}"), "case.state");
    }
    let receiver =
        Receiver::new(|n, nth| if n == 7 && nth < 9 { Called::Refused(400) } else { Called::Heard });
    for _ in 0..20 {
        let sender = scene.start(&receiver, None);
        sleep(Duration::from_millis(70)).await;
        sender.abort();
    }
    let sender = scene.start(&receiver, None);
    sleep(Duration::from_secs(600)).await;
    scene.stop.send_replace(true);
    sender.await.unwrap();
    let told = receiver.told();
    assert!((1..=300).all(|n| told.contains(&n)));
    assert_eq!(
        (told.iter().filter(|n| **n == 7).count() >= 9, scene.paper.kept()),
        (true, (300, Vec::new()))
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_was_asked_for_is_told_and_a_restart_goes_on_where_it_was() {
    let scene = Scene::new();
    for n in 0..50 {
        scene.paper.add(&format!("K{n}"), if n % 2 == 0 { "case.state" } else { "parcel.ended" });
    }
    let receiver = Receiver::new(|_, _| Called::Heard);
    let sender = scene.start(&receiver, Some(&["case.*"]));
    sleep(Duration::from_secs(5)).await;
    assert_eq!((receiver.told().len(), scene.paper.kept()), (25, (50, Vec::new())));
    sender.abort();
    scene.paper.add("K", "case.state");
    let again = scene.start(&receiver, Some(&["case.*"]));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(receiver.told().last(), Some(&51));
    assert_eq!(receiver.told().len(), 26);
    scene.paper.add("K", "case.state");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.told().len(), 27, "told when it came, not at the next look");
    again.abort();
}

#[tokio::test]
async fn a_call_carries_the_signature_and_the_notices_id() {
    let dir = tempfile::tempdir().unwrap();
    crate::keys::write_private_file(&dir.path().join("secret"), b"0123456789abcdef\n").unwrap();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = WebhookSettings {
        url: format!("http://{}/in", socket.local_addr().unwrap()),
        secret_file: "secret".into(),
        events: None,
        ca: None,
    };
    let server = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in [
            "200 OK",
            "503 Service Unavailable\r\nRetry-After: 7",
            "422 Unprocessable",
            "302 Found\r\nLocation: /",
        ] {
            let (mut stream, _) = socket.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{\"n\":1}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            heads.push(String::from_utf8(request).unwrap());
        }
        heads
    });
    let caller = Caller::new(&settings, dir.path()).unwrap();
    let mut called = Vec::new();
    for _ in 0..4 {
        called.push(caller.call("N1", Bytes::from_static(b"{\"n\":1}"), Now::from_secs(START)).await);
    }
    assert_eq!(
        called,
        [
            Called::Heard,
            Called::Away { status: 503, retry_after: Some(Duration::from_secs(7)) },
            Called::Refused(422),
            Called::Away { status: 302, retry_after: None },
        ]
    );
    let head = server.await.unwrap().remove(0).to_ascii_lowercase();
    // printf '1795276800.{"n":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
    assert!(head.contains("tongban-signature: t=1795276800,v1=edc838a8d29ad4e132c8a060d927f7967e3462e857ecc32bfeb634a54b43c7b3\r\n"), "{head}");
    assert!(head.contains("tongban-delivery: n1\r\n") && head.starts_with("post /in http/1.1\r\n"));
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let settings = WebhookSettings {
        url: "http://127.0.0.1:1/".into(),
        secret_file: "secret".into(),
        events: None,
        ca: None,
    };
    assert!(matches!(Caller::new(&settings, dir.path()), Err(CallerFault::Secret(_))));
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Caller::new(&settings, dir.path()).is_ok());
}

#[tokio::test]
async fn the_list_is_read_page_by_page_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let (book, _carrier) = Casebook::open(dir.path()).unwrap();
    for n in 1..=250 {
        book.write(vec![Write::Notice(notice(n, "K", "case.state"))]).await.unwrap();
    }
    let (mut cursor, mut ids) = (None, Vec::new());
    loop {
        let page = list(&book, cursor.as_deref(), None).await.unwrap();
        let notices = page["notices"].as_array().unwrap();
        ids.extend(notices.iter().map(|n| n["id"].as_str().unwrap().to_owned()));
        cursor = page["next"].as_str().map(str::to_owned);
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(ids, (1..=250).map(|n| format!("N{n}")).collect::<Vec<_>>());
    // A notice written again (a deed carried twice) stays in its place.
    book.write(vec![Write::Notice(notice(7, "K", "case.state"))]).await.unwrap();
    let page = list(&book, cursor.as_deref(), Some("5")).await.unwrap();
    assert_eq!(page, json!({"notices": [], "next": "250", "more": false}));
    for (cursor, limit) in [("x", "1"), ("-1", "1"), ("0", "0"), ("0", "501")] {
        assert!(list(&book, Some(cursor), Some(limit)).await.is_err());
    }
    // Who is connected today begins with what comes from now on.
    let from_now_on = Progress { read: 250, open: Vec::new() };
    assert_eq!(Feed::progress(&book, "webhook:new").await.unwrap(), from_now_on);
    book.write(vec![Write::Notice(notice(251, "K", "case.state"))]).await.unwrap();
    assert_eq!(Feed::progress(&book, "webhook:new").await.unwrap(), from_now_on);
}
