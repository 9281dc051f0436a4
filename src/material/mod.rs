//! Where an application's files lie (protocol §6.1): each once, under its SHA-256.
//!
//! Promises: what [`Shelf::find`] finds is whole, hashes to its name and is on disk; a file
//! passes through in pieces and never stands in memory; a transfer that broke off goes on
//! where it stopped; a kill at any byte leaves the part or the whole file, nothing else.
//! Leaves to others: who may bring or read a file ([`Announcement`] is their answer), and
//! which case it belongs to.

mod coming;
mod deposit;
mod digest;
mod part;
mod piece;
mod shelf;
mod stored;

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use crate::domain::Region;

pub use deposit::{Deposit, Received};
pub use digest::{ContentDigestFault, MaterialDigest};
pub use piece::{Piece, PieceFault};
pub use shelf::{Arrival, Begun, Shelf, ShelfStats};
pub use stored::{Pieces, Stored};

/// Bytes of one material (protocol §2): a scanned archive of some hundred pages.
pub const LARGEST_MATERIAL: u64 = 50 * 1024 * 1024;

/// Transfers one depositor may have under way: a case has about ten materials, and more at
/// once only share the same line.
pub const TRANSFERS_AT_ONCE: usize = 16;

/// Unfinished files kept for one depositor, so that a partner that begins and never ends
/// fills at most 1.6 GB; beyond it the one touched longest ago makes room.
pub const PARTS_KEPT: usize = 32;

/// An unfinished file is forgotten after this: a sender that comes back later than a day
/// sends it whole.
pub const PART_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Bytes that stay free on the disk, whoever sends: the exchange log lies on it too, and
/// without the log nothing is answered.
pub const FREE_FLOOR: u64 = 512 * 1024 * 1024;

/// Who brings a file. Parts of different depositors never meet: nobody can spoil another's
/// transfer, nor learn how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depositor {
    /// The region's own systems.
    Local,
    Partner(Region),
}

/// Whether a partner may bring a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// No accepted or announced application of this partner names it.
    Unknown,
    /// One does, with this length.
    Announced { bytes: u64 },
}

/// Why a file, or a piece of it, is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialFault {
    #[error("it is larger than a material may be, or than its application says")]
    TooLarge,
    #[error("its length is not what its application says")]
    OtherLength,
    #[error("the bytes have another digest")]
    OtherDigest,
    #[error("the piece begins after what is here: {have} bytes")]
    Gap { have: u64 },
    #[error("the body is not as long as its Content-Range says")]
    OtherRange,
    #[error("a newer transfer of the same file took over")]
    TakenOver,
    #[error("too many transfers of this depositor are under way")]
    TooMany,
    #[error("the disk is almost full")]
    DiskFull,
    #[error("the disk failed ({0})")]
    Disk(io::ErrorKind),
    #[error("there is no such file here")]
    NotHere,
}

impl From<io::Error> for MaterialFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            kind => Self::Disk(kind),
        }
    }
}
