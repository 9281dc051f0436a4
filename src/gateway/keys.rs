//! The gateway's own keys: loaded once with every rule about key files, watched afterwards.
//!
//! Promises: no key that others may have read or made is ever in force, at the start and at
//! every renewal; a file that fails changes nothing. The ledger's key is not renewed while the
//! gateway runs: its public half is on the card and in every checkpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::folder::{Poll, WatchedFile};
use crate::keys::{SigningKey, example, read_private_file};
use crate::ledger::LedgerKey;

use super::pair::{Pair, PairFiles, seen};
use super::{Options, StartFault};

/// Everything that only this gateway holds.
pub struct Keys {
    pub signing: Arc<ArcSwap<SigningKey>>,
    /// The partner door's pair, shown to partners that we call too.
    pub partner: Pair,
    /// For a local door with TLS.
    pub local: Option<Pair>,
    /// For a console with a certificate of its own.
    pub console: Option<Pair>,
    /// The ledger's public half; the private one is handed to the ledger only.
    pub ledger_public: [u8; 32],
    ledger_path: PathBuf,
    signing_file: WatchedFile,
    /// The last signing key was not taken: it is tried at every look, since what was wrong may
    /// be the file's mode, which is no change of its content.
    signing_refused: bool,
    demo: bool,
}

impl Keys {
    /// Loads them all; every fault is told.
    pub fn load(config: &Config, options: &Options) -> Result<Self, Vec<StartFault>> {
        let mut faults = Vec::new();
        let demo = options.demo;
        // Before the file is read: what changes in between is seen at the next look.
        let signing_file = seen(&config.path(&config.signing.key));
        let ledger_path = config.path(&config.ledger.key);
        let signing = keep(&mut faults, signing_key(signing_file.path(), demo));
        let ledger = keep(&mut faults, ledger_key(&ledger_path, demo));
        let partner = keep(
            &mut faults,
            Pair::load(PairFiles {
                setting: "[partner_listener] private_key",
                certificate: config.path(&config.partner_listener.certificate),
                private_key: config.path(&config.partner_listener.private_key),
                me: Some(config.region.code),
                demo,
            }),
        );
        let local = config.local_listener.as_ref().and_then(|section| {
            Some(PairFiles {
                setting: "[local_listener] private_key",
                certificate: config.path(section.certificate.as_ref()?),
                private_key: config.path(section.private_key.as_ref()?),
                me: None,
                demo,
            })
        });
        let local = local.and_then(|files| keep(&mut faults, Pair::load(files)));
        let console = config.console_listener.as_ref().and_then(|section| {
            Some(PairFiles {
                setting: "[console_listener] private_key",
                certificate: config.path(section.certificate.as_ref()?),
                private_key: config.path(section.private_key.as_ref()?),
                me: None,
                demo,
            })
        });
        let console = console.and_then(|files| keep(&mut faults, Pair::load(files)));
        match (signing, ledger, partner) {
            (Some(signing), Some(ledger), Some(partner)) if faults.is_empty() => Ok(Self {
                signing: Arc::new(ArcSwap::from_pointee(signing)),
                partner,
                local,
                console,
                ledger_public: ledger.public(),
                ledger_path,
                signing_file,
                signing_refused: false,
                demo,
            }),
            _ => Err(faults),
        }
    }

    /// The ledger's key, read anew so that it lives in one place only.
    pub fn ledger(&self) -> Result<LedgerKey, Vec<StartFault>> {
        ledger_key(&self.ledger_path, self.demo).map_err(|fault| vec![fault])
    }

    /// Reads again what changed; tells the files that were taken and those that were not.
    pub fn look(&mut self) -> Vec<Renewed> {
        let signing = self.look_at_signing_key();
        let partner = self.partner.look();
        let local = self.local.as_mut().and_then(Pair::look);
        let console = self.console.as_mut().and_then(Pair::look);
        [signing, partner, local, console].into_iter().flatten().collect()
    }

    fn look_at_signing_key(&mut self) -> Option<Renewed> {
        let changed = !matches!(self.signing_file.poll(), Poll::Unchanged);
        if !changed && !self.signing_refused {
            return None;
        }
        let taken = signing_key(self.signing_file.path(), self.demo)
            .map(|key| self.signing.store(Arc::new(key)))
            .is_ok();
        self.signing_refused = !taken;
        (taken || changed).then(|| Renewed { file: self.signing_file.path().to_owned(), taken })
    }
}

/// A key or certificate file that changed, and whether it is in force now.
pub struct Renewed {
    pub file: PathBuf,
    pub taken: bool,
}

fn keep<T>(faults: &mut Vec<StartFault>, outcome: Result<T, StartFault>) -> Option<T> {
    outcome.map_err(|fault| faults.push(fault)).ok()
}

fn signing_key(path: &Path, demo: bool) -> Result<SigningKey, StartFault> {
    let key = SigningKey::load(path)?;
    if !demo && example::is_published_example(key.kid()) {
        return Err(StartFault::ExampleKey("[signing] key"));
    }
    Ok(key)
}

fn ledger_key(path: &Path, demo: bool) -> Result<LedgerKey, StartFault> {
    let pem = read_private_file(path)?;
    let key = LedgerKey::from_pem(&pem).map_err(|_| StartFault::File {
        path: path.display().to_string(),
        rule: "is not an Ed25519 private key in PKCS#8 PEM".to_owned(),
    })?;
    let fingerprint = hex::encode(crate::envelope::digest(&key.public()));
    if !demo && example::is_published_example(&fingerprint) {
        return Err(StartFault::ExampleKey("[ledger] key"));
    }
    Ok(key)
}
