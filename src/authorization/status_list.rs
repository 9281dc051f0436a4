//! Revocation by OAuth Token Status List (draft-ietf-oauth-status-list): a signed, compressed
//! bit array per list, read from configured places only and looked up in memory.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::read::ZlibDecoder;
use serde_json::Value;

use super::Authorities;
use crate::clock::Now;
use crate::envelope::times::SKEW;
use crate::envelope::{EnvelopeFault, SignedMessage, Typ};
use crate::keys::KeySet;

/// A list's signed file (bytes): room for the largest list that compresses badly.
pub const MOST_LIST_FILE_BYTES: usize = 2 * 1024 * 1024;
/// A list unpacked (bytes): 8 million tokens at one bit each, while a bomb ends here.
const MOST_LIST_BYTES: u64 = 1024 * 1024;

/// Why a list file is not taken; the list in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusListFault {
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    #[error("{0} is missing or has the wrong form")]
    Claim(&'static str),
    #[error("sub is not the configured uri")]
    Subject,
    #[error("iat lies in the future")]
    NotYetValid,
    #[error("lst is not zlib data in base64url")]
    Compression,
    #[error("the list unpacks to more than 1 MiB")]
    TooLarge,
    #[error("the list in force is newer")]
    Older,
    #[error("no such list is configured for this authority")]
    NotConfigured,
}

/// One list, verified and unpacked.
pub struct StatusList {
    bits: u8,
    packed: Vec<u8>,
    iat: i64,
    exp: Option<i64>,
    /// The key that signed it.
    kid: String,
}

impl StatusList {
    /// A compact `statuslist+jwt` signed by one of `keys` (the authority's), about `uri`. A list
    /// past its `exp` parses: it is [`Status::Stale`] when it is looked into.
    pub fn parse(bytes: &[u8], keys: &KeySet, uri: &str, now: Now) -> Result<Self, StatusListFault> {
        let text = bytes.trim_ascii();
        let opened =
            SignedMessage::parse_up_to(text, MOST_LIST_FILE_BYTES)?.open(Typ::StatusList, keys, now)?;
        let (claims, kid) = (opened.payload, opened.kid);
        if claims.get("sub").and_then(Value::as_str) != Some(uri) {
            return Err(StatusListFault::Subject);
        }
        let iat = claims.get("iat").and_then(Value::as_i64).ok_or(StatusListFault::Claim("iat"))?;
        if iat > now.secs().saturating_add(SKEW) {
            return Err(StatusListFault::NotYetValid);
        }
        let exp = match claims.get("exp") {
            None => None,
            Some(exp) => Some(exp.as_i64().filter(|exp| *exp > iat).ok_or(StatusListFault::Claim("exp"))?),
        };
        let list = claims.get("status_list").ok_or(StatusListFault::Claim("status_list"))?;
        let bits = match list.get("bits").and_then(Value::as_u64) {
            Some(1) => 1,
            Some(2) => 2,
            Some(4) => 4,
            Some(8) => 8,
            _ => return Err(StatusListFault::Claim("bits")),
        };
        let lst = list.get("lst").and_then(Value::as_str).ok_or(StatusListFault::Claim("lst"))?;
        Ok(Self { bits, packed: unpack(lst)?, iat, exp, kid })
    }

    /// When the authority signed it (seconds since the epoch): of two lists the later counts.
    pub fn iat(&self) -> i64 {
        self.iat
    }

    /// The status at `index`, least significant bits first (§4.1); `None` outside the list.
    fn at(&self, index: u64) -> Option<u8> {
        let per_byte = u64::from(8 / self.bits);
        let byte = *self.packed.get(usize::try_from(index / per_byte).ok()?)?;
        let shift = u32::try_from(index % per_byte).ok()? * u32::from(self.bits);
        Some((byte >> shift) & (0xFF >> (8 - self.bits)))
    }

    fn is_stale(&self, now: Now) -> bool {
        self.exp.is_some_and(|exp| now.secs() >= exp)
    }
}

