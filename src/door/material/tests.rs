use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Frame;

use super::*;
use crate::clock::Now;
use crate::material::Shelf;

const NOON: Now = Now::from_secs(1_900_000_000);
const QUICK: Deadlines = Deadlines { idle: Duration::from_millis(1), in_all: Duration::from_secs(600) };

/// Plays its frames, then hangs.
struct Hanging(VecDeque<Bytes>);

impl Body for Hanging {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.pop_front().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
    }
}

async fn deposit(shelf: &Shelf) -> Deposit {
    let arrival = Arrival {
        depositor: Depositor::Local,
        digest: MaterialDigest::of(b"abcdef"),
        piece: Piece::Whole,
        bytes: None,
        body: None,
    };
    match shelf.begin(arrival, NOON).await {
        Ok(Begun::Deposit(deposit)) => deposit,
        _ => panic!("refused"),
    }
}

fn abc() -> Hanging {
    Hanging([Bytes::from_static(b"abc")].into())
}

#[tokio::test]
async fn a_silent_sender_is_given_up() {
    let root = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(&root.path().join("materials"), NOON).unwrap();
    let mut deposit = deposit(&shelf).await;
    assert!(matches!(pump(abc(), &mut deposit, QUICK, || true).await, Err(Unmet::Slow)));
    let all = Deadlines { idle: Duration::from_secs(600), in_all: Duration::from_millis(1) };
    assert!(matches!(pump(abc(), &mut deposit, all, || true).await, Err(Unmet::Slow)));
}

#[tokio::test]
async fn who_may_no_longer_send_is_stopped_in_the_middle() {
    let root = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(&root.path().join("materials"), NOON).unwrap();
    let mut deposit = deposit(&shelf).await;
    let stopped = pump(abc(), &mut deposit, QUICK, || false).await;
    assert!(matches!(stopped, Err(Unmet::Refused(Refusal { code: Code::NotAMember, .. }))));
}

#[test]
fn how_much_is_here_stands_in_range() {
    let range = |have| so_far(StatusCode::ACCEPTED, have).headers().get(header::RANGE).cloned();
    assert_eq!(range(0), None);
    assert_eq!(range(100).unwrap(), "bytes=0-99");
}
