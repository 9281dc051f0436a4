//! The members as they stand right now, in one immutable snapshot, and the only place in
//! which a certificate chain becomes a [`PeerIdentity`].

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::card::{Card, Status};
use super::trust::{Distrust, Trust, Use};
use crate::clock::Now;
use crate::domain::Region;
use crate::fault::Fault;
use crate::folder::FileFault;

/// Which gateways there are and how to know them. Never changed, only replaced; a change
/// has another generation.
pub struct Directory {
    me: Region,
    generation: u64,
    members: BTreeMap<Region, Member>,
    trust: Trust,
}

#[derive(Clone)]
struct Member {
    file: PathBuf,
    card: Arc<Card>,
}

/// The TLS peer is this member, today. Made by [`Directory::identify`] only.
#[derive(Clone)]
pub struct PeerIdentity {
    region: Region,
    card: Arc<Card>,
    certificate: Bytes,
}

/// How evidence names a certificate: base64 (RFC 4648 §4) of its DER. Made once a connection, not once an
/// exchange.
pub(super) fn certificate_text(der: &[u8]) -> Bytes {
    STANDARD.encode(der).into()
}

impl PeerIdentity {
    pub fn region(&self) -> Region {
        self.region
    }
    pub fn card(&self) -> &Arc<Card> {
        &self.card
    }
    /// Base64 of the DER of the certificate it showed; empty where none was.
    pub fn certificate(&self) -> &Bytes {
        &self.certificate
    }
}

/// Why a chain is nobody's. For our log only: the peer sees `not-a-member` or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotAMember {
    #[error("no certificate was presented")]
    NoCertificate,
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate names no gateway")]
    NoGatewayName,
    #[error("the certificate has more than one URI in its subject alternative name")]
    SeveralNames,
    #[error("the certificate names our own region")]
    OwnRegion,
    #[error("there is no card of {0}")]
    Stranger(Region),
    #[error("{0}: {1}")]
    Untrusted(Region, Distrust),
    #[error("{0} is suspended")]
    Suspended(Region),
    #[error("{0} is removed")]
    Removed(Region),
}

impl Directory {
    /// Puts cards and trust together. What contradicts another card – a region twice, a
    /// signing key under two names, our own region – is left out and told; the card in
    /// force before goes first and keeps its place, so that a mistaken new file cannot
    /// unseat a member.
    pub fn build(
        me: Region,
        cards: &HashMap<PathBuf, Arc<Card>>,
        trust: Trust,
        before: Option<&Directory>,
    ) -> (Self, Vec<FileFault>) {
        let mut built =
            Self { me, generation: before.map_or(1, |b| b.generation + 1), members: BTreeMap::new(), trust };
        let was = |file: &Path| before.and_then(|b| b.members.values().find(|m| m.file == file));
        let mut files: Vec<(u8, &PathBuf, &Arc<Card>, Option<&Member>)> = cards
            .iter()
            .map(|(file, card)| match was(file) {
                Some(old) if Arc::ptr_eq(&old.card, card) => (0, file, card, None),
                Some(old) => (1, file, card, Some(old)),
                None => (2, file, card, None),
            })
            .collect();
        files.sort_by_key(|(rank, file, ..)| (*rank, *file));

        let mut owners: HashMap<String, Region> = HashMap::new();
        let mut refused = Vec::new();
        for (_, file, card, old) in files {
            if let Err(fault) = built.take(&mut owners, file, card) {
                refused.push(FileFault { file: file.clone(), faults: vec![fault] });
                if let Some(old) = old {
                    // Like any file that fails: its last good version stays, if it still fits.
                    built.take(&mut owners, file, &old.card).ok();
                }
            }
        }
        (built, refused)
    }

    fn take(
        &mut self,
        owners: &mut HashMap<String, Region>,
        file: &Path,
        card: &Arc<Card>,
    ) -> Result<(), Fault> {
        let region = card.region();
        if region == self.me {
            return Err(Fault::new(
                "/region",
                "own-region",
                "is this gateway's own region",
                "是本网关自己的区划",
            ));
        }
        if self.members.contains_key(&region) {
            let words = "another card has this region already";
            return Err(Fault::new("/region", "duplicate-region", words, "该区划已有另一张卡片"));
        }
        if card.keys().kids().any(|kid| owners.contains_key(kid)) {
            let words = "another member has one of these keys already";
            return Err(Fault::new("/jwks", "duplicate-kid", words, "其中的密钥已属于另一成员"));
        }
        owners.extend(card.keys().kids().map(|kid| (kid.to_owned(), region)));
        self.members.insert(region, Member { file: file.to_owned(), card: Arc::clone(card) });
        Ok(())
    }

    pub fn me(&self) -> Region {
        self.me
    }
    /// Another number for each snapshot: what was concluded under one holds under it only.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// The card of a region, whatever its status.
    pub fn card(&self, region: Region) -> Option<&Arc<Card>> {
        self.members.get(&region).map(|m| &m.card)
    }
    /// All cards, by region.
    pub fn cards(&self) -> impl Iterator<Item = &Arc<Card>> {
        self.members.values().map(|m| &m.card)
    }

    /// The card of a region, if it is an active member.
    pub fn active(&self, region: Region) -> Option<&Arc<Card>> {
        self.card(region).filter(|card| card.status() == Status::Active)
    }

