//! 事项实施编码 and 业务办理项编码, the code of a government item (GB/T 39554.1-2020).

use super::{IdentifierFault, check_uscc, identifier};

/// The implementing agency's credit code, its level, the twelve digits of the base
/// catalogue, and two more when it names one way of handling the item: 31 or 33 characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ItemCode(String);

identifier!(ItemCode);

impl ItemCode {
    pub fn parse(text: &str) -> Result<Self, IdentifierFault> {
        check_item_code(text)?;
        Ok(Self(text.to_owned()))
    }
}

pub fn check_item_code(text: &str) -> Result<(), IdentifierFault> {
    let (agency, rest) = text.split_at_checked(18).ok_or(IdentifierFault::Format)?;
    // level; source (00 national, else a province); kind 01–29; department, main and sub item
    let [level, source @ .., _, _, _, _, _, _, _, _, _, _] = rest.as_bytes() else {
        return Err(IdentifierFault::Format);
    };
    let shape = matches!(rest.len(), 13 | 15)
        && rest.bytes().all(|c| c.is_ascii_digit())
        && matches!(level, b'1'..=b'7')
        && matches!(source, [b'0', b'0', ..] | [b'1'..=b'8', ..])
        && matches!(rest.as_bytes().get(3..5), Some([b'0', b'1'..=b'9'] | [b'1' | b'2', _]));
    if shape { check_uscc(agency) } else { Err(IdentifierFault::Format) }
}
