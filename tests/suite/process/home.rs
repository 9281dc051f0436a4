//! One gateway's directory, and the process that serves it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tongban::cli::init::{Doors, create};
use tongban::clock::Clock;
use tongban::config::Config;
use tongban::domain::Region;
use tongban::gateway::{Keys, Options};
use tongban::keys::SigningKey;
use tongban::ledger::verify::{Verdict, verify};
use tongban::store::sqlite::SqliteShelf;
use tongban::store::{Shelf as _, StoredLeaf};

use super::{Ran, finish, run, tongban, until};
use crate::support::Member;

/// A loopback address that nobody else has: 127/8 is this machine's own, and the process id
/// and a counter stand in it. Ports handed out by the system could be taken in between.
pub fn free_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 63), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

pub struct Home {
    pub region: Region,
    pub dir: PathBuf,
    pub card: Value,
    pub doors: Doors,
}

impl Home {
    /// As `tongban init` makes it.
    pub fn make(root: &Path, code: &str) -> Self {
        let region = Region::parse(code).unwrap();
        let ip = free_address();
        let at = |port| SocketAddr::from((ip, port));
        let doors = Doors { partner: at(8443), local: at(8080), console: at(8081) };
        let dir = root.join(code);
        let card = create(&dir, region, region.name(), doors, Clock::system().now()).unwrap();
        Self { region, dir, card, doors }
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    pub fn config(&self) -> String {
        self.file("gateway.toml").to_str().unwrap().to_owned()
    }

    pub fn data(&self) -> PathBuf {
        self.file("data")
    }

    pub fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    /// `tongban <arguments> --config <this>`.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(&[arguments, &["--config", &self.config()]].concat())
    }

    pub fn write(&self, path: &str, value: &Value) {
        fs::write(self.file(path), value.to_string()).unwrap();
    }

    pub fn trust(&self, partner: &Self) {
        self.write(&format!("trust/partners/{}.json", partner.region), &partner.card);
    }

    pub fn trust_agreement(&self, agreement: &Value) {
        self.write(&format!("trust/agreements/{}.json", agreement["id"].as_str().unwrap()), agreement);
    }

    /// Whoever holds this directory, for calls by hand.
    pub fn member(&self) -> Member {
        let now = Clock::system().now();
        let mut member = Member::pinned(self.region.as_str(), now);
        member.signing = SigningKey::load(&self.file("keys/sign.jwk")).unwrap().into();
        member.chain_pem = fs::read_to_string(self.file("keys/tls.crt")).unwrap();
        member.key_pem = fs::read_to_string(self.file("keys/tls.key")).unwrap();
        self.card["tls"]["spki_sha256"][0].as_str().unwrap().clone_into(&mut member.pin);
        member
    }

    /// Every leaf of the ledger, oldest first, read beside whoever writes it.
    pub fn leaves(&self) -> Vec<(StoredLeaf, Value)> {
        let shelf = SqliteShelf::of_data_dir(&self.data());
        let shards = shelf.shards().unwrap();
        let stored = shards.into_iter().flat_map(|shard| shelf.leaves(shard, 0..u64::MAX >> 1).unwrap());
        stored.map(|leaf| (serde_json::from_slice(&leaf.leaf).unwrap(), leaf)).map(|(v, l)| (l, v)).collect()
    }

    /// `audit verify` without a process, against this gateway's own ledger key.
    pub fn verify(&self) -> Verdict {
        verify(&self.data(), Some(self.ledger_key())).unwrap()
    }

    /// The public key of this gateway's checkpoints.
    pub fn ledger_key(&self) -> [u8; 32] {
        let config = Config::load(&self.file("gateway.toml")).unwrap_or_else(|f| panic!("{f:?}"));
        Keys::load(&config, &Options::default()).unwrap_or_else(|f| panic!("{f:?}")).ledger_public
    }

    pub fn serve_command(&self) -> Command {
        let mut command = tongban();
        command.args(["serve", "--config", &self.config()]);
        command
    }

    /// A `serve` that is expected to end by itself.
    pub fn serve_to_its_end(&self) -> Ran {
        finish(&mut self.serve_command(), b"")
    }

    /// Starts `serve` and waits until its doors are open.
    pub fn serve(&self) -> Served {
        self.serve_by(&mut self.serve_command())
    }

    /// Starts `serve` and does not wait.
    pub fn begin_to_serve(&self, command: &mut Command) -> Served {
        let log = self.file("serve.log");
        let file = File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Served { child, log, local: self.doors.local }
    }

    pub fn serve_by(&self, command: &mut Command) -> Served {
        let mut served = self.begin_to_serve(command);
        until("the doors open", || {
            let ended = served.ended();
            assert!(ended.is_none(), "{ended:?}: {}", served.log());
            served.is_open().then_some(())
        });
        served
    }
}

/// A running `serve`; killed when dropped.
pub struct Served {
    child: Child,
    log: PathBuf,
    local: SocketAddr,
}

impl Served {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Its doors are open.
    pub fn is_open(&self) -> bool {
        self.log().contains("partner door https://")
    }

    /// The exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The exit code of a process that ends by itself.
    pub fn wait(&mut self) -> i32 {
        let status = until("the process ends", || self.child.try_wait().unwrap());
        status.code().unwrap_or_else(|| panic!("{status}: {}", self.log()))
    }

    /// SIGTERM and the exit code.
    pub fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// SIGHUP, and what changed is in force when this returns.
    pub fn reload(&self) {
        let count = || self.log().matches("reloaded").count();
        let before = count();
        self.signal(Signal::HUP);
        until("the reload", || (count() > before).then_some(()));
    }

    /// `GET` at the local door.
    pub fn get(&self, path: &str) -> (u16, Value) {
        self.try_get(path).unwrap()
    }

    /// The same, of a gateway that may just be ending.
    pub fn try_get(&self, path: &str) -> std::io::Result<(u16, Value)> {
        get(self.local, path)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One `GET` over plain HTTP.
pub fn get(door: SocketAddr, path: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(door)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {door}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    // One that is killed meanwhile breaks off.
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, serde_json::from_str(body).unwrap_or_default()))
}
