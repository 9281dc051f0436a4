//! Files of applications on both doors and between two gateways: whole, resumed, refused,
//! never in memory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tongban::domain::Region;
use tongban::material::{LARGEST_MATERIAL, MaterialDigest};
use tongban::peer::Put;

use crate::process::Home;
use crate::support::*;

/// 玉环 submits an application that names this file; the case's number comes back too.
async fn announce(world: &World, bytes: &[u8]) -> (MaterialDigest, String) {
    static SERIAL: AtomicU32 = AtomicU32::new(1);
    let case = case_number(SERIAL.fetch_add(1, Ordering::Relaxed));
    let told = world.ask(world.submit_of(&case).with("/body/materials/0", upload("M2", bytes))).await;
    assert_eq!(told.status, 202, "{}", told.outcome);
    (MaterialDigest::of(bytes), case)
}

/// 滨海's application for the same item, under its own agreement.
async fn announce_of_binhai(world: &World, bytes: &[u8]) -> MaterialDigest {
    let submit = world
        .submit_of(&number_between(BINHAI, XIANAN, 1))
        .with("/body/collecting/region", BINHAI)
        .with("/body/materials/0", upload("M2", bytes))
        .with("/iss", world.binhai.urn())
        .with("/agreement", BINHAIS_AGREEMENT);
    let line = world.dial(&world.binhai, Http::Two).await.unwrap();
    let told = line.exchange(submit.signed_by(&world.binhai.signing).bytes()).await;
    assert_eq!(told.status, 202);
    MaterialDigest::of(bytes)
}

const BINHAIS_AGREEMENT: &str = "421202-320922-2020";

fn plan() -> WorldPlan {
    WorldPlan::of_cases().also(|agreement| {
        let text = agreement.to_string().replace(YUHUAN, BINHAI).replace(AGREEMENT, BINHAIS_AGREEMENT);
        *agreement = text.parse().unwrap();
    })
}

fn file(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8 ^ (at / 251) as u8 ^ seed).collect()
}

fn path(digest: &MaterialDigest) -> String {
    format!("/v1/materials/{digest}")
}

async fn put(line: &Line, digest: &MaterialDigest, range: Option<&str>, body: &[u8]) -> Told {
    let says = digest.content_digest();
    let mut headers = vec![("content-digest", says.as_str())];
    headers.extend(range.map(|range| ("content-range", range)));
    line.call(Method::PUT, &path(digest), &headers, body.to_vec()).await.unwrap()
}

fn code(told: &Told) -> String {
    assert_eq!(told.header("content-type"), Some("application/problem+json"), "{told:?}");
    told.json()["code"].as_str().unwrap().to_owned()
}

fn held(gateway: &Gateway, digest: &MaterialDigest) -> Option<Vec<u8>> {
    let name = digest.to_string();
    fs::read(gateway.home.join("data/materials").join(&name[..2]).join(&name)).ok()
}

#[tokio::test]
async fn a_partner_brings_what_its_application_names() {
    let world = plan().start().await;
    for (http, seed) in [(Http::One, 1), (Http::Two, 2)] {
        let line = world.dial(&world.asking, http).await.unwrap();
        let bytes = file(700_000, seed);
        let (digest, case) = announce(&world, &bytes).await;
        let waits = async || world.office().case(&case).await["awaiting"].clone();
        assert_eq!(waits().await, serde_json::json!([digest.to_string()]));
        let told = put(&line, &digest, None, &bytes).await;
        assert_eq!((told.status, told.body.len()), (201, 0));
        assert_eq!(held(&world.xianan, &digest), Some(bytes.clone()));
        assert_eq!(waits().await, serde_json::json!([]), "whoever waits is told first");
        let again = put(&line, &digest, None, &bytes).await;
        assert_eq!(again.status, 200);
        assert_eq!(line.call(Method::GET, &path(&digest), &[], vec![]).await.unwrap().status, 405);
    }
}

