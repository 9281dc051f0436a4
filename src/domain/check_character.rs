//! The check characters of ISO/IEC 7064 and GB 32100, each over ASCII bytes.

use super::digit;

/// MOD 11-2 over the seventeen digits of an ID number (GB 11643).
pub(super) fn mod11_2(digits: &[u8]) -> Option<u8> {
    let mut p = 0_u32;
    for character in digits {
        p = (p + u32::from(digit(*character)?)) * 2 % 11;
    }
    b"0123456789X".get(((12 - p) % 11) as usize).copied()
}

/// MOD 37,36 (GB/T 17710) over digits and capital letters: license ids, case numbers.
/// `None` when `text` holds another character.
pub fn mod37_36(text: &str) -> Option<char> {
    mod37_36_of(text.bytes()).map(char::from)
}

pub(super) fn mod37_36_of(characters: impl Iterator<Item = u8>) -> Option<u8> {
    let mut p = 36_u32;
    for character in characters {
        let value = match character {
            b'0'..=b'9' => character - b'0',
            b'A'..=b'Z' => character - b'A' + 10,
            _ => return None,
        };
        let sum = (p + u32::from(value)) % 36;
        p = if sum == 0 { 36 } else { sum } * 2 % 37;
    }
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".get(((37 - p) % 36) as usize).copied()
}

/// The alphabet of GB 32100: no I, O, S, V, Z.
const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// The check character over the first seventeen characters of a credit code;
/// `None` when one of them is outside the alphabet.
pub(super) fn uscc(characters: &[u8]) -> Option<u8> {
    let mut weight = 1_usize;
    let mut sum = 0_usize;
    for character in characters {
        sum += weight * USCC_ALPHABET.iter().position(|a| a == character)?;
        weight = weight * 3 % 31;
    }
    USCC_ALPHABET.get((31 - sum % 31) % 31).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_37_36_gives_the_published_check_characters() {
        assert_eq!(mod37_36("A12425GABC1234002"), Some('M')); // GRid, the ISO 7064 example
        assert_eq!(mod37_36("11100000000013338W01111430000006122244L20230000403001"), Some('U'));
        assert_eq!(mod37_36("lower"), None);
    }

    #[test]
    fn mod_37_36_notices_every_single_substitution() {
        let body = "11100000000013127D00111421202TECT000191";
        let right = mod37_36(body);
        for at in 0..body.len() {
            for other in
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars().filter(|c| !body[at..].starts_with(*c))
            {
                let mut wrong = body.to_owned();
                wrong.replace_range(at..=at, &other.to_string());
                assert_ne!(mod37_36(&wrong), right, "{wrong}");
            }
        }
    }
}
