//! The failing disk: `shim.c`, compiled once, and the file that steers it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::process::{Steering, compile};

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
/// The text behind the folder.
const AT: usize = 1;

/// The disk of one gateway.
pub struct FailingDisk(Steering);

impl FailingDisk {
    /// Fails calls on files below `data`; none yet.
    pub fn under(data: &Path, steering: &Path) -> Self {
        Self(Steering::create(steering, WORDS, &[data, Path::new("")]))
    }

    /// What is started by this command has this disk.
    pub fn give_to(&self, command: &mut Command) {
        static SHIM: OnceLock<PathBuf> = OnceLock::new();
        command.env("LD_PRELOAD", SHIM.get_or_init(|| compile("faults"))).env("TONGBAN_FAULTS", &self.0.path);
    }

    pub fn fail(&self, failing: Failing) {
        self.heal();
        let words =
            [failing.errno.number(), failing.first, failing.lasting.calls(), u32::from(failing.late), 0, 0];
        words.iter().zip(1..).for_each(|(word, at)| self.0.set(at, *word));
        // Last: from now on.
        self.0.set(0, failing.call as u32);
    }

    pub fn heal(&self) {
        self.0.set(0, 0);
    }

    /// Calls that failed since [`FailingDisk::fail`].
    pub fn failed(&self) -> u32 {
        self.0.word(FAILED)
    }

    pub fn seen(&self) -> u32 {
        self.0.word(SEEN)
    }

    /// The file of the last call that failed.
    pub fn at(&self) -> String {
        self.0.text(AT)
    }
}
