//! A measured process, and what the kernel says of it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use super::cpu::{self, Cpu};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// The core of a pinned server, and of the generator beside it.
pub const SERVER_CORE: &str = "0";
pub const GENERATOR_CORE: &str = "1";

/// Where cargo puts the program.
pub const SHIPPED: &str = env!("CARGO_BIN_EXE_tongban");

/// Builds the program as it is shipped, if that is what is to be measured: for its benchmarks cargo builds
/// one that has what only tests ask of its dependencies, and other names than the profile knows
/// (docs/decisions/0013).
pub fn ship(server: &Path) -> Result<()> {
    if server == Path::new(SHIPPED) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = server.ancestors().nth(2).context("a target directory holds release/tongban")?;
        let ended = Command::new(cargo)
            .args(["build", "--release", "--locked", "--quiet", "--bin", "tongban", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()?;
        ensure!(ended.success(), "the program cannot be built as it is shipped");
    }
    Ok(())
}

/// Keeps this process, every thread of it, on the generator's core.
pub fn pin_generator() -> Result<()> {
    taskset(&["-a", "-c", "-p", GENERATOR_CORE, &std::process::id().to_string()])
}

/// Moves the calling thread to `cores`.
pub fn move_thread(cores: &str) -> Result<()> {
    let own = fs::read_link("/proc/thread-self")?;
    let id = own.file_name().and_then(OsStr::to_str).context("a thread has a number")?;
    taskset(&["-c", "-p", cores, id])
}

fn taskset(arguments: &[&str]) -> Result<()> {
    let ended = Command::new("taskset").args(arguments).output().context("taskset cannot be started")?;
    ensure!(ended.status.success(), "taskset: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

/// Comes when somebody wants the program to end: what it started ends with its values.
pub async fn unwanted() -> Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = end.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    bail!("interrupted")
}

/// A server about to be started.
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    cores: Option<&'static str>,
    /// Where it listens when it is ready.
    door: SocketAddr,
    log: PathBuf,
}

impl Launch {
    pub fn new(program: impl Into<PathBuf>, door: SocketAddr, log: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            cores: None,
            door,
            log: log.into(),
        }
    }

    /// `tongban serve` of the directory `home`, ready when `door` is open.
    pub fn gateway(program: &Path, home: &Path, door: SocketAddr) -> Self {
        Self::new(program, door, home.join("serve.log"))
            .argument("serve")
            .argument("--config")
            .argument(home.join("gateway.toml"))
            .env("TONGBAN_LOG", "warn")
    }

    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Only on these cores, as `taskset -c` names them.
    pub fn on(mut self, cores: &'static str) -> Self {
        self.cores = Some(cores);
        self
    }

    /// Starts it and returns when its door is open. Its log goes to a file, as under a
    /// service manager.
    pub async fn start(self) -> Result<Server> {
        let log = File::create(&self.log)?;
        let mut command = match self.cores {
            // Becomes the server: the process keeps its id.
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        let child = command
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let mut server = Server { cpu: Cpu::of(child.id()), child, log: self.log.clone() };
        let begun = Instant::now();
        while TcpStream::connect(self.door).await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended ({status}): {}", fs::read_to_string(&self.log)?);
            }
            ensure!(begun.elapsed() < STARTS_WITHIN, "the server did not open its door");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(server)
    }
}

/// A running server; it ends with this value.
pub struct Server {
    child: Child,
    cpu: Cpu,
    log: PathBuf,
}

#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub now_kib: u64,
    pub peak_kib: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(f, "{:.1} MiB (peak {:.1})", mib(self.now_kib), mib(self.peak_kib))
    }
}

impl Server {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it has said, for when something goes wrong.
    pub fn said(&self) -> String {
        const LINES: usize = 8;
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// User and system time so far, of all its threads and of all processes below it.
    pub fn cpu(&self) -> Result<Duration> {
        self.cpu.spent()
    }

    /// CPU time so far of its threads by their names. Threads that ended are not in it.
    pub fn threads(&self) -> Result<Vec<(String, Duration)>> {
        let threads = cpu::threads(self.child.id())?;
        Ok(threads.into_iter().map(|(_, name, spent)| (name, spent)).collect())
    }

    pub fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Memory { now_kib: kib("VmRSS")?, peak_kib: kib("VmHWM")? })
    }

    /// Asks it to drain and waits for its good end.
    pub fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("a process has an id")?;
        kill_process(pid, Signal::TERM)?;
        let begun = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("void: the server ended with {status}"),
                None => ensure!(begun.elapsed() < STOPS_WITHIN, "void: the server did not drain"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, or to be ended: both are well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of this process so far.
pub fn own_cpu() -> Result<Duration> {
    static OWN: LazyLock<Cpu> = LazyLock::new(|| Cpu::of(std::process::id()).alone());
    OWN.spent()
}
