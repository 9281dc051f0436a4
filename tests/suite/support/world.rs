//! Two counties, an authority and a clock, made anew for each test in a directory of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tongban::cli::init::{Doors, create};
use tongban::cli::pki::{CertificateAuthority, Validity};
use tongban::clock::{Clock, Now};
use tongban::config::Config;
use tongban::gateway::{self, Options, Running, StartFault};
use tongban::keys::write_private_file;
use tongban::license;
use tongban::peer::ClientLimits;

use super::authority::Authority;
use super::local::Local;
use super::member::{Member, region};
use super::papers::*;
use super::partner::{Http, Line, Told, dial};
use super::scene::Scene;
use super::verdict::{Due, Verdict};

/// 2030-03-18 in Shanghai; the clock stands still until a test moves it.
pub const NOW: i64 = 1_900_000_000;

const AWAY: &str = "https://127.0.0.1:9";

/// What is different in a test's world.
pub struct WorldPlan {
    agreements: Vec<Value>,
    licenses: Vec<Value>,
    register: String,
    crl: bool,
    asking: bool,
    local_tls: bool,
    options: Options,
    more: String,
    began: i64,
}

/// A gateway with its directory.
pub struct Gateway {
    pub home: PathBuf,
    pub member: Member,
    pub token: String,
    options: Options,
    running: Option<Running>,
}

pub struct World {
    pub scene: Scene,
    /// 咸安: answers. The tests play 玉环 (and everybody else) by hand.
    pub xianan: Gateway,
    /// 玉环: its gateway runs only where the plan says [`WorldPlan::asking`].
    pub yuhuan: Gateway,
    line: OnceCell<Line>,
    /// Last, so that the gateways are gone before their files.
    _root: TempDir,
}

/// Writes a file as a careful operator does: whole, then in its place.
pub fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_file_name(format!(".{}", path.file_name().unwrap().to_str().unwrap()));
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, path).unwrap();
}

impl WorldPlan {
    /// These agreements instead of the usual ones.
    pub fn agreements(mut self, agreements: Vec<Value>) -> Self {
        self.agreements = agreements;
        self
    }

    /// The usual agreement, bent.
    pub fn agreement(mut self, bend: impl FnOnce(&mut Value)) -> Self {
        bend(&mut self.agreements[0]);
        self
    }

    /// The usual agreement once more, bent: one with somebody else.
    pub fn also(mut self, bend: impl FnOnce(&mut Value)) -> Self {
        let mut another = self.agreements[0].clone();
        bend(&mut another);
        self.agreements.push(another);
        self
    }

    pub fn licenses(mut self, licenses: Vec<Value>) -> Self {
        self.licenses = licenses;
        self
    }

    /// The settings of `[register]` instead of the embedded one.
    pub fn register(mut self, settings: String) -> Self {
        self.register = settings;
        self
    }

    /// With a revocation list, empty at first.
    pub fn crl(mut self) -> Self {
        self.crl = true;
        self
    }

    /// 玉环's gateway runs too.
    pub fn asking(mut self) -> Self {
        self.asking = true;
        self
    }

    /// With TLS at the regions' own doors.
    pub fn local_tls(mut self) -> Self {
        self.local_tls = true;
        self
    }

    /// How long the gateways wait for a partner.
    pub fn partner_limits(mut self, limits: ClientLimits) -> Self {
        self.options.partner_limits = limits;
        self
    }

