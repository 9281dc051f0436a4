//! `<data>/materials`: whole files in `ab/<sha256>`, unfinished ones in
//! `coming/<depositor>/<sha256>.part`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::coming::{Coming, LIMITS, Limits};
use super::{Deposit, Depositor, LARGEST_MATERIAL, MaterialDigest, MaterialFault, Piece, Stored};
use crate::clock::Now;

/// What a request says it brings.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub depositor: Depositor,
    pub digest: MaterialDigest,
    pub piece: Piece,
    /// The file's length by the application that names it.
    pub bytes: Option<u64>,
    /// The body's length, where the request says it.
    pub body: Option<u64>,
}

/// How a request is met before its body is read.
pub enum Begun {
    /// The file is here.
    Already,
    /// The answer to [`Piece::Ask`].
    SoFar {
        have: u64,
    },
    Deposit(Deposit),
}

/// Counters for `/metrics`.
#[derive(Debug, Default)]
pub struct ShelfStats {
    pub received_bytes: AtomicU64,
    pub sent_bytes: Arc<AtomicU64>,
    /// Files that became whole.
    pub arrived: AtomicU64,
}

/// Every file of every application. Clones share it.
#[derive(Clone)]
pub struct Shelf(Arc<Coming>);

/// Disk work away from the connections' threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MaterialFault> + Send + 'static,
) -> Result<T, MaterialFault> {
    let interrupted = |_| MaterialFault::Disk(io::ErrorKind::Interrupted);
    tokio::task::spawn_blocking(work).await.map_err(interrupted)?
}

/// A folder for the owner alone, there after a crash too.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        created => created?,
    }
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

impl Shelf {
    /// Opens or makes the folder and finds the parts of an earlier run; they live on from `now`.
    pub fn open(root: &Path, now: Now) -> io::Result<Self> {
        Self::with_limits(root, now, LIMITS)
    }

    pub(super) fn with_limits(root: &Path, now: Now, limits: Limits) -> io::Result<Self> {
        create_folder(root)?;
        Ok(Self(Arc::new(Coming::open(root.to_owned(), limits, now)?)))
    }

    /// The length of a file that is here, whole.
    pub fn find(&self, digest: &MaterialDigest) -> Option<u64> {
        fs::metadata(self.0.place(digest)).ok().filter(fs::Metadata::is_file).map(|file| file.len())
    }

    pub fn has(&self, digest: &MaterialDigest) -> bool {
        self.find(digest).is_some()
    }

    /// A file for reading.
    pub async fn read(&self, digest: &MaterialDigest) -> Result<Stored, MaterialFault> {
        let (place, sent) = (self.0.place(digest), Arc::clone(&self.0.stats.sent_bytes));
        blocking(move || {
            let file = File::open(place).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => MaterialFault::NotHere,
                _ => error.into(),
            })?;
            let bytes = file.metadata()?.len();
            Ok(Stored::new(file, bytes, sent))
        })
        .await
    }

    /// Takes a file off the shelf; false if it was not there. Who is reading it reads on.
    pub fn discard(&self, digest: &MaterialDigest) -> io::Result<bool> {
        match fs::remove_file(self.0.place(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Meets a request that brings a file or a piece of it.
    pub async fn begin(&self, arrival: Arrival, now: Now) -> Result<Begun, MaterialFault> {
        let coming = Arc::clone(&self.0);
        blocking(move || coming.begin(arrival, now)).await
    }

    /// Forgets parts that nobody touched for [`super::PART_LIFE`]; tells how many.
    pub async fn sweep(&self, now: Now) -> usize {
        let coming = Arc::clone(&self.0);
        blocking(move || Ok(coming.sweep(now))).await.unwrap_or(0)
    }

    pub fn stats(&self) -> &ShelfStats {
        &self.0.stats
    }

    /// Transfers under way.
    pub fn coming(&self) -> usize {
        self.0.transfers_now()
    }
}

impl Arrival {
    /// What can be judged without the disk.
    pub(super) fn check(&self) -> Result<(), MaterialFault> {
        if let (Some(body), Some(piece)) = (self.body, self.piece.bytes())
            && body != piece
        {
            return Err(MaterialFault::OtherRange);
        }
        let Some(total) = self.piece.total().or(self.body) else { return Ok(()) };
        if total > self.bytes.unwrap_or(LARGEST_MATERIAL).min(LARGEST_MATERIAL) {
            return Err(MaterialFault::TooLarge);
        }
        if self.bytes.is_some_and(|announced| total < announced) {
            return Err(MaterialFault::OtherLength);
        }
        Ok(())
    }
}
