//! Exchanges that a question means, newest first: the index says where, the leaves say what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Desk, DeskFault, Question, Warrant};
use crate::ledger::evidence::{Field, ShardKey, SubjectKey, tag_of};
use crate::ledger::search::{About, Finder, LARGEST_PAGE, Wanted, WantedFacets};
use crate::ledger::{Leaf, Mark, Shard};
use crate::store::Shelf as _;

/// What is known of the sealed evidence of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceState {
    /// The leaf names none.
    None,
    Kept,
    /// Kept, and nobody may erase it.
    Held,
    /// Kept, and out of use.
    Restricted,
    /// By order: a leaf says so.
    Erased,
    /// With its month, whose period was over.
    Dropped,
    /// Named by the leaf, not there, and no order says why.
    Missing,
}

/// One leaf as a list shows it: nothing that is not in the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRow {
    pub shard: String,
    pub index: u64,
    /// Milliseconds since 1970.
    pub ts: i64,
    /// `in`, `out.sent`, …
    pub kind: String,
    pub evidence: EvidenceState,
    #[serde(flatten)]
    pub members: Members,
}

/// Members of a leaf that lists show; what is not there is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Where a page ends: `2026h2/4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor(pub Mark);

impl Cursor {
    pub fn parse(text: &str) -> Result<Self, DeskFault> {
        let mark = text.split_once('/').and_then(|(shard, index)| {
            Some(Mark { shard: Shard::parse(shard)?, index: index.parse().ok()? })
        });
        mark.map(Self).ok_or(DeskFault::Asked("a page's place is 2026h2/4711"))
    }
}

/// A place as people read it.
pub(super) fn told(at: Mark) -> String {
    format!("{}/{}", at.shard, at.index)
}

impl Desk {
    /// At most `most` leaves that the question means, newest first, before `before`. Blocks.
    pub(super) fn find(
        &self,
        question: &Question,
        before: Option<Mark>,
        most: usize,
    ) -> Result<Vec<(Mark, Leaf)>, DeskFault> {
        let subjects = self.all_subjects(question)?;
        if subjects.as_ref().is_some_and(BTreeMap::is_empty) {
            return Ok(Vec::new());
        }
        let first = |subjects: &BTreeMap<Shard, Vec<SubjectKey>>| {
            let keys = subjects.iter().filter_map(|(shard, keys)| Some((*shard, keys.first()?.clone())));
            let field = question.people().next().map_or(Field::Citizen, |(field, _)| field);
            About::Keys(field, keys.collect())
        };
        let mut wanted = Wanted {
            about: subjects.as_ref().map(first),
            facets: facets_of(question)?,
            from: question.from,
            to: question.to,
            before,
            most: LARGEST_PAGE.min(most),
        };
        let mut found = Vec::new();
        loop {
            let page = self.inner.ledger.finder().find(&wanted)?;
            for leaf in page.leaves {
                if self.is_about_all(leaf.at, &leaf.leaf, subjects.as_ref())? {
                    found.push((leaf.at, leaf.leaf));
                }
            }
            wanted.before = page.next;
            if found.len() >= most || wanted.before.is_none() {
                found.truncate(most);
                return Ok(found);
            }
        }
    }

    /// The index finds by one subject; the others are the leaf's by its tags.
    fn is_about_all(
        &self,
        at: Mark,
        leaf: &Leaf,
        subjects: Option<&BTreeMap<Shard, Vec<SubjectKey>>>,
    ) -> Result<bool, DeskFault> {
        let others = subjects.and_then(|subjects| subjects.get(&at.shard)?.get(1..)).unwrap_or_default();
        if others.is_empty() {
            return Ok(true);
        }
        let Some((_, row)) = self.vaults().row(at)? else { return Ok(false) };
        Ok(others.iter().all(|subject| leaf.tags.contains(&tag_of(&row.r, subject))))
    }

    /// What stands for the question's people in each log that has evidence; `None` when it
    /// names nobody.
    fn all_subjects(
        &self,
        question: &Question,
    ) -> Result<Option<BTreeMap<Shard, Vec<SubjectKey>>>, DeskFault> {
        if question.people().next().is_none() {
            return Ok(None);
        }
        let mut all = BTreeMap::new();
        for shard in self.shelf().shards()? {
            if let Some(subjects) = self.subjects(shard, question)? {
                all.insert(shard, subjects);
            }
        }
        Ok(Some(all))
    }

    pub(super) fn leaf(&self, at: Mark) -> Result<Leaf, DeskFault> {
        let stored = self.shelf().leaves(at.shard, at.index..at.index.saturating_add(1))?.pop();
        stored.and_then(|stored| Leaf::from_bytes(&stored.leaf)).ok_or(DeskFault::NoSuchLeaf)
    }

