//! The bytes under an HTTP/1.1 connection: they tell the pulse when a head begins, and
//! they end politely.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::pulse::Pulse;

/// After our last byte we listen on for so long and so much. Closing over unread bytes makes
/// TCP send a reset, which can take our answer ("too large") from the one still sending.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 2 * 1024 * 1024;

/// (HTTP/2 needs neither: a ping is no request, and a stream is refused by itself.)
pub(super) struct Heard<S> {
    stream: S,
    pulse: Arc<Pulse>,
    lingering: Option<Lingering>,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, lingering: None }
    }
}

impl<S: AsyncRead + Unpin> Heard<S> {
    /// Reads and forgets until the other side closes, within the limits above.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Lingering { until: Box::pin(sleep(LINGER)), bytes_left: LINGER_BYTES });
        let mut scratch = [0; 4096];
        loop {
            if lingering.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            let bytes = buf.filled().len();
            if read.is_err() || bytes == 0 || bytes > lingering.bytes_left {
                return Poll::Ready(());
            }
            lingering.bytes_left -= bytes;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.pulse.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_linger(cx).map(Ok)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::Instant;

    use super::super::Limits;
    use super::*;

    #[tokio::test]
    async fn what_is_still_coming_is_read_before_the_end() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let pulse = Pulse::new(Instant::now(), &Limits::default(), 0);
        let mut heard = Heard::new(ours, pulse);
        let sender = async {
            theirs.write_all(&[b'x'; 50_000]).await.unwrap(); // more than fits without a reader
            drop(theirs);
        };
        let (ended, ()) = tokio::join!(heard.shutdown(), sender);
        ended.unwrap();
    }
}
