//! One exchange as both sides know it from their own leaves alone: 81 bytes, and the moment at
//! which it counts.
//!
//! The moment is the request's `iat` plus the longest life of its op (120 s, for `application.*`
//! 24 h): until then, and no later, the message may have been answered for the first time. So a
//! window that is over holds whatever falls into it, also a parcel that waited for a day.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::envelope::Op;
use crate::ledger::tree::{self, Hash};
use crate::ledger::{Glance, LeafKind};

/// Bytes of an item.
pub const ITEM_BYTES: usize = 16 + 32 + 32 + 1;

/// An item as messages carry it: base64url, 108 characters.
pub type ItemText = String;

/// Refusals that say the request stood outside its own time or was not ours to answer: its
/// moment would be any, so it is in no window. A repeat counts with the first.
const UNCOUNTED: [&str; 9] = [
    "too-large",
    "unknown-op",
    "issuer-mismatch",
    "audience-mismatch",
    "message-expired",
    "not-yet-valid",
    "lifetime-too-long",
    "replay",
    "jti-reuse",
];

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Sent, and no signed answer is known. Not in the root.
    Unanswered,
    /// A result.
    Done,
    /// A signed refusal.
    Refused,
}

/// `x[16] ‖ rq[32] ‖ rd[32] ‖ outcome[1]`; items are ordered as their bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// `SHA-256(jti)[0:16]`.
    pub x: [u8; 16],
    /// SHA-256 of the request JWS.
    pub rq: Hash,
    /// SHA-256 of JCS(result or problem); zeros while unanswered.
    pub rd: Hash,
    pub outcome: Outcome,
}

impl Item {
    pub fn to_bytes(self) -> [u8; ITEM_BYTES] {
        let mut bytes = [0; ITEM_BYTES];
        let outcome = match self.outcome {
            Outcome::Unanswered => 0,
            Outcome::Done => 1,
            Outcome::Refused => 2,
        };
        let parts = self.x.iter().chain(&self.rq).chain(&self.rd).copied().chain([outcome]);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (x, rest) = bytes.split_first_chunk::<16>()?;
        let (rq, rest) = rest.split_first_chunk::<32>()?;
        let (rd, rest) = rest.split_first_chunk::<32>()?;
        let outcome = match rest {
            [0] if *rd == [0; 32] => Outcome::Unanswered,
            [1] => Outcome::Done,
            [2] => Outcome::Refused,
            _ => return None,
        };
        Some(Self { x: *x, rq: *rq, rd: *rd, outcome })
    }

    pub fn to_text(self) -> ItemText {
        URL_SAFE_NO_PAD.encode(self.to_bytes())
    }

    pub fn from_text(text: &str) -> Option<Self> {
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// What a leaf says of its exchange; `None` for leaves that count in no window.
    pub fn of(leaf: &Glance<'_>) -> Option<Self> {
        let rq = leaf.rq?.0;
        let x = x_of(Some(leaf.x.as_ref()).filter(|x| !x.is_empty())?);
        match leaf.t {
            LeafKind::OutSent => Some(Self { x, rq, rd: [0; 32], outcome: Outcome::Unanswered }),
            LeafKind::In | LeafKind::OutDone => {
                let uncounted = UNCOUNTED.contains(&leaf.code.as_ref());
                let outcome = if leaf.status? < 300 { Outcome::Done } else { Outcome::Refused };
                (!uncounted).then_some(Self { x, rq, rd: leaf.rd?.0, outcome })
            }
            _ => None,
        }
    }

    pub const fn is_answered(self) -> bool {
        !matches!(self.outcome, Outcome::Unanswered)
    }
}

/// The part of an exchange id that items carry: any id is as long then.
pub fn x_of(jti: &str) -> [u8; 16] {
    let digest = tree::sha256(jti.as_bytes());
    digest.first_chunk::<16>().copied().unwrap_or_default()
}

/// When an exchange counts (seconds); `None` when its leaf does not tell, and for
/// reconciliation itself, which would never come to an end.
pub fn moment(leaf: &Glance<'_>) -> Option<i64> {
    let op = Op::from_name(&leaf.op).filter(|op| *op != Op::LedgerReconcile)?;
    leaf.iat?.checked_add(op.longest_life())
}

/// The RFC 6962 root over sorted items.
pub fn root(items: &[Item]) -> Hash {
    let hashes: Vec<Hash> = items.iter().map(|item| tree::leaf_hash(&item.to_bytes())).collect();
    tree::root_of(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Leaf, LeafHash};

    fn leaf(kind: LeafKind) -> Leaf {
        Leaf {
            x: Some("0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22".into()),
            op: Some("license.query".into()),
            iat: Some(1_900_000_000),
            rq: Some(LeafHash([1; 32])),
            rd: Some(LeafHash([2; 32])),
            rs: Some(LeafHash([3; 32])),
            status: Some(200),
            ..Leaf::new(kind)
        }
    }

    #[test]
    fn both_sides_make_the_same_item_of_their_own_leaves() {
        let (answering, asking) = (Leaf { rs: None, ..leaf(LeafKind::In) }, leaf(LeafKind::OutDone));
        assert_eq!(Item::of(&answering.glance()), Item::of(&asking.glance()));
        let item = Item::of(&asking.glance()).unwrap();
        assert_eq!((item.outcome, moment(&asking.glance())), (Outcome::Done, Some(1_900_000_120)));
        // Written out: SHA-256 of the id, the two hashes, the outcome.
        assert_eq!(hex::encode(item.to_bytes()), format!("{}{}{}01", X, "01".repeat(32), "02".repeat(32)));
        assert_eq!((Item::from_text(&item.to_text()), item.to_text().len()), (Some(item), 108));
    }

    const X: &str = "50b4978da2a35683d1dd8409c6e793db";

    #[test]
    fn a_send_without_an_answer_is_an_item_of_its_own_kind() {
        let sent = Item::of(&leaf(LeafKind::OutSent).glance()).unwrap();
        assert_eq!((sent.rd, sent.is_answered()), ([0; 32], false));
        assert_eq!(Item::of(&leaf(LeafKind::OutFailed).glance()), None);
        let mut bytes = sent.to_bytes();
        bytes[60] = 1;
        assert_eq!(Item::from_bytes(&bytes), None, "an answer nobody gave");
        assert_eq!(Item::from_bytes(&bytes[..80]), None);
    }

    #[test]
    fn a_parcel_counts_when_its_message_can_no_longer_be_answered() {
        let parcel = Leaf { op: Some("application.submit".into()), ..leaf(LeafKind::OutDone) };
        assert_eq!(moment(&parcel.glance()), Some(1_900_086_400));
    }

    #[test]
    fn what_has_no_moment_of_its_own_is_in_no_window() {
        let reconcile = Leaf { op: Some("ledger.reconcile".into()), ..leaf(LeafKind::In) };
        assert_eq!(moment(&reconcile.glance()), None);
        assert_eq!(moment(&Leaf { iat: None, ..leaf(LeafKind::In) }.glance()), None);
        assert_eq!(moment(&Leaf { iat: Some(i64::MAX), ..leaf(LeafKind::In) }.glance()), None);
        for code in UNCOUNTED {
            let refused = Leaf { code: Some(code.into()), status: Some(409), ..leaf(LeafKind::In) };
            assert_eq!(Item::of(&refused.glance()), None, "{code}");
        }
        let denied = Leaf { code: Some("no-agreement".into()), status: Some(403), ..leaf(LeafKind::OutDone) };
        assert_eq!(Item::of(&denied.glance()).unwrap().outcome, Outcome::Refused);
    }
}
