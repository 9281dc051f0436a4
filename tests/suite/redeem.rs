//! A citizen's one-time code becomes an authorization at the window (亮证扫码).

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tongban::cli::authorize::DevAuthority;
use tongban::clock::Clock;
use tongban::keys::Algorithm;

use crate::process::{Pair, tongban};
use crate::support::*;

const REDEEM: &str = "/local/v1/authorizations/redeem";
const CODE: &str = "kT5v9XwQ2bYh7LrD0sNfGA_1";

/// The province's redeem address: says what a test wants, and keeps what it heard.
struct Province {
    address: SocketAddr,
    says: Arc<Mutex<(u16, String)>>,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Province {
    async fn open() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (says, heard) = (Arc::new(Mutex::new((404, String::new()))), Arc::new(Mutex::new(Vec::new())));
        let (answer, hear) = (Arc::clone(&says), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = socket.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                stream.read_exact(&mut body).await.unwrap();
                hear.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
                let (status, body) = answer.lock().unwrap().clone();
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
                // The other side may have seen enough.
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self { address, says, heard }
    }

    fn gives(&self, token: impl Into<Vec<u8>>) {
        let token = String::from_utf8(token.into()).unwrap();
        self.says(200, &json!({ "authorization": token }).to_string());
    }

    fn says(&self, status: u16, body: &str) {
        *self.says.lock().unwrap() = (status, body.to_owned());
    }
}

async fn world() -> (World, Province) {
    let world = World::plan().asking().start().await;
    let province = Province::open().await;
    trust(&world, &[("mengsuban", world.authority.document(), Some(province.address))]).await;
    (world, province)
}

/// 玉环 trusts these authorities, each with or without a redeem address.
async fn trust(world: &World, authorities: &[(&str, Value, Option<SocketAddr>)]) {
    for (name, document, address) in authorities {
        let mut document = document.clone();
        if let Some(address) = address {
            document["redeem"] = format!("http://{address}/redeem").into();
        }
        put(&world.yuhuan.home.join(format!("trust/authorities/{name}.json")), document.to_string());
    }
    world.yuhuan.reload().await;
}

fn told(told: &Told) -> (u16, String) {
    let value = told.json();
    let reason = value.get("reason").and_then(Value::as_str).map(|reason| format!("/{reason}"));
    (told.status, format!("{}{}", value["code"].as_str().unwrap(), reason.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanned_code_becomes_an_authorization_that_opens_a_lookup() {
    let (world, province) = world().await;
    let token = world.authorization().text();
    province.gives(token.clone());
    let answer = world.yuhuan.local().post(REDEEM, &json!({ "code": CODE })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected =
        json!({"authorization": token, "authority": IDP, "aud": world.answering.urn(), "exp": NOW + 600});
    assert_eq!(answer.json(), expected);
    let (head, heard) = province.heard.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /redeem HTTP/1.1"), "{head}");
    let jkt = world.asking.signing.kid();
    assert_eq!(heard, json!({"code": CODE, "client_id": world.asking.urn(), "jkt": jkt}));
    let verdict = world.ask(world.lookup_of(&world.asking).with("/authorization", token).bytes()).await;
    assert_eq!(verdict.status, 200);
}

#[tokio::test]
async fn what_an_authority_gives_is_checked_before_it_is_passed_on() {
    let (world, province) = world().await;
    let local = world.yuhuan.local();
    let stranger = new_key(Algorithm::Es256);
    let token = || world.authorization();
    let cases: Vec<(&str, Draft)> = vec![
        ("client", token().with("/client_id", world.answering.urn())),
        ("key-binding", token().with("/cnf/jkt", stranger.kid())),
        ("key-binding", token().without("/cnf")),
        ("issuer", token().with("/iss", "urn:tongban:idp:other")),
        ("not-yet-valid", token().with("/nbf", NOW + 31)),
        ("authorization-expired", token().with("/iat", NOW - 700).with("/nbf", NOW - 700).with("/exp", NOW)),
        ("schema", token().without("/holder")),
        ("kid-not-theirs", token().signed_by(&stranger)),
    ];
    for (reason, draft) in cases {
        province.gives(draft.bytes());
        let answer = local.post(REDEEM, &json!({ "code": CODE })).await;
        assert_eq!(told(&answer), (502, format!("authority-answer-invalid/{reason}")));
        assert!(!String::from_utf8_lossy(&answer.body).contains(CODE));
    }
    for (status, body, expected) in [
        (200, "{}", (502, "authority-answer-invalid/shape")),
        (200, "{\"authorization\":1}", (502, "authority-answer-invalid/shape")),
        (200, "no json", (502, "authority-answer-invalid/shape")),
        (404, "", (404, "unknown-code")),
        (410, "", (404, "unknown-code")),
        (302, "", (502, "authority-refused")),
        (500, "", (502, "authority-refused")),
    ] {
        province.says(status, body);
        let answer = local.post(REDEEM, &json!({ "code": CODE })).await;
        assert_eq!(told(&answer), (expected.0, expected.1.to_owned()), "{status} {body}");
    }
    province.says(200, &format!("{{\"authorization\":\"{}\"}}", "a".repeat(20_000)));
    let answer = local.post(REDEEM, &json!({ "code": CODE })).await;
    assert_eq!(told(&answer), (502, "authority-unreachable".to_owned()));
}

#[tokio::test]
async fn a_code_goes_to_one_authority_and_to_none_that_was_not_meant() {
    let (world, province) = world().await;
    let local = world.yuhuan.local();
    province.gives(world.authorization().bytes());
    for odd in [json!({}), json!({"code": 1}), json!({"code": "short"}), json!({"code": CODE, "token": "x"})]
    {
        assert_eq!(told(&local.post(REDEEM, &odd).await), (422, "schema-violation".to_owned()), "{odd}");
    }
    let other = json!({"code": CODE, "authority": "urn:tongban:idp:other"});
    assert_eq!(told(&local.post(REDEEM, &other).await), (404, "no-redeem-address".to_owned()));
    let mut second = world.authority.document();
    second["id"] = "urn:tongban:idp:second".into();
    second["jwks"] = json!({"keys": [new_key(Algorithm::Es256).public_jwk()]});
    second["status_lists"] = json!([]);
    trust(&world, &[("second", second.clone(), Some(province.address))]).await;
    let unnamed = local.post(REDEEM, &json!({ "code": CODE })).await;
    assert_eq!(told(&unnamed), (422, "schema-violation".to_owned()));
    assert_eq!(unnamed.json()["errors"][0]["pointer"], "/authority");
    assert!(province.heard.lock().unwrap().is_empty(), "nobody was asked");
    let named = local.post(REDEEM, &json!({"code": CODE, "authority": IDP})).await;
    assert_eq!(named.status, 200);
    // The second one speaks with its own keys only.
    let foreign = local.post(REDEEM, &json!({"code": CODE, "authority": "urn:tongban:idp:second"})).await;
    assert_eq!(told(&foreign), (502, "authority-answer-invalid/kid-not-theirs".to_owned()));
    second["status"] = "suspended".into();
    trust(&world, &[("second", second, Some(province.address))]).await;
    assert_eq!(local.post(REDEEM, &json!({ "code": CODE })).await.status, 200, "one is left");
    let nobody = Local { token: None, ..local };
    assert_eq!(nobody.post(REDEEM, &json!({ "code": CODE })).await.status, 401);
}

#[tokio::test]
async fn an_address_that_is_neither_https_nor_this_machine_is_refused_with_its_file() {
    let (world, _province) = world().await;
    let mut document = world.authority.document();
    for url in ["http://idp.example/redeem", "http://localhost:1/redeem", "http://127.0.0.1.evil.example/"] {
        document["redeem"] = url.into();
        put(&world.yuhuan.home.join("trust/authorities/mengsuban.json"), document.to_string());
        let checked =
            tongban().args(["check", "--config"]).arg(world.yuhuan.home.join("gateway.toml")).output();
        let checked = checked.unwrap();
        let said =
            String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        assert!(!checked.status.success() && said.contains("/redeem"), "{url}: {said}");
    }
}

#[test]
fn the_development_authority_shows_a_code_and_gives_the_token_once() {
    let pair = Pair::make();
    let at = SocketAddr::new(pair.yuhuan.doors.local.ip(), 8092);
    let dir = pair.root.path().join("app");
    let made = DevAuthority::create_at(&dir, "mengsuban", Clock::system().now(), 24, at).unwrap();
    for home in [&pair.xianan, &pair.yuhuan] {
        std::fs::copy(made.trust_file(), home.file("trust/authorities/mengsuban.json")).unwrap();
    }
    let (_answering, _asking) = (pair.xianan.serve(), pair.yuhuan.serve());
    let svg = pair.root.path().join("code.svg");
    let issue = ["authorize", "issue", "--me", "421202", "--client", "331083", "--holder-number", JIA];
    let what = ["--type", MARRIAGE, "--fields", "cert_no,registered_on", "--item", ITEM, "--qr", "--json"];
    let mut app = tongban();
    app.args(issue).args(what).arg("--issuer").arg(&dir).arg("--svg").arg(&svg);
    let mut app = app.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(app.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.ends_with("}\n") {
        assert!(said.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let code = shown["code"].as_str().unwrap();
    assert_eq!(code.len(), 32, "192 bits");
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<svg"));

    let token = std::fs::read_to_string(pair.yuhuan.file("keys/local.token")).unwrap().trim().to_owned();
    let local = Local { door: pair.yuhuan.doors.local, token: Some(token) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redeem = || runtime.block_on(local.post(REDEEM, &json!({ "code": code })));
    let answer = redeem();
    assert_eq!(answer.status, 200, "{answer:?}");
    let authorization = answer.json()["authorization"].clone();
    let question = json!({"to": "421202", "item": ITEM, "basis": "consent", "purpose": "新生儿户口登记核验父母婚姻状况",
        "operator": "YH0123", "authorization": authorization, "body": {"license": {"type": MARRIAGE,
        "holder": {"type": "111", "number": JIA}}, "mode": "read", "fields": ["cert_no", "registered_on"]}});
    let found = runtime.block_on(local.post("/local/v1/licenses/query", &question));
    assert_eq!(found.json()["result"]["found"], true, "{found:?}");
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(app.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("\"redeemed\": true"), "{rest}");
    assert!(!rest.contains(authorization.as_str().unwrap()), "the token is not shown");
    assert_eq!(redeem().status, 502, "nobody is there any more");
}

#[test]
fn a_code_that_nobody_scans_expires() {
    let root = tempfile::tempdir().unwrap();
    let home = crate::process::Home::make(root.path(), "331083");
    let at = SocketAddr::new(home.doors.local.ip(), 8092).to_string();
    let dir = root.path().join("app").to_str().unwrap().to_owned();
    crate::process::run(&["authorize", "init", "--redeem", &at, &dir]).ended(0);
    let issue = ["authorize", "issue", "--issuer", &dir, "--me", "421202", "--client", "331083"];
    let what = ["--holder-number", JIA, "--type", MARRIAGE, "--fields", "cert_no", "--item", ITEM];
    let ran = crate::process::run(&[&issue[..], &what, &["--qr", "--seconds", "1"]].concat()).ended(1);
    assert!(ran.out.contains('█') && ran.err.contains("亮证码已过期"), "{ran:?}");
    crate::process::run(&[&issue[..], &what, &["--qr", "--seconds", "61"]].concat()).ended(64);
    crate::process::run(&["authorize", "init", "--redeem", "10.0.0.1:1", &format!("{dir}2")]).ended(1);
}
