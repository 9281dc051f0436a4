//! The measured process, and what the kernel says of it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::scene::Scene;

/// Ticks of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that runs this.
const TICK: Duration = Duration::from_millis(10);
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// The core of a pinned server, and of the generator beside it.
const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";

/// Keeps this process off the server's core.
pub fn pin_generator() -> Result<()> {
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", GENERATOR_CORE, &own]).output()?;
    ensure!(pinned.status.success(), "taskset: {}", String::from_utf8_lossy(&pinned.stderr));
    Ok(())
}

/// `tongban serve`; ends with this value.
pub struct Server {
    child: Child,
}

#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub now_kib: u64,
    pub peak_kib: u64,
}

impl Server {
    /// Starts it and returns when the partner door is open. Its log goes to a file, as under a
    /// service manager.
    pub async fn start(program: &Path, scene: &Scene, log_level: &str, pin: bool) -> Result<Self> {
        let log_path = scene.home.join("serve.log");
        let log = File::create(&log_path)?;
        let mut command = if pin { Command::new("taskset") } else { Command::new(program) };
        if pin {
            // Becomes the server: the process keeps its id.
            command.args(["-c", SERVER_CORE]).arg(program);
        }
        let child = command
            .arg("serve")
            .arg("--config")
            .arg(scene.home.join("gateway.toml"))
            .env("TONGBAN_LOG", log_level)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut server = Self { child };
        let begun = Instant::now();
        while TcpStream::connect(scene.addr).await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the gateway ended ({status}): {}", fs::read_to_string(&log_path)?);
            }
            ensure!(begun.elapsed() < STARTS_WITHIN, "the gateway did not open its door");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// User and system time of all its threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.child.id().to_string())
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
                Some(status) => bail!("void: the gateway ended with {status}"),
                None => ensure!(begun.elapsed() < STOPS_WITHIN, "void: the gateway did not drain"),
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
    cpu_of("self")
}

fn cpu_of(pid: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ").context("stat has a name")?;
    let ticks: u32 = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
    Ok(TICK * ticks)
}
