//! Which files may come: those that cases name.

use super::House;
use crate::domain::Region;
use crate::material::{Announcement, Announcements, Depositor, MaterialDigest};

impl House {
    /// Somebody else than the cases here knows which files applications name; false if
    /// somebody does already.
    pub fn announce_materials(&self, by: impl Announcements + 'static) -> bool {
        self.announcements.set(Box::new(by)).is_ok()
    }

    pub async fn materials_expected(&self, partner: Region, digest: &MaterialDigest) -> Announcement {
        match self.announcements.get() {
            Some(known) => known.announced(partner, digest),
            None => self.file_announced(partner, &digest.to_string()).await,
        }
    }

    /// The file is whole and on disk; whoever waits for it is told before its depositor is.
    pub async fn material_arrived(&self, depositor: Depositor, digest: &MaterialDigest) {
        if let Some(known) = self.announcements.get() {
            return known.arrived(depositor, digest).await;
        }
        let Depositor::Partner(partner) = depositor else { return };
        let told = self.file_arrived(partner.as_str(), &digest.to_string(), self.clock.now()).await;
        if let Err(fault) = told {
            tracing::error!(target: "material", ?fault, "a case was not told of its file; the next start tells it");
        }
    }
}
