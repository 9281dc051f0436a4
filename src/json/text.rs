//! Strings, names and values alike: escapes, and the code points no text of ours has.

use super::parser::{Parsed, Parser};
use super::{JsonFault, JsonRule};

impl Parser<'_> {
    /// A string from its opening quotation mark to past its closing one. Unescaped runs are
    /// checked in place and copied whole.
    pub(super) fn string(&mut self) -> Parsed<String> {
        self.step();
        let mut out = String::new();
        let mut run = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    out.push_str(self.text.get(run..self.at).unwrap_or_default());
                    self.step();
                    return Ok(out);
                }
                b'\\' => {
                    out.push_str(self.text.get(run..self.at).unwrap_or_default());
                    out.push(self.escape()?);
                    run = self.at;
                }
                0x20..=0x7E => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    self.at = self.at.saturating_add(plain_run(rest));
                }
                0x00..=0x1F | 0x7F => return Err(self.fault(JsonRule::Character)),
                0x80.. => {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    let Some(c) = rest.chars().next() else {
                        return Err(self.fault(JsonRule::Utf8));
                    };
                    if is_forbidden(c) {
                        return Err(self.fault(JsonRule::Character));
                    }
                    self.at = self.at.saturating_add(c.len_utf8());
                }
            }
        }
    }

    /// An escape from its backslash to past its end; what it stands for obeys the same rules.
    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.step();
        let short = match self.peek()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'u' => {
                self.step();
                return self.code_point(start);
            }
            // Known escapes, all of them controls.
            b'b' | b'f' | b'n' | b'r' | b't' => {
                return Err(JsonFault { rule: JsonRule::Character, at: start });
            }
            _ => return Err(self.fault(JsonRule::Syntax)),
        };
        self.step();
        Ok(short)
    }

    fn code_point(&mut self, start: usize) -> Parsed<char> {
        let lone = JsonFault { rule: JsonRule::LoneSurrogate, at: start };
        let first = self.four_hex()?;
        let code = match first {
            0xD800..=0xDBFF => {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                if !rest.starts_with(b"\\u") {
                    return Err(lone);
                }
                self.at = self.at.saturating_add(2);
                let second = self.four_hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(lone);
                }
                0x1_0000 + ((first & 0x3FF) << 10 | second & 0x3FF)
            }
            0xDC00..=0xDFFF => return Err(lone),
            code => code,
        };
        match char::from_u32(code) {
            Some(c) if !is_forbidden(c) => Ok(c),
            _ => Err(JsonFault { rule: JsonRule::Character, at: start }),
        }
    }

    fn four_hex(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()?).to_digit(16);
            code = code << 4 | digit.ok_or_else(|| self.fault(JsonRule::Syntax))?;
            self.step();
        }
        Ok(code)
    }
}

/// How many bytes from here need no second look: ASCII without quotation marks, backslashes and
/// controls. Sixteen at a time, because most of a message is base64url and identifiers.
fn plain_run(bytes: &[u8]) -> usize {
    let special = |byte: u8| !(0x20..0x7F).contains(&byte) || byte == b'"' || byte == b'\\';
    let (chunks, rest) = bytes.as_chunks::<16>();
    for (place, chunk) in chunks.iter().enumerate() {
        if chunk.iter().fold(false, |any, byte| any | special(*byte)) {
            let within = chunk.iter().position(|byte| special(*byte)).unwrap_or(0);
            return place.saturating_mul(16).saturating_add(within);
        }
    }
    let within = rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len());
    chunks.len().saturating_mul(16).saturating_add(within)
}

/// Code points no text of ours has. Real feeds carry the first two where a conversion lost the
/// text; the others make two readers see two things.
const fn is_forbidden(c: char) -> bool {
    let code = c as u32;
    matches!(code,
        0x00..=0x1F | 0x7F..=0x9F               // control (Cc)
        | 0xFFFD                                // replacement: a conversion lost something
        | 0xE000..=0xF8FF | 0xF_0000..=0xF_FFFF | 0x10_0000..=0x10_FFFF // private use (Co)
        | 0x202A..=0x202E | 0x2066..=0x2069     // bidirectional embedding, override, isolate
        | 0xFDD0..=0xFDEF                       // non-characters
    ) || code & 0xFFFE == 0xFFFE
}
