//! Everything that can be withdrawn, as files on disk and as one snapshot in memory.
//!
//! Promises: a file is read whole or not at all, one that fails changes nothing, a removed
//! one is gone at the next look; a request sees one consistent snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authorization::{Authorities, Authority, StatusLists};
use crate::clock::Now;
use crate::config::Config;
use crate::domain::Region;
use crate::fault::Fault;
use crate::folder::{FileFault, Folder, Poll, WatchedFile, What};
use crate::peer::{CaFile, Card, CrlFile, Directory, PkiTrust};
use crate::policy::{Agreement, Policy};

/// Whom we believe at one moment.
pub struct Trust {
    pub directory: Arc<Directory>,
    pub policy: Arc<Policy>,
    pub authorities: Arc<Authorities>,
    pub status_lists: Arc<StatusLists>,
}

impl Trust {
    /// Reads everything once; every fault of every file is told.
    pub fn load(config: &Config, now: Now) -> Result<Self, Vec<FileFault>> {
        let mut watch = TrustWatch::new(config);
        let (trust, _) = watch.look(None, now);
        let faults = watch.faults();
        if faults.is_empty() { Ok(trust) } else { Err(faults) }
    }
}

/// A change in a trust file, for the ledger and the log.
#[derive(Clone, Debug)]
pub struct Change {
    pub file: PathBuf,
    pub what: What,
}

/// One PEM file with its last good content.
struct Pem<T> {
    file: WatchedFile,
    parse: fn(&[u8]) -> Result<T, Fault>,
    good: Option<Arc<T>>,
    fault: Option<Fault>,
}

impl<T> Pem<T> {
    fn new(path: &Path, parse: fn(&[u8]) -> Result<T, Fault>) -> Self {
        Self { file: WatchedFile::new(path), parse, good: None, fault: None }
    }

    /// Looks again; tells what changed.
    fn look(&mut self, changes: &mut Vec<Change>) -> bool {
        let fault = match self.file.poll() {
            Poll::Unchanged => return false,
            Poll::Refused(fault) => fault,
            Poll::Changed(bytes) => match (self.parse)(&bytes) {
                Ok(good) => {
                    let what = if self.good.is_some() { What::Changed } else { What::Added };
                    self.good = Some(Arc::new(good));
                    self.fault = None;
                    changes.push(Change { file: self.file.path().to_owned(), what });
                    return true;
                }
                Err(fault) => fault,
            },
        };
        self.fault = Some(fault.clone());
        changes.push(Change { file: self.file.path().to_owned(), what: What::Refused(vec![fault]) });
        false
    }

    fn file_fault(&self) -> Option<FileFault> {
        let fault = self.fault.clone()?;
        Some(FileFault { file: self.file.path().to_owned(), faults: vec![fault] })
    }
}

/// The folders and files of `[trust]` and `[partner_listener]`, watched.
pub struct TrustWatch {
    me: Region,
    base: PathBuf,
    cards: Folder<Card>,
    agreements: Folder<Agreement>,
    authorities: Folder<Authority>,
    cas: Vec<Pem<CaFile>>,
    crls: Vec<Pem<CrlFile>>,
    /// Of the last build, besides what the folders tell: contradictions between files.
    contradictions: Vec<FileFault>,
}

impl TrustWatch {
    pub fn new(config: &Config) -> Self {
        let ca = |pem: &[u8]| CaFile::from_pem(pem).map_err(|f| pem_fault(&f.to_string()));
        let crl = |pem: &[u8]| CrlFile::from_pem(pem).map_err(|f| pem_fault(&f.to_string()));
        Self {
            me: config.region.code,
            base: config.base.clone(),
            cards: Folder::new(&config.path(&config.trust.partners), Card::from_value),
            agreements: Folder::new(&config.path(&config.trust.agreements), Agreement::from_value),
            authorities: Folder::new(&config.path(&config.trust.authorities), Authority::from_value),
            cas: config.partner_listener.client_ca.iter().map(|p| Pem::new(&config.path(p), ca)).collect(),
            crls: config.partner_listener.crl.iter().map(|p| Pem::new(&config.path(p), crl)).collect(),
            contradictions: Vec::new(),
        }
    }

    /// Looks at every file; builds a new snapshot where something changed since `before`.
    /// The list holds what changed and what was refused.
    pub fn look(&mut self, before: Option<&Trust>, now: Now) -> (Trust, Vec<Change>) {
        let mut changes = Vec::new();
        let mut noted = |found: crate::folder::Changes| {
            changes.extend(found.events.into_iter().map(|e| Change { file: e.file, what: e.what }));
            found.changed
        };
        let cards = noted(self.cards.poll());
        let agreements = noted(self.agreements.poll());
        let authorities = noted(self.authorities.poll());
        let mut pki = false;
        for ca in &mut self.cas {
            pki |= ca.look(&mut changes);
        }
        for crl in &mut self.crls {
            pki |= crl.look(&mut changes);
        }

        self.contradictions.clear();
        let directory = match before {
            Some(before) if !cards && !pki => before.directory.clone(),
            _ => self.directory(before),
        };
        let policy = match before {
            Some(before) if !agreements => before.policy.clone(),
            _ => self.policy(),
        };
        let known = match before {
            Some(before) if !authorities => before.authorities.clone(),
            _ => self.known_authorities(),
        };
        for fault in &self.contradictions {
            changes.push(Change { file: fault.file.clone(), what: What::Refused(fault.faults.clone()) });
        }
        // Status lists age and are replaced on their own; reading an unchanged file is cheap.
        let status_lists =
            Arc::new(StatusLists::read(&known, &self.base, before.map(|b| &*b.status_lists), now));
        (Trust { directory, policy, authorities: known, status_lists }, changes)
    }

    /// Every fault that stands now.
    pub fn faults(&self) -> Vec<FileFault> {
        let mut faults = self.cards.faults();
        faults.extend(self.agreements.faults());
        faults.extend(self.authorities.faults());
        faults.extend(self.cas.iter().filter_map(Pem::file_fault));
        faults.extend(self.crls.iter().filter_map(Pem::file_fault));
        faults.extend(self.contradictions.iter().cloned());
        faults
    }

    fn directory(&mut self, before: Option<&Trust>) -> Arc<Directory> {
        let cas = self.cas.iter().filter_map(|ca| ca.good.clone()).collect();
        let crls = self.crls.iter().filter_map(|crl| crl.good.clone()).collect();
        let (directory, refused) = Directory::build(
            self.me,
            &self.cards.good(),
            PkiTrust::new(cas, crls),
            before.map(|b| &*b.directory),
        );
        self.contradictions.extend(refused);
        Arc::new(directory)
    }

    fn policy(&mut self) -> Arc<Policy> {
        let (policy, refused) = Policy::build(&self.agreements.good());
        self.contradictions.extend(refused);
        Arc::new(policy)
    }

    fn known_authorities(&mut self) -> Arc<Authorities> {
        let (authorities, refused) = Authorities::build(&self.authorities.good());
        self.contradictions.extend(refused);
        Arc::new(authorities)
    }
}

fn pem_fault(rule: &str) -> Fault {
    Fault::new("", "pem", rule, "PEM 文件无法使用")
}
