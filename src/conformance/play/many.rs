//! Steps of many messages: at the same moment, as fast as they go, or one behind the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::message::{Draft, Message, put};
use super::super::wire::{Answer, Silence};
use super::super::{b64url, digest_of, sha256, unb64url};
use super::calls::post;
use super::judge::Judged;
use super::steps::{PROMISE, Play, word_of};
use super::{Stopped, trail};

/// Messages at once in a load case: more than a default partner may send in two seconds.
const WAVE: usize = 256;

/// The end of a line of events: which is the next, and what it continues.
pub(super) struct Chain {
    seq: u64,
    prev: String,
}

impl Play<'_> {
    /// The same at the same moment; `expect.count` says how many of each answer.
    pub(super) async fn send_many(
        &mut self,
        send: &Value,
        expect: &Value,
        many: usize,
    ) -> Result<(), Stopped> {
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
        let sent = messages.clone();
        let answers = self.at_once(messages).await;
        for answer in &answers {
            *counted.entry(word_of(answer)).or_default() += 1;
        }
        self.moment.sent.push(Some(first));
        self.heard.push(None);
        if let Some(some) = expect.get("some") {
            return self.one_of(some, &sent, &answers).await;
        }
        for (word, count) in expect.get("count").and_then(Value::as_object).into_iter().flatten() {
            let found = counted.get(word).copied().unwrap_or_default();
            if Some(found) != count.as_u64() {
                return Err(format!("expected {count} × {word}, got {counted:?}").into());
            }
        }
        Ok(())
    }

    /// One of the answers is as expected, by its own request.
    async fn one_of(
        &mut self,
        expect: &Value,
        sent: &[Message],
        answers: &[Result<Answer, Silence>],
    ) -> Result<(), Stopped> {
        let code = expect.get("code").and_then(Value::as_str).unwrap_or_default();
        let found = answers.iter().find(|answer| word_of(answer) == code);
        let Some(Ok(answer)) = found else {
            let words: Vec<String> = answers.iter().map(word_of).collect();
            return Err(format!("none of {} answers is {code}, but {}", sent.len(), words.join(" ")).into());
        };
        let text = answer.text();
        let claims = text.split('.').nth(1).and_then(unb64url);
        let claims: Value =
            claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
        let digest = claims.pointer("/req/digest").and_then(Value::as_str).unwrap_or_default();
        let message = sent.iter().find(|message| b64url(&sha256(&message.body)) == digest);
        self.judge(&Judged { expect, answer, message: message.or(sent.first()) }).await.map(|_| ())
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
    pub(super) async fn send_until(&mut self, send: &Value, expect: &Value) -> Result<(), Stopped> {
        let expect = expect.get("some").cloned().unwrap_or_default();
        let wanted = send.pointer("/rate/per_second").and_then(Value::as_u64).unwrap_or_default();
        let (begun, mut sent) = (Instant::now(), 0u64);
        while begun.elapsed() < PROMISE {
            let messages: Result<Vec<_>, _> = (0..WAVE).map(|_| self.message(send)).collect();
            let messages = messages?;
            let sender = messages.first().map(|message| message.sender.clone()).unwrap_or_default();
            let requests = messages.into_iter().map(|message| post(Bytes::from(message.body))).collect();
            sent += u64::try_from(WAVE).unwrap_or_default();
            let answers = self.stage.wire.burst(&sender, requests).await;
            for answer in answers.map_err(|silence| silence.to_string())? {
                let signed = answer.header("content-type") != Some("application/problem+json");
                let word = word_of(&Ok(answer.clone()));
                if expect.get("code").and_then(Value::as_str) == Some(word.as_str())
                    && expect.get("signed") == Some(&Value::Bool(signed))
                {
                    let plain = json!({"status": expect.get("status"), "check": expect.get("check")});
                    self.judge(&Judged { expect: &plain, answer: &answer, message: None }).await?;
                    return Ok(());
                }
            }
        }
        let reached = sent / begun.elapsed().as_secs().max(1);
        if reached < wanted {
            let why = format!(
                "the limit was not told at {reached} messages a second, and {wanted} were not reached"
            );
            return Err(Stopped::NotRun(why));
        }
        Err("the limit was never told".into())
    }

    /// So many events of a case, each behind the one before; the first behind the submit, or
    /// behind the last event of an earlier step.
    pub(super) async fn send_chain(
        &mut self,
        send: &Value,
        expect: &Value,
        many: u64,
    ) -> Result<(), Stopped> {
        let base = send.get("base").cloned().unwrap_or_default();
        self.moment.sent.push(None);
        self.heard.push(None);
        for _ in 0..many {
            let (seq, prev) = match &self.chain {
                Some(chain) => (chain.seq, chain.prev.clone()),
                None => {
                    let submit = self.moment.bodies.get("submit").ok_or("there was no submit before")?;
                    (1, digest_of(submit))
                }
            };
            let mut body = self.message(send)?.claims.get("body").cloned().unwrap_or_default();
            put(&mut body, "seq", seq.into());
            put(&mut body, "prev", prev.into());
            let message =
                Draft::of(&self.moment, &base)?.with("body", body).build(send.get("change"), None)?;
            self.trail.sent = Some(trail::message(&message));
            let answer = self.exchange(&message).await;
            let answer =
                answer.map_err(|silence| format!("event {seq}: expected an answer, but: {silence}"))?;
            self.judge(&Judged { expect, answer: &answer, message: Some(&message) }).await?;
            if answer.status < 300 {
                let body = message.claims.get("body").cloned().unwrap_or_default();
                self.chain = Some(Chain { seq: seq + 1, prev: digest_of(&body) });
            }
        }
        Ok(())
    }
}
