//! Which files may come: those that cases name.

use super::House;
use crate::answer::Code;
use crate::domain::Region;
use crate::material::{Announcement, Depositor, MaterialDigest};

impl House {
    pub async fn materials_expected(&self, partner: Region, digest: &MaterialDigest) -> Announcement {
        self.file_announced(partner, &digest.to_string()).await
    }

    /// The file is whole and on disk; the cases that wait for it are told before its depositor
    /// is.
    pub async fn material_arrived(&self, depositor: Depositor, digest: &MaterialDigest) -> Result<(), Code> {
        let Depositor::Partner(partner) = depositor else { return Ok(()) };
        let told = self.file_arrived(partner.as_str(), &digest.to_string(), self.clock.now()).await;
        told.map_err(|fault| {
            tracing::error!(target: "material", ?fault, "a case was not told of its file; the same file again tells it");
            Code::Overloaded
        })
    }
}
