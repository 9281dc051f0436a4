//! What stands behind a difference: where an auditor finds the signature.
//!
//! The gateway itself cannot open evidence. It says which leaf's evidence holds the partner's
//! signed message, and what can be checked without opening anything: the promise that came
//! with a signed answer, and what the signed tree holds where a leaf of ours is gone.

use serde_json::{Value, json};

use super::book::{Book, BookFault};
use super::classify::{Difference, DifferenceKind};
use super::window::Window;
use crate::domain::Region;
use crate::ledger::tree::leaf_hash;
use crate::ledger::{Leaf, LeafHash, Ledger};

/// Where and what, for one difference. `by` says whose signature proves it: `partner-answer`,
/// `partner-request`, `own-tree`, `partner-statement` (its signed list), or `none`.
pub fn of(
    book: &Book,
    ledger: &Ledger,
    peer: Region,
    window: Window,
    difference: &Difference,
) -> Result<Value, BookFault> {
    let (region, mine) = (ledger.region(), difference.mine);
    let place = match mine {
        Some(mine) => Some(mine.at),
        None => book.stood(peer, window, &difference.x)?,
    };
    let by = match (difference.kind, mine) {
        (DifferenceKind::PeerLacks | DifferenceKind::HashMismatch, Some(mine)) if mine.item.is_answered() => {
            if mine.asked {
                "partner-answer"
            } else {
                "partner-request"
            }
        }
        (DifferenceKind::ILack, _) if place.is_some() => "own-tree",
        (DifferenceKind::InFlight, _) => "none",
        _ => "partner-statement",
    };
    let mut proof = json!({ "by": by });
    let Some(members) = proof.as_object_mut() else { return Ok(proof) };
    if let Some(item) = difference.theirs {
        members.insert("theirs".into(), item.to_text().into());
    }
    if let Some(mine) = mine {
        members.insert("mine".into(), mine.item.to_text().into());
        members.insert("asked_by".into(), if mine.asked { region } else { peer }.as_str().into());
    }
    let Some(at) = place else { return Ok(proof) };
    members.insert("origin".into(), crate::ledger::origin(region, at.shard).into());
    members.insert("index".into(), at.index.into());
    let stored = ledger.stored(at.shard, at.index..at.index + 1)?.pop();
    let tree = ledger.tree_hash(at)?.map(LeafHash);
    let now = stored.as_ref().map(|stored| LeafHash(leaf_hash(&stored.leaf)));
    // `false`: our own leaf is not what the signed tree holds.
    if let Some(tree) = tree {
        members.insert("leaf".into(), tree.to_string().into());
        members.insert("unchanged".into(), (now == Some(tree)).into());
    }
    if let Some(leaf) = stored.and_then(|stored| Leaf::from_bytes(&stored.leaf)) {
        for (name, value) in [("exchange", leaf.x), ("op", leaf.op)] {
            if let Some(value) = value {
                members.insert(name.into(), value.into());
            }
        }
        if let Some(promise) = leaf.pl {
            members.insert("promise".into(), serde_json::to_value(promise).unwrap_or_default());
        }
    }
    Ok(proof)
}
