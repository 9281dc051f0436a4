//! One case, step by step: builds what each says, sends it, and has the answer judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::cases::Case;
use super::super::message::{Draft, Message};
use super::super::moment::Moment;
use super::super::wire::{Answer, Pace, Request, Silence};
use super::judge::{Heard, Judged};
use super::{Stage, Stopped, asking, log};

/// Between two looks at something that must come about (a checkpoint, a delivery).
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How long a promise may take to stand under a checkpoint (clause B-9), and a little for us.
pub(super) const PROMISE: Duration = Duration::from_secs(11);
/// Answers that a load case waits for.
const WAVE: usize = 64;

/// A case being played: its moment, and what was heard so far.
pub(super) struct Play<'a> {
    pub stage: &'a Arc<Stage>,
    pub moment: Moment,
    pub heard: Vec<Option<Heard>>,
}

pub(super) async fn play(stage: &Arc<Stage>, case: &Case, at: i64) -> Result<(), Stopped> {
    let moment = Moment::new(Arc::clone(&stage.ground.scene), at);
    let mut play = Play { stage, moment, heard: Vec::new() };
    if case.needs.iter().any(|need| need == "submitted") {
        let submit = Draft::of(&play.moment, &"submit".into())?.build(None, None)?;
        play.exchange(&submit).await.map_err(|silence| format!("the submit before: {silence}"))?;
    }
    for (nth, step) in case.steps.iter().enumerate() {
        let done = play.step(case, step).await;
        done.map_err(|stopped| match stopped {
            Stopped::Failed(why) if case.steps.len() > 1 => {
                Stopped::Failed(format!("step {}: {why}", nth + 1))
            }
            other => other,
        })?;
    }
    Ok(())
}

