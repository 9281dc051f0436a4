//! The published JSON Schemas of what a target says. Identifiers in it are checked by the cases
//! that are about them; here their formats are left open.

use std::collections::BTreeMap;

use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde_json::{Value, json};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../schemas/", $name, ".json")))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "types",
    "codes",
    "response",
    "problem",
    "license-result",
    "application-receipt",
    "application-status-result",
    "verification-receipt",
    "card",
    "reconcile",
    "reconcile-result",
];

pub(super) struct Schemas(BTreeMap<&'static str, Validator>);

impl Schemas {
    pub(super) fn embedded() -> Option<Self> {
        let mut registry = Registry::new().draft(Draft::Draft202012);
        for (name, text) in FILES {
            let schema: Value = serde_json::from_str(text).ok()?;
            registry = registry.add(format!("urn:tongban:schema:{name}"), schema).ok()?;
        }
        let registry = registry.prepare().ok()?;
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_registry(&registry)
            .with_pattern_options(PatternOptions::regex())
            .offline();
        let mut compiled = BTreeMap::new();
        for (name, _) in FILES.iter().skip(2) {
            compiled
                .insert(*name, options.build(&json!({"$ref": format!("urn:tongban:schema:{name}")})).ok()?);
        }
        Some(Self(compiled))
    }

    pub(super) fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let schema = self.0.get(name).ok_or_else(|| format!("there is no schema {name}"))?;
        match schema.iter_errors(value).next() {
            None => Ok(()),
            Some(error) => Err(format!("the {name} is not as its schema says, at {}", error.instance_path())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schemas_compile_by_themselves() {
        let schemas = Schemas::embedded().unwrap();
        assert!(schemas.check("card", &json!({})).is_err());
        assert!(schemas.check("nothing", &json!({})).is_err());
    }
}