    /// The identity that an active member would have, without any certificate: for judging
    /// a message from a file (`explain`), never for a connection.
    pub fn assume(&self, region: Region) -> Option<PeerIdentity> {
        Some(PeerIdentity { region, card: Arc::clone(self.active(region)?), certificate: Bytes::new() })
    }

    /// No revocation list is past its `nextUpdate`.
    pub fn crls_fresh(&self, now: Now) -> bool {
        self.trust.crl_ends().all(|end| now.secs() < end)
    }

    /// What ends when, in seconds since the epoch: for the metrics that warn.
    pub fn ends(&self) -> impl Iterator<Item = (String, i64)> {
        let cas = self.trust.ca_ends().enumerate().map(|(i, end)| (format!("ca/{}", i + 1), end));
        let crls = self.trust.crl_ends().enumerate().map(|(i, end)| (format!("crl/{}", i + 1), end));
        cas.chain(crls)
    }

    /// Whose chain this is, leaf first: the caller's at our door (protocol §2).
    pub fn identify(&self, chain: &[CertificateDer<'_>], now: Now) -> Result<PeerIdentity, NotAMember> {
        self.judge(chain, Use::Client, now).map(|judged| judged.identity)
    }

    /// [`Directory::identify`] with the second from which it must be asked again although
    /// nothing was reconfigured.
    pub fn identify_until(
        &self,
        chain: &[CertificateDer<'_>],
        now: Now,
    ) -> Result<(PeerIdentity, i64), NotAMember> {
        self.judge(chain, Use::Client, now).map(|judged| (judged.identity, judged.until))
    }

    /// Whose chain this is: the server's that we called. The same rules, the other usage.
    pub(super) fn identify_server(
        &self,
        chain: &[CertificateDer<'_>],
        now: Now,
    ) -> Result<PeerIdentity, NotAMember> {
        self.judge(chain, Use::Server, now).map(|judged| judged.identity)
    }

    fn judge(&self, chain: &[CertificateDer<'_>], usage: Use, now: Now) -> Result<Judged, NotAMember> {
        let leaf = chain.first().ok_or(NotAMember::NoCertificate)?;
        let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| NotAMember::Unreadable)?;
        let region = gateway_name(&cert)?;
        if region == self.me {
            return Err(NotAMember::OwnRegion);
        }
        let card = self.card(region).ok_or(NotAMember::Stranger(region))?;
        if !self.crls_fresh(now) {
            // Past its nextUpdate a list says nothing of anybody: the door closes (protocol §11).
            return Err(NotAMember::Untrusted(region, Distrust::StaleRevocationList));
        }
        let until = match self.trust.judge(chain, usage, now) {
            Ok(until) => until,
            Err(why) => {
                judge_pin(card, &cert, why, usage, now).map_err(|why| NotAMember::Untrusted(region, why))?
            }
        };
        match card.status() {
            Status::Active => {
                let certificate = certificate_text(leaf);
                Ok(Judged { identity: PeerIdentity { region, card: Arc::clone(card), certificate }, until })
            }
            Status::Suspended => Err(NotAMember::Suspended(region)),
            Status::Removed => Err(NotAMember::Removed(region)),
        }
    }
}

struct Judged {
    identity: PeerIdentity,
    until: i64,
}

/// The region in the one URI of the certificate's SAN.
fn gateway_name(cert: &X509Certificate<'_>) -> Result<Region, NotAMember> {
    let names = cert.subject_alternative_name().map_err(|_| NotAMember::Unreadable)?;
    let mut uris = names.iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(NotAMember::NoGatewayName)?;
    if uris.next().is_some() {
        return Err(NotAMember::SeveralNames);
    }
    Region::from_gateway_urn(uri).ok_or(NotAMember::NoGatewayName)
}

/// A pin on the member's card stands in for a CA; it excuses a missing issuer, not a
/// revocation, a stale list, the dates or the usage.
fn judge_pin(
    card: &Card,
    cert: &X509Certificate<'_>,
    why: Distrust,
    usage: Use,
    now: Now,
) -> Result<i64, Distrust> {
    let spki = digest(&SHA256, cert.public_key().raw);
    let pinned = card.pins().iter().any(|pin| pin == spki.as_ref());
    if !pinned || matches!(why, Distrust::Revoked | Distrust::StaleRevocationList) {
        return Err(why);
    }
    let validity = cert.validity();
    if now.secs() < validity.not_before.timestamp() {
        return Err(Distrust::NotYetValid);
    }
    if now.secs() > validity.not_after.timestamp() {
        return Err(Distrust::Expired);
    }
    match cert.extended_key_usage().map_err(|_| Distrust::Invalid)?.map(|eku| eku.value) {
        Some(eku) if usage == Use::Client && !eku.client_auth => Err(Distrust::WrongPurpose),
        Some(eku) if usage == Use::Server && !eku.server_auth => Err(Distrust::WrongPurpose),
        _ => Ok(validity.not_after.timestamp()),
    }
}

/// The region a certificate names, trusted or not: for counting connections and for
/// checking our own.
pub fn region_of(der: &CertificateDer<'_>) -> Option<Region> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    gateway_name(&cert).ok()
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
