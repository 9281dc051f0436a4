//! The operator's CAs and revocation lists, and the one question put to them: does this
//! chain end in one of ours, for this use, at this moment, unrevoked?
//!
//! Promises: a list past its `nextUpdate` refuses everything it speaks for; once lists are
//! configured, a certificate whose issuer has none is refused (protocol §2).

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_parser::prelude::FromDer as _;

use super::tls::provider;
use crate::clock::Now;

/// One PEM file of CA certificates.
pub struct CaFile(Vec<Root>);

struct Root {
    anchor: TrustAnchor<'static>,
    not_before: i64,
    not_after: i64,
}

/// One PEM file of revocation lists.
pub struct CrlFile(Vec<Crl>);

struct Crl {
    list: CertRevocationList<'static>,
    this_update: i64,
    next_update: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFileFault {
    #[error("is not PEM")]
    Pem,
    #[error("holds nothing of its kind")]
    Empty,
    #[error("certificate {0} of the file cannot be a CA")]
    Certificate(usize),
    #[error(
        "revocation list {0} of the file is not an RFC 5280 list with its extensions (CRL number, authority key identifier)"
    )]
    RevocationList(usize),
}

impl CaFile {
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustFileFault> {
        let mut roots = Vec::new();
        for (i, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let der = der.map_err(|_| TrustFileFault::Pem)?;
            roots.push(Root::read(&der).ok_or(TrustFileFault::Certificate(i + 1))?);
        }
        if roots.is_empty() { Err(TrustFileFault::Empty) } else { Ok(Self(roots)) }
    }

    /// When the first of its certificates ends, in seconds since the epoch.
    pub fn not_after(&self) -> Option<i64> {
        self.0.iter().map(|r| r.not_after).min()
    }
}

impl Root {
    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
        Some(Self {
            anchor: anchor_from_trusted_cert(der).ok()?.to_owned(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
        })
    }
}

impl CrlFile {
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustFileFault> {
        let mut lists = Vec::new();
        for (i, der) in CertificateRevocationListDer::pem_slice_iter(pem).enumerate() {
            let der = der.map_err(|_| TrustFileFault::Pem)?;
            lists.push(Crl::read(&der).ok_or(TrustFileFault::RevocationList(i + 1))?);
        }
        if lists.is_empty() { Err(TrustFileFault::Empty) } else { Ok(Self(lists)) }
    }

    /// When the first of its lists goes stale, in seconds since the epoch.
    pub fn next_update(&self) -> Option<i64> {
        self.0.iter().map(|c| c.next_update).min()
    }
}

impl Crl {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, read) = x509_parser::revocation_list::CertificateRevocationList::from_der(der).ok()?;
        Some(Self {
            list: OwnedCertRevocationList::from_der(der).ok()?.into(),
            this_update: read.last_update().timestamp(),
            next_update: read.next_update()?.timestamp(),
        })
    }
}

/// What the chain is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Client,
    Server,
}

/// Why a chain is not trusted. For our log; a stranger learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Distrust {
    #[error("no configured CA stands behind the certificate, and no pin of its member fits it")]
    UnknownIssuer,
    #[error("the certificate or its CA has expired")]
    Expired,
    #[error("the certificate or its CA is not valid yet")]
    NotYetValid,
    #[error("the certificate is not meant for this use")]
    WrongPurpose,
    #[error("the certificate is revoked")]
    Revoked,
    #[error("the issuer's revocation list is past its nextUpdate")]
    StaleRevocationList,
    #[error("revocation lists are configured, but none speaks for this issuer")]
    RevocationUnknown,
    #[error("the chain does not verify")]
    Invalid,
}

/// All CAs and lists in force.
#[derive(Clone, Default)]
pub struct Trust {
    cas: Vec<Arc<CaFile>>,
    crls: Vec<Arc<CrlFile>>,
}

impl Trust {
    pub fn new(cas: Vec<Arc<CaFile>>, crls: Vec<Arc<CrlFile>>) -> Self {
        Self { cas, crls }
    }

    /// When each CA file's first certificate ends.
    pub(super) fn ca_ends(&self) -> impl Iterator<Item = i64> {
        self.cas.iter().filter_map(|file| file.not_after())
    }

    /// When each revocation file's first list goes stale.
    pub(super) fn crl_ends(&self) -> impl Iterator<Item = i64> {
        self.crls.iter().filter_map(|file| file.next_update())
    }

    /// Judges a chain, leaf first. On success, the second until which the judgement holds
    /// if nothing is reconfigured.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], usage: Use, now: Now) -> Result<i64, Distrust> {
        let (leaf, others) = chain.split_first().ok_or(Distrust::Invalid)?;
        let at = u64::try_from(now.secs()).map_err(|_| Distrust::Invalid)?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at));
        let cert = EndEntityCert::try_from(leaf).map_err(|_| Distrust::Invalid)?;

        // webpki takes an anchor as given, its dates included; we do not.
        let (anchors, gone): (Vec<_>, Vec<_>) =
            self.roots().partition(|r| r.not_before <= now.secs() && now.secs() <= r.not_after);
        let anchors: Vec<TrustAnchor<'_>> = anchors.into_iter().map(|r| r.anchor.clone()).collect();

        // webpki asks the first list that speaks for an issuer: let it be the newest.
        let mut crls: Vec<&Crl> = self.crls.iter().flat_map(|f| &f.0).collect();
        crls.sort_by_key(|c| std::cmp::Reverse(c.this_update));
        let lists: Vec<&CertRevocationList<'_>> = crls.iter().map(|c| &c.list).collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let usage = match usage {
            Use::Client => KeyUsage::client_auth(),
            Use::Server => KeyUsage::server_auth(),
        };
        let algorithms = provider().signature_verification_algorithms.all;
        cert.verify_for_usage(algorithms, &anchors, others, at, usage, revocation, None).map_err(
            |e| match e {
                webpki::Error::UnknownIssuer if !gone.is_empty() => Distrust::Expired,
                other => Distrust::from(other),
            },
        )?;

        let ends = chain.iter().filter_map(|der| Validity::of(der).map(|v| v.not_after));
        let roots = self.roots().map(|r| r.not_after).filter(|end| *end >= now.secs());
        let stale = crls.iter().map(|c| c.next_update).filter(|next| *next >= now.secs());
        Ok(ends.chain(roots).chain(stale).min().unwrap_or(now.secs()))
    }

    fn roots(&self) -> impl Iterator<Item = &Root> {
        self.cas.iter().flat_map(|f| &f.0)
    }
}

impl From<webpki::Error> for Distrust {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::UnknownIssuer => Self::UnknownIssuer,
            webpki::Error::CertExpired { .. } => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotYetValid,
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
                Self::WrongPurpose
            }
            webpki::Error::CertRevoked => Self::Revoked,
            webpki::Error::CrlExpired { .. } => Self::StaleRevocationList,
            webpki::Error::UnknownRevocationStatus => Self::RevocationUnknown,
            _ => Self::Invalid,
        }
    }
}

/// First and last second of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: i64,
    pub not_after: i64,
}

impl Validity {
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
        let v = cert.validity();
        Some(Self { not_before: v.not_before.timestamp(), not_after: v.not_after.timestamp() })
    }
}