    /// Appended to both `gateway.toml`.
    pub fn configured(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// The clock stands here at first (seconds).
    pub fn begun_at(mut self, secs: i64) -> Self {
        self.began = secs;
        self
    }

    /// Builds everything on disk and starts the gateways.
    pub async fn start(self) -> World {
        let root = tempfile::tempdir().unwrap();
        let (scene, mut xianan, mut yuhuan) = self.settle(root.path());
        xianan.start(&scene.clock).await;
        yuhuan.trust_card(&scene.answering.card(&format!("https://{}", xianan.door())));
        if self.asking {
            yuhuan.start(&scene.clock).await;
        }
        World { scene, xianan, yuhuan, line: OnceCell::new(), _root: root }
    }

    /// The two directories, nothing running: for the command line and for judging without a
    /// door.
    pub fn settle(&self, root: &Path) -> (Scene, Gateway, Gateway) {
        let clock = Clock::by_hand(Now::from_secs(self.began));
        let now = clock.now();
        let ca = CertificateAuthority::generate("Test CA", Validity { from: now, days: 800 }).unwrap();
        let authority = Authority::new();
        let xianan = self.make_home(&root.join("xianan"), XIANAN, &ca, now);
        let yuhuan = self.make_home(&root.join("yuhuan"), YUHUAN, &ca, now);
        let binhai = Member::pinned(BINHAI, now);
        xianan.trust_card(&yuhuan.member.card(AWAY));
        xianan.trust_card(&binhai.pinning_card(AWAY));
        for gateway in [&xianan, &yuhuan] {
            authority.move_in(&gateway.home, now.secs());
            for agreement in &self.agreements {
                gateway.trust_agreement(agreement);
            }
        }
        xianan.import(&self.licenses, now);
        let (answering, asking) = (xianan.member.clone(), yuhuan.member.clone());
        (Scene { clock, ca, authority, answering, asking, binhai }, xianan, yuhuan)
    }

    /// A gateway's directory as `tongban init` makes it, with what this plan changes.
    fn make_home(&self, home: &Path, code: &str, ca: &CertificateAuthority, now: Now) -> Gateway {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let doors = Doors { partner: anywhere, local: anywhere, console: anywhere };
        create(home, region(code), region(code).name(), doors, now).unwrap();
        let member = Member::at_home(home, code, ca, now);
        put(&home.join("trust/ca.crt"), ca.certificate_pem());
        let file = home.join("gateway.toml");
        let mut text =
            fs::read_to_string(&file).unwrap().replace("client_ca = []", "client_ca = [\"trust/ca.crt\"]");
        if self.crl {
            put(&home.join("trust/ca.crl"), crl(ca, 1, &[], now));
            text = text.replace("crl = []", "crl = [\"trust/ca.crl\"]");
        }
        if self.local_tls {
            let pair = Member::pinned(code, now);
            put(&home.join("keys/local.crt"), &pair.chain_pem);
            write_private_file(&home.join("keys/local.key"), pair.key_pem.as_bytes()).unwrap();
            for name in ["certificate = \"keys/local.crt\"", "private_key = \"keys/local.key\""] {
                assert!(text.contains(&format!("# {name}")));
                text = text.replace(&format!("# {name}"), name);
            }
        }
        if code == XIANAN && !self.register.is_empty() {
            text = text.replace("kind = \"embedded\"", &self.register);
        }
        put(&file, text + &self.more);
        let token = fs::read_to_string(home.join("keys/local.token")).unwrap().trim().to_owned();
        Gateway { home: home.to_owned(), member, token, options: self.options.clone(), running: None }
    }
}

/// A list of a week.
pub fn crl(ca: &CertificateAuthority, number: u64, revoked: &[rcgen::SerialNumber], now: Now) -> String {
    ca.crl(number, revoked, now, Now::from_secs(now.secs() + 7 * 86_400)).unwrap()
}

impl Gateway {
    pub fn config(&self) -> Config {
        Config::load(&self.home.join("gateway.toml")).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    pub async fn start(&mut self, clock: &Clock) {
        let started = gateway::start(self.config(), clock.clone(), self.options.clone()).await;
        self.running = Some(started.unwrap_or_else(|faults| panic!("{faults:?}")));
    }

    /// As `tongban serve --after-restore`, or not: what it says when it does not start.
    pub async fn try_start(&mut self, clock: &Clock, after_restore: bool) -> Result<(), Vec<StartFault>> {
        let options = Options { after_restore, ..self.options.clone() };
        self.running = Some(gateway::start(self.config(), clock.clone(), options).await?);
        Ok(())
    }

    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("this gateway runs")
    }

    /// Reads every watched file now.
    pub async fn reload(&self) {
        self.running().reload().await;
    }

    /// The partner door.
    pub fn door(&self) -> SocketAddr {
        self.running().partner_addr
    }

    /// The region's own door, with the administrator's token.
    pub fn local(&self) -> Local {
        Local { door: self.running().local_addr.unwrap(), token: Some(self.token.clone()) }
    }

