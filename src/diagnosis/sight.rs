//! A message as a lenient reader sees it: what the strict one refused must still be looked at.
//! Nothing that is read here is believed.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The three parts, decoded as far as they can be.
pub(super) struct Sight<'a> {
    pub parts: [&'a str; 3],
    /// `header.payload`, as received.
    pub signing_input: &'a str,
    pub header_bytes: Vec<u8>,
    pub header: Value,
    pub payload_bytes: Vec<u8>,
    pub payload: Value,
    pub signature: Vec<u8>,
}

/// As lenient as can be; nothing where that is not enough.
pub(super) fn decode(part: &str) -> Vec<u8> {
    LENIENT.decode(part).unwrap_or_default()
}

impl<'a> Sight<'a> {
    pub fn of(body: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut split = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (split.next(), split.next(), split.next(), split.next())
        else {
            return None;
        };
        let (header_bytes, payload_bytes) = (decode(header), decode(payload));
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
        Some(Self {
            parts: [header, payload, signature],
            signing_input: text.get(..header.len() + 1 + payload.len())?,
            header: json(&header_bytes),
            payload: json(&payload_bytes),
            signature: decode(signature),
            header_bytes,
            payload_bytes,
        })
    }

    /// A text of the header.
    pub fn head(&self, name: &str) -> &str {
        self.header.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text of the payload.
    pub fn text(&self, name: &str) -> &str {
        self.payload.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.payload.get(name).and_then(Value::as_i64)
    }
}

/// 43 characters of base64url: what a thumbprint looks like, and may be shown.
pub(super) fn is_thumbprint(kid: &str) -> bool {
    kid.len() == 43 && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
