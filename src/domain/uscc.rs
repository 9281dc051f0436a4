//! 统一社会信用代码, the unified social credit code of agencies and companies (GB 32100).

use super::{IdentifierFault, check_character, identifier};

/// Codes that registrars issued with a wrong check character in the pilot of 2015 and that
/// are legally valid: they pass, and [`Uscc::is_exception`] says so.
const ISSUED_WITH_A_WRONG_CHECK: [&str; 3] =
    ["91350100M0001TGQXM", "91350203M0001FUE2P", "91350211M0000XUF46"];

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uscc(String);

identifier!(Uscc);

impl Uscc {
    pub fn parse(text: &str) -> Result<Self, IdentifierFault> {
        check_uscc(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Whether the code passed only because it stands on the list of exceptions.
    pub fn is_exception(&self) -> bool {
        ISSUED_WITH_A_WRONG_CHECK.contains(&self.as_str())
    }
}

pub fn check_uscc(text: &str) -> Result<(), IdentifierFault> {
    let code: &[u8; 18] = text.as_bytes().try_into().map_err(|_| IdentifierFault::Format)?;
    let [registrar, kind, place @ .., _, _, _, _, _, _, _, _, _, _] = code;
    // 登记管理部门 and 机构类别, then the six digits of the registrar's region.
    let shape = matches!(registrar, b'1'..=b'9' | b'A' | b'N' | b'Y')
        && matches!(kind, b'1'..=b'5' | b'9')
        && place.iter().all(u8::is_ascii_digit);
    let (body, last) = code.split_at(17);
    let expected = check_character::uscc(body).ok_or(IdentifierFault::Format)?;
    // The last character must be of the alphabet even where it does not fit.
    if !shape || check_character::uscc(last).is_none() {
        Err(IdentifierFault::Format)
    } else if last == [expected] || ISSUED_WITH_A_WRONG_CHECK.contains(&text) {
        Ok(())
    } else {
        Err(IdentifierFault::CheckCharacter)
    }
}
