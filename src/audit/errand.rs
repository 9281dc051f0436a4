//! Errands: what the command line asks of a desk, over the gateway's own socket or, when no
//! gateway runs, of the directory itself. One shape for both.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Act, Actor, Desk, DeskFault, EraseOrder, Mandate, Page, Question, RegisterFilter, Warrant};
use crate::account::Accounts;
use crate::ledger::evidence::Field;

/// An errand, and who sends it what for. No `Debug`: it may name a citizen.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// An account of `trust/console`.
    #[serde(rename = "as")]
    pub by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
    pub errand: Errand,
}

/// What is to be done. Logs are named as `2026h2`; without one the newest is meant. Moments are
/// milliseconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Errand {
    Search {
        #[serde(default)]
        question: Box<Question>,
        #[serde(default)]
        page: Page,
    },
    Subject {
        field: Field,
        value: String,
        #[serde(default)]
        from: Option<i64>,
        #[serde(default)]
        to: Option<i64>,
    },
    Authorization {
        iss: String,
        jti: String,
    },
    Show {
        what: String,
    },
    OpenRequest {
        #[serde(default)]
        shard: Option<String>,
        of: Vec<u64>,
    },
    OpenApprove {
        request: String,
    },
    OpenRefuse {
        request: String,
    },
    Opened {
        request: String,
    },
    Requests {},
    Erase {
        order: Box<EraseOrder>,
    },
    Hold {
        #[serde(default)]
        shard: Option<String>,
        of: Vec<u64>,
    },
    Release {
        #[serde(default)]
        shard: Option<String>,
        of: Vec<u64>,
    },
    /// A package was made: to be recorded before it is handed out.
    Export {
        facts: super::ExportFacts,
    },
    Retention {},
    Completeness {
        warrant: Warrant,
    },
    Warrant {
        #[serde(default)]
        shard: Option<String>,
        field: Field,
        value: String,
        #[serde(default)]
        from: Option<i64>,
        #[serde(default)]
        to: Option<i64>,
    },
    Sample {
        #[serde(default)]
        shard: Option<String>,
        n: usize,
    },
    Registers {
        #[serde(default)]
        act: Option<Act>,
        #[serde(default)]
        by: Option<String>,
        #[serde(default)]
        before: Option<i64>,
    },
}

/// Register entries told at once.
const ENTRIES_A_PAGE: u32 = 100;

impl Desk {
    /// Does an errand for an account of `accounts`. Goes on to its end when the caller stops
    /// waiting: what a leaf announced is done.
    pub async fn run(&self, accounts: Arc<Accounts>, sent: Sent) -> Result<Value, DeskFault> {
        let desk = self.clone();
        let done = tokio::spawn(async move { desk.go(&accounts, sent).await });
        done.await.unwrap_or(Err(DeskFault::Interrupted))
    }

    async fn go(&self, accounts: &Accounts, sent: Sent) -> Result<Value, DeskFault> {
        let by =
            accounts.named(&sent.by).map(|account| Actor::of(account)).ok_or(DeskFault::NoSuchAccount)?;
        match sent.errand {
            Errand::Show { what } => return told(self.show(&what).await?),
            Errand::OpenApprove { request } => return told(self.open_approve(&by, &request).await?),
            Errand::OpenRefuse { request } => {
                self.open_refuse(&by, &request).await?;
                return Ok(json!({"refused": request}));
            }
            Errand::Opened { request } => return told(self.opened(&by, &request).await?),
            Errand::Requests {} => return told(self.requests().await?),
            Errand::Registers { act, by, before } => {
                let filter = RegisterFilter { act, by, before };
                let entries =
                    self.blocking(move |desk| desk.registers().list(&filter, ENTRIES_A_PAGE)).await?;
                return told(entries);
            }
            _ => {}
        }
        let mandate = Mandate::new(by, &sent.purpose, &sent.order)?;
        match sent.errand {
            Errand::Search { question, page } => told(self.search(&mandate, &question, &page).await?),
            Errand::Subject { field, value, from, to } => {
                told(self.subject(&mandate, field, &value, (from, to)).await?)
            }
            Errand::Authorization { iss, jti } => told(self.authorization(&mandate, &iss, &jti).await?),
            Errand::OpenRequest { shard, of } => {
                told(self.open_request(&mandate, shard.as_deref(), of).await?)
            }
            Errand::Erase { order } => told(self.erase(&mandate, &order).await?),
            Errand::Hold { shard, of } => told(self.hold(&mandate, shard.as_deref(), of).await?),
            Errand::Release { shard, of } => told(self.release_hold(&mandate, shard.as_deref(), of).await?),
            Errand::Export { facts } => told(json!({"leaves": self.export(&mandate, facts).await?})),
            Errand::Retention {} => told(self.retention(&mandate).await?),
            Errand::Completeness { warrant } => told(self.completeness(&mandate, &warrant).await?),
            Errand::Warrant { shard, field, value, from, to } => {
                let (warrant, leaf) =
                    self.warrant(&mandate, shard.as_deref(), field, &value, (from, to)).await?;
                Ok(json!({"warrant": warrant, "leaf": leaf}))
            }
            Errand::Sample { shard, n } => told(self.sample(&mandate, shard.as_deref(), n).await?),
            Errand::Show { .. }
            | Errand::OpenApprove { .. }
            | Errand::OpenRefuse { .. }
            | Errand::Opened { .. }
            | Errand::Requests {}
            | Errand::Registers { .. } => Err(DeskFault::Interrupted),
        }
    }

    /// Requests for evidence that live, newest first.
    pub async fn requests(&self) -> Result<Vec<super::Request>, DeskFault> {
        let now = self.inner.clock.now().ms();
        self.blocking(move |desk| desk.registers().requests(now)).await
    }
}

fn told(result: impl Serialize) -> Result<Value, DeskFault> {
    serde_json::to_value(result).map_err(|_| DeskFault::Registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_reads_back_and_a_misspelt_one_is_none() {
        let text = r#"{"as":"li","purpose":"核查","order":"1","errand":{"do":"open-request","of":[4]}}"#;
        let sent: Sent = serde_json::from_str(text).unwrap();
        assert!(matches!(&sent.errand, Errand::OpenRequest { of, .. } if of == &[4]));
        assert!(serde_json::from_str::<Sent>(&text.replace("open-request", "open")).is_err());
        assert!(serde_json::from_str::<Sent>(&text.replace("\"of\"", "\"off\"")).is_err());
        let page =
            r#"{"as":"li","errand":{"do":"search","question":{"partner":"331083"},"page":{"rows":50}}}"#;
        let sent: Sent = serde_json::from_str(page).unwrap();
        let again = serde_json::to_string(&sent).unwrap();
        assert!(serde_json::from_str::<Sent>(&again).is_ok(), "{again}");
    }
}
