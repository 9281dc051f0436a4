//! Which files may come, asked of whoever keeps the cases.

use super::House;
use crate::domain::Region;
use crate::material::{Announcement, Announcements, Depositor, MaterialDigest};

impl House {
    /// Who knows which files applications name; false if somebody does already. Before, no
    /// partner may bring any.
    pub fn announce_materials(&self, by: impl Announcements + 'static) -> bool {
        self.announcements.set(Box::new(by)).is_ok()
    }

    pub fn materials_expected(&self, partner: Region, digest: &MaterialDigest) -> Announcement {
        self.announcements.get().map_or(Announcement::Unknown, |known| known.announced(partner, digest))
    }

    pub async fn material_arrived(&self, depositor: Depositor, digest: &MaterialDigest) {
        if let Some(known) = self.announcements.get() {
            known.arrived(depositor, digest).await;
        }
    }
}
