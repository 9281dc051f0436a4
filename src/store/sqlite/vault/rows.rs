//! The rows of a vault as they stand in its file, and reading them.
//!
//! ```text
//! file  := block*                     of 4096 octets; so many that the length is a multiple of 1 MiB
//! row   := magic index epoch tokens-length sealed-length sum r tokens sealed
//!          8     8     8     4             4             8   32      octets, numbers big-endian
//! ```
//!
//! The rows of a commit follow one another and begin with a block; where there is no row stand zeros,
//! written ahead so that a flush has no more than the octets themselves to flush. Indices only grow, so a
//! row is found by halving: whoever looks into the middle of a commit finds the next one at a block's
//! beginning. An erased row keeps its index and its lengths; the rest of it is zeros, which its sum fits.
//!
//! Promises: every octet is told from a changed one: a row by its sum and by the hash in its leaf, what is
//! no row by not being zero.
//!
//! Why not in SQLite: it writes a page of evidence three times, to the WAL, from there into the file and
//! with the next row, and evidence is most of what an exchange writes (decision 0016).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use aws_lc_rs::digest::{SHA256, digest};

use super::super::engine;
use super::StoredVault;

/// Every row begins with it.
const MAGIC: [u8; 8] = *b"evidence";
/// Octets of what every row begins with, up to its tokens.
pub(super) const HEAD: usize = 72;
/// Where a commit begins: at a multiple of it, so that no write touches a block of an earlier commit.
pub(super) const BLOCK: u64 = 4096;
/// By so much a file grows, in zeros.
pub(super) const GROWTH: u64 = 1 << 20;
/// Octets that are read at once by whoever reads on, and by whoever only looks at heads.
const MANY: usize = 256 << 10;
const FEW: usize = 4096;
/// A block without a row.
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// What a row begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub index: u64,
    pub epoch: i64,
    pub tokens: u32,
    pub sealed: u32,
    pub sum: i64,
    pub r: [u8; 32],
}

impl Head {
    /// `None` where no row begins.
    fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (index, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (tokens, rest) = rest.split_first_chunk()?;
        let (sealed, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        Some(Self {
            index: u64::from_be_bytes(*index),
            epoch: i64::from_be_bytes(*epoch),
            tokens: u32::from_be_bytes(*tokens),
            sealed: u32::from_be_bytes(*sealed),
            sum: i64::from_be_bytes(*sum),
            r: *rest.first_chunk()?,
        })
    }

    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&MAGIC);
        to.extend_from_slice(&self.index.to_be_bytes());
        to.extend_from_slice(&self.epoch.to_be_bytes());
        to.extend_from_slice(&self.tokens.to_be_bytes());
        to.extend_from_slice(&self.sealed.to_be_bytes());
        to.extend_from_slice(&self.sum.to_be_bytes());
        to.extend_from_slice(&self.r);
    }

    /// The octets that an erasure leaves of the whole row.
    pub fn erased(&self) -> Vec<u8> {
        let zeros = vec![0; self.tokens as usize + self.sealed as usize];
        let (tokens, sealed) = zeros.split_at(self.tokens as usize);
        let r = [0; 32];
        let sum = row_sum(self.index, 0, &r, tokens, digest(&SHA256, sealed).as_ref());
        let mut row = Vec::with_capacity(HEAD + zeros.len());
        Self { epoch: 0, r, sum, ..*self }.write(&mut row);
        row.extend_from_slice(&zeros);
        row
    }

    pub fn is_erased(&self) -> bool {
        self.r == [0; 32]
    }

    /// Octets of the whole row.
    pub fn octets(&self) -> u64 {
        HEAD as u64 + u64::from(self.tokens) + u64::from(self.sealed)
    }
}

/// The first eight octets of SHA-256 over a row, its evidence by the hash that its leaf names: the
/// writer has that already, and evidence is most of a row.
pub(super) fn row_sum(index: u64, epoch: i64, r: &[u8], tokens: &[u8], ev: &[u8]) -> i64 {
    let length = i64::try_from(tokens.len()).unwrap_or(i64::MAX).to_be_bytes();
    engine::row_sum(index.cast_signed(), epoch, &[r, &length, tokens, ev])
}

/// The file of a vault's rows, open for reading.
pub(super) struct Rows {
    file: File,
}

impl Rows {
    pub fn of(file: File) -> Self {
        Self { file }
    }

    /// From the row of `index` on, or the first one behind it. `whole`: more will be read than heads.
    pub fn starting_at(&self, index: u64, whole: bool) -> io::Result<Cursor<'_>> {
        let mut cursor = self.cursor(self.before(index)?, if whole { MANY } else { FEW })?;
        while let Some((at, head)) = cursor.next()? {
            if head.index >= index {
                cursor.at = at;
                break;
            }
        }
        Ok(cursor)
    }

    /// From a place on that is not far before the rows of `index` and those behind it.
    pub fn starting_before(&self, index: u64) -> io::Result<Cursor<'_>> {
        self.cursor(self.before(index)?, FEW)
    }

    /// The row of a leaf, erased or not, and where it stands.
    pub fn find(&self, index: u64) -> io::Result<Option<(u64, Head)>> {
        let found = self.starting_at(index, false)?.next()?;
        Ok(found.filter(|(_, head)| head.index == index))
    }

    /// The row of a leaf as a whole; `None` when it is not there or is what an erasure leaves. One whose
    /// erasure was interrupted is there.
    pub fn row(&self, index: u64) -> io::Result<Option<StoredVault>> {
        let Some((at, head)) = self.find(index)? else { return Ok(None) };
        self.cursor(at, FEW)?.whole(at, &head)
    }

    fn cursor(&self, at: u64, window: usize) -> io::Result<Cursor<'_>> {
        let length = self.file.metadata()?.len();
        let window = Window { file: &self.file, bytes: Vec::new(), at: 0, least: window };
        Ok(Cursor { window, at, length, damaged: !length.is_multiple_of(GROWTH) })
    }

    /// A place not far before the row of `index`: the file's beginning, or one from which a row of a smaller
    /// index comes next.
    fn before(&self, index: u64) -> io::Result<u64> {
        // Some commits: nearer would be looked at twice, and further away more be walked over.
        const STEP: u64 = 16 * BLOCK;
        let mut cursor = self.cursor(0, FEW)?;
        let (mut before, mut behind) = (0, cursor.length / STEP);
        while before < behind {
            let middle = (before + behind).div_ceil(2);
            cursor.at = middle * STEP;
            match cursor.next()? {
                Some((_, head)) if head.index < index => before = middle,
                _ => behind = middle - 1,
            }
        }
        Ok(before * STEP)
    }
}

