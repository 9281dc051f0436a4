//! CPU time of a process and of all below it, to the nanosecond: short visits can be compared then.
//!
//! `/proc/PID/stat` counts in hundredths of a second, `/proc/PID/task/*/schedstat` in nanoseconds, but
//! forgets a thread that has ended. So what each thread had when it was last seen is kept, and what all
//! of them together lack to the coarse count is put to it once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Ticks of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that runs this.
const TICK: Duration = Duration::from_millis(10);

/// The time that a process and those below it have spent.
pub struct Cpu {
    root: u32,
    /// Are the processes below it looked at, too?
    tree: bool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Of every thread that there was when somebody looked, by process and thread.
    threads: BTreeMap<(u32, u32), Duration>,
    /// Of threads that ended without having been seen, to a tick.
    unseen: Duration,
}

impl Cpu {
    pub fn of(root: u32) -> Self {
        Self { root, tree: true, seen: Mutex::default() }
    }

    /// Without those below it: a generator is not the server that it started.
    pub fn alone(self) -> Self {
        Self { tree: false, ..self }
    }

    /// User and system time so far. It never goes back.
    pub fn spent(&self) -> Result<Duration> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut coarse, mut found) = (Duration::ZERO, vec![self.root]);
        let all = if self.tree { processes()? } else { Vec::new() };
        // Where the caller's own process is looked at, the kernel brings its count up to date.
        std::thread::yield_now();
        while let Some(process) = found.pop() {
            coarse += ticks(process)?;
            seen.threads.extend(threads(process)?.into_iter().map(|(id, _, spent)| ((process, id), spent)));
            found.extend(all.iter().filter(|(_, above)| *above == process).map(|(id, _)| *id));
        }
        let fine = seen.threads.values().sum::<Duration>();
        seen.unseen = seen.unseen.max(coarse.saturating_sub(fine));
        Ok(fine + seen.unseen)
    }
}

/// CPU time of the calling thread: yielding makes the kernel bring its count up to date.
pub fn own_thread() -> Result<Duration> {
    std::thread::yield_now();
    of_thread(Path::new("/proc/thread-self"))
}

/// CPU time of a thread, by its directory below `/proc`.
fn of_thread(path: &Path) -> Result<Duration> {
    let counts = fs::read_to_string(path.join("schedstat"))?;
    let first = counts.split(' ').next().context("schedstat begins with the CPU time")?;
    Ok(Duration::from_nanos(first.parse()?))
}

/// The living threads of a process: number, name, CPU time. One that ends meanwhile is left out.
pub fn threads(process: u32) -> Result<Vec<(u32, String, Duration)>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let (Some(id), Ok(name), Ok(spent)) = (id, fs::read_to_string(path.join("comm")), of_thread(&path))
        else {
            continue;
        };
        threads.push((id, name.trim().to_owned(), spent));
    }
    Ok(threads)
}

/// Every process with its parent. One that ends meanwhile is left out.
fn processes() -> Result<Vec<(u32, u32)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let parent = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(1)?.parse().ok());
        all.extend(parent.map(|parent| (id, parent)));
    }
    Ok(all)
}

/// User and system time of all threads of a process, ended ones too.
fn ticks(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ").context("stat has a name")?;
    let ticks: u32 = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
    Ok(TICK * ticks)
}
