//! What those who follow the log need of a leaf: its words, its times and three of its hashes.
//!
//! Promises: says of a leaf what [`Leaf::from_bytes`] says, at a third of the cost, for most of the
//! leaf is passed by. Whether the bytes are a leaf in every other member it leaves to that.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};

use super::leaf::{Decision, Leaf, LeafHash, LeafKind};

/// A word that is absent is empty here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Glance<'a> {
    #[serde(default)]
    pub auth: Option<LeafHash>,
    #[serde(borrow, default)]
    pub code: Cow<'a, str>,
    #[serde(default)]
    pub dec: Option<Decision>,
    #[serde(default)]
    pub iat: Option<i64>,
    #[serde(borrow, default)]
    pub item: Cow<'a, str>,
    #[serde(borrow, default)]
    pub lt: Cow<'a, str>,
    #[serde(default)]
    pub ms: Took,
    #[serde(default)]
    pub n: Option<u64>,
    #[serde(borrow, default)]
    pub op: Cow<'a, str>,
    #[serde(borrow, default)]
    pub peer: Cow<'a, str>,
    #[serde(default)]
    pub rd: Option<LeafHash>,
    #[serde(default)]
    pub rq: Option<LeafHash>,
    #[serde(default)]
    pub status: Option<u16>,
    pub t: LeafKind,
    #[serde(default)]
    pub ts: i64,
    #[serde(borrow, default)]
    pub x: Cow<'a, str>,
}

/// The latencies of a leaf, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// The first; `None` where nothing was timed.
    pub first: Option<u32>,
    pub sum: u32,
}

impl Took {
    fn of(ms: impl IntoIterator<Item = u32>) -> Self {
        ms.into_iter().fold(Self::default(), Self::and)
    }

    fn and(self, ms: u32) -> Self {
        Self { first: self.first.or(Some(ms)), sum: self.sum.saturating_add(ms) }
    }
}

impl<'a> Glance<'a> {
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Leaf {
    pub fn glance(&self) -> Glance<'_> {
        Glance {
            auth: self.auth,
            code: borrowed(self.code.as_ref()),
            dec: self.dec,
            iat: self.iat,
            item: borrowed(self.item.as_ref()),
            lt: borrowed(self.lt.as_ref()),
            ms: Took::of(self.ms.iter().copied()),
            n: self.n,
            op: borrowed(self.op.as_ref()),
            peer: borrowed(self.peer.as_ref()),
            rd: self.rd,
            rq: self.rq,
            status: self.status,
            t: self.t,
            ts: self.ts,
            x: borrowed(self.x.as_ref()),
        }
    }
}

fn borrowed(word: Option<&String>) -> Cow<'_, str> {
    Cow::Borrowed(word.map_or("", String::as_str))
}

impl<'de> Deserialize<'de> for Took {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Milliseconds;
        impl<'de> Visitor<'de> for Milliseconds {
            type Value = Took;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("milliseconds")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Took, A::Error> {
                let mut took = Took::default();
                while let Some(ms) = all.next_element::<u32>()? {
                    took = took.and(ms);
                }
                Ok(took)
            }
        }
        deserializer.deserialize_seq(Milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_says_what_the_whole_leaf_says() {
        let full = Leaf {
            auth: Some(LeafHash([1; 32])),
            case: Some("AAAAAAAAAAAAAAAAAAAAAA".into()),
            code: Some("re\"play\u{1}".into()),
            dec: Some(Decision::Deny),
            iat: Some(1_900_000_000),
            item: Some("11421202TECT0001914000709001000".into()),
            lt: Some("111000000000131433001".into()),
            ms: vec![3, u32::MAX, 5],
            n: Some(7),
            op: Some("license.query".into()),
            peer: Some("331083".into()),
            rd: Some(LeafHash([2; 32])),
            rq: Some(LeafHash([3; 32])),
            status: Some(409),
            tags: vec!["AAAAAAAAAAAAAAAAAAAAAA".into()],
            ts: 1_900_000_000_000,
            x: Some("0190f3a2-7c1e-7d4b-9a51-5c3e0e8f1a22".into()),
            ..Leaf::new(LeafKind::OutDone)
        };
        for leaf in [full, Leaf::new(LeafKind::Genesis)] {
            let bytes = leaf.to_bytes().unwrap();
            assert_eq!(Glance::from_bytes(&bytes), Some(leaf.glance()));
        }
        assert_eq!(Glance::from_bytes(b"{"), None);
    }
}
