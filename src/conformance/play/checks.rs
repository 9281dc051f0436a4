//! The named checks of the case data, on one answer.

use serde_json::{Map, Value};

use super::super::tree::{leaf_hash, open_checkpoint, open_proof};
use super::super::{b64url, sha256, unb64url};
use super::judge::{Heard, Judged};
use super::steps::Play;
use super::{Stopped, evidence, log};

/// What the scene knows of people: none of it may stand in a ledger (clause B-5).
const PERSONAL: [&str; 6] =
    ["42120219000101001X", "测试", "J331083", "13900000000", "150421190202029984", "YH0123"];
/// Marks that cases plant in values (clause R-3).
const CANARIES: [&str; 2] = ["CANARY-7310", "canary7310"];

pub(super) async fn check(
    play: &mut Play<'_>,
    check: &str,
    judged: &Judged<'_>,
    heard: &Heard,
    problem: Option<&Value>,
) -> Result<(), Stopped> {
    let (name, argument) = check.split_once(':').unwrap_or((check, ""));
    let claims = heard.claims.as_ref();
    let body: Value = serde_json::from_slice(&heard.answer.body).unwrap_or_default();
    let schemas = &play.stage.schemas;
    match name {
        "schema" => match argument {
            "response" => schemas.check(argument, claims.ok_or("the answer is not signed")?)?,
            "problem" => schemas.check(argument, problem.ok_or("there is no problem")?)?,
            "card" => schemas.check(argument, &body)?,
            _ => schemas.check(argument, heard.result().ok_or("there is no result")?)?,
        },
        "same-bytes" => {
            let before = earlier(play, argument)?;
            need(before.answer.body == heard.answer.body, "the answer is not the first one, byte for byte")?;
        }
        "same-result" => {
            let before = earlier(play, argument)?;
            need(before.result() == heard.result(), "the result is not that of the first answer")?;
        }
        "new-promise" => {
            let index = |heard: &Heard| heard.claims.as_ref()?.pointer("/log/index")?.as_u64();
            need(
                index(earlier(play, argument)?) != index(heard),
                "both answers name one place in the ledger",
            )?;
        }
        // Both are part of believing a signed answer at all.
        "status-equal" => need(claims.is_some(), "the answer is not signed")?,
        "promise" => log::promise_kept(play, judged, heard).await?,
        "no-echo" => {
            let text = heard.answer.text();
            let said = claims.map(Value::to_string).unwrap_or_default();
            let echoed = CANARIES.iter().any(|canary| text.contains(canary) || said.contains(canary));
            need(!echoed, "the answer repeats what it received")?;
            need(claims.is_some() || text.len() < 4096, "the refusal is long")?;
        }
        "no-errors" => {
            need(
                problem.is_some_and(|problem| problem.get("errors").is_none()),
                "the refusal tells of the body",
            )?;
        }
        "req-digest-only" => {
            let request =
                claims.and_then(|claims| claims.get("req")?.as_object()).ok_or("there is no req")?;
            need(request.len() == 1 && request.contains_key("digest"), "req names more than the digest")?;
        }
        "retry-after" => {
            let seconds = heard.answer.header("retry-after").and_then(|value| value.parse::<u32>().ok());
            need(seconds.is_some(), "there is no Retry-After in seconds")?;
        }
        "vkey" => {
            let at = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            need(
                at("/ledger/vkey") == play.vkey(),
                "the card's vkey is not the scene's ledger key under its origin",
            )?;
            need(at("/ledger/origin") == play.origin(), "the card's origin is not this half-year's")?;
        }
        "card-signs" => log::card_signs(play, &body).await?,
        "note" | "origin" => {
            let checkpoint = open_checkpoint(&heard.answer.text(), &play.vkey())?;
            need(checkpoint.origin == play.origin(), "the checkpoint is of another origin")?;
        }
        "consistent" => {
            let before = earlier(play, argument)?.answer.text();
            log::consistent(play, &before, &heard.answer.text()).await?;
        }
        "grown" => {
            let size = |text: &str| open_checkpoint(text, &play.vkey()).map(|checkpoint| checkpoint.size);
            let grown = size(&heard.answer.text())? > size(&earlier(play, argument)?.answer.text())?;
            need(grown, "the checkpoint has not grown over the exchange")?;
        }
        "tile" => {
            need(
                heard.answer.body.len().is_multiple_of(32) && !heard.answer.body.is_empty(),
                "the tile is not of hashes",
            )?;
        }
        "tile-root" => log::tiles_hash_to_root(play).await?,
        "inclusion" => {
            open_proof(&heard.answer.text(), &play.vkey())?;
        }
        "promised-leaf" => {
            let proof = open_proof(&heard.answer.text(), &play.vkey())?;
            let promised =
                earlier(play, argument)?.claims.as_ref().and_then(|claims| claims.pointer("/log/leaf"));
            let leaf = b64url(&leaf_hash(&proof.entry));
            need(
                promised.and_then(Value::as_str) == Some(&leaf),
                "the entry there is not the promised leaf",
            )?;
        }
        "leaf-rq" => {
            let sent = play.moment.step(argument.parse().unwrap_or_default())?.body.clone();
            let entry = entry_of(play, heard)?;
            let hash = b64url(&sha256(&sent));
            need(entry.get("rq").and_then(Value::as_str) == Some(&hash), "rq is not the request's SHA-256")?;
        }
        "leaf" => {
            let entry = entry_of(play, heard)?;
            let all = ["v", "t", "ts", "me", "peer", "x", "op", "dec", "status", "rq", "rd"];
            if let Some(missing) = all.iter().find(|name| entry.get(**name).is_none()) {
                return Err(format!("the entry has no {missing}").into());
            }
        }
        "leaf-canonical" => {
            let proof = open_proof(&heard.answer.text(), &play.vkey())?;
            let value: Value = serde_json::from_slice(&proof.entry).map_err(|_| "the entry is no JSON")?;
            let canonical = serde_json_canonicalizer::to_vec(&value).unwrap_or_default();
            need(canonical == proof.entry, "the entry is not canonical JSON")?;
        }
        "no-personal-data" => {
            let proof = open_proof(&heard.answer.text(), &play.vkey())?;
            let text = String::from_utf8_lossy(&proof.entry).into_owned();
            need(!PERSONAL.iter().any(|personal| text.contains(personal)), "the entry names somebody")?;
        }
        "leaf-member" => {
            let entry = log::promised_entry(play, judged, heard).await?;
            need(entry.get(argument).is_some(), &format!("the entry has no {argument}"))?;
        }
        "evidence" => evidence::of_this(play, judged, heard).await?,
        "recon-leaf" => super::reconcile::leaf(play, judged, heard).await?,
        "recon-lists" => super::reconcile::lists(play, argument, heard)?,
        "recon-note" | "recon-count" => {
            super::reconcile::note(play, heard.result().ok_or("there is no result")?)?;
        }
        "recon-items" => super::reconcile::items(heard.result().ok_or("there is no result")?)?,
        "witness-vkey" => {
            super::witness::vkey(&heard.answer.text(), play.moment.scene.region(play.stage.target))?;
        }
        "cosignature" => {
            let text = heard.answer.text();
            let (signed, _) = text.rsplit_once("\n\n").ok_or("the note has no empty line")?;
            super::witness::cosigned(play, &text, &format!("{signed}\n"), false).await?;
        }
        _ => return Err(Stopped::NotRun(format!("this version has no check {name}"))),
    }
    Ok(())
}

