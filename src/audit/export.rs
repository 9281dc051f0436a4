//! Export: leaves with their proofs and evidence in a package, given once it is recorded.

use serde_json::json;

use super::act::Intent;
use super::open::in_order;
use super::package::{Export, ExportFault, Selection, export};
use super::request::MOST_IN_A_REQUEST;
use super::{Act, Desk, DeskFault, Mandate};
use crate::ledger::LedgerKey;

/// What an auditor takes along. No `Debug`: it holds secrets of evidence.
pub struct Package {
    /// The archive.
    pub bytes: Vec<u8>,
    /// Of the archive, hex; the register entry says the same.
    pub sha256: String,
    /// The `export` leaf.
    pub leaf: String,
}

impl Desk {
    /// The leaves `of` a log (without one the newest); `key` signs the package's manifest.
    pub async fn export(
        &self,
        mandate: &Mandate,
        key: LedgerKey,
        shard: Option<&str>,
        of: Vec<u64>,
    ) -> Result<Package, DeskFault> {
        mandate.may(Act::Export)?;
        let of = in_order(of);
        if of.is_empty() || of.len() > MOST_IN_A_REQUEST {
            return Err(DeskFault::Asked("a package names 1 to 100 leaves"));
        }
        let shard = self.shard(shard)?;
        let wanted = of.clone();
        let (bytes, made) = self
            .blocking(move |desk| {
                let selection = Selection::Leaves(wanted);
                let request =
                    Export { data: &desk.inner.data, key: &key, shard: Some(shard), selection, policy: None };
                let mut bytes = Vec::new();
                let made = export(&request, &mut bytes).map_err(|fault| match fault {
                    ExportFault::Nothing | ExportFault::NoSuchExchange { .. } => DeskFault::NoSuchLeaf,
                    ExportFault::TooMany => DeskFault::Asked("more leaves than a package takes"),
                    ExportFault::OtherKey => DeskFault::NoKeys,
                    ExportFault::Extract(_) | ExportFault::Io(_) | ExportFault::Changed => {
                        DeskFault::Interrupted
                    }
                })?;
                Ok((bytes, made))
            })
            .await?;
        let sha256 = hex::encode(made.sha256);
        let intent = Intent {
            n: made.leaves,
            shard: Some(shard),
            of,
            what: json!({"sha256": sha256}),
            ..Intent::new(Act::Export)
        };
        let recorded = self.record(mandate, intent).await?;
        self.finish(&recorded).await?;
        Ok(Package { bytes, sha256, leaf: recorded.leaf })
    }
}
