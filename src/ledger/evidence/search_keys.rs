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
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
    key: hmac::Key,
}

/// What stands for one subject in one half-year: `T`. Whoever holds it can find that subject
/// and nobody else.
#[derive(Clone)]
pub struct SubjectKey {
    bytes: [u8; 32],
    key: hmac::Key,
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
        let key = Arc::new(ShardKey { shard, key: hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()) });
        self.present.store(Some(key.clone()));
        Ok(key)
    }
}

impl ShardKey {
    pub fn subject(&self, field: Field, value: &str) -> SubjectKey {
        let mut named = Vec::with_capacity(64);
        named.extend_from_slice(field.name().as_bytes());
        named.push(0);
        named.extend_from_slice(normalised(field, value).as_bytes());
        let subject = hmac::sign(&self.key, &named);
        SubjectKey::from_bytes(subject.as_ref().try_into().unwrap_or([0; 32]))
    }
}

impl SubjectKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) }
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
        let token = hmac::sign(&self.key, &named);
        token.as_ref().first_chunk().copied().unwrap_or([0; TOKEN_BYTES])
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
pub(super) struct TagKey(hmac::Key);

impl TagKey {
    pub fn new(r: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, r))
    }

    pub fn tag(&self, subject: &SubjectKey) -> String {
        let tag = hmac::sign(&self.0, &subject.bytes);
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..SHORT_HASH_BYTES).unwrap_or_default())
    }
}

/// NFKC, upper case, without spaces and hyphens; a resident id of 15 digits as of 18.
fn normalised(field: Field, value: &str) -> Cow<'_, str> {
    let stays = |c: u8| c.is_ascii_graphic() && !c.is_ascii_lowercase() && c != b'-';
    if value.bytes().all(stays) && field != Field::Citizen {
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
