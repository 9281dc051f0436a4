//! What comes back to `ledger.reconcile`: a countersigned note, or items (clauses W-5 to W-11).

use serde_json::Value;

use super::super::keys::{ed25519_holds, key_id};
use super::super::tree::open_proof;
use super::super::{b64url, digest_of, sha256, unb64, unb64url};
use super::Stopped;
use super::checks::{earlier, need};
use super::judge::{Heard, Judged};
use super::steps::Play;

/// Characters of an item of 81 bytes.
const ITEM: usize = 108;
/// How far from the answer's own leaf the window's is looked for: others write between the two.
const AROUND: u64 = 64;

/// The note says what the suite said, and the target's ledger key has signed it.
pub(super) fn note(play: &Play<'_>, result: &Value) -> Result<(), Stopped> {
    let note = result.get("note").and_then(Value::as_str).and_then(unb64url);
    let note = note.and_then(|note| String::from_utf8(note).ok()).ok_or("the result is no note")?;
    let (text, lines) = note.rsplit_once("\n\n").ok_or("the note has no empty line")?;
    need(text.starts_with("exchange-recon/v1\n"), "the note is of another kind")?;
    let text = format!("{text}\n");
    let signed = |member: &str| {
        let name = play.moment.scene.origin(member, play.moment.at);
        let key = play.moment.scene.keys.get(&format!("{member}-ledger"))?;
        let id = key_id(&name, &[&[1], key.raw_public().as_slice()].concat());
        let line = lines.lines().find_map(|line| line.strip_prefix(&format!("\u{2014} {name} ")))?;
        let blob = unb64(line)?;
        let signature = blob.strip_prefix(&id)?;
        ed25519_holds(&key.raw_public(), text.as_bytes(), signature).then_some(())
    };
    need(
        signed("asking").is_some() && signed("answering").is_some(),
        "the note has not both sides' signatures",
    )
}

/// Items of 81 bytes, in the order of their bytes.
pub(super) fn items(result: &Value) -> Result<(), Stopped> {
    let items = result.get("items").and_then(Value::as_array).ok_or("the result is no items")?;
    let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
    let bytes: Vec<_> = items.iter().filter_map(|item| unb64url(item)).collect();
    need(
        items.iter().all(|item| item.len() == ITEM) && bytes.len() == items.len(),
        "an item is not of 81 bytes",
    )?;
    need(bytes.is_sorted(), "the items are not in order")?;
    need(result.get("more").is_some_and(Value::is_boolean), "nothing says whether more items follow")
}

/// The target's `recon` leaf says what both signed (clause W-13).
pub(super) async fn leaf(play: &Play<'_>, judged: &Judged<'_>, heard: &Heard) -> Result<(), Stopped> {
    let note = heard.result().and_then(|result| result.get("note")?.as_str()).and_then(unb64url);
    let digest = b64url(&sha256(&note.ok_or("the result is no note")?));
    let index = heard.claims.as_ref().and_then(|claims| claims.pointer("/log/index")?.as_u64());
    let index = index.ok_or("the answer has no promise")?;
    let asker = judged.message.map(|message| message.sender.clone()).unwrap_or_default();
    // Once the answer's own leaf is served, those before it are too.
    play.entry(&asker, index).await?;
    for index in (index.saturating_sub(AROUND)..=index + 1).rev() {
        let answer = play.get(&asker, &format!("/v1/log/{}/entry/{index}", play.origin())).await?;
        if answer.status != 200 {
            continue;
        }
        let entry = open_proof(&answer.text(), &play.vkey())?.entry;
        let entry: Value = serde_json::from_slice(&entry).map_err(|_| "an entry is no JSON")?;
        if entry.get("t").is_some_and(|kind| kind == "recon")
            && entry.get("rd") == Some(&digest.clone().into())
        {
            need(
                entry.get("code").is_some_and(|code| code == "agreed"),
                "the recon leaf does not say agreed",
            )?;
            return need(entry.get("n").is_some_and(Value::is_u64), "the recon leaf has no count");
        }
    }
    Err("no recon leaf with this note's SHA-256 is served near the answer's own".into())
}

/// The items hold that of an exchange before (clause W-8): id, request, result, outcome.
pub(super) fn lists(play: &Play<'_>, nth: &str, heard: &Heard) -> Result<(), Stopped> {
    let before = play.moment.step(nth.parse().unwrap_or_default())?;
    let result = earlier(play, nth)?.result().ok_or("the exchange before had no result")?;
    let id = before.claims.get("jti").and_then(Value::as_str).unwrap_or_default();
    let told = unb64url(&digest_of(result)).unwrap_or_default();
    let id = sha256(id.as_bytes());
    let item = [id.get(..16).unwrap_or_default(), &sha256(&before.body), &told, &[1]].concat();
    let items = heard.result().and_then(|result| result.get("items")?.as_array());
    let listed = items.into_iter().flatten().any(|listed| listed.as_str() == Some(&b64url(&item)));
    need(listed, "the exchange that the suite left out is not among the items")
}
