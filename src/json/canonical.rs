//! JCS, the JSON Canonicalization Scheme (RFC 8785): one byte string per value, so that both
//! sides digest the same agreement, event or leaf.

use serde_json::{Map, Number, Value};

/// Integers whose ECMAScript form is their decimal form.
const LARGEST_EXACT: i64 = 1 << 53;

/// The canonical bytes of `value`.
pub fn jcs(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(members, out),
    }
}

/// Members in the order of their names' UTF-16 code units (§3.2.3).
fn write_object(members: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    if sorted.iter().all(|(name, _)| name.is_ascii()) {
        sorted.sort_unstable_by_key(|(name, _)| *name);
    } else {
        sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    out.push(b'{');
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// §3.2.2.3: ECMAScript's form; integers, the only numbers in messages, need no floating point.
fn write_number(number: &Number, out: &mut Vec<u8>) {
    match number.as_i64() {
        Some(integer) if integer.unsigned_abs() <= LARGEST_EXACT.unsigned_abs() => {
            out.extend_from_slice(integer.to_string().as_bytes());
        }
        _ => {
            #[expect(clippy::expect_used, reason = "a JSON number is finite, and only NaN and infinity fail")]
            let text = serde_json_canonicalizer::to_string(number).expect("finite");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// A JSON string, quoted (RFC 8785 §3.2.2.2): only quotation marks, backslashes and controls are
/// escaped.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    write_utf8(text.as_bytes(), out);
}

/// The same of octets that are known to be UTF-8, because they were written here.
pub fn write_utf8(text: &[u8], out: &mut Vec<u8>) {
    let escaped = |byte: &u8| matches!(byte, b'"' | b'\\' | 0x00..=0x1F);
    out.push(b'"');
    let mut rest = text;
    // Without an early exit this runs many bytes at a time, and most strings need nothing.
    let any = rest.iter().fold(false, |any, byte| any | escaped(byte));
    while let Some(plain) = any.then(|| rest.iter().position(escaped)).flatten() {
        let (run, from) = rest.split_at(plain);
        out.extend_from_slice(run);
        let Some((byte, after)) = from.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0A => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            0x0D => out.extend_from_slice(b"\\r"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
