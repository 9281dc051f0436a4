//! The threads that answer partners, as the ledger's writer sees them: while one of them works,
//! more is on its way, and a commit of many costs little more than a commit of one.
//!
//! Promises: a hint for the size of a commit, nothing more; a writer that nobody tells anything
//! waits no longer than it says it will.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

/// Of a thread that gives way to those that answer partners (`nice`).
const NICENESS: i32 = 10;

/// From here on this thread gives way to those that answer partners. Where the system does not let
/// it, what it does is as good.
pub fn give_way() {
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// How many of a runtime's threads have nothing to do.
#[derive(Debug)]
pub struct Workers {
    all: usize,
    parked: AtomicUsize,
    /// The writer waits to be told that nothing more is on its way, or that this many wait.
    lingering: AtomicBool,
    enough: AtomicUsize,
    writer: OnceLock<Thread>,
}

impl Workers {
    /// The workers of the runtime that is being built, one a core.
    pub fn of(runtime: &mut Builder) -> Arc<Self> {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = Arc::new(Self {
            all,
            parked: AtomicUsize::new(0),
            lingering: AtomicBool::new(false),
            enough: AtomicUsize::new(0),
            writer: OnceLock::new(),
        });
        let (parking, unparking) = (workers.clone(), workers.clone());
        runtime.worker_threads(all).on_thread_park(move || parking.park()).on_thread_unpark(move || {
            unparking.parked.fetch_sub(1, Ordering::SeqCst);
        });
        workers
    }

    /// How many there are.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    fn park(&self) {
        if self.parked.fetch_add(1, Ordering::SeqCst) + 1 >= self.all {
            self.tell();
        }
    }

    /// So many wait for the writer now.
    pub(super) fn queued(&self, waiting: usize) {
        if waiting >= self.enough.load(Ordering::Relaxed) {
            self.tell();
        }
    }

    /// The writer need not wait any longer.
    fn tell(&self) {
        if self.lingering.load(Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Waits on the writer's thread until every worker is out of work, `enough` are `waiting` and
    /// [`Workers::queued`] said so, or `most` is over.
    pub(super) fn linger(&self, most: Duration, enough: usize, waiting: impl Fn() -> usize) {
        self.writer.get_or_init(std::thread::current);
        self.enough.store(enough, Ordering::Relaxed);
        self.lingering.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while self.parked.load(Ordering::SeqCst) < self.all && waiting() < enough {
            let Some(left) = most.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else { break };
            // Woken for nothing, it looks again.
            std::thread::park_timeout(left);
        }
        self.lingering.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Far beyond what a test waits for.
    const LONG: Duration = Duration::from_secs(600);

    fn two() -> Arc<Workers> {
        Arc::new(Workers {
            all: 2,
            parked: AtomicUsize::new(0),
            lingering: AtomicBool::new(false),
            enough: AtomicUsize::new(0),
            writer: OnceLock::new(),
        })
    }

    #[test]
    fn a_writer_waits_until_the_last_worker_is_out_of_work() {
        let workers = two();
        let (told, ended) = channel();
        let waiting = workers.clone();
        let writer = std::thread::spawn(move || {
            waiting.linger(LONG, 1, || 0);
            told.send(()).unwrap();
        });
        workers.park();
        while !workers.lingering.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert!(ended.try_recv().is_err());
        workers.park();
        ended.recv().unwrap();
        writer.join().unwrap();
    }

    #[test]
    fn a_writer_that_has_enough_does_not_wait_for_workers() {
        let workers = two();
        let have = Arc::new(AtomicUsize::new(0));
        let (waiting, counted) = (workers.clone(), have.clone());
        let writer = std::thread::spawn(move || waiting.linger(LONG, 3, || counted.load(Ordering::SeqCst)));
        while !workers.lingering.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        have.store(3, Ordering::SeqCst);
        workers.queued(3);
        writer.join().unwrap();
    }

    #[test]
    fn a_runtime_whose_tasks_all_wait_is_out_of_work() {
        let mut builder = Builder::new_multi_thread();
        let workers = Workers::of(&mut builder);
        let runtime = builder.build().unwrap();
        runtime.block_on(async { tokio::spawn(async {}).await.unwrap() });
        workers.linger(LONG, 1, || 0);
    }
}