impl Play<'_> {
    async fn step(&mut self, case: &Case, step: &Value) -> Result<(), Stopped> {
        let expect = step.get("expect").cloned().unwrap_or_default();
        if let Some(send) = step.get("send") {
            return self.send(send, &expect).await;
        }
        if let Some(call) = step.get("call") {
            return self.call(call, &expect).await;
        }
        if let Some(ask) = step.get("ask").and_then(Value::as_str) {
            return asking::play(self, case, ask, step.get("answer").unwrap_or(&Value::Null), &expect).await;
        }
        Err(Stopped::NotRun("the step is nothing that this version can do".into()))
    }

    async fn send(&mut self, send: &Value, expect: &Value) -> Result<(), Stopped> {
        if send.get("chain").is_some() || send.get("operator").is_some() {
            return Err(Stopped::NotRun("needs somebody at the target".into()));
        }
        let number =
            |name: &str| send.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        if let Some(many) = number("parallel") {
            return self.send_many(send, expect, many).await;
        }
        if send.get("rate").is_some() {
            return self.send_until(send, expect).await;
        }
        let message = self.message(send)?;
        let answer = self.exchange(&message).await;
        self.moment
            .bodies
            .insert(message.base.clone(), message.claims.get("body").cloned().unwrap_or_default());
        self.moment.sent.push(Some(message.clone()));
        self.heard.push(None);
        let answer = answer.map_err(|silence| format!("expected an answer, but: {silence}"))?;
        let judged = Judged { expect, answer: &answer, message: Some(&message) };
        let heard = self.judge(&judged).await?;
        self.remember(heard);
        Ok(())
    }

    pub(super) fn remember(&mut self, heard: Heard) {
        if let Some(last) = self.heard.last_mut() {
            *last = Some(heard);
        }
    }

    /// The message that a `send` describes.
    fn message(&self, send: &Value) -> Result<Message, Stopped> {
        let change = send.get("change");
        let step = |name: &str| send.get(name).and_then(Value::as_u64);
        Ok(match (send.get("base"), step("repeat"), step("renew")) {
            (Some(base), ..) => Draft::of(&self.moment, base)?.build(change, None)?,
            (_, Some(nth), _) => self.moment.step(nth)?.clone().bent(change)?,
            (.., Some(nth)) => Draft::renewed(&self.moment, self.moment.step(nth)?).build(change, None)?,
            _ => return Err(Stopped::NotRun("the step names no message".into())),
        })
    }

    async fn exchange(&self, message: &Message) -> Result<Answer, Silence> {
        self.stage.wire.call(&message.sender, &post(Bytes::from(message.body.clone()))).await
    }

    /// The same at the same moment; `expect.count` says how many of each answer.
    async fn send_many(&mut self, send: &Value, expect: &Value, many: usize) -> Result<(), Stopped> {
        let first = self.message(send)?;
        let mut messages = vec![first.clone(); many];
        if let Some(name) = send.get("share").and_then(Value::as_str) {
            let shared = first.claims.get(name).cloned().unwrap_or_default();
            for message in &mut messages {
                let base = send.get("base").cloned().unwrap_or_default();
                let draft = Draft::of(&self.moment, &base)?.with(name, shared.clone());
                *message = draft.build(send.get("change"), None)?;
            }
        }
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        for answer in self.at_once(messages).await {
            *counted.entry(word_of(&answer)).or_default() += 1;
        }
        self.moment.sent.push(Some(first));
        self.heard.push(None);
        for (word, count) in expect.get("count").and_then(Value::as_object).into_iter().flatten() {
            let found = counted.get(word).copied().unwrap_or_default();
            if Some(found) != count.as_u64() {
                return Err(format!("expected {count} × {word}, got {counted:?}").into());
            }
        }
        Ok(())
    }

    /// Connections first, so that the messages arrive together.
    async fn at_once(&self, messages: Vec<Message>) -> Vec<Result<Answer, Silence>> {
        let mut connecting = JoinSet::new();
        for message in messages {
            let stage = Arc::clone(self.stage);
            connecting.spawn(async move { (stage.wire.ready(&message.sender, false).await, message) });
        }
        let connected = connecting.join_all().await;
        let mut under_way = JoinSet::new();
        for (ready, message) in connected {
            under_way.spawn(async move { ready?.send(&post(Bytes::from(message.body))).await });
        }
        under_way.join_all().await
    }

    /// Waves of messages until one answer is as `expect.some` says.
    async fn send_until(&mut self, send: &Value, expect: &Value) -> Result<(), Stopped> {
        let expect = expect.get("some").cloned().unwrap_or_default();
        let begun = Instant::now();
        while begun.elapsed() < PROMISE {
            let messages: Result<Vec<_>, _> = (0..WAVE).map(|_| self.message(send)).collect();
            let messages = messages?;
            let first = messages.first().cloned();
            for answer in self.at_once(messages).await.into_iter().flatten() {
                let signed_too = expect.get("signed") == Some(&Value::Bool(true));
                let word = word_of(&Ok(answer.clone()));
                if expect.get("code").and_then(Value::as_str) == Some(word.as_str())
                    && (answer.header("content-type") == Some("application/problem+json")) != signed_too
                {
                    self.moment.sent.push(first);
                    self.heard.push(None);
                    let plain =
                        serde_json::json!({"status": expect.get("status"), "check": expect.get("check")});
                    let judged = Judged { expect: &plain, answer: &answer, message: None };
                    self.judge(&judged).await?;
                    return Ok(());
                }
            }
        }
        Err("the limit was never told".into())
    }

    async fn call(&mut self, call: &Value, expect: &Value) -> Result<(), Stopped> {
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
        if let Some(pace) = call.get("pace") {
            return self.paced(&identity, &request, pace, expect).await;
        }
        // What must come about within a time is looked at again until then.
        let seconds = call.get("after_seconds").and_then(Value::as_u64).map(Duration::from_secs);
        let begun = Instant::now();
        loop {
            let answer = self.stage.wire.call(&identity, &request).await;
            let judged = self.judge_call(expect, answer, message.as_ref()).await;
            match (judged, seconds) {
                (Err(Stopped::Failed(_)), Some(limit)) if begun.elapsed() < limit => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                (done, _) => return done,
            }
        }
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
        &self,
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

/// What an answer says in one word: its code, or its status.
pub(super) fn word_of(answer: &Result<Answer, Silence>) -> String {
    let Ok(answer) = answer else { return "nothing".into() };
    let payload = || super::super::unb64url(answer.text().split('.').nth(1)?);
    let value: Option<Value> =
        serde_json::from_slice(&answer.body).ok().or_else(|| serde_json::from_slice(&payload()?).ok());
    let code = value.as_ref().and_then(|v| v.get("code").or_else(|| v.pointer("/problem/code"))?.as_str());
    code.map_or_else(|| answer.status.to_string(), str::to_owned)
}
