//! `console account`: a new account with a key for its browser, as a PKCS#12 file under a
//! password that is printed once.
//!
//! The key is made here and stands nowhere but in that file.

use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::x509::X509;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::durable::replace_file;
use super::super::new_keys::random;
use super::super::{Common, Exit, Outcome, Stop, out, pki};
use crate::account::{Account, Role};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::keys::write_private_file;

/// Random bytes of the password: 120 bits, twenty characters to type.
const PASSWORD_BYTES: usize = 15;

/// Make an account, and a certificate for its browser.
#[derive(Args)]
pub struct NewAccount {
    /// The account's name: a-z, 0-9 and - 账号名
    name: String,
    /// What it may do 角色: system 系统管理员, audit 审计管理员, security 安全管理员
    #[arg(long, value_parser = role)]
    role: Role,
    /// Who it is, as people call them 姓名或称呼
    #[arg(long, value_name = "姓名")]
    title: String,
    /// Where the key and certificate go (PKCS#12, 0600); without it only one-time links sign in 证书文件
    #[arg(long, value_name = "FILE.p12")]
    out: Option<PathBuf>,
    /// How long the certificate lives 证书有效天数
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_word(text)
        .ok_or_else(|| "is system, audit or security 须为 system、audit 或 security".to_owned())
}

impl NewAccount {
    pub fn run(self, common: &Common) -> Outcome {
        let config = common.load()?;
        let made = self.make(&config, Clock::system().now())?;
        if common.json {
            out::json(&json!({
                "account": made.document, "file": made.file, "p12": self.out,
                "password": made.password.as_ref().map(|password| password.as_str()),
            }));
            return Ok(Exit::Well);
        }
        out::line(format_args!("{}: account {} 账号已建立", made.file.display(), self.name));
        if let (Some(p12), Some(password)) = (&self.out, &made.password) {
            out::line(format_args!("{}: key and certificate for the browser 浏览器证书", p12.display()));
            out::line(format_args!("password (shown once) 导入口令(只显示一次): {}", password.as_str()));
        }
        Ok(Exit::Well)
    }

    fn make(&self, config: &Config, now: Now) -> Result<Made, Stop> {
        let Some(section) = &config.console_listener else {
            return Err(Stop::usage("gateway.toml has no [console_listener] 未配置审计监听"));
        };
        let folder = config.path(&section.accounts);
        let file = folder.join(format!("{}.json", self.name));
        if file.exists() {
            return Err(Stop::usage(format_args!("{}: exists already 账号已存在", file.display())));
        }
        let issued = self.out.is_some().then(|| self.certificate(now)).transpose()?;
        let pins: Vec<&str> = issued.iter().map(|issued| issued.spki_sha256.as_str()).collect();
        let document = json!({
            "name": self.name, "title": self.title, "role": self.role, "spki_sha256": pins, "status": "active",
        });
        Account::from_value(&document)
            .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
        let password = match (&self.out, &issued) {
            (Some(path), Some(issued)) => {
                let password = password()?;
                write_private_file(path, &pkcs12(&self.title, issued, &password)?)?;
                Some(password)
            }
            _ => None,
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        replace_file(&file, format!("{document:#}\n").as_bytes(), 0o600)?;
        Ok(Made { document, file, password })
    }

    fn certificate(&self, now: Now) -> Result<pki::Issued, Stop> {
        let subject = pki::Subject {
            common_name: format!("{} ({})", self.name, self.role.word()),
            uris: Vec::new(),
            hosts: Vec::new(),
            purposes: vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        pki::self_signed(&subject, pki::Validity { from: now, days: self.days }).map_err(Stop::failed)
    }
}

struct Made {
    document: Value,
    file: PathBuf,
    password: Option<Zeroizing<String>>,
}

fn password() -> anyhow::Result<Zeroizing<String>> {
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<PASSWORD_BYTES>()?)))
}

/// What browsers import: AES-256 and PBKDF2 with SHA-256, OpenSSL's choice.
fn pkcs12(title: &str, issued: &pki::Issued, password: &str) -> anyhow::Result<Vec<u8>> {
    let made = || -> Result<Vec<u8>, openssl::error::ErrorStack> {
        let key = PKey::private_key_from_pem(issued.private_key_pem.as_bytes())?;
        let certificate = X509::from_pem(issued.certificate_pem.as_bytes())?;
        Pkcs12::builder().name(title).pkey(&key).cert(&certificate).build2(password)?.to_der()
    };
    made().context("the PKCS#12 file could not be made")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::init::{Doors, create};
    use crate::domain::Region;

    #[test]
    fn an_account_and_its_certificate_belong_together_and_the_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("xianan");
        let at = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let doors = Doors { partner: at(8443), local: at(8080), console: at(8081) };
        let now = Now::from_secs(1_900_000_000);
        create(&home, Region::parse("421202").unwrap(), "咸安", doors, now).unwrap();
        let config = Config::load(&home.join("gateway.toml")).unwrap();
        let p12 = dir.path().join("li.p12");
        let new = |name: &str| NewAccount {
            name: name.into(),
            role: Role::Audit,
            title: "李审计".into(),
            out: Some(p12.clone()),
            days: 30,
        };
        let made = new("li-auditor").make(&config, now).unwrap();
        let account = Account::from_value(&made.document).unwrap();
        assert_eq!(std::fs::metadata(&p12).unwrap().permissions().mode() & 0o7777, 0o600);
        let opened =
            Pkcs12::from_der(&std::fs::read(&p12).unwrap()).unwrap().parse2(&made.password.unwrap()).unwrap();
        let spki = opened.cert.unwrap().public_key().unwrap().public_key_to_der().unwrap();
        assert!(opened.pkey.is_some());
        assert_eq!(account.pins(), [crate::envelope::digest(&spki)]);
        assert_eq!(
            new("li-auditor").make(&config, now).err().unwrap().exit(),
            Exit::Usage,
            "a name stands once"
        );
        assert_eq!(
            new("wang").make(&config, now).err().unwrap().exit(),
            Exit::Usage,
            "no key is overwritten"
        );
        assert!(!home.join("trust/console/wang.json").exists());
    }
}
