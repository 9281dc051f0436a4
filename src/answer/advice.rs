//! What to do about each refusal: the likely causes, how to see which it is, and the clauses that
//! stand behind it. One data file, `advice.toml`; `docs/refusals.md` and `explain` are told from it.
//!
//! Promises: every code has its entry, in the order of the table of codes; texts are fixed and
//! hold no received value.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer};

use super::Code;

/// The advice of one code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advice {
    #[serde(deserialize_with = "code")]
    pub code: Code,
    /// Clauses of `conformance/PROTOCOL.md`.
    pub clauses: Vec<String>,
    #[serde(rename = "do")]
    pub what_to_do: String,
    #[serde(rename = "do_zh")]
    pub what_to_do_zh: String,
    #[serde(rename = "cause")]
    pub causes: Vec<Cause>,
}

/// One thing that a refusal may come from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// Stable, never reused.
    pub id: String,
    /// The `reason` it comes with, where there is one only.
    pub reason: Option<String>,
    /// The message's bytes show it: `explain` names it.
    #[serde(default)]
    pub found: bool,
    pub clause: String,
    pub en: String,
    pub zh: String,
    /// How a person sees that this is it.
    pub see: String,
    pub see_zh: String,
}

static ALL: LazyLock<Vec<Advice>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct File {
        refusal: Vec<Advice>,
    }
    #[expect(clippy::expect_used, reason = "compiled in; a test reads it")]
    let file: File = toml::from_str(include_str!("advice.toml")).expect("the advice is well formed");
    file.refusal
});

impl Advice {
    /// In the order of the table of codes.
    pub fn all() -> &'static [Advice] {
        &ALL
    }

    pub fn of(code: Code) -> Option<&'static Advice> {
        ALL.iter().find(|advice| advice.code == code)
    }
}

impl Cause {
    /// The cause of that id, whichever code it belongs to.
    pub fn named(id: &str) -> Option<&'static Cause> {
        ALL.iter().flat_map(|advice| &advice.causes).find(|cause| cause.id == id)
    }
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
    let word = String::deserialize(deserializer)?;
    Code::from_word(&word).ok_or_else(|| serde::de::Error::custom("is no code of the table"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_advice_in_the_order_of_the_table() {
        let advised: Vec<Code> = Advice::all().iter().map(|advice| advice.code).collect();
        assert_eq!(advised, Code::ALL);
        let mut ids = BTreeSet::new();
        for advice in Advice::all() {
            assert!(!advice.causes.is_empty() && !advice.clauses.is_empty(), "{:?}", advice.code);
            assert!(!advice.what_to_do.is_empty() && !advice.what_to_do_zh.is_ascii());
            for cause in &advice.causes {
                assert!(ids.insert(&cause.id), "{} stands there twice", cause.id);
                assert!(
                    !cause.en.is_empty() && !cause.zh.is_ascii() && !cause.see_zh.is_empty(),
                    "{}",
                    cause.id
                );
            }
        }
    }
}