#[tokio::test]
async fn pieces_join_and_a_piece_that_does_not_fit_is_told_where_to_go_on() {
    let world = plan().start().await;
    let line = world.line().await;
    let bytes = file(1000, 0);
    let (digest, _) = announce(&world, &bytes).await;
    let put = |range: &'static str, body| put(line, &digest, Some(range), body);
    let nothing = put("bytes */1000", &[]).await;
    assert_eq!((nothing.status, nothing.header("range")), (202, None));
    let first = put("bytes 0-399/1000", &bytes[..400]).await;
    assert_eq!((first.status, first.header("range")), (202, Some("bytes=0-399")));
    let gap = put("bytes 500-999/1000", &bytes[500..]).await;
    assert_eq!((gap.status, gap.header("range")), (416, Some("bytes=0-399")));
    let asked = put("bytes */1000", &[]).await;
    assert_eq!((asked.status, asked.header("range")), (202, Some("bytes=0-399")));
    // An overlap is passed over.
    let last = put("bytes 300-999/1000", &bytes[300..]).await;
    assert_eq!(last.status, 201);
    assert_eq!(held(&world.xianan, &digest), Some(bytes.clone()));
    assert_eq!(put("bytes */1000", &[]).await.status, 200);
}

#[tokio::test]
async fn what_no_application_of_this_partner_names_is_not_taken() {
    let world = plan().start().await;
    let line = world.line().await;
    let (mine, others) = (file(100, 1), file(100, 2));
    let digest = MaterialDigest::of(&mine);
    assert_eq!(code(&put(line, &digest, None, &mine).await), "unknown-material");
    let theirs = announce_of_binhai(&world, &others).await;
    let told = put(line, &theirs, None, &others).await;
    assert_eq!((told.status, code(&told).as_str()), (404, "unknown-material"));
    for odd in ["", "abc", &digest.to_string().to_uppercase(), &format!("{digest}/x"), "../../card"] {
        let told = line.call(Method::PUT, &format!("/v1/materials/{odd}"), &[], vec![]).await.unwrap();
        assert_eq!((told.status, told.body.len()), (404, 0), "{odd}");
    }
    assert_eq!(held(&world.xianan, &digest), None);
}

#[tokio::test]
async fn a_file_whose_bytes_are_others_is_dropped() {
    let world = plan().start().await;
    let line = world.line().await;
    let bytes = file(300_000, 0);
    let (digest, _) = announce(&world, &bytes).await;
    let mut other = bytes.clone();
    other[299_999] ^= 1;
    let told = put(line, &digest, None, &other).await;
    assert_eq!((told.status, code(&told).as_str()), (422, "schema-violation"));
    assert_eq!(told.json()["errors"][0]["rule"], "content-digest");
    let told = put(line, &digest, None, &bytes[1..]).await;
    assert_eq!(told.json()["errors"][0]["rule"], "bytes");
    // The header must say it too, as RFC 9530 writes it.
    let call = |headers: Vec<(&'static str, String)>| {
        let (path, body) = (path(&digest), bytes.clone());
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            line.call(Method::PUT, &path, &headers, body).await.unwrap()
        }
    };
    let missing = call(vec![]).await;
    assert_eq!((missing.status, code(&missing).as_str()), (400, "malformed"));
    assert_eq!(missing.json()["reason"], "header");
    let hex = call(vec![("content-digest", format!("sha-256={digest}"))]).await;
    assert_eq!(code(&hex), "malformed");
    let another = call(vec![("content-digest", MaterialDigest::of(&other).content_digest())]).await;
    assert_eq!(code(&another), "schema-violation");
    let right = digest.content_digest();
    let odd = call(vec![("content-digest", right.clone()), ("content-range", "bytes 0-1".into())]).await;
    assert_eq!(code(&odd), "malformed");
    let packed = call(vec![("content-digest", right), ("content-encoding", "gzip".into())]).await;
    assert_eq!((packed.status, code(&packed).as_str()), (415, "media-type"));
    assert_eq!(held(&world.xianan, &digest), None);
    assert_eq!(put(line, &digest, None, &bytes).await.status, 201, "the true bytes are still welcome");
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_header_and_by_its_bytes() {
    let world = plan().start().await;
    let bytes = file(1000, 0);
    let (digest, _) = announce(&world, &bytes).await;
    let line = world.line().await;
    let longer = [&bytes[..], b"x"].concat();
    let told = put(line, &digest, None, &longer).await;
    assert_eq!((told.status, code(&told).as_str()), (413, "too-large"));
    let most = LARGEST_MATERIAL;
    let told = put(line, &digest, Some(&format!("bytes 0-999/{}", most + 1)), &bytes).await;
    assert_eq!(code(&told), "too-large");
    // No length is said, and the last chunk is one byte too many: by hand, on the local door.
    let mut local = TcpStream::connect(world.xianan.local().door).unwrap();
    let head = format!(
        "PUT /local/v1/materials/{digest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Digest: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        world.xianan.token,
        digest.content_digest()
    );
    tokio::task::spawn_blocking(move || {
        local.write_all(head.as_bytes()).unwrap();
        let chunk = vec![0; 1024 * 1024];
        for _ in 0..LARGEST_MATERIAL / 1024 / 1024 {
            local.write_all(b"100000\r\n").unwrap();
            local.write_all(&chunk).unwrap();
            local.write_all(b"\r\n").unwrap();
        }
        local.write_all(b"1\r\n0\r\n").unwrap();
        let mut answer = [0; 12];
        local.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    })
    .await
    .unwrap();
    assert_eq!(held(&world.xianan, &digest), None);
}

