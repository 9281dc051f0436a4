//! 办件编号, the number of a case between two regions (protocol §1).

use jiff::civil::Date;

use super::{IdentifierFault, Region, address_existed, check_character, day, identifier};

/// `K`, collecting region, handling region, day, eight digits, MOD 37,36.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CaseNumber(String);

identifier!(CaseNumber);

impl CaseNumber {
    pub fn parse(text: &str) -> Result<Self, IdentifierFault> {
        check_case_number(text)?;
        Ok(Self(text.to_owned()))
    }

    /// `serial` is the number of the case on that day, at most 99 999 999.
    pub fn compose(
        collecting: Region,
        handling: Region,
        on: Date,
        serial: u32,
    ) -> Result<Self, IdentifierFault> {
        let (year, month, of_month) = (on.year(), on.month(), on.day());
        let body = format!("K{collecting}{handling}{year:04}{month:02}{of_month:02}{serial:08}");
        let check = check_character::mod37_36_of(body.bytes()).ok_or(IdentifierFault::Format)?;
        Self::parse(&format!("{body}{}", char::from(check)))
    }

    pub fn collecting(&self) -> &str {
        self.0.get(1..7).unwrap_or_default()
    }
    pub fn handling(&self) -> &str {
        self.0.get(7..13).unwrap_or_default()
    }
}

pub fn check_case_number(text: &str) -> Result<(), IdentifierFault> {
    let number: &[u8; 30] = text.as_bytes().try_into().map_err(|_| IdentifierFault::Format)?;
    let [b'K', digits @ .., check] = number else {
        return Err(IdentifierFault::Format);
    };
    if !digits.iter().all(u8::is_ascii_digit) || !(check.is_ascii_digit() || check.is_ascii_uppercase()) {
        return Err(IdentifierFault::Format);
    }
    // A case outlives a change of its region's code, so the codes need not be in force.
    if ![1..7, 7..13].into_iter().all(|at| text.get(at).is_some_and(address_existed)) {
        return Err(IdentifierFault::Region);
    }
    if number.get(13..21).and_then(day).is_none() {
        return Err(IdentifierFault::Date);
    }
    let body = number.iter().copied().take(29);
    if check_character::mod37_36_of(body) == Some(*check) {
        Ok(())
    } else {
        Err(IdentifierFault::CheckCharacter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composed_case_number_is_the_published_one() {
        let region = |code| Region::parse(code).unwrap();
        let number =
            CaseNumber::compose(region("331083"), region("421202"), jiff::civil::date(2026, 10, 12), 1)
                .unwrap();
        assert_eq!(number.as_str(), "K3310834212022026101200000001M");
        assert_eq!((number.collecting(), number.handling()), ("331083", "421202"));
    }

    #[test]
    fn each_part_of_a_case_number_is_checked() {
        use IdentifierFault::{CheckCharacter, Date, Format, Region};
        for (text, fault) in [
            ("K3310834212022026101200000001N", CheckCharacter),
            ("K3310834212022026103200000001M", Date),
            ("K9901014212022026101200000001M", Region),
            ("K3310839901012026101200000001M", Region),
            ("k3310834212022026101200000001M", Format),
            ("K3310834212022026101200000001m", Format),
            ("K331083421202202610120000001M", Format),
        ] {
            assert_eq!(check_case_number(text), Err(fault), "{text}");
        }
    }
}
