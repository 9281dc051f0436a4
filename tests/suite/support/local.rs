//! A window system at the region's own door.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::partner::{Told, answered, hold};

/// A caller with its token, or without one.
#[derive(Clone)]
pub struct Local {
    pub door: SocketAddr,
    pub token: Option<String>,
}

impl Local {
    pub async fn post(&self, path: &str, body: &Value) -> Told {
        self.call("POST", path, &[("content-type", "application/json")], body.to_string().into()).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.call("GET", path, &[], Bytes::new()).await
    }

    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Told {
        self.try_call(method, path, headers, body).await.unwrap()
    }

    /// An error when there is no answer, or not a whole one.
    pub async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Told, String> {
        let stream = TcpStream::connect(self.door).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let (held, open) = watch::channel(());
        tokio::spawn(hold(connection, held));
        let mut request = Request::builder().method(method).uri(path).header("host", "local");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        let answer = answered(sender.send_request(request), open).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Told { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}
