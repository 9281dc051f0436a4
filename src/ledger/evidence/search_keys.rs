//! Search keys, tags and tokens: a citizen's exchanges can be found by whoever holds the
//! half-year's key, and nobody else learns which leaves belong together.
//!
//! ```text
//! T(field, value) = HMAC-SHA256(K_shard, field ‖ 0x00 ‖ normalised value)
//! tag             = HMAC-SHA256(r, T)[0:16]                 in the leaf, unlinkable without r
//! token           = HMAC-SHA256(T, "day" ‖ yyyymmdd)[0:16]  in the vault, the same for one day
//! ```
//!
//! The tokens make search fast; the tags let a verifier prove that the index hid nothing. An
//! auditor from outside gets the `T` of one subject, never the key.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use unicode_normalization::UnicodeNormalization as _;

use super::SHORT_HASH_BYTES;
use crate::clock::Now;
use crate::keys::{KeyFileFault, read_or_make_secret};
use crate::store::Shard;

/// Bytes of a key: the block HMAC-SHA256 is as strong as.
const KEY_BYTES: usize = 32;
/// Bytes of a token.
pub const TOKEN_BYTES: usize = 16;
/// Bytes of a token with its field.
pub const TOKEN_RECORD_BYTES: usize = 1 + TOKEN_BYTES;

/// What an exchange can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// A holder's or applicant's number.
    Citizen,
    /// A license id (GB/T 36904).
    License,
    /// A case number.
    Case,
    /// `region:staff number`: numbers are unique within a region only.
    Operator,
}

impl Field {
    pub const ALL: [Self; 4] = [Self::Citizen, Self::License, Self::Case, Self::Operator];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Citizen => "citizen",
            Self::License => "license",
            Self::Case => "case",
            Self::Operator => "operator",
        }
    }

    pub const fn byte(self) -> u8 {
        match self {
            Self::Citizen => 1,
            Self::License => 2,
            Self::Case => 3,
            Self::Operator => 4,
        }
    }
}

/// One value an exchange can be found by. No `Debug`: it may be a citizen's number.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    pub field: Field,
    pub value: String,
}

impl Subject {
    pub fn new(field: Field, value: impl Into<String>) -> Self {
        Self { field, value: value.into() }
    }
}

/// The search keys of a data directory, one a half-year, made when they are first needed.
pub struct SearchKeys {
    folder: PathBuf,
    present: ArcSwapOption<ShardKey>,
    /// The log that is being written, where that is ahead of the calendar.
    ahead: ArcSwapOption<Shard>,
}

/// The key of one half-year. No `Debug`, no `Clone`.
pub struct ShardKey {
    shard: Shard,
    key: Keyed,
}

/// What stands for one subject in one half-year: `T`. Whoever holds it can find that subject
/// and nobody else.
#[derive(Clone)]
pub struct SubjectKey {
    bytes: [u8; 32],
    key: Keyed,
}

/// HMAC-SHA256 under one key. Not aws-lc's: an exchange has some ten of these over a block or two, and
/// there half of each went into making and copying contexts on the heap.
#[derive(Clone)]
struct Keyed(Hmac<Sha256>);

impl Keyed {
    fn new(key: &[u8]) -> Self {
        // A key of HMAC may have any length: there is no error to come.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    fn of(&self, message: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        message.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl SearchKeys {
    pub fn of_data_dir(data: &Path) -> Self {
        Self {
            folder: data.join("ledger").join("search"),
            present: ArcSwapOption::empty(),
            ahead: ArcSwapOption::empty(),
        }
    }

    /// The key of the log that is written at this moment.
    pub fn of(&self, now: Now) -> Result<Arc<ShardKey>, KeyFileFault> {
        let ahead = self.ahead.load().as_ref().map(|ahead| **ahead);
        self.of_shard(ahead.map_or(Shard::at(now), |ahead| ahead.max(Shard::at(now))))
    }

    /// This log is being written now: after a restore it is a half-year ahead.
    pub fn write_to(&self, shard: Shard) {
        self.ahead.store(Some(Arc::new(shard)));
    }

    /// The key of a half-year; made when it is not there.
    pub fn of_shard(&self, shard: Shard) -> Result<Arc<ShardKey>, KeyFileFault> {
        if let Some(present) = self.present.load().as_ref().filter(|present| present.shard == shard) {
            return Ok(present.clone());
        }
        let bytes = read_or_make_secret::<KEY_BYTES>(&self.folder.join(format!("{shard}.key")))?;
        let key = Arc::new(ShardKey { shard, key: Keyed::new(bytes.as_ref()) });
        self.present.store(Some(key.clone()));
        Ok(key)
    }
}

impl ShardKey {
    pub fn subject(&self, field: Field, value: &str) -> SubjectKey {
        let value = normalised(field, value);
        SubjectKey::from_bytes(self.key.of(&[field.name().as_bytes(), &[0], value.as_bytes()]))
    }
}

impl SubjectKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, key: Keyed::new(&bytes) }
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The token of the day of `at`, in Shanghai.
    pub fn token(&self, at: Now) -> [u8; TOKEN_BYTES] {
        self.token_of_day(day_number(at))
    }

    /// `day` as yyyymmdd.
    pub fn token_of_day(&self, day: i64) -> [u8; TOKEN_BYTES] {
        let (mut named, mut rest) = (*b"day00000000", day.unsigned_abs());
        for digit in named.iter_mut().skip(3).rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.key.of(&[&named]).first_chunk().copied().unwrap_or([0; TOKEN_BYTES])
    }
}

/// A day in Shanghai as yyyymmdd.
pub fn day_number(at: Now) -> i64 {
    let day = at.shanghai_day();
    i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day())
}

/// The tag of a subject in the leaf whose secret is `r`, base64url.
pub fn tag_of(r: &[u8], subject: &SubjectKey) -> String {
    TagKey::new(r).tag(subject)
}

/// Makes the tags of one leaf.
pub(super) struct TagKey(Keyed);

impl TagKey {
    pub fn new(r: &[u8]) -> Self {
        Self(Keyed::new(r))
    }

    pub fn tag(&self, subject: &SubjectKey) -> String {
        let tag = self.0.of(&[&subject.bytes]);
        URL_SAFE_NO_PAD.encode(tag.get(..SHORT_HASH_BYTES).unwrap_or_default())
    }
}

/// NFKC, upper case, without spaces and hyphens; a resident id of 15 digits as of 18.
fn normalised(field: Field, value: &str) -> Cow<'_, str> {
    let stays = |c: u8| c.is_ascii_graphic() && !c.is_ascii_lowercase() && c != b'-';
    // Fifteen characters may be an old resident id, and stand for a newer one.
    if value.bytes().all(stays) && (field != Field::Citizen || value.len() != 15) {
        return Cow::Borrowed(value);
    }
    let kept = |c: &char| !c.is_whitespace() && *c != '-';
    let plain: String = match value.is_ascii() {
        true => value.chars().filter(kept).map(|c| c.to_ascii_uppercase()).collect(),
        false => value.nfkc().filter(kept).flat_map(char::to_uppercase).collect(),
    };
    Cow::Owned(match field {
        Field::Citizen => crate::domain::eighteen_digits(&plain).unwrap_or(plain),
        Field::License | Field::Case | Field::Operator => plain,
    })
}