    pub fn card_file(&self, code: &str) -> PathBuf {
        self.home.join(format!("trust/partners/{code}.json"))
    }

    pub fn trust_card(&self, card: &Value) {
        put(&self.card_file(card["region"].as_str().unwrap()), card.to_string());
    }

    pub fn agreement_file(&self, id: &str) -> PathBuf {
        self.home.join(format!("trust/agreements/{id}.json"))
    }

    pub fn trust_agreement(&self, agreement: &Value) {
        put(&self.agreement_file(agreement["id"].as_str().unwrap()), agreement.to_string());
    }

    /// The file that holds the leaves of this month.
    pub fn ledger_file(&self) -> PathBuf {
        let day = self.running().house.clock.now().shanghai_day();
        let half = if day.month() <= 6 { 1 } else { 2 };
        let file = format!("data/ledger/{}h{half}/{}-{:02}.db", day.year(), day.year(), day.month());
        let file = self.home.join(file);
        assert!(file.is_file(), "{}", file.display());
        file
    }

    /// `license import`.
    pub fn import(&self, licenses: &[Value], now: Now) {
        let lines: String = licenses.iter().map(|license| format!("{license}\n")).collect();
        let register = self.home.join("data/register.db");
        let report = license::import(&register, lines.as_bytes(), now.shanghai_day(), |_| ()).unwrap();
        assert!(report.refused.is_empty(), "{:?}", report.refused);
    }
}

impl std::ops::Deref for World {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl World {
    pub fn plan() -> WorldPlan {
        WorldPlan {
            agreements: vec![agreement(), lapsed_agreement(), others_agreement()],
            licenses: licenses(),
            register: String::new(),
            crl: false,
            asking: false,
            local_tls: false,
            options: Options::default(),
            more: String::new(),
            began: NOW,
        }
    }

    pub async fn start() -> Self {
        Self::plan().start().await
    }

    /// 咸安's door for anybody.
    pub async fn dial(&self, member: &Member, http: Http) -> Result<Line, String> {
        dial(self.xianan.door(), Some(member), http).await
    }

    /// 玉环's connection to 咸安, one for the whole test.
    pub async fn line(&self) -> &Line {
        self.line.get_or_init(|| async { self.dial(&self.asking, Http::Two).await.unwrap() }).await
    }

    /// 玉环 sends, and reads the answer with every check of its own.
    pub async fn ask(&self, message: impl Into<Vec<u8>>) -> Verdict {
        let message = message.into();
        let told = self.line().await.exchange(message.clone()).await;
        self.read(told, &message)
    }

    /// 玉环 sends all of them, many at a time; the answers come in the same order.
    pub async fn ask_all(&self, messages: Vec<Vec<u8>>) -> Vec<Verdict> {
        // Fewer than the door's streams on one connection.
        let places = Arc::new(Semaphore::new(48));
        let mut under_way = JoinSet::new();
        for (at, message) in messages.iter().cloned().enumerate() {
            let line = self.line().await.clone();
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            under_way.spawn(async move {
                let told = line.exchange(message).await;
                drop(place);
                (at, told)
            });
        }
        let mut told = under_way.join_all().await;
        told.sort_by_key(|(at, _)| *at);
        told.into_iter().zip(messages).map(|((_, told), message)| self.read(told, &message)).collect()
    }

    /// 咸安's answer to what 玉环 sent.
    pub fn read(&self, told: Told, request: &[u8]) -> Verdict {
        self.read_as(&self.asking, told, request)
    }

    pub fn read_as(&self, asker: &Member, told: Told, request: &[u8]) -> Verdict {
        let answering = &self.answering;
        Verdict::read(
            told,
            &Due {
                key: &answering.signing,
                iss: &answering.urn(),
                aud: &asker.urn(),
                now: self.now(),
                request,
            },
        )
    }

    /// The status list in which the tokens at `revoked` are withdrawn, on 咸安's disk.
    pub fn publish(&self, revoked: &[u64]) {
        let list = self.authority.status_list(revoked, self.now());
        put(&self.xianan.home.join("trust/authorities/lists/7.jwt"), list);
    }
}
