//! On what was measured: the machine, the commit, versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use tongban::clock::Clock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Crates that decide the figures.
const CRATES: [&str; 7] = ["aws-lc-rs", "rustls", "hyper", "tokio", "josekit", "jsonschema", "rusqlite"];

/// `2026-11-22 18:05 UTC, commit abc1234`.
pub fn when() -> String {
    let now = Clock::system().now().secs();
    let moment = jiff::Timestamp::from_second(now)
        .map(|moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string())
        .unwrap_or_default();
    let commit = told("git", &["-C", ROOT, "rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "?".into());
    let changed = told("git", &["-C", ROOT, "status", "--porcelain", "src", "benches", "Cargo.lock"]);
    let changed = changed.map_or("", |_| " with changes");
    format!("{moment}, commit {commit}{changed}")
}

/// Processor, memory, system.
pub fn machine() -> String {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from).max(online());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = line("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kib| kib.div_ceil(1024 * 1024));
    format!(
        "{cores} × {}, {memory} GiB, {}, Linux {}",
        line("/proc/cpuinfo", "model name").unwrap_or_else(|| "?".into()),
        fs::read_to_string("/etc/os-release")
            .ok()
            .and_then(|text| Some(text.lines().next()?.split('"').nth(1)?.to_owned()))
            .unwrap_or_else(|| "?".into()),
        kernel.split('.').take(2).collect::<Vec<_>>().join("."),
    )
}

/// Processors, whatever this process is pinned to.
fn online() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

/// Of the compiler and the crates that decide the figures.
pub fn versions() -> Vec<String> {
    let mut all = Vec::new();
    all.extend(told("rustc", &["--version"]).map(|text| first_words(&text, 2)));
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap_or_default();
    for name in CRATES {
        let package = lock.split_once(&format!("name = \"{name}\"\nversion = \""));
        let version = package.and_then(|(_, rest)| rest.split('"').next());
        all.extend(version.map(|version| format!("{name} {version}")));
    }
    all
}

pub fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// The first line that a program says, if it says one.
pub fn told(program: &str, arguments: &[&str]) -> Option<String> {
    let ended = Command::new(program).args(arguments).output().ok()?;
    let said = if ended.stdout.is_empty() { ended.stderr } else { ended.stdout };
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let said = if arguments.contains(&"list") { said } else { said.lines().next()?.to_owned() };
    (ended.status.success() && !said.is_empty()).then_some(said)
}
