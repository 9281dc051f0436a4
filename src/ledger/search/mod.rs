//! Finding leaves: by what they name (facets) and by whom they are about (keyed tokens),
//! newest first, a page at a time.
//!
//! Promises: every leaf that fits is found, whether or not the index has taken it in, with or
//! without an index; what the index says is looked up in the log before it is told. Leaves to
//! [`crate::ledger::evidence`] what a token is, and to the auditors' desk who may ask.

mod finder;
mod indexer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::evidence::{Field, Subject, SubjectKey};
use super::leaf::Leaf;
use crate::keys::KeyFileFault;
use crate::store::{Mark, Shard, StoreFault};

pub(super) use indexer::{Indexer, MOST_BEHIND, ToIndexer, facets_of};

pub use crate::store::sqlite::Hourly;
pub use finder::Finder;

/// Leaves of the largest page.
pub const LARGEST_PAGE: usize = 200;
/// What to find. Everything that is given must fit.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Whom or what it is about.
    pub about: Option<About>,
    pub facets: WantedFacets,
    /// Milliseconds, half open; without them everything.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// Only leaves before this place: the end of the last page.
    pub before: Option<Mark>,
    /// Leaves in the page, at most [`LARGEST_PAGE`].
    pub most: usize,
}

/// Whom or what an exchange is about.
#[derive(Clone)]
pub enum About {
    /// Needs the gateway's search keys.
    Value(Subject),
    /// A warrant's: the subject's key in each half-year it speaks of.
    Keys(Field, BTreeMap<Shard, SubjectKey>),
}

/// What the leaf itself says, word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WantedFacets {
    /// `in`, `out.sent`, … ([`super::LeafKind`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// License type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<String>,
    /// `permit`, `deny`, `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// SHA-256(iss ‖ 0x00 ‖ jti) of an authorization.
    #[serde(skip)]
    pub auth: Option<[u8; 32]>,
}

/// A leaf that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLeaf {
    pub at: Mark,
    pub hash: [u8; 32],
    pub leaf: Leaf,
}

/// A page of leaves, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPage {
    pub leaves: Vec<FoundLeaf>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Mark>,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchFault {
    #[error("{0}")]
    Store(#[from] StoreFault),
    #[error("{0}")]
    Key(#[from] KeyFileFault),
}

impl Wanted {
    fn fits(&self, leaf: &Leaf) -> bool {
        let within = self.from.is_none_or(|from| leaf.ts >= from) && self.to.is_none_or(|to| leaf.ts < to);
        within && self.facets.fit(leaf)
    }
}

impl WantedFacets {
    fn fit(&self, leaf: &Leaf) -> bool {
        let says = |wanted: &Option<String>, said: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| said.unwrap_or_default() == wanted)
        };
        says(&self.kind, Some(leaf.t.name()))
            && says(&self.peer, leaf.peer.as_deref())
            && says(&self.op, leaf.op.as_deref())
            && says(&self.item, leaf.item.as_deref())
            && says(&self.lt, leaf.lt.as_deref())
            && says(&self.dec, leaf.dec.map(super::Decision::name))
            && says(&self.code, leaf.code.as_deref())
            && self.auth.is_none_or(|auth| leaf.auth.is_some_and(|said| said.0 == auth))
    }

    fn words(&self) -> BTreeMap<&'static str, String> {
        let all = [
            ("kind", &self.kind),
            ("peer", &self.peer),
            ("op", &self.op),
            ("item", &self.item),
            ("lt", &self.lt),
            ("dec", &self.dec),
            ("code", &self.code),
        ];
        all.into_iter().filter_map(|(name, word)| Some((name, word.clone()?))).collect()
    }
}