    /// What stands for the question's people in one log; `None` when that log has no evidence
    /// at all, and so nobody can be found in it.
    pub(super) fn subjects(
        &self,
        shard: Shard,
        question: &Question,
    ) -> Result<Option<Vec<SubjectKey>>, DeskFault> {
        let people: Vec<(Field, &str)> = question.people().collect();
        if people.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let Some(key) = self.shard_key(shard)? else { return Ok(None) };
        Ok(Some(people.into_iter().map(|(field, value)| key.subject(field, value)).collect()))
    }

    /// The key that a log is searched with.
    pub(super) fn shard_key(&self, shard: Shard) -> Result<Option<Arc<ShardKey>>, DeskFault> {
        // Asking for a key makes one; for a log that is over, that could only be the wrong one.
        let file = self.inner.data.join(format!("ledger/search/{shard}.key"));
        if !file.exists() {
            return if self.vaults().list(shard)?.is_empty() { Ok(None) } else { Err(DeskFault::NoKeys) };
        }
        self.keys().of_shard(shard).map(Some).map_err(|_| DeskFault::NoKeys)
    }

    /// The pseudonyms under which the registers remember whom a question sought.
    pub(super) fn sought(&self, question: &Question) -> Result<Vec<String>, DeskFault> {
        let mut marks = Vec::new();
        for shard in self.shelf().shards()? {
            marks.extend(self.subjects(shard, question)?.iter().flatten().map(mark_of));
        }
        Ok(marks)
    }

    /// Rows with the state of their evidence.
    pub(super) fn rows(&self, found: Vec<(Mark, Leaf)>) -> Result<Vec<FoundRow>, DeskFault> {
        let shards: BTreeSet<Shard> = found.iter().map(|(at, _)| at.shard).collect();
        let states = self.states(shards)?;
        found.into_iter().map(|(at, leaf)| Ok(row(at, &leaf, states.of(at, &leaf)?))).collect()
    }
}

/// A pseudonym for one subject in one log, of no use to who has not its key.
pub(super) fn mark_of(subject: &SubjectKey) -> String {
    let mark = aws_lc_rs::hmac::sign(
        &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, subject.bytes()),
        b"register",
    );
    URL_SAFE_NO_PAD.encode(mark.as_ref().get(..16).unwrap_or_default())
}

fn row(at: Mark, leaf: &Leaf, evidence: EvidenceState) -> FoundRow {
    let decision = leaf.dec.and_then(|dec| serde_json::to_value(dec).ok());
    FoundRow {
        shard: at.shard.to_string(),
        index: at.index,
        ts: leaf.ts,
        kind: leaf.t.name().to_owned(),
        evidence,
        members: Members {
            x: leaf.x.clone(),
            peer: leaf.peer.clone(),
            op: leaf.op.clone(),
            item: leaf.item.clone(),
            lt: leaf.lt.clone(),
            dec: decision.and_then(|dec| dec.as_str().map(str::to_owned)),
            code: leaf.code.clone(),
            status: leaf.status,
            auth: leaf.auth.map(|auth| auth.to_string()),
            case: leaf.case.clone(),
            by: leaf.by.clone(),
        },
    }
}

/// The facets of a question, as leaves name them.
fn facets_of(question: &Question) -> Result<WantedFacets, DeskFault> {
    let auth = question.auth.as_deref().map(|text| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(DeskFault::Asked("auth is the leaf's: base64url of 32 bytes"))
    });
    Ok(WantedFacets {
        kind: None,
        peer: question.partner.clone(),
        op: question.op.clone(),
        item: question.item.clone(),
        lt: question.license_type.clone(),
        dec: question.decision.clone(),
        code: question.code.clone(),
        auth: auth.transpose()?,
    })
}

/// What the index in a data directory, or its copy, answers to a warrant. Blocks.
pub fn answered_by_index(data: &Path, warrant: &Warrant) -> Result<BTreeSet<u64>, DeskFault> {
    let finder = Finder::of_data_dir(data);
    let mut wanted = Wanted {
        about: Some(About::Keys(warrant.field, [(warrant.log()?, warrant.subject()?)].into())),
        facets: WantedFacets::default(),
        from: Some(warrant.from),
        to: Some(warrant.to),
        before: None,
        most: LARGEST_PAGE,
    };
    let mut answered = BTreeSet::new();
    loop {
        let page = finder.find(&wanted)?;
        answered.extend(page.leaves.iter().map(|found| found.at.index));
        match page.next {
            Some(next) => wanted.before = Some(next),
            None => return Ok(answered),
        }
    }
}
