//! C2SP signed notes: text that carries its signatures (c2sp.org/signed-note).
//!
//! Promises: unknown keys are ignored, a known key whose signature fails rejects the whole
//! note, and nothing larger than [`LARGEST_NOTE`] or with more than [`MOST_SIGNATURES`] is
//! looked at. Leaves the text's meaning to [`super::checkpoint`].

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::sha256;

/// Bytes; a checkpoint with many cosignatures has a few KiB, ours 200.
pub const LARGEST_NOTE: usize = 1 << 20;
/// Signature lines; the specification asks for at least 16.
pub const MOST_SIGNATURES: usize = 100;
/// Bytes of a key name.
pub const LONGEST_KEY_NAME: usize = 255;

/// Signature type of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    #[error("is not a signed note")]
    Malformed,
    #[error("is larger than a note may be")]
    TooLarge,
    #[error("is signed by none of the known keys")]
    Unsigned,
    #[error("a known key's signature does not hold")]
    BadSignature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an Ed25519 verifier key of c2sp.org/signed-note")]
pub struct VkeyFault;

/// A verifier key: `<name>+<8 hex digits of the key id>+<base64(type ‖ public key)>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    name: String,
    public: [u8; 32],
}

impl Vkey {
    /// `None` when the name is not allowed in a note.
    pub fn new(name: &str, public: [u8; 32]) -> Option<Self> {
        is_key_name(name).then(|| Self { name: name.to_owned(), public })
    }

    pub fn parse(text: &str) -> Result<Self, VkeyFault> {
        let (name, public) = read_vkey(text, ED25519_TYPE)?;
        Ok(Self { name, public })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// `SHA256(name ‖ 0x0A ‖ 0x01 ‖ public key)[0:4]`.
    pub fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519_TYPE, &self.public)
    }

    fn holds(&self, text: &str, signature: &[u8]) -> bool {
        self.signed(text.as_bytes(), signature)
    }

    /// Did this key sign exactly these bytes?
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }
}

impl std::fmt::Display for Vkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&write_vkey(&self.name, ED25519_TYPE, &self.public))
    }
}

/// `SHA256(name ‖ 0x0A ‖ type ‖ public key)[0:4]`.
pub fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let mut bytes = Vec::with_capacity(name.len() + 34);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&[b'\n', kind]);
    bytes.extend_from_slice(public);
    let [a, b, c, d, ..] = sha256(&bytes);
    [a, b, c, d]
}

/// Name and public key of a verifier key of signature type `kind`.
pub fn read_vkey(text: &str, kind: u8) -> Result<(String, [u8; 32]), VkeyFault> {
    // The name holds no '+', the base64 part may.
    let (name, rest) = text.split_once('+').ok_or(VkeyFault)?;
    let (id, key) = rest.split_once('+').ok_or(VkeyFault)?;
    let key = STANDARD.decode(key).map_err(|_| VkeyFault)?;
    let (found, public) = key.split_first().ok_or(VkeyFault)?;
    let public: [u8; 32] = public.try_into().map_err(|_| VkeyFault)?;
    let own = *found == kind && is_key_name(name) && hex::encode(key_id(name, kind, &public)) == id;
    if own { Ok((name.to_owned(), public)) } else { Err(VkeyFault) }
}

/// A verifier key as text.
pub fn write_vkey(name: &str, kind: u8, public: &[u8; 32]) -> String {
    let mut key = vec![kind];
    key.extend_from_slice(public);
    format!("{name}+{}+{}", hex::encode(key_id(name, kind, public)), STANDARD.encode(key))
}

/// A key name stands in one line between spaces: no Unicode space, no `+`, not empty.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_KEY_NAME
        && !name.chars().any(|c| c.is_whitespace() || c == '+' || c.is_control())
}

/// One signature line of a parsed note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    pub name: String,
    pub key_id: [u8; 4],
    pub signature: Vec<u8>,
}

/// A note taken apart, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteFault> {
        if bytes.len() > LARGEST_NOTE {
            return Err(NoteFault::TooLarge);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteFault::Malformed)?;
        if whole.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteFault::Malformed);
        }
        let at = whole.rfind("\n\n").ok_or(NoteFault::Malformed)?;
        let (text, lines) = whole.split_at_checked(at + 1).ok_or(NoteFault::Malformed)?;
        let lines =
            lines.strip_prefix('\n').and_then(|l| l.strip_suffix('\n')).ok_or(NoteFault::Malformed)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MOST_SIGNATURES {
                return Err(NoteFault::TooLarge);
            }
            signatures.push(SignatureLine::parse(line).ok_or(NoteFault::Malformed)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signed text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Believes the note if at least one known key signed it and no known key's signature
    /// fails; gives the signed text.
    pub fn verify(&self, known: &[&Vkey]) -> Result<&str, NoteFault> {
        let mut signed = false;
        for line in &self.signatures {
            for key in known.iter().filter(|k| k.name == line.name && k.key_id() == line.key_id) {
                if !key.holds(&self.text, &line.signature) {
                    return Err(NoteFault::BadSignature);
                }
                signed = true;
            }
        }
        if signed { Ok(&self.text) } else { Err(NoteFault::Unsigned) }
    }
}

impl SignatureLine {
    /// Reads one line, without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (key_id, signature) = blob.split_first_chunk::<4>()?;
        (is_key_name(name) && !signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            key_id: *key_id,
            signature: signature.to_vec(),
        })
    }
}

