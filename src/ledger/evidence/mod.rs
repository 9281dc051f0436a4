//! Evidence: what was said in an exchange, sealed to the auditors and kept outside the tree.
//!
//! Promises: the gateway can seal and cannot open what it sealed before the present epoch;
//! a record's key needs both the epoch's key, which only auditors can unwrap, and the record's
//! secret `r`, so that erasing `r` makes it unreadable for ever; the associated data is the
//! leaf itself, so that sealed bytes stand for one leaf only. Leaves rows and files to
//! [`crate::store`], and what belongs into evidence to the corridors.

mod auditors;
mod epoch;
mod search_keys;
#[cfg(test)]
mod tests;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::leaf::{Leaf, LeafHash};
use super::tree::sha256;
use crate::clock::Now;
use crate::json;
use crate::store::{RetentionClass, VaultRow};
use search_keys::TagKey;

pub use auditors::{AuditorKey, AuditorKeyFault};
pub(super) use epoch::Epochs;
pub use search_keys::{
    Field, SearchKeys, ShardKey, Subject, SubjectKey, TOKEN_BYTES, TOKEN_RECORD_BYTES, day_number, tag_of,
};

/// The domain of the record keys (HKDF `info`).
const INFO: &[u8] = b"tongban/evidence/v1";
/// Bytes of the erasable secret.
const SECRET_BYTES: usize = 32;
/// Bytes of `rh` and of a tag.
const SHORT_HASH_BYTES: usize = 16;

/// What an exchange leaves for auditors. No `Debug`: it holds personal data.
#[derive(Clone)]
pub struct Evidence {
    pub class: RetentionClass,
    /// The request's exact bytes, a compact JWS.
    pub request: Option<Bytes>,
    /// The response's exact bytes, a compact JWS (asking side).
    pub response: Option<Bytes>,
    /// JCS of the result or problem (answering side): its hash is the leaf's `rd`.
    pub result: Option<Vec<u8>>,
    /// JCS of an auditor's register entry: its hash is the leaf's `rd`.
    pub register: Option<Vec<u8>>,
    /// Base64 (RFC 4648 §4) of the DER of the certificate the peer showed.
    pub certificate: Option<Bytes>,
    /// What the exchange can be found by.
    pub subjects: Vec<Subject>,
}

impl Evidence {
    pub const fn new(class: RetentionClass) -> Self {
        Self {
            class,
            request: None,
            response: None,
            result: None,
            register: None,
            certificate: None,
            subjects: Vec::new(),
        }
    }

