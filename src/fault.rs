//! What is wrong with a document, and where: the one shape in which every parser and
//! schema of the house reports, so that doors, `check` and `import` print the same words.

use serde::Serialize;

/// One fault in a document. Never carries the offending value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the place; `""` is the whole document.
    pub pointer: String,
    /// The rule broken: a JSON Schema keyword (`required`, `format`, …) or one of ours
    /// (`check-character`, `unknown-region`, …). Stable.
    pub rule: String,
    pub message: String,
    pub message_zh: String,
}

impl Fault {
    pub fn new(
        pointer: impl Into<String>,
        rule: impl Into<String>,
        message: impl Into<String>,
        message_zh: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            rule: rule.into(),
            message: message.into(),
            message_zh: message_zh.into(),
        }
    }

    /// The same fault seen from the enclosing document.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{place}: {} ({}) {}", self.message, self.rule, self.message_zh)
    }
}

/// At most this many faults are told at once (protocol §3.5).
pub const MOST_FAULTS: usize = 20;
