//! TLS configurations of the scene's members: who they show themselves as, and whom they accept.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::super::ConformanceFault;
use super::super::scene::Identity;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// As a caller who expects `urn` at the other end.
pub(super) fn client_config(
    ca: &str,
    urn: &str,
    identity: Option<&Identity>,
) -> Result<ClientConfig, ConformanceFault> {
    let fault = |_| ConformanceFault::Key;
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|_| ConformanceFault::Key)?;
    let member = Arc::new(Member { ca, urn: urn.to_owned(), provider: provider() });
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(member);
    match identity {
        Some(identity) => {
            let (chain, key) = key_of(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(fault)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// As a partner's door that takes whoever a CA of the scene knows.
pub fn server_config(ca: &str, identity: &Identity) -> Result<ServerConfig, ConformanceFault> {
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|_| ConformanceFault::Key)?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|_| ConformanceFault::Key)?;
    let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|_| ConformanceFault::Key)?;
    let (chain, key) = key_of(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| ConformanceFault::Key)?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain, key)
        .map_err(|_| ConformanceFault::Key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Chain and key of an identity, as rustls wants them.
pub fn key_of(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConformanceFault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    match (chain, key) {
        (Ok(chain), Ok(key)) => Ok((chain, key)),
        _ => Err(ConformanceFault::Key),
    }
}

/// Accepts one member, by a CA of the scene: hosts have no say.
#[derive(Debug)]
struct Member {
    ca: CertificateDer<'static>,
    urn: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Member {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let anchor = webpki::anchor_from_trusted_cert(&self.ca).map_err(bad)?;
        let cert = webpki::EndEntityCert::try_from(leaf).map_err(bad)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let usage = webpki::KeyUsage::server_auth();
        cert.verify_for_usage(algorithms, &[anchor], others, now, usage, None, None)
            .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        if uris(leaf).as_deref() == Some(std::slice::from_ref(&self.urn)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The URIs among a certificate's alternative names.
fn uris(der: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    Some(names.value.general_names.iter().filter_map(uri).collect())
}
