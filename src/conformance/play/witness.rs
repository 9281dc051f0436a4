//! The target as a witness: checkpoints of a log that the runner keeps as the asking member.
//!
//! A witness remembers. So a case's sizes count from what the target has seen of this log so
//! far; the tree's leaves are made from their numbers, so that every run goes on in one tree.

use std::sync::Mutex;

use bytes::Bytes;
use serde_json::Value;

use super::super::keys::{ed25519_holds, key_id};
use super::super::tree::{Hash, consistency, leaf_hash, sign_checkpoint};
use super::super::wire::{Answer, Request};
use super::super::{b64, unb64};
use super::Stopped;
use super::checks::need;
use super::steps::Play;

/// What the witness has stored, as far as the runner knows.
#[derive(Default)]
pub(super) struct Logs(Mutex<u64>);

impl Logs {
    fn stored(&self) -> u64 {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn now(&self, size: u64) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = size;
    }
}

/// Entry n is the decimal text of n; in a fork, the third entry from `base` on is another.
fn leaves(size: u64, fork: Option<u64>) -> Vec<Hash> {
    let entry = |nth: u64| if fork == Some(nth) { format!("{nth}'") } else { nth.to_string() };
    (0..size).map(|nth| leaf_hash(entry(nth).as_bytes())).collect()
}

pub(super) async fn play(play: &mut Play<'_>, call: &Value, expect: &Value) -> Result<(), Stopped> {
    // Where a case begins, everything before counts as nothing.
    if play.heard.is_empty() && play.moment.sent.is_empty() {
        learn(play).await?;
    }
    let base = match play.heard.len() {
        0 => play.stage.witness.stored(),
        _ => play.moment.bodies.get("witness-base").and_then(Value::as_u64).unwrap_or_default(),
    };
    play.moment.bodies.insert("witness-base".into(), base.into());
    let wanted = call.get("checkpoint").cloned().unwrap_or_default();
    let size = base + wanted.get("size").and_then(Value::as_u64).unwrap_or_default();
    let (body, text) = body(play, &wanted, base)?;
    let answer = post(play, body).await?;
    play.moment.sent.push(None);
    play.heard.push(None);
    let status = expect.get("status").and_then(Value::as_u64);
    if status != Some(answer.status.into()) {
        return Err(format!("expected {}, got {}", status.unwrap_or_default(), answer.status).into());
    }
    if answer.status == 200 {
        play.stage.witness.now(size);
    }
    for (name, value) in expect.get("headers").and_then(Value::as_object).into_iter().flatten() {
        need(answer.header(name) == value.as_str(), &format!("the header {name} is another"))?;
    }
    if let Some(said) = expect.get("body").and_then(Value::as_str) {
        // Only a size is ever expected.
        let size: u64 = said.trim().parse().unwrap_or_default();
        need(answer.text() == format!("{}\n", base + size), "the stored size is not told")?;
    }
    for check in expect.get("check").and_then(Value::as_array).into_iter().flatten() {
        cosigned(play, &answer.text(), &text, check == "cosignature-time").await?;
    }
    Ok(())
}

/// Finds out what the target has seen in runs before.
async fn learn(play: &Play<'_>) -> Result<(), Stopped> {
    let stored = play.stage.witness.stored();
    let wanted = serde_json::json!({"old": 0, "size": 1});
    if stored > 0 {
        return Ok(());
    }
    let (body, _) = body(play, &wanted, 0)?;
    let answer = post(play, body).await?;
    match answer.status {
        200 => play.stage.witness.now(1),
        409 => play.stage.witness.now(answer.text().trim().parse().unwrap_or_default()),
        status => return Err(format!("a first checkpoint is answered with {status}").into()),
    }
    Ok(())
}

async fn post(play: &Play<'_>, body: String) -> Result<Answer, Stopped> {
    let request = Request {
        method: "POST".into(),
        path: "/v1/log/add-checkpoint".into(),
        body: Bytes::from(body),
        ..Request::default()
    };
    play.stage.wire.call("asking", &request).await.map_err(|silence| silence.to_string().into())
}

