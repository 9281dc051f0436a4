//! A notice as systems see it, pushed or pulled: one shape.

use std::future::Future;

use serde_json::{Value, json};

use super::window::Progress;
use crate::casebook::{Casebook, CasebookFault, Changes, Listed, MemoRow, NoticeRow, Page, Write};
use crate::relay::Ticks;

/// Notices on one page of the pull list, at most: some hundred KiB.
pub const LONGEST_PAGE: u32 = 500;
/// Without a wish.
const USUAL_PAGE: u32 = 100;

/// Where notices come from and where a webhook's progress is kept.
pub trait Feed: Send + Sync + 'static {
    type Changes: Ticks;

    /// Notices after a cursor, in the order they came.
    fn after(
        &self,
        cursor: i64,
        most: u32,
    ) -> impl Future<Output = Result<Vec<Listed<NoticeRow>>, CasebookFault>> + Send;

    /// What was kept under this name. A new name begins behind what is there now: a system
    /// that is connected today did not ask for last year.
    fn progress(&self, name: &str) -> impl Future<Output = Result<Progress, CasebookFault>> + Send;

    fn keep(&self, name: &str, progress: &Progress)
    -> impl Future<Output = Result<(), CasebookFault>> + Send;

    /// Adds a notice of our own.
    fn tell(&self, notice: NoticeRow) -> impl Future<Output = Result<(), CasebookFault>> + Send;

    /// Ticks whenever something may have been added.
    fn changes(&self) -> Self::Changes;
}

impl Feed for Casebook {
    type Changes = Changes;

    async fn after(&self, cursor: i64, most: u32) -> Result<Vec<Listed<NoticeRow>>, CasebookFault> {
        self.notices(Page { after: cursor, most }).await
    }

    async fn progress(&self, name: &str) -> Result<Progress, CasebookFault> {
        if let Some(memo) = self.memo(name).await? {
            return serde_json::from_value(memo.value).map_err(|_| CasebookFault::Row);
        }
        let progress = Progress { read: self.newest_notice().await?, open: Vec::new() };
        self.keep(name, &progress).await?;
        Ok(progress)
    }

    async fn keep(&self, name: &str, progress: &Progress) -> Result<(), CasebookFault> {
        let value = serde_json::to_value(progress).map_err(|_| CasebookFault::Row)?;
        self.write(vec![Write::Memo(MemoRow { name: name.to_owned(), value })]).await
    }

    async fn tell(&self, notice: NoticeRow) -> Result<(), CasebookFault> {
        self.write(vec![Write::Notice(notice)]).await
    }

    fn changes(&self) -> Self::Changes {
        Casebook::changes(self)
    }
}

/// The JSON of one notice. `at` in seconds; `subject` is what keeps order: the case number or
/// the verification's id.
pub(super) fn json_of(notice: &Listed<NoticeRow>) -> Value {
    let row = &notice.row;
    json!({"id": row.id, "cursor": notice.n.to_string(), "kind": row.kind, "subject": row.line,
        "at": row.at.div_euclid(1000), "data": row.body})
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    #[error("cursor is none of ours")]
    Cursor,
    #[error("limit is a number from 1 to 500")]
    Limit,
    #[error("{0}")]
    Casebook(#[from] CasebookFault),
}

/// `GET /local/v1/notices?cursor=&limit=`: what came after the cursor, oldest first, and the
/// cursor to ask with next. Without a cursor from the beginning. No notice is left out: rows
/// are numbered in the order of their commits.
pub async fn list(
    casebook: &Casebook,
    cursor: Option<&str>,
    limit: Option<&str>,
) -> Result<Value, ListFault> {
    let cursor = match cursor.filter(|text| !text.is_empty()) {
        Some(text) => text.parse().ok().filter(|n| *n >= 0).ok_or(ListFault::Cursor)?,
        None => 0,
    };
    let most = match limit.filter(|text| !text.is_empty()) {
        Some(text) => {
            text.parse().ok().filter(|most| (1..=LONGEST_PAGE).contains(most)).ok_or(ListFault::Limit)?
        }
        None => USUAL_PAGE,
    };
    let page = casebook.after(cursor, most).await?;
    let next = page.last().map_or(cursor, |notice| notice.n);
    let more = page.len() == usize::try_from(most).unwrap_or(usize::MAX);
    let notices: Vec<Value> = page.iter().map(json_of).collect();
    Ok(json!({"notices": notices, "next": next.to_string(), "more": more}))
}