#[tokio::test]
async fn two_senders_of_one_file_do_not_spoil_it() {
    let world = plan().start().await;
    let bytes = file(3_000_000, 0);
    let (digest, _) = announce(&world, &bytes).await;
    let (one, two) = (world.dial(&world.asking, Http::One).await.unwrap(), world.line().await);
    let (one, two) = tokio::join!(put(&one, &digest, None, &bytes), put(two, &digest, None, &bytes));
    let told = [one.status, two.status];
    // The newer one wins; the older is told to come back, or finds it here.
    assert!(told.contains(&201), "{told:?}");
    assert!(told.iter().all(|status| [200, 201, 503].contains(status)), "{told:?}");
    assert_eq!(held(&world.xianan, &digest), Some(bytes));
}

#[tokio::test]
async fn the_local_door_takes_and_gives_files_to_those_who_may() {
    let world = plan().start().await;
    let (local, bytes) = (world.xianan.local(), file(200_000, 3));
    let digest = MaterialDigest::of(&bytes);
    let path = format!("/local/v1/materials/{digest}");
    let says = digest.content_digest();
    let put = |local: Local| {
        let (path, says, bytes) = (path.clone(), says.clone(), bytes.clone());
        async move { local.call("PUT", &path, &[("content-digest", &says)], Bytes::from(bytes)).await }
    };
    assert_eq!(put(Local { token: None, ..local.clone() }).await.status, 401);
    let missing = local.get(&path).await;
    assert_eq!((missing.status, code(&missing).as_str()), (404, "unknown-material"));
    assert_eq!(put(local.clone()).await.status, 201);
    assert_eq!(put(local.clone()).await.status, 200);
    let told = local.get(&path).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.body, bytes);
    assert_eq!(told.header("content-digest"), Some(says.as_str()));
    assert_eq!(told.header("content-type"), Some("application/octet-stream"));
    assert_eq!(told.header("content-disposition"), Some("attachment"));
    assert_eq!(told.header("content-length"), Some("200000"));
    let other = local.call("DELETE", &path, &[], Bytes::new()).await;
    assert_eq!((other.status, other.header("allow")), (405, Some("GET, PUT")));
    assert_eq!(local.get("/local/v1/materials/abc").await.status, 404);
}

