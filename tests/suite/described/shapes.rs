//! Schemas of a description: validators for its answers, and values made to its measure.

use jsonschema::Validator;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

/// A reproducible draw (xorshift).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % most.max(1)
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// How deep a made value goes before only what is required is made.
const DEPTH: usize = 6;

pub struct Shapes {
    components: Value,
}

impl Shapes {
    pub fn of(description: &Value) -> Self {
        Self { components: description["components"].clone() }
    }

    pub fn validator(&self, schema: &Value) -> Validator {
        let mut root = schema.clone();
        root["components"] = self.components.clone();
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&root).unwrap()
    }

    pub fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => {
                let name = place.strip_prefix("#/components/schemas/").unwrap();
                self.resolved(&self.components["schemas"][name])
            }
            None => schema,
        }
    }

    /// A value that meets the schema's shape; identifiers are well formed where it matters.
    pub fn made(&self, schema: &Value, chance: &mut Chance, depth: usize) -> Value {
        let schema = self.resolved(schema);
        if let Some(example) = schema.get("example").filter(|_| !chance.one_in(4)) {
            return example.clone();
        }
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        for choice in ["enum", "oneOf", "anyOf"] {
            if let Some(options) = schema.get(choice).and_then(Value::as_array) {
                let option = chance.pick(options);
                return if choice == "enum" { option.clone() } else { self.made(option, chance, depth + 1) };
            }
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => chance.pick(kinds).as_str().unwrap(),
            kind => kind.as_str().unwrap_or("object"),
        };
        match kind {
            "object" => self.made_object(schema, chance, depth),
            "array" => {
                let least = schema["minItems"].as_u64().unwrap_or(0);
                let count = if depth > DEPTH { least } else { least + chance.below(3) as u64 };
                (0..count).map(|_| self.made(&schema["items"], chance, depth + 1)).collect()
            }
            "string" => made_string(schema, chance).into(),
            "integer" => {
                let least = schema["minimum"].as_i64().unwrap_or(0);
                let most = schema["maximum"].as_i64().unwrap_or(2_000_000_000);
                let spread = usize::try_from(most.saturating_sub(least)).unwrap();
                json!(least + i64::try_from(chance.below(spread.max(1))).unwrap())
            }
            "boolean" => chance.one_in(2).into(),
            _ => Value::Null,
        }
    }

    fn made_object(&self, schema: &Value, chance: &mut Chance, depth: usize) -> Value {
        let mut made = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || (depth < DEPTH && chance.one_in(2)) {
                made.insert(name.clone(), self.made(member, chance, depth + 1));
            }
        }
        for rule in schema["allOf"].as_array().into_iter().flatten() {
            self.follow(rule, &mut made, chance, depth);
        }
        Value::Object(made)
    }

    /// `if` a member is one word, `then` others look so.
    fn follow(&self, rule: &Value, made: &mut Map<String, Value>, chance: &mut Chance, depth: usize) {
        let meant = rule["if"]["properties"].as_object().into_iter().flatten();
        let meant = meant.into_iter().all(|(name, member)| made.get(name) == member.get("const"));
        if !meant {
            return;
        }
        let then = &rule["then"];
        for (name, member) in then["properties"].as_object().into_iter().flatten() {
            if *member == json!(false) {
                made.remove(name);
            } else {
                made.insert(name.clone(), self.made(member, chance, depth + 1));
            }
        }
    }
}

fn made_string(schema: &Value, chance: &mut Chance) -> String {
    match schema["format"].as_str() {
        Some("date") => return chance.pick(&["2030-03-20", "2026-01-05", "2031-12-31"]).to_string(),
        Some("date-time") => return "2030-03-20T08:00:00+08:00".into(),
        Some("uscc") => return chance.pick(&["11331083TECT000279", "11421202TECT000191"]).to_string(),
        Some("region" | "address-code") => return chance.pick(&["421202", "331083"]).to_string(),
        Some("case-number") => return "K3310834212022026101200000001M".into(),
        Some("license-id") => {
            return "1.2.156.3005.2.111000000000131433001.11331083TECT000279.J33108320260000001.001.N".into();
        }
        Some("type-code") => return "111000000000131433001".into(),
        _ => {}
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        let mut runner = TestRunner::deterministic();
        for _ in 0..chance.below(4) {
            runner.new_rng();
        }
        return string_regex(pattern).unwrap().new_tree(&mut runner).unwrap().current();
    }
    let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0)).unwrap();
    let most = usize::try_from(schema["maxLength"].as_u64().unwrap_or(40)).unwrap().min(40);
    let length = least + chance.below(most.saturating_sub(least) + 1);
    (0..length).map(|_| *chance.pick(&['a', '9', '测', '-', '_', ' '])).collect()
}
