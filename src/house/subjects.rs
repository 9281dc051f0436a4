//! What an exchange can be found by: the citizen, the license, the case, the official, taken
//! from where the messages of every op name them.
//!
//! Promises: both sides of an exchange take the same values from the same message. The values
//! leave this room only as keyed tags and tokens ([`crate::ledger::evidence`]).

use serde_json::Value;

use crate::domain::Region;
use crate::envelope::Op;
use crate::ledger::RetentionClass;
use crate::ledger::evidence::{Field, Subject};

/// Characters of the longest value worth finding: a license id has 59.
const LONGEST_VALUE: usize = 128;

/// Where bodies name a person or a license.
const PLACES: [(&[&str], Field); 4] = [
    (&["license", "holder", "number"], Field::Citizen),
    (&["license", "license_id"], Field::License),
    (&["applicant", "id_number"], Field::Citizen),
    (&["applicant", "agent", "id_number"], Field::Citizen),
];

/// `asking` is the region of the official who asked.
pub fn of_message(asking: Region, case: Option<&str>, operator: Option<&str>, body: &Value) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (place, field) in PLACES {
        let found = place.iter().try_fold(body, |within, name| within.get(name));
        if let Some(value) = found.and_then(Value::as_str) {
            add(&mut subjects, field, value.to_owned());
        }
    }
    if let Some(case) = case {
        add(&mut subjects, Field::Case, case.to_owned());
    }
    if let Some(operator) = operator {
        add(&mut subjects, Field::Operator, format!("{asking}:{operator}"));
    }
    subjects
}

/// The licenses that a lookup's result tells of.
pub fn of_result(result: &Value, subjects: &mut Vec<Subject>) {
    for license in result.get("licenses").and_then(Value::as_array).into_iter().flatten() {
        if let Some(id) = license.get("license_id").and_then(Value::as_str) {
            add(subjects, Field::License, id.to_owned());
        }
    }
}

/// Each subject once.
pub fn add(subjects: &mut Vec<Subject>, field: Field, value: String) {
    let subject = Subject { field, value };
    if subject.value.len() <= LONGEST_VALUE && !subjects.contains(&subject) {
        subjects.push(subject);
    }
}

/// How long an exchange's evidence must be kept.
pub fn class_of(op: Option<Op>) -> RetentionClass {
    match op {
        Some(Op::Ping | Op::LedgerReconcile) | None => RetentionClass::Other,
        Some(_) => RetentionClass::Provision,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lookup_is_found_by_holder_case_official_and_by_what_it_found() {
        let body = json!({"license": {"holder": {"number": "42120219000101001X"}}});
        let asking = Region::parse("331083").unwrap();
        let mut subjects = of_message(asking, Some("K1"), Some("YH0123"), &body);
        of_result(&json!({"licenses": [{"license_id": "L1"}, {"license_id": "L1"}]}), &mut subjects);
        let told: Vec<_> = subjects.iter().map(|s| (s.field, s.value.as_str())).collect();
        assert_eq!(
            told,
            [
                (Field::Citizen, "42120219000101001X"),
                (Field::Case, "K1"),
                (Field::Operator, "331083:YH0123"),
                (Field::License, "L1"),
            ]
        );
    }
}
