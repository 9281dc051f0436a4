//! A request's body, into a buffer that cannot grow past its limit.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::timeout;

/// A body's whole time (protocol §2).
pub const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// What is reserved on a sender's mere word for its length.
const FIRST_RESERVE: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body is larger than its limit")]
    TooLarge,
    #[error("the body did not arrive in time")]
    Timeout,
    #[error("the body ended before its end")]
    Broken,
}

/// The whole body, at most `limit` bytes, within `deadline` from now. Too long a body is
/// known as soon as it says its length, else as soon as it passes it.
pub async fn collect_body<B>(body: B, limit: usize, deadline: Duration) -> Result<Bytes, BodyFault>
where
    B: Body<Data = Bytes>,
{
    let mut collecting = pin!(collect(body, limit));
    // Mostly it came with its head: then no clock is set.
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(collecting.as_mut().poll(cx))).await {
        return done;
    }
    timeout(deadline, collecting).await.unwrap_or(Err(BodyFault::Timeout))
}

async fn collect<B>(body: B, limit: usize) -> Result<Bytes, BodyFault>
where
    B: Body<Data = Bytes>,
{
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > limit {
        return Err(BodyFault::TooLarge);
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyFault::Broken)?.into_data() else { continue };
        if first.len() + more.len() + data.len() > limit {
            return Err(BodyFault::TooLarge);
        }
        if first.is_empty() && more.is_empty() {
            first = data; // most messages are one frame: no copy
        } else {
            if more.is_empty() {
                more.reserve(
                    told.clamp(first.len() + data.len(), FIRST_RESERVE.max(first.len() + data.len())),
                );
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::Context;

    use hyper::body::Frame;

    use super::*;

    /// Plays its frames, then ends or hangs.
    struct Played(VecDeque<Bytes>, bool);

    impl Body for Played {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None if self.1 => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn played(frames: &[&'static str], hangs: bool) -> Played {
        Played(frames.iter().map(|f| Bytes::from_static(f.as_bytes())).collect(), hangs)
    }

    #[tokio::test]
    async fn a_body_is_whole_or_a_fault() {
        let collect = |frames: &'static [&'static str], limit| {
            collect_body(played(frames, false), limit, BODY_DEADLINE)
        };
        assert_eq!(collect(&[], 0).await, Ok(Bytes::new()));
        assert_eq!(collect(&["abc"], 3).await, Ok(Bytes::from_static(b"abc")));
        assert_eq!(collect(&["a", "", "bc", "d"], 4).await, Ok(Bytes::from_static(b"abcd")));
        assert_eq!(collect(&["abc", "d"], 3).await, Err(BodyFault::TooLarge));
        assert_eq!(collect(&["abcd"], 3).await, Err(BodyFault::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_says_it_is_too_long_is_not_read() {
        let body = http_body_util::Full::new(Bytes::from_static(b"abcd"));
        assert_eq!(collect_body(body, 3, BODY_DEADLINE).await, Err(BodyFault::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_hangs_is_given_up() {
        assert_eq!(
            collect_body(played(&["a"], true), 9, Duration::from_millis(1)).await,
            Err(BodyFault::Timeout)
        );
    }
}
