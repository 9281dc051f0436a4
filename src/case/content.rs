//! What a submit or a supplement must agree with: the case's number, its two sides, the
//! agreement's terms and the item's form (protocol §6.1, §12). All faults at once; pointers are within the body.

use jiff::civil::Date;
use serde_json::Value;

use super::submit::{Shown, SubmitBody};
use super::terms::Terms;
use crate::clock::Now;
use crate::domain::{Calendar, CaseNumber, HandlingMode, Necessity, Region, Unpublished, due};
use crate::fault::Fault;
use crate::schema::Catalog;

/// The two regions of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    pub collecting: Region,
    pub handling: Region,
}

/// The body of a submit against number, sides and terms, and its form against the item's.
pub(super) fn submit(
    body: &SubmitBody,
    number: &CaseNumber,
    sides: Sides,
    terms: &Terms,
    today: Date,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    if body.mode != terms.mode {
        faults.push(disagrees("/mode"));
    }
    for (pointer, named, side, numbered) in [
        ("/collecting/region", body.collecting.region, sides.collecting, number.collecting()),
        ("/handling/region", body.handling.region, sides.handling, number.handling()),
    ] {
        if named != side || named.to_string() != numbered {
            let words = ("is not this side of the case", "与办件一方不符");
            faults.push(Fault::new(pointer, "region", words.0, words.1));
        }
    }
    if let Some(parent) = &body.parent {
        if parent == number.as_str() {
            faults.push(Fault::new("/parent", "parent", "is the case itself", "主办件不能是本办件"));
        } else if terms.mode != HandlingMode::MultiJoint {
            faults.push(disagrees("/parent"));
        }
    }
    materials(&body.materials, "/materials", terms, &mut faults);
    // A form that has no schema here is between the agencies.
    if let Some(form) = terms.form.as_deref().and_then(|name| Catalog::embedded().form(name)) {
        let told = form.check(&Value::Object(body.form.clone()), today).err().unwrap_or_default();
        faults.extend(told.into_iter().map(|fault| fault.under("/form")));
    }
    let lacks = |code: &str| !body.materials.iter().any(|shown| shown.code == code);
    if terms.materials.iter().any(|m| m.necessity == Necessity::Required && lacks(&m.code)) {
        let words = ("lacks a material that the agreement requires", "缺少协议规定的必要材料");
        faults.push(Fault::new("/materials", "required-material", words.0, words.1));
    }
    faults
}

/// Each material is the agreement's, shown in a way the agreement allows. Until when a
/// commitment (告知承诺) is to be made good is between the applicant and the agency.
pub(super) fn materials(shown: &[Shown], under: &str, terms: &Terms, faults: &mut Vec<Fault>) {
    for (nth, shown) in shown.iter().enumerate() {
        match terms.material(&shown.code) {
            None => faults.push(unlisted(format!("{under}/{nth}/code"))),
            Some(agreed) if !agreed.evidence.contains(&shown.proof.evidence()) => {
                faults.push(disagrees(format!("{under}/{nth}/evidence")));
            }
            Some(_) => {}
        }
    }
}

/// What may follow after a 容缺受理 follows within the promised limit, counted from `at`
/// (domain reference §7.5).
pub(super) fn to_follow(
    day: Date,
    pointer: &str,
    terms: &Terms,
    at: Now,
    calendar: &Calendar,
) -> Result<Option<Fault>, Unpublished> {
    let last = terms.promise_limit.map(|limit| due(at, limit, calendar)).transpose()?;
    Ok(if last.is_some_and(|last| day > last.shanghai_day()) {
        let words = ("is later than the promised limit allows", "超过承诺时限");
        Some(Fault::new(pointer, "promise-limit", words.0, words.1))
    } else {
        not_before(day, pointer, at)
    })
}

/// Nothing is to be done by a day that has passed.
pub(super) fn not_before(day: Date, pointer: &str, at: Now) -> Option<Fault> {
    (day < at.shanghai_day()).then(|| Fault::new(pointer, "date-order", "has passed", "期限已过"))
}

pub(super) fn unlisted(pointer: impl Into<String>) -> Fault {
    Fault::new(pointer, "material", "is no material the case may have here", "不是此处可用的材料")
}

fn disagrees(pointer: impl Into<String>) -> Fault {
    Fault::new(pointer, "agreement", "differs from the agreement", "与协议不符")
}
