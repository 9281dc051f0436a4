//! A sample: random exchanges whose evidence is looked at, so that rubbish sealed from the
//! start does not stay unseen for years.
//!
//! Here only what needs no key: secret and ciphertext are those the leaf names, the wrapping is
//! there. Whether it opens an auditor sees who opens it: the sample files a request for that.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::Intent;
use super::{Act, Desk, DeskFault, MOST_IN_A_REQUEST, Mandate, Request, rd_of};
use crate::ledger::evidence::epoch_commitment;
use crate::ledger::{LeafHash, Mark, Shard};

/// Tries for one leaf with evidence: in a log full of others a sample is smaller than asked.
const TRIES_A_LEAF: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    pub shard: String,
    /// Indices that were looked at.
    pub of: Vec<u64>,
    /// Of them those whose evidence is not what the leaf names.
    pub damaged: Vec<u64>,
    /// To be approved by a second person, then opened by an auditor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    pub leaf: String,
}

impl Desk {
    pub async fn sample(
        &self,
        mandate: &Mandate,
        shard: Option<&str>,
        n: usize,
    ) -> Result<Sampled, DeskFault> {
        mandate.may(Act::Sample)?;
        if !(1..=MOST_IN_A_REQUEST).contains(&n) {
            return Err(DeskFault::Asked("a sample has 1 to 100 leaves"));
        }
        let shard = self.shard(shard)?;
        let (of, damaged) = self.blocking(move |desk| desk.look_at(shard, n)).await?;
        let intent = Intent {
            n: of.len() as u64,
            shard: Some(shard),
            of: of.clone(),
            what: json!({"damaged": damaged.len()}),
            ..Intent::new(Act::Sample)
        };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        let request = match of.is_empty() {
            true => None,
            false => Some(self.open_request(mandate, Some(&shard.to_string()), of.clone()).await?),
        };
        Ok(Sampled { shard: shard.to_string(), of, damaged, request, leaf: recorded.leaf })
    }

    /// Random leaves with evidence, and those among them that are not what they say.
    fn look_at(&self, shard: Shard, n: usize) -> Result<(Vec<u64>, Vec<u64>), DeskFault> {
        let vaults = self.vaults();
        let mut files = Vec::new();
        for (month, class) in vaults.list(shard)? {
            if let Some(file) = vaults.open(shard, month, class)?
                && let Some(span) = file.span()?
            {
                files.push((file, span));
            }
        }
        let (mut of, mut damaged) = (Vec::new(), Vec::new());
        for _ in 0..n * TRIES_A_LEAF {
            if of.len() == n || files.is_empty() {
                break;
            }
            let at = draw(files.len() as u64)?;
            let Some((file, (first, last))) = usize::try_from(at).ok().and_then(|at| files.get(at)) else {
                break;
            };
            let index = first + draw(last - first + 1)?;
            let Some(row) = file.row(index)?.filter(|_| !of.contains(&index)) else { continue };
            of.push(index);
            let leaf = self.leaf(Mark { shard, index })?;
            let whole = leaf.ev == Some(LeafHash(rd_of(&row.sealed)))
                && leaf.rh.as_deref() == Some(&super::completeness::short_hash(&row.r))
                && file.epoch(row.epoch)?.is_some_and(|wrapped| {
                    leaf.ek.as_ref().is_none_or(|ek| *ek == epoch_commitment(&wrapped))
                });
            if !whole {
                damaged.push(index);
            }
        }
        of.sort_unstable();
        damaged.sort_unstable();
        Ok((of, damaged))
    }
}

/// A number below `below`, evenly enough: 64 random bits.
fn draw(below: u64) -> Result<u64, DeskFault> {
    let mut bytes = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| DeskFault::NoRandom)?;
    Ok(u64::from_be_bytes(bytes).checked_rem(below).unwrap_or(0))
}