fn unpack(lst: &str) -> Result<Vec<u8>, StatusListFault> {
    let packed = URL_SAFE_NO_PAD.decode(lst).map_err(|_| StatusListFault::Compression)?;
    let mut out = Vec::new();
    let mut decoder = ZlibDecoder::new(packed.as_slice()).take(MOST_LIST_BYTES.saturating_add(1));
    decoder.read_to_end(&mut out).map_err(|_| StatusListFault::Compression)?;
    if u64::try_from(out.len()).unwrap_or(u64::MAX) > MOST_LIST_BYTES {
        return Err(StatusListFault::TooLarge);
    }
    out.shrink_to_fit();
    Ok(out)
}

/// What the lists say about one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Valid,
    /// Any value but 0: revoked, suspended, or a word we do not know.
    Revoked,
    /// Nobody can tell: never loaded, or past the list's own `exp`.
    Stale,
    /// Not a list this authority has here.
    UnknownList,
    /// Outside the list.
    NoSuchIndex,
}

/// The lists in force, one immutable snapshot: authority id → uri → list, `None` where the list
/// is configured and was never loaded.
#[derive(Clone, Default)]
pub struct StatusLists {
    lists: HashMap<String, HashMap<String, Option<Arc<StatusList>>>>,
}

impl StatusLists {
    /// Every list that `authorities` are configured with. A list already in force is kept while
    /// the key that signed it is still its authority's; what is no longer configured is forgotten.
    #[must_use]
    pub fn configured(&self, authorities: &Authorities) -> Self {
        let lists = authorities
            .iter()
            .map(|authority| {
                let known = self.lists.get(authority.id());
                let lists = authority.status_lists().iter().map(|source| {
                    let list = known.and_then(|known| known.get(&source.uri)).cloned().flatten();
                    let list = list.filter(|list| authority.keys().kids().any(|kid| kid == list.kid));
                    (source.uri.clone(), list)
                });
                (authority.id().to_owned(), lists.collect())
            })
            .collect();
        Self { lists }
    }

    /// The same lists with one put in force, whatever was there before: a file that the
    /// operator put in place counts within 60 s (protocol §3.3).
    pub fn with(&self, authority: &str, uri: &str, list: StatusList) -> Result<Self, StatusListFault> {
        let mut next = self.clone();
        let place = next.lists.get_mut(authority).and_then(|lists| lists.get_mut(uri));
        match place {
            None => return Err(StatusListFault::NotConfigured),
            Some(place) => *place = Some(Arc::new(list)),
        }
        Ok(next)
    }

    /// [`StatusLists::with`] for a list that came over the network: one older than the list in
    /// force is refused, so that a stale copy on the way cannot bring a revoked token back.
    pub fn with_newer(&self, authority: &str, uri: &str, list: StatusList) -> Result<Self, StatusListFault> {
        let current = self.lists.get(authority).and_then(|lists| lists.get(uri)).and_then(Option::as_ref);
        if current.is_some_and(|current| current.iat > list.iat) {
            return Err(StatusListFault::Older);
        }
        self.with(authority, uri, list)
    }

    /// Whether a list was loaded, be it stale by now.
    pub fn holds(&self, authority: &str, uri: &str) -> bool {
        self.lists.get(authority).and_then(|lists| lists.get(uri)).is_some_and(Option::is_some)
    }

    /// What the list says, in constant time.
    pub fn status(&self, authority: &str, uri: &str, index: u64, now: Now) -> Status {
        match self.lists.get(authority).and_then(|lists| lists.get(uri)) {
            None => Status::UnknownList,
            Some(None) => Status::Stale,
            Some(Some(list)) if list.is_stale(now) => Status::Stale,
            Some(Some(list)) => match list.at(index) {
                None => Status::NoSuchIndex,
                Some(0) => Status::Valid,
                Some(_) => Status::Revoked,
            },
        }
    }
}
