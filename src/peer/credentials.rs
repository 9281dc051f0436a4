//! The certificate that we show, at our doors and to partners.
//!
//! Promises: chain, key and name belong together; a renewed pair is in force with the next
//! handshake, never half of it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, SignatureScheme};
use x509_parser::prelude::FromDer as _;

use super::directory::region_of;
use super::tls::provider;
use super::trust::Validity;
use crate::domain::Region;
use crate::keys::example;

/// Our own certificate chain with its key, replaced as one when renewed.
pub struct Credentials {
    current: ArcSwap<Current>,
}

struct Current {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsFault {
    #[error("the certificate file holds no PEM certificate chain")]
    Certificate,
    #[error("the key file holds no PEM private key in PKCS#8")]
    Key,
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    #[error("the certificate does not name {0} in the one URI of its subject alternative name")]
    Name(Region),
}

impl Credentials {
    /// Checks that chain, key and our own name belong together.
    pub fn new(chain_pem: &[u8], key_pem: &[u8], me: Region) -> Result<Arc<Self>, CredentialsFault> {
        let current = Current::read(chain_pem, key_pem, Some(me))?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(current) }))
    }

    /// For a door that is known by its host name (local, console): no gateway name needed.
    pub fn for_host(chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<Self>, CredentialsFault> {
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(Current::read(chain_pem, key_pem, None)?) }))
    }

    /// Puts a renewed pair in force for all handshakes to come, or changes nothing.
    pub fn replace(
        &self,
        chain_pem: &[u8],
        key_pem: &[u8],
        me: Option<Region>,
    ) -> Result<(), CredentialsFault> {
        self.current.store(Arc::new(Current::read(chain_pem, key_pem, me)?));
        Ok(())
    }

    /// When the shown certificate begins and ends.
    pub fn validity(&self) -> Validity {
        self.current.load().validity
    }

    /// SHA-256 of the shown certificate's SPKI, as it would stand on our card.
    pub fn spki_sha256(&self) -> Option<[u8; 32]> {
        spki_sha256(self.current.load().certified.cert.first()?)
    }
}

/// SHA-256 of a certificate's DER SubjectPublicKeyInfo (protocol §2).
pub fn spki_sha256(der: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, cert) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let hash = digest(&SHA256, cert.public_key().raw);
    hash.as_ref().try_into().ok()
}

/// Whether any certificate in the PEM file carries a key whose private half is published.
pub fn shows_published_key(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .filter_map(|der| spki_sha256(&der))
        .any(|spki| example::is_published_example(&hex::encode(spki)))
}

impl Current {
    fn read(chain_pem: &[u8], key_pem: &[u8], me: Option<Region>) -> Result<Self, CredentialsFault> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
        let chain = chain.map_err(|_| CredentialsFault::Certificate)?;
        let leaf = chain.first().ok_or(CredentialsFault::Certificate)?;
        let validity = Validity::of(leaf).ok_or(CredentialsFault::Certificate)?;
        if let Some(me) = me
            && region_of(leaf) != Some(me)
        {
            return Err(CredentialsFault::Name(me));
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| CredentialsFault::Key)?;
        let certified = CertifiedKey::from_der(chain, key, provider()).map_err(|e| match e {
            Error::InconsistentKeys(_) => CredentialsFault::Mismatch,
            Error::InvalidCertificate(_) => CredentialsFault::Certificate,
            _ => CredentialsFault::Key,
        })?;
        Ok(Self { certified: Arc::new(certified), validity })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
    fn has_certs(&self) -> bool {
        true
    }
}
