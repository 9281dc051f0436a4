//! `gateway.toml` (protocol §11): read once at start, all faults at once.
//!
//! Paths are relative to the file. Unknown members are faults: a misspelt setting must not
//! silently mean its default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::audit::{LEAST_OTHER_MONTHS, LEAST_PROVISION_MONTHS, MOST_MONTHS, Periods};
use crate::domain::{Calendar, Region};
use crate::folder::FileFault;
use crate::license::HttpRegisterSettings;
use crate::webhook::{self, WebhookSettings};
use crate::witness::Policy;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub region: RegionSection,
    pub partner_listener: PartnerListener,
    #[serde(default)]
    pub local_listener: Option<LocalListener>,
    #[serde(default)]
    pub console_listener: Option<ConsoleListener>,
    pub signing: Signing,
    pub ledger: Ledger,
    pub trust: Trust,
    #[serde(default)]
    pub register: Register,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub calendar: CalendarSection,
    #[serde(default)]
    pub relay: Relay,
    #[serde(default)]
    pub webhook: Vec<WebhookSettings>,
    /// Where the file stood; every relative path starts here.
    #[serde(skip)]
    pub base: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSection {
    pub code: Region,
    pub name: String,
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Whom a partner calls when something does not work; stands on the card.
    #[serde(default)]
    pub contact: Option<String>,
}

fn default_data_dir() -> PathBuf {
    "data".into()
}

/// The door for partner gateways: mutual TLS always.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerListener {
    pub listen: SocketAddr,
    /// The address partners reach this gateway at, for the card; without it `https://` and
    /// `listen`.
    #[serde(default)]
    pub endpoint: Option<String>,
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// CAs that may sign partners' certificates; may be empty when every partner's card
    /// pins its key.
    #[serde(default)]
    pub client_ca: Vec<PathBuf>,
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// Open connections in all; a bound on memory and file descriptors.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Open connections of one partner, so that none can take every place.
    #[serde(default = "default_connections_per_partner")]
    pub connections_per_partner: usize,
}

fn default_connections() -> usize {
    2048
}

fn default_connections_per_partner() -> usize {
    64
}

/// The door for the region's own systems: bearer tokens, loopback or TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalListener {
    pub listen: SocketAddr,
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    #[serde(default)]
    pub private_key: Option<PathBuf>,
    #[serde(default)]
    pub client: Vec<LocalClient>,
}

/// One system behind the local door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalClient {
    pub name: String,
    /// Hex SHA-256 of the bearer token; the token itself is never stored.
    pub token_sha256: String,
    /// `license.query`, `application.*`, `verification.*`, `register.changed`, …; a trailing
    /// `*` stands for any rest.
    pub may: Vec<String>,
}

impl LocalClient {
    /// May this system do `what` (for example `license.query`)?
    pub fn may(&self, what: &str) -> bool {
        self.may.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => what.starts_with(start),
            None => pattern == what,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleListener {
    pub listen: SocketAddr,
    /// PEM chain and PKCS#8 key that browsers are shown; the partner door's where left out.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    #[serde(default)]
    pub private_key: Option<PathBuf>,
    /// One file per account.
    #[serde(default = "default_accounts")]
    pub accounts: PathBuf,
    /// Host names that browsers may use besides loopback and the listening address.
    #[serde(default)]
    pub hosts: Vec<String>,
}

fn default_accounts() -> PathBuf {
    "trust/console".into()
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Private JWK.
    pub key: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Ed25519, PKCS#8 PEM; signs checkpoints.
    pub key: PathBuf,
    /// Auditors' public JWKs (globs) that evidence is sealed to.
    #[serde(default)]
    pub auditors: Vec<String>,
    /// Whose cosignatures are enough for our checkpoints (c2sp.org/tlog-policy); read at start.
    #[serde(default)]
    pub policy: Option<PathBuf>,
    /// Months that evidence is kept before its whole month is dropped: of exchanges that
    /// provided data, and of all else.
    #[serde(default = "default_keep_provision_months")]
    pub keep_provision_months: u32,
    #[serde(default = "default_keep_other_months")]
    pub keep_other_months: u32,
}

fn default_keep_provision_months() -> u32 {
    LEAST_PROVISION_MONTHS
}

fn default_keep_other_months() -> u32 {
    LEAST_OTHER_MONTHS
}

impl Ledger {
    pub fn periods(&self) -> Periods {
        Periods { provision: self.keep_provision_months, other: self.keep_other_months }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    pub partners: PathBuf,
    pub authorities: PathBuf,
    pub agreements: PathBuf,
}

/// Where license records come from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Register {
    /// `register.db` in the data directory, filled by `license import`.
    #[default]
    Embedded,
    /// The county's existing license library.
    Http(Box<HttpRegisterSettings>),
}

/// Working-day calendars beyond the shipped years.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarSection {
    /// A folder of years (`schemas/calendar-year.json`), read at start and on SIGHUP; a year
    /// there replaces the shipped one.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub kind: StoreKind,
    #[serde(default)]
    pub url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    Sqlite,
    Postgres,
}

impl Default for Store {
    fn default() -> Self {
        Self { kind: StoreKind::Sqlite, url: None }
    }
}

/// Couriers to partners.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// A parcel that fails and is older ends as `undeliverable`, for a person to decide about.
    #[serde(default = "default_give_up_after_days")]
    pub give_up_after_days: u16,
}