/// Goes from row to row.
pub(super) struct Cursor<'a> {
    window: Window<'a>,
    at: u64,
    length: u64,
    /// Something stands there that is neither a row nor zero.
    pub damaged: bool,
}

impl Cursor<'_> {
    /// The next row and where it begins.
    pub fn next(&mut self) -> io::Result<Option<(u64, Head)>> {
        while self.at < self.length {
            let at = self.at;
            if let Some(head) = Head::read(self.window.piece(at, HEAD)?)
                && at + head.octets() <= self.length
            {
                self.at += head.octets();
                return Ok(Some((at, head)));
            }
            self.at = (at / BLOCK + 1) * BLOCK;
            if !self.is_zero(at, self.at)? {
                self.damaged = true;
            }
        }
        Ok(None)
    }

    /// What is being written while it is read is no damage: it is looked at twice.
    fn is_zero(&mut self, from: u64, to: u64) -> io::Result<bool> {
        let length = usize::try_from(to - from).unwrap_or(usize::MAX);
        let are_zeros = |piece: &[u8]| ZEROS.starts_with(piece);
        if are_zeros(self.window.piece(from, length)?) {
            return Ok(true);
        }
        self.window.bytes.clear();
        if Head::read(self.window.piece(from, HEAD)?).is_some_and(|head| from + head.octets() <= self.length)
        {
            self.at = from;
            return Ok(true);
        }
        Ok(are_zeros(self.window.piece(from, length)?))
    }

    pub fn tokens(&mut self, at: u64, head: &Head) -> io::Result<&[u8]> {
        self.window.piece(at + HEAD as u64, head.tokens as usize)
    }

    /// The row at `at` as a whole; `None` when it is what an erasure leaves.
    pub fn whole(&mut self, at: u64, head: &Head) -> io::Result<Option<StoredVault>> {
        let octets = usize::try_from(head.octets()).unwrap_or(usize::MAX);
        let piece = self.window.piece(at, octets)?.get(HEAD..).unwrap_or_default();
        let (tokens, sealed) = piece.split_at(piece.len().min(head.tokens as usize));
        let ev = digest(&SHA256, sealed);
        let sum = row_sum(head.index, head.epoch, &head.r, tokens, ev.as_ref());
        let sum_fits = sum == head.sum && sealed.len() == head.sealed as usize;
        Ok((!(head.is_erased() && sum_fits)).then(|| StoredVault {
            index: head.index,
            epoch: head.epoch,
            r: head.r.to_vec(),
            tokens: tokens.to_vec(),
            sealed: sealed.to_vec(),
            sum_fits,
        }))
    }
}

/// A piece of a file that has been read.
struct Window<'a> {
    file: &'a File,
    bytes: Vec<u8>,
    at: u64,
    /// Octets that are read at least.
    least: usize,
}

impl Window<'_> {
    /// So many octets; fewer where the file ends.
    fn piece(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let place = |window: &Self| usize::try_from(at.checked_sub(window.at)?).ok();
        let there = place(self).is_some_and(|from| from + length <= self.bytes.len());
        if !there {
            self.bytes.resize(length.max(self.least), 0);
            let mut read = 0;
            while let Some(room) = self.bytes.get_mut(read..).filter(|room| !room.is_empty()) {
                match self.file.read_at(room, at + read as u64) {
                    Ok(0) => break,
                    Ok(more) => read += more,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            self.bytes.truncate(read);
            self.at = at;
        }
        let from = place(self).unwrap_or_default();
        Ok(self.bytes.get(from..self.bytes.len().min(from + length)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_while_it_is_read_is_no_damage() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(GROWTH).unwrap();
        let head = Head { index: 7, epoch: 1, tokens: 0, sealed: 100, sum: 0, r: [1; 32] };
        let mut row = Vec::new();
        head.write(&mut row);
        // As much of it as a reader came upon.
        file.write_all_at(&row[4..], 4).unwrap();
        let rows = Rows::of(file.try_clone().unwrap());
        let mut cursor = rows.starting_before(0).unwrap();
        assert!(Head::read(cursor.window.piece(0, HEAD).unwrap()).is_none());
        file.write_all_at(&row, 0).unwrap();
        assert_eq!(cursor.next().unwrap(), Some((0, head)));
        assert!(cursor.next().unwrap().is_none() && !cursor.damaged);
        // What stays so is.
        file.write_all_at(&[0; 4], 0).unwrap();
        let mut cursor = rows.starting_before(0).unwrap();
        assert!(cursor.next().unwrap().is_none() && cursor.damaged);
    }
}
