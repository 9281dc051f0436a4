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

proptest::proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in "\\PC{0,40}", kind in "[0-9]{3}") {
        let today = jiff::civil::date(2026, 11, 22);
        let _ = (check_uscc(&text), check_license_id(&text), check_item_code(&text), check_case_number(&text));
        let _ = (check_type_code(&text), check_disability_number(&text), check_name(&text), mod37_36(&text));
        let _ = (normalise_holder(&kind, &text, today), Region::parse(&text), address_existed(&text));
    }

    #[test]
    fn a_composed_license_id_is_read_back(serial in "[0-9A-Z]{1,64}", version in "[0-9]{3}") {
        let id = LicenseId::compose("111000000000131433001", "11331083TECT000279", &serial, &version).unwrap();
        assert_eq!((id.serial(), id.version()), (serial.as_str(), version.as_str()));
        assert_eq!(LicenseId::parse(id.as_str()).unwrap().as_str(), id.as_str());
    }

    #[test]
    fn a_mistyped_digit_of_an_id_number_is_noticed(at in 0_usize..17, digit in 0_u8..10) {
        let right = "440703190303039973";
        let mut wrong = right.to_owned();
        wrong.replace_range(at..=at, &digit.to_string());
        assert_eq!(check_resident_id(&wrong).is_ok(), wrong == right);
    }
}
