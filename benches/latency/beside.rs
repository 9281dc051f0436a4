//! What goes on beside the load: somebody asks whether the gateway lives and what its log says,
//! and partners that are slow on purpose.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tongban::clock::Clock;
use tongban::config::Config;

use crate::crowd::{Crowd, SILENT};
use crate::drive::{micros, sorted};
use crate::load::line::{Line, Protocol};

const HEALTH_EVERY: Duration = Duration::from_millis(20);
const LOG_EVERY: Duration = Duration::from_millis(100);
/// Connections of one partner that send their messages so slowly, and that read nothing.
const SLOW_SENDERS: usize = 40;
const SLOW_BYTE_EVERY: Duration = Duration::from_millis(100);
const SLOW_READERS: usize = 8;
/// Answers that a slow reader has asked for: more than the system's buffers hold.
const UNREAD: usize = 4_000;
/// Questions of the region's own windows to a partner that accepts and never answers.
const SILENT_QUESTIONS: usize = 40;

/// The region's own door.
pub struct Own {
    door: SocketAddr,
    token: String,
}

impl Own {
    pub fn of(crowd: &Crowd) -> Result<Self> {
        let home = &crowd.scene.home;
        let config =
            Config::load(&home.join("gateway.toml")).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        let token = std::fs::read_to_string(home.join("keys/local.token"))?.trim().to_owned();
        Ok(Self { door: config.local_listener.context("there is a local door")?.listen, token })
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.door).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn get(&self, path: &str) -> Result<Bytes> {
        get(&mut self.connect().await?, path).await
    }

    /// The counters of `/metrics`, by name with labels.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let text = self.get("/metrics").await?;
        let text = std::str::from_utf8(&text)?;
        let figures = text.lines().filter(|line| !line.starts_with('#'));
        Ok(figures
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// Asks `/healthz` all the time; microseconds of each.
    pub async fn watch_health(&self) -> Result<Watch> {
        let mut sender = self.connect().await?;
        Ok(Watch::begin(|ended| async move {
            let mut asked = Asked::default();
            while !ended.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answered = get(&mut sender, "/healthz").await.map(drop);
                asked.note(began, &answered);
                tokio::time::sleep(HEALTH_EVERY).await;
            }
            asked
        }))
    }
}

async fn get(sender: &mut http1::SendRequest<Full<Bytes>>, path: &str) -> Result<Bytes> {
    sender.ready().await?;
    let request = hyper::Request::get(path).header("host", "gateway").body(Full::default())?;
    let answer = sender.send_request(request).await?;
    ensure!(answer.status() == 200, "{path}: {}", answer.status());
    Ok(answer.into_body().collect().await?.to_bytes())
}

/// Something that is asked again and again until it is told to end.
pub struct Watch {
    asking: JoinHandle<Asked>,
    ended: Arc<AtomicBool>,
}

/// Microseconds of every answer; `failed` counts those that were none.
#[derive(Default)]
pub struct Asked {
    pub took: Vec<u32>,
    pub failed: u64,
}

impl Watch {
    fn begin<F: Future<Output = Asked> + Send + 'static>(asking: impl FnOnce(Arc<AtomicBool>) -> F) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        Self { asking: tokio::spawn(asking(ended.clone())), ended }
    }

    pub async fn end(self) -> Result<Asked> {
        self.ended.store(true, Ordering::Relaxed);
        let Asked { took, failed } = self.asking.await?;
        Ok(Asked { took: sorted(took.into_iter()), failed })
    }
}

impl Asked {
    fn note(&mut self, began: Instant, answered: &Result<()>) {
        match answered {
            Ok(()) => self.took.push(micros(began.elapsed())),
            Err(_) => self.failed += 1,
        }
    }
}

/// Asks for the newest checkpoint all the time, as a partner does.
pub async fn watch_log(crowd: &Crowd) -> Result<Watch> {
    let line = Line::new(&crowd.scene.tls, crowd.scene.addr, Protocol::H1, 1)?.open().await?;
    let (mut senders, authority) = (line.senders, line.authority);
    let origin = tongban::ledger::current_origin(crowd.scene.answering, Clock::system().now());
    let path = format!("/v1/log/{origin}/checkpoint");
    Ok(Watch::begin(|ended| async move {
        let mut asked = Asked::default();
        while !ended.load(Ordering::Relaxed) {
            let began = Instant::now();
            let answered = async {
                let request = hyper::Request::get(&path).body(Full::default())?;
                let answer = senders.first_mut().context("one")?.send(request, &authority).await?;
                ensure!(answer.status() == 200, "{}", answer.status());
                answer.into_body().collect().await?;
                Ok(())
            };
            let answered = answered.await;
            asked.note(began, &answered);
            tokio::time::sleep(LOG_EVERY).await;
        }
        asked
    }))
}

/// Partners that are slow in every way there is, until this goes.
pub struct Slow(Vec<JoinHandle<()>>);

impl Slow {
    pub async fn begin(crowd: &Crowd, own: &Own) -> Result<Self> {
        let mut tasks = Vec::new();
        let slow = Line::new(&crowd.scene.tls, crowd.scene.addr, Protocol::H1, 1)?;
        for _ in 0..SLOW_SENDERS {
            let mut stream = slow.secured().await?;
            tasks.push(tokio::spawn(async move {
                let head = b"POST /v1/exchange HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/tongban-request+jwt\r\ncontent-length: 2600\r\n\r\n";
                let _ = stream.write_all(head).await;
                while stream.write_all(b"e").await.is_ok() && stream.flush().await.is_ok() {
                    tokio::time::sleep(SLOW_BYTE_EVERY).await;
                }
            }));
        }
        for _ in 0..SLOW_READERS {
            let mut stream = slow.secured().await?;
            tasks.push(tokio::spawn(async move {
                let asked = b"GET /v1/card HTTP/1.1\r\nhost: gateway\r\n\r\n".repeat(UNREAD);
                // Ends when the gateway stops reading, which is what is wanted.
                let _ = stream.write_all(&asked).await;
                std::future::pending::<()>().await;
            }));
        }
        let silence = TcpListener::bind(crowd.silent.doors.partner).await?;
        tasks.push(tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = silence.accept().await {
                held.push(stream);
            }
        }));
        for _ in 0..SILENT_QUESTIONS {
            let (mut sender, token) = (own.connect().await?, own.token.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    let request = hyper::Request::post(format!("/local/v1/partners/{SILENT}/ping"))
                        .header("host", "gateway")
                        .header("content-type", "application/json")
                        .header("authorization", format!("Bearer {token}"))
                        .body(Full::new(Bytes::from_static(b"{}")));
                    let Ok(request) = request else { return };
                    if sender.ready().await.is_err() || sender.send_request(request).await.is_err() {
                        return;
                    }
                }
            }));
        }
        Ok(Self(tasks))
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
