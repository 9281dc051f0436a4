//! Everything that can be withdrawn, as files on disk and as one snapshot in memory.
//!
//! Promises: a file is read whole or not at all, one that fails changes nothing, a removed
//! one is gone at the next look; a request sees one consistent snapshot.

mod pem;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::account::{Account, Accounts};
use crate::authorization::{
    Authorities, Authority, MOST_LIST_FILE_BYTES, Status, StatusList, StatusListWhere, StatusLists,
};
use crate::clock::Now;
use crate::config::Config;
use crate::domain::Region;
use crate::fault::Fault;
use crate::folder::{FileFault, Folder, Poll, WatchedFile, What};
use crate::ledger::evidence::AuditorKey;
use crate::peer::{CaFile, Card, CrlFile, Directory, Trust as PkiTrust};
use crate::policy::{Agreement, Policy};
use crate::witness::Policy as Watchers;

use pem::Pem;

/// Whom we believe at one moment.
pub struct Trust {
    pub directory: Arc<Directory>,
    pub policy: Arc<Policy>,
    pub authorities: Arc<Authorities>,
    pub status_lists: Arc<StatusLists>,
    /// Who may come to the auditors' console.
    pub accounts: Arc<Accounts>,
    /// Whom evidence is sealed to.
    pub auditors: Arc<Vec<Arc<AuditorKey>>>,
    /// Whose cosignatures are enough for our log; `None` where no policy is configured.
    pub watchers: Option<Arc<Watchers>>,
}

impl Trust {
    /// Reads everything once. A CA or revocation list that cannot be used is an error; a
    /// document that cannot is left out and told beside the rest, as in a running gateway.
    pub fn load(config: &Config, now: Now) -> Result<(Self, Vec<FileFault>), Vec<FileFault>> {
        let mut watch = TrustWatch::new(config);
        let (trust, _) = watch.look(None, now);
        let faults = watch.pki_faults();
        if faults.is_empty() { Ok((trust, watch.faults())) } else { Err(faults) }
    }
}

/// A change in a trust file, for the ledger and the log.
#[derive(Clone, Debug)]
pub struct Change {
    pub file: PathBuf,
    pub what: What,
}

/// The folders and files of `[trust]` and `[partner_listener]`, watched.
pub struct TrustWatch {
    me: Region,
    base: PathBuf,
    cards: Folder<Card>,
    agreements: Folder<Agreement>,
    authorities: Folder<Authority>,
    console: Option<Console>,
    auditors: Vec<Folder<AuditorKey>>,
    cas: Vec<Pem<CaFile>>,
    crls: Vec<Pem<CrlFile>>,
    /// What it gets wrong at the start, `serve` and `check` tell themselves.
    watchers: Option<Pem<Watchers>>,
    /// By authority id and list uri.
    lists: HashMap<(String, String), ListFile>,
    authorities_dir: PathBuf,
    data_dir: PathBuf,
    /// Of the last build, besides what the folders tell: contradictions between files.
    contradictions: Vec<FileFault>,
}

impl TrustWatch {
    /// For a running gateway outside a demonstration: a CA whose private key is published,
    /// with which everybody could be a partner, is refused whenever it turns up.
    pub fn without_published_cas(config: &Config) -> Self {
        let cas = config.partner_listener.client_ca.iter();
        let cas = cas.map(|path| Pem::new(&config.path(path), pem::unpublished_ca)).collect();
        Self { cas, ..Self::new(config) }
    }

