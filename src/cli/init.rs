//! `init`: a new gateway's directory, ready to serve: configuration with comments, keys, card,
//! empty trust folders.
//!
//! Everything is made in memory first; nothing is ever overwritten.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::new_keys::LocalToken;
use super::{Common, Exit, Outcome, Stop, out, pki};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::domain::Region;
use crate::gateway::card::{PublicKeys, card};
use crate::keys::{Algorithm, SigningKey, write_private_file};
use crate::ledger::LedgerKey;

/// Make a new gateway's directory.
#[derive(clap::Args)]
pub struct Init {
    /// This region's six-digit code 本地区六位行政区划代码
    #[arg(long, value_name = "CODE", value_parser = super::region)]
    region: Region,
    /// Where; must not exist or be empty 新目录
    dir: PathBuf,
    /// The region's name as partners see it 地区名称 [default: that of the code]
    #[arg(long, value_name = "中文名")]
    name: Option<String>,
    /// The address partners reach this gateway at 对外地址 [default: https:// and --listen]
    #[arg(long, value_name = "https://HOST:PORT", value_parser = https_origin)]
    endpoint: Option<String>,
    /// Where the partner door listens 对外监听
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where the region's own door listens 对内监听
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    local: SocketAddr,
    /// Where the auditors' console listens 审计监听
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    console: SocketAddr,
}

/// Folders of a gateway, all private.
const FOLDERS: [&str; 8] = [
    "keys",
    "data",
    "trust",
    "trust/partners",
    "trust/authorities",
    "trust/agreements",
    "trust/auditors",
    "trust/console",
];

impl Init {
    pub fn run(self, common: &Common) -> Outcome {
        let made = self.create(Clock::system().now())?;
        if common.json {
            out::json(&json!({ "dir": self.dir, "config": self.dir.join("gateway.toml"), "card": made }));
        } else {
            self.print_next_steps();
        }
        Ok(Exit::Well)
    }

    /// Makes the directory and returns the card.
    fn create(&self, now: Now) -> Result<Value, Stop> {
        self.refuse_what_is_there()?;
        let files = self.files(now)?;
        for folder in std::iter::once("").chain(FOLDERS) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(self.dir.join(folder))
                .with_context(|| format!("{}: cannot be made", self.dir.join(folder).display()))?;
        }
        for (path, bytes) in &files.private {
            write_private_file(&self.dir.join(path), bytes)?;
        }
        for (path, bytes) in &files.public {
            let path = self.dir.join(path);
            std::fs::write(&path, bytes).with_context(|| format!("{}: cannot be written", path.display()))?;
        }
        Ok(files.card)
    }

    fn refuse_what_is_there(&self) -> Result<(), Stop> {
        let shown = self.dir.display();
        match std::fs::read_dir(&self.dir).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::usage(format_args!(
                "{shown}: is not empty; a gateway needs a new directory 目录非空"
            ))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Stop::usage(format_args!("{shown}: cannot be used as a directory ({})", e.kind()))),
        }
    }

    fn files(&self, now: Now) -> Result<Files, Stop> {
        let (name, endpoint) = (self.name(), self.endpoint());
        let host = endpoint.trim_start_matches("https://");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
        let subject = pki::Subject::gateway(&self.region, &[host]);
        let validity = pki::Validity { from: now, days: pki::LONGEST_CERTIFICATE_DAYS };
        let tls = pki::self_signed(&subject, validity).map_err(Stop::failed)?;
        let ledger_pem = LedgerKey::generate_pem().map_err(Stop::failed)?;
        let ledger = LedgerKey::from_pem(ledger_pem.as_bytes()).map_err(Stop::failed)?;
        let token = LocalToken::generate()?;
        let signing_jwk = SigningKey::generate(Algorithm::Es256).map_err(Stop::failed)?;
        let signing = SigningKey::from_jwk(&signing_jwk).map_err(Stop::failed)?;
        let (text, config) = self.configuration(&name, &endpoint, &token.sha256_hex)?;
        let keys = PublicKeys {
            signing_jwk: signing.public_jwk(),
            spki_sha256: vec![tls.spki_sha256],
            ledger: ledger.public(),
        };
        let card = card(&config, &keys, now);
        Ok(Files {
            private: vec![
                ("keys/sign.jwk", Zeroizing::new(pretty(&signing_jwk))),
                ("keys/ledger.key", Zeroizing::new(ledger_pem.as_bytes().to_vec())),
                ("keys/tls.key", Zeroizing::new(tls.private_key_pem.as_bytes().to_vec())),
                ("keys/local.token", Zeroizing::new(token.text.as_bytes().to_vec())),
            ],
            public: vec![
                ("keys/tls.crt", tls.certificate_pem.into_bytes()),
                ("gateway.toml", text.into_bytes()),
                ("card.json", pretty(&card)),
            ],
            card,
        })
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.region.name().to_owned())
    }

    fn endpoint(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("https://{}", self.listen))
    }

    /// The configuration; read back by the reader `serve` uses, so that it cannot be one that
    /// `serve` refuses.
    fn configuration(
        &self,
        name: &str,
        endpoint: &str,
        token_sha256: &str,
    ) -> Result<(String, Config), Stop> {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let text = include_str!("gateway.toml.template")
            .replace("{code}", &quoted(self.region.as_str()))
            .replace("{listen}", &quoted(&self.listen.to_string()))
            .replace("{local}", &quoted(&self.local.to_string()))
            .replace("{console}", &quoted(&self.console.to_string()))
            .replace("{token_sha256}", &quoted(token_sha256))
            .replace("{endpoint}", &quoted(endpoint))
            .replace("{name}", &quoted(name));
        let config = Config::parse(&text, &self.dir)?;
        Ok((text, config))
    }

    fn print_next_steps(&self) {
        let dir = self.dir.display();
        out::line(format_args!("{dir}: gateway of {} 网关目录已建好", self.region));
        out::line("Next 下一步:");
        out::line(format_args!("  1. tongban card --config {dir}/gateway.toml > {}.json", self.region));
        out::line(
            "     send it to the partner, compare the fingerprints by phone 把名片发给对方，并电话核对指纹",
        );
        out::line(format_args!("  2. tongban partner add PARTNER.json --config {dir}/gateway.toml"));
        out::line(format_args!(
            "  3. put agreements into {dir}/trust/agreements, after: tongban agreement check FILE"
        ));
        out::line(format_args!("  4. tongban license import FILE.jsonl --config {dir}/gateway.toml"));
        out::line(format_args!(
            "  5. tongban check --config {dir}/gateway.toml && tongban serve --config {dir}/gateway.toml"
        ));
        out::line(format_args!("Keep {dir}/keys private and backed up offline 私钥目录请离线备份，切勿外传"));
    }
}

