//! Certificates for tests, all in a year that a hand-moved clock stands in.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::clock::Now;

/// 2030-03-17; every test certificate is valid `YEAR` around it.
pub(crate) const NOON: Now = Now::from_secs(1_900_000_000);
const HALF_YEAR: i64 = 180 * 86_400;

pub(crate) fn at(now: Now, plus: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now.secs() + plus).unwrap()
}

pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: CertificateDer<'static>,
}

pub(crate) struct Leaf {
    pub(crate) uris: Vec<String>,
    pub(crate) purposes: Vec<Purpose>,
    pub(crate) serial: u64,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Leaf {
    pub(crate) fn of(region: &str) -> Self {
        Self {
            uris: vec![format!("urn:tongban:gw:{region}")],
            purposes: vec![Purpose::ClientAuth, Purpose::ServerAuth],
            serial: 7,
            not_before: -HALF_YEAR,
            not_after: HALF_YEAR,
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "gateway");
        params.subject_alt_names =
            self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())).collect();
        params.extended_key_usages = self.purposes.clone();
        params.serial_number = Some(SerialNumber::from(self.serial));
        params.not_before = at(NOON, self.not_before);
        params.not_after = at(NOON, self.not_after);
        params
    }

    pub(crate) fn self_signed(&self) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = self.params().self_signed(&key).unwrap();
        Pair { chain_pem: cert.pem(), key_pem: key.serialize_pem(), der: cert.der().clone() }
    }
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(ca_params(name), KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn intermediate(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(ca_params(name), KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn issue(&self, leaf: &Leaf) -> Pair {
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<'_, KeyPair> = &self.0;
        let cert = leaf.params().signed_by(&key, issuer).unwrap();
        Pair { chain_pem: cert.pem(), key_pem: key.serialize_pem(), der: cert.der().clone() }
    }

    /// A list from a day before noon to `next_update` seconds after.
    pub(crate) fn crl(&self, revoked: &[u64], this_update: i64, next_update: i64) -> String {
        let params = CertificateRevocationListParams {
            this_update: at(NOON, this_update),
            next_update: at(NOON, next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: at(NOON, this_update),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = at(NOON, -HALF_YEAR);
    params.not_after = at(NOON, HALF_YEAR);
    params
}
