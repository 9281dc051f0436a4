//! A signature that does not hold: what else it is a signature of, or by.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::sight::{self, Sight};
use super::{Findings, Said, spelling};
use crate::envelope;
use crate::keys::VerifyingKey;

/// Octets of one number of a P-256 signature.
const P256_NUMBER: usize = 32;

/// Who else may have signed: a key and whose it is.
pub(super) struct Other<'a> {
    pub key: &'a VerifyingKey,
    pub whose: Said,
}

/// What a mismatched signature under `key` is instead.
pub(super) fn mismatch(sight: &Sight<'_>, key: &VerifyingKey, others: &[Other<'_>], found: &mut Findings) {
    let input = sight.signing_input.as_bytes();
    let holds = |signature: &[u8]| key.verify(input, signature);
    if let Some(raw) = from_der(&sight.signature) {
        let (en, zh) = match holds(&raw) {
            true => ("it holds once it is converted", "转换后签名成立"),
            false => ("it does not hold even when converted", "转换后仍不成立"),
        };
        found.measured("signature-der", en, zh);
        if !holds(&raw) {
            of_other_text(sight, key, &raw, found);
        }
        return;
    }
    if let Some(raw) = from_text(&sight.signature) {
        let (en, zh) = match holds(&raw) {
            true => ("it holds once it is decoded", "解码后签名成立"),
            false => ("it does not hold even when decoded", "解码后仍不成立"),
        };
        return found.measured("signature-text", en, zh);
    }
    if let Some(other) = others.iter().find(|other| other.key.verify(input, &sight.signature)) {
        return found.measured("key-other", other.whose.en.clone(), other.whose.zh.clone());
    }
    if !key.signature_len_ok(sight.signature.len()) {
        let bytes = sight.signature.len();
        return found.measured(
            "signature-length",
            format!("it has {bytes} bytes"),
            format!("共 {bytes} 字节"),
        );
    }
    if !of_other_text(sight, key, &sight.signature, found) {
        found.add("signature-unknown");
    }
}

/// Whether the signature holds over one of the texts that are signed by mistake.
fn of_other_text(sight: &Sight<'_>, key: &VerifyingKey, signature: &[u8], found: &mut Findings) -> bool {
    let holds = |text: &[u8]| key.verify(text, signature);
    let [header, payload, _] = sight.parts;
    let encoded = |bytes: &str| URL_SAFE_NO_PAD.encode(bytes);
    if sight.payload.is_object() || sight.payload.is_array() {
        let again = |spelling: &spelling::Spelling| {
            holds(format!("{header}.{}", encoded(&spelling.write(&sight.payload))).as_bytes())
        };
        if let Some(spelling) = spelling::all().find(again) {
            let Said { en, zh } = spelling.said();
            found.measured("payload-again", format!("signed was: {en}"), format!("签名所用写法:{zh}"));
            return true;
        }
    }
    if sight.header.is_object() {
        let again = |spelling: &spelling::Spelling| {
            holds(format!("{}.{payload}", encoded(&spelling.write(&sight.header))).as_bytes())
        };
        if let Some(spelling) = spelling::all().find(again) {
            let Said { en, zh } = spelling.said();
            found.measured("header-again", format!("signed was: {en}"), format!("签名所用写法:{zh}"));
            return true;
        }
    }
    if let Some(Said { en, zh }) =
        other_input(sight).into_iter().find(|(text, _)| holds(text)).map(|(_, s)| s)
    {
        found.measured("input-encoding", en, zh);
        return true;
    }
    let digest = envelope::digest(sight.signing_input.as_bytes());
    if holds(&digest) || holds(hex::encode(digest).as_bytes()) {
        found.add("input-hashed");
        return true;
    }
    if holds(payload.as_bytes()) || holds(&sight.payload_bytes) {
        found.add("input-payload-only");
        return true;
    }
    false
}

/// The two parts put together in another encoding.
fn other_input(sight: &Sight<'_>) -> Vec<(Vec<u8>, Said)> {
    let (header, payload) = (&sight.header_bytes, &sight.payload_bytes);
    let joined = |a: String, b: String| format!("{a}.{b}").into_bytes();
    vec![
        (
            joined(URL_SAFE.encode(header), URL_SAFE.encode(payload)),
            Said::new("signed was padded base64url", "签名原文用了带填充的 base64url"),
        ),
        (
            joined(STANDARD.encode(header), STANDARD.encode(payload)),
            Said::new("signed was standard base64", "签名原文用了标准 base64"),
        ),
        (
            joined(STANDARD_NO_PAD.encode(header), STANDARD_NO_PAD.encode(payload)),
            Said::new("signed was standard base64 without padding", "签名原文用了无填充的标准 base64"),
        ),
        (
            [header.as_slice(), b".", payload].concat(),
            Said::new("signed were the two JSON texts, not encoded", "签名原文为未编码的两段 JSON"),
        ),
    ]
}

/// `SEQUENCE { INTEGER r, INTEGER s }` of P-256 as r ‖ s.
fn from_der(signature: &[u8]) -> Option<Vec<u8>> {
    let [0x30, length, rest @ ..] = signature else { return None };
    if usize::from(*length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

fn integer(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [2, length, rest @ ..] = bytes else { return None };
    let (number, rest) = rest.split_at_checked((*length).into())?;
    let number = number.strip_prefix(&[0]).unwrap_or(number);
    let lacking = P256_NUMBER.checked_sub(number.len())?;
    Some(([vec![0; lacking].as_slice(), number].concat(), rest))
}

/// Hex or base64 text where the bytes belong.
fn from_text(signature: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(signature).ok().filter(|text| text.len() > 2 * P256_NUMBER)?;
    if let Ok(raw) = hex::decode(text) {
        return Some(raw);
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+/=".contains(&b)) {
        return None;
    }
    let raw = sight::decode(&text.replace('+', "-").replace('/', "_"));
    (!raw.is_empty()).then_some(raw)
}
