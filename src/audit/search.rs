//! Search: one page of what a question means.

use serde::{Deserialize, Serialize};

use super::act::Intent;
use super::find::{Cursor, FoundRow, told};
use super::{Act, Desk, DeskFault, Mandate, Page, Question};

/// One page, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub rows: Vec<FoundRow>,
    /// What [`Page::after`] must say for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The `search` leaf that says that this was looked for.
    pub leaf: String,
}

impl Desk {
    /// Finds, records, and only then tells. Exchanges out of use are not told.
    pub async fn search(
        &self,
        mandate: &Mandate,
        question: &Question,
        page: &Page,
    ) -> Result<Found, DeskFault> {
        mandate.may(Act::Search)?;
        question.check()?;
        let most = page.rows()?;
        let before = page.after.as_deref().map(Cursor::parse).transpose()?.map(|cursor| cursor.0);
        let asked = question.clone();
        let (rows, next, sought) = self
            .blocking(move |desk| {
                let mut found = desk.find(&asked, before, most + 1)?;
                let next = (found.len() > most).then(|| {
                    found.truncate(most);
                    found.last().map(|(at, _)| told(*at)).unwrap_or_default()
                });
                let rows = desk.rows(found)?;
                Ok((desk.in_use(&asked, rows), next, desk.sought(&asked)?))
            })
            .await?;
        let intent =
            Intent { n: rows.len() as u64, what: question.told(), sought, ..Intent::new(Act::Search) };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        Ok(Found { rows, next, leaf: recorded.leaf })
    }

    /// Restricted exchanges are not found by whom they are about.
    pub(super) fn in_use(&self, question: &Question, mut rows: Vec<FoundRow>) -> Vec<FoundRow> {
        if question.people().next().is_some() {
            rows.retain(|row| row.evidence != super::EvidenceState::Restricted);
        }
        rows
    }
}
