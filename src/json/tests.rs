use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rule(text: &str) -> Result<Value, JsonRule> {
    parse(text.as_bytes()).map_err(|fault| fault.rule)
}

#[test]
fn ordinary_documents_read_as_everyone_reads_them() {
    for text in [
        "{}",
        " [ ] ",
        r#"{"a":[1,-2,0,true,false,null],"b":{"c":"通办 \u4e2d \"q\" \\ \/"},"":"😀"}"#,
        "9007199254740992",
        "-9007199254740992",
        r#""\ud83d\ude00""#,
        "\t\r\n {\"a\" : 1 }\n",
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
}

#[test]
fn each_rule_has_its_fault() {
    use JsonRule::*;
    let cases: &[(&str, JsonRule)] = &[
        ("", End),
        (" ", End),
        ("{", End),
        ("[1,", End),
        ("\"abc", End),
        ("\"\\u00", End),
        ("-", End),
        ("{}x", Syntax),
        ("{} {}", Syntax),
        ("{\"a\":1,}", Syntax),
        ("[1,]", Syntax),
        ("[,1]", Syntax),
        ("{a:1}", Syntax),
        ("{'a':1}", Syntax),
        ("{\"a\" 1}", Syntax),
        ("// c\n{}", Syntax),
        ("{}/**/", Syntax),
        ("NaN", Syntax),
        ("Infinity", Syntax),
        ("-Infinity", Syntax),
        ("tru", Syntax),
        ("nul", Syntax),
        ("True", Syntax),
        ("+1", Syntax),
        ("01", Syntax),
        ("-01", Syntax),
        ("00", Syntax),
        (".5", Syntax),
        ("1.", End),
        ("[1.]", Syntax),
        ("[1e]", Syntax),
        ("0x10", Syntax),
        ("\u{feff}{}", Syntax),
        ("\u{a0}1", Syntax),
        ("\u{b}1", Syntax),
        (r#""\x""#, Syntax),
        (r#""\u12G4""#, Syntax),
        (r#""\u+123""#, Syntax),
        (r#"{"a":1,"a":1}"#, DuplicateName),
        (r#"{"typ":1,"t\u0079p":1}"#, DuplicateName),
        (r#"{"x":{"b":1,"b":2}}"#, DuplicateName),
        (r#"[{"":1,"":2}]"#, DuplicateName),
        ("1.0", NotInteger),
        ("-1.5", NotInteger),
        ("1e3", NotInteger),
        ("1E+2", NotInteger),
        ("1e300", NotInteger),
        ("1e400", NotInteger),
        ("-0.0", NotInteger),
        ("9007199254740993", NumberRange),
        ("-9007199254740993", NumberRange),
        ("9223372036854775807", NumberRange),
        ("18446744073709551616", NumberRange),
        ("-0", NegativeZero),
        ("[-0]", NegativeZero),
        ("\"a\u{0}\"", Character),
        ("\"a\n\"", Character),
        (r#""\u0000""#, Character),
        (r#""\n""#, Character),
        (r#""\t""#, Character),
        (r#""\u001f""#, Character),
        ("\"\u{7f}\"", Character),
        ("\"\u{85}\"", Character),
        ("\"\u{9f}\"", Character),
        ("\"\u{fffd}\"", Character),
        (r#""\uFFFD""#, Character),
        ("\"\u{e000}\"", Character),
        ("\"\u{f8ff}\"", Character),
        ("\"\u{f0000}\"", Character),
        ("\"\u{10fffd}\"", Character),
        (r#""\udbff\udffd""#, Character),
        ("\"\u{202a}\"", Character),
        ("\"\u{202e}\"", Character),
        ("\"\u{2066}\"", Character),
        ("\"\u{2069}\"", Character),
        ("\"\u{fdd0}\"", Character),
        ("\"\u{fdef}\"", Character),
        ("\"\u{fffe}\"", Character),
        ("\"\u{ffff}\"", Character),
        ("\"\u{1fffe}\"", Character),
        (r#""\ud83f\udfff""#, Character),
        ("{\"\u{202e}\":1}", Character),
        (r#"{"\ue000":1}"#, Character),
        (r#""\ud800""#, LoneSurrogate),
        (r#""\udc00""#, LoneSurrogate),
        (r#""\ud800\ud800""#, LoneSurrogate),
        (r#""\ud800x""#, LoneSurrogate),
        (r#""\ud800\n""#, LoneSurrogate),
        (r#""\ude00\ud83d""#, LoneSurrogate),
    ];
    for (text, expected) in cases {
        assert_eq!(rule(text), Err(*expected), "{}", text.escape_debug());
    }
}

#[test]
fn neighbours_of_forbidden_characters_pass() {
    for c in [
        '\u{a0}',
        '\u{2029}',
        '\u{202f}',
        '\u{2065}',
        '\u{206a}',
        '\u{fdcf}',
        '\u{fdf0}',
        '\u{fffc}',
        '\u{d7ff}',
        '\u{f900}',
        '\u{fff9}',
        '\u{1fffd}',
        '\u{2ffef}',
        ' ',
        '~',
        '𠮷',
        '·',
        '\u{3000}',
    ] {
        assert!(rule(&format!("\"{c}\"")).is_ok(), "{}", c.escape_unicode());
    }
}

#[test]
fn bytes_that_are_not_utf8_are_told_by_offset() {
    for (bytes, at) in [
        (&b"\"\xff\""[..], 1),
        (b"\"\xc0\xaf\"", 1),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\"a\xf4\x90\x80\x80\"", 2),
        (b"{\x00\"\x00a\x00\xd8", 6),
    ] {
        let fault = parse(bytes).unwrap_err();
        if fault.rule == JsonRule::Utf8 {
            assert_eq!(fault.at, at);
        } else {
            panic!("{fault:?}");
        }
    }
    assert!(parse("{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice()).is_err());
}

#[test]
fn depth_twelve_passes_and_thirteen_does_not() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(rule(&nested(12)).is_ok());
    assert_eq!(rule(&nested(13)), Err(JsonRule::Depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(rule(&objects(12)).is_ok());
    assert_eq!(rule(&objects(13)), Err(JsonRule::Depth));
    assert!(parse_config(nested(32).as_bytes()).is_ok());
    assert_eq!(parse_config(nested(33).as_bytes()).unwrap_err().rule, JsonRule::Depth);
    // Siblings do not add up.
    assert!(rule(&format!("[{}]", vec![nested(11); 20].join(","))).is_ok());
}

#[test]
fn two_thousand_values_pass_and_one_more_does_not() {
    let list = |values: usize| format!("[{}]", vec!["1"; values - 1].join(","));
    assert!(rule(&list(2_000)).is_ok());
    assert_eq!(rule(&list(2_001)), Err(JsonRule::Nodes));
    let object = |values: usize| {
        let members: Vec<String> = (1..values).map(|i| format!("\"k{i}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(rule(&object(2_000)).is_ok(), "names are no values");
    assert_eq!(rule(&object(2_001)), Err(JsonRule::Nodes));
}

#[test]
fn bombs_are_refused() {
    let deep = "[".repeat(256 * 1024);
    let long_number = format!("[{}]", "9".repeat(256 * 1024));
    let long_fraction = format!("[0.{}]", "1".repeat(256 * 1024));
    let wide = format!("{{{}}}", (0..100_000).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(","));
    assert_eq!(rule(&deep), Err(JsonRule::Depth));
    assert_eq!(rule(&long_number), Err(JsonRule::NumberRange));
    assert_eq!(rule(&long_fraction), Err(JsonRule::NotInteger));
    assert!(parse_config(wide.as_bytes()).is_ok());
}

#[test]
fn records_may_hold_decimals() {
    let record = |text: &str| parse_record(text.as_bytes()).map_err(|fault| fault.rule);
    assert_eq!(record("[12.50,-0.5,3,0.0]").unwrap(), json!([12.5, -0.5, 3, 0.0]));
    assert_eq!(record("1e3"), Err(JsonRule::NotInteger));
    assert_eq!(record("-0"), Err(JsonRule::NegativeZero));
    assert_eq!(record("-0.00"), Err(JsonRule::NegativeZero));
    assert_eq!(record(&format!("{}.5", "9".repeat(400))), Err(JsonRule::NumberRange));
    assert_eq!(parse_config(b"1.5").unwrap_err().rule, JsonRule::NotInteger);
}

#[test]
fn a_fault_names_the_rule_and_the_byte_and_nothing_else() {
    let fault = parse(br#"{"secret":1,"secret":2}"#).unwrap_err();
    assert_eq!(fault, JsonFault { rule: JsonRule::DuplicateName, at: 12 });
    assert_eq!(fault.to_string(), "names a member twice at byte 12");
    assert_eq!(Fault::from(fault).rule, "json-duplicate-name");
}

#[test]
fn jcs_gives_the_bytes_of_rfc_8785() {
    // RFC 8785 §3.2.3, names sorted by UTF-16 code units.
    let value = json!({"\u{20ac}":"Euro Sign","\r":"Carriage Return","\u{fb33}":"Hebrew Letter Dalet With Dagesh",
        "1":"One","\u{1f600}":"Emoji: Grinning Face","\u{80}":"Control","\u{f6}":"Latin Small Letter O With Diaeresis"});
    let text = String::from_utf8(jcs(&value)).unwrap();
    let order: Vec<usize> = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
        .iter()
        .map(|w| text.find(w).unwrap())
        .collect();
    assert!(order.is_sorted(), "{text}");
    // RFC 8785 §3.2.2.
    let value: Value = serde_json::from_str(
        r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
        "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(jcs(&value)).unwrap(),
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
}

fn any_value(numbers: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        numbers,
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn jcs_agrees_with_an_independent_implementation(value in any_value(prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ].boxed())) {
        prop_assert_eq!(jcs(&value), serde_json_canonicalizer::to_vec(&value).unwrap());
    }

    #[test]
    fn what_is_accepted_reads_the_same_to_serde_json(text in "[\\[\\]{}\",:0-9a-z\\\\u \\-.e]{0,40}") {
        if let Ok(value) = parse(text.as_bytes()) {
            prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn canonical_form_is_accepted_and_is_a_fixed_point(value in any_value(
        (-(1i64 << 53)..=(1i64 << 53)).prop_map(Value::from).boxed())) {
        let bytes = jcs(&value);
        match parse(&bytes) {
            Ok(again) => {
                prop_assert_eq!(&again, &value);
                prop_assert_eq!(jcs(&again), bytes);
            }
            Err(fault) => prop_assert_eq!(fault.rule, JsonRule::Character),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }
}
