//! What a log's tree is held against: the checkpoints that its key signed, kept, published or
//! kept by somebody else, and whose word it is that the key is the log's.

use std::path::Path;
use std::time::Duration;

use super::super::checkpoint::Checkpoint;
use super::super::leaf::{Leaf, LeafHash, RESTORED};
use super::super::note::Vkey;
use super::super::tile_files::TileFiles;
use super::super::tree::{Hash, sha256};
use super::{Finding, FindingKind, KeySource, relative};
use crate::store::sqlite::SqliteHeads;
use crate::store::{Head, Shard};

/// Where the gateway keeps what it has signed.
const STATE: &str = "ledger/state.db";
/// What somebody else kept has no file here.
const ELSEWHERE: &str = "(kept elsewhere 他处留存)";
/// How often, and how long apart, a published checkpoint is looked at until it has caught up
/// with the signed one: three seconds, the gateway takes milliseconds.
const PUBLISH_LOOKS: u32 = 30;
const PUBLISH_LOOK: Duration = Duration::from_millis(100);

/// The end of a log, which the next one's first leaf names.
pub(super) struct End {
    pub(super) origin: String,
    /// SHA-256 of the final checkpoint note.
    pub(super) note: Hash,
}

/// A checkpoint waiting for the walk to reach its size.
pub(super) struct Awaited {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) file: String,
}

pub(super) fn choose_key(
    origin: &str,
    given: Option<[u8; 32]>,
    genesis: Option<&Leaf>,
    findings: &mut Vec<Finding>,
    shard: Shard,
    before: Option<&End>,
) -> (Option<Vkey>, KeySource) {
    let file = || format!("ledger/{shard}");
    if let (Some(end), Some(leaf)) = (before, genesis) {
        // After a restore the end that is named is not here: witnesses have it.
        let cut_off = leaf.code.as_deref() == Some(RESTORED) && leaf.past.is_some() && leaf.ck.is_some();
        let named = leaf.past.as_deref() == Some(&end.origin) && leaf.ck == Some(LeafHash(end.note));
        if !named && !cut_off {
            findings.push(Finding::new(FindingKind::ChainBroken, file()).at(origin, 0));
        }
    }
    let named = genesis.and_then(|leaf| Vkey::parse(leaf.vkey.as_deref()?).ok());
    let given = given.and_then(|public| Vkey::new(origin, public));
    match (given, named) {
        (Some(given), named) => {
            if named.is_some_and(|named| named != given) {
                findings.push(Finding::new(FindingKind::KeyDiffers, file()).at(origin, 0));
            }
            (Some(given), KeySource::Given)
        }
        (None, Some(named)) => (Some(named), KeySource::Genesis),
        (None, None) => (None, KeySource::Unknown),
    }
}

/// The checkpoints to hold the tree against: kept ones and the published file.
pub(super) fn checkpoints(
    data: &Path,
    files: &TileFiles,
    origin: &str,
    kept: &[Head],
    vkey: Option<&Vkey>,
    findings: &mut Vec<Finding>,
) -> (Vec<Awaited>, Option<Hash>) {
    let published = relative(data, &files.checkpoint_path());
    let mut all: Vec<(String, Option<u64>, Vec<u8>)> =
        kept.iter().map(|head| (STATE.to_owned(), Some(head.size), head.note.clone())).collect();
    match files.checkpoint() {
        Ok(Some(note)) => all.push((published, None, note)),
        Ok(None) if kept.is_empty() => {}
        Ok(None) => findings.push(Finding::new(FindingKind::CheckpointMissing, published).of(origin)),
        Err(_) => findings.push(Finding::new(FindingKind::FileDamaged, published).of(origin)),
    }
    if let Ok(Some(note)) = files.cosigned() {
        all.push((relative(data, &files.cosigned_path()), None, note));
    }
    let mut awaited = Vec::new();
    let mut end: Option<(u64, Hash)> = None;
    for (file, size, note) in all {
        let opened = vkey.and_then(|vkey| Checkpoint::open(&note, vkey).ok());
        match opened.filter(|c| size.is_none_or(|size| size == c.size)) {
            Some(checkpoint) => {
                if end.is_none_or(|(size, _)| checkpoint.size > size) {
                    end = Some((checkpoint.size, sha256(&note)));
                }
                awaited.push(Awaited { size: checkpoint.size, root: checkpoint.root, file });
            }
            None => findings.push(Finding::new(FindingKind::CheckpointInvalid, file).of(origin)),
        }
    }
    (awaited, end.map(|(_, note)| note))
}

/// A published checkpoint that is older than the signed one, or the other way round: one of the
/// two was put back. The gateway signs first and publishes then.
pub(super) fn behind(
    data: &Path,
    files: &TileFiles,
    origin: &str,
    awaited: &[Awaited],
    findings: &mut Vec<Finding>,
) {
    let published = relative(data, &files.checkpoint_path());
    let newest = |file: &str| awaited.iter().filter(|c| c.file == file).map(|c| c.size).max();
    let (Some(signed), Some(mut told)) = (newest(STATE), newest(&published)) else { return };
    // Beside a running gateway the file follows within moments.
    for _ in 0..PUBLISH_LOOKS {
        if told >= signed {
            break;
        }
        std::thread::sleep(PUBLISH_LOOK);
        let note = files.checkpoint().ok().flatten();
        told = note.and_then(|note| Checkpoint::peek(&note).ok()).map_or(told, |c| c.size.max(told));
    }
    if told < signed {
        // A stop between signing and publishing; the next start publishes it.
        let at_rest = std::fs::metadata(data.join(format!("{STATE}-wal"))).map_or(true, |wal| wal.len() == 0);
        if at_rest {
            findings.push(Finding::new(FindingKind::CheckpointBehind, published).of(origin));
        }
    } else if told > signed {
        let signed_by_now = SqliteHeads::kept(&data.join(STATE)).unwrap_or_default();
        let ours = |head: &Head| Checkpoint::peek(&head.note).is_ok_and(|c| c.origin == origin);
        if !signed_by_now.iter().any(|(_, head)| head.size >= told && ours(head)) {
            findings.push(Finding::new(FindingKind::CheckpointBehind, STATE).of(origin));
        }
    }
}

/// Checkpoints that a witness or an auditor kept: the log must reach them and agree.
pub(super) fn kept_elsewhere(
    notes: &[Vec<u8>],
    origin: &str,
    vkey: Option<&Vkey>,
    awaited: &mut Vec<Awaited>,
    findings: &mut Vec<Finding>,
) {
    for note in notes {
        if Checkpoint::peek(note).is_ok_and(|c| c.origin != origin) {
            continue;
        }
        match vkey.and_then(|vkey| Checkpoint::open(note, vkey).ok()) {
            Some(c) => awaited.push(Awaited { size: c.size, root: c.root, file: ELSEWHERE.to_owned() }),
            None => findings.push(Finding::new(FindingKind::CheckpointInvalid, ELSEWHERE).of(origin)),
        }
    }
    awaited.sort_by_key(|c| std::cmp::Reverse(c.size));
}
