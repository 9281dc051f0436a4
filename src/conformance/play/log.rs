//! What a target serves of its ledger: promises, entries, tiles and checkpoints over time.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::super::message::Draft;
use super::super::tree::{Checkpoint, Hash, leaf_hash, open_checkpoint, open_proof, root};
use super::super::wire::{Answer, Request};
use super::super::{b64url, sha256};
use super::Stopped;
use super::calls::post;
use super::checks::{kid_of, need};
use super::judge::{Heard, Judged};
use super::steps::{LOOK_AGAIN, PROMISE, Play};

/// Hashes in a full tile.
const TILE: u64 = 256;

impl Play<'_> {
    /// The name of the target's ledger now.
    pub(super) fn origin(&self) -> String {
        self.moment.scene.origin(self.stage.target, self.moment.at)
    }

    /// The verifier key of the target's ledger now.
    pub(super) fn vkey(&self) -> String {
        let key = self.moment.scene.keys.get(&format!("{}-ledger", self.stage.target));
        key.map(|key| key.vkey(&self.origin())).unwrap_or_default()
    }

    /// Who asks for the ledger where nobody else is said.
    fn partner(&self) -> &'static str {
        if self.stage.target == "asking" { "answering" } else { "asking" }
    }

    pub(super) async fn get(&self, identity: &str, path: &str) -> Result<Answer, Stopped> {
        let request = Request { method: "GET".into(), path: path.to_owned(), ..Request::default() };
        self.stage.wire.call(identity, &request).await.map_err(|silence| silence.to_string().into())
    }

    async fn checkpoint(&self) -> Result<Checkpoint, Stopped> {
        let answer = self.get(self.partner(), &format!("/v1/log/{}/checkpoint", self.origin())).await?;
        need(answer.status == 200, "there is no checkpoint")?;
        Ok(open_checkpoint(&answer.text(), &self.vkey())?)
    }

    /// Every leaf hash below `size`, from tiles of level 0.
    async fn leaves(&self, size: u64) -> Result<Vec<Hash>, Stopped> {
        let mut hashes = Vec::new();
        let (full, rest) = (size / TILE, size % TILE);
        for nth in 0..full + u64::from(rest > 0) {
            let width = if nth < full { String::new() } else { format!(".p/{rest}") };
            let path = format!("/v1/log/{}/tile/0/{}{width}", self.origin(), tile_name(nth));
            let answer = self.get(self.partner(), &path).await?;
            need(answer.status == 200, "a tile below the checkpoint is not served")?;
            for hash in answer.body.chunks(32) {
                hashes.push(hash.try_into().map_err(|_| "a tile is not of hashes")?);
            }
        }
        need(
            u64::try_from(hashes.len()) == Ok(size),
            "the tiles have not as many hashes as the checkpoint says",
        )?;
        Ok(hashes)
    }

    /// The entry at an index, once a checkpoint covers it.
    pub(super) async fn entry(&self, identity: &str, index: u64) -> Result<Answer, Stopped> {
        let path = format!("/v1/log/{}/entry/{index}", self.origin());
        let begun = Instant::now();
        loop {
            let answer = self.get(identity, &path).await?;
            if answer.status == 200 || begun.elapsed() > PROMISE {
                return Ok(answer);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// `x001/234`: three digits a group.
fn tile_name(nth: u64) -> String {
    let mut groups = vec![format!("{:03}", nth % 1000)];
    let mut rest = nth / 1000;
    while rest > 0 {
        groups.insert(0, format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.join("/")
}

/// A path of the case data with its places filled in. An entry's path waits until its owner gets it.
pub(super) async fn path(play: &Play<'_>, path: &str) -> Result<String, Stopped> {
    let asker = play.moment.scene.origin(play.partner(), play.moment.at);
    let mut filled = path
        .replace("{origin}", &play.origin())
        .replace("{origin-hash}", &hex::encode(sha256(asker.as_bytes())));
    if filled.contains("tile/0/000.p/{width}") {
        // The last tile, whatever the ledger has become meanwhile.
        let size = play.checkpoint().await?.size;
        let (nth, width) = ((size.saturating_sub(1)) / TILE, (size.saturating_sub(1)) % TILE + 1);
        let width = if width == TILE { String::new() } else { format!(".p/{width}") };
        filled = filled.replace("000.p/{width}", &format!("{}{width}", tile_name(nth)));
    }
    if let Some((before, rest)) = filled.clone().split_once("{index:")
        && let Some((nth, after)) = rest.split_once('}')
    {
        let nth: usize = nth.parse().unwrap_or_default();
        let heard = nth.checked_sub(1).and_then(|at| play.heard.get(at)).and_then(Option::as_ref);
        let index = heard.and_then(|heard| heard.claims.as_ref()?.pointer("/log/index")?.as_u64());
        let index = index.ok_or("the step before has no promise")?;
        let sender = play.moment.step(nth.try_into().unwrap_or_default())?.sender.clone();
        let answer = play.entry(&sender, index).await?;
        need(answer.status == 200, "the promised entry is not served within 10 s")?;
        filled = format!("{before}{index}{after}");
    }
    if let Some((before, rest)) = filled.clone().split_once("{sha256:")
        && let Some((text, after)) = rest.split_once('}')
    {
        filled = format!("{before}{}{after}", hex::encode(sha256(play.moment.file(text).as_bytes())));
    }
    Ok(filled)
}

/// Clause B-9: the promised leaf stands at its index, under a checkpoint, within 10 s.
pub(super) async fn promise_kept(play: &Play<'_>, judged: &Judged<'_>, heard: &Heard) -> Result<(), Stopped> {
    let (entry, leaf) = promised(play, judged, heard).await?;
    need(b64url(&leaf_hash(&entry)) == leaf, "the entry at the promised index is another leaf")
}

pub(super) async fn promised_entry(
    play: &Play<'_>,
    judged: &Judged<'_>,
    heard: &Heard,
) -> Result<Value, Stopped> {
    let (entry, _) = promised(play, judged, heard).await?;
    serde_json::from_slice(&entry).map_err(|_| "the entry is no JSON".into())
}

async fn promised(play: &Play<'_>, judged: &Judged<'_>, heard: &Heard) -> Result<(Vec<u8>, String), Stopped> {
    let promise = heard.claims.as_ref().and_then(|claims| claims.get("log")).ok_or("there is no promise")?;
    let text = |name: &str| promise.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    need(text("origin") == play.origin(), "the promise is in another ledger")?;
    let index = promise.get("index").and_then(Value::as_u64).ok_or("the promise has no index")?;
    let sender = judged.message.map_or_else(|| play.partner().to_owned(), |message| message.sender.clone());
    let answer = play.entry(&sender, index).await?;
    need(answer.status == 200, "the promised entry is not served within 10 s")?;
    let proof = open_proof(&answer.text(), &play.vkey())?;
    need(proof.index == index, "the proof is of another index")?;
    Ok((proof.entry, text("leaf")))
}

pub(super) async fn tiles_hash_to_root(play: &Play<'_>) -> Result<(), Stopped> {
    let checkpoint = play.checkpoint().await?;
    let leaves = play.leaves(checkpoint.size).await?;
    need(root(&leaves) == checkpoint.root, "the tiles do not hash to the checkpoint's root")
}

/// Clause B-3: the later checkpoint is of the tree that the earlier one was of.
pub(super) async fn consistent(play: &Play<'_>, before: &str, after: &str) -> Result<(), Stopped> {
    let (before, after) = (open_checkpoint(before, &play.vkey())?, open_checkpoint(after, &play.vkey())?);
    need(before.size <= after.size, "the checkpoint went back")?;
    let leaves = play.leaves(after.size).await?;
    let earlier = usize::try_from(before.size).ok().and_then(|size| leaves.get(..size)).unwrap_or_default();
    need(
        root(&leaves) == after.root && root(earlier) == before.root,
        "the two checkpoints are not of one tree",
    )
}

/// Clause C-1: the card lists the key that signs.
pub(super) async fn card_signs(play: &Play<'_>, card: &Value) -> Result<(), Stopped> {
    let ping = Draft::of(&play.moment, &"ping".into())?.build(None, None)?;
    let answer = play.stage.wire.call(&ping.sender, &post(Bytes::from(ping.body))).await;
    let kid =
        kid_of(&answer.map_err(|silence| silence.to_string())?.text()).ok_or("ping got no signed answer")?;
    let keys = card.pointer("/jwks/keys").and_then(Value::as_array).into_iter().flatten();
    let listed = keys.into_iter().any(|key| key.get("kid").and_then(Value::as_str) == Some(&kid));
    need(listed, "the key that signs is not on the card")
}
