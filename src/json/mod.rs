//! Strict JSON: one pass, bytes → checked value (protocol §3, "JSON in header and payload").
//!
//! Promises: what is accepted means the same to every conforming reader (no duplicate names, no
//! number that rounds, no text that is not text), work and memory are linear in the input, and a
//! fault names the rule and the byte, never the content. Leaves shapes to [`crate::schema`].

mod canonical;
mod parser;
mod text;

pub use canonical::{jcs, write_string, write_utf8};

use serde_json::Value;

use crate::fault::Fault;
use parser::{Numbers, Parser};

/// How deep and how wide a document may be. Depth counts objects and arrays, the outer one is 1;
/// every value is a node, names are none.
#[derive(Clone, Copy, Debug)]
struct Limits {
    depth: usize,
    nodes: usize,
    numbers: Numbers,
}

/// Messages: the numbers of protocol §3; a parser bomb is refused after 2 000 values.
const MESSAGE: Limits = Limits { depth: 12, nodes: 2_000, numbers: Numbers::Integers };
/// Files an operator put there (cards, agreements, schemas' data): large lists are legitimate.
const CONFIG: Limits = Limits { depth: 32, nodes: 2_000_000, numbers: Numbers::Integers };
/// Register records: as deep as a message, wide enough for a license with long lists; amounts
/// and measures are decimals there.
const RECORD: Limits = Limits { depth: 16, nodes: 20_000, numbers: Numbers::Decimals };

/// The rule of strict JSON that a document breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonRule {
    /// Not UTF-8.
    Utf8,
    /// Not JSON at all (RFC 8259), or something before or after the one value.
    Syntax,
    /// The input ends within the value.
    End,
    /// Two members of one object have the same name after unescaping.
    DuplicateName,
    /// Objects and arrays are nested too deeply.
    Depth,
    /// Too many values.
    Nodes,
    /// A number with a fraction or an exponent where only integers are.
    NotInteger,
    /// A number outside ±2^53, or a decimal that is not finite.
    NumberRange,
    /// `-0`, which readers disagree about.
    NegativeZero,
    /// A code point that no text of ours has: U+FFFD, private use, control, bidirectional
    /// override, non-character.
    Character,
    /// An escaped half of a surrogate pair.
    LoneSurrogate,
}

impl JsonRule {
    /// A stable word for logs and [`Fault::rule`].
    pub const fn word(self) -> &'static str {
        match self {
            Self::Utf8 => "json-utf8",
            Self::Syntax => "json-syntax",
            Self::End => "json-end",
            Self::DuplicateName => "json-duplicate-name",
            Self::Depth => "json-depth",
            Self::Nodes => "json-nodes",
            Self::NotInteger => "json-integer",
            Self::NumberRange => "json-number-range",
            Self::NegativeZero => "json-negative-zero",
            Self::Character => "json-character",
            Self::LoneSurrogate => "json-surrogate",
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Utf8 => ("is not valid UTF-8", "不是有效的 UTF-8"),
            Self::Syntax => ("is not JSON", "不是有效的 JSON"),
            Self::End => ("ends too early", "内容不完整"),
            Self::DuplicateName => ("names a member twice", "成员名重复"),
            Self::Depth => ("is nested too deeply", "嵌套过深"),
            Self::Nodes => ("has too many values", "值的数量过多"),
            Self::NotInteger => ("has a number that is not an integer", "数字必须为整数"),
            Self::NumberRange => ("has a number out of range", "数字超出范围"),
            Self::NegativeZero => ("has a negative zero", "不允许负零"),
            Self::Character => ("has a forbidden character", "含有禁止使用的字符"),
            Self::LoneSurrogate => ("has half of a surrogate pair", "含有不成对的代理码"),
        }
    }
}

/// Why bytes are not strict JSON, and where: `at` is the offset of the offending byte, or of the
/// token it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {at}", rule.words().0)]
pub struct JsonFault {
    pub rule: JsonRule,
    pub at: usize,
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Self {
        let (message, message_zh) = fault.rule.words();
        let at = fault.at;
        Fault::new(
            "",
            fault.rule.word(),
            format!("{message} at byte {at}"),
            format!("{message_zh}(第 {at} 字节)"),
        )
    }
}

/// A message's header or payload, within the message limits.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    Parser::new(bytes, MESSAGE)?.document()
}

/// A configuration file: the same rules, depth ≤ 32, ≤ 2 000 000 values.
pub fn parse_config(bytes: &[u8]) -> Result<Value, JsonFault> {
    Parser::new(bytes, CONFIG)?.document()
}

/// A register's record: the same rules, depth ≤ 16, ≤ 20 000 values, finite decimals allowed
/// (amounts and measures), exponents not.
pub fn parse_record(bytes: &[u8]) -> Result<Value, JsonFault> {
    Parser::new(bytes, RECORD)?.document()
}

#[cfg(test)]
mod tests;
