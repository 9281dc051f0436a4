//! Real processes: the binary as an operator runs it, each gateway in a directory and at
//! loopback addresses of its own, with the real clock. Every wait is for a condition.

mod home;
mod pair;
mod preload;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use home::{Home, Served, free_address, get};
pub use pair::{Message, Pair, day_plan};
pub use preload::{Steering, compile};

/// Longest wait for anything; reached only when something is wrong or the machine is dead
/// slow.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The binary, without what the caller's shell would add. `TONGBAN_SERVER` names another build of
/// it, for long runs.
pub fn tongban() -> Command {
    let built = || env!("CARGO_BIN_EXE_tongban").into();
    let mut command = Command::new(std::env::var_os("TONGBAN_SERVER").unwrap_or_else(built));
    for name in ["TONGBAN_TOKEN", "TONGBAN_LOG", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The exit code, checked.
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Ended with 64 and one line that says all of this.
    pub fn refused_in_one_line(self, words: &[&str]) {
        let ran = self.ended(64);
        let lines: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("tongban: ")).collect();
        assert_eq!(lines.len(), 1, "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        words.iter().for_each(|word| assert!(lines[0].contains(word), "{word}: {ran:?}"));
    }
}

pub fn run(arguments: &[&str]) -> Ran {
    finish(tongban().args(arguments), b"")
}

pub fn feed(arguments: &[&str], input: &[u8]) -> Ran {
    finish(tongban().args(arguments), input)
}

/// Runs to its end. Files and not pipes: nobody has to read for it to go on.
pub fn finish(command: &mut Command, input: &[u8]) -> Ran {
    let [mut stdin, mut out, mut err] = std::array::from_fn(|_| tempfile::tempfile().unwrap());
    stdin.write_all(input).unwrap();
    stdin.seek(SeekFrom::Start(0)).unwrap();
    let stdio = |file: &File| Stdio::from(file.try_clone().unwrap());
    let mut child = command.stdin(stdio(&stdin)).stdout(stdio(&out)).stderr(stdio(&err)).spawn().unwrap();
    let began = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("does not end: {}", text(&mut err));
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    Ran { code, out: text(&mut out), err: text(&mut err) }
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// Looks until there is something to see.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            // A socket that a killed gateway left behind is none.
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
