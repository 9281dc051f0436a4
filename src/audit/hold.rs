//! Holds: evidence that a court or an inquiry needs stays, whatever else is ordered.

use serde::{Deserialize, Serialize};

use super::act::{Intent, order_of_parts};
use super::open::in_order;
use super::{Act, Desk, DeskFault, MOST_IN_A_LEAF, Mandate};

/// What a hold or a release did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Indices it concerned.
    pub of: Vec<u64>,
    /// Indices without evidence: there was nothing to hold, or it was held (or free) already.
    pub absent: Vec<u64>,
    pub leaf: String,
}

impl Desk {
    pub async fn hold(
        &self,
        mandate: &Mandate,
        shard: Option<&str>,
        of: Vec<u64>,
    ) -> Result<Held, DeskFault> {
        self.holding(Act::Hold, mandate, shard, of).await
    }

    pub async fn release_hold(
        &self,
        mandate: &Mandate,
        shard: Option<&str>,
        of: Vec<u64>,
    ) -> Result<Held, DeskFault> {
        self.holding(Act::Release, mandate, shard, of).await
    }

    async fn holding(
        &self,
        act: Act,
        mandate: &Mandate,
        shard: Option<&str>,
        of: Vec<u64>,
    ) -> Result<Held, DeskFault> {
        mandate.may(act)?;
        let of = in_order(of);
        if of.is_empty() || of.len() > MOST_IN_A_LEAF {
            return Err(DeskFault::Asked("an order names 1 to 4096 leaves"));
        }
        let shard = self.shard(shard)?;
        let intent = Intent { n: of.len() as u64, shard: Some(shard), of: of.clone(), ..Intent::new(act) };
        let recorded = self.record(mandate, intent).await?;
        let concerned = match order_of_parts(act, shard, of.clone(), recorded.mark) {
            Some(order) => self.carry_out(order).await?,
            None => Vec::new(),
        };
        self.finish(&recorded).await?;
        let absent = of.into_iter().filter(|index| !concerned.contains(index)).collect();
        Ok(Held { of: in_order(concerned), absent, leaf: recorded.leaf })
    }
}