    pub fn new(config: &Config) -> Self {
        Self {
            me: config.region.code,
            base: config.base.clone(),
            cards: Folder::new(&config.path(&config.trust.partners), Card::from_value),
            agreements: Folder::new(&config.path(&config.trust.agreements), Agreement::from_value),
            authorities: Folder::new(&config.path(&config.trust.authorities), Authority::from_value),
            console: config
                .console_listener
                .as_ref()
                .map(|console| Console::new(config.path(&console.accounts))),
            auditors: config
                .ledger
                .auditors
                .iter()
                .map(|pattern| Folder::new(&config.path(pattern), AuditorKey::from_value))
                .collect(),
            cas: config
                .partner_listener
                .client_ca
                .iter()
                .map(|p| Pem::new(&config.path(p), pem::ca))
                .collect(),
            crls: config.partner_listener.crl.iter().map(|p| Pem::new(&config.path(p), pem::crl)).collect(),
            watchers: config.ledger.policy.as_ref().map(|p| Pem::new(&config.path(p), pem::watchers)),
            lists: HashMap::new(),
            authorities_dir: config.trust.authorities.clone(),
            data_dir: config.data_dir(),
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
        let console = self.console.as_mut().is_some_and(|console| noted(console.poll()));
        let mut sealed_to_others = false;
        for folder in &mut self.auditors {
            sealed_to_others |= noted(folder.poll());
        }
        let mut pki = false;
        for ca in &mut self.cas {
            pki |= ca.look(&mut changes);
        }
        for crl in &mut self.crls {
            pki |= crl.look(&mut changes);
        }

        if let Some(policy) = &mut self.watchers {
            policy.look(&mut changes);
        }
        let watchers = self.watchers.as_ref().and_then(|policy| policy.good.clone());

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
        let accounts = match before {
            Some(before) if !console => before.accounts.clone(),
            _ => self.accounts(),
        };
        let auditors = match before {
            Some(before) if !sealed_to_others => before.auditors.clone(),
            _ => self.known_auditors(),
        };
        for fault in &self.contradictions {
            changes.push(Change { file: fault.file.clone(), what: What::Refused(fault.faults.clone()) });
        }
        let status_lists = self.status_lists(&known, authorities, before, now, &mut changes);
        (Trust { directory, policy, authorities: known, status_lists, accounts, auditors, watchers }, changes)
    }

    /// CAs and revocation lists that cannot be used: without them nobody can be judged.
    pub fn pki_faults(&self) -> Vec<FileFault> {
        let cas = self.cas.iter().filter_map(Pem::file_fault);
        cas.chain(self.crls.iter().filter_map(Pem::file_fault)).collect()
    }

    /// Every fault that stands now.
    pub fn faults(&self) -> Vec<FileFault> {
        let mut faults = self.cards.faults();
        faults.extend(self.agreements.faults());
        faults.extend(self.authorities.faults());
        faults.extend(self.console.iter().flat_map(|console| console.folder.faults()));
        faults.extend(self.auditors.iter().flat_map(Folder::faults));
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
        let mut names = HashSet::new();
        let accepted = self.accept(self.authorities.good(), |authority: &Authority| {
            let fresh = names.insert(authority.id().to_owned())
                & authority.keys().kids().fold(true, |fresh, kid| names.insert(kid.to_owned()) & fresh);
            fresh.then_some(()).ok_or_else(|| {
                let words = "shares its id or a key with another authority";
                Fault::new("", "duplicate-authority", words, "与另一授权机构的标识或密钥重复")
            })
        });
        Arc::new(Authorities::new(accepted).unwrap_or_default())
    }

    fn accounts(&mut self) -> Arc<Accounts> {
        let files = self.console.as_ref().map(|console| console.folder.good()).unwrap_or_default();
        let (accounts, refused) = Accounts::build(&files);
        self.contradictions.extend(refused);
        Arc::new(accounts)
    }

    /// Each key once, in the order of the files' names.
    fn known_auditors(&self) -> Arc<Vec<Arc<AuditorKey>>> {
        let mut files: Vec<_> = self.auditors.iter().flat_map(Folder::good).collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let mut kids = HashSet::new();
        let once = files.into_iter().filter(|(_, key)| kids.insert(key.kid().to_owned()));
        Arc::new(once.map(|(_, key)| key).collect())
    }

    /// The files that do not contradict one before them, in the order of their names.
    fn accept<T>(
        &mut self,
        good: HashMap<PathBuf, Arc<T>>,
        mut fits: impl FnMut(&T) -> Result<(), Fault>,
    ) -> Vec<Arc<T>> {
        let mut files: Vec<_> = good.into_iter().collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files
            .into_iter()
            .filter_map(|(file, document)| match fits(&document) {
                Ok(()) => Some(document),
                Err(fault) => {
                    self.contradictions.push(FileFault { file, faults: vec![fault] });
                    None
                }
            })
            .collect()
    }

    /// The lists of every authority; a list file that fails keeps the list in force.
    fn status_lists(
        &mut self,
        authorities: &Authorities,
        authorities_changed: bool,
        before: Option<&Trust>,
        now: Now,
        changes: &mut Vec<Change>,
    ) -> Arc<StatusLists> {
        let mut lists = match before {
            Some(before) if !authorities_changed => before.status_lists.clone(),
            Some(before) => Arc::new(before.status_lists.configured(authorities)),
            None => Arc::new(StatusLists::default().configured(authorities)),
        };
        for authority in authorities.iter() {
            for source in authority.status_lists() {
                let path = self.list_path(authority.id(), &source.source, &source.uri);
                let place = (authority.id().to_owned(), source.uri.clone());
                let listed = self.lists.entry(place).or_insert_with(|| ListFile::new(&path));
                // Read anew where it stands elsewhere now, or where a list that was given up with
                // its key may be believed again.
                if listed.file.path() != path || !lists.holds(authority.id(), &source.uri) {
                    listed.file = ListFile::new(&path).file;
                }
                let bytes = match listed.file.poll() {
                    Poll::Unchanged => continue,
                    Poll::Changed(bytes) => Ok(bytes),
                    Poll::Refused(fault) => Err(fault),
                };
                let next = bytes.and_then(|bytes| {
                    StatusList::parse(&bytes, authority.keys(), &source.uri, now)
                        .and_then(|list| match source.source {
                            StatusListWhere::File(_) => lists.with(authority.id(), &source.uri, list),
                            StatusListWhere::Https(_) => lists.with_newer(authority.id(), &source.uri, list),
                        })
                        .map_err(|fault| Fault::new("", "status-list", fault.to_string(), "状态列表无法使用"))
                });
                match next {
                    Ok(next) => {
                        lists = Arc::new(next);
                        listed.fault = None;
                        changes.push(Change { file: path, what: What::Changed });
                    }
                    Err(fault) => {
                        // Tried again at the next look: what is missing may be the key.
                        listed.file = ListFile::new(&path).file;
                        if listed.fault.as_ref() != Some(&fault) {
                            listed.fault = Some(fault.clone());
                            changes.push(Change { file: path, what: What::Refused(vec![fault]) });
                        }
                    }
                }
            }
        }
        lists
    }

    /// Where a list stands on disk: its file, beside the authority's own or under the
    /// configuration's folder; or where the background pull leaves what it fetched.
    fn list_path(&self, authority: &str, source: &StatusListWhere, uri: &str) -> PathBuf {
        match source {
            StatusListWhere::File(file) => {
                let beside = self.base.join(&self.authorities_dir).join(file);
                if beside.exists() { beside } else { self.base.join(file) }
            }
            StatusListWhere::Https(_) => pulled_path(&self.data_dir, authority, uri),
        }
    }
}

/// The console's accounts. A gateway made before there were any has no folder for them:
/// nobody may come until somebody makes it.
struct Console {
    path: PathBuf,
    folder: Folder<Account>,
}

impl Console {
    fn new(path: PathBuf) -> Self {
        Self { folder: Folder::new(&path, Account::from_value), path }
    }

