//! `[[webhook]]` of `gateway.toml`.

use std::net::IpAddr;
use std::path::PathBuf;

use hyper::Uri;
use serde::Deserialize;

/// One system that wants to be called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// `https`, or `http` on loopback only: a notice names cases.
    pub url: String,
    /// A 0600 file with at least 16 bytes that the receiver knows too.
    pub secret_file: PathBuf,
    /// Kinds of notices, a trailing `*` standing for any rest; without it all of them.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// PEM file with the CAs of an `https` address.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// What is wrong with a webhook's settings, as far as the file alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    #[error("url is an https address, or an http address on loopback")]
    Address,
    #[error("ca names the CAs of an https address")]
    CaMissing,
    #[error("events lists kinds of notices, or is left out")]
    NoEvents,
}

impl WebhookSettings {
    pub fn faults(&self) -> Vec<SettingsFault> {
        let mut faults = Vec::new();
        match self.address().as_ref().and_then(Uri::scheme_str) {
            None => faults.push(SettingsFault::Address),
            Some("https") if self.ca.is_none() => faults.push(SettingsFault::CaMissing),
            Some(_) => {}
        }
        if self.events.as_ref().is_some_and(|kinds| kinds.is_empty() || kinds.iter().any(String::is_empty)) {
            faults.push(SettingsFault::NoEvents);
        }
        faults
    }

    /// The address, if it may be called.
    pub(super) fn address(&self) -> Option<Uri> {
        let uri: Uri = self.url.parse().ok()?;
        let authority = uri.authority()?;
        let allowed = match uri.scheme_str()? {
            "https" => true,
            "http" => is_loopback(authority.host()),
            _ => false,
        };
        (allowed && !authority.as_str().contains('@') && !authority.host().is_empty()).then_some(uri)
    }

    /// The address without its query, which may be a secret.
    pub(super) fn shown(&self) -> String {
        self.url.split('?').next().unwrap_or_default().to_owned()
    }

    /// Did this system ask for notices of that kind?
    pub(super) fn wants(&self, kind: &str) -> bool {
        let Some(kinds) = &self.events else { return true };
        kinds.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => pattern == kind,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> WebhookSettings {
        let (secret_file, ca) = ("keys/webhook.secret".into(), Some("trust/local-ca.crt".into()));
        WebhookSettings { url: url.into(), secret_file, events: None, ca }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in [
            "https://zongchuang.xianan.gov.cn/hooks/tongban?x=1",
            "http://127.0.0.1:9000/",
            "http://localhost:9000/in",
            "http://[::1]:9000/in",
        ] {
            assert_eq!(settings(good).faults(), [], "{good}");
        }
        for bad in [
            "http://10.0.0.5/in",
            "http://localhost.example/in",
            "ftp://127.0.0.1/",
            "https://user@host/",
            "/in",
            "",
        ] {
            assert_eq!(settings(bad).faults(), [SettingsFault::Address], "{bad}");
        }
    }

    #[test]
    fn https_needs_its_ca_and_events_are_not_empty() {
        let bare = WebhookSettings { ca: None, events: Some(Vec::new()), ..settings("https://host/") };
        assert_eq!(bare.faults(), [SettingsFault::CaMissing, SettingsFault::NoEvents]);
    }

    #[test]
    fn events_name_kinds_or_their_beginning() {
        let wants = |kinds: &[&str], kind| {
            let events = Some(kinds.iter().map(|k| (*k).to_owned()).collect());
            WebhookSettings { events, ..settings("http://localhost/") }.wants(kind)
        };
        assert!(wants(&["case.*"], "case.state") && !wants(&["case.*"], "verification.requested"));
        assert!(wants(&["case.state"], "case.state") && !wants(&["case.state"], "case.state.x"));
        assert!(settings("http://localhost/").wants("anything"));
    }
}
