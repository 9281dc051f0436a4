//! The data of a license in little room: one text, and where in it each field stands.
//!
//! Promises: what goes in comes out, value for value. A map of values takes three times as much:
//! most fields are short strings, and each would be two pieces of memory and a place in a table.

use std::mem::size_of;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::json;

#[derive(PartialEq)]
pub(super) struct Data {
    /// Names and values, one behind the other.
    text: Box<str>,
    fields: Box<[Field]>,
}

#[derive(PartialEq)]
struct Field {
    name: Range<usize>,
    value: Kind,
}

#[derive(PartialEq)]
enum Kind {
    /// The field ends here in the text; it begins where its name ends.
    Text { to: usize },
    /// The same as JSON: lists, objects and the like.
    Json { to: usize },
    /// What its JSON would not give back exactly: numbers too large to be read strictly.
    Other(Box<Value>),
}

impl Data {
    pub fn get(&self, name: &str) -> Option<Value> {
        let field = self.fields.iter().find(|field| self.text.get(field.name.clone()) == Some(name))?;
        let upto = |to: usize| self.text.get(field.name.end..to);
        match &field.value {
            Kind::Text { to } => upto(*to).map(Value::from),
            Kind::Json { to } => json::parse_record(upto(*to)?.as_bytes()).ok(),
            Kind::Other(value) => Some((**value).clone()),
        }
    }

    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let others = self.fields.iter().map(|field| match &field.value {
            Kind::Text { .. } | Kind::Json { .. } => 0,
            Kind::Other(value) => weight_of(value),
        });
        let fields = self.fields.len().saturating_mul(size_of::<Field>());
        others.sum::<usize>().saturating_add(fields).saturating_add(self.text.len())
    }
}

impl From<Map<String, Value>> for Data {
    /// By name, so that the same data is the same whatever its order was.
    fn from(mut map: Map<String, Value>) -> Self {
        map.sort_keys();
        let mut text = String::new();
        let mut fields = Vec::with_capacity(map.len());
        for (name, value) in map {
            let begin = text.len();
            text.push_str(&name);
            let name = begin..text.len();
            let value = match value {
                Value::String(value) => {
                    text.push_str(&value);
                    Kind::Text { to: text.len() }
                }
                other => {
                    let told = other.to_string();
                    if json::parse_record(told.as_bytes()).is_ok_and(|read| read == other) {
                        text.push_str(&told);
                        Kind::Json { to: text.len() }
                    } else {
                        Kind::Other(Box::new(other))
                    }
                }
            };
            fields.push(Field { name, value });
        }
        Self { text: text.into(), fields: fields.into() }
    }
}

/// A value of a map: itself, its name, its place in the table.
fn weight_of(value: &Value) -> usize {
    const NODE: usize = 128;
    NODE.saturating_add(match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight_of).sum(),
        Value::Object(members) => members.iter().map(|(k, v)| k.len().saturating_add(weight_of(v))).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_comes_out_as_it_went_in() {
        let map = json!({
            "姓名": "李\u{3000}四", "empty": "", "": "a field without a name", "证件": "\"引号\"\n",
            "count": 3, "area": 12.50, "enormous": 1e23, "minor": false, "none": null,
            "children": [{"name": "甲"}, {"name": "乙"}],
        });
        let map = map.as_object().unwrap().clone();
        let data = Data::from(map.clone());
        for (name, value) in &map {
            assert_eq!(data.get(name).as_ref(), Some(value), "{name}");
        }
        assert!(data.get("姓").is_none() && data.get("姓名李").is_none());
    }
}
