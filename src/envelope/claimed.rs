//! What a message says it asks for, read before anybody believes it: enough to say "not now",
//! never enough to do anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{MOST_SHORT_MESSAGE_BYTES, Op};

/// The `op` that a message names. One pass, no signature. Of names that are not spelled plainly,
/// or that stand there twice, nothing is made; the judge refuses such a message anyway.
pub fn claimed_op(message: &[u8]) -> Option<Op> {
    if message.len() > MOST_SHORT_MESSAGE_BYTES {
        // Nothing else may be as long, and what is as long is not read for a hint.
        return Some(Op::ApplicationSubmit);
    }
    let begin = message.iter().position(|byte| *byte == b'.')?.saturating_add(1);
    let rest = message.get(begin..)?;
    // Most name it early. What is found in the beginning is what would be found in the whole.
    let early = rest.get(..EARLY).filter(|early| !early.contains(&b'.')).and_then(op_in);
    early.or_else(|| op_in(rest.split(|byte| *byte == b'.').next()?))
}

/// Characters of a payload in which an op mostly stands: the claims before it take some 250. A
/// multiple of four, so that they are whole octets.
const EARLY: usize = 512;

fn op_in(encoded: &[u8]) -> Option<Op> {
    let payload = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    Op::from_name(std::str::from_utf8(member(&payload, b"op")?).ok()?)
}

/// The text of a member of the outer object, as it is written.
fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (mut depth, mut at, mut named) = (0_u32, 0, false);
    while let Some(byte) = object.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => (depth, named) = (depth + 1, false),
            b'}' | b']' => (depth, named) = (depth.checked_sub(1)?, false),
            b'"' => {
                let text = text(object.get(at..)?)?;
                at += text.len() + 1;
                if named {
                    return Some(text);
                }
                // A name is a text with a colon behind it.
                let colon = object.get(at..)?.iter().find(|byte| !byte.is_ascii_whitespace());
                named = depth == 1 && text == name && colon == Some(&b':');
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => named = false,
        }
    }
    None
}

/// Up to the quotation mark that ends it.
fn text(from: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match from.get(at)? {
            b'"' => return from.get(..at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(payload: &str) -> Option<&'static str> {
        let message = format!("aGVhZGVy.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(payload));
        claimed_op(message.as_bytes()).map(Op::name)
    }

    #[test]
    fn every_operation_is_read_wherever_it_stands() {
        for op in Op::ALL {
            let name = op.name();
            assert_eq!(claimed(&format!(r#"{{"op":"{name}"}}"#)), Some(name));
            let deep = format!(
                r#"{{ "body" : {{"op":"ping","a":[{{"op":"x"}}, "op"]}}, "purpose":"\"op\":\"ping\"", "op" : "{name}","z":1}}"#
            );
            assert_eq!(claimed(&deep), Some(name));
        }
    }

    #[test]
    fn a_late_operation_and_one_across_the_first_look_are_read_too() {
        for filler in (0..40).chain(340..400).chain([2_000]) {
            let text = format!(r#"{{"purpose":"{}","op":"license.query","z":1}}"#, "a".repeat(filler));
            assert_eq!(claimed(&text), Some("license.query"), "{filler}");
            let doubled = format!(r#"{{"body":{{"op":"{}"}},"op":"license.query"}}"#, "a".repeat(filler));
            assert_eq!(claimed(&doubled), Some("license.query"), "{filler}");
        }
    }

    #[test]
    fn what_is_not_said_plainly_is_not_guessed() {
        for payload in [
            "",
            "{}",
            "op",
            r#"["op","ping"]"#,
            r#"{"body":{"op":"ping"}}"#,
            r#"{"\u006fp":"ping"}"#,
            r#"{"op":"p\u0069ng"}"#,
            r#"{"op":["ping"]}"#,
            r#"{"op":1,"iss":"ping"}"#,
            r#"{"op":"no.such"}"#,
            r#"{"op":"ping"#,
            r#"{"a\"#,
            "}}}}",
        ] {
            assert_eq!(claimed(payload), None, "{payload}");
        }
        assert_eq!(claimed_op(b"no parts"), None);
        assert_eq!(claimed_op(b"a.!!!.c"), None);
        assert_eq!(claimed_op(&vec![b'a'; MOST_SHORT_MESSAGE_BYTES + 1]), Some(Op::ApplicationSubmit));
    }
}
