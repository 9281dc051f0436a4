//! Compact JWS (RFC 7515 §7.1), narrowed until a message has one reading: a closed header of
//! three strings, canonical base64url, no extension of any kind (protocol §3; RFC 8725).

use std::borrow::Cow;

use aws_lc_rs::digest as sha;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::clock::Now;
use crate::json;
use crate::keys::{Hashed, KeySet, SignFault, SigningKey, VerifyingKey};

/// A whole message (bytes): a signed application fits many times, a parser bomb does not.
pub const MOST_MESSAGE_BYTES: usize = 256 * 1024;
/// The encoded header (characters): three short strings take 150; more is something else.
const MOST_HEADER_CHARACTERS: usize = 512;

/// What a message is; its header must say so byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Typ {
    Request,
    Response,
    Authorization,
    /// OAuth Token Status List §5.1.
    StatusList,
}

impl Typ {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "tongban-request+jwt",
            Self::Response => "tongban-response+jwt",
            Self::Authorization => "tongban-authorization+jwt",
            Self::StatusList => "statuslist+jwt",
        }
    }

    /// The media type of such a message.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Request => "application/tongban-request+jwt",
            Self::Response => "application/tongban-response+jwt",
            Self::Authorization => "application/tongban-authorization+jwt",
            Self::StatusList => "application/statuslist+jwt",
        }
    }
}

/// Why a message is not opened. The reasons are fixed words, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EnvelopeFault {
    #[error("the message is larger than it may be")]
    TooLarge,
    #[error("the message is malformed: {}", .0.word())]
    Malformed(MalformedReason),
    #[error("the signature is invalid: {}", .0.word())]
    Signature(SignatureReason),
}

/// The reasons of `malformed` (protocol §3.5), in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedReason {
    Characters,
    Parts,
    Base64url,
    Header,
    Typ,
    Json,
}

impl MalformedReason {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Parts => "parts",
            Self::Base64url => "base64url",
            Self::Header => "header",
            Self::Typ => "typ",
            Self::Json => "JSON",
        }
    }
}

/// The reasons of `signature-invalid` (protocol §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureReason {
    KidNotYours,
    AlgNotRegistered,
    SignatureMismatch,
}

impl SignatureReason {
    pub const fn word(self) -> &'static str {
        match self {
            Self::KidNotYours => "kid-not-yours",
            Self::AlgNotRegistered => "alg-not-registered",
            Self::SignatureMismatch => "signature-mismatch",
        }
    }
}

/// One well-formed compact JWS: characters, three parts, canonical base64url. Its payload
/// cannot be read before [`SignedMessage::open`].
pub struct SignedMessage<'a> {
    /// `header.payload`, as received.
    signing_input: &'a [u8],
    /// `.signature`, as received.
    rest: &'a [u8],
    header_characters: usize,
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// A message whose signature holds and whose payload is a strict JSON object.
#[derive(Debug)]
#[expect(clippy::manual_non_exhaustive, reason = "nobody in this crate may make one either")]
pub struct Opened {
    pub payload: Value,
    /// The key that signed.
    pub kid: String,
    /// SHA-256 of `header.payload`: what was signed. Not of the signature, because an ES256
    /// signature can be re-formed by anybody.
    pub content_digest: [u8; 32],
    /// SHA-256 of the whole message as received, signature included.
    pub message_digest: [u8; 32],
    _by_open_only: (),
}

