//! The settings of an HTTP register: `[register] kind = "http"` in `gateway.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;

use super::mapping::{HolderSources, Mapping, Source, SuccessSetting};
use super::template::{BodyTemplate, Place, UrlFault, UrlTemplate};
use crate::keys::{KeyFileFault, read_private_file};

/// The longest a register may take (ms): the asking window waits for it.
const LONGEST_TIMEOUT_MS: u64 = 30_000;
/// The most calls at a time: more would be an attack on the county's library.
const MOST_CONCURRENT: usize = 256;

/// How to ask a county's license library and how to read what it says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRegisterSettings {
    /// By type and holder; places `{type}`, `{holder_type}`, `{holder_number}`.
    pub url: String,
    /// By license id; places `{type}`, `{license_id}`.
    #[serde(default)]
    pub url_by_id: Option<String>,
    #[serde(default)]
    pub method: CallMethod,
    /// JSON body for `POST`; its strings may have the same places.
    #[serde(default)]
    pub body: Option<Value>,
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderSetting>,
    /// For one call, the wait for a free place included.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Calls at the same time.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// PEM file with the CAs of an `https` library.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Tells a found or empty answer from an error that comes as a 200.
    #[serde(default)]
    pub success: Option<SuccessSetting>,
    /// JSON pointer to the list of records; to one record; `""` for the whole answer.
    #[serde(default)]
    pub records: String,
    /// Members of our license document, each from its place in a record.
    pub header: BTreeMap<String, Source>,
    pub holders: HolderSources,
    /// Members of `data`.
    #[serde(default)]
    pub data: BTreeMap<String, Source>,
    /// Further members of `data` for single license types, by type code.
    #[serde(default)]
    pub data_by_type: BTreeMap<String, BTreeMap<String, Source>>,
}

const fn default_timeout_ms() -> u64 {
    3_000
}
const fn default_concurrency() -> usize {
    16
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CallMethod {
    #[default]
    Get,
    Post,
}

/// A header's value, or the 0600 file it stands in.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum HeaderSetting {
    Text(String),
    Secret(SecretFile),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretFile {
    pub file: PathBuf,
}

// A value written into the settings may be a secret all the same.
impl std::fmt::Debug for HeaderSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    #[error("{0}: knows the places {{type}}, {{holder_type}}, {{holder_number}} and {{license_id}} only")]
    UnknownPlace(&'static str),
    #[error("{0}: must be an http or https address whose host is fixed")]
    Address(&'static str),
    #[error("{0}: does not say whose license is asked for ({1} is missing)")]
    PlaceMissing(&'static str, &'static str),
    #[error("body: belongs to method POST")]
    BodyWithoutPost,
    #[error("timeout_ms: 1 to {LONGEST_TIMEOUT_MS}")]
    Timeout,
    #[error("concurrency: 1 to {MOST_CONCURRENT}")]
    Concurrency,
    #[error("headers.{0}: is no header name or value that can be sent")]
    Header(String),
    #[error("headers.{0}: {1}")]
    Secret(String, KeyFileFault),
    #[error("ca: needed for an https address")]
    CaMissing,
    #[error("ca: {0}: no readable PEM certificates")]
    Ca(String),
    #[error("{0}: is no JSON pointer (RFC 6901)")]
    Pointer(String),
    #[error("header.{0}: is no member of a license document")]
    UnknownMember(String),
    #[error("header.{0}: is needed and nothing says where it comes from")]
    MemberMissing(&'static str),
}

/// All that is wrong with the settings; `Display` puts it on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFaults(pub Vec<SettingsFault>);

impl std::fmt::Display for SettingsFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&faults.join("; "))
    }
}

impl std::error::Error for SettingsFaults {}

/// Settings that hold together, secrets read.
pub(super) struct Ready {
    pub by_holder: UrlTemplate,
    pub by_id: Option<UrlTemplate>,
    pub method: Method,
    pub body: Option<BodyTemplate>,
    pub headers: HeaderMap,
    pub timeout: Duration,
    pub concurrency: usize,
    pub tls: rustls::ClientConfig,
    pub mapping: Mapping,
}

