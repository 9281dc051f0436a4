//! Identifiers, canonical JSON and days as the vectors of `conformance/vectors/` have them.

use jiff::civil::Date;
use serde_json::Value;
use tongban::authorization::holder_digest;
use tongban::clock::Now;
use tongban::domain::{
    Calendar, IdentifierFault, ResidentId, TimeLimit, TimeUnit, Uscc, check_case_number, check_item_code,
    check_license_id, colour, due_with_pauses, mod37_36,
};

use crate::support::*;
use crate::vectors::{rows, text, vectors, whole};

/// From an identifier to the word of its verdict.
type Judge<'a> = &'a dyn Fn(&str) -> &'static str;

fn word(result: Result<(), IdentifierFault>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(IdentifierFault::Format) => "format",
        Err(IdentifierFault::CheckCharacter) => "check",
        Err(IdentifierFault::Date) => "date",
        Err(IdentifierFault::Future) => "future",
        Err(IdentifierFault::Region) => "region",
        Err(IdentifierFault::TypeAuthority) => "type-uscc",
    }
}

#[test]
fn identifiers_are_judged_as_their_vectors_say() {
    let all = vectors("identifiers.json");
    let today: Date = text(&all, "today").parse().unwrap();
    let uscc = |code: &str| {
        let found = Uscc::parse(code);
        let exception = found.as_ref().is_ok_and(Uscc::is_exception);
        if exception { "ok-exception" } else { word(found.map(drop)) }
    };
    let judges: [(&str, Judge<'_>); 5] = [
        ("id", &|code| word(ResidentId::parse(code, today).map(drop))),
        ("uscc", &uscc),
        ("license_id", &|code| word(check_license_id(code))),
        ("item_code", &|code| if check_item_code(code).is_ok() { "ok" } else { "bad" }),
        ("case_no", &|code| word(check_case_number(code))),
    ];
    for (table, judge) in judges {
        for row in rows(&all[table]) {
            let code = row[0].as_str().unwrap();
            assert_eq!(judge(code), row[1].as_str().unwrap(), "{table} {code}");
        }
    }
    for row in rows(&all["mod37_36"]) {
        assert_eq!(mod37_36(text(row, "text")).map(String::from).as_deref(), row["check"].as_str());
    }
    for row in rows(&all["holder_digests"]) {
        let digest = holder_digest(text(row, "jti"), text(row, "type"), text(row, "number"));
        assert_eq!(digest, text(row, "digest"));
    }
}

#[test]
fn canonical_json_is_the_vectors() {
    for row in rows(&vectors("jcs.json")["values"]) {
        let value: Value = serde_json::from_str(text(row, "json")).unwrap();
        let bytes = tongban::json::jcs(&value);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), text(row, "jcs"));
        assert_eq!(b64(sha256(&bytes)), text(row, "digest"));
    }
}

#[test]
fn days_and_limits_are_counted_as_the_vectors_say() {
    let (all, calendar) = (vectors("calendar.json"), Calendar::shipped());
    for row in rows(&all["working_days"]) {
        let year = i16::try_from(whole(row, "year")).unwrap();
        let (first, last) = (jiff::civil::date(year, 1, 1), jiff::civil::date(year, 12, 31));
        let after = calendar.working_days_between(first, last).unwrap();
        let counted = after + u32::from(calendar.is_working_day(first).unwrap());
        assert_eq!(i64::from(counted), whole(row, "count"), "{year}");
    }
    for row in rows(&all["limits"]) {
        let unit = match text(row, "unit") {
            "working_day" => TimeUnit::WorkingDay,
            "calendar_day" => TimeUnit::CalendarDay,
            _ => TimeUnit::Hour,
        };
        let limit = TimeLimit { value: u32::try_from(whole(row, "value")).unwrap(), unit };
        let moment = |value: &Value| value.as_i64().map(Now::from_secs);
        let pauses: Vec<_> = row["pauses"].as_array().into_iter().flatten().collect();
        let pauses: Vec<_> = pauses.iter().map(|p| (moment(&p[0]).unwrap(), moment(&p[1]))).collect();
        match due_with_pauses(Now::from_secs(whole(row, "start")), limit, &pauses, calendar) {
            Ok(due) => assert_eq!(due.secs(), whole(row, "due"), "{row}"),
            Err(fault) => assert_eq!(i64::from(fault.year), whole(row, "unpublished"), "{row}"),
        }
    }
    for row in rows(&all["colours"]) {
        let at = |member| Now::from_secs(whole(row, member));
        let found = colour(at("start"), at("due"), at("now"), calendar).unwrap();
        assert_eq!(found.name(), text(row, "colour"), "{row}");
    }
}
