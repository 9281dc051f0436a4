//! Strict JSON: never panics; what it accepts, serde_json reads as the same value, and the
//! canonical form reads back as that value too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tongban::json::{jcs, parse, parse_config, parse_record};

fuzz_target!(|bytes: &[u8]| {
    let as_record = parse_record(bytes);
    let as_file = parse_config(bytes);
    if let Ok(value) = &as_file {
        same_for_others(bytes, value);
        let canonical = jcs(value);
        assert_eq!(parse_config(&canonical).as_ref(), Ok(value), "the canonical form is strict and the same");
        assert_eq!(jcs(&parse_config(&canonical).unwrap_or_default()), canonical, "there is one canonical form");
    }
    if let Ok(value) = &as_record {
        same_for_others(bytes, value);
    }
    if let Ok(value) = parse(bytes) {
        // A message's limits are the narrowest: all three readings agree.
        assert_eq!(as_file.as_ref(), Ok(&value));
        assert_eq!(as_record.as_ref(), Ok(&value));
    }
});

/// A reader that knows nothing of our rules sees the same value.
fn same_for_others(bytes: &[u8], value: &Value) {
    let theirs: Value = serde_json::from_slice(bytes).expect("serde_json is more lenient");
    assert_eq!(value, &theirs);
}
