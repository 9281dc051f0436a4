//! Flushing: what a commit has written to several files, side by side.
//!
//! Why not SQLite's own flush at each commit: a commit with evidence stands in two files, and one
//! flush behind the other is twice what every exchange waits for; with a disk that takes milliseconds
//! that halves what a gateway answers. With `synchronous=NORMAL` SQLite leaves the frames of a commit
//! in the WAL unflushed, in their order, and flushes before it copies them into the file.
//!
//! Promises: [`Flusher::end`] returns when everything handed over has been flushed, or with the first
//! fault: then it is not known what the disk holds.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::file_fault;
use crate::store::{StoreFault, Waking};

/// A file that is written to and has to be flushed.
#[derive(Clone)]
pub(super) struct Written(Arc<File>);

impl Written {
    pub fn to(file: Arc<File>) -> Self {
        Self(file)
    }

    /// To the WAL of a database that is open and has been read or written to: SQLite never puts another in
    /// its place before that is closed.
    pub fn to_wal_of(path: &Path) -> Result<Self, StoreFault> {
        let wal = wal_path(path);
        File::open(&wal).map(|file| Self(Arc::new(file))).map_err(|e| file_fault(&wal, &e))
    }

    pub fn flush(&self) -> Result<(), StoreFault> {
        self.0.sync_data().map_err(|e| broken(&e))
    }
}

pub(super) fn wal_path(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

/// As a flush of SQLite's own that failed: also for want of room, for what was written is there
/// partly.
fn broken(error: &io::Error) -> StoreFault {
    StoreFault::Broken { what: "flush", code: error.raw_os_error().unwrap_or(0) }
}

/// A thread that flushes while another writes. Begun when it is first needed.
#[derive(Default)]
pub(super) struct Flusher {
    hand: Option<Hand>,
    waking: Waking,
}

struct Hand {
    line: Option<SyncSender<Written>>,
    told: Receiver<Result<(), StoreFault>>,
    thread: Option<JoinHandle<()>>,
}

/// What was handed over and has to be waited for.
#[must_use]
pub(super) struct Begun {
    handed: usize,
    /// Those that nobody took.
    left: Vec<Written>,
}

/// Files that wait: of one commit, a vault for each class of retention.
const LONGEST_LINE: usize = 4;

impl Flusher {
    pub fn waking(&self) -> Waking {
        self.waking.clone()
    }

    /// Begins to flush.
    pub fn begin(&mut self, all: Vec<Written>) -> Begun {
        let mut begun = Begun { handed: 0, left: Vec::new() };
        for written in all {
            if self.hand.is_none() {
                self.hand = Hand::begin(self.waking()).ok();
            }
            let line = self.hand.as_ref().and_then(|hand| hand.line.as_ref());
            self.waking.woken();
            if let Some(Ok(())) = line.map(|line| line.try_send(written.clone())) {
                begun.handed += 1;
            } else {
                self.waking.runs();
                begun.left.push(written);
            }
        }
        begun
    }

    /// Waits until all of it has been flushed.
    pub fn end(&mut self, begun: Begun) -> Result<(), StoreFault> {
        let mut flushed = begun.left.iter().try_for_each(Written::flush);
        for _ in 0..begun.handed {
            let told = self.hand.as_ref().and_then(|hand| hand.told.recv().ok());
            flushed = flushed.and(told.unwrap_or(Err(StoreFault::Broken { what: "flush", code: 0 })));
        }
        flushed
    }
}

impl Hand {
    fn begin(waking: Waking) -> io::Result<Self> {
        let (line, all) = sync_channel::<Written>(LONGEST_LINE);
        let (tell, told) = sync_channel(LONGEST_LINE);
        let work = move || {
            while let Ok(written) = all.recv() {
                waking.runs();
                if tell.send(written.flush()).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("ledger-flusher".to_owned()).spawn(work)?;
        Ok(Self { line: Some(line), told, thread: Some(thread) })
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        drop(self.line.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn everything_handed_over_is_waited_for_and_a_fault_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let wal = |name: &str| {
            std::fs::write(wal_path(&dir.path().join(name)), "frames").unwrap();
            Written::to_wal_of(&dir.path().join(name)).unwrap()
        };
        let mut flusher = Flusher::default();
        let many: Vec<Written> = (0..3 * LONGEST_LINE).map(|n| wal(&n.to_string())).collect();
        let begun = flusher.begin(many);
        assert_eq!(flusher.end(begun), Ok(()));
        // What cannot be flushed: a pipe has no disk below it.
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = Written(Arc::new(File::from(std::os::fd::OwnedFd::from(reader))));
        let begun = flusher.begin(vec![wal("a"), pipe, wal("b")]);
        assert!(matches!(flusher.end(begun), Err(StoreFault::Broken { what: "flush", .. })));
        let begun = flusher.begin(vec![wal("c")]);
        assert_eq!(flusher.end(begun), Ok(()), "each commit hears of its own");
        assert_eq!(flusher.waking.0.load(Ordering::Relaxed), 0, "what was flushed has been begun");
        assert!(Written::to_wal_of(&dir.path().join("nothing")).is_err());
    }
}
