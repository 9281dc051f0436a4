//! 电子证照标识, the id of an electronic license, and the code of its type (GB/T 36904-2018).

use super::{IdentifierFault, check_character, check_uscc, identifier};

/// The object identifier of China's electronic licenses.
const ROOT: &str = "1.2.156.3005.2.";

/// `root.type.issuer.serial.version.check`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LicenseId(String);

identifier!(LicenseId);

impl LicenseId {
    pub fn parse(text: &str) -> Result<Self, IdentifierFault> {
        check_license_id(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Makes an id of its parts and adds the check character.
    pub fn compose(
        type_code: &str,
        issuer: &str,
        serial: &str,
        version: &str,
    ) -> Result<Self, IdentifierFault> {
        let body = [type_code, issuer, serial, version];
        let check = check_character::mod37_36_of(body.iter().flat_map(|part| part.bytes()))
            .ok_or(IdentifierFault::Format)?;
        Self::parse(&format!("{ROOT}{}.{}", body.join("."), char::from(check)))
    }

    pub fn type_code(&self) -> &str {
        self.part(0)
    }
    pub fn issuer_code(&self) -> &str {
        self.part(1)
    }
    pub fn serial(&self) -> &str {
        self.part(2)
    }
    pub fn version(&self) -> &str {
        self.part(3)
    }

    fn part(&self, at: usize) -> &str {
        self.0.get(ROOT.len()..).unwrap_or_default().split('.').nth(at).unwrap_or_default()
    }
}

/// The type code inside a license id, without looking at the rest of it.
pub fn license_type_of(id: &str) -> Option<&str> {
    id.strip_prefix(ROOT)?.split('.').next()
}

pub fn check_license_id(text: &str) -> Result<(), IdentifierFault> {
    let body = text.strip_prefix(ROOT).ok_or(IdentifierFault::Format)?;
    let mut parts = body.split('.');
    let mut part = || parts.next().ok_or(IdentifierFault::Format);
    let (type_code, issuer, serial, version, check) = (part()?, part()?, part()?, part()?, part()?);
    let upper = |part: &str| part.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    let shape = parts.next().is_none()
        && type_code_shape(type_code)
        // Six digits of a region instead of a credit code occur in real ids.
        && (6..=18).contains(&issuer.len()) && upper(issuer)
        && (1..=64).contains(&serial.len()) && upper(serial)
        && version.len() == 3 && version.bytes().all(|c| c.is_ascii_digit())
        && check.len() == 1 && upper(check);
    if !shape {
        return Err(IdentifierFault::Format);
    }
    check_type_code(type_code)?;
    // Over type, issuer, serial and version, without dots and without the root.
    let computed = check_character::mod37_36_of(
        [type_code, issuer, serial, version].iter().flat_map(|part| part.bytes()),
    );
    if computed == check.bytes().next() { Ok(()) } else { Err(IdentifierFault::CheckCharacter) }
}

/// 证照类型代码: the credit code of the authority that defines the type, and three digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TypeCode(String);

identifier!(TypeCode);

impl TypeCode {
    pub fn parse(text: &str) -> Result<Self, IdentifierFault> {
        check_type_code(text)?;
        Ok(Self(text.to_owned()))
    }
}

pub fn check_type_code(text: &str) -> Result<(), IdentifierFault> {
    if !type_code_shape(text) {
        return Err(IdentifierFault::Format);
    }
    check_uscc(text.get(..18).unwrap_or_default()).map_err(|_| IdentifierFault::TypeAuthority)
}

fn type_code_shape(text: &str) -> bool {
    text.len() == 21
        && text.bytes().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        && text.bytes().skip(18).all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composed_id_is_the_published_one() {
        let id =
            LicenseId::compose("111000000000131433001", "11331083TECT000279", "J33108320260000001", "001");
        let id = id.unwrap();
        assert_eq!(
            id.as_str(),
            "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N"
        );
        assert_eq!((id.issuer_code(), id.serial()), ("11331083TECT000279", "J33108320260000001"));
        assert_eq!((id.type_code(), id.version()), ("111000000000131433001", "001"));
    }

    #[test]
    fn an_issuer_may_be_six_digits_of_a_region() {
        assert_eq!(check_license_id("1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9"), Ok(()));
    }
}
