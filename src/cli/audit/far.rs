//! A partner door reached over mutual TLS, as a partner or an auditor with a member's certificate
//! reaches it: our certificate shown, and exactly the region of the card on the other side.
//!
//! The same client and the same rules as between gateways ([`crate::peer`]): whoever answers
//! must prove to be the region whose card was taken up.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::audit::served::{Source, SourceFault};
use crate::cli::{Common, Stop};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Region;
use crate::house::TrustWatch;
use crate::keys::read_private_file;
use crate::ledger::Vkey;
use crate::peer::{
    CaFile, Card, Credentials, Directory, Endpoint, PartnerClients, SendFault, Trust, region_of,
};

/// As whom a gateway is asked, and whom it must prove to be.
#[derive(Args)]
pub struct Far {
    /// A gateway's directory: its certificate is shown, its partners' cards are believed; without it, that of --config 以此网关目录的身份访问
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// A member's certificate chain, in place of a gateway's directory 成员证书
    #[arg(long, value_name = "FILE", requires_all = ["private_key", "card"], conflicts_with = "identity")]
    certificate: Option<PathBuf>,
    /// Its private key 证书私钥
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    /// The asked region's card; without it, the one of trust/partners with this address 对方名片
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// A CA that may sign its certificate, beside the card's pins 可签发对方证书的 CA
    #[arg(long, value_name = "FILE", requires = "card")]
    ca: Vec<PathBuf>,
}

/// Is this an address and no path?
pub fn is_url(text: &Path) -> bool {
    text.to_str().is_some_and(|text| text.starts_with("https://"))
}

/// A door that can be asked, and what is known of who is behind it.
pub struct Door {
    runtime: Runtime,
    clients: Arc<PartnerClients>,
    pub region: Region,
    /// On the card that was taken up.
    pub vkey: Option<Vkey>,
    /// Where the asking gateway keeps its own log.
    pub data: Option<PathBuf>,
}

/// Who asks.
struct Asking {
    credentials: Arc<Credentials>,
    me: Region,
    directory: Option<Arc<Directory>>,
    data: Option<PathBuf>,
}

impl Far {
    pub fn door(&self, url: &Path, common: &Common) -> Result<Door, Stop> {
        let url = url.to_str().unwrap_or_default();
        let wrong = || Stop::usage(format_args!("{url}: is not https://HOST[:PORT] 不是网关地址"));
        let endpoint = Endpoint::parse(url).ok_or_else(wrong)?;
        let clock = Clock::system();
        let asking = self.asking(common, &clock)?;
        let directory = match (&self.card, asking.directory) {
            (Some(path), _) => Arc::new(self.of_card(path, url, asking.me)?),
            (None, Some(directory)) => directory,
            (None, None) => return Err(Stop::usage("name the region's card with --card 请指定对方名片")),
        };
        let card = directory.cards().find(|card| *card.endpoint() == endpoint).ok_or_else(|| {
            Stop::usage(format_args!(
                "{url}: no card in trust/partners has this address; name one with --card 没有名片使用此地址"
            ))
        })?;
        let (region, vkey) = (card.region(), card.ledger().and_then(|l| Vkey::parse(&l.vkey).ok()));
        let directory = Arc::new(ArcSwap::new(directory));
        let clients = Arc::new(PartnerClients::new(asking.credentials, directory, clock));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
        Ok(Door { runtime, clients, region, vkey, data: asking.data })
    }

    fn asking(&self, common: &Common, clock: &Clock) -> Result<Asking, Stop> {
        if let Some((chain, key)) = self.certificate.as_ref().zip(self.private_key.as_ref()) {
            let pem = read(chain)?;
            let named = |rule: &str| Stop::usage(format_args!("{}: {rule}", chain.display()));
            let leaf = CertificateDer::from_pem_slice(&pem).map_err(|_| named("holds no PEM certificate"))?;
            let me = region_of(&leaf).ok_or_else(|| named("names no gateway 未载网关名称"))?;
            let credentials = credentials(&pem, key, me)?;
            return Ok(Asking { credentials, me, directory: None, data: None });
        }
        let config = match &self.identity {
            Some(dir) => Config::load(&dir.join("gateway.toml"))?,
            None => common.load()?,
        };
        let (section, me) = (&config.partner_listener, config.region.code);
        let credentials =
            credentials(&read(&config.path(&section.certificate))?, &config.path(&section.private_key), me)?;
        let (trust, _) = TrustWatch::new(&config).look(None, clock.now());
        Ok(Asking { credentials, me, directory: Some(trust.directory), data: Some(config.data_dir()) })
    }

    /// A directory of one: the card's region, at the address that was given.
    fn of_card(&self, path: &Path, url: &str, me: Region) -> Result<Directory, Stop> {
        let told = |fault: String| Stop::usage(format_args!("{}: {fault}", path.display()));
        let mut value: Value =
            serde_json::from_slice(&read(path)?).map_err(|_| told("is not JSON".into()))?;
        if let Some(endpoint) = value.get_mut("endpoint") {
            *endpoint = url.into();
        }
        let card = Card::from_value(&value).map_err(|faults| {
            Stop::Usage(faults.iter().map(|f| format!("{}: {f}", path.display())).collect())
        })?;
        let mut cas = Vec::new();
        for file in &self.ca {
            let read = CaFile::from_pem(&read(file)?);
            cas.push(Arc::new(
                read.map_err(|fault| Stop::usage(format_args!("{}: {fault}", file.display())))?,
            ));
        }
        let cards = HashMap::from([(path.to_owned(), Arc::new(card))]);
        let (directory, refused) = Directory::build(me, &cards, Trust::new(cas, Vec::new()), None);
        match refused.first() {
            Some(fault) => Err(told(fault.faults.iter().map(ToString::to_string).collect())),
            None => Ok(directory),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    std::fs::read(path).map_err(|e| Stop::usage(format_args!("{}: {}", path.display(), e.kind())))
}

fn credentials(chain: &[u8], key: &Path, me: Region) -> Result<Arc<Credentials>, Stop> {
    let key = read_private_file(key)?;
    Credentials::new(chain, &key, me).map_err(Stop::usage)
}

impl Source for Door {
    fn fetch(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, SourceFault> {
        let (clients, region) = (&self.clients, self.region);
        self.runtime.block_on(async {
            // All of them under way before the first is waited for.
            let calls: Vec<_> = paths
                .iter()
                .map(|path| {
                    let (clients, path) = (clients.clone(), path.clone());
                    tokio::spawn(async move { clients.watch(region, &path).await })
                })
                .collect();
            let mut found = Vec::new();
            for call in calls {
                let answer = call.await.unwrap_or(Err(SendFault::Broken));
                let answer = answer.map_err(|fault| SourceFault::Call(fault.to_string()))?;
                found.push(match answer.status {
                    200 => Some(answer.body.to_vec()),
                    404 => None,
                    status => return Err(SourceFault::Status(status)),
                });
            }
            Ok(found)
        })
    }
}
