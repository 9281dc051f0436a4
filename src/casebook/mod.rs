//! The casebook: what this gateway knows of cases, of parcels on their way and of what its
//! own systems should hear, durable in `<data>/cases.db`.
//!
//! Promises: a list of [`Write`]s that went into a ledger entry as its deed is applied here
//! exactly once in effect (rows are replaced whole, under keys their writer chose), in the
//! order of the log, also after a crash; [`Casebook::settled`] returns when a place of the log
//! stands here. What concerns no exchange (an attempt, a lease, a cursor) is written with
//! [`Casebook::write`]. Knows rows, not what a case may do; leaves that to `case`.

mod files;
mod keeper;
mod line;
mod outgoing;
mod rows;
mod shelf;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::ledger::{Carrier, Deed, Mark};
use crate::store::StoreFault;

use keeper::{Keeper, Order};
use line::Lines;

pub use line::Held;
pub use outgoing::{Outgoing, OutgoingCount};
pub use rows::{
    AnswerRow, CaseRow, EventRow, MaterialRow, MaterialWay, MemoRow, NoticeRow, OnceRow, ParcelRow,
    ParcelState, PlaceRow, Row, Sent, VerificationRow, VerificationSide, Write,
};
use shelf::Readers;
pub use shelf::{CaseFilter, Listed, Page};

/// Orders that wait for the keeper. The ledger's writer waits for a place when the casebook
/// is behind, so this bounds memory, not work.
const LONGEST_QUEUE: usize = 256;

/// How long a caller waits for a commit: a disk that is full or stuck must not hold up whoever
/// asked. What was in the log's commit is not lost by it.
const MOST_WAIT: Duration = Duration::from_secs(10);

/// Why the casebook does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CasebookFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("a row cannot be read")]
    Row,
    #[error("the casebook cannot be written: the process must be restarted")]
    Stopped,
    #[error("the casebook did not commit in time")]
    Late,
    #[error("a thread could not be started: {0}")]
    Thread(std::io::ErrorKind),
}

/// The open casebook. Cheap to clone; the last one dropped stops its thread.
#[derive(Clone)]
pub struct Casebook {
    inner: Arc<Inner>,
}

struct Inner {
    readers: Readers,
    lines: Lines,
    orders: Option<SyncSender<Order>>,
    settled: watch::Receiver<Settled>,
    /// A full disk is not waited for any more.
    ending: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

/// How far the keeper got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Settled {
    /// Deeds up to here stand in the file.
    mark: Option<Mark>,
    /// Counts commits, for those who wait for any change.
    version: u64,
    /// The disk is full.
    waiting: bool,
    stopped: bool,
}

/// Hands the ledger's deeds to the keeper.
struct ToCasebook {
    orders: SyncSender<Order>,
    settled: watch::Receiver<Settled>,
}

impl Carrier for ToCasebook {
    fn carry(&mut self, deeds: Vec<Deed>) {
        // A keeper that stopped leaves them in the log: the next start carries them.
        let _ = self.orders.send(Order::Deeds(deeds));
    }

    fn carried(&self) -> Option<Mark> {
        self.settled.borrow().mark
    }
}

impl Casebook {
    /// Opens `cases.db` in the data directory. The [`Carrier`] is for the ledger that is
    /// opened next; what that ledger still holds goes to [`Casebook::replay`].
    pub fn open(data: &Path) -> Result<(Self, Box<dyn Carrier>), CasebookFault> {
        let path = data.join("cases.db");
        crate::store::sqlite::make_folder(data)?;
        let keeper = Keeper::open(&path)?;
        let (tell, settled) = watch::channel(Settled { mark: keeper.mark(), ..Settled::default() });
        let (orders, received) = std::sync::mpsc::sync_channel(LONGEST_QUEUE);
        let ending = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ending);
        let thread = std::thread::Builder::new()
            .name("casebook".into())
            .spawn(move || keeper.run(&received, &tell, &seen))
            .map_err(|e| CasebookFault::Thread(e.kind()))?;
        let carrier = ToCasebook { orders: orders.clone(), settled: settled.clone() };
        let inner = Inner {
            readers: Readers::new(path),
            lines: Lines::default(),
            orders: Some(orders),
            settled,
            ending,
            keeper: Some(thread),
        };
        Ok((Self { inner: Arc::new(inner) }, Box::new(carrier)))
    }

    /// Carries what the log still holds of a crashed run. Returns when it stands here.
    pub async fn replay(&self, deeds: Vec<Deed>) -> Result<(), CasebookFault> {
        let Some(last) = deeds.last().map(|deed| deed.at) else { return Ok(()) };
        self.order(Order::Deeds(deeds)).await?;
        self.settled(last).await
    }

    /// Waits until the deed at this place of the log stands here.
    pub async fn settled(&self, place: Mark) -> Result<(), CasebookFault> {
        let mut settled = self.inner.settled.clone();
        let stands = settled.wait_for(|now| now.stopped || now.mark >= Some(place));
        let seen = timeout(MOST_WAIT, stands)
            .await
            .map_err(|_| CasebookFault::Late)?
            .map_err(|_| CasebookFault::Stopped)?;
        if seen.mark >= Some(place) { Ok(()) } else { Err(CasebookFault::Stopped) }
    }

    /// Writes rows that belong to no exchange; durable on return.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), CasebookFault> {
        let (told, hear) = oneshot::channel();
        self.order(Order::Write(writes, told)).await?;
        timeout(MOST_WAIT, hear).await.map_err(|_| CasebookFault::Late)?.map_err(|_| CasebookFault::Stopped)
    }

    /// Forgets stored answers and idempotency keys that have expired (`now` in seconds).
    pub async fn sweep(&self, now: i64) -> Result<(), CasebookFault> {
        self.order(Order::Sweep(now)).await
    }

    /// Ticks with every commit.
    pub fn changes(&self) -> Changes {
        Changes(self.inner.settled.clone())
    }

    /// Nothing can be written any more in this process.
    pub fn is_stopped(&self) -> bool {
        self.inner.settled.borrow().stopped
    }

    /// Can it be written and read? Not while the keeper waits for room on the disk, nor just after a
    /// read that failed.
    pub fn is_well(&self) -> bool {
        !self.inner.settled.borrow().waiting && !self.inner.readers.failed_lately()
    }

    /// The gateway ends: a disk that is full is not waited for any more. What came with an exchange
    /// stands in the log, and the next start carries it.
    pub fn end_waiting(&self) {
        self.inner.ending.store(true, Ordering::Relaxed);
    }

    /// The right to change what hangs on `line` (a case number, a verification id): held by
    /// one task at a time, in the order they asked.
    pub async fn hold(&self, line: &str) -> Held {
        self.inner.lines.hold(line).await
    }

    async fn order(&self, order: Order) -> Result<(), CasebookFault> {
        let orders = self.inner.orders.clone().ok_or(CasebookFault::Stopped)?;
        match orders.try_send(order) {
            Ok(()) => Ok(()),
            Err(std::sync::mpsc::TrySendError::Full(order)) => {
                let sent = tokio::task::spawn_blocking(move || orders.send(order)).await;
                sent.ok().and_then(Result::ok).ok_or(CasebookFault::Stopped)
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => Err(CasebookFault::Stopped),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(orders) = self.orders.take() {
            // The carrier in the ledger's writer may live on: an order ends the thread.
            let _ = orders.send(Order::Stop);
        }
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Wakes who waits for any change of the casebook.
pub struct Changes(watch::Receiver<Settled>);

impl Changes {
    /// Returns when something was committed since the last call; `false` when nothing ever
    /// will be.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests;
