//! The field's plain values: regions, people's and agencies' numbers, licenses, items and
//! cases, parsed once and never validated twice; working days, limits and their colours.
//!
//! Promises: a check looks at the characters as they came (full-width forms are refused,
//! only an ID number's `x` is folded), allocates nothing, and says which rule failed.
//! Whether a number belongs to somebody, or a type is one we know, is left to the rooms.

mod calendar;
mod case_number;
mod check_character;
mod holder;
mod item_code;
mod item_terms;
mod license_id;
mod limit;
mod region;
mod resident_id;
mod supervision;
mod uscc;

pub use calendar::{Calendar, CalendarYear, Unpublished};
pub use case_number::{CaseNumber, check_case_number};
pub use check_character::mod37_36;
pub use holder::{check_holder, check_name, is_id_number, normalise_holder, normalise_name};
pub use item_code::{ItemCode, check_item_code};
pub use item_terms::{Evidence, HandlingMode, Necessity};
pub use license_id::{LicenseId, TypeCode, check_license_id, check_type_code, license_type_of};
pub use limit::{Pause, TimeLimit, TimeUnit, due, due_with_pauses, months_after};
pub use region::{Region, RegionFault, address_existed};
pub use resident_id::{ResidentId, Sex, check_disability_number, check_resident_id, eighteen_digits};
pub use supervision::{Colour, Standing, YELLOW_ONE_PART_IN, YELLOW_WORKING_DAYS, colour, standing};
pub use uscc::{Uscc, check_uscc};

use jiff::civil::Date;

/// Why an identifier is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierFault {
    #[error("does not have the right characters or length")]
    Format,
    #[error("its check character does not fit")]
    CheckCharacter,
    #[error("names a day that does not exist")]
    Date,
    #[error("names a birthday in the future")]
    Future,
    #[error("names a region that never existed")]
    Region,
    #[error("names a definition authority whose credit code does not fit")]
    TypeAuthority,
}

impl IdentifierFault {
    /// The same in Chinese.
    pub const fn zh(self) -> &'static str {
        match self {
            Self::Format => "字符或长度不符",
            Self::CheckCharacter => "校验码不符",
            Self::Date => "日期不存在",
            Self::Future => "出生日期晚于今天",
            Self::Region => "行政区划代码从未存在",
            Self::TypeAuthority => "证照类型定义机构的统一社会信用代码不符",
        }
    }
}

/// The day that eight ASCII digits `yyyymmdd` name.
fn day(digits: &[u8]) -> Option<Date> {
    let number = |part: &[u8]| part.iter().try_fold(0_i16, |n, d| Some(n * 10 + i16::from(digit(*d)?)));
    let year = number(digits.get(..4)?)?;
    let month = i8::try_from(number(digits.get(4..6)?)?).ok()?;
    let of_month = i8::try_from(number(digits.get(6..8)?)?).ok()?;
    Date::new(year, month, of_month).ok()
}

fn digit(character: u8) -> Option<u8> {
    character.is_ascii_digit().then(|| character - b'0')
}

/// Gives a validated identifier its text, and the traits every one of them has.
macro_rules! identifier {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use identifier;

#[cfg(test)]
mod vectors;
