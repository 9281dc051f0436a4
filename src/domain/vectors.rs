//! Every row of `tests/vectors/domain.json` that speaks of identifiers.

use serde_json::Value;

use super::*;

fn rows(table: &str) -> Vec<(String, String)> {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/domain.json")).unwrap();
    let rows = all[table].as_array().unwrap();
    assert!(!rows.is_empty());
    rows.iter().map(|r| (r[0].as_str().unwrap().to_owned(), r[1].as_str().unwrap().to_owned())).collect()
}

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
fn id_numbers_are_judged_as_published() {
    let today = jiff::civil::date(2026, 11, 22);
    for (text, verdict) in rows("id") {
        assert_eq!(word(ResidentId::parse(&text, today).map(drop)), verdict, "{text}");
    }
}

#[test]
fn credit_codes_are_judged_as_published() {
    for (text, verdict) in rows("uscc") {
        let found = Uscc::parse(&text);
        let exception = found.as_ref().is_ok_and(Uscc::is_exception);
        let said = if exception { "ok-exception" } else { word(found.map(drop)) };
        assert_eq!(said, verdict, "{text}");
    }
}

#[test]
fn license_ids_are_judged_as_published() {
    for (text, verdict) in rows("license_id") {
        assert_eq!(word(check_license_id(&text)), verdict, "{text}");
    }
}

#[test]
fn item_codes_are_judged_as_published() {
    for (text, verdict) in rows("item_code") {
        assert_eq!(check_item_code(&text).is_ok(), verdict == "ok", "{text}");
    }
}

#[test]
fn case_numbers_are_judged_as_published() {
    for (text, verdict) in rows("case_no") {
        assert_eq!(word(check_case_number(&text)), verdict, "{text}");
    }
}
