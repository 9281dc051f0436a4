//! One connection: its HTTP version, its limits, its requests, its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::heard::Heard;
use super::pulse::{Pulse, Verdict};
use super::{Answer, ConnInfo, Limits, ListenerStats, Shutdown, bare, count, refuse_odd, stopped};

/// Headers of one request; ours has about eight.
const MOST_HEADERS: usize = 64;
/// Bytes of one head, request line included; on HTTP/2 as its SETTINGS count them.
const HEAD: u32 = 16 * 1024;
/// Bytes that HTTP/1.1 reads ahead. Not the head's limit: the buffer grows in leaps and
/// may take a head past it.
const HTTP1_BUFFER: usize = 32 * 1024;
/// Bytes a stream may send before its service read any.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams of a connection.
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of answers a stream may have waiting for a slow reader.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;
/// Streams reset before we took them up (rapid reset, CVE-2023-44487), then GOAWAY.
const HTTP2_RESETS_PENDING: usize = 20;
/// Streams a peer's own errors made us reset (made-you-reset, CVE-2025-8671), then GOAWAY.
const HTTP2_RESETS_OURS: usize = 100;
/// A half-dead peer is noticed within the sum of these two.
const HTTP2_PING: Duration = Duration::from_secs(20);
const HTTP2_PONG: Duration = Duration::from_secs(10);
/// An idle connection that was asked to leave has this long to do it.
const IDLE_LEAVE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

pub(super) struct Http<'a, F> {
    pub(super) limits: &'a Limits,
    pub(super) stats: &'a Arc<ListenerStats>,
    pub(super) service: &'a F,
    pub(super) accepted: Instant,
}

impl<F, Fut> Http<'_, F>
where
    F: Fn(Request<Incoming>, Arc<ConnInfo>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    pub(super) async fn serve<S>(self, stream: S, protocol: Protocol, caller: ConnInfo, shutdown: Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let [spread, _] = caller.remote().port().to_be_bytes();
        let pulse = Pulse::new(self.accepted, self.limits, spread);
        let caller = Arc::new(caller);
        let service = {
            let (service, stats, pulse) = (self.service.clone(), Arc::clone(self.stats), Arc::clone(&pulse));
            service_fn(move |request: Request<Incoming>| {
                let busy = pulse.begin();
                let (service, stats, caller) = (service.clone(), Arc::clone(&stats), Arc::clone(&caller));
                async move {
                    let answer = answer(request, caller, &service, &stats).await;
                    drop(busy);
                    Ok::<_, Infallible>(answer)
                }
            })
        };
        let end = match protocol {
            Protocol::Http1 => {
                let stream = TokioIo::new(Heard::new(stream, Arc::clone(&pulse)));
                let connection = http1_settings(self.limits).serve_connection(stream, service);
                drive(connection, http1::Connection::graceful_shutdown, &pulse, self.limits, shutdown).await
            }
            Protocol::Http2 => {
                let connection = http2_settings(self.limits).serve_connection(TokioIo::new(stream), service);
                drive(connection, http2::Connection::graceful_shutdown, &pulse, self.limits, shutdown).await
            }
        };
        if end == End::Cut {
            count(&self.stats.timed_out);
        }
    }
}

fn http1_settings(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // hyper's clock for heads runs through idle time too; ours (`Pulse`) tells them
        // apart and is shorter. This one stays as the second lock.
        .header_read_timeout(limits.idle.max(limits.header))
        .max_headers(MOST_HEADERS)
        .max_header_size(HEAD as usize)
        .max_buf_size(HTTP1_BUFFER)
        .half_close(false);
    http
}

fn http2_settings(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEAD)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING)
        .max_local_error_reset_streams(HTTP2_RESETS_OURS)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PONG);
    http
}

/// One request to its answer; whatever the service does, there is one.
async fn answer<F, Fut>(
    request: Request<Incoming>,
    caller: Arc<ConnInfo>,
    service: &F,
    stats: &ListenerStats,
) -> Answer
where
    F: Fn(Request<Incoming>, Arc<ConnInfo>) -> Fut,
    Fut: Future<Output = Answer>,
{
    if let Some(status) = refuse_odd(&request) {
        count(&stats.odd_requests);
        let mut refusal = bare(status);
        if request.version() < Version::HTTP_2 {
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        return refusal;
    }
    let unread_closes = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
    let served = PanicCaught(Box::pin(async { service(request, caller).await }));
    let mut answer = served.await.unwrap_or_else(|Panicked| {
        count(&stats.panics);
        tracing::error!("a request's service panicked");
        bare(StatusCode::INTERNAL_SERVER_ERROR)
    });
    // An HTTP/1.1 connection ends where a body was left unread: the client must hear it, or
    // its next request dies with the connection.
    if unread_closes && answer.extensions().get::<BodyRead>().is_none() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// An answer given after the whole request body was read carries this among its extensions.
#[derive(Clone, Copy)]
pub struct BodyRead;

/// A future whose panic is a value. In place rather than in a task of its own: a stream
/// that is reset takes its work with it, or resets would multiply work.
struct PanicCaught<F>(Pin<Box<F>>);

struct Panicked;

impl<F: Future> Future for PanicCaught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself, or after it was asked to.
    Left,
    Cut,
}

/// Runs a connection to its end and watches its pulse: after every turn of the connection
/// the deadline is what its state of that moment says.
async fn drive<C: Future>(
    connection: C,
    wind_down: impl Fn(Pin<&mut C>),
    pulse: &Pulse,
    limits: &Limits,
    mut shutdown: Shutdown,
) -> End {
    let mut connection = pin!(connection);
    let mut stop = pin!(stopped(&mut shutdown));
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut leave_by: Option<Instant> = None;
    poll_fn(|cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Left);
            }
            let now = Instant::now();
            let grace = match (leave_by, pulse.verdict(now)) {
                (_, Verdict::Cut) => return Poll::Ready(End::Cut),
                (Some(by), _) if by <= now => return Poll::Ready(End::Cut),
                (None, _) if stop.as_mut().poll(cx).is_ready() => {
                    if pulse.in_flight() {
                        limits.drain
                    } else {
                        IDLE_LEAVE
                    }
                }
                (None, Verdict::WindDown) if pulse.in_flight() => limits.drain,
                (None, Verdict::WindDown) => IDLE_LEAVE,
                (leave_by, verdict) => {
                    let silence = match verdict {
                        Verdict::Patience(due) => Some(due),
                        Verdict::WindDown | Verdict::Cut => None,
                    };
                    let due = [leave_by, silence].into_iter().flatten().min();
                    if wakes_by(alarm.as_mut(), due, cx) {
                        return Poll::Pending;
                    }
                    continue;
                }
            };
            leave_by = Some(now + grace);
            wind_down(connection.as_mut());
        }
    })
    .await
}

/// Sets the alarm to `due` if it would ring later or rang already; false if it rings now.
fn wakes_by(mut alarm: Pin<&mut tokio::time::Sleep>, due: Option<Instant>, cx: &mut Context<'_>) -> bool {
    let Some(due) = due else { return true };
    if alarm.deadline() > due || alarm.is_elapsed() {
        alarm.as_mut().reset(due);
    }
    // An alarm that rings early costs one look at the pulse.
    alarm.poll(cx).is_pending()
}
