//! A sandbox's folder: the scene of the conformance suite, and beside it everything that a vendor's
//! client needs to play 玉环.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::io::Cursor;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::keys;
use crate::cli::authorize::{Asked, Person};
use crate::cli::demo::papers::{AGREEMENT, CITIZEN, ITEM, MARRIAGE};
use crate::cli::{Stop, out};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::conformance::Scene;
use crate::conformance::message::Draft;
use crate::conformance::moment::Moment;
use crate::conformance::scene::{Places, write};
use crate::domain::Region;
use crate::keys::SigningKey;
use crate::license::register::import;

/// The file that makes a folder a sandbox's.
const MARK: &str = "sandbox.json";
/// The citizen's token: as long and as often as a token can be (protocol §3.3).
const TOKEN_MINUTES: u32 = 24 * 60;
const TOKEN_USES: u32 = 100;
/// Its age at which a new one is laid down (seconds).
const RENEW: i64 = 6 * 3600;

pub(super) struct Place {
    dir: PathBuf,
    temporary: bool,
    /// When the citizen's token was signed (seconds).
    signed: Cell<i64>,
}

impl Place {
    /// Writes the scene for today; `data` is a new folder, or one that was a sandbox's before.
    pub fn make(data: Option<&Path>, listen: SocketAddr, local: SocketAddr) -> Result<Self, Stop> {
        let now = Clock::system().now();
        let dir = data.map_or_else(
            || std::env::temp_dir().join(format!("tongban-sandbox-{}", uuid::Uuid::now_v7().simple())),
            Path::to_owned,
        );
        if data.is_some() {
            only_a_sandbox(&dir)?;
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("{}: cannot be made", dir.display()))?;
        let place = Self { dir, temporary: data.is_none(), signed: Cell::new(0) };
        place.store(MARK, &format!("{:#}\n", json!({"sandbox": 1, "made": now.secs()})))?;
        if place.config().exists() {
            keys::only_published(&Config::load(&place.config())?)?;
        }
        let places = Places { answering: (listen, local), ..Places::default() };
        write(&place.dir, places, now).map_err(Stop::failed)?;
        place.licenses(now)?;
        Ok(place)
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("answering/gateway.toml")
    }

    fn licenses(&self, now: Now) -> Result<(), Stop> {
        let home = self.dir.join("answering");
        let lines = std::fs::read(home.join("licenses.jsonl")).context("licenses.jsonl cannot be read")?;
        std::fs::create_dir_all(home.join("data")).context("the data folder cannot be made")?;
        let report = import(&home.join("data/register.db"), Cursor::new(lines), now.shanghai_day(), |_| {})
            .context("the licenses cannot be imported")?;
        match report.refused_lines {
            0 => Ok(()),
            _ => Err(Stop::failed("a license of the sandbox was refused")),
        }
    }

    /// Lays down what a vendor needs: `vendor/`, as the example clients take it.
    pub fn furnish(&self, card: &Value) -> Result<(), Stop> {
        let now = Clock::system().now();
        let scene = Scene::embedded().map_err(Stop::failed)?;
        let key = scene.keys.get("asking").ok_or_else(|| Stop::failed("the scene has no asking key"))?;
        self.store("vendor/sign.pem", &key.pem())?;
        self.store("vendor/sign.jwk", &format!("{:#}\n", key.private))?;
        for (from, to) in [
            ("identities/asking.crt", "vendor/tls.crt"),
            ("identities/asking.key", "vendor/tls.key"),
            ("cards/331083.json", "vendor/card.json"),
        ] {
            let text = std::fs::read_to_string(self.dir.join(from))
                .with_context(|| format!("{from}: cannot be read"))?;
            self.store(to, &text)?;
        }
        self.store("vendor/partner.json", &format!("{card:#}\n"))?;
        let moment = Moment::new(scene.into(), now.secs());
        for (message, file) in [("lookup", "vendor/read.json"), ("submit", "vendor/application.json")] {
            let unfilled = |fault: crate::conformance::moment::Unfilled| Stop::failed(fault);
            let claims = Draft::of(&moment, &message.into()).map_err(unfilled)?;
            let claims = claims.build(None, None).map_err(unfilled)?.claims;
            self.store(file, &format!("{:#}\n", question(claims, message == "submit")))?;
        }
        self.authorization(now)
    }

