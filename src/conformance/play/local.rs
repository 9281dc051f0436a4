//! The target's local door, by which the runner makes it ask.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::ConformanceFault;
use std::time::Duration;

/// Longer than any gateway waits for a partner that does not answer.
const PATIENCE: Duration = Duration::from_secs(75);

pub(super) struct LocalDoor {
    host: String,
    token: String,
}

/// Status and, where it was JSON, the body.
pub(super) struct Told {
    pub status: u16,
    pub body: Value,
}

impl LocalDoor {
    /// `door` is `http://host:port`; the runner sits where the window systems sit.
    pub(super) fn new(door: &str, token: &str) -> Result<Self, ConformanceFault> {
        let host = door.strip_prefix("http://").map(|host| host.trim_end_matches('/'));
        let host = host.filter(|host| host.contains(':') && !host.contains('/'));
        let host = host.ok_or_else(|| ConformanceFault::Address(door.to_owned()))?;
        Ok(Self { host: host.to_owned(), token: token.to_owned() })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Told, String> {
        let headers = [("content-type", "application/json".to_owned())];
        self.call("POST", path, &headers, Bytes::from(body.to_string())).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Told, String> {
        self.call("GET", path, &[], Bytes::new()).await
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<Told, String> {
        let exchange = self.exchange(method, path, headers, body);
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err("the local door does not answer".into()),
            Err(_) => Err("the local door does not answer in time".into()),
        }
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Option<Told> {
        let stream = TcpStream::connect(&self.host).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = sender.send_request(request.body(Full::new(body)).ok()?).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Told { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }
}
