//! Certificates of a run: a CA, what it gave to whom, and what it should not have.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose as Purpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    RevokedCertParams, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::super::{ConformanceFault, b64url, sha256};

/// A run's certificates end with it (seconds): a month is more than a vendor's week.
const LIFE: i64 = 30 * 86_400;
/// Clocks of both machines may differ this much (seconds).
const SLACK: i64 = 3_600;
const REVOKED: u64 = 666;

/// A certificate and its key.
pub struct Pair {
    pub chain: String,
    pub key: String,
    /// b64url SHA-256 of the key's SPKI.
    pub pin: String,
}

pub struct Authority {
    ca: CertifiedIssuer<'static, KeyPair>,
    now: i64,
}

/// What a certificate says.
pub struct Wanted<'a> {
    pub uris: &'a [String],
    pub serial: u64,
    pub server_only: bool,
    pub expired: bool,
}

impl<'a> Wanted<'a> {
    pub fn of(uris: &'a [String]) -> Self {
        Self { uris, serial: 7, server_only: false, expired: false }
    }

    pub fn revoked(uris: &'a [String]) -> Self {
        Self { serial: REVOKED, ..Self::of(uris) }
    }
}

impl Authority {
    pub fn new(now: i64) -> Result<Self, ConformanceFault> {
        let mut params = dated(now - SLACK, now + LIFE)?;
        params.distinguished_name.push(DnType::CommonName, "Tongban conformance CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, key()?).map_err(|_| ConformanceFault::Key)?;
        Ok(Self { ca, now })
    }

    pub fn pem(&self) -> String {
        self.ca.pem()
    }

    pub fn issue(&self, wanted: &Wanted<'_>) -> Result<Pair, ConformanceFault> {
        let key = key()?;
        let issued = self.params(wanted)?.signed_by(&key, &*self.ca).map_err(|_| ConformanceFault::Key)?;
        Ok(pair(&issued.pem(), &key))
    }

    /// By nobody but itself.
    pub fn self_signed(&self, wanted: &Wanted<'_>) -> Result<Pair, ConformanceFault> {
        let key = key()?;
        let issued = self.params(wanted)?.self_signed(&key).map_err(|_| ConformanceFault::Key)?;
        Ok(pair(&issued.pem(), &key))
    }

    fn params(&self, wanted: &Wanted<'_>) -> Result<CertificateParams, ConformanceFault> {
        let mut params = if wanted.expired {
            dated(self.now - LIFE, self.now - SLACK)?
        } else {
            dated(self.now - SLACK, self.now + LIFE)?
        };
        params.distinguished_name.push(DnType::CommonName, "gateway");
        let uri = |uri: &String| uri.as_str().try_into().map(SanType::URI);
        let uris: Result<Vec<_>, _> = wanted.uris.iter().map(uri).collect();
        params.subject_alt_names = uris.map_err(|_| ConformanceFault::Key)?;
        if let Ok(name) = "gateway.example".try_into() {
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.extended_key_usages = match wanted.server_only {
            true => vec![Purpose::ServerAuth],
            false => vec![Purpose::ClientAuth, Purpose::ServerAuth],
        };
        params.serial_number = Some(SerialNumber::from(wanted.serial));
        Ok(params)
    }

    /// Lists what [`Wanted::revoked`] makes.
    pub fn crl(&self) -> Result<String, ConformanceFault> {
        let params = CertificateRevocationListParams {
            this_update: time(self.now - SLACK)?,
            next_update: time(self.now + LIFE)?,
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(REVOKED),
                revocation_time: time(self.now - SLACK)?,
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.ca).map_err(|_| ConformanceFault::Key)?;
        list.pem().map_err(|_| ConformanceFault::Key)
    }
}

fn key() -> Result<KeyPair, ConformanceFault> {
    KeyPair::generate().map_err(|_| ConformanceFault::Key)
}

fn pair(chain: &str, key: &KeyPair) -> Pair {
    let pin = b64url(&sha256(&key.subject_public_key_info()));
    Pair { chain: chain.to_owned(), key: key.serialize_pem(), pin }
}

fn dated(from: i64, until: i64) -> Result<CertificateParams, ConformanceFault> {
    let mut params = CertificateParams::default();
    params.not_before = time(from)?;
    params.not_after = time(until)?;
    Ok(params)
}

fn time(secs: i64) -> Result<OffsetDateTime, ConformanceFault> {
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_| ConformanceFault::Key)
}
