//! Whether a partner's result stays within what was asked of it (protocol §4): the asking
//! side's half of "cut to what was asked".
//!
//! Promises: a result that fits holds no license of another type or id, no field and no kind of
//! word that was not asked. What tells more, nobody consented to: it is not believed, so that
//! nothing of it is shown or kept. Less is no fault: a license may lack a field, and a revoked
//! one tells none.

use serde_json::Value;

/// What a result holds beyond the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    #[error("a license of another type than was asked for")]
    Type,
    #[error("another license than the one that was named")]
    License,
    #[error("a field that was not asked for, or its value where only a match was")]
    Field,
}

impl NotAsked {
    /// A stable word for log and local door.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Type => "type-not-asked",
            Self::License => "license-not-asked",
            Self::Field => "field-not-asked",
        }
    }
}

/// `question` is the body of a `license.query`, `result` an answer to it; both have met their
/// schemas.
pub fn fits(question: &Value, result: &Value) -> Result<(), NotAsked> {
    let licenses = result.get("licenses").and_then(Value::as_array);
    licenses.into_iter().flatten().try_for_each(|license| license_fits(question, license))
}

fn license_fits(question: &Value, license: &Value) -> Result<(), NotAsked> {
    if license.get("type") != question.pointer("/license/type") {
        return Err(NotAsked::Type);
    }
    let id = |id: Option<&Value>| id.and_then(Value::as_str).map(str::to_ascii_uppercase);
    let named = id(question.pointer("/license/license_id"));
    if named.is_some() && named != id(license.get("license_id")) {
        return Err(NotAsked::License);
    }
    let verify = question.get("mode").is_some_and(|mode| mode == "verify");
    let (told, never) = if verify { ("match", "data") } else { ("data", "match") };
    let told = license.get(told).and_then(Value::as_object);
    let within = told.into_iter().flatten().all(|(field, _)| is_asked(question, field));
    if license.get(never).is_some() || !within {
        return Err(NotAsked::Field);
    }
    Ok(())
}

/// `fields` of a `read`, `expect` of a `verify`; a question has the one of its mode.
fn is_asked(question: &Value, field: &str) -> bool {
    let read = question.get("fields").and_then(Value::as_array);
    let verify = question.get("expect").and_then(Value::as_object);
    read.is_some_and(|fields| fields.iter().any(|asked| asked == field))
        || verify.is_some_and(|expect| expect.contains_key(field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(license: &Value) -> Value {
        json!({"found": true, "licenses": [{"type": "T", "license_id": "A1X"}, license]})
    }

    fn read(license: Value) -> Result<(), NotAsked> {
        let question = json!({"license": {"type": "T"}, "mode": "read", "fields": ["a", "b"]});
        fits(&question, &result(&license))
    }

    fn verify(license: Value) -> Result<(), NotAsked> {
        let question = json!({"license": {"type": "T"}, "mode": "verify", "expect": {"a": "1"}});
        fits(&question, &result(&license))
    }

    #[test]
    fn less_than_was_asked_fits_and_more_does_not() {
        assert_eq!(read(json!({"type": "T", "data": {"a": 1, "b": 2}})), Ok(()));
        assert_eq!(read(json!({"type": "T", "data": {"b": 2}})), Ok(()));
        assert_eq!(read(json!({"type": "T"})), Ok(()), "a revoked one tells none");
        assert_eq!(read(json!({"type": "T", "data": {"a": 1, "c": 3}})), Err(NotAsked::Field));
        assert_eq!(read(json!({"type": "U", "data": {"a": 1}})), Err(NotAsked::Type));
        assert_eq!(
            fits(&json!({"license": {"type": "T"}}), &json!({"found": false, "licenses": []})),
            Ok(())
        );
    }

    #[test]
    fn a_match_tells_no_value_and_a_reading_no_match() {
        assert_eq!(verify(json!({"type": "T", "match": {"a": true}})), Ok(()));
        assert_eq!(verify(json!({"type": "T", "match": {"a": true, "b": true}})), Err(NotAsked::Field));
        assert_eq!(verify(json!({"type": "T", "data": {"a": 1}})), Err(NotAsked::Field));
        assert_eq!(read(json!({"type": "T", "match": {"a": true}})), Err(NotAsked::Field));
    }

    #[test]
    fn a_named_license_is_the_only_one() {
        let by_id =
            |id: &str| json!({"license": {"type": "T", "license_id": id}, "mode": "read", "fields": []});
        let same = json!({"type": "T", "license_id": "A1X"});
        assert_eq!(fits(&by_id("A1x"), &result(&same)), Ok(()));
        assert_eq!(fits(&by_id("A2Y"), &result(&same)), Err(NotAsked::License));
    }
}