impl<'a> SignedMessage<'a> {
    /// Characters, parts, base64url. Linear, and nothing is kept of a message with other parts.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeFault> {
        Self::parse_up_to(bytes, MOST_MESSAGE_BYTES)
    }

    /// The same for what has another limit than a message (bytes).
    pub fn parse_up_to(bytes: &'a [u8], most: usize) -> Result<Self, EnvelopeFault> {
        if bytes.len() > most {
            return Err(EnvelopeFault::TooLarge);
        }
        Self::split(bytes).ok_or_else(|| EnvelopeFault::Malformed(fault_of(bytes)))
    }

    /// The three parts between the first dot and the last. The alphabet knows no dot, so that a
    /// third one, like any other character that is none of a message's, ends the decoding.
    fn split(bytes: &'a [u8]) -> Option<Self> {
        let first = bytes.iter().position(|byte| *byte == b'.')?;
        let last = bytes.iter().rposition(|byte| *byte == b'.')?;
        let header = bytes.get(..first)?;
        let payload = bytes.get(first.saturating_add(1)..last)?;
        let (signing_input, rest) = bytes.split_at_checked(last)?;
        let signature = rest.get(1..)?;
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return None;
        }
        let decode = |part| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            signing_input,
            rest,
            header_characters: header.len(),
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Header → typ → kid → alg → signature → strict payload. `keys` are the only keys that may
    /// sign here: one owner's, in one role.
    pub fn open(self, typ: Typ, keys: &KeySet, now: Now) -> Result<Opened, EnvelopeFault> {
        self.open_with(typ, |kid| keys.find(kid, now))
    }

    /// The same where several owners may sign: `find` gives the key of that id, if it is one of
    /// theirs in this role and in force.
    pub fn open_with<'k>(
        self,
        typ: Typ,
        find: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
    ) -> Result<Opened, EnvelopeFault> {
        let header = self.header()?;
        if header.typ != typ.name() {
            return Err(EnvelopeFault::Malformed(MalformedReason::Typ));
        }
        let signature = |reason| EnvelopeFault::Signature(reason);
        let key = find(&header.kid).ok_or(signature(SignatureReason::KidNotYours))?;
        if header.alg != key.alg().name() {
            return Err(signature(SignatureReason::AlgNotRegistered));
        }
        if !key.signature_len_ok(self.signature.len()) {
            return Err(signature(SignatureReason::SignatureMismatch));
        }
        let hashed = Hashed::new(self.signing_input, self.rest);
        if !key.verify_hashed(&hashed, &self.signature) {
            return Err(signature(SignatureReason::SignatureMismatch));
        }
        match json::parse(&self.payload) {
            Ok(payload @ Value::Object(_)) => Ok(Opened {
                payload,
                kid: header.kid.into_owned(),
                content_digest: hashed.sha256(),
                message_digest: hashed.sha256_of_whole(),
                _by_open_only: (),
            }),
            _ => Err(EnvelopeFault::Malformed(MalformedReason::Json)),
        }
    }

    /// The header, which must have exactly `alg`, `typ` and `kid`, all strings.
    fn header(&self) -> Result<Header<'_>, EnvelopeFault> {
        let fault = EnvelopeFault::Malformed(MalformedReason::Header);
        if self.header_characters > MOST_HEADER_CHARACTERS {
            return Err(fault);
        }
        if let Some(header) = Header::canonical(&self.header) {
            return Ok(header);
        }
        let Ok(Value::Object(mut members)) = json::parse(&self.header) else { return Err(fault) };
        if members.len() != 3 {
            return Err(fault);
        }
        let mut take = |name| match members.get_mut(name).map(Value::take) {
            Some(Value::String(text)) => Ok(Cow::Owned(text)),
            _ => Err(fault),
        };
        Ok(Header { alg: take("alg")?, typ: take("typ")?, kid: take("kid")? })
    }
}

/// What is wrong with a message that has no three parts, in the order in which it is looked for.
/// Linear, and nothing is kept of it.
fn fault_of(bytes: &[u8]) -> MalformedReason {
    if !bytes.iter().all(|byte| is_message_character(*byte)) {
        return MalformedReason::Characters;
    }
    // Four at most: whatever follows the third dot is never looked at.
    let parts = || bytes.splitn(4, |byte| *byte == b'.');
    if parts().count() != 3 || parts().any(<[u8]>::is_empty) {
        return MalformedReason::Parts;
    }
    MalformedReason::Base64url
}

/// base64url or the dot between parts.
pub(super) const fn is_message_character(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26)
        | (byte.wrapping_sub(b'0') < 10)
        | (byte == b'_')
        | (byte == b'-')
        | (byte == b'.')
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) alg: Cow<'a, str>,
    pub(super) typ: Cow<'a, str>,
    pub(super) kid: Cow<'a, str>,
}

impl<'a> Header<'a> {
    /// A header spelled as ours are, of words that need no escaping: read where it stands. Any
    /// other spelling takes the long way and comes to the same.
    pub(super) fn canonical(header: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?;
        let (alg, rest) = text.strip_prefix("{\"alg\":\"")?.split_once('"')?;
        let (typ, rest) = rest.strip_prefix(",\"typ\":\"")?.split_once('"')?;
        let kid = rest.strip_prefix(",\"kid\":\"")?.strip_suffix("\"}")?;
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b));
        let words = word(alg) && word(typ) && word(kid);
        words.then(|| Self { alg: alg.into(), typ: typ.into(), kid: kid.into() })
    }
}

/// Signs `payload` as a compact JWS with the canonical header `{"alg","typ","kid"}`.
pub fn seal(key: &SigningKey, typ: Typ, payload: &Value) -> Result<Vec<u8>, SignFault> {
    // Not `to_string`, which goes through a formatter piece by piece. A `Value` is always written.
    seal_text(key, typ, &serde_json::to_vec(payload).unwrap_or_default())
}

/// The same of a payload that is written already: one strict JSON object.
pub fn seal_text(key: &SigningKey, typ: Typ, payload: &[u8]) -> Result<Vec<u8>, SignFault> {
    // Three fixed or base64url words: nothing to escape.
    let header =
        format!("{{\"alg\":\"{}\",\"typ\":\"{}\",\"kid\":\"{}\"}}", key.alg().name(), typ.name(), key.kid());
    let mut message = Vec::with_capacity((header.len() + payload.len()) / 3 * 4 + SIGNATURE_RESERVE);
    append_base64url(header.as_bytes(), &mut message);
    message.push(b'.');
    append_base64url(payload, &mut message);
    let signature = key.sign(&message)?;
    message.push(b'.');
    append_base64url(&signature, &mut message);
    Ok(message)
}

/// Reserved for dots and an ES256 signature (octets); a longer one makes the message grow once.
const SIGNATURE_RESERVE: usize = 128;

/// In one piece: the engine's own appending goes through a buffer of its own.
fn append_base64url(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(from..).unwrap_or_default();
    // There is room for padding even, which is not written.
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, room).unwrap_or_default();
    out.truncate(from + written);
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    sha::digest(&sha::SHA256, bytes).as_ref().first_chunk().copied().unwrap_or_default()
}
