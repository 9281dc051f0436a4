//! The subject report: who looked at this citizen's data, when, why, under which
//! authorization; and which auditors looked into that.

use serde::Serialize;

use super::act::Intent;
use super::find::FoundRow;
use super::{Act, Desk, DeskFault, Mandate, Question, Registered};
use crate::ledger::evidence::Field;
use crate::ledger::{Mark, Shard};

/// Exchanges in one report; a report of more says so and names a narrower period.
pub const MOST_IN_A_REPORT: usize = 2000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubjectReport {
    pub field: Field,
    /// Newest first.
    pub rows: Vec<FoundRow>,
    /// There were more than a report holds.
    pub more: bool,
    /// Auditors' acts that sought this subject or concerned these exchanges, oldest first.
    pub acts: Vec<Registered>,
    /// The leaf that says that this report was made.
    pub leaf: String,
}

impl Desk {
    /// `from` and `to` in milliseconds, as in [`Question`].
    pub async fn subject(
        &self,
        mandate: &Mandate,
        field: Field,
        value: &str,
        (from, to): (Option<i64>, Option<i64>),
    ) -> Result<SubjectReport, DeskFault> {
        mandate.may(Act::Subject)?;
        let question = Question { from, to, ..Question::about(field, value) };
        question.check()?;
        let asked = question.clone();
        let (rows, more, acts, sought) = self
            .blocking(move |desk| {
                let mut found = desk.find(&asked, None, MOST_IN_A_REPORT + 1)?;
                let more = found.len() > MOST_IN_A_REPORT;
                found.truncate(MOST_IN_A_REPORT);
                let rows = desk.rows(found)?;
                let rows = desk.in_use(&asked, rows);
                let sought = desk.sought(&asked)?;
                let acts = desk.acts_about(&sought, &rows)?;
                Ok((rows, more, acts, sought))
            })
            .await?;
        let intent =
            Intent { n: rows.len() as u64, what: question.told(), sought, ..Intent::new(Act::Subject) };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        Ok(SubjectReport { field, rows, more, acts, leaf: recorded.leaf })
    }

    /// Acts that sought one of these pseudonyms or concerned one of these leaves.
    fn acts_about(&self, sought: &[String], rows: &[FoundRow]) -> Result<Vec<Registered>, DeskFault> {
        let mut acts = Vec::new();
        for mark in sought {
            acts.extend(self.inner.registers.that_sought(mark)?);
        }
        for row in rows {
            if let Some(shard) = Shard::parse(&row.shard) {
                acts.extend(self.inner.registers.concerning(Mark { shard, index: row.index })?);
            }
        }
        acts.sort_by_key(|act| act.number);
        acts.dedup_by_key(|act| act.number);
        Ok(acts)
    }
}