impl std::fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let blob = [&self.key_id[..], &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(blob))
    }
}

/// The note of `text` (ending in a newline) with these signature lines.
pub fn note_of<'a>(text: &str, lines: impl IntoIterator<Item = &'a SignatureLine>) -> Vec<u8> {
    let mut note = format!("{text}\n");
    for line in lines {
        note.push_str(&format!("{line}\n"));
    }
    note.into_bytes()
}

/// Writes the note of `text` (ending in a newline) with one signature line.
pub fn assemble(text: &str, key: &Vkey, signature: &[u8]) -> Vec<u8> {
    let line = SignatureLine { name: key.name.clone(), key_id: key.key_id(), signature: signature.to_vec() };
    note_of(text, [&line])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key::LedgerKey;
    use super::*;

    const NAME: &str = "exchange-log.county-a.example/2026h2";
    const VKEY: &str =
        "exchange-log.county-a.example/2026h2+a5194cd7+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
    const WITNESSED: &str = "exchange-log.county-a.example/2026h2\n3\nZSKXuVBARaYAlCvN+a5cJAC+QtUROcf7Y6s+5Dn/EQ0=\n\n\
        — exchange-log.county-a.example/2026h2 pRlM19/84bzBaPZNAxawYDQZyy4W6KN6jpWTrf9FikRjDDyFBrvzJiXb4d16VLsF1WeVYI/Om1ISX96pAswuPM/nlwE=\n\
        — gateway.county-b.example/w1 FwW0jgAAAABpRziAZz90gn+eplQ+iBjXJdZSkWlA778JByvSlz3pDMOsxrY0forf57DCnZYw38SUuEAcpZp/iuoW+WOlpNvqNA5oBA==\n";

    #[test]
    fn the_reference_vector_is_signed_byte_for_byte() {
        let key = LedgerKey::from_seed(&[1; 32]).unwrap();
        let vkey = key.vkey(NAME).unwrap();
        assert_eq!(vkey.to_string(), VKEY);
        assert_eq!(Vkey::parse(VKEY), Ok(vkey.clone()));
        let (text, _) = WITNESSED.split_once("\n\n").unwrap();
        let ours = key.sign_note(&format!("{text}\n"), NAME).unwrap();
        assert!(WITNESSED.as_bytes().starts_with(&ours));
    }

    #[test]
    fn unknown_keys_are_ignored_and_a_failing_known_key_rejects() {
        let vkey = Vkey::parse(VKEY).unwrap();
        let stranger = LedgerKey::from_seed(&[9; 32]).unwrap().vkey("stranger").unwrap();
        let note = Note::parse(WITNESSED.as_bytes()).unwrap();
        assert_eq!(note.signatures().len(), 2);
        assert_eq!(note.verify(&[&vkey]).unwrap(), note.text());
        assert_eq!(note.verify(&[&stranger]), Err(NoteFault::Unsigned));
        let changed = WITNESSED.replacen("\n3\n", "\n4\n", 1);
        assert_eq!(Note::parse(changed.as_bytes()).unwrap().verify(&[&vkey]), Err(NoteFault::BadSignature));
    }

    #[test]
    fn the_foreign_crate_accepts_our_note_and_key() {
        use signed_note::{Note as Foreign, StandardVerifier, VerifierList};
        let note =
            LedgerKey::from_seed(&[7; 32]).unwrap().sign_note("a text\n", "tongban/421202/2026h2").unwrap();
        let vkey = LedgerKey::from_seed(&[7; 32]).unwrap().vkey("tongban/421202/2026h2").unwrap();
        let verifier = StandardVerifier::new(&vkey.to_string()).unwrap();
        let foreign = Foreign::from_bytes(&note).unwrap();
        foreign.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    }

    #[test]
    fn malformed_notes_and_keys_are_refused() {
        for text in [
            "",
            "\n",
            "text\n",
            "text\n\n",
            "text\n\n\n",
            "text\n\n— a AAAA",
            "text\n\n— a AAAA\n",
            "te\rxt\n\n— a AAAAAAA=\n",
        ] {
            assert!(Note::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Note::parse("text\n\n— a AAAAAAA=\n".as_bytes()).is_ok());
        assert_eq!(Note::parse(&vec![b'a'; LARGEST_NOTE + 1]), Err(NoteFault::TooLarge));
        let many = format!("t\n\n{}", "— a AAAAAAA=\n".repeat(MOST_SIGNATURES + 1));
        assert_eq!(Note::parse(many.as_bytes()), Err(NoteFault::TooLarge));
        for key in [
            "",
            "a",
            "a+b",
            "a+00000000+AQ==",
            &VKEY.replace("a5194cd7", "a5194cd8"),
            &VKEY.replace("+AYq", "+BYq"),
        ] {
            assert!(Vkey::parse(key).is_err(), "{key}");
        }
        assert!(Vkey::new("two words", [0; 32]).is_none() && Vkey::new("a\u{3000}b", [0; 32]).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Note::parse(&bytes);
        }

        #[test]
        fn one_flipped_byte_never_passes(at in 0_usize..108, mask in 1_u8..=255) {
            let mut bytes = WITNESSED.as_bytes()[..].to_vec();
            bytes[at] ^= mask;
            let vkey = Vkey::parse(VKEY).unwrap();
            prop_assert!(Note::parse(&bytes).and_then(|n| n.verify(&[&vkey]).map(str::to_owned)).is_err());
        }
    }
}
