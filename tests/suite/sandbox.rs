//! To vendors: one command is a partner to develop against. What it answers is what a partner
//! answers, and beside a refusal stands what it comes from. No real key gets in.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tongban::clock::Clock;
use tongban::envelope::new_message_id;
use tongban::keys::SigningKey;

use crate::process::{Home, Ran, finish, free_address, tongban, until};
use crate::support::*;

const HEADER: &str = "tongban-explain";

struct Sandbox {
    child: Child,
    door: SocketAddr,
    out: PathBuf,
    err: PathBuf,
}

fn command(data: Option<&Path>) -> (std::process::Command, SocketAddr) {
    let ip = free_address();
    let (door, local) = (SocketAddr::from((ip, 18443)), SocketAddr::from((ip, 18480)));
    let mut command = tongban();
    command.args(["sandbox", "--listen", &door.to_string(), "--local", &local.to_string()]);
    command.args(["--config", "/nowhere/gateway.toml"]);
    if let Some(data) = data {
        command.arg("--data").arg(data);
    }
    (command, door)
}

impl Sandbox {
    fn start(logs: &Path, data: Option<&Path>) -> Self {
        let (mut command, door) = command(data);
        let (out, err) = (logs.join("out"), logs.join("err"));
        command.env("TMPDIR", logs).stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut sandbox = Self { child: command.spawn().unwrap(), door, out, err };
        until("the sandbox", || {
            let ended = sandbox.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(&sandbox.err).unwrap());
            sandbox.says().contains("ready 就绪").then_some(())
        });
        sandbox
    }

    fn says(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// The folder that it names.
    fn vendor(&self) -> PathBuf {
        let says = self.says();
        let line = says.lines().find(|line| line.contains("/vendor:")).unwrap();
        PathBuf::from(line.split_once(':').unwrap().0)
    }

    /// Ends by itself or by a signal.
    fn wait(&mut self) -> i32 {
        let status = until("the sandbox ends", || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }

    fn stop(mut self, signal: Signal) -> i32 {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.wait()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 玉环, out of the folder that the sandbox laid down.
fn member(vendor: &Path) -> Member {
    let mut member = Member::pinned(YUHUAN, Clock::system().now());
    member.signing = SigningKey::load(&vendor.join("sign.jwk")).unwrap().into();
    member.chain_pem = fs::read_to_string(vendor.join("tls.crt")).unwrap();
    member.key_pem = fs::read_to_string(vendor.join("tls.key")).unwrap();
    member
}

fn ping(member: &Member) -> Draft {
    let now = Clock::system().now().secs();
    let claims = json!({"ver": 1, "iss": member.urn(), "aud": format!("urn:tongban:gw:{XIANAN}"), "iat": now,
        "exp": now + 60, "jti": new_message_id(), "op": "ping", "body": {}});
    Draft::new("tongban-request+jwt", &member.signing, claims)
}

fn lookup(member: &Member, vendor: &Path) -> Draft {
    let query: Value = serde_json::from_str(&fs::read_to_string(vendor.join("read.json")).unwrap()).unwrap();
    ping(member).bent(|claims| {
        claims["op"] = "license.query".into();
        for (name, value) in query.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims["authorization"] = fs::read_to_string(vendor.join("authorization.jws")).unwrap().into();
    })
}

fn explained(told: &Told) -> Value {
    let header = told.header(HEADER).unwrap_or_else(|| panic!("no explanation: {told:?}"));
    assert!(header.len() <= 6_144);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_answers_like_a_partner_and_explains_what_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(folder.path(), None);
    let vendor = sandbox.vendor();
    let member = member(&vendor);
    let line = dial(sandbox.door, Some(&member), Http::Two).await.unwrap();
    for good in [ping(&member), lookup(&member, &vendor)] {
        let told = line.exchange(&good).await;
        assert_eq!((told.status, told.header(HEADER)), (200, None), "{told:?}");
    }
    // Unsigned: the problem is the one of production, the header says what it comes from.
    let told = line.exchange(ping(&member).text() + "\n").await;
    assert_eq!(told.status, 400);
    let members: Vec<String> = told.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        ["type", "title", "title_zh", "status", "code", "detail", "reason", "retry", "trace"]
    );
    assert_eq!(explained(&told)["findings"][0]["cause"], "line-end");
    // Signed: the claims are closed as ever.
    let now = Clock::system().now().secs();
    let late = ping(&member).with("/iat", now - 300).with("/exp", now - 240);
    let told = line.exchange(&late).await;
    assert_eq!((told.status, told.header("content-type")), (401, Some("application/tongban-response+jwt")));
    let finding = &explained(&told)["findings"][0];
    assert_eq!((&finding["cause"], &finding["clause"]), (&json!("clock-behind"), &json!("O-3")));
    assert!(finding["measured"]["en"].as_str().unwrap().ends_with("s behind this gateway's clock"));
    // What is refused at the door, and from behind the checks.
    let told =
        line.post("/v1/exchange", &[("content-type", "application/json")], ping(&member).bytes()).await;
    assert_eq!(explained(&told.unwrap())["findings"][0]["cause"], "media-json");
    let known = ping(&member);
    line.exchange(&known).await;
    assert_eq!(explained(&line.exchange(&known).await)["code"], "replay");
    let root = vendor.parent().unwrap().to_owned();
    assert!(root.exists());
    assert_eq!(sandbox.stop(Signal::TERM), 0);
    assert!(!root.exists(), "a temporary folder goes with its sandbox");
}

#[test]
fn a_named_folder_stays_and_a_key_of_ones_own_ends_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("sandbox");
    assert_eq!(Sandbox::start(folder.path(), Some(&data)).stop(Signal::INT), 0);
    assert!(data.join("answering/data/ledger").is_dir());
    let mut sandbox = Sandbox::start(folder.path(), Some(&data));
    let stranger = Member::pinned(BINHAI, Clock::system().now()).pinning_card("https://127.0.0.1:9");
    put(&data.join("answering/trust/partners/320922.json"), stranger.to_string());
    assert_eq!(sandbox.wait(), 64);
    let said = fs::read_to_string(&sandbox.err).unwrap();
    let refusal = "the card of 320922: is no published example key";
    assert!(said.contains(refusal), "{said}");
    // Nor does it start over it, nor beside a gateway's own configuration, nor in any folder.
    finish(&mut command(Some(&data)).0, b"").refused_in_one_line(&[refusal]);
    let home = Home::make(folder.path(), YUHUAN);
    let beside = |data: &Path| -> Ran {
        let mut command = tongban();
        finish(command.args(["sandbox", "--config", &home.config(), "--data"]).arg(data), b"")
    };
    beside(&folder.path().join("new")).refused_in_one_line(&["[signing] key", "published"]);
    finish(&mut command(Some(&home.dir)).0, b"").refused_in_one_line(&["is no sandbox's folder"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_no_sandbox_explains_nothing_to_its_partners() {
    let world = World::start().await;
    let line = world.line().await;
    for refused in [b"x".to_vec(), world.ping().with("/iat", 1).with("/exp", 61).bytes()] {
        let told = line.exchange(refused).await;
        assert!(told.status >= 400 && told.header(HEADER).is_none(), "{told:?}");
    }
    let told = line.post("/v1/exchange", &[("content-type", "text/plain")], b"x".to_vec()).await.unwrap();
    assert_eq!((told.status, told.header(HEADER)), (415, None));
}
