//! What comes back to `ledger.reconcile`: a countersigned note, or items (clauses W-5 to W-11).

use serde_json::Value;

use super::super::keys::{ed25519_holds, key_id};
use super::super::{unb64, unb64url};
use super::Stopped;
use super::checks::need;
use super::steps::Play;

/// Characters of an item of 81 bytes.
const ITEM: usize = 108;

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
