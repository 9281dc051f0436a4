//! The network between two gateways, spoiled: connections that are cut at random bytes, answers
//! that never arrive, lines that are slow, and a partition.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::chance::Chance;

/// One direction of the network: whoever connects to [`Wire::addr`] speaks to `to`.
#[derive(Clone)]
pub struct Wire {
    pub addr: SocketAddr,
    weather: Arc<Weather>,
    cut: watch::Sender<u64>,
}

struct Weather {
    chance: Chance,
    /// Connections get a random end; else they live as long as their ends do.
    bad: AtomicBool,
    /// Nobody gets through.
    closed: AtomicBool,
    connections: AtomicU64,
    cuts: AtomicU64,
}

/// How far one connection carries.
#[derive(Clone, Copy)]
struct Fate {
    /// Octets of the request's direction after which both ends lose the connection.
    there: u64,
    /// Octets of the answer's direction, likewise: the request arrived, its answer did not.
    back: u64,
    /// Milliseconds that every piece of an answer takes longer.
    late: u64,
}

const FOR_EVER: u64 = u64::MAX;

impl Weather {
    fn fate(&self) -> Fate {
        let clear = Fate { there: FOR_EVER, back: FOR_EVER, late: 0 };
        if !self.bad.load(Ordering::Relaxed) {
            return clear;
        }
        // A handshake is some 3 KiB there and 2 KiB back, a submit 4 KiB, a receipt 1 KiB.
        let chance = &self.chance;
        match chance.within(0..10) {
            0..=2 => Fate { there: chance.within(0..12_000), ..clear },
            3..=6 => Fate { back: chance.within(0..6_000), ..clear },
            7 => Fate { back: chance.within(2_000..10_000), late: chance.within(1..60), ..clear },
            _ => Fate { there: chance.within(12_000..100_000), ..clear },
        }
    }
}

impl Wire {
    pub async fn to(to: SocketAddr, chance: Chance) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let weather = Arc::new(Weather {
            chance,
            bad: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let (cut, heard) = watch::channel(0);
        let spoiled = Arc::clone(&weather);
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                if !spoiled.closed.load(Ordering::Relaxed) {
                    spoiled.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(carry(from, to, Arc::clone(&spoiled), heard.clone()));
                }
            }
        });
        Self { addr, weather, cut }
    }

    pub fn endpoint(&self) -> String {
        format!("https://{}", self.addr)
    }

    pub fn bad_weather(&self, bad: bool) {
        self.weather.bad.store(bad, Ordering::Relaxed);
    }

    /// What is open breaks, and nobody gets through until [`Wire::open`].
    pub fn close(&self) {
        self.weather.closed.store(true, Ordering::Relaxed);
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    pub fn open(&self) {
        self.weather.closed.store(false, Ordering::Relaxed);
    }

    /// Connections carried and connections cut by the weather.
    pub fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.weather.connections), count(&self.weather.cuts))
    }
}

async fn carry(from: TcpStream, to: SocketAddr, weather: Arc<Weather>, mut cut: watch::Receiver<u64>) {
    cut.mark_unchanged();
    let fate = weather.fate();
    let Ok(to) = TcpStream::connect(to).await else { return };
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    // Whichever ends first takes both halves with it.
    let ended = tokio::select! {
        spent = pump(from_read, to_write, fate.there, 0) => spent,
        spent = pump(to_read, from_write, fate.back, fate.late) => spent,
        _ = cut.changed() => true,
    };
    weather.cuts.fetch_add(u64::from(ended), Ordering::Relaxed);
}

/// Carries `octets`, or until an end closes; true when they were spent.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut octets: u64, late: u64) -> bool {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut piece).await else { return false };
        if count == 0 {
            return false;
        }
        let through = count.min(usize::try_from(octets).unwrap_or(usize::MAX));
        if late > 0 {
            tokio::time::sleep(Duration::from_millis(late)).await;
        }
        if to.write_all(&piece[..through]).await.is_err() {
            return false;
        }
        octets -= u64::try_from(through).unwrap();
        if octets == 0 || through < count {
            return true;
        }
    }
}
