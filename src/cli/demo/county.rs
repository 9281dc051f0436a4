//! One county of the demonstration: its directory, its process, its local door.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::init::{self, Doors};
use crate::cli::local_door::{LocalDoor, Token};
use crate::cli::{Common, Stop};
use crate::clock::Now;
use crate::config::Config;
use crate::domain::Region;
use crate::gateway::{Keys, Options};
use crate::ledger::verify::{Verdict, verify};

/// How long a process may take to open its doors, or a change to come into force.
pub const PATIENCE: Duration = Duration::from_secs(15);
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One county of the demonstration.
pub struct County {
    pub region: Region,
    pub home: PathBuf,
    pub card: Value,
    pub ledger_public: [u8; 32],
    pub doors: Doors,
    pub process: Option<Child>,
}

impl County {
    pub fn make(dir: &Path, folder: &str, code: &str, name: &str, now: Now) -> Result<Self, Stop> {
        let region = Region::parse(code).map_err(Stop::failed)?;
        let doors = Doors { partner: free_port()?, local: free_port()?, console: free_port()? };
        let home = dir.join(folder);
        let card = init::create(&home, region, name, doors, now)?;
        Ok(Self { region, home, card, ledger_public: [0; 32], doors, process: None })
    }

    pub fn start(&mut self) -> Result<(), String> {
        let program = std::env::current_exe().map_err(|e| e.kind().to_string())?;
        // A second process of the county goes on in the same file.
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("serve.log"))
            .map_err(|e| e.kind().to_string())?;
        let child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(self.home.join("gateway.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| e.kind().to_string())?;
        self.process = Some(child);
        Ok(())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self
            .process
            .as_ref()
            .and_then(|p| i32::try_from(p.id()).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // A process that has ended already needs no signal.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    pub fn reload(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    pub fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        if let Some(mut child) = self.process.take() {
            let _ = child.wait();
        }
    }

    /// SIGKILL, as a power cut would: nothing is flushed, nobody is told.
    pub fn kill(&mut self) -> Result<u32, String> {
        let mut child = self.process.take().ok_or("it does not run")?;
        child.kill().and_then(|()| child.wait()).map_err(|e| e.kind().to_string())?;
        Ok(child.id())
    }

    /// This county's local door, for one call.
    pub fn door(&self) -> Result<LocalDoor, String> {
        let common = Common { config: self.home.join("gateway.toml"), json: true, offline: false };
        LocalDoor::of(&common, &Token::default()).map_err(said)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        Ok(self.door()?.post(path, body).map_err(said)?.value)
    }

    pub fn get(&self, path: &str) -> Result<Value, String> {
        Ok(self.door()?.get(path).map_err(said)?.value)
    }

    /// Looks until the answer is as wanted; what it says at last.
    pub fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let waiting = Instant::now();
        loop {
            match self.get(path) {
                Ok(seen) if wanted(&seen) => return Ok(seen),
                Ok(seen) if waiting.elapsed() > PATIENCE => {
                    let at = |name: &str| seen.get(name).and_then(Value::as_str).unwrap_or("–").to_owned();
                    return Err(format!("still {} / {} {}", at("state"), at("transport"), at("code")));
                }
                Err(why) if waiting.elapsed() > PATIENCE => return Err(why),
                _ => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Verifies the ledger of the running gateway, once its newest leaf is under a checkpoint.
    pub fn verify_sealed(&self) -> Result<Verdict, String> {
        let waiting = Instant::now();
        loop {
            let verdict =
                verify(&self.home.join("data"), Some(self.ledger_public)).map_err(|f| f.to_string())?;
            if let Some(finding) = verdict.findings.first() {
                return Err(format!("{}: {}", finding.file, finding.message));
            }
            if verdict.logs.iter().all(|log| log.leaves == log.sealed) {
                return Ok(verdict);
            }
            if waiting.elapsed() > PATIENCE {
                return Err("the newest leaves are not under a checkpoint".to_owned());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

pub fn ledger_public(home: &Path) -> Result<[u8; 32], Stop> {
    let config = Config::load(&home.join("gateway.toml"))?;
    let keys = Keys::load(&config, &Options::default())
        .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
    Ok(keys.ledger_public)
}

/// A port that nobody listens on right now.
fn free_port() -> Result<SocketAddr, Stop> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
    Ok(listener.local_addr().context("no free port on loopback")?)
}

/// Why a command of the local door did not come about.
pub fn said(stop: Stop) -> String {
    stop.lines().join("; ")
}
