//! Requests that stop, or end, in the middle.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Request, Silence, Wire};

/// Most of an answer that is kept (bytes): a problem is far smaller.
const MOST: usize = 64 * 1024;

/// How far a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing after so many bytes of the body; 0: not even a head.
    StopAfter(usize),
    /// The connection is cut after so many bytes.
    CutAfter(usize),
}

/// What was heard, and when it ended.
#[derive(Clone, Debug)]
pub struct Heard {
    pub status: Option<u16>,
    pub body: String,
    /// The other side ended the connection within the limit.
    pub closed: bool,
    pub after: Duration,
}

impl Wire {
    pub async fn paced(
        &self,
        identity: &str,
        request: &Request,
        pace: Pace,
        limit: Duration,
    ) -> Result<Heard, Silence> {
        let mut stream = self.tls(identity, false).await?;
        let begun = Instant::now();
        let (stop, cut) = match pace {
            Pace::StopAfter(bytes) => (bytes, false),
            Pace::CutAfter(bytes) => (bytes, true),
        };
        if stop > 0 {
            let mut text = format!("{} {} HTTP/1.1\r\nhost: target\r\n", request.method, request.path);
            for (name, value) in &request.headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            if !request.headers.iter().any(|(name, _)| name == "content-length") {
                text.push_str(&format!("content-length: {}\r\n", request.body.len()));
            }
            text.push_str("\r\n");
            let mut bytes = text.into_bytes();
            bytes.extend_from_slice(request.body.get(..stop.min(request.body.len())).unwrap_or_default());
            // A door that has already refused may close while we write: what it said is read below.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
        }
        if cut {
            let (tcp, _) = stream.into_inner();
            drop(tcp);
            return Ok(Heard { status: None, body: String::new(), closed: true, after: begun.elapsed() });
        }
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        let closed = loop {
            let Some(left) = limit.checked_sub(begun.elapsed()) else { break false };
            match tokio::time::timeout(left, stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(read)) => heard.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(_) => break false,
            }
            if heard.len() > MOST || whole(&heard) {
                break true;
            }
        };
        let text = String::from_utf8_lossy(&heard);
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok(Heard { status, body, closed, after: begun.elapsed() })
    }
}

/// Whether the answer has come to its end, by its length.
fn whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}
