//! One file, looked at again and again: its bytes whenever they are others than before.
//!
//! Promises: a file is read whole or not at all, so one that is being written is refused until
//! it stands still; a look without change costs one `stat`; the same fault is told once.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::fault::Fault;

/// Bytes of one file. A card with 8 keys has 4 KiB and a large agreement 200 KiB; beyond
/// this somebody copied the wrong file.
pub const LARGEST_FILE: u64 = 1024 * 1024;

/// One file whose content is wanted again whenever it changed: a certificate, a key, a CRL.
pub struct WatchedFile {
    path: PathBuf,
    /// Bytes.
    most: u64,
    stamp: Option<Stamp>,
    content: Option<[u8; 32]>,
    /// The content was read twice under the same stamp. A write within the file system's
    /// clock tick of our read leaves the stamp as it was; one more read finds it.
    settled: bool,
    fault: Option<Fault>,
}

pub enum Poll {
    Unchanged,
    /// The bytes, wiped when dropped since they may be a key.
    Changed(Zeroizing<Vec<u8>>),
    /// Told once per fault.
    Refused(Fault),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    inode: (u64, u64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            size: meta.size(),
            inode: (meta.dev(), meta.ino()),
        }
    }
}

impl WatchedFile {
    pub fn new(path: &Path) -> Self {
        Self::up_to(path, LARGEST_FILE)
    }

    /// For a kind of file with another limit than [`LARGEST_FILE`] (bytes).
    pub fn up_to(path: &Path, most: u64) -> Self {
        Self { path: path.to_owned(), most, stamp: None, content: None, settled: false, fault: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn poll(&mut self) -> Poll {
        match self.look() {
            Ok(Some(bytes)) => {
                self.fault = None;
                Poll::Changed(bytes)
            }
            Ok(None) => Poll::Unchanged,
            Err(fault) => {
                // Told again when it returns, were it the same.
                self.settled = false;
                self.content = None;
                if self.fault.as_ref() == Some(&fault) {
                    return Poll::Unchanged;
                }
                self.fault = Some(fault.clone());
                Poll::Refused(fault)
            }
        }
    }

    fn look(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let meta = fs::metadata(&self.path).map_err(|_| unreadable())?;
        if self.settled && self.stamp == Some(Stamp::of(&meta)) {
            return Ok(None);
        }
        let (bytes, stamp) = read_whole(&self.path, self.most)?;
        self.settled = self.stamp == Some(stamp);
        self.stamp = Some(stamp);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        if self.content == Some(hash) {
            return Ok(None);
        }
        self.content = Some(hash);
        Ok(Some(bytes))
    }
}

/// The bytes and the stamp they were read under; a file written meanwhile is refused, the
/// next poll sees it again.
fn read_whole(path: &Path, most: u64) -> Result<(Zeroizing<Vec<u8>>, Stamp), Fault> {
    // A FIFO put in a trust folder must not hang the gateway.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file =
        OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(|_| unreadable())?;
    let before = regular(&file)?;
    if before.size > most {
        let most = most / (1024 * 1024);
        let words = (format!("is larger than {most} MiB"), format!("文件超过{most} MiB"));
        return Err(Fault::new("", "too-large", words.0, words.1));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1));
    (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| unreadable())?;
    if regular(&file)? != before || bytes.len() as u64 != before.size {
        return Err(Fault::new("", "being-written", "is being written", "文件正在写入"));
    }
    Ok((bytes, before))
}

fn regular(file: &File) -> Result<Stamp, Fault> {
    let meta = file.metadata().map_err(|_| unreadable())?;
    if meta.is_file() { Ok(Stamp::of(&meta)) } else { Err(unreadable()) }
}

fn unreadable() -> Fault {
    Fault::new("", "unreadable", "cannot be read as a regular file", "无法作为普通文件读取")
}
