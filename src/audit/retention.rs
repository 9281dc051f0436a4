//! Retention: whole months of evidence go when their class's period is over.
//!
//! Promises: the `erase` leaf with op `drop`, whose `code` is `<yyyy-mm>.<class>` and `n` the
//! rows, stands before the file is unlinked; a month with a held row stays.

use serde::Serialize;
use serde_json::json;

use super::act::Intent;
use super::mandate::Actor;
use super::{Act, Desk, DeskFault, Mandate};
use crate::ledger::{Month, RetentionClass, Shard, VaultOrder};
use crate::store::Shelf as _;

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retention {
    pub dropped: Vec<Dropped>,
    /// Months whose period is over and in which something is held.
    pub kept: Vec<Dropped>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// `2026-11`.
    pub month: String,
    pub class: String,
    /// Records in it.
    pub rows: u64,
    /// Of them held.
    pub held: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
}

/// A vault whose period is over.
struct Due {
    shard: Shard,
    month: Month,
    class: RetentionClass,
    rows: u64,
    held: u64,
}

impl Desk {
    /// The gateway's own daily run; what an earlier act left undone is done with it.
    pub async fn retain(&self) -> Result<Retention, DeskFault> {
        self.settle().await?;
        let mandate = Mandate::new(Actor::gateway(), "retention period is over 保存期限届满", "retention")?;
        self.retention(&mandate).await
    }

    /// Drops what is due now.
    pub async fn retention(&self, mandate: &Mandate) -> Result<Retention, DeskFault> {
        mandate.may(Act::Drop)?;
        let due = self.blocking(|desk| desk.due()).await?;
        let mut run = Retention::default();
        for due in due {
            let mut told = Dropped {
                month: due.month.to_string(),
                class: due.class.name().to_owned(),
                rows: due.rows,
                held: due.held,
                leaf: None,
            };
            if due.held > 0 {
                run.kept.push(told);
                continue;
            }
            let intent = Intent {
                n: due.rows,
                shard: Some(due.shard),
                what: json!({"month": told.month, "class": told.class}),
                code: Some(format!("{}.{}", told.month, told.class)),
                ..Intent::new(Act::Drop)
            };
            let recorded = self.record(mandate, intent).await?;
            let order = VaultOrder::Drop { shard: due.shard, month: due.month, class: due.class };
            self.carry_out(order).await?;
            self.finish(&recorded).await?;
            told.leaf = Some(recorded.leaf);
            run.dropped.push(told);
        }
        Ok(run)
    }

    fn due(&self) -> Result<Vec<Due>, DeskFault> {
        let (vaults, now) = (self.vaults(), self.inner.clock.now());
        let mut due = Vec::new();
        for shard in self.shelf().shards()? {
            for (month, class) in vaults.list(shard)? {
                if !self.inner.periods.is_over(class, month, now) {
                    continue;
                }
                let Some(file) = vaults.open(shard, month, class)? else { continue };
                let held = file.held()?.len() as u64;
                due.push(Due { shard, month, class, rows: file.count()?, held });
            }
        }
        Ok(due)
    }
}