    fn poll(&mut self) -> crate::folder::Changes {
        if self.path.is_dir() || !self.folder.good().is_empty() {
            self.folder.poll()
        } else {
            crate::folder::Changes::default()
        }
    }
}

/// The file of one status list.
struct ListFile {
    file: WatchedFile,
    fault: Option<Fault>,
}

impl ListFile {
    fn new(path: &Path) -> Self {
        Self { file: WatchedFile::up_to(path, MOST_LIST_FILE_BYTES as u64), fault: None }
    }
}

/// Where a list that is pulled over HTTPS is kept between pulls.
pub fn pulled_path(data_dir: &Path, authority: &str, uri: &str) -> PathBuf {
    let name = crate::envelope::digest(format!("{authority}\0{uri}").as_bytes());
    data_dir.join("status-lists").join(format!("{}.jwt", hex::encode(name)))
}

impl Trust {
    /// Configured status lists that cannot be believed now.
    pub fn stale_lists(&self, now: Now) -> usize {
        self.authorities
            .iter()
            .filter(|authority| authority.is_active())
            .flat_map(|authority| authority.status_lists().iter().map(move |source| (authority, source)))
            .filter(|(authority, source)| {
                self.status_lists.status(authority.id(), &source.uri, 0, now) == Status::Stale
            })
            .count()
    }
}