fn default_give_up_after_days() -> u16 {
    (crate::relay::GIVE_UP_AFTER.as_secs() / 86_400).try_into().unwrap_or(u16::MAX)
}

impl Default for Relay {
    fn default() -> Self {
        Self { give_up_after_days: default_give_up_after_days() }
    }
}

impl Relay {
    pub fn give_up_after(self) -> Duration {
        Duration::from_secs(u64::from(self.give_up_after_days) * 86_400)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    #[error("{path}: cannot be read ({kind})")]
    Unreadable { path: PathBuf, kind: std::io::ErrorKind },
    /// toml's own message shows line and column; a configuration file holds no secrets.
    #[error("{path}: {message}")]
    Toml { path: PathBuf, message: String },
    #[error("gateway.toml {place}: {rule}")]
    Rule { place: &'static str, rule: &'static str },
    #[error("gateway.toml [[webhook]] {nth}: {fault}")]
    Webhook { nth: usize, fault: webhook::SettingsFault },
    #[error("gateway.toml [[webhook]]: each url stands once")]
    WebhookTwice,
}

impl Config {
    /// Reads and checks the file; every fault found is returned.
    pub fn load(path: &Path) -> Result<Self, Vec<ConfigFault>> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| vec![ConfigFault::Unreadable { path: path.to_owned(), kind: e.kind() }])?;
        let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(&text, base).map_err(|faults| {
            faults
                .into_iter()
                .map(|fault| match fault {
                    ConfigFault::Toml { message, .. } => ConfigFault::Toml { path: path.to_owned(), message },
                    other => other,
                })
                .collect()
        })
    }

    /// Parses the text; relative paths will start at `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<ConfigFault>> {
        let mut config: Self = toml::from_str(text)
            .map_err(|e| vec![ConfigFault::Toml { path: PathBuf::new(), message: e.to_string() }])?;
        config.base = base.to_owned();
        let faults = config.faults();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// `path` as the file means it.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base.join(path)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.path(&self.region.data_dir)
    }

    /// The calendar in force: the shipped years and those of the folder.
    pub fn load_calendar(&self) -> Result<Calendar, Vec<FileFault>> {
        match &self.calendar.folder {
            Some(folder) => crate::schema::load_calendar(&self.path(folder)),
            None => Ok(Calendar::shipped().clone()),
        }
    }

    /// Whose word about our own log is enough; `None` when nobody's is needed.
    pub fn load_policy(&self) -> Result<Option<Policy>, Vec<(PathBuf, String)>> {
        let Some(path) = self.ledger.policy.as_ref().map(|path| self.path(path)) else { return Ok(None) };
        let told = |fault: String| (path.clone(), fault);
        let bytes = std::fs::read(&path).map_err(|e| vec![told(format!("cannot be read ({})", e.kind()))])?;
        let read = Policy::parse(&bytes);
        read.map(Some).map_err(|faults| faults.iter().map(|fault| told(fault.to_string())).collect())
    }

    fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut rule = |holds: bool, place, rule| {
            if !holds {
                faults.push(ConfigFault::Rule { place, rule });
            }
        };
        rule(!self.region.name.trim().is_empty(), "[region] name", "must not be empty");
        rule(
            (1..=65_536).contains(&self.partner_listener.connections),
            "[partner_listener] connections",
            "is between 1 and 65536",
        );
        rule(
            self.partner_listener.connections_per_partner >= 1,
            "[partner_listener] connections_per_partner",
            "is at least 1",
        );
        if let Some(local) = &self.local_listener {
            let tls = local.certificate.is_some() && local.private_key.is_some();
            rule(
                local.certificate.is_some() == local.private_key.is_some(),
                "[local_listener]",
                "certificate and private_key come together",
            );
            rule(
                tls || local.listen.ip().is_loopback(),
                "[local_listener] listen",
                "plain HTTP is for loopback only; set certificate and private_key",
            );
            rule(
                local.client.iter().all(|c| is_sha256_hex(&c.token_sha256)),
                "[[local_listener.client]] token_sha256",
                "is the hex SHA-256 of the token",
            );
            rule(
                local.client.iter().all(|c| !c.name.trim().is_empty()),
                "[[local_listener.client]] name",
                "must not be empty",
            );
        }
        if let Some(console) = &self.console_listener {
            rule(
                console.certificate.is_some() == console.private_key.is_some(),
                "[console_listener]",
                "certificate and private_key come together",
            );
        }
        rule(
            (1..=365).contains(&self.relay.give_up_after_days),
            "[relay] give_up_after_days",
            "is between 1 and 365",
        );
        rule(
            (LEAST_PROVISION_MONTHS..=MOST_MONTHS).contains(&self.ledger.keep_provision_months),
            "[ledger] keep_provision_months",
            "is between 36 (the law's three years) and 1200",
        );
        rule(
            (LEAST_OTHER_MONTHS..=MOST_MONTHS).contains(&self.ledger.keep_other_months),
            "[ledger] keep_other_months",
            "is between 6 (the law's six months) and 1200",
        );
        rule(
            self.store.kind == StoreKind::Sqlite,
            "[store] kind",
            "only \"sqlite\" is built into this version",
        );
        for (nth, webhook) in self.webhook.iter().enumerate() {
            let of_this = webhook.faults().into_iter();
            faults.extend(of_this.map(|fault| ConfigFault::Webhook { nth: nth + 1, fault }));
            if self.webhook.iter().take(nth).any(|other| other.url == webhook.url) {
                faults.push(ConfigFault::WebhookTwice);
            }
        }
        faults
    }
}

fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
[region]
code = "421202"
name = "咸宁市咸安区"
data_dir = "data"
[partner_listener]
listen = "127.0.0.1:8443"
certificate = "keys/tls.crt"
private_key = "keys/tls.key"
client_ca = ["trust/ca.crt"]
crl = []
[local_listener]
listen = "127.0.0.1:8080"
[[local_listener.client]]
name = "综窗系统"
token_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
may = ["license.query", "application.*", "verification.*", "register.changed"]
[console_listener]
listen = "127.0.0.1:8081"
[signing]
key = "keys/sign.jwk"
[ledger]
key = "keys/ledger.key"
auditors = ["trust/auditors/*.jwk"]
[trust]
partners = "trust/partners"
authorities = "trust/authorities"
agreements = "trust/agreements"
[register]
kind = "embedded"
[store]
kind = "sqlite"
"#;

    #[test]
    fn the_example_of_the_protocol_loads() {
        let config = Config::parse(EXAMPLE, Path::new("/etc/tongban")).unwrap();
        assert_eq!(config.data_dir(), Path::new("/etc/tongban/data"));
        let client = &config.local_listener.unwrap().client[0];
        assert!(
            client.may("license.query") && client.may("application.submit") && !client.may("partner.ping")
        );
    }

    #[test]
    fn a_misspelt_setting_is_a_fault_and_not_a_default() {
        let text = EXAMPLE.replace("crl = []", "crls = []");
        assert!(matches!(Config::parse(&text, Path::new(".")).unwrap_err()[0], ConfigFault::Toml { .. }));
    }

    #[test]
    fn webhooks_are_checked_with_the_file() {
        let hook = |url: &str| format!("[[webhook]]\nurl = \"{url}\"\nsecret_file = \"keys/hook\"\n");
        let (one, two) = (hook("http://127.0.0.1:9000/in"), hook("http://10.0.0.1/in"));
        let config = Config::parse(&format!("{EXAMPLE}{one}"), Path::new(".")).unwrap();
        assert_eq!((config.webhook.len(), config.relay.give_up_after_days), (1, 14));
        let faults = Config::parse(&format!("{EXAMPLE}{one}{one}{two}"), Path::new(".")).unwrap_err();
        assert!(matches!(faults[..], [ConfigFault::WebhookTwice, ConfigFault::Webhook { nth: 3, .. }]));
    }

    #[test]
    fn nobody_keeps_evidence_for_less_than_the_law_says() {
        let keep = |provision: u32, other: u32| {
            let months =
                format!("[ledger]\nkeep_provision_months = {provision}\nkeep_other_months = {other}");
            Config::parse(&EXAMPLE.replace("[ledger]", &months), Path::new("."))
                .map_err(|faults| faults.len())
        };
        let default = Config::parse(EXAMPLE, Path::new(".")).unwrap().ledger.periods();
        assert_eq!(default, keep(36, 6).unwrap().ledger.periods());
        assert_eq!((keep(35, 6).err(), keep(36, 5).err(), keep(0, 1201).err()), (Some(1), Some(1), Some(2)));
    }

    #[test]
    fn plain_http_beyond_loopback_and_other_faults_are_told_at_once() {
        let text = EXAMPLE
            .replace("127.0.0.1:8080", "0.0.0.0:8080")
            .replace("kind = \"sqlite\"", "kind = \"postgres\"");
        assert_eq!(Config::parse(&text, Path::new(".")).unwrap_err().len(), 2);
    }
}
