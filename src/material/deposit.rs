//! One transfer: bytes in, in order, to the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::coming::{Coming, Live};
use super::part::{Part, Pen};
use super::shelf::blocking;
use super::{Arrival, LARGEST_MATERIAL, MaterialFault, Piece};

/// Bytes gathered before they are written: one call to the disk for some ten network reads,
/// and all that a transfer holds in memory.
const WRITE_AT_ONCE: usize = 128 * 1024;

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is here and on disk.
    Whole { bytes: u64 },
    /// The piece is taken, more must come.
    SoFar { have: u64 },
}

/// A transfer under way. Dropped, it leaves what was written for the next one.
pub struct Deposit {
    coming: Arc<Coming>,
    live: Live,
    arrival: Arrival,
    pen: Arc<Pen>,
    /// Leading bytes of the body that are here already.
    skip: u64,
    /// Bytes that the body may still bring.
    room: u64,
    gathered: Vec<u8>,
}

impl Deposit {
    pub(super) fn new(coming: Arc<Coming>, live: Live, arrival: Arrival, pen: Pen, have: u64) -> Self {
        let (skip, room) = match arrival.piece {
            Piece::Whole => (0, arrival.bytes.unwrap_or(LARGEST_MATERIAL).min(LARGEST_MATERIAL)),
            Piece::Ask { .. } => (0, 0),
            Piece::Range { first, last, .. } => (have.saturating_sub(first), last - first + 1),
        };
        Self { coming, live, arrival, pen: Arc::new(pen), skip, room, gathered: Vec::new() }
    }

    /// The next bytes of the body. An error ends the transfer.
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), MaterialFault> {
        let Some(room) = self.room.checked_sub(bytes.len() as u64) else {
            return Err(self.overrun().await);
        };
        self.room = room;
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= known as u64;
        let mut new = bytes.get(known..).unwrap_or_default();
        while !new.is_empty() {
            if self.gathered.capacity() == 0 {
                self.gathered.reserve_exact(WRITE_AT_ONCE);
            }
            let (now, later) = new.split_at(new.len().min(WRITE_AT_ONCE - self.gathered.len()));
            self.gathered.extend_from_slice(now);
            new = later;
            if self.gathered.len() == WRITE_AT_ONCE {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn overrun(&mut self) -> MaterialFault {
        if self.arrival.piece != Piece::Whole {
            return MaterialFault::OtherRange;
        }
        // No sender can finish what is longer than the file.
        self.at_part(Part::give_up).await.err().unwrap_or(MaterialFault::TooLarge)
    }

    /// Writes what was gathered; so does a cut that the reader of the body sees coming.
    pub async fn write(&mut self) -> Result<(), MaterialFault> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        let (coming, slot, pen) =
            (Arc::clone(&self.coming), Arc::clone(&self.live.slot), Arc::clone(&self.pen));
        // The same memory comes back for the next bytes.
        let (mut gathered, written) = blocking(move || {
            let written = slot.part().append(&pen, &gathered);
            if written.is_ok() {
                coming.stats.received_bytes.fetch_add(gathered.len() as u64, Ordering::Relaxed);
            }
            Ok((gathered, written))
        })
        .await?;
        gathered.clear();
        self.gathered = gathered;
        written
    }

    /// The body's end. The last piece makes the file whole: hashed, in its place, on disk.
    pub async fn end(mut self) -> Result<Received, MaterialFault> {
        self.write().await?;
        let have = self.live.slot.part().len();
        match (self.arrival.piece.total(), self.arrival.bytes) {
            (Some(total), _) if have < total => return Ok(Received::SoFar { have }),
            (None, Some(announced)) if have != announced => {
                self.at_part(Part::give_up).await?;
                return Err(MaterialFault::OtherLength);
            }
            _ => {}
        }
        let (digest, place) = (self.arrival.digest, self.coming.place(&self.arrival.digest));
        self.at_part(move |part, pen| part.finish(pen, &digest, &place)).await?;
        self.coming.stats.arrived.fetch_add(1, Ordering::Relaxed);
        Ok(Received::Whole { bytes: have })
    }

    /// One act at the part; a part that is gone by it leaves the shelf's list.
    async fn at_part(
        &self,
        act: impl FnOnce(&mut Part, &Pen) -> Result<(), MaterialFault> + Send + 'static,
    ) -> Result<(), MaterialFault> {
        let (coming, slot, pen) =
            (Arc::clone(&self.coming), Arc::clone(&self.live.slot), Arc::clone(&self.pen));
        blocking(move || {
            let done = act(&mut slot.part(), &pen);
            coming.strike(&slot);
            done
        })
        .await
    }
}
