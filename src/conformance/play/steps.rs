//! One case, step by step: messages built, sent one by one or many at once, and their answers judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::cases::Case;
use super::super::message::{Draft, Message};
use super::super::moment::Moment;
use super::super::wire::{Answer, Silence};
use super::calls::post;
use super::judge::{Heard, Judged};
use super::{Stage, Stopped, asking};

/// Between two looks at something that must come about (a checkpoint, a delivery).
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How long a promise may take to stand under a checkpoint (clause B-9), and a little for us.
pub(super) const PROMISE: Duration = Duration::from_secs(11);
/// Messages at once in a load case: more than a default partner may send in two seconds.
const WAVE: usize = 256;

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
            return Err(Stopped::NotRun("this version plays no chains, and nobody at the target".into()));
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
                    let plain =
                        serde_json::json!({"status": expect.get("status"), "check": expect.get("check")});
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
