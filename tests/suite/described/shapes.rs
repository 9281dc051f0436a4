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

/// One leaf in so many stands at, or just beyond, a bound of its schema, where edges are wanted.
const EDGES: usize = 24;

pub struct Shapes {
    components: Value,
    edges: bool,
}

impl Shapes {
    pub fn of(description: &Value) -> Self {
        Self { components: description["components"].clone(), edges: false }
    }

    /// Values at the bounds of their schemas, and one beyond them, are made as well.
    pub fn with_edges(mut self) -> Self {
        self.edges = true;
        self
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
        if self.edges && chance.one_in(EDGES) {
            return edge(schema, chance);
        }
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

/// At a bound of the schema, or just beyond it, or of another type.
fn edge(schema: &Value, chance: &mut Chance) -> Value {
    let bound = |name: &str, beyond: i64| schema[name].as_i64().map(|bound| bound + beyond);
    let whole = |n: i64| usize::try_from(n.clamp(0, 40_000)).unwrap();
    let mut values: Vec<Value> = vec![json!(null), json!(true), json!({}), json!([]), json!(0), json!("")];
    for (name, beyond) in [("minimum", -1), ("minimum", 0), ("maximum", 0), ("maximum", 1)] {
        values.extend(bound(name, beyond).map(|n| json!(n)));
    }
    for (name, beyond) in [("minLength", -1), ("minLength", 0), ("maxLength", 0), ("maxLength", 1)] {
        let letter = *chance.pick(&["a", "a", "测", "𠮷", "e\u{301}", "ﬀ", "\u{feff}"]);
        values.extend(bound(name, beyond).map(|n| json!(letter.repeat(whole(n)))));
    }
    for (name, beyond) in [("minItems", -1), ("minItems", 0), ("maxItems", 0), ("maxItems", 1)] {
        let item = chance.pick(&[json!(1), json!("x"), json!({}), json!(null)]).clone();
        values.extend(bound(name, beyond).map(|n| json!(vec![item.clone(); whole(n).min(1000)])));
    }
    if schema["type"] == "string" && chance.one_in(3) {
        let odd = [
            "\u{202e}",
            "\u{0}",
            "\u{fffd}",
            "\u{e000}",
            "４２１２０２",
            " a",
            "a\n",
            "<b>",
            "' OR 1=1 --",
            "../../etc",
        ];
        values.push(json!(chance.pick(&odd)));
    }
    if schema["type"] == "integer" {
        values.extend([json!(-1), json!(1.5), json!(9_007_199_254_740_992_i64), json!(i64::MAX), json!("1")]);
    }
    // The schema's own bounds are likelier than the rest.
    let own = values.len() - values.len().min(6);
    if own > 0 && !chance.one_in(3) {
        values[6 + chance.below(own)].clone()
    } else {
        chance.pick(&values).clone()
    }
}
