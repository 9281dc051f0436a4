//! A warrant: the search key of one subject in one log and period, for an auditor from outside.
//! Who holds it can find that subject and nobody else; the log's own key never leaves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::Intent;
use super::find::mark_of;
use super::{Act, Desk, DeskFault, Mandate, Question};
use crate::ledger::Shard;
use crate::ledger::evidence::{Field, SubjectKey};

/// The file. No `Debug`: whoever has it can search.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warrant {
    pub field: Field,
    /// Milliseconds since 1970, inclusive.
    pub from: i64,
    /// `2026h2`.
    pub shard: String,
    /// `T(field, value)`, base64url.
    pub t: String,
    /// Exclusive.
    pub to: i64,
}

impl Warrant {
    pub fn log(&self) -> Result<Shard, DeskFault> {
        Shard::parse(&self.shard).ok_or(DeskFault::Asked("the warrant names no log"))
    }

    pub fn subject(&self) -> Result<SubjectKey, DeskFault> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.t).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(SubjectKey::from_bytes).ok_or(DeskFault::Asked("the warrant holds no key"))
    }

    /// Is this moment in its period?
    pub fn covers(&self, ts: i64) -> bool {
        (self.from..self.to).contains(&ts)
    }
}

impl Desk {
    /// A warrant for one subject; without a period for the whole log.
    pub async fn warrant(
        &self,
        mandate: &Mandate,
        shard: Option<&str>,
        field: Field,
        value: &str,
        (from, to): (Option<i64>, Option<i64>),
    ) -> Result<(Warrant, String), DeskFault> {
        mandate.may(Act::Warrant)?;
        let question = Question { from, to, ..Question::about(field, value) };
        question.check()?;
        let (shard, asked) = (self.shard(shard)?, question.clone());
        let subject = self
            .blocking(move |desk| Ok(desk.subjects(shard, &asked)?.and_then(|mut found| found.pop())))
            .await?
            .ok_or(DeskFault::NoKeys)?;
        let intent = Intent {
            what: json!({"log": shard.to_string(), "question": question.told()}),
            sought: vec![mark_of(&subject)],
            ..Intent::new(Act::Warrant)
        };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        let warrant = Warrant {
            field,
            from: from.unwrap_or(0),
            shard: shard.to_string(),
            t: URL_SAFE_NO_PAD.encode(subject.bytes()),
            to: to.unwrap_or(MOST_EXACT),
        };
        Ok((warrant, recorded.leaf))
    }
}

/// The largest integer every reader of JSON keeps: no end.
const MOST_EXACT: i64 = 1 << 53;
