//! One unfinished file of one depositor. Everything here blocks and is called under its lock.
//!
//! Any number of transfers may be at one part; only the newest writes, so that a sender whose
//! connection died without our hearing of it goes on at once on another.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::shelf::create_folder;
use super::{MaterialDigest, MaterialFault, Piece};
use crate::clock::Now;

/// Bytes read at a time where a file is read again.
const READ_AT_ONCE: usize = 64 * 1024;

pub(super) struct Part {
    path: PathBuf,
    /// Bytes written, all of them in `hasher`.
    len: u64,
    /// `None`: what lies on disk was not read since we started.
    hasher: Option<Context>,
    /// The newest transfer.
    writer: u64,
    touched: Now,
    /// Finished or forgotten: whoever still holds this finds another one.
    gone: bool,
}

/// A transfer's right to write, as long as it is the newest.
#[derive(Debug)]
pub(super) struct Pen {
    writer: u64,
    file: File,
}

impl Part {
    pub(super) fn new(path: PathBuf, now: Now) -> Self {
        Self { path, len: 0, hasher: None, writer: 0, touched: now, gone: false }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) fn touched(&self) -> Now {
        self.touched
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How much of a file of `total` bytes is here. More than all of it is none of it.
    pub(super) fn have(&self, total: u64) -> u64 {
        let on_disk = fs::metadata(&self.path).map_or(0, |file| file.len());
        if on_disk > total { 0 } else { on_disk }
    }

    /// A new transfer begins; from now on the one before it is refused.
    pub(super) fn enter(&mut self, piece: Piece, now: Now) -> Result<Pen, MaterialFault> {
        self.writer += 1;
        self.touched = now;
        if let Some(folder) = self.path.parent() {
            create_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let on_disk = file.metadata()?.len();
        if piece == Piece::Whole || piece.total().is_some_and(|total| on_disk > total) {
            self.start_over(&file)?;
        } else if self.hasher.is_none() || on_disk != self.len {
            self.read_again(&file)?;
        }
        Ok(Pen { writer: self.writer, file })
    }

    fn start_over(&mut self, file: &File) -> Result<(), MaterialFault> {
        self.hasher = None;
        file.set_len(0)?;
        (self.len, self.hasher) = (0, Some(Context::new(&SHA256)));
        Ok(())
    }

    /// After a restart, or a write that failed halfway: what lies there is what there is.
    fn read_again(&mut self, file: &File) -> Result<(), MaterialFault> {
        let (mut hasher, mut len) = (Context::new(&SHA256), 0);
        let mut bytes = vec![0; READ_AT_ONCE];
        let mut reader = file;
        loop {
            let read = reader.read(&mut bytes)?;
            let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else { break };
            hasher.update(read);
            len += read.len() as u64;
        }
        (self.len, self.hasher) = (len, Some(hasher));
        Ok(())
    }

    fn check(&self, pen: &Pen) -> Result<(), MaterialFault> {
        if self.gone || pen.writer != self.writer { Err(MaterialFault::TakenOver) } else { Ok(()) }
    }

    pub(super) fn append(&mut self, pen: &Pen, bytes: &[u8]) -> Result<(), MaterialFault> {
        self.check(pen)?;
        pen.file.write_all_at(bytes, self.len)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The last byte is there: into its place, or away with it.
    pub(super) fn finish(
        &mut self,
        pen: &Pen,
        digest: &MaterialDigest,
        place: &Path,
    ) -> Result<(), MaterialFault> {
        self.check(pen)?;
        let hashed = self.hasher.take().and_then(|h| MaterialDigest::from_finished(&h.finish()));
        if hashed != Some(*digest) {
            self.forget()?;
            return Err(MaterialFault::OtherDigest);
        }
        // The bytes before the name: a name on disk must never stand for bytes that are not.
        pen.file.sync_all()?;
        let folder = place.parent().unwrap_or(place);
        create_folder(folder)?;
        fs::rename(&self.path, place)?;
        self.gone = true;
        File::open(folder)?.sync_all()?;
        if let Some(coming) = self.path.parent() {
            File::open(coming)?.sync_all()?;
        }
        Ok(())
    }

    /// Removes the file; transfers still at it are refused.
    pub(super) fn forget(&mut self) -> Result<(), MaterialFault> {
        (self.gone, self.hasher) = (true, None);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The same for a transfer that may have been taken over.
    pub(super) fn give_up(&mut self, pen: &Pen) -> Result<(), MaterialFault> {
        self.check(pen).and_then(|()| self.forget())
    }
}
