//! The gateway's own keys: loaded once with every rule about key files, watched afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::folder::{Poll, WatchedFile};
use crate::keys::{SigningKey, example, read_private_file};
use crate::ledger::LedgerKey;
use crate::peer::{Credentials, spki_sha256};

use super::{Options, StartFault};

/// Everything that only this gateway holds.
pub struct Keys {
    pub signing: Arc<ArcSwap<SigningKey>>,
    pub credentials: Arc<Credentials>,
    /// For a local door with TLS.
    pub local: Option<Arc<Credentials>>,
    /// The ledger's public half; the private one is handed to the ledger only.
    pub ledger_public: [u8; 32],
    ledger_path: PathBuf,
    demo: bool,
    watched: [WatchedFile; 3],
    /// The last signing key, the last pair, was not taken. It is tried at every look: what was
    /// wrong may be the file's mode, which is no change of its content.
    signing_refused: bool,
    pair_refused: bool,
    signing_path: PathBuf,
    certificate_path: PathBuf,
    private_key_path: PathBuf,
}

impl Keys {
    /// Loads them all; every fault is told.
    pub fn load(config: &Config, options: &Options) -> Result<Self, Vec<StartFault>> {
        let mut faults = Vec::new();
        let signing_path = config.path(&config.signing.key);
        let certificate_path = config.path(&config.partner_listener.certificate);
        let ledger_path = config.path(&config.ledger.key);
        let private_key_path = config.path(&config.partner_listener.private_key);
        let signing = keep(&mut faults, SigningKey::load(&signing_path).map_err(StartFault::from));
        let ledger = keep(&mut faults, ledger_key(&ledger_path));
        let credentials = keep(
            &mut faults,
            read_pair(&certificate_path, &private_key_path).and_then(|(chain, key)| {
                Credentials::new(&chain, &key, config.region.code)
                    .map_err(|fault| file(&certificate_path, &fault.to_string()))
            }),
        );
        let local = match config.local_listener.as_ref().map(|l| (&l.certificate, &l.private_key)) {
            Some((Some(certificate), Some(key))) => {
                let certificate = config.path(certificate);
                keep(
                    &mut faults,
                    read_pair(&certificate, &config.path(key)).and_then(|(chain, key)| {
                        Credentials::for_host(&chain, &key)
                            .map_err(|fault| file(&certificate, &fault.to_string()))
                    }),
                )
            }
            _ => None,
        };
        let (Some(signing), Some(ledger), Some(credentials)) = (signing, ledger, credentials) else {
            return Err(faults);
        };
        if !options.demo {
            faults.extend(published(&signing, &ledger, &credentials));
            faults.extend(published_cas(config));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            signing: Arc::new(ArcSwap::from_pointee(signing)),
            ledger_public: ledger.public(),
            credentials,
            local,
            demo: options.demo,
            watched: [seen(&signing_path), seen(&certificate_path), seen(&private_key_path)],
            signing_refused: false,
            pair_refused: false,
            ledger_path,
            signing_path,
            certificate_path,
            private_key_path,
        })
    }

    /// The ledger's key, read anew so that it lives in one place only.
    pub fn ledger(&self) -> Result<LedgerKey, Vec<StartFault>> {
        ledger_key(&self.ledger_path).map_err(|fault| vec![fault])
    }

    /// Reads again what changed; tells the files that were taken and those that were not.
    /// A key that fails any rule changes nothing.
    pub fn look(&mut self, config: &Config) -> Vec<Renewed> {
        let [signing, certificate, private_key] = &mut self.watched;
        let changed = |file: &mut WatchedFile| !matches!(file.poll(), Poll::Unchanged);
        let mut renewed = Vec::new();
        let signing_changed = changed(signing);
        if signing_changed || self.signing_refused {
            let taken = SigningKey::load(&self.signing_path).is_ok_and(|key| {
                let fine = self.demo || !example::is_published_example(key.kid());
                if fine {
                    self.signing.store(Arc::new(key));
                }
                fine
            });
            self.signing_refused = !taken;
            if taken || signing_changed {
                renewed.push(Renewed { file: self.signing_path.clone(), taken });
            }
        }
        // Both are looked at each time: a renewed pair is two files written one after the other.
        let pair_changed = changed(certificate) | changed(private_key);
        if pair_changed || self.pair_refused {
            let taken =
                read_pair(&self.certificate_path, &self.private_key_path).is_ok_and(|(chain, key)| {
                    self.credentials.replace(&chain, &key, Some(config.region.code)).is_ok()
                });
            self.pair_refused = !taken;
            if taken || pair_changed {
                renewed.push(Renewed { file: self.certificate_path.clone(), taken });
            }
        }
        renewed
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

fn file(path: &Path, rule: &str) -> StartFault {
    StartFault::File { path: path.display().to_string(), rule: rule.to_owned() }
}

fn ledger_key(path: &Path) -> Result<LedgerKey, StartFault> {
    let pem = read_private_file(path)?;
    LedgerKey::from_pem(&pem).map_err(|_| file(path, "is not an Ed25519 private key in PKCS#8 PEM"))
}

fn read_pair(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), StartFault> {
    let chain = std::fs::read(certificate)
        .map_err(|e| file(certificate, &format!("cannot be read ({})", e.kind())))?;
    Ok((chain, read_private_file(key)?))
}

/// A watched file whose present content is known already.
fn seen(path: &Path) -> WatchedFile {
    let mut file = WatchedFile::new(path);
    let _ = file.poll();
    file
}

/// A CA whose key everybody has lets everybody be a partner.
fn published_cas(config: &Config) -> Option<StartFault> {
    config
        .partner_listener
        .client_ca
        .iter()
        .filter_map(|path| std::fs::read(config.path(path)).ok())
        .any(|pem| {
            CertificateDer::pem_slice_iter(&pem)
                .filter_map(Result::ok)
                .filter_map(|der| spki_sha256(&der))
                .any(|spki| example::is_published_example(&hex::encode(spki)))
        })
        .then_some(StartFault::ExampleKey("[partner_listener] client_ca"))
}

/// Keys that anybody can read in `certs-example/` prove nothing.
fn published(signing: &SigningKey, ledger: &LedgerKey, credentials: &Credentials) -> Vec<StartFault> {
    let mut faults = Vec::new();
    if example::is_published_example(signing.kid()) {
        faults.push(StartFault::ExampleKey("[signing] key"));
    }
    if example::is_published_example(&hex::encode(crate::envelope::digest(&ledger.public()))) {
        faults.push(StartFault::ExampleKey("[ledger] key"));
    }
    if credentials.spki_sha256().is_some_and(|spki| example::is_published_example(&hex::encode(spki))) {
        faults.push(StartFault::ExampleKey("[partner_listener] private_key"));
    }
    faults
}
