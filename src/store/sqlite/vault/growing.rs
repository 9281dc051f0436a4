//! The file of a vault's rows ([`super::rows`]) in its writer's hand.
//!
//! Promises: nothing is written where a row stands, but zeros when it is erased; what failed for want of
//! room has changed nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::rows::{BLOCK, GROWTH, Head, Rows, row_sum};
use crate::store::VaultRow;

/// What is written ahead in one piece.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// Octets of a commit whose room in memory is kept for the next.
const ROOM_KEPT: usize = 1 << 20;

pub(super) struct GrowingFile {
    file: Arc<File>,
    /// Where the next commit begins.
    end: u64,
    length: u64,
    /// The commit that is written, in one piece.
    commit: Vec<u8>,
}

impl GrowingFile {
    /// Makes the file if it is not there. With `first`, where the log goes on: rows from there on have no
    /// leaf, and what else stands behind the others was being written when the power went; it goes.
    pub fn open(path: &Path, first: Option<u64>) -> io::Result<Self> {
        let is_new = !path.exists();
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        if is_new {
            file.sync_all()?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let found = file.metadata()?.len();
        let length = found.next_multiple_of(GROWTH);
        if found != length {
            file.set_len(length)?;
        }
        let mut growing = Self { file: Arc::new(file), end: 0, length, commit: Vec::new() };
        let goes_on = first.unwrap_or(u64::MAX);
        let rows = Rows::of(growing.file.try_clone()?);
        let mut cursor = rows.starting_before(goes_on)?;
        while let Some((at, head)) = cursor.next()? {
            if head.index < goes_on {
                growing.end = (at + head.octets()).next_multiple_of(BLOCK);
            }
        }
        if first.is_some() && !growing.is_zero_behind_its_end()? {
            growing.zero(growing.end, growing.length)?;
            growing.file.sync_data()?;
        }
        Ok(growing)
    }

    /// What has to be flushed.
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Writes the rows of a commit; not flushed.
    pub fn append<'a>(&mut self, rows: impl Iterator<Item = (u64, &'a VaultRow)>) -> io::Result<()> {
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        self.commit.clear();
        for (index, row) in rows {
            let head = Head {
                index,
                epoch: row.epoch.id,
                tokens: u32::try_from(row.tokens.len()).map_err(too_long)?,
                sealed: u32::try_from(row.sealed.len()).map_err(too_long)?,
                sum: row_sum(index, row.epoch.id, &row.r, &row.tokens, &row.ev),
                r: row.r,
            };
            head.write(&mut self.commit);
            self.commit.extend_from_slice(&row.tokens);
            self.commit.extend_from_slice(&row.sealed);
        }
        let end = self.end + self.commit.len() as u64;
        self.grow(end)?;
        self.file.write_all_at(&self.commit, self.end)?;
        self.end = end.next_multiple_of(BLOCK);
        self.commit.clear();
        self.commit.shrink_to(ROOM_KEPT);
        Ok(())
    }

    pub fn holds(&self, index: u64) -> io::Result<bool> {
        Ok(Rows::of(self.file.try_clone()?).row(index)?.is_some())
    }

    /// Takes away everything of a row but its place. Not flushed.
    pub fn erase(&mut self, index: u64) -> io::Result<()> {
        match Rows::of(self.file.try_clone()?).find(index)? {
            Some((at, head)) => self.file.write_all_at(&head.erased(), at),
            None => Ok(()),
        }
    }

    /// Room for so many octets. The length is there at once, so that it always is a multiple of a growth.
    fn grow(&mut self, octets: u64) -> io::Result<()> {
        let (before, after) = (self.length, octets.next_multiple_of(GROWTH));
        if after <= before {
            return Ok(());
        }
        let grown = self.file.set_len(after).and_then(|()| self.zero(before, after));
        if let Err(error) = grown {
            self.file.set_len(before)?;
            return Err(error);
        }
        self.length = after;
        Ok(())
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        self.in_pieces(from, to, |piece, at| self.file.write_all_at(piece, at))
    }

    fn is_zero_behind_its_end(&self) -> io::Result<bool> {
        let (mut bytes, mut is_zero) = (vec![0; ZEROS.len()], true);
        self.in_pieces(self.end, self.length, |zeros, at| {
            let piece = bytes.get_mut(..zeros.len()).unwrap_or_default();
            self.file.read_exact_at(piece, at)?;
            is_zero &= piece == zeros;
            Ok(())
        })?;
        Ok(is_zero)
    }

    /// Calls `act` with zeros for each piece from one place to another.
    fn in_pieces(
        &self,
        mut from: u64,
        to: u64,
        mut act: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        while from < to {
            let octets = usize::try_from(to - from).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            act(ZEROS.get(..octets).unwrap_or_default(), from)?;
            from += octets as u64;
        }
        Ok(())
    }
}
