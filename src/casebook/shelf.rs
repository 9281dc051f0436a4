//! Reading the casebook, beside its keeper and by any number of readers at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::Value as Column;
use rusqlite::{Connection, params_from_iter};

use super::rows::{
    AnswerRow, CaseRow, EventRow, MemoRow, NoticeRow, OnceRow, ParcelRow, ParcelState, Row, VerificationRow,
    VerificationSide,
};
use super::{Casebook, CasebookFault};
use crate::store::sqlite::{open_reader, sqlite_fault};

/// Idle connections kept for the next reader.
const MOST_IDLE: usize = 8;

/// A row with its number in the order rows came.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<R> {
    pub n: i64,
    pub row: R,
}

/// One page of a list: rows after `after`, at most `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub after: i64,
    pub most: u32,
}

/// What a list of cases is cut to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseFilter {
    pub role: Option<String>,
    pub state: Option<String>,
    pub partner: Option<String>,
}

/// How long a read that failed is told, also when others succeed (connections that are open already
/// may go on): whoever asks less often than this sees it, and a gateway that
/// gets no requests because it is not ready gets some again.
const FAILURE_TOLD: Duration = Duration::from_secs(10);

pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    failed: Mutex<Option<Instant>>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), failed: Mutex::default() }
    }

    pub fn failed_lately(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < FAILURE_TOLD)
    }

    fn note<T>(&self, read: &Result<T, CasebookFault>) {
        if let Err(CasebookFault::Store(_)) = read {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

impl Casebook {
    /// The row with this id.
    pub async fn get<R: Row + Send + 'static>(&self, id: &str) -> Result<Option<R>, CasebookFault> {
        let found = self.select("id=?", vec![Column::Text(id.to_owned())], "n", 1).await?;
        Ok(found.into_iter().next().map(|listed: Listed<R>| listed.row))
    }

    pub async fn case(&self, case: &str) -> Result<Option<CaseRow>, CasebookFault> {
        self.get(case).await
    }

    pub async fn cases(&self, filter: CaseFilter, page: Page) -> Result<Vec<Listed<CaseRow>>, CasebookFault> {
        let (mut wanted, mut values) = (String::from("n>?"), vec![Column::Integer(page.after)]);
        for (column, value) in [("role", filter.role), ("state", filter.state), ("partner", filter.partner)] {
            if let Some(value) = value {
                wanted.push_str(&format!(" AND {column}=?"));
                values.push(Column::Text(value));
            }
        }
        self.select(&wanted, values, "n", page.most).await
    }

    /// Cases that must be looked at by `now` (milliseconds).
    pub async fn cases_to_wake(&self, now: i64, most: u32) -> Result<Vec<CaseRow>, CasebookFault> {
        let found = self.select("wake<=?", vec![Column::Integer(now)], "wake", most).await?;
        Ok(rows(found))
    }

    pub async fn children(&self, parent: &str) -> Result<Vec<CaseRow>, CasebookFault> {
        let found = self.select("parent=?", vec![Column::Text(parent.to_owned())], "n", u32::MAX).await?;
        Ok(rows(found))
    }

    /// Applied events of a case, in order.
    pub async fn events(&self, case: &str) -> Result<Vec<EventRow>, CasebookFault> {
        let found = self.select("line=?", vec![Column::Text(case.to_owned())], "seq", u32::MAX).await?;
        Ok(rows(found))
    }

    pub async fn event(&self, case: &str, seq: u64) -> Result<Option<EventRow>, CasebookFault> {
        self.get(&format!("{case}#{seq}")).await
    }

    /// Waiting parcels to a partner that are the first of their line, oldest first.
    pub async fn ready_parcels(
        &self,
        partner: &str,
        page: Page,
    ) -> Result<Vec<Listed<ParcelRow>>, CasebookFault> {
        let first = "state='waiting' AND partner=? AND n>? AND NOT EXISTS (SELECT 1 FROM parcel AS before \
                     WHERE before.line=parcel.line AND before.state='waiting' AND before.n<parcel.n)";
        let values = vec![Column::Text(partner.to_owned()), Column::Integer(page.after)];
        self.select(first, values, "n", page.most).await
    }

    /// The first waiting parcel of a line.
    pub async fn next_parcel(&self, line: &str) -> Result<Option<ParcelRow>, CasebookFault> {
        let values = vec![Column::Text(line.to_owned())];
        let found = self.select("line=? AND state='waiting'", values, "n", 1).await?;
        Ok(rows(found).pop())
    }

    pub async fn parcels_of(&self, line: &str) -> Result<Vec<ParcelRow>, CasebookFault> {
        Ok(rows(self.select("line=?", vec![Column::Text(line.to_owned())], "n", u32::MAX).await?))
    }

    pub async fn parcels(
        &self,
        state: ParcelState,
        page: Page,
    ) -> Result<Vec<Listed<ParcelRow>>, CasebookFault> {
        let values = vec![Column::Text(state.word().to_owned()), Column::Integer(page.after)];
        self.select("state=? AND n>?", values, "n", page.most).await
    }

    /// How many cases there are: partner, role, state, count.
    pub async fn case_counts(&self) -> Result<Vec<(String, String, String, u64)>, CasebookFault> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT partner, role, state, count(*) FROM case_ GROUP BY partner, role, state",
            )?;
            let counts = statement.query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs()))
            })?;
            counts.collect()
        })
        .await
    }

    /// Notices after a cursor, in the order they came.
    pub async fn notices(&self, page: Page) -> Result<Vec<Listed<NoticeRow>>, CasebookFault> {
        self.select("n>?", vec![Column::Integer(page.after)], "n", page.most).await
    }

    pub async fn verification(
        &self,
        side: VerificationSide,
        id: &str,
    ) -> Result<Option<VerificationRow>, CasebookFault> {
        self.get(&format!("{}:{id}", side.word())).await
    }

    pub async fn verifications(
        &self,
        side: VerificationSide,
        state: Option<String>,
        page: Page,
    ) -> Result<Vec<Listed<VerificationRow>>, CasebookFault> {
        let mut values = vec![Column::Text(side.word().to_owned()), Column::Integer(page.after)];
        let mut wanted = String::from("side=? AND n>?");
        if let Some(state) = state {
            wanted.push_str(" AND state=?");
            values.push(Column::Text(state));
        }
        self.select(&wanted, values, "n", page.most).await
    }

    pub async fn verifications_of(&self, case: &str) -> Result<Vec<VerificationRow>, CasebookFault> {
        Ok(rows(self.select("line=?", vec![Column::Text(case.to_owned())], "n", u32::MAX).await?))
    }

    /// Verifications that must be looked at by `now` (milliseconds).
    pub async fn verifications_to_wake(
        &self,
        now: i64,
        most: u32,
    ) -> Result<Vec<VerificationRow>, CasebookFault> {
        Ok(rows(self.select("wake<=?", vec![Column::Integer(now)], "wake", most).await?))
    }

    pub async fn answer(&self, key: &str) -> Result<Option<AnswerRow>, CasebookFault> {
        self.get(key).await
    }

    pub async fn once(&self, client: &str, key: &str) -> Result<Option<OnceRow>, CasebookFault> {
        self.get(&format!("{client}\n{key}")).await
    }

    pub async fn memo(&self, name: &str) -> Result<Option<MemoRow>, CasebookFault> {
        self.get(name).await
    }

    pub(super) async fn select<R: Row + Send + 'static>(
        &self,
        wanted: &str,
        values: Vec<Column>,
        order: &str,
        most: u32,
    ) -> Result<Vec<Listed<R>>, CasebookFault> {
        let sql = question::<R>(wanted, order, most);
        let found: Vec<(i64, String)> = self
            .read(move |connection| {
                let mut statement = connection.prepare_cached(&sql)?;
                let found =
                    statement.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?;
                found.collect()
            })
            .await?;
        found
            .into_iter()
            .map(|(n, doc)| {
                let row = serde_json::from_str(&doc).map_err(|_| CasebookFault::Row)?;
                Ok(Listed { n, row })
            })
            .collect()
    }

    /// Reads on a thread where blocking is allowed.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, CasebookFault> {
        let (path, idle) = (self.inner.readers.path.clone(), self.inner.readers.idle.clone());
        let done = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => open_reader(&path)?,
            };
            let found = read(&connection).map_err(|e| sqlite_fault("read", &path, &e))?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MOST_IDLE {
                idle.push(connection);
            }
            Ok(found)
        });
        let done = done.await.unwrap_or(Err(CasebookFault::Stopped));
        self.inner.readers.note(&done);
        done
    }
}

pub(super) fn question<R: Row>(wanted: &str, order: &str, most: u32) -> String {
    format!("SELECT n, doc FROM {} WHERE {wanted} ORDER BY {order} LIMIT {most}", R::TABLE)
}

pub(super) fn rows<R>(listed: Vec<Listed<R>>) -> Vec<R> {
    listed.into_iter().map(|listed| listed.row).collect()
}