    /// Before the one that lies there runs out.
    pub fn renew_authorization(&self) -> Result<(), Stop> {
        let now = Clock::system().now();
        if now.secs() - self.signed.get() < RENEW { Ok(()) } else { self.authorization(now) }
    }

    fn authorization(&self, now: Now) -> Result<(), Stop> {
        let scene = Scene::embedded().map_err(Stop::failed)?;
        let none = || Stop::failed("the scene has no such key");
        let authority = scene.keys.get("authority").ok_or_else(none)?;
        let key = SigningKey::from_jwk(&authority.private).map_err(Stop::failed)?;
        let region = |member: &str| Region::parse(scene.region(member)).map_err(Stop::failed);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let asked = Asked {
            me: region("answering")?,
            client: region("asking")?,
            jkt: Some(scene.keys.kid("asking")),
            holder: Person { kind: "111".into(), number: CITIZEN.into() },
            ward: None,
            license_types: words(&[MARRIAGE]),
            fields: words(&["cert_no", "registered_on"]),
            actions: words(&["read"]),
            item: ITEM.into(),
            case: None,
            purpose: None,
            max_uses: TOKEN_USES,
            minutes: TOKEN_MINUTES,
            sensitive: false,
            with_status: false,
        };
        let issued = asked.sign(&key, "urn:tongban:idp:mengsuban", "sandbox", None, now)?;
        self.signed.set(now.secs());
        self.store("vendor/authorization.jws", &issued.jws)
    }

    /// What a vendor does next.
    pub fn introduce(&self, door: SocketAddr) {
        let dir = self.dir.display();
        out::line(format_args!("通办沙箱 Tongban sandbox · 咸安 421202 · https://{door} · {AGREEMENT}"));
        out::line(
            "密钥均已公开,证照均为虚构,切勿用于真实数据 every key is published, every license synthetic: never for real data",
        );
        out::line(format_args!("{dir}/vendor: 您扮演玉环 331083 you play 玉环:"));
        out::line(
            "  sign.pem sign.jwk  签名私钥 signs messages      tls.crt tls.key  客户端证书 opens connections",
        );
        out::line(
            "  card.json partner.json  双方名片 both cards      authorization.jws  群众授权 the citizen's yes",
        );
        out::line("  read.json application.json  可直接发送的查询与申请 what to ask");
        out::line("一条命令 one command:");
        out::line(format_args!(
            "  conformance/clients/shell/client.sh {dir}/vendor lookup {dir}/vendor/read.json {dir}/vendor/authorization.jws"
        ));
        out::line(
            "被拒时应答头 Tongban-Explain 说明原因 a refusal says why in the header Tongban-Explain (base64url, JSON)",
        );
        out::line("ready 就绪 · Ctrl-C 停止 stops");
    }

    /// 0600: clients and gateways want their private keys so.
    fn store(&self, path: &str, text: &str) -> Result<(), Stop> {
        let path = self.dir.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{}: cannot be made", folder.display()))?;
        }
        Ok(crate::cli::durable::replace_file(&path, text.as_bytes(), 0o600)?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            // Left behind at worst: synthetic data under the system's temporary files.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// A new or empty folder, or one that this command made.
fn only_a_sandbox(dir: &Path) -> Result<(), Stop> {
    let other = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some() && !dir.join(MARK).is_file(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(_) => true,
    };
    match other {
        true => Err(Stop::usage(format_args!(
            "{}: is no sandbox's folder; name a new one 不是沙箱目录",
            dir.display()
        ))),
        false => Ok(()),
    }
}

/// The members that a client takes; it makes the rest itself.
fn question(mut claims: Value, with_case: bool) -> Value {
    let wanted = ["item", "case", "basis", "purpose", "operator", "agreement", "body"];
    if let Some(members) = claims.as_object_mut() {
        members.retain(|name, _| wanted.contains(&name.as_str()) && (with_case || name != "case"));
    }
    claims
}
