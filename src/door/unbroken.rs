//! Work that is done where it is asked for, and not lost with whoever asked.
//!
//! Promises: polled in place, so that nothing is handed to another task and back while the asker
//! waits; when the asker goes before the end, the rest runs on as a task of its own. Leaves to
//! others: what a panic costs (it is the asker's, and nothing runs on).

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that comes to its end whoever waits for it.
pub struct Unbroken<F>(Option<Pin<Box<F>>>)
where
    F: Future + Send + 'static,
    F::Output: Send;

impl<F> Unbroken<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    pub fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F> Future for Unbroken<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Out while it is polled: what panics is not taken up again. A future that ended is not
        // polled again either, as with any other.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<F> Drop for Unbroken<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        // Without a runtime the process is at its end, and every task with it.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Waits for a word, then says that it is done.
    fn work() -> (oneshot::Sender<()>, oneshot::Receiver<u8>, impl Future<Output = u8> + Send + 'static) {
        let (go, gone) = oneshot::channel();
        let (say, done) = oneshot::channel();
        let work = async move {
            gone.await.unwrap();
            say.send(7).ok();
            7
        };
        (go, done, work)
    }

    #[tokio::test]
    async fn it_is_done_in_place() {
        let (go, _done, work) = work();
        go.send(()).unwrap();
        assert_eq!(Unbroken::new(work).await, 7);
    }

    #[tokio::test]
    async fn it_is_done_although_the_asker_went_before_or_while_it_waited() {
        let (go, done, work_never_polled) = work();
        drop(Unbroken::new(work_never_polled));
        go.send(()).unwrap();
        assert_eq!(done.await, Ok(7));

        let (go, done, work) = work();
        let mut asked = Unbroken::new(work);
        let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut asked).poll(cx))).await;
        assert!(polled.is_pending());
        drop(asked);
        go.send(()).unwrap();
        assert_eq!(done.await, Ok(7));
    }

    #[tokio::test]
    async fn what_panicked_does_not_run_on() {
        let (say, said) = oneshot::channel::<()>();
        let mut asked = Unbroken::new(async move {
            let _say = say;
            panic!("for the test");
        });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _: Poll<()> = Pin::new(&mut asked).poll(&mut cx);
        }));
        assert!(caught.is_err());
        drop(asked);
        assert!(said.await.is_err(), "its parts were given back");
    }

    #[test]
    fn without_a_runtime_nothing_is_left_and_nothing_breaks() {
        drop(Unbroken::new(async {}));
    }
}
