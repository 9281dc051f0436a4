//! 公民身份号码, the citizen's ID number (GB 11643), and the number of a 残疾人证 built on it.

use jiff::civil::Date;

use super::{IdentifierFault, address_existed, check_character, day, digit, identifier};

/// An ID number: eighteen characters, its region existed at some time, its birthday is a
/// day up to today, its check character fits. A last `x` has become `X`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResidentId(String);

identifier!(ResidentId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    Male,
    Female,
}

impl ResidentId {
    /// `today` is the day in Asia/Shanghai.
    pub fn parse(text: &str, today: Date) -> Result<Self, IdentifierFault> {
        check_resident_id(text)?;
        let id = Self(text.to_ascii_uppercase());
        if id.birthday().is_none_or(|born| born > today) { Err(IdentifierFault::Future) } else { Ok(id) }
    }

    pub fn birthday(&self) -> Option<Date> {
        day(self.0.as_bytes().get(6..14)?)
    }

    pub fn sex(&self) -> Option<Sex> {
        let sequence = digit(*self.0.as_bytes().get(16)?)?;
        Some(if sequence % 2 == 1 { Sex::Male } else { Sex::Female })
    }
}

/// Everything about an ID number that does not depend on the day: [`ResidentId::parse`]
/// also refuses a birthday in the future.
pub fn check_resident_id(text: &str) -> Result<(), IdentifierFault> {
    let id: &[u8; 18] = text.as_bytes().try_into().map_err(|_| IdentifierFault::Format)?;
    let (body, last) = id.split_at(17);
    let check = last.first().copied().unwrap_or_default().to_ascii_uppercase();
    if !body.iter().all(u8::is_ascii_digit) || body.starts_with(b"0") || !matches!(check, b'0'..=b'9' | b'X')
    {
        return Err(IdentifierFault::Format);
    }
    // The address must have existed at some time; comparing with the year of birth would
    // refuse real people, whose numbers were assigned decades after they were born.
    if !text.get(..6).is_some_and(address_existed) {
        return Err(IdentifierFault::Region);
    }
    match day(id.get(6..14).unwrap_or_default()) {
        Some(born) if (1800..2100).contains(&born.year()) => {}
        _ => return Err(IdentifierFault::Date),
    }
    if check_character::mod11_2(body) == Some(check) { Ok(()) } else { Err(IdentifierFault::CheckCharacter) }
}

/// A resident id of 15 digits, as issued until 1999, as the 18 it became; `None` for anything
/// else. Births before 1900 have none of 15 (GB 11643-1999).
pub fn eighteen_digits(fifteen: &str) -> Option<String> {
    if fifteen.len() != 15 || !fifteen.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (place, rest) = fifteen.split_at_checked(6)?;
    let body = format!("{place}19{rest}");
    let check = check_character::mod11_2(body.as_bytes())?;
    Some(format!("{body}{}", char::from(check)))
}

/// 残疾人证号: an ID number, category 1–7, level 1–4, and `B` with one or two digits when reissued.
pub fn check_disability_number(text: &str) -> Result<(), IdentifierFault> {
    let (id, rest) = text.split_at_checked(18).ok_or(IdentifierFault::Format)?;
    match rest.as_bytes() {
        [b'1'..=b'7', b'1'..=b'4'] => {}
        [b'1'..=b'7', b'1'..=b'4', b'B', again @ ..]
            if matches!(again.len(), 1..=2) && again.iter().all(u8::is_ascii_digit) => {}
        _ => return Err(IdentifierFault::Format),
    }
    check_resident_id(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 22);

    #[test]
    fn a_lower_case_x_is_folded_and_nothing_else() {
        assert_eq!(ResidentId::parse("42120219000101001x", TODAY).unwrap().as_str(), "42120219000101001X");
        for text in
            ["４２120219000101001X", "42120219000101001X ", " 42120219000101001X", "42120219000101001Ｘ"]
        {
            assert_eq!(ResidentId::parse(text, TODAY).err(), Some(IdentifierFault::Format), "{text}");
        }
    }

    #[test]
    fn a_birthday_is_in_the_future_until_its_day_comes() {
        let born = "331083209912310024";
        assert_eq!(ResidentId::parse(born, TODAY).err(), Some(IdentifierFault::Future));
        assert_eq!(
            ResidentId::parse(born, jiff::civil::date(2099, 12, 30)).err(),
            Some(IdentifierFault::Future)
        );
        assert!(ResidentId::parse(born, jiff::civil::date(2099, 12, 31)).is_ok());
    }

    #[test]
    fn sex_and_birthday_are_read_from_the_number() {
        let id = ResidentId::parse("331021190402290047", TODAY).unwrap();
        assert_eq!(id.birthday(), Some(jiff::civil::date(1904, 2, 29)));
        assert_eq!(id.sex(), Some(Sex::Female));
        assert_eq!(ResidentId::parse("42120219000101001X", TODAY).unwrap().sex(), Some(Sex::Male));
    }

    #[test]
    fn residence_permits_of_hong_kong_macau_and_taiwan_are_id_numbers() {
        for address in ["810000", "820000", "830000"] {
            let body = format!("{address}19000101001");
            let id = format!("{body}{}", char::from(check_character::mod11_2(body.as_bytes()).unwrap()));
            assert_eq!(check_resident_id(&id), Ok(()), "{id}");
        }
    }

    #[test]
    fn a_disability_number_is_an_id_number_with_category_and_level() {
        assert_eq!(check_disability_number("42120219000101001X23"), Ok(()));
        assert_eq!(check_disability_number("42120219000101001X23B1"), Ok(()));
        for bad in
            ["42120219000101001X83", "42120219000101001X25", "42120219000101001X23B", "42120219000101001X2"]
        {
            assert_eq!(check_disability_number(bad), Err(IdentifierFault::Format), "{bad}");
        }
        assert_eq!(check_disability_number("42120219000101001023"), Err(IdentifierFault::CheckCharacter));
    }
}
