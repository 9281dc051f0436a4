//! The failing disk: `shim.c`, compiled once, and the file that steers it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A kind of call of the C library; the bit by which `shim.c` knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Call {
    Open = 1,
    /// `write`, `writev`, `pwrite`.
    Write = 2,
    /// `fsync`, `fdatasync`.
    Sync = 4,
    /// `ftruncate`, `fallocate`.
    Truncate = 8,
    Rename = 16,
    Unlink = 32,
    Mkdir = 64,
    /// `read`, `pread`.
    Read = 128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Errno {
    Eio,
    Enospc,
}

/// How many calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lasting {
    Once,
    Awhile,
    ForEver,
}

/// What goes wrong: the calls of this kind from the `first` on, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub call: Call,
    pub errno: Errno,
    pub lasting: Lasting,
    pub first: u32,
    /// The call is done and is said to have failed.
    pub late: bool,
}

impl Errno {
    fn number(self) -> u32 {
        use rustix::io::Errno as E;
        let errno = if self == Self::Eio { E::IO } else { E::NOSPC };
        errno.raw_os_error().cast_unsigned()
    }
}

impl Lasting {
    const fn calls(self) -> u32 {
        match self {
            Self::Once => 1,
            Self::Awhile => 6,
            Self::ForEver => u32::MAX,
        }
    }
}

/// Words of the steering file, as `shim.c` lays them out.
const WORDS: u64 = 8;
const SEEN: u64 = 5;
const FAILED: u64 = 6;
const PATH_BYTES: usize = 1024;

/// The disk of one gateway.
pub struct FailingDisk {
    steering: File,
    path: PathBuf,
}

impl FailingDisk {
    /// Fails calls on files below `data`; none yet.
    pub fn under(data: &Path, steering: &Path) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(steering).unwrap();
        file.set_len(WORDS * 4 + 2 * PATH_BYTES as u64).unwrap();
        file.write_all_at(data.to_str().unwrap().as_bytes(), WORDS * 4).unwrap();
        Self { steering: file, path: steering.to_owned() }
    }

    /// What is started by this command has this disk.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", shim()).env("TONGBAN_FAULTS", &self.path);
    }

    pub fn fail(&self, failing: Failing) {
        self.heal();
        let words =
            [failing.errno.number(), failing.first, failing.lasting.calls(), u32::from(failing.late), 0, 0];
        words.iter().zip(1..).for_each(|(word, at)| self.set(at, *word));
        // Last: from now on.
        self.set(0, failing.call as u32);
    }

    pub fn heal(&self) {
        self.set(0, 0);
    }

    /// Calls that failed since [`FailingDisk::fail`].
    pub fn failed(&self) -> u32 {
        self.word(FAILED)
    }

    pub fn seen(&self) -> u32 {
        self.word(SEEN)
    }

    /// The file of the last call that failed.
    pub fn at(&self) -> String {
        let mut path = [0; PATH_BYTES];
        self.steering.read_exact_at(&mut path, WORDS * 4 + PATH_BYTES as u64).unwrap();
        let text = path.split(|byte| *byte == 0).next().unwrap();
        String::from_utf8_lossy(text).into_owned()
    }

    fn set(&self, at: u64, word: u32) {
        self.steering.write_all_at(&word.to_le_bytes(), at * 4).unwrap();
    }

    fn word(&self, at: u64) -> u32 {
        let mut word = [0; 4];
        self.steering.read_exact_at(&mut word, at * 4).unwrap();
        u32::from_le_bytes(word)
    }
}

/// The compiled library. The C compiler that built SQLite is there.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/faults/shim.c");
        let library =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failing-disk-{}.so", std::process::id()));
        let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        let compiled = cc.output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        library
    })
}