/// The request, and the text that is to be cosigned.
fn body(play: &Play<'_>, wanted: &Value, base: u64) -> Result<(String, String), Stopped> {
    let number = |name: &str| wanted.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| wanted.get(name).and_then(Value::as_str);
    let (old, size) = (base + number("old"), base + number("size"));
    let own = play.moment.scene.origin("asking", play.moment.at);
    let origin = text("origin").unwrap_or(&own);
    let key = |name: &str| {
        play.moment.scene.keys.get(name).ok_or_else(|| Stopped::NotRun(format!("there is no key {name}")))
    };
    let mut signers = vec![(origin, key(text("signed_by").unwrap_or("asking-ledger"))?)];
    if let Some(other) = text("also_signed_by") {
        signers.push((other, key(other)?));
    }
    let tree = leaves(size, (text("tree") == Some("forked")).then_some(base + 2));
    let note = sign_checkpoint(origin, &tree, &signers, text("signature") == Some("flip"));
    if let Some(raw) = text("raw") {
        let pad = "A".repeat(usize::try_from(number("pad")).unwrap_or_default());
        return Ok((format!("{}{pad}", raw.replace("{note}", &note)), note));
    }
    let mut proof: Vec<String> =
        consistency(usize::try_from(old).unwrap_or_default(), &tree).iter().map(|hash| b64(hash)).collect();
    if text("proof") == Some("flip")
        && let Some(first) = proof.first_mut()
    {
        *first = b64(&leaf_hash(b"another"));
    }
    let filler = b64(&leaf_hash(b"one too many"));
    proof.extend(std::iter::repeat_n(filler, usize::try_from(number("hashes")).unwrap_or_default()));
    let proof: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
    let signed = note.rsplit_once("\n\n").map(|(text, _)| format!("{text}\n")).unwrap_or_default();
    Ok((format!("old {old}\n{proof}\n{note}"), signed))
}

/// Name, key id and public key of a witness's verifier key (clause W-2).
pub(super) fn vkey(text: &str, region: &str) -> Result<(String, [u8; 4], Vec<u8>), Stopped> {
    let line = text.trim_end_matches('\n');
    let parts = line.split_once('+').and_then(|(name, rest)| Some((name, rest.split_once('+')?)));
    let (name, (id, typed)) = parts.ok_or("the witness's verifier key is none")?;
    let typed = unb64(typed).ok_or("the witness's verifier key is not base64")?;
    let fits = hex::encode(key_id(name, &typed)) == id && typed.len() == 33 && typed.first() == Some(&4);
    need(fits && !line.contains('\n'), "the witness's verifier key is not one line of type 0x04")?;
    need(name == format!("tongban/{region}/w1"), "the witness has another name")?;
    Ok((name.to_owned(), key_id(name, &typed), typed.get(1..).unwrap_or_default().to_vec()))
}

/// Clause W-2: a line of the target's witness key over the text, at a time that is now.
pub(super) async fn cosigned(play: &Play<'_>, note: &str, text: &str, at_now: bool) -> Result<(), Stopped> {
    let key = play.get("asking", "/v1/witness").await?;
    let (name, id, public) = vkey(&key.text(), play.moment.scene.region(play.stage.target))?;
    let lines = note.lines().filter_map(|line| line.strip_prefix("\u{2014} ")?.split_once(' '));
    let blob =
        lines.filter(|(by, _)| *by == name).find_map(|(_, blob)| unb64(blob).filter(|b| b.starts_with(&id)));
    let blob = blob.ok_or("there is no line of the witness's key")?;
    let timed = blob.get(4..).unwrap_or_default();
    let (time, signature) = timed.split_first_chunk::<8>().ok_or("the cosignature is too short")?;
    let seconds = i64::try_from(u64::from_be_bytes(*time)).unwrap_or_default();
    let signed = format!("cosignature/v1\ntime {seconds}\n{text}");
    need(ed25519_holds(&public, signed.as_bytes(), signature), "the cosignature does not hold")?;
    need(
        !at_now || (seconds - play.stage.clock.now().secs()).abs() <= 30,
        "the cosignature's time is not now",
    )
}
