//! What an auditor looks for: a person or thing by a keyed token, facets in clear, a period,
//! a page.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DeskFault;
use crate::ledger::evidence::Field;

/// Rows on one page.
pub const LEAST_PAGE: u32 = 20;
pub const MOST_PAGE: u32 = 200;
/// Characters of any value asked for: the longest identifier has 59.
const LONGEST_VALUE: usize = 128;

/// All that is named must hold. No `Debug`: it may name a citizen.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citizen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The region on the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_type: Option<String>,
    /// `permit`, `deny`, `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The leaf's `auth`, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// Milliseconds since 1970, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

impl Question {
    /// Refuses what no search of ours understands.
    pub fn check(&self) -> Result<(), DeskFault> {
        let texts = self.people().map(|(_, value)| value).chain(self.facets().map(|(_, value)| value));
        for text in texts {
            if text.is_empty() || text.chars().count() > LONGEST_VALUE || text.chars().any(char::is_control) {
                return Err(DeskFault::Asked("a value is empty or longer than 128 characters"));
            }
        }
        if self.decision.as_deref().is_some_and(|word| !matches!(word, "permit" | "deny" | "error")) {
            return Err(DeskFault::Asked("decision is permit, deny or error"));
        }
        if self.operator.as_deref().is_some_and(|operator| !operator.contains(':')) {
            return Err(DeskFault::Asked("operator is REGION:OPERATOR"));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(DeskFault::Asked("from is before to"));
        }
        Ok(())
    }

    /// Everything about one person or thing.
    pub fn about(field: Field, value: &str) -> Self {
        let mut question = Self::default();
        let place = match field {
            Field::Citizen => &mut question.citizen,
            Field::License => &mut question.license,
            Field::Case => &mut question.case,
            Field::Operator => &mut question.operator,
        };
        *place = Some(value.to_owned());
        question
    }

    /// The values that are sought by token.
    pub fn people(&self) -> impl Iterator<Item = (Field, &str)> {
        let value = |field| match field {
            Field::Citizen => self.citizen.as_deref(),
            Field::License => self.license.as_deref(),
            Field::Case => self.case.as_deref(),
            Field::Operator => self.operator.as_deref(),
        };
        Field::ALL.into_iter().filter_map(move |field| Some((field, value(field)?)))
    }

    /// The values that leaves hold in clear, by the leaf's member.
    pub fn facets(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("peer", &self.partner),
            ("op", &self.op),
            ("item", &self.item),
            ("lt", &self.license_type),
            ("dec", &self.decision),
            ("code", &self.code),
            ("auth", &self.auth),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The question as the registers keep it: facets and period in clear, of people only which
    /// kind of number was sought.
    pub fn told(&self) -> Value {
        let mut told = Map::new();
        let sought: Vec<Value> = self.people().map(|(field, _)| field.name().into()).collect();
        if !sought.is_empty() {
            told.insert("sought".into(), sought.into());
        }
        for (name, value) in self.facets() {
            told.insert(name.into(), value.into());
        }
        for (name, moment) in [("from", self.from), ("to", self.to)] {
            if let Some(moment) = moment {
                told.insert(name.into(), moment.into());
            }
        }
        Value::Object(told)
    }
}

/// Which part of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// The `next` of the page before; without it the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows, [`LEAST_PAGE`] to [`MOST_PAGE`]; without it the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u32>,
}

impl Page {
    pub fn rows(&self) -> Result<usize, DeskFault> {
        let rows = self.rows.unwrap_or(LEAST_PAGE);
        if !(LEAST_PAGE..=MOST_PAGE).contains(&rows) {
            return Err(DeskFault::Asked("a page has 20 to 200 rows"));
        }
        Ok(rows as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registers_learn_what_kind_of_number_was_sought_and_not_which() {
        let question = Question {
            citizen: Some("42120219000101001X".into()),
            partner: Some("331083".into()),
            from: Some(5),
            ..Question::default()
        };
        assert_eq!(question.check(), Ok(()));
        let told = serde_json::json!({"from": 5, "peer": "331083", "sought": ["citizen"]});
        assert_eq!(question.told(), told);
    }

    #[test]
    fn what_no_search_understands_is_refused() {
        let with = |bend: fn(&mut Question)| {
            let mut question = Question::default();
            bend(&mut question);
            question.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert!(with(|q| q.citizen = Some(String::new())).is_err());
        assert!(with(|q| q.item = Some("1".repeat(LONGEST_VALUE + 1))).is_err());
        assert!(with(|q| q.decision = Some("perhaps".into())).is_err());
        assert!(with(|q| q.operator = Some("YH0123".into())).is_err());
        assert!(with(|q| (q.from, q.to) = (Some(2), Some(2))).is_err());
        for (rows, holds) in [(19, false), (20, true), (200, true), (201, false)] {
            assert_eq!(Page { rows: Some(rows), ..Page::default() }.rows().is_ok(), holds, "{rows}");
        }
    }
}
