//! What hangs on a case besides its row: its files, its parent, the licenses it issued.

use std::sync::PoisonError;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::{Undone, changed, read_case, rows};
use crate::case::{Case, Proof};
use crate::casebook::{MaterialRow, MemoRow, Write};
use crate::clock::Now;
use crate::domain::{Region, license_type_of};
use crate::house::House;
use crate::license::Changed;
use crate::material::{Announcement, MaterialDigest};

/// Case numbers taken from the casebook at once: one write for so many submits, and at most so
/// many numbers unused after a stop.
const SERIALS_AT_ONCE: u32 = 1000;

/// The serial numbers of a day (protocol §1).
#[derive(Debug, Default)]
pub struct Serials {
    day: Option<Date>,
    next: u32,
    /// Up to here numbers are reserved in the casebook.
    reserved: u32,
}

impl House {
    /// The next serial of a case number today. Each is given once, also across a restart.
    pub(super) async fn next_serial(&self, now: Now) -> Result<u32, Undone> {
        let today = now.shanghai_day();
        if let Some(serial) = self.reserved_serial(today) {
            return Ok(serial);
        }
        let name = format!("serial:{today}");
        let _held = self.casebook.hold(&name).await;
        if let Some(serial) = self.reserved_serial(today) {
            return Ok(serial);
        }
        let known = self.casebook.memo(&name).await?.and_then(|memo| memo.value.as_u64());
        let start = u32::try_from(known.unwrap_or(0)).unwrap_or(u32::MAX);
        let reserved = start.saturating_add(SERIALS_AT_ONCE);
        self.casebook.write(vec![Write::Memo(MemoRow { name, value: json!(reserved) })]).await?;
        // The first of them is ours; the others find the rest.
        let mut serials = self.serials.lock().unwrap_or_else(PoisonError::into_inner);
        *serials = Serials { day: Some(today), next: start.saturating_add(1), reserved };
        Ok(serials.next)
    }

    /// One of the numbers that are reserved already.
    fn reserved_serial(&self, today: Date) -> Option<u32> {
        let mut serials = self.serials.lock().unwrap_or_else(PoisonError::into_inner);
        let left = serials.day == Some(today) && serials.next < serials.reserved;
        left.then(|| {
            serials.next += 1;
            serials.next
        })
    }

    /// Is the file on this side's shelf?
    pub(super) fn has_file(&self, sha256: &str) -> bool {
        MaterialDigest::parse(sha256).is_some_and(|digest| self.materials.has(&digest))
    }

    /// Whether a case of this partner names the file and waits for it, and its length.
    pub(crate) async fn file_announced(&self, partner: Region, sha256: &str) -> Announcement {
        let coming = self.casebook.announced_file(sha256, partner.as_str()).await.unwrap_or_default();
        coming.map_or(Announcement::Unknown, |row| Announcement::Announced { bytes: row.bytes })
    }

    /// Files of a case of ours that the region's own systems still have to bring.
    pub(super) fn files_missing_here(&self, case: &Case) -> Vec<String> {
        case.awaiting().into_iter().filter(|file| !self.has_file(file)).collect()
    }

    /// Rows for uploads that came with an event.
    pub(super) fn new_files(&self, before: &Case, after: &Case) -> Vec<Write> {
        let named = |case: &Case, file: &str| {
            case.materials()
                .iter()
                .any(|m| matches!(&m.proof, Proof::Upload { sha256, .. } if sha256 == file))
        };
        rows::materials(after, &[])
            .into_iter()
            .filter(|write| matches!(write, Write::Material(row) if !named(before, &row.sha256)))
            .collect()
    }

    /// 多地联办: the parent learns how its part stands. Under the parent's line.
    pub(super) async fn told_parent(&self, part: &Case, now: Now) -> Result<Vec<Write>, Undone> {
        let Some(parent) = part.parent() else { return Ok(Vec::new()) };
        let Some(row) = self.casebook.case(parent).await? else { return Ok(Vec::new()) };
        let case = read_case(&row)?;
        if !case.may_have_part(part) {
            return Ok(Vec::new());
        }
        Ok(vec![changed(self, &row, &case.with_part(part, true), now)])
    }

    /// A new case with the parts of it that came before it. Under its line.
    pub(super) async fn with_known_parts(&self, mut case: Case) -> Result<Case, Undone> {
        for row in self.casebook.children(case.number()).await? {
            let part = read_case(&row)?;
            if case.may_have_part(&part) {
                case = case.with_part(&part, true);
            }
        }
        Ok(case)
    }

    /// After an event: records of licenses that it issued or corrected leave the cache, and with
    /// an issued one what the cache holds of the applicant, a "not found" included.
    pub(super) async fn after_event(&self, case: &Case) {
        let Some(last) = case.events().last() else { return };
        let issued = last.event == "issue_license";
        let licenses: Vec<String> = match last.event.as_str() {
            "issue_license" => case.licenses().to_vec(),
            "request_correction" | "answer_correction" => {
                case.corrections().iter().map(|correction| correction.license_id.clone()).collect()
            }
            _ => return,
        };
        let applicant = if issued { self.applicant_of(case.number()).await } else { None };
        for license in licenses {
            let by_holder = applicant
                .as_ref()
                .and_then(|holder| Some(json!({"type": license_type_of(&license)?, "holder": holder})));
            for notice in [Some(json!({"license_id": license})), by_holder].into_iter().flatten() {
                if let Ok(notice) = Changed::from_value(&notice) {
                    self.lookup.changed(&notice).await;
                }
            }
        }
    }

    /// The applicant as a license names its holder; of the submit, which alone has it whole.
    async fn applicant_of(&self, case: &str) -> Option<Value> {
        let submit = self.casebook.event(case, 0).await.ok()??.body;
        let applicant = submit.get("applicant")?;
        Some(json!({"type": applicant.get("id_type")?, "number": applicant.get("id_number")?}))
    }

    /// A file of a partner's case, or one that we send, is whole on our shelf.
    pub async fn file_arrived(&self, partner: &str, sha256: &str, now: Now) -> Result<(), Undone> {
        for row in self.casebook.awaiting_file(sha256, partner).await? {
            let Some(opened) = self.open_case(&row.case).await? else { continue };
            let next = opened.case.arrived(sha256, now);
            let writes = vec![
                changed(self, &opened.row, &next, now),
                Write::Material(MaterialRow { there: true, ..row }),
                super::notices::of_material(&next, sha256, now),
            ];
            self.casebook.write(writes).await?;
        }
        Ok(())
    }

    /// A partner has a file of a case of ours.
    pub async fn file_delivered(&self, case: &str, sha256: &str, now: Now) -> Result<(), Undone> {
        let Some(opened) = self.open_case(case).await? else { return Ok(()) };
        let next = opened.case.arrived(sha256, now);
        let rows = self.casebook.materials_of(case).await?;
        let mut writes = vec![changed(self, &opened.row, &next, now)];
        for row in rows.into_iter().filter(|row| row.sha256 == sha256) {
            writes.push(Write::Material(MaterialRow { there: true, ..row }));
        }
        Ok(self.casebook.write(writes).await?)
    }
}
