//! Stands in for the index until it lands.

use super::{Desk, DeskFault, Question};
use crate::ledger::evidence::{SubjectKey, tag_of};
use crate::ledger::{Leaf, Mark, Shard};
use crate::store::Shelf as _;

impl Desk {
    pub(super) fn indices(
        &self,
        shard: Shard,
        subjects: &[SubjectKey],
        question: &Question,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<u64>, DeskFault> {
        let size = self.shelf().size(shard)?;
        let mut found = Vec::new();
        for stored in self.shelf().leaves(shard, 0..before.unwrap_or(size))?.into_iter().rev() {
            let Some(leaf) = Leaf::from_bytes(&stored.leaf) else { continue };
            let value = serde_json::to_value(&leaf).unwrap_or_default();
            let fits = question.facets().all(|(name, text)| value.get(name).and_then(|v| v.as_str()) == Some(text))
                && question.from.is_none_or(|from| leaf.ts >= from)
                && question.to.is_none_or(|to| leaf.ts < to);
            if !fits {
                continue;
            }
            if !subjects.is_empty() {
                let Some((_, row)) = self.vaults().row(Mark { shard, index: stored.index })? else { continue };
                if !subjects.iter().all(|subject| leaf.tags.contains(&tag_of(&row.r, subject))) {
                    continue;
                }
            }
            found.push(stored.index);
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn answered(&self, warrant: &super::Warrant) -> Result<std::collections::BTreeSet<u64>, DeskFault> {
        let question = Question { from: Some(warrant.from), to: Some(warrant.to), ..Question::default() };
        Ok(self.indices(warrant.log()?, &[warrant.subject()?], &question, None, usize::MAX)?.into_iter().collect())
    }
}

/// What the index in a data directory answers to a warrant.
pub fn answered_by_index(
    _data: &std::path::Path,
    _warrant: &super::Warrant,
) -> Result<std::collections::BTreeSet<u64>, DeskFault> {
    Err(DeskFault::NoKeys)
}
