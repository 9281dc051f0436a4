//! 夫妻投靠: moving the household registration to a spouse.

use jiff::civil::Date;
use serde_json::Value;

use super::super::rules::{day, text};
use super::super::telling::Faults;
use super::{two_people, unmet};
use crate::domain::{ResidentId, Sex};

pub(super) fn check(form: &Value, today: Date, faults: &mut Faults) {
    two_people(form, faults);
    if form.get("marriage").and_then(|marriage| day(marriage, "registered_on")).is_some_and(|on| on > today) {
        let (en, zh) = ("lies in the future", "登记日期晚于今天");
        unmet(faults, "/marriage/registered_on", "date-order", en, zh);
    }
    let sex =
        text(form, "id_number").and_then(|id| ResidentId::parse(id, today).ok()).and_then(|id| id.sex());
    let fits = match text(form, "relation") {
        // 本人 and 户主: whoever moves to a spouse is not the head.
        Some("01" | "02") => false,
        Some("11") => sex != Some(Sex::Female),
        Some("12") => sex != Some(Sex::Male),
        _ => true,
    };
    if !fits {
        let (en, zh) = ("does not fit who moves to a spouse", "与户主关系与投靠人身份或性别不符");
        unmet(faults, "/relation", "relation", en, zh);
    }
}
