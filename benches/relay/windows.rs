//! Window systems in a closed loop: each hands in the next application when the last was taken.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tongban::clock::Clock;

use crate::scene::{AGREEMENT, Home, ITEM};

/// Windows with open connections.
pub struct Windows {
    senders: Vec<Window>,
    /// Applications handed in so far: none is like another.
    next: u32,
}

struct Window {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    token: String,
}

/// Latencies of one run.
pub struct Run {
    sorted: Vec<Duration>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| {
            let rank = (self.sorted.len() as f64 * share).ceil() as usize;
            self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        write!(f, "p50 / p99 / p99.9 ms: {:.1} / {:.1} / {:.1}", at(0.5), at(0.99), at(0.999))
    }
}

impl Windows {
    pub async fn open(home: &Home, windows: u16) -> Result<Self> {
        let mut senders = Vec::new();
        for _ in 0..windows {
            senders.push(Window::open(home).await?);
        }
        Ok(Self { senders, next: 0 })
    }

    /// Hands in so many applications; every one must be taken.
    pub async fn submit(&mut self, count: u32) -> Result<Run> {
        let end = self.next + count;
        let next = std::rc::Rc::new(Cell::new(self.next));
        let (local, mut loops) = (LocalSet::new(), JoinSet::new());
        for mut window in std::mem::take(&mut self.senders) {
            let next = std::rc::Rc::clone(&next);
            loops.spawn_local_on(
                async move {
                    let mut latencies = Vec::new();
                    while next.get() < end {
                        let nth = next.replace(next.get() + 1);
                        let body = application(nth).to_string();
                        let begun = Instant::now();
                        let (status, told) =
                            window.call(Method::POST, "/local/v1/applications", body.into()).await?;
                        latencies.push(begun.elapsed());
                        ensure!(status == 202, "void: answered {status}: {}", String::from_utf8_lossy(&told));
                    }
                    Ok((window, latencies))
                },
                &local,
            );
        }
        let mut sorted = Vec::new();
        let ended = local.run_until(async {
            while let Some(ended) = loops.join_next().await {
                let (window, latencies) = ended??;
                self.senders.push(window);
                sorted.extend(latencies);
            }
            anyhow::Ok(())
        });
        ended.await?;
        self.next = end;
        sorted.sort_unstable();
        Ok(Run { sorted })
    }
}

impl Window {
    async fn open(home: &Home) -> Result<Self> {
        let stream = TcpStream::connect(home.doors.local).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, authority: home.doors.local.to_string(), token: home.token.clone() })
    }

    async fn call(&mut self, method: Method, path: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// Does anything wait for its receipt?
pub async fn waits(home: &Home) -> Result<bool> {
    let mut window = Window::open(home).await?;
    let (status, told) = window.call(Method::GET, "/local/v1/parcels?state=waiting", Bytes::new()).await?;
    ensure!(status == 200, "void: answered {status}");
    let list: Value = serde_json::from_slice(&told)?;
    Ok(!list.get("parcels").and_then(Value::as_array).context("a list of parcels")?.is_empty())
}

fn application(nth: u32) -> Value {
    json!({
        "to": "421202", "item": ITEM, "basis": "consent", "purpose": "新生儿户口登记", "operator": "YH0123",
        "agreement": AGREEMENT,
        "body": {
            "mode": "multi_joint", "parent": null, "native": {"collecting": format!("YH2026{nth:09}")},
            "collecting": {"region": "331083", "place": "331083001", "org": "11331083TECT000279", "officer": "YH0123",
                           "collected_at": Clock::system().now().secs(), "identity_check": "id_card_reader"},
            "handling": {"region": "421202", "org": "11421202TECT000191"},
            "applicant": {"kind": "1", "name": "测试甲", "id_type": "111", "id_number": "42120219000101001X",
                          "mobile": "13900000000", "agent": null},
            "form": {},
            "materials": [{"code": "M2", "name": "结婚证", "evidence": "upload", "sha256": format!("{nth:064x}"),
                           "bytes": 3, "media_type": "application/pdf"}],
            "authorizations": []
        }
    })
}