impl HttpRegisterSettings {
    /// All faults at once.
    pub(super) fn compile(self, base: &Path) -> Result<Ready, Vec<SettingsFault>> {
        let mut faults = Vec::new();
        let by_holder = note(url("url", &self.url), &mut faults);
        let by_id = self.url_by_id.as_deref().and_then(|text| note(url("url_by_id", text), &mut faults));
        let body = self.body.as_ref().and_then(|body| {
            note(BodyTemplate::parse(body).map_err(|_| SettingsFault::UnknownPlace("body")), &mut faults)
        });
        if body.is_some() && self.method == CallMethod::Get {
            faults.push(SettingsFault::BodyWithoutPost);
        }
        faults.extend(missing_places(by_holder.as_ref(), by_id.as_ref(), body.as_ref()));
        if !(1..=LONGEST_TIMEOUT_MS).contains(&self.timeout_ms) {
            faults.push(SettingsFault::Timeout);
        }
        if !(1..=MOST_CONCURRENT).contains(&self.concurrency) {
            faults.push(SettingsFault::Concurrency);
        }
        let headers = headers(&self.headers, base, &mut faults);
        let https = by_holder.iter().chain(&by_id).any(UrlTemplate::is_https);
        let tls = note(tls(self.ca.as_deref(), base, https), &mut faults);
        let mapping = Mapping {
            success: self.success,
            records: self.records,
            header: self.header,
            holders: self.holders,
            data: self.data,
            data_by_type: self.data_by_type,
        };
        faults.extend(mapping.faults());
        match (by_holder, tls, faults.is_empty()) {
            (Some(by_holder), Some(tls), true) => Ok(Ready {
                by_holder,
                by_id,
                method: if self.method == CallMethod::Post { Method::POST } else { Method::GET },
                body,
                headers,
                timeout: Duration::from_millis(self.timeout_ms),
                concurrency: self.concurrency,
                tls,
                mapping,
            }),
            _ => Err(faults),
        }
    }
}

fn note<T>(result: Result<T, SettingsFault>, faults: &mut Vec<SettingsFault>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

fn url(name: &'static str, text: &str) -> Result<UrlTemplate, SettingsFault> {
    UrlTemplate::parse(text).map_err(|fault| match fault {
        UrlFault::Place => SettingsFault::UnknownPlace(name),
        UrlFault::Address => SettingsFault::Address(name),
    })
}

/// A template that forgets the holder's number would ask for anybody's license.
fn missing_places(
    by_holder: Option<&UrlTemplate>,
    by_id: Option<&UrlTemplate>,
    body: Option<&BodyTemplate>,
) -> Vec<SettingsFault> {
    let in_body = |place| body.is_some_and(|body| body.has(place));
    let lacks = |url: Option<&UrlTemplate>, place| url.is_some_and(|url| !url.has(place)) && !in_body(place);
    let mut faults = Vec::new();
    if lacks(by_holder, Place::HolderNumber) {
        faults.push(SettingsFault::PlaceMissing("url", "{holder_number}"));
    }
    if lacks(by_id, Place::LicenseId) {
        faults.push(SettingsFault::PlaceMissing("url_by_id", "{license_id}"));
    }
    faults
}

fn headers(
    settings: &BTreeMap<String, HeaderSetting>,
    base: &Path,
    faults: &mut Vec<SettingsFault>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, setting) in settings {
        let value = match setting {
            HeaderSetting::Text(text) => HeaderValue::from_str(text).ok(),
            HeaderSetting::Secret(SecretFile { file }) => match read_private_file(&base.join(file)) {
                Ok(bytes) => HeaderValue::from_bytes(bytes.trim_ascii()).ok(),
                Err(fault) => {
                    faults.push(SettingsFault::Secret(name.clone(), fault));
                    continue;
                }
            },
        };
        match (HeaderName::try_from(name.as_str()), value) {
            (Ok(name), Some(mut value)) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            _ => faults.push(SettingsFault::Header(name.clone())),
        }
    }
    headers
}

/// Only the configured CAs are trusted: a license library has no public certificate.
fn tls(ca: Option<&Path>, base: &Path, https: bool) -> Result<rustls::ClientConfig, SettingsFault> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(ca) => {
            let unreadable = || SettingsFault::Ca(ca.display().to_string());
            let certificates = CertificateDer::pem_file_iter(base.join(ca)).map_err(|_| unreadable())?;
            for certificate in certificates {
                let certificate = certificate.map_err(|_| unreadable())?;
                roots.add(certificate).map_err(|_| unreadable())?;
            }
            if roots.is_empty() {
                return Err(unreadable());
            }
        }
        None if https => return Err(SettingsFault::CaMissing),
        None => {}
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| SettingsFault::CaMissing)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
