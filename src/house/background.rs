//! Threads for what nobody waits for at a window: comparing ledgers with partners, counting hours.
//!
//! Promises: they give way to the threads that answer partners, so that catching up after a burst
//! slows nobody down; what was begun is ended before the house goes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use crate::ledger::give_way;

/// Two may read a window's leaves ([`crate::reconcile::Book::place`]); a short question passes them.
const THREADS: usize = 3;

/// Works that may wait: rounds with partners and their proposals, each with one at a time, are far fewer.
const LONGEST_LINE: usize = 1_024;

type Work = Box<dyn FnOnce() + Send>;

/// The threads, and the line before them.
pub struct Background {
    line: Option<SyncSender<Work>>,
    threads: Vec<JoinHandle<()>>,
}

/// The work did not come to its end, or too much waits before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was interrupted")]
pub struct Interrupted;

impl Background {
    pub fn begin() -> io::Result<Self> {
        let (line, works) = sync_channel(LONGEST_LINE);
        let works = Arc::new(Mutex::new(works));
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            let works = works.clone();
            threads.push(Builder::new().name("background".into()).spawn(move || work(&works))?);
        }
        Ok(Self { line: Some(line), threads })
    }

    /// Does `work` when its turn has come. Who stops waiting has it done all the same.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let (tell, told) = oneshot::channel();
        let work: Work = Box::new(move || drop(tell.send(work())));
        self.line.as_ref().and_then(|line| line.try_send(work).ok()).ok_or(Interrupted)?;
        told.await.map_err(|_| Interrupted)
    }
}

fn work(works: &Mutex<Receiver<Work>>) {
    give_way();
    loop {
        let next = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // Who waits for it is told that it was interrupted; the thread goes on with the next.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.line.take());
        let own = std::thread::current().id();
        // The house may go with the last of its works.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != own) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_below_the_threads_that_answer_partners() {
        let background = Background::begin().unwrap();
        let here = rustix::process::getpriority_process(None).unwrap();
        let there = background.run(|| rustix::process::getpriority_process(None).unwrap()).await.unwrap();
        // Whoever runs the tests may have been told to give way already.
        assert!(there >= here.max(10), "{there}, and {here} here");
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_next_work_is_done() {
        let background = Background::begin().unwrap();
        for _ in 0..2 * THREADS {
            assert_eq!(background.run(|| panic!("on purpose")).await, Err::<(), _>(Interrupted));
        }
        assert_eq!(background.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn the_line_has_an_end() {
        use std::future::Future as _;
        let background = Background::begin().unwrap();
        let (go, hear) = std::sync::mpsc::channel::<()>();
        let hear = Arc::new(Mutex::new(hear));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut refused = 0;
        for _ in 0..LONGEST_LINE + 2 * THREADS {
            let hear = hear.clone();
            let mut running = Box::pin(background.run(move || drop(hear.lock().map(|hear| hear.recv()))));
            refused += usize::from(running.as_mut().poll(&mut context).is_ready());
        }
        assert!((THREADS..=2 * THREADS).contains(&refused), "{refused}");
        drop(go);
    }

    #[tokio::test]
    async fn what_was_begun_is_ended_before_the_house_goes() {
        let background = Background::begin().unwrap();
        let (begun, wait) = (Arc::new(tokio::sync::Notify::new()), std::sync::mpsc::channel::<()>());
        let (done, told) = (begun.clone(), std::sync::mpsc::channel());
        let (go, hear, tell) = (wait.0, wait.1, told.0);
        let running = background.run(move || {
            done.notify_one();
            let _ = hear.recv();
            let _ = tell.send(());
        });
        let mut running = Box::pin(running);
        tokio::select! {
            _ = &mut running => unreachable!("it waits"),
            () = begun.notified() => {}
        }
        drop(running);
        go.send(()).unwrap();
        drop(background);
        assert!(told.1.try_recv().is_ok());
    }
}
