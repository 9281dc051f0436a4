//! Steps that are other HTTP requests than a message: paths, headers, certificates, silences.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::super::message::{Draft, Message};
use super::super::wire::{Answer, Pace, Request, Silence};
use super::judge::Judged;
use super::steps::{LOOK_AGAIN, PROMISE, Play};
use super::{Stopped, log, trail};

impl Play<'_> {
    pub(super) async fn call(&mut self, call: &Value, expect: &Value) -> Result<(), Stopped> {
        if call.get("checkpoint").is_some() {
            return super::witness::play(self, call, expect).await;
        }
        let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
        let identity = text("as").to_owned();
        match text("tls") {
            "1.2" => {
                let accepted =
                    self.stage.wire.accepts_tls12().await.map_err(|silence| silence.to_string())?;
                return if accepted { Err("TLS 1.2 was accepted".into()) } else { Ok(()) };
            }
            "resume" => {
                let request = self.request(call, &mut None).await?;
                let resumed = self.stage.wire.resumes(&identity, &request).await;
                return match resumed.map_err(|silence| silence.to_string())? {
                    true => Err("the session was resumed".into()),
                    false => Ok(()),
                };
            }
            _ => {}
        }
        let mut message = None;
        let request = self.request(call, &mut message).await?;
        self.moment.sent.push(message.clone());
        self.heard.push(None);
        self.trail.sent = Some(trail::request(&identity, &request));
        if let Some(pace) = call.get("pace") {
            return self.paced(&identity, &request, pace, expect).await;
        }
        // What must come about within a time is looked at again until then.
        let seconds = call.get("after_seconds").and_then(Value::as_u64).map(Duration::from_secs);
        let begun = Instant::now();
        loop {
            let answer = match text("connection") {
                "kept" => self.on_kept(&identity, &request).await,
                _ => self.stage.wire.call(&identity, &request).await,
            };
            let judged = self.judge_call(expect, answer, message.as_ref()).await;
            match (judged, seconds) {
                (Err(Stopped::Failed(_)), Some(limit)) if begun.elapsed() < limit => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                (done, _) => return done,
            }
        }
    }

    /// On the connection that this case keeps, opened by its first such step.
    async fn on_kept(&mut self, identity: &str, request: &Request) -> Result<Answer, Silence> {
        if self.kept.as_ref().is_none_or(|(holder, _)| holder != identity) {
            let kept = self.stage.wire.kept(identity).await?;
            self.kept = Some((identity.to_owned(), kept));
        }
        let (_, kept) = self.kept.as_mut().ok_or(Silence::Closed)?;
        kept.call(request).await
    }

    async fn judge_call(
        &mut self,
        expect: &Value,
        answer: Result<Answer, Silence>,
        message: Option<&Message>,
    ) -> Result<(), Stopped> {
        let refused = expect.get("handshake").is_some_and(|word| word == "refused");
        let answer = match answer {
            Err(Silence::Closed) if refused => return Ok(()),
            Err(silence) => return Err(format!("expected an answer, but: {silence}").into()),
            Ok(answer) => answer,
        };
        let expect = match (refused, expect.get("or")) {
            (true, Some(or)) => or,
            (true, None) => return Err(format!("answered with {}", answer.status).into()),
            _ => expect,
        };
        let heard = self.judge(&Judged { expect, answer: &answer, message }).await?;
        self.remember(heard);
        Ok(())
    }

    async fn paced(
        &mut self,
        identity: &str,
        request: &Request,
        pace: &Value,
        expect: &Value,
    ) -> Result<(), Stopped> {
        let bytes = |name: &str| pace.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let pace = match (bytes("stop_after"), bytes("cut_after")) {
            (Some(bytes), _) => Pace::StopAfter(bytes),
            (_, Some(bytes)) => Pace::CutAfter(bytes),
            _ => return Err(Stopped::NotRun("an unknown pace".into())),
        };
        let seconds = expect.get("within_seconds").and_then(Value::as_u64);
        let limit = seconds.map_or(PROMISE, Duration::from_secs);
        let heard = self.stage.wire.paced(identity, request, pace, limit).await;
        let heard = heard.map_err(|silence| silence.to_string())?;
        self.trail.came = heard.status.map(|status| format!("{status}\n\n{}", heard.body));
        let wanted = expect.get("status").or_else(|| expect.pointer("/or/status")).and_then(Value::as_u64);
        match heard.status {
            Some(status) if wanted == Some(status.into()) => {}
            Some(status) => return Err(format!("answered with {status}").into()),
            None if expect.get("answered") != Some(&Value::Bool(false)) => {
                return Err("no answer came".into());
            }
            None if !heard.closed => return Err(format!("still open after {} s", limit.as_secs()).into()),
            None => return Ok(()),
        }
        match expect.get("code").and_then(Value::as_str) {
            Some(code) if !heard.body.contains(&format!("\"{code}\"")) => {
                Err(format!("expected the code {code}").into())
            }
            _ => Ok(()),
        }
    }

    /// The HTTP request that a `call` describes.
    async fn request(&self, call: &Value, message: &mut Option<Message>) -> Result<Request, Stopped> {
        let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        let body = match call.get("body") {
            None => Bytes::new(),
            Some(body) => {
                if let Some(bytes) = body.get("fill").and_then(Value::as_u64) {
                    Bytes::from(vec![b'A'; usize::try_from(bytes).unwrap_or_default()])
                } else if let Some(words) = body.get("text").and_then(Value::as_str) {
                    Bytes::from(self.moment.file(words))
                } else {
                    let base = body.get("base").cloned().unwrap_or_default();
                    let built = Draft::of(&self.moment, &base)?.build(body.get("change"), None)?;
                    Bytes::from(message.insert(built).body.clone())
                }
            }
        };
        let path = text("path");
        if path == "/v1/exchange" && text("method") == "POST" {
            headers.insert("content-type".to_owned(), REQUEST.to_owned());
        }
        for (name, value) in call.get("headers").and_then(Value::as_object).into_iter().flatten() {
            match value.as_str() {
                Some(value) => headers.insert(name.clone(), self.moment.digest_header(value)),
                None => headers.remove(name),
            };
        }
        Ok(Request {
            method: text("method"),
            path: log::path(self, &path).await?,
            headers: headers.into_iter().collect(),
            body,
            chunked: call.get("chunked") == Some(&Value::Bool(true)),
            http2: text("alpn") == "h2",
        })
    }
}

const REQUEST: &str = "application/tongban-request+jwt";

pub(super) fn post(body: Bytes) -> Request {
    let headers = vec![("content-type".to_owned(), REQUEST.to_owned())];
    Request { method: "POST".into(), path: "/v1/exchange".into(), headers, body, ..Request::default() }
}
