//! A certificate and its private key: what a door shows, in two files that are watched.
//!
//! Promises: what is in force is a whole pair that belongs to its door and that nobody else
//! holds; a pair that fails any rule changes nothing and is tried again at every look, since
//! what was wrong may be a file's mode, which is no change of its content.
//! Leaves to others: when to look, and who is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::StartFault;
use super::keys::Renewed;
use crate::domain::Region;
use crate::folder::{Poll, WatchedFile};
use crate::keys::read_private_file;
use crate::peer::{Credentials, CredentialsFault, shows_published_key};

/// Which pair, and what it must be.
pub struct PairFiles {
    /// The setting that a refusal of a published key names.
    pub setting: &'static str,
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// Whose name the certificate must bear; a door known by its host name has none.
    pub me: Option<Region>,
    /// Published example keys are accepted.
    pub demo: bool,
}

/// The pair in force.
pub struct Pair {
    pub credentials: Arc<Credentials>,
    files: PairFiles,
    watched: [WatchedFile; 2],
    refused: bool,
}

impl Pair {
    pub fn load(files: PairFiles) -> Result<Self, StartFault> {
        // Before the files are read: what changes in between is seen at the next look.
        let watched = [seen(&files.certificate), seen(&files.private_key)];
        let (chain, key) = files.read()?;
        let credentials = match files.me {
            Some(me) => Credentials::new(&chain, &key, me),
            None => Credentials::for_host(&chain, &key),
        };
        let credentials = credentials.map_err(|fault| files.not_a_pair(&fault))?;
        Ok(Self { credentials, files, watched, refused: false })
    }

    /// Reads the pair again if a file changed; tells whether it was taken.
    pub fn look(&mut self) -> Option<Renewed> {
        let changed = |file: &mut WatchedFile| !matches!(file.poll(), Poll::Unchanged);
        let [certificate, private_key] = &mut self.watched;
        // Both are looked at each time: a renewed pair is two files written one after the other.
        let changed = changed(certificate) | changed(private_key);
        if !changed && !self.refused {
            return None;
        }
        let taken = self.take().is_ok();
        self.refused = !taken;
        (taken || changed).then(|| Renewed { file: self.files.certificate.clone(), taken })
    }

    fn take(&self) -> Result<(), StartFault> {
        let (chain, key) = self.files.read()?;
        self.credentials.replace(&chain, &key, self.files.me).map_err(|fault| self.files.not_a_pair(&fault))
    }
}

impl PairFiles {
    /// Both files, once it is certain that the key is nobody else's.
    fn read(&self) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), StartFault> {
        let chain = std::fs::read(&self.certificate)
            .map_err(|e| self.unusable(&format!("cannot be read ({})", e.kind())))?;
        let key = read_private_file(&self.private_key)?;
        if !self.demo && shows_published_key(&chain) {
            return Err(StartFault::ExampleKey(self.setting));
        }
        Ok((chain, key))
    }

    fn not_a_pair(&self, fault: &CredentialsFault) -> StartFault {
        self.unusable(&fault.to_string())
    }

    fn unusable(&self, rule: &str) -> StartFault {
        StartFault::File { path: self.certificate.display().to_string(), rule: rule.to_owned() }
    }
}

/// A watched file whose present content is known already.
pub fn seen(path: &Path) -> WatchedFile {
    let mut file = WatchedFile::new(path);
    let _ = file.poll();
    file
}