    /// One JSON object: members in the order of their names, all of them strings.
    fn plaintext(&self) -> Vec<u8> {
        // JWS and base64 are text; a request that is not was refused before it was recorded. What is JSON
        // was written here.
        fn text(bytes: Option<&[u8]>) -> Option<&[u8]> {
            bytes.filter(|bytes| std::str::from_utf8(bytes).is_ok())
        }
        let members = [
            ("certificate", text(self.certificate.as_deref())),
            ("register", self.register.as_deref()),
            ("request", text(self.request.as_deref())),
            ("response", text(self.response.as_deref())),
            ("result", self.result.as_deref()),
        ];
        // In one piece, with room for escapes and the tag: growing it would copy it several times.
        let octets: usize = members.iter().map(|(_, text)| text.map_or(0, <[u8]>::len)).sum();
        let mut bytes = Vec::with_capacity(octets + octets / 8 + 256);
        bytes.push(b'{');
        for (name, text) in members.iter().filter_map(|(name, text)| Some((name, (*text)?))) {
            if bytes.len() > 1 {
                bytes.push(b',');
            }
            json::write_string(name, &mut bytes);
            bytes.push(b':');
            json::write_utf8(text, &mut bytes);
        }
        bytes.push(b'}');
        bytes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    #[error("no random bytes could be had")]
    Random,
    #[error("the evidence cannot be encrypted")]
    Cipher,
    #[error("the epoch's key cannot be wrapped to the auditors")]
    Wrap,
    #[error("the search key cannot be read or made")]
    SearchKey,
}

/// Seals what goes with leaves. One for each ledger; shared by all who record.
pub(super) struct Sealing {
    pub epochs: Epochs,
    pub keys: SearchKeys,
}

impl Sealing {
    /// Puts `ek`, `ev`, `rh` and `tags` into a stamped leaf and returns what the vault keeps and the
    /// leaf's bytes; `None` while there is no auditor to seal to.
    pub fn seal(
        &self,
        leaf: &mut Leaf,
        evidence: &Evidence,
        now: Now,
    ) -> Result<Option<(VaultRow, Vec<u8>)>, SealFault> {
        let Some(epoch) = self.epochs.present(now)? else { return Ok(None) };
        let mut r = [0_u8; SECRET_BYTES];
        aws_lc_rs::rand::fill(&mut r).map_err(|_| SealFault::Random)?;
        leaf.rh = Some(short(&sha256(&r)));
        leaf.ek = Some(epoch.commitment().to_owned());
        let key = self.keys.of(now).map_err(|_| SealFault::SearchKey)?;
        let mut tokens = Vec::with_capacity(evidence.subjects.len() * TOKEN_RECORD_BYTES);
        let (tag_key, day) = (TagKey::new(&r), day_number(now));
        for subject in &evidence.subjects {
            let subject_key = key.subject(subject.field, &subject.value);
            leaf.tags.push(tag_key.tag(&subject_key));
            tokens.push(subject.field.byte());
            tokens.extend_from_slice(&subject_key.token_of_day(day));
        }
        // The order says nothing about which tag is of what.
        leaf.tags.sort_unstable();
        leaf.tags.dedup();
        leaf.ev = None;
        let mut bytes = leaf.to_bytes().ok_or(SealFault::Cipher)?;
        let mut sealed = evidence.plaintext();
        record_key(epoch.key(), &r)?
            .seal_in_place_append_tag(once(), Aad::from(&bytes), &mut sealed)
            .map_err(|_| SealFault::Cipher)?;
        let ev = sha256(&sealed);
        leaf.ev = Some(LeafHash(ev));
        put_ev(&mut bytes, epoch.commitment(), &ev).ok_or(SealFault::Cipher)?;
        let row = VaultRow { class: evidence.class, epoch: epoch.wrapped(), r, tokens, ev, sealed };
        Ok(Some((row, bytes)))
    }
}

/// Puts `ev` behind `ek` into the bytes of a leaf, where its name belongs; `None` when there is no
/// `ek`. In JSON a quote within a text is escaped, so the name between quotes is found nowhere else.
fn put_ev(bytes: &mut Vec<u8>, ek: &str, ev: &[u8; 32]) -> Option<()> {
    const NAME: &[u8; 6] = b"\"ek\":\"";
    let value = bytes.windows(NAME.len()).position(|piece| piece == NAME)? + NAME.len();
    let quote = value + ek.len();
    if bytes.get(value..quote)? != ek.as_bytes() || bytes.get(quote)? != &b'"' {
        return None;
    }
    let mut member = String::with_capacity(64);
    member.push_str(",\"ev\":\"");
    URL_SAFE_NO_PAD.encode_string(ev, &mut member);
    member.push('"');
    bytes.splice(quote + 1..quote + 1, member.into_bytes());
    Some(())
}

/// Opens sealed bytes with an epoch's key: an auditor's step, never the gateway's.
/// `leaf` is the leaf's exact bytes.
pub fn open_sealed(
    epoch_key: &[u8; 32],
    r: &[u8],
    leaf: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenFault> {
    let mut parsed = Leaf::from_bytes(leaf).ok_or(OpenFault::Leaf)?;
    if parsed.ev.map(|ev| ev.0) != Some(sha256(sealed)) {
        return Err(OpenFault::OtherEvidence);
    }
    if parsed.rh.as_deref() != Some(short(&sha256(r)).as_str()) {
        return Err(OpenFault::OtherSecret);
    }
    parsed.ev = None;
    let bound = parsed.to_bytes().ok_or(OpenFault::Leaf)?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let key = record_key(epoch_key, r).map_err(|_| OpenFault::Cipher)?;
    let length =
        key.open_in_place(once(), Aad::from(bound), &mut bytes).map_err(|_| OpenFault::Cipher)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    #[error("is not a leaf of this log")]
    Leaf,
    #[error("the evidence is not the one the leaf names")]
    OtherEvidence,
    #[error("the secret is not the one the leaf commits to")]
    OtherSecret,
    #[error("the evidence does not open with this key")]
    Cipher,
}

/// One key for one record. HKDF of aws-lc, which wipes what it derives from: the epoch's key shall be
/// forgotten with its epoch.
fn record_key(epoch: &[u8; 32], r: &[u8]) -> Result<LessSafeKey, SealFault> {
    struct KeyLength;
    impl hkdf::KeyType for KeyLength {
        fn len(&self) -> usize {
            32
        }
    }
    let mut material = Zeroizing::new(Vec::with_capacity(64));
    material.extend_from_slice(epoch);
    material.extend_from_slice(r);
    let mut key = Zeroizing::new([0_u8; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(&material)
        .expand(&[INFO], KeyLength)
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_| SealFault::Cipher)?;
    UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| SealFault::Cipher)
}

/// Zero: the key is used once.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// What a leaf's `ek` says of a wrapped epoch key: SHA-256 of its exact bytes, the first 16,
/// base64url.
pub fn epoch_commitment(wrapped: &str) -> String {
    short(&sha256(wrapped.as_bytes()))
}

/// The first 16 bytes, base64url.
fn short(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash.get(..SHORT_HASH_BYTES).unwrap_or_default())
}