#[tokio::test]
async fn a_system_may_only_do_what_its_entry_says() {
    let token = "t".repeat(43);
    let entry = |may: &str| {
        let hash = tongban::envelope::digest(token.as_bytes());
        format!(
            "\n[[local_listener.client]]\nname = \"x\"\ntoken_sha256 = \"{}\"\nmay = [\"{may}\"]\n",
            hex::encode(hash)
        )
    };
    for (may, put, get) in
        [("license.query", 403, 403), ("application.submit", 201, 403), ("application.status", 403, 404)]
    {
        let root = tempfile::tempdir().unwrap();
        let (scene, mut xianan, _) = World::plan().settle(root.path());
        let file = xianan.home.join("gateway.toml");
        let text = fs::read_to_string(&file).unwrap();
        let at = text.find("[console_listener]").unwrap();
        fs::write(&file, format!("{}{}\n{}", &text[..at], entry(may), &text[at..])).unwrap();
        xianan.start(&scene.clock).await;
        let local = Local { token: Some(token.clone()), ..xianan.local() };
        let digest = MaterialDigest::of(b"x");
        let path = format!("/local/v1/materials/{digest}");
        assert_eq!(local.get(&path).await.status, get, "{may}");
        let says = digest.content_digest();
        let told = local.call("PUT", &path, &[("content-digest", &says)], Bytes::from_static(b"x")).await;
        assert_eq!(told.status, put, "{may}");
        xianan.stop().await;
    }
}

/// A line between two gateways that is cut after so many bytes, the first time.
async fn cut_after(door: SocketAddr, bytes: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(door).await.unwrap();
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            tokio::spawn(async move {
                if !first {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    return;
                }
                let ((mut from, mut to), (mut back, mut forth)) = (near.split(), far.split());
                let answers = async {
                    let _ = tokio::io::copy(&mut back, &mut to).await;
                };
                let cut = async {
                    let mut left = bytes;
                    let mut piece = vec![0; 16 * 1024];
                    while left > 0 {
                        let read = from.read(&mut piece).await.unwrap_or(0);
                        if read == 0 || forth.write_all(&piece[..read.min(left)]).await.is_err() {
                            return;
                        }
                        left -= read.min(left);
                    }
                };
                tokio::select! { () = cut => {}, () = answers => {} }
            });
        }
    });
    (addr, connections)
}

#[tokio::test]
async fn a_transfer_between_two_gateways_goes_on_where_it_was_cut() {
    let mut world = plan().asking().start().await;
    let bytes = file(8_000_000, 0);
    let digest = MaterialDigest::of(&bytes);
    let says = digest.content_digest();
    let path = format!("/local/v1/materials/{digest}");
    let taken = world
        .yuhuan
        .local()
        .call("PUT", &path, &[("content-digest", &says)], Bytes::from(bytes.clone()))
        .await;
    assert_eq!(taken.status, 201);
    let (cutting, connections) = cut_after(world.xianan.door(), 4_000_000).await;
    world.yuhuan.trust_card(&world.answering.card(&format!("https://{cutting}")));
    world.yuhuan.reload().await;

    let xianan = Region::parse(XIANAN).unwrap();
    let house = world.yuhuan.running().house.clone();
    let send = || async { house.clients.put_material(xianan, &digest, &house.materials).await };
    assert_eq!(send().await, Ok(Put::Unknown), "no application of ours is there yet");
    connections.store(0, Ordering::SeqCst);
    announce(&world, &bytes).await;
    let before = world.xianan.running().house.materials.stats().received_bytes.load(Ordering::Relaxed);
    assert_eq!(send().await, Ok(Put::Delivered));
    assert!(connections.load(Ordering::SeqCst) >= 2, "it was cut once");
    let after = world.xianan.running().house.materials.stats().received_bytes.load(Ordering::Relaxed);
    assert_eq!(after - before, 8_000_000, "nothing came twice");
    assert_eq!(held(&world.xianan, &digest), Some(bytes));
    assert_eq!(send().await, Ok(Put::Already));
    let unknown = MaterialDigest::of(b"not on our shelf");
    assert!(house.clients.put_material(xianan, &unknown, &house.materials).await.is_err());
    world.yuhuan.stop().await;
}

