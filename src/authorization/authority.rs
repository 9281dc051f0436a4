//! Who may sign a citizen's yes: the authorities of `trust/authorities/`, one snapshot at a time.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Now;
use crate::fault::Fault;
use crate::keys::{KeySet, VerifyingKey};
use crate::schema::{Admissible, Catalog, Kind};
use crate::web::is_callable;

/// One file of `trust/authorities/`, Rust twin of `schemas/authority.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct AuthorityDocument {
    /// `urn:tongban:idp:<name>`.
    pub id: String,
    pub name: String,
    pub jwks: Value,
    #[serde(default)]
    pub status_lists: Vec<StatusListEntry>,
    /// Where a citizen's one-time code becomes an authorization.
    pub redeem: Option<String>,
    pub status: String,
}

impl Admissible for AuthorityDocument {
    const KIND: Kind = Kind::Authority;
}

#[derive(Clone, Debug, Deserialize)]
pub struct StatusListEntry {
    pub uri: String,
    pub file: Option<PathBuf>,
    pub url: Option<String>,
}

/// A status list this authority may name, and where it is pulled from: configured, never taken
/// from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusListSource {
    pub uri: String,
    pub source: StatusListWhere,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusListWhere {
    /// Relative to the authority's own file.
    File(PathBuf),
    Https(String),
}

/// An authority whose keys are loaded. Its key set has the role *authority* and no other.
pub struct Authority {
    id: String,
    name: String,
    active: bool,
    keys: KeySet,
    status_lists: Vec<StatusListSource>,
    redeem: Option<String>,
}

impl Authority {
    /// Schema, keys, status lists: all faults at once.
    pub fn from_value(document: &Value) -> Result<Self, Vec<Fault>> {
        let document: AuthorityDocument = Catalog::embedded().admit(document)?.into_inner();
        let mut faults = Vec::new();
        let keys = KeySet::from_jwks(&document.jwks).unwrap_or_else(|found| {
            faults.extend(found.into_iter().map(|fault| fault.under("/jwks")));
            KeySet::default()
        });
        let mut status_lists: Vec<StatusListSource> = Vec::new();
        for (place, entry) in document.status_lists.into_iter().enumerate() {
            let pointer = format!("/status_lists/{place}");
            if status_lists.iter().any(|known| known.uri == entry.uri) {
                faults.push(Fault::new(
                    &pointer,
                    "status-list-duplicate",
                    "the same uri stands here twice",
                    "uri 重复",
                ));
            }
            let source = match (entry.file, entry.url) {
                (Some(file), None) => StatusListWhere::File(file),
                (None, Some(url)) if url.starts_with("https://") => StatusListWhere::Https(url),
                _ => {
                    let (text, zh) =
                        ("needs exactly one of file and an https url", "须且仅须 file 或 https url 之一");
                    faults.push(Fault::new(pointer, "status-list-source", text, zh));
                    continue;
                }
            };
            status_lists.push(StatusListSource { uri: entry.uri, source });
        }
        if document.redeem.as_deref().is_some_and(|url| !is_callable(url)) {
            let (text, zh) =
                ("is not an https url, nor one of this machine", "须为 https 地址或本机回环地址");
            faults.push(Fault::new("/redeem", "redeem-address", text, zh));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            id: document.id,
            name: document.name,
            active: document.status == "active",
            keys,
            status_lists,
            redeem: document.redeem,
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn is_active(&self) -> bool {
        self.active
    }
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }
    /// The address that was configured, if any.
    pub fn redeem(&self) -> Option<&str> {
        self.redeem.as_deref()
    }
    pub fn status_lists(&self) -> &[StatusListSource] {
        &self.status_lists
    }
}

/// Every authority, one immutable snapshot.
pub struct Authorities {
    by_id: HashMap<String, Arc<Authority>>,
    /// Whose key it is; a suspended authority's keys are nobody's.
    by_kid: HashMap<String, Arc<Authority>>,
    generation: u64,
}

impl Default for Authorities {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Authorities {
    /// A snapshot of `authorities`; two with one id or one key are refused, pointing at the second.
    pub fn new<A: Into<Arc<Authority>>>(
        authorities: impl IntoIterator<Item = A>,
    ) -> Result<Self, Vec<Fault>> {
        let authorities: Vec<Arc<Authority>> = authorities.into_iter().map(Into::into).collect();
        let mut faults = Vec::new();
        let (mut ids, mut kids) = (HashSet::new(), HashSet::new());
        for (place, authority) in authorities.iter().enumerate() {
            if !ids.insert(authority.id()) {
                let pointer = format!("/{place}/id");
                faults.push(Fault::new(
                    pointer,
                    "authority-duplicate",
                    "is another authority's id",
                    "与其他授权机构重复",
                ));
            }
            if !authority.keys.kids().all(|kid| kids.insert(kid)) {
                let pointer = format!("/{place}/jwks");
                faults.push(Fault::new(
                    pointer,
                    "key-shared",
                    "holds another authority's key",
                    "与其他授权机构共用密钥",
                ));
            }
        }
        if faults.is_empty() { Ok(Self::of(authorities)) } else { Err(faults) }
    }

    fn of(authorities: Vec<Arc<Authority>>) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(0);
        let by_id: HashMap<_, _> =
            authorities.into_iter().map(|authority| (authority.id.clone(), authority)).collect();
        let by_kid = by_id
            .values()
            .filter(|authority| authority.active)
            .flat_map(|authority| authority.keys.kids().map(|kid| (kid.to_owned(), Arc::clone(authority))))
            .collect();
        Self { by_id, by_kid, generation: GENERATIONS.fetch_add(1, Ordering::Relaxed) }
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Authority>> {
        self.by_id.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Authority>> {
        self.by_id.values()
    }

    /// The key of that id in force at `now`, whichever active authority's it is.
    pub(super) fn key(&self, kid: &str, now: Now) -> Option<&VerifyingKey> {
        self.by_kid.get(kid)?.keys.find(kid, now)
    }

    /// The active authority that owns a key.
    pub(super) fn owner(&self, kid: &str) -> Option<&Authority> {
        self.by_kid.get(kid).map(Arc::as_ref)
    }

    /// Differs between any two snapshots, so that nothing verified under one is taken for
    /// verified under another.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}
