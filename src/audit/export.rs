//! Exports: who took which exchanges out of the house, and the hash of what he took.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::Intent;
use super::open::in_order;
use super::{Act, Desk, DeskFault, MOST_IN_A_LEAF, Mandate};

/// A package that was made and waits for its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportFacts {
    /// The log as `2026h2`.
    pub shard: String,
    /// Hex SHA-256 of the package.
    pub sha256: String,
    /// Leaves in it.
    pub leaves: u64,
    /// Indices whose evidence is in it.
    pub of: Vec<u64>,
}

impl Desk {
    /// Records an export, in as many leaves as its exchanges need; tells them. Whoever made the
    /// package hands it out only then.
    pub async fn export(&self, mandate: &Mandate, facts: ExportFacts) -> Result<Vec<String>, DeskFault> {
        mandate.may(Act::Export)?;
        let is_hash = facts.sha256.len() == 64 && facts.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hash {
            return Err(DeskFault::Asked("sha256 is the package's, in hex"));
        }
        let shard = self.shard(Some(&facts.shard))?;
        let of = in_order(facts.of);
        let what = json!({"sha256": facts.sha256, "leaves": facts.leaves});
        let mut leaves = Vec::new();
        // Without evidence in it, the package is recorded all the same.
        let empty: &[u64] = &[];
        let parts: Vec<&[u64]> =
            if of.is_empty() { vec![empty] } else { of.chunks(MOST_IN_A_LEAF).collect() };
        for part in parts {
            let intent = Intent {
                n: facts.leaves,
                shard: Some(shard),
                of: part.to_vec(),
                what: what.clone(),
                ..Intent::new(Act::Export)
            };
            let recorded = self.record(mandate, intent).await?;
            self.finish(&recorded).await?;
            leaves.push(recorded.leaf);
        }
        Ok(leaves)
    }
}
