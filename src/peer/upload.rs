//! Files to a partner: `PUT /v1/materials/{sha256}` (protocol §2), each on a connection of
//! its own, so that 50 MiB never stand before a lookup.
//!
//! Promises: the partner is asked first what it has, and gets only the rest; a transfer that
//! is cut goes on where the partner says it stopped; the file passes through in pieces; every
//! wait ends. Leaves to others: when to try again later.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_RANGE, HOST, HeaderMap, HeaderName, HeaderValue, RANGE};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response};
use tokio::time::{Instant, timeout_at};

use super::client::{PartnerClients, SendFault};
use super::connection::{Link, Partner, failed, speak_http1, speak_http2, speaks_http2};
use crate::domain::Region;
use crate::json;
use crate::material::{MaterialDigest, MaterialFault, Pieces, Shelf};

/// Silence in the middle of a file, the partner's own patience (protocol §2 leaves it open).
const IDLE: Duration = Duration::from_secs(30);
/// A file's whole time, all its rounds: 50 MiB at 90 kB/s.
const IN_ALL: Duration = Duration::from_secs(600);
/// How often a cut transfer is taken up again at once; what is cut more often is the
/// courier's to try later.
const ROUNDS: usize = 3;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Delivered,
    /// It was there before.
    Already,
    /// The partner knows no application of ours that names it, yet.
    Unknown,
    Refused {
        status: u16,
        /// The problem's code, if it looks like one; unsigned, so a hint.
        code: Option<String>,
        /// Seconds.
        retry_after: Option<u32>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutFault {
    #[error("{0}")]
    Send(#[from] SendFault),
    #[error("{0}")]
    File(#[from] MaterialFault),
}

type Body = Either<Pieces, Empty<Bytes>>;

enum Line {
    Http1(Link<http1::SendRequest<Body>>),
    Http2(Link<http2::SendRequest<Body>>),
}

/// How a round went that did not fail.
enum Round {
    Ended(Put),
    /// The partner has less than we thought, or has dropped what it had.
    Again {
        from_the_start: bool,
    },
}

/// What was answered to one request.
struct Told {
    status: u16,
    /// Bytes that the partner has, from `Range`.
    have: Option<u64>,
    code: Option<String>,
    retry_after: Option<u32>,
}

impl PartnerClients {
    /// Brings a file from the shelf to a partner.
    pub async fn put_material(
        &self,
        to: Region,
        digest: &MaterialDigest,
        shelf: &Shelf,
    ) -> Result<Put, PutFault> {
        let deadline = Instant::now() + IN_ALL;
        let partner = self.partner(to)?;
        let place = timeout_at(deadline, partner.places().files.acquire_owned()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(SendFault::Busy)?;
        let upload = Upload { partner: &partner, digest, shelf, deadline };
        let put = upload.run().await;
        if !matches!(put, Err(PutFault::File(_))) {
            self.note(to, put.is_ok());
        }
        put
    }
}

struct Upload<'a> {
    partner: &'a Partner,
    digest: &'a MaterialDigest,
    shelf: &'a Shelf,
    deadline: Instant,
}

impl Upload<'_> {
    async fn run(&self) -> Result<Put, PutFault> {
        let mut from_the_start = false;
        let mut last = PutFault::Send(SendFault::Broken);
        for _ in 0..ROUNDS {
            match self.round(from_the_start).await {
                Ok(Round::Ended(put)) => return Ok(put),
                Ok(Round::Again { from_the_start: again }) => from_the_start = again,
                Err(PutFault::Send(fault)) if fault.maybe_sent() => last = fault.into(),
                Err(fault) => return Err(fault),
            }
        }
        Err(last)
    }

    async fn round(&self, from_the_start: bool) -> Result<Round, PutFault> {
        let stored = self.shelf.read(self.digest).await?;
        let total = stored.bytes();
        let mut line = self.dial().await?;
        let mut have = 0;
        if !from_the_start {
            let range = format!("bytes */{total}");
            let asked =
                self.put(&mut line, Some(range), Either::Right(Empty::new()), &AtomicU64::new(0)).await?;
            have = match asked.status {
                200 => return Ok(Round::Ended(Put::Already)),
                // The last byte had come, only the end was missing.
                201 => return Ok(Round::Ended(Put::Delivered)),
                202 | 416 => asked.have.unwrap_or(0).min(total),
                // A partner that does not know the question gets the file from the start.
                400 | 411 | 422 | 501 => 0,
                _ => return Ok(Round::Ended(asked.refused())),
            };
        }
        let pieces = stored.pieces_from(have).map_err(MaterialFault::from)?;
        let progress = pieces.progress();
        let range = match total.checked_sub(1) {
            Some(last) if (1..=last).contains(&have) => Some(format!("bytes {have}-{last}/{total}")),
            _ => None,
        };
        let told = self.put(&mut line, range, Either::Left(pieces), &progress).await?;
        Ok(match told.status {
            200 => Round::Ended(Put::Already),
            201 => Round::Ended(Put::Delivered),
            202 | 416 => Round::Again { from_the_start: false },
            // What the partner had before was not the beginning of this file.
            422 if have > 0 => Round::Again { from_the_start: true },
            _ => Round::Ended(told.refused()),
        })
    }

    async fn dial(&self) -> Result<Line, SendFault> {
        let dial = async {
            let stream = self.partner.dial().await?;
            Ok(if speaks_http2(&stream) {
                Line::Http2(speak_http2(stream).await?)
            } else {
                Line::Http1(speak_http1(stream).await?)
            })
        };
        timeout_at(self.deadline, dial).await.unwrap_or(Err(SendFault::ConnectTimeout))
    }

    async fn put(
        &self,
        line: &mut Line,
        range: Option<String>,
        body: Body,
        progress: &AtomicU64,
    ) -> Result<Told, SendFault> {
        let request = self.request(line, range, body).ok_or(SendFault::Path)?;
        match line {
            Line::Http2(link) => {
                let sent = link.sender.try_send_request(request);
                match self.while_it_moves(sent, progress).await? {
                    Ok(response) => self.told(response).await,
                    Err(mut e) => {
                        Err(failed(e.take_message().is_some(), e.error(), &mut link.end).await.fault())
                    }
                }
            }
            Line::Http1(link) => {
                link.sender.ready().await.map_err(|_| SendFault::Broken)?;
                let sent = link.sender.try_send_request(request);
                match self.while_it_moves(sent, progress).await? {
                    Ok(response) => self.told(response).await,
                    Err(mut e) => {
                        Err(failed(e.take_message().is_some(), e.error(), &mut link.end).await.fault())
                    }
                }
            }
        }
    }

    fn request(&self, line: &Line, range: Option<String>, body: Body) -> Option<Request<Body>> {
        let path: PathAndQuery = format!("/v1/materials/{}", self.digest).parse().ok()?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::PUT;
        let mut headers = HeaderMap::new();
        *request.uri_mut() = match line {
            Line::Http2(_) => self.partner.absolute_uri(path)?,
            Line::Http1(_) => {
                headers.insert(HOST, self.partner.host()?);
                path.into()
            }
        };
        headers.insert(CONTENT_DIGEST, HeaderValue::try_from(self.digest.content_digest()).ok()?);
        if let Some(range) = range {
            headers.insert(CONTENT_RANGE, HeaderValue::try_from(range).ok()?);
        }
        *request.headers_mut() = headers;
        Some(request)
    }

    /// Waits as long as the file goes on leaving.
    async fn while_it_moves<T>(
        &self,
        waiting: impl Future<Output = T>,
        progress: &AtomicU64,
    ) -> Result<T, SendFault> {
        let mut waiting = pin!(waiting);
        let mut seen = progress.load(Ordering::Relaxed);
        loop {
            let due = self.deadline.min(Instant::now() + IDLE);
            if let Ok(done) = timeout_at(due, &mut waiting).await {
                return Ok(done);
            }
            let now = progress.load(Ordering::Relaxed);
            if now == seen || due == self.deadline {
                return Err(SendFault::Timeout);
            }
            seen = now;
        }
    }

    async fn told(&self, response: Response<Incoming>) -> Result<Told, SendFault> {
        let have = response.headers().get(RANGE).and_then(|range| present(range.to_str().ok()?));
        let read = timeout_at(self.deadline.min(Instant::now() + IDLE), self.partner.read(response)).await;
        let answer = read.map_err(|_| SendFault::Timeout)?.map_err(super::connection::Failed::fault)?;
        Ok(Told { status: answer.status, have, code: code_of(&answer.body), retry_after: answer.retry_after })
    }
}

impl Told {
    fn refused(self) -> Put {
        match self.status {
            404 => Put::Unknown,
            _ => Put::Refused { status: self.status, code: self.code, retry_after: self.retry_after },
        }
    }
}

/// `bytes=0-<last>`: how many bytes are there.
fn present(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=0-")?.parse::<u64>().ok()?.checked_add(1)
}

/// Letters of the longest code with room to spare; what is longer is none of ours.
const LONGEST_CODE: usize = 40;

fn code_of(body: &[u8]) -> Option<String> {
    let problem = json::parse(body).ok()?;
    let code = problem.get("code")?.as_str()?;
    let plain = code.len() <= LONGEST_CODE && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    plain.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_partner_has_is_read_from_its_range() {
        assert_eq!(present("bytes=0-99"), Some(100));
        for odd in ["bytes=1-99", "bytes=0-", "0-99", "bytes=0-18446744073709551615"] {
            assert_eq!(present(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_what_looks_like_a_code_is_kept_of_a_problem() {
        assert_eq!(code_of(br#"{"code":"too-large"}"#).as_deref(), Some("too-large"));
        assert_eq!(code_of("{\"code\":\"请\"}".as_bytes()), None);
        assert_eq!(code_of(b"<html>"), None);
    }
}
