//! Who holds a license: document type codes of GB/T 36903 appendix A (with those of
//! GA/T 2000.156), the number each type demands, and names as people write them.

use std::borrow::Cow;

use jiff::civil::Date;

use super::{IdentifierFault, ResidentId, check_resident_id, check_uscc};

/// The longest holder number that any document type has, with room to spare.
const LONGEST_NUMBER: usize = 64;

/// Whether `number` is one of document type `kind`. Everything but the day of birth of an
/// ID number, for which [`normalise_holder`] is told the day.
pub fn check_holder(kind: &str, number: &str) -> Result<(), IdentifierFault> {
    let digits = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit())
    };
    let shape = match kind {
        "001" => return check_uscc(number),
        "551" if !number.starts_with("81") && !number.starts_with("82") => false,
        "552" if !number.starts_with("83") => false,
        _ if is_id_number(kind) => return check_resident_id(number),
        "414" => {
            (5..=15).contains(&number.len())
                && number.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        }
        "511" => digits(number, &[8, 10]),
        "516" => number.strip_prefix(['H', 'M']).is_some_and(|rest| digits(rest, &[8, 10])),
        _ => printable(number),
    };
    if shape { Ok(()) } else { Err(IdentifierFault::Format) }
}

/// Document types whose number is built like an ID number: ID card, temporary ID card,
/// residence permits of Hong Kong, Macau and Taiwan.
pub fn is_id_number(kind: &str) -> bool {
    matches!(kind, "111" | "112" | "551" | "552")
}

/// The number as it is stored, compared and hashed: an ID number's `x` has become `X`.
/// `today` is the day in Asia/Shanghai.
pub fn normalise_holder(kind: &str, number: &str, today: Date) -> Result<String, IdentifierFault> {
    check_holder(kind, number)?;
    if is_id_number(kind) {
        Ok(ResidentId::parse(number, today)?.as_str().to_owned())
    } else {
        Ok(number.to_owned())
    }
}

/// A person's or an organisation's name: 1–200 characters, no controls, private-use
/// characters or bidirectional marks, no space at either end.
pub fn check_name(text: &str) -> bool {
    (1..=200).contains(&text.chars().count())
        && text.trim() == text
        && text.chars().all(|c| !c.is_control() && !mark(c) && !private(c) && c != '\u{fffd}')
}

/// The name with every variant of the middle dot as U+00B7, so that names of Mongols and
/// Uyghurs compare. Nothing else is folded: characters of a name are never normalised.
pub fn normalise_name(text: &str) -> Cow<'_, str> {
    const VARIANTS: [char; 4] = ['\u{2022}', '\u{30fb}', '\u{ff65}', '\u{2027}'];
    if text.contains(VARIANTS) { Cow::Owned(text.replace(VARIANTS, "\u{b7}")) } else { Cow::Borrowed(text) }
}

/// Numbers of documents whose layout no standard here fixes.
fn printable(text: &str) -> bool {
    (1..=LONGEST_NUMBER).contains(&text.chars().count())
        && check_name(text)
        // Full-width forms would make two numbers of one.
        && !text.chars().any(|c| ('\u{ff01}'..='\u{ff5e}').contains(&c))
}

fn mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_type_has_its_own_number() {
        for (kind, number) in [
            ("001", "11421202TECT000191"),
            ("111", "42120219000101001x"),
            ("414", "E12345678"),
            ("511", "12345678"),
            ("511", "1234567890"),
            ("516", "H12345678"),
            ("999", "第1号 / A-7"),
        ] {
            assert_eq!(check_holder(kind, number), Ok(()), "{kind} {number}");
        }
        for (kind, number) in [
            ("001", "11421202TECT000192"),
            ("111", "421202190001010019"),
            ("414", "e1234"),
            ("414", "E123"),
            ("511", "123456789"),
            ("516", "X12345678"),
            ("551", "42120219000101001X"),
            ("552", "42120219000101001X"),
            ("999", ""),
            ("999", "Ａ1"),
            ("999", "a\u{202e}b"),
        ] {
            assert!(check_holder(kind, number).is_err(), "{kind} {number}");
        }
    }

    #[test]
    fn only_an_id_number_is_folded() {
        let today = jiff::civil::date(2026, 11, 22);
        assert_eq!(normalise_holder("111", "42120219000101001x", today).unwrap(), "42120219000101001X");
        assert_eq!(normalise_holder("999", "abc-x", today).unwrap(), "abc-x");
        assert_eq!(normalise_holder("111", "331083209912310024", today), Err(IdentifierFault::Future));
    }

    #[test]
    fn middle_dots_compare_and_rare_characters_stay() {
        assert_eq!(normalise_name("阿\u{2022}木尔"), "阿\u{b7}木尔");
        assert_eq!(normalise_name("测试\u{20bb7}"), "测试\u{20bb7}");
        assert!(check_name("测试\u{20bb7}"));
        assert!(!check_name("测\u{e000}试"));
    }
}