#[tokio::test]
async fn a_partner_that_is_withdrawn_does_not_finish() {
    let world = plan().start().await;
    let bytes = file(2_000_000, 0);
    let (digest, _) = announce(&world, &bytes).await;
    let house = world.xianan.running().house.clone();
    let line = world.dial(&world.asking, Http::One).await.unwrap();
    let half = put(&line, &digest, Some("bytes 0-999999/2000000"), &bytes[..1_000_000]).await;
    assert_eq!(half.status, 202);
    fs::remove_file(world.xianan.card_file(YUHUAN)).unwrap();
    world.xianan.reload().await;
    let told = put(&line, &digest, Some("bytes 1000000-1999999/2000000"), &bytes[1_000_000..]).await;
    assert_eq!((told.status, code(&told).as_str()), (403, "not-a-member"));
    assert_eq!(house.materials.find(&digest), None);
}

/// Kilobytes of a field of `/proc/<pid>/status`.
fn memory(pid: i32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_largest_file_passes_through_without_growing_memory() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), XIANAN);
    let served = home.serve();
    let token = fs::read_to_string(home.file("keys/local.token")).unwrap();
    let call = |head: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(home.doors.local).unwrap();
        let head = format!(
            "{head}Host: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            token.trim(),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let send = |bytes: &[u8]| {
        let digest = MaterialDigest::of(bytes);
        let head = format!(
            "PUT /local/v1/materials/{digest} HTTP/1.1\r\nContent-Digest: {}\r\n",
            digest.content_digest()
        );
        assert!(call(&head, bytes).starts_with(b"HTTP/1.1 201"));
        let got = call(&format!("GET /local/v1/materials/{digest} HTTP/1.1\r\n"), b"");
        assert!(got.starts_with(b"HTTP/1.1 200") && got.ends_with(bytes));
    };
    send(&file(1_000_000, 1)); // what any request needs is there from now on
    let before = memory(served.pid().as_raw_nonzero().get(), "VmRSS");
    send(&file(LARGEST_MATERIAL as usize, 2));
    let most = memory(served.pid().as_raw_nonzero().get(), "VmHWM");
    assert!(most < before + 16 * 1024, "{before} kB before, {most} kB at most");
    assert_eq!(served.stop(), 0);
}

#[test]
fn a_kill_in_the_middle_leaves_a_transfer_to_go_on_with() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::make(root.path(), XIANAN);
    let mut served = home.serve();
    let token = fs::read_to_string(home.file("keys/local.token")).unwrap();
    let bytes = file(5_000_000, 0);
    let digest = MaterialDigest::of(&bytes);
    let head = |range: &str, length: usize| {
        format!(
            "PUT /local/v1/materials/{digest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Digest: {}\r\n\
             Content-Range: {range}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            token.trim(),
            digest.content_digest()
        )
    };
    let call = |range: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(home.doors.local).unwrap();
        stream.write_all(head(range, body.len()).as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut stream = TcpStream::connect(home.doors.local).unwrap();
    stream.write_all(head("bytes 0-4999999/5000000", 5_000_000).as_bytes()).unwrap();
    stream.write_all(&bytes[..3_000_000]).unwrap();
    let part = home.data().join(format!("materials/coming/local/{digest}.part"));
    crate::process::until("some of it is written", || {
        fs::metadata(&part).ok().filter(|part| part.len() > 1_000_000)
    });
    served.kill();
    let served = home.serve();
    let asked = call("bytes */5000000", b"");
    assert!(asked.starts_with("HTTP/1.1 202"), "{asked}");
    let range = asked.lines().find_map(|line| line.strip_prefix("range: bytes=0-")).unwrap();
    let have = range.parse::<usize>().unwrap() + 1;
    assert!((1_000_000..=3_000_000).contains(&have), "{have}");
    let told = call(&format!("bytes {have}-4999999/5000000"), &bytes[have..]);
    assert!(told.starts_with("HTTP/1.1 201"), "{told}");
    let name = digest.to_string();
    assert_eq!(fs::read(home.data().join("materials").join(&name[..2]).join(&name)).unwrap(), bytes);
    assert_eq!(served.stop(), 0);
}
