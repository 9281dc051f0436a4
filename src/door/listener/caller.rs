//! Who holds a connection, asked anew for each request.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;

use crate::clock::Now;
use crate::domain::Region;
use crate::peer::{Directory, NotAMember, PeerIdentity, region_of};

/// A connection as a service sees it.
pub struct ConnInfo {
    remote: SocketAddr,
    chain: Option<Vec<CertificateDer<'static>>>,
    known: Mutex<Option<Known>>,
}

/// What the directory said, and how long it holds.
struct Known {
    generation: u64,
    from: i64,
    until: i64,
    verdict: Result<PeerIdentity, NotAMember>,
}

/// A verdict against a peer is kept for a second: long enough that a refused partner
/// cannot make us verify chains all day, short enough for a certificate that becomes valid.
const REFUSED_FOR_SECS: i64 = 1;

/// Whose share of connections this is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    Gateway(Region),
    Certificate([u8; 32]),
}

impl ConnInfo {
    pub(super) fn plain(remote: SocketAddr) -> Self {
        Self { remote, chain: None, known: Mutex::default() }
    }

    pub(super) fn secured(remote: SocketAddr, chain: Option<&[CertificateDer<'static>]>) -> Self {
        Self { remote, chain: chain.map(<[_]>::to_vec), known: Mutex::default() }
    }

    pub(super) fn peer(&self) -> Option<Peer> {
        let leaf = self.chain.as_ref()?.first()?;
        let by_certificate = || digest(&SHA256, leaf).as_ref().try_into().map(Peer::Certificate).ok();
        region_of(leaf).map(Peer::Gateway).or_else(by_certificate)
    }

    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The client's certificate chain, leaf first; it passed the handshake, no more.
    pub fn chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.chain.as_deref()
    }

    /// The member on this connection under this directory at this moment. The chain is
    /// verified again when the directory changed, or a certificate or revocation list
    /// ended since: identity holds per request, not per connection (protocol §2).
    pub fn identity(&self, directory: &Directory, now: Now) -> Result<PeerIdentity, NotAMember> {
        let chain = self.chain.as_deref().ok_or(NotAMember::NoCertificate)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(k) = known.as_ref()
            && k.generation == directory.generation()
            && (k.from..k.until).contains(&now.secs())
        {
            return k.verdict.clone();
        }
        let (verdict, until) = match directory.identify_until(chain, now) {
            Ok((identity, until)) => (Ok(identity), until),
            Err(why) => (Err(why), now.secs() + REFUSED_FOR_SECS),
        };
        let fresh = Known { generation: directory.generation(), from: now.secs(), until, verdict };
        known.insert(fresh).verdict.clone()
    }
}
