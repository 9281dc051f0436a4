//! The sealer: its own thread that turns new leaves into tiles and a signed checkpoint, at
//! most once a second.
//!
//! Order: tiles, signature, the store's head (compare and set), the checkpoint's file. A
//! stop in between is harmless: tiles are made again, and what is not in the head was never
//! published. Two checkpoints that contradict each other cannot be signed: the head moves
//! only from the size this process has seen.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::checkpoint::Checkpoint;
use super::key::LedgerKey;
use super::shared::{Published, Shared};
use super::tile_files::TileFiles;
use super::tiles::{Edge, FullTile};
use super::tree::Hash;
use crate::clock::Clock;
use crate::domain::Region;
use crate::store::{Head, Heads, Shard, StoreFault};

/// At most one checkpoint in this time when leaves keep coming (protocol §7 gives 10 s).
const SEAL_EVERY: Duration = Duration::from_secs(1);

/// Quiet after which the heads' file is left at rest.
const REST_AFTER: Duration = Duration::from_secs(2);

pub(super) enum ToSealer {
    /// Leaves wait in [`Unsealed`](super::shared::Unsealed); told once until they have been taken.
    Grew,
    /// The log ends here: seal it now and tell its final note.
    Close(SyncSender<Option<Vec<u8>>>),
    /// A new log begins with these leaves.
    Begin(Shard, Vec<Hash>),
    /// Seal now; told whether a checkpoint covers everything that came before.
    Flush(oneshot::Sender<bool>),
    /// Sign this note: the key lives here alone.
    Sign(String, oneshot::Sender<Option<Vec<u8>>>),
    Stop,
}

#[derive(Debug, thiserror::Error)]
enum SealFault {
    #[error("tiles cannot be written: {0}")]
    Files(#[from] std::io::Error),
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("the origin cannot stand in a note")]
    Origin,
    #[error("somebody else signs checkpoints of this log")]
    Forked,
}

pub(super) struct Sealer {
    pub data: PathBuf,
    pub region: Region,
    pub key: LedgerKey,
    pub clock: Clock,
    pub heads: Box<dyn Heads>,
    pub shared: Arc<Shared>,
    pub shard: Shard,
    pub edge: Edge,
    /// Size of the last signed checkpoint of `shard`.
    pub sealed: u64,
    /// Full tiles that have no file yet.
    pub full: Vec<FullTile>,
    pub last: Option<Instant>,
    /// It was told of leaves that it has not taken yet.
    pub told: bool,
    /// The heads' file has been written to.
    pub unrested: bool,
}

impl Sealer {
    pub fn run(mut self, orders: &Receiver<ToSealer>) {
        loop {
            let order = if self.is_behind() {
                let due = self.last.map_or(Duration::ZERO, |last| SEAL_EVERY.saturating_sub(last.elapsed()));
                orders.recv_timeout(due)
            } else if self.unrested {
                orders.recv_timeout(REST_AFTER)
            } else {
                orders.recv().map_err(RecvTimeoutError::from)
            };
            match order {
                Ok(ToSealer::Grew) => self.told = true,
                Ok(ToSealer::Close(told)) => {
                    let note = self.try_seal().then(|| self.final_note()).flatten();
                    let _ = told.send(note);
                }
                Ok(ToSealer::Begin(shard, first)) => {
                    (self.shard, self.edge, self.sealed) = (shard, Edge::default(), 0);
                    self.full.clear();
                    for hash in first {
                        self.edge.push(hash, &mut self.full);
                    }
                }
                Ok(ToSealer::Flush(told)) => {
                    let sealed = self.try_seal();
                    let _ = told.send(sealed);
                }
                Ok(ToSealer::Sign(text, told)) => {
                    let name = super::origin(self.region, self.shard);
                    let _ = told.send(self.key.sign_note(&text, &name));
                }
                Err(RecvTimeoutError::Timeout) if self.is_behind() => {
                    self.try_seal();
                }
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Ok(ToSealer::Stop) | Err(RecvTimeoutError::Disconnected) => return self.rest(),
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.told || self.edge.size() > self.sealed
    }

    fn rest(&mut self) {
        if std::mem::take(&mut self.unrested)
            && self.shared.poisoned().is_none()
            && let Err(fault) = self.heads.rest()
            && !fault.is_passing()
        {
            tracing::error!(%fault, "the checkpoints' file could not be tidied");
            self.shared.poison("checkpoint could not be kept");
        }
    }

    /// Seals and says whether a checkpoint now covers every leaf.
    fn try_seal(&mut self) -> bool {
        if self.shared.poisoned().is_some() {
            return false;
        }
        // Whatever comes of it, the next try waits its second.
        self.last = Some(Instant::now());
        for hash in self.shared.unsealed.take(self.shard) {
            self.edge.push(hash, &mut self.full);
        }
        match self.seal() {
            Ok(()) => {
                self.told = !self.shared.unsealed.rest();
                true
            }
            Err(fault) => {
                let passing = match &fault {
                    SealFault::Files(_) => true,
                    SealFault::Store(fault) => fault.is_passing(),
                    SealFault::Origin | SealFault::Forked => false,
                };
                tracing::error!(%fault, passing, "no checkpoint could be made");
                if !passing {
                    self.shared.poison("checkpoint could not be kept");
                }
                false
            }
        }
    }

    fn seal(&mut self) -> Result<(), SealFault> {
        if self.edge.size() == self.sealed {
            return Ok(());
        }
        let origin = super::origin(self.region, self.shard);
        let files = TileFiles::new(&self.data, &origin);
        while let Some(tile) = self.full.first() {
            files.write_full(tile)?;
            self.full.remove(0);
        }
        for (name, hashes) in self.edge.partial_tiles() {
            files.write_partial(name, hashes)?;
        }
        let checkpoint = Checkpoint { origin, size: self.edge.size(), root: self.edge.root() };
        let note = checkpoint.sign(&self.key).ok_or(SealFault::Origin)?;
        let head = Head { size: checkpoint.size, note };
        if !self.heads.advance(self.shard, self.sealed, &head, self.clock.now())? {
            return Err(SealFault::Forked);
        }
        self.sealed = head.size;
        self.unrested = true;
        let file = files.write_checkpoint(&head.note);
        self.shared.sealed(Published { shard: self.shard, size: head.size, note: head.note });
        // The head has moved: the file is only a copy and comes with the next checkpoint.
        file.or_else(|e| {
            tracing::error!(error = %e, "the checkpoint's file could not be written");
            Ok(())
        })
    }

    fn final_note(&self) -> Option<Vec<u8>> {
        let published = self.shared.published.load();
        published.as_ref().filter(|p| p.shard == self.shard && p.size == self.sealed).map(|p| p.note.clone())
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.poison("the sealer ended");
        }
    }
}