pub(super) fn leaf_has(play: &Play<'_>, members: &Map<String, Value>, heard: &Heard) -> Result<(), Stopped> {
    let entry = entry_of(play, heard)?;
    for (name, wanted) in members {
        let wanted = play.moment.fill(wanted)?;
        if entry.get(name) != Some(&wanted) {
            let found = entry.get(name).map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(format!("expected {name} of the entry to be {wanted}, got {found}").into());
        }
    }
    Ok(())
}

pub(super) fn need(holds: bool, why: &str) -> Result<(), Stopped> {
    if holds { Ok(()) } else { Err(why.into()) }
}

fn entry_of(play: &Play<'_>, heard: &Heard) -> Result<Value, Stopped> {
    let proof = open_proof(&heard.answer.text(), &play.vkey())?;
    serde_json::from_slice(&proof.entry).map_err(|_| "the entry is no JSON".into())
}

/// What an earlier step heard.
pub(super) fn earlier<'p>(play: &'p Play<'_>, nth: &str) -> Result<&'p Heard, Stopped> {
    let nth: usize = nth.parse().unwrap_or_default();
    let heard = nth.checked_sub(1).and_then(|at| play.heard.get(at)).and_then(Option::as_ref);
    heard.ok_or_else(|| Stopped::NotRun(format!("step {nth} heard nothing")))
}

/// The key that a response names in its header.
pub(super) fn kid_of(response: &str) -> Option<String> {
    let header: Value = serde_json::from_slice(&unb64url(response.split('.').next()?)?).ok()?;
    Some(header.get("kid")?.as_str()?.to_owned())
}
