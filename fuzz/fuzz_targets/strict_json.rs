//! Strict JSON: never panics; what it accepts, serde_json reads as the same value, and the
//! canonical form reads back as that value too.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = tongban::json::parse(bytes) {
        let theirs: serde_json::Value = serde_json::from_slice(bytes).expect("serde_json is more lenient");
        assert_eq!(value, theirs);
        let canonical = tongban::json::jcs(&value);
        assert_eq!(tongban::json::parse(&canonical).expect("canonical form is strict"), value);
    }
});
