//! TLS 1.3 in both directions: whom we let finish a handshake. The names in certificates
//! are regions; host names prove nothing here.
//!
//! Promises: no tickets, no resumption, no early data (a resumed session would skip the
//! verifier); each handshake asks the directory of that moment.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, ServerConfig, SignatureScheme,
};

use super::credentials::Credentials;
use super::directory::{Directory, NotAMember};
use super::trust::Distrust;
use crate::clock::{Clock, Now};
use crate::domain::Region;

/// The one crypto provider, given explicitly: rustls panics when it has to guess.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    &PROVIDER
}

const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// The partner door: a member's certificate or no handshake. A suspended or removed
/// member with a good chain may finish it and gets its `403` a request.
pub fn partner_server_config(
    credentials: Arc<Credentials>,
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
) -> Result<Arc<ServerConfig>, Error> {
    let verifier = Arc::new(MembersOnly { directory, clock });
    let config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(credentials);
    Ok(Arc::new(without_resumption(config)))
}

/// A door whose callers are known by something else than a certificate.
pub fn plain_server_config(credentials: Arc<Credentials>) -> Result<Arc<ServerConfig>, Error> {
    let config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(credentials);
    Ok(Arc::new(without_resumption(config)))
}

/// The auditors' console: a certificate is asked for and none is needed. Whose it is, the
/// console decides by its key at each request; here it only has to be the caller's own.
pub fn console_server_config(credentials: Arc<Credentials>) -> Result<Arc<ServerConfig>, Error> {
    let config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Anybody))
        .with_cert_resolver(credentials);
    Ok(Arc::new(without_resumption(config)))
}

fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

/// Towards one partner: our certificate, and exactly that partner on the other side.
pub(crate) fn partner_client_config(
    credentials: Arc<Credentials>,
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
    region: Region,
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Arc::new(ThisPartner { directory, clock, region });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(credentials);
    config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// Signatures of a handshake as rustls checks them, of TLS 1.3 alone: the same in each verifier here.
macro_rules! tls13_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

struct MembersOnly {
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
}

impl ClientCertVerifier for MembersOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.directory.load().identify(&chain(leaf, others), self.clock.now()) {
            Ok(_) | Err(NotAMember::Suspended(_) | NotAMember::Removed(_)) => {
                Ok(ClientCertVerified::assertion())
            }
            Err(why) => Err(refusal(why)),
        }
    }

    tls13_signatures!();
}

impl fmt::Debug for MembersOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MembersOnly")
    }
}

/// Asks for a certificate and takes any whose key the caller holds.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    tls13_signatures!();
}

struct ThisPartner {
    directory: Arc<ArcSwap<Directory>>,
    clock: Clock,
    region: Region,
}

impl ThisPartner {
    fn verify(&self, chain: &[CertificateDer<'_>], now: Now) -> Result<(), NotAMember> {
        let found = self.directory.load().identify_server(chain, now)?;
        if found.region() == self.region { Ok(()) } else { Err(NotAMember::Stranger(found.region())) }
    }
}

impl ServerCertVerifier for ThisPartner {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _host: &ServerName<'_>, // whoever answers there must be the region, whatever the host is called
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Whole, so that the caller's fault can say why.
        self.verify(&chain(leaf, others), self.clock.now())
            .map(|()| ServerCertVerified::assertion())
            .map_err(|why| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why)))))
    }

    tls13_signatures!();
}

impl fmt::Debug for ThisPartner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThisPartner({})", self.region)
    }
}

fn chain<'a>(leaf: &'a CertificateDer<'_>, others: &'a [CertificateDer<'_>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(leaf).chain(others).map(|der| CertificateDer::from(der.as_ref())).collect()
}

/// The alert of RFC 8446 §6.2 that fits; the reason itself goes to our log with the error.
fn refusal(why: NotAMember) -> Error {
    let of_tls = match &why {
        NotAMember::NoCertificate => return Error::NoCertificatesPresented,
        NotAMember::Unreadable => CertificateError::BadEncoding,
        NotAMember::Untrusted(_, Distrust::Expired) => CertificateError::Expired,
        NotAMember::Untrusted(_, Distrust::NotYetValid) => CertificateError::NotValidYet,
        NotAMember::Untrusted(_, Distrust::Revoked) => CertificateError::Revoked,
        NotAMember::Untrusted(_, Distrust::UnknownIssuer) => CertificateError::UnknownIssuer,
        NotAMember::Untrusted(_, Distrust::WrongPurpose) => CertificateError::InvalidPurpose,
        NotAMember::Untrusted(_, Distrust::RevocationUnknown) => CertificateError::UnknownRevocationStatus,
        NotAMember::Untrusted(_, Distrust::StaleRevocationList) => CertificateError::ExpiredRevocationList,
        _ => CertificateError::Other(OtherError(Arc::new(why))),
    };
    Error::InvalidCertificate(of_tls)
}
