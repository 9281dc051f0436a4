//! 异地就医备案: a stay has an address, an occasion has an end.

use jiff::civil::Date;
use serde_json::Value;

use super::super::rules::{in_order, text};
use super::super::telling::Faults;
use super::{apart, unmet};

/// Categories of people who live where they seek care.
const STAYING: [&str; 3] = ["retiree", "resident", "posted"];

pub(super) fn check(form: &Value, _: Date, faults: &mut Faults) {
    apart(form, "/insured_region", "/care_region", faults);
    in_order(form, "from", "to", "", faults);
    let Some(category) = text(form, "category") else { return };
    if STAYING.contains(&category) {
        if form.get("address").is_none() {
            let (en, zh) = ("is missing: the person stays there", "长期居住类备案须填写就医地住址");
            unmet(faults, "/address", "required", en, zh);
        }
    } else if form.get("to").is_none() {
        let (en, zh) = ("is missing: an occasion has an end", "临时外出就医备案须填写结束日期");
        unmet(faults, "/to", "required", en, zh);
    }
}
