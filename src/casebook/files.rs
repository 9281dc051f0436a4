//! Questions about the files of applications: who announced them, who waits for them, where they go.
//!
//! Promises: a county may send the same form with a hundred thousand applications; what an upload or
//! a submit asks reads the rows it needs.

use rusqlite::types::Value as Column;

use super::shelf::rows;
use super::{Casebook, CasebookFault, Listed, MaterialRow, Page};

/// Of the files of one digest and one partner.
pub(super) const ANNOUNCED: &str = "sha256=? AND partner=? AND way='coming'";
pub(super) const HERE: &str = "sha256=? AND partner=? AND there=1 AND doc->>'$.there'";
pub(super) const AWAITED: &str = "sha256=? AND partner=? AND way='coming' AND NOT doc->>'$.there'";

impl Casebook {
    /// A file that a case of this partner announced, whether it has come or not.
    pub async fn announced_file(
        &self,
        sha256: &str,
        partner: &str,
    ) -> Result<Option<MaterialRow>, CasebookFault> {
        let found = self.files(sha256, partner, ANNOUNCED, 1).await?;
        Ok(found.into_iter().next())
    }

    /// Whether a case with this partner has this file already.
    pub async fn has_file_of(&self, sha256: &str, partner: &str) -> Result<bool, CasebookFault> {
        Ok(!self.files(sha256, partner, HERE, 1).await?.is_empty())
    }

    /// Where this partner's cases wait for this file.
    pub async fn awaiting_file(
        &self,
        sha256: &str,
        partner: &str,
    ) -> Result<Vec<MaterialRow>, CasebookFault> {
        self.files(sha256, partner, AWAITED, u32::MAX).await
    }

    async fn files(
        &self,
        sha256: &str,
        partner: &str,
        wanted: &str,
        most: u32,
    ) -> Result<Vec<MaterialRow>, CasebookFault> {
        let values = vec![Column::Text(sha256.to_owned()), Column::Text(partner.to_owned())];
        Ok(rows(self.select(wanted, values, "n", most).await?))
    }

    pub async fn materials_of(&self, case: &str) -> Result<Vec<MaterialRow>, CasebookFault> {
        Ok(rows(self.select("line=?", vec![Column::Text(case.to_owned())], "n", u32::MAX).await?))
    }

    /// Uploads that a partner still has to get.
    pub async fn materials_going(
        &self,
        partner: &str,
        page: Page,
    ) -> Result<Vec<Listed<MaterialRow>>, CasebookFault> {
        let values = vec![Column::Text(partner.to_owned()), Column::Integer(page.after)];
        self.select("partner=? AND n>? AND way='going' AND there=0", values, "n", page.most).await
    }
}
