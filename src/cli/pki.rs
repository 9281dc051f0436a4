//! Certificates for gateways: what `init` and `demo` need to start without anybody's CA.
//!
//! A gateway's certificate carries its name as the one URI in the SAN (protocol §2) and serves
//! as server and as client. Private keys leave as PEM (PKCS#8) that is wiped when dropped.
//! Leaves judging certificates to `peer`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::clock::Now;
use crate::domain::Region;

/// Longest life of a gateway's certificate: what TLS clients at large still accept (days).
pub const LONGEST_CERTIFICATE_DAYS: u32 = 825;

/// A certificate is valid a little before it was made, for machines whose clock is behind.
const CLOCK_ALLOWANCE_SECONDS: i64 = 3600;

#[derive(Debug, thiserror::Error)]
pub enum PkiFault {
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("a date lies outside what a certificate can say")]
    Date,
    #[error("no random number could be drawn")]
    Random,
    #[error("is not a PEM certificate")]
    NotACertificate,
}

/// Whom a certificate names.
#[derive(Clone, Debug)]
pub struct Subject {
    pub common_name: String,
    /// URIs of the SAN; a gateway has exactly one.
    pub uris: Vec<String>,
    /// DNS names and IP addresses of the SAN.
    pub hosts: Vec<String>,
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Subject {
    /// The gateway of `region`, reachable as `hosts` besides loopback.
    pub fn gateway(region: &Region, hosts: &[&str]) -> Self {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        for host in hosts {
            if !names.iter().any(|name| name == host) {
                names.push((*host).to_owned());
            }
        }
        Self {
            common_name: format!("Tongban gateway {region}"),
            uris: vec![region.gateway_urn()],
            hosts: names,
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    fn params(&self, validity: Validity) -> Result<CertificateParams, PkiFault> {
        let mut params = CertificateParams::new(self.hosts.clone())?;
        for uri in &self.uris {
            params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri.as_str())?));
        }
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.purposes.clone();
        validity.set(&mut params)?;
        Ok(params)
    }
}

/// From (a little before) a moment, for so many days.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub from: Now,
    pub days: u32,
}

impl Validity {
    fn set(self, params: &mut CertificateParams) -> Result<(), PkiFault> {
        params.not_before = date(self.from.secs().saturating_sub(CLOCK_ALLOWANCE_SECONDS))?;
        params.not_after = date(self.from.secs().saturating_add(i64::from(self.days) * 86_400))?;
        params.serial_number = Some(random_serial()?);
        Ok(())
    }
}

/// A certificate with its private key.
pub struct Issued {
    pub certificate_pem: String,
    /// PKCS#8.
    pub private_key_pem: Zeroizing<String>,
    pub serial: SerialNumber,
    /// base64url SHA-256 of the DER SPKI, as a card pins it (protocol §8).
    pub spki_sha256: String,
}

/// A gateway's certificate that nobody else signed; a card's pin makes it known.
pub fn self_signed(subject: &Subject, validity: Validity) -> Result<Issued, PkiFault> {
    let key = KeyPair::generate()?;
    let params = subject.params(validity)?;
    issued(&params.self_signed(&key)?, &key, params)
}

/// A certificate authority that signs gateways' certificates and revokes them.
pub struct CertificateAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl CertificateAuthority {
    pub fn generate(common_name: &str, validity: Validity) -> Result<Self, PkiFault> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity.set(&mut params)?;
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn private_key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    pub fn issue(&self, subject: &Subject, validity: Validity) -> Result<Issued, PkiFault> {
        let key = KeyPair::generate()?;
        let mut params = subject.params(validity)?;
        params.use_authority_key_identifier_extension = true;
        issued(&params.signed_by(&key, &self.issuer)?, &key, params)
    }

    /// A CRL (PEM) that names `revoked`; `number` grows with each.
    pub fn crl(
        &self,
        number: u64,
        revoked: &[SerialNumber],
        this_update: Now,
        next_update: Now,
    ) -> Result<String, PkiFault> {
        let at = date(this_update.secs())?;
        let list = CertificateRevocationListParams {
            this_update: at,
            next_update: date(next_update.secs())?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: serial.clone(),
                    revocation_time: at,
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

/// base64url SHA-256 of the DER SPKI of the first certificate in a PEM chain.
pub fn spki_sha256(chain_pem: &[u8]) -> Result<String, PkiFault> {
    let certificate = CertificateDer::from_pem_slice(chain_pem).map_err(|_| PkiFault::NotACertificate)?;
    let pin = crate::peer::spki_sha256(&certificate).ok_or(PkiFault::NotACertificate)?;
    Ok(URL_SAFE_NO_PAD.encode(pin))
}

fn issued(
    certificate: &rcgen::Certificate,
    key: &KeyPair,
    params: CertificateParams,
) -> Result<Issued, PkiFault> {
    let certificate_pem = certificate.pem();
    Ok(Issued {
        spki_sha256: spki_sha256(certificate_pem.as_bytes())?,
        certificate_pem,
        private_key_pem: Zeroizing::new(key.serialize_pem()),
        serial: params.serial_number.ok_or(PkiFault::Random)?,
    })
}

fn date(secs: i64) -> Result<OffsetDateTime, PkiFault> {
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_| PkiFault::Date)
}

/// 127 random bits, positive as RFC 5280 §4.1.2.2 wants it.
fn random_serial() -> Result<SerialNumber, PkiFault> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PkiFault::Random)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::GeneralName;

    use super::*;

    const AT: Validity = Validity { from: Now::from_secs(1_900_000_000), days: 30 };

    fn uris(pem: &str) -> Vec<String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, cert) = x509_parser::parse_x509_certificate(&der).unwrap();
        let san = cert.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        san.iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_gateways_certificate_names_it_once_and_serves_both_ways() {
        let region = Region::parse("421202").unwrap();
        let made = self_signed(&Subject::gateway(&region, &["gw.example"]), AT).unwrap();
        assert_eq!(uris(&made.certificate_pem), ["urn:tongban:gw:421202"]);
        let der = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap();
        let (_, cert) = x509_parser::parse_x509_certificate(&der).unwrap();
        let usage = cert.extended_key_usage().unwrap().unwrap().value.clone();
        assert!(usage.server_auth && usage.client_auth && !cert.is_ca());
        assert_eq!(cert.validity().not_after.timestamp(), 1_900_000_000 + 30 * 86_400);
    }

    #[test]
    fn a_certificate_of_the_authority_chains_to_it_until_its_crl_names_it() {
        use rustls::RootCertStore;
        use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
        use rustls::server::WebPkiClientVerifier;

        let region = Region::parse("331083").unwrap();
        let ca = CertificateAuthority::generate("测试 CA", AT).unwrap();
        let made = ca.issue(&Subject::gateway(&region, &[]), AT).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap()).unwrap();
        let roots = std::sync::Arc::new(roots);
        let leaf = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_900_000_060));
        let accepted = |revoked: &[SerialNumber]| {
            let crl = ca.crl(1, revoked, AT.from, Now::from_secs(1_900_086_400)).unwrap();
            let crl = CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap();
            let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider)
                .with_crls([crl])
                .build()
                .unwrap()
                .verify_client_cert(&leaf, &[], at)
                .is_ok()
        };
        assert!(accepted(&[]) && !accepted(std::slice::from_ref(&made.serial)));
    }
}
