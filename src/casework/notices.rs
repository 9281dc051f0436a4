//! What the region's own systems are told of a case (webhooks and the pull list).

use serde_json::json;

use super::rows::notice;
use crate::case::Case;
use crate::casebook::Write;
use crate::clock::Now;

/// The case has an event, or another state, since it was last told of.
pub(super) fn of_case(case: &Case, mine: bool, now: Now) -> Write {
    let last = case.events().last();
    notice(
        "case.event",
        case.number(),
        json!({
            "case": case.number(),
            "role": case.role().name(),
            "partner": case.partner().as_str(),
            "item": case.terms().item,
            "state": case.state().name(),
            "state_zh": case.state().zh(),
            "seq": last.map(|mark| mark.seq),
            "event": last.map(|mark| mark.event.clone()),
            "at": last.map(|mark| mark.at),
            "mine": mine,
        }),
        now,
    )
}

/// A file of the case has arrived.
pub(super) fn of_material(case: &Case, sha256: &str, now: Now) -> Write {
    notice(
        "case.material",
        case.number(),
        json!({"case": case.number(), "sha256": sha256, "awaiting": case.awaiting()}),
        now,
    )
}