struct Files {
    private: Vec<(&'static str, Zeroizing<Vec<u8>>)>,
    public: Vec<(&'static str, Vec<u8>)>,
    card: Value,
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// `https://host` or `https://host:port`, nothing behind it.
fn https_origin(text: &str) -> Result<String, String> {
    let rule = "is https://HOST or https://HOST:PORT, without a path";
    let uri: hyper::Uri = text.trim_end_matches('/').parse().map_err(|_| rule)?;
    let bare = uri.path() == "/" && uri.query().is_none();
    match uri.authority() {
        Some(authority) if uri.scheme_str() == Some("https") && bare && !authority.as_str().contains('@') => {
            Ok(format!("https://{authority}"))
        }
        _ => Err(rule.to_owned()),
    }
}

/// Makes a gateway's directory as `tongban init` does; for `demo` and tests.
pub fn create(dir: &Path, region: Region, name: &str, doors: Doors, now: Now) -> Result<Value, Stop> {
    Init {
        region,
        dir: dir.to_owned(),
        name: Some(name.to_owned()),
        endpoint: None,
        listen: doors.partner,
        local: doors.local,
        console: doors.console,
    }
    .create(now)
}

/// Where a gateway's three doors listen.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    pub partner: SocketAddr,
    pub local: SocketAddr,
    pub console: SocketAddr,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::own_card;
    use super::*;

    fn doors() -> Doors {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Doors { partner: at(8443), local: at(8080), console: at(8081) }
    }

    #[test]
    fn a_new_directory_holds_what_serve_needs_and_its_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("xianan");
        let now = Now::from_secs(1_900_000_000);
        let card = create(&home, Region::parse("421202").unwrap(), "咸宁市\"咸安区\"", doors(), now).unwrap();
        let config = Config::load(&home.join("gateway.toml")).unwrap();
        assert_eq!(config.region.name, "咸宁市\"咸安区\"");
        assert_eq!(own_card(&config, now).unwrap(), card);
        assert!(!card.to_string().contains("\"d\""), "a card is public");
        for key in ["sign.jwk", "ledger.key", "tls.key", "local.token"] {
            let mode = std::fs::metadata(home.join("keys").join(key)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{key}");
        }
        for folder in FOLDERS {
            let mode = std::fs::metadata(home.join(folder)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{folder}");
        }
    }

    #[test]
    fn a_directory_with_anything_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("letter.txt"), "dear county").unwrap();
        let region = Region::parse("421202").unwrap();
        let stop = create(dir.path(), region, "咸安", doors(), Now::from_secs(1_900_000_000)).unwrap_err();
        assert_eq!(stop.exit(), Exit::Usage);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_endpoint_is_an_https_origin() {
        assert_eq!(https_origin("https://gw.example:8443/").unwrap(), "https://gw.example:8443");
        for wrong in
            ["http://gw.example", "https://gw.example/x", "https://a@gw.example", "gw.example:8443", ""]
        {
            assert!(https_origin(wrong).is_err(), "{wrong}");
        }
    }
}
