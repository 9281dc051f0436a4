//! One case, step by step: messages built, sent one by one or many at once, and their answers judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::super::cases::Case;
use super::super::message::{Draft, Message};
use super::super::moment::Moment;
use super::super::wire::{Answer, Kept, Silence};
use super::calls::post;
use super::judge::{Heard, Judged};
use super::many::Chain;
use super::trail::{self, Trail};
use super::{Stage, Stopped, asking};

/// Between two looks at something that must come about (a checkpoint, a delivery).
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How long a promise may take to stand under a checkpoint (clause B-9), and a little for us.
pub(super) const PROMISE: Duration = Duration::from_secs(11);

/// A case being played: its moment, and what was heard so far.
pub(super) struct Play<'a> {
    pub stage: &'a Arc<Stage>,
    pub moment: Moment,
    pub heard: Vec<Option<Heard>>,
    /// A connection that stays open from step to step, and who holds it.
    pub kept: Option<(String, Kept)>,
    pub chain: Option<Chain>,
    /// Words for the operator that put right what was arranged.
    pub undo: Vec<Vec<String>>,
    pub trail: Trail,
}

/// Plays a case, and hands back what its last step was about.
pub(super) async fn play(stage: &Arc<Stage>, case: &Case, at: i64) -> (Result<(), Stopped>, Trail) {
    let moment = Moment::new(Arc::clone(&stage.ground.scene), at);
    let mut play = Play {
        stage,
        moment,
        heard: Vec::new(),
        kept: None,
        chain: None,
        undo: Vec::new(),
        trail: Trail::default(),
    };
    let done = play.all(case).await;
    let undone = play.undo().await;
    (done.and(undone), play.trail)
}

impl Play<'_> {
    async fn all(&mut self, case: &Case) -> Result<(), Stopped> {
        if case.needs.iter().any(|need| need == "submitted") {
            let submit = Draft::of(&self.moment, &"submit".into())?.build(None, None)?;
            self.exchange(&submit).await.map_err(|silence| format!("the submit before: {silence}"))?;
        }
        for (nth, step) in case.steps.iter().enumerate() {
            let expect = step.get("expect").cloned().unwrap_or_default();
            self.trail = Trail::of(nth + 1, case.steps.len(), &expect);
            let done = self.step(case, step, &expect).await;
            done.map_err(|stopped| match stopped {
                Stopped::Failed(why) if case.steps.len() > 1 => {
                    Stopped::Failed(format!("step {}: {why}", nth + 1))
                }
                other => other,
            })?;
        }
        Ok(())
    }

    async fn step(&mut self, case: &Case, step: &Value, expect: &Value) -> Result<(), Stopped> {
        if let Some(send) = step.get("send") {
            return self.send(send, expect).await;
        }
        if let Some(call) = step.get("call") {
            return self.call(call, expect).await;
        }
        if let Some(ask) = step.get("ask").and_then(Value::as_str) {
            return asking::play(self, case, ask, step.get("answer").unwrap_or(&Value::Null), expect).await;
        }
        if step.get("operator").is_some() {
            return self.arrange(step, expect).await;
        }
        Err(Stopped::NotRun("the step is nothing that this version can do".into()))
    }

    async fn send(&mut self, send: &Value, expect: &Value) -> Result<(), Stopped> {
        let number =
            |name: &str| send.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        if let Some(many) = number("parallel") {
            return self.send_many(send, expect, many).await;
        }
        if send.get("rate").is_some() {
            return self.send_until(send, expect).await;
        }
        if let Some(many) = send.get("chain").and_then(Value::as_u64) {
            return self.send_chain(send, expect, many).await;
        }
        if let Some(seconds) = send.get("wait_seconds").and_then(Value::as_u64) {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            self.moment.at = self.stage.clock.now().secs();
        }
        self.moment.sent.push(None);
        self.heard.push(None);
        // What must come about within a time is looked at again until then, each time anew.
        let limit = send.get("after_seconds").and_then(Value::as_u64).map(Duration::from_secs);
        let begun = Instant::now();
        loop {
            match (self.send_once(send, expect).await, limit) {
                (Err(Stopped::Failed(_)), Some(limit)) if begun.elapsed() < limit => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                (done, _) => return done,
            }
        }
    }

    async fn send_once(&mut self, send: &Value, expect: &Value) -> Result<(), Stopped> {
        let message = self.message(send)?;
        self.trail.sent = Some(trail::message(&message));
        let answer = self.exchange(&message).await;
        let body = message.claims.get("body").cloned().unwrap_or_default();
        self.moment.bodies.insert(message.base.clone(), body);
        if let Some(last) = self.moment.sent.last_mut() {
            *last = Some(message.clone());
        }
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
    pub(super) fn message(&self, send: &Value) -> Result<Message, Stopped> {
        let change = send.get("change");
        let step = |name: &str| send.get(name).and_then(Value::as_u64);
        Ok(match (send.get("base"), step("repeat"), step("renew")) {
            (Some(base), ..) => Draft::of(&self.moment, base)?.build(change, None)?,
            (_, Some(nth), _) => self.moment.step(nth)?.clone().bent(change)?,
            (.., Some(nth)) => Draft::renewed(&self.moment, self.moment.step(nth)?).build(change, None)?,
            _ => return Err(Stopped::NotRun("the step names no message".into())),
        })
    }

    pub(super) async fn exchange(&self, message: &Message) -> Result<Answer, Silence> {
        self.stage.wire.call(&message.sender, &post(Bytes::from(message.body.clone()))).await
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
