//! A whole file, read piece by piece.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at a time, and all of the file that stands in memory.
const READ_AT_ONCE: u64 = 64 * 1024;

/// A file that is here.
#[derive(Debug)]
pub struct Stored {
    file: File,
    bytes: u64,
    sent: Arc<AtomicU64>,
}

impl Stored {
    pub(super) fn new(file: File, bytes: u64, sent: Arc<AtomicU64>) -> Self {
        Self { file, bytes, sent }
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its bytes from `first` on, as an HTTP body.
    pub fn pieces_from(mut self, first: u64) -> io::Result<Pieces> {
        self.file.seek(SeekFrom::Start(first))?;
        let left = self.bytes.saturating_sub(first);
        let read = Arc::default();
        Ok(Pieces { reading: Reading::Resting(self.file), left, read, sent: self.sent })
    }
}

/// A body that reads while it is sent.
pub struct Pieces {
    reading: Reading,
    left: u64,
    read: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

enum Reading {
    Resting(File),
    Under(JoinHandle<(File, io::Result<Bytes>)>),
    Over,
}

impl Pieces {
    /// Bytes given so far; goes on counting while the body is sent.
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

fn read_piece(mut file: File, bytes: u64) -> (File, io::Result<Bytes>) {
    let mut piece = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    let read = (&mut file).take(bytes).read_to_end(&mut piece);
    (file, read.map(|_| piece.into()))
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match std::mem::replace(&mut self.reading, Reading::Over) {
                Reading::Over => return Poll::Ready(None),
                Reading::Resting(_) if self.left == 0 => return Poll::Ready(None),
                Reading::Resting(file) => {
                    let bytes = self.left.min(READ_AT_ONCE);
                    self.reading = Reading::Under(spawn_blocking(move || read_piece(file, bytes)));
                }
                Reading::Under(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        self.reading = Reading::Under(reading);
                        return Poll::Pending;
                    };
                    let (file, read) = read.map_err(io::Error::other)?;
                    let piece = read?;
                    if piece.is_empty() {
                        return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
                    }
                    self.left -= piece.len() as u64;
                    for counter in [&self.read, &self.sent] {
                        counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    }
                    self.reading = Reading::Resting(file);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
