//! The stage of the demonstration: two counties' directories, their processes, an authority,
//! and the questions 玉环's window asks.

use std::io::Cursor;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::authorize::{Asked, DevAuthority, Issued, Person};
use crate::cli::init::{self, Doors};
use crate::cli::local_door::{LocalDoor, Token};
use crate::cli::{Common, Stop};
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::domain::{CaseNumber, Region};
use crate::gateway::{Keys, Options};
use crate::ledger::verify::{Verdict, verify};
use crate::license::register::import;

/// 结婚证, the type the whole story is about.
pub const MARRIAGE: &str = "111000000000131433001";
const ITEM: &str = "11421202TECT0001914000709001000";
const AGREEMENT: &str = "421202-331083-2020";
/// Synthetic, like every number here: the holder of the licenses, and somebody without any.
const CITIZEN: &str = "42120219000101001X";
const OTHER: &str = "440703190303039973";
/// One synthetic license of every type.
const LICENSES: &str = include_str!("../../../tests/vectors/licenses.jsonl");

/// How long a process may take to open its doors, or a change to come into force.
pub const PATIENCE: Duration = Duration::from_secs(15);
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One county of the demonstration.
pub struct County {
    pub region: Region,
    pub home: PathBuf,
    pub card: Value,
    pub ledger_public: [u8; 32],
    doors: Doors,
    process: Option<Child>,
}

pub struct Stage {
    pub dir: PathBuf,
    pub xianan: County,
    pub yuhuan: County,
    pub licenses: u64,
    /// The number on the citizen's marriage certificate.
    pub cert_no: String,
    authority: DevAuthority,
    case: String,
}

impl Stage {
    /// Makes both directories and everything in them.
    pub fn set() -> Result<Self, Stop> {
        let now = Clock::system().now();
        let dir = std::env::temp_dir().join(format!("tongban-demo-{}", uuid::Uuid::now_v7().simple()));
        let mut xianan = County::make(&dir, "xianan", "421202", "咸宁市咸安区", now)?;
        let mut yuhuan = County::make(&dir, "yuhuan", "331083", "玉环市", now)?;
        let agreement = agreement();
        for (county, partner) in [(&xianan, &yuhuan), (&yuhuan, &xianan)] {
            write(&county.home, &format!("trust/partners/{}.json", partner.region), &partner.card)?;
            write(&county.home, &format!("trust/agreements/{AGREEMENT}.json"), &agreement)?;
        }
        let authority = DevAuthority::create(&dir.join("mengsuban"), "mengsuban", now, 24)?;
        let trusted = xianan.home.join("trust/authorities/mengsuban.json");
        std::fs::copy(authority.trust_file(), &trusted).context("the authority's file cannot be copied")?;
        let report =
            import(&xianan.home.join("data/register.db"), Cursor::new(LICENSES), now.shanghai_day(), |_| {})
                .context("the licenses cannot be imported")?;
        if report.refused_lines > 0 {
            return Err(Stop::failed("a license of the demonstration was refused"));
        }
        for county in [&mut xianan, &mut yuhuan] {
            county.ledger_public = ledger_public(&county.home)?;
        }
        let case = CaseNumber::compose(yuhuan.region, xianan.region, now.shanghai_day(), 1)
            .map(|case| case.as_str().to_owned())
            .map_err(Stop::failed)?;
        Ok(Self { dir, xianan, yuhuan, licenses: report.loaded, cert_no: cert_no(), authority, case })
    }

    /// Starts both processes and waits until one can ask the other.
    pub fn open(&mut self) -> Result<String, String> {
        self.xianan.start()?;
        self.yuhuan.start()?;
        let waiting = Instant::now();
        loop {
            match self.ping() {
                Ok(answer) if answer.get("result").is_some() => break,
                other if waiting.elapsed() > PATIENCE => {
                    return Err(format!("no answer: {}", other.err().unwrap_or_default()));
                }
                _ => std::thread::sleep(LOOK_AGAIN),
            }
        }
        Ok(format!("咸安 https://{} · 玉环 https://{}", self.xianan.doors.partner, self.yuhuan.doors.partner))
    }

    pub fn ping(&self) -> Result<Value, String> {
        self.yuhuan.post(&format!("/local/v1/partners/{}/ping", self.xianan.region), &json!({}))
    }

    /// Asks for the citizen's license of a type; `ask` is the rest of the body.
    pub fn query(&self, authorization: Option<&str>, kind: &str, ask: &Value) -> Result<Value, String> {
        self.ask(authorization, kind, CITIZEN, ask)
    }

    /// The same for somebody who holds none.
    pub fn query_other(&self, authorization: &str, ask: &Value) -> Result<Value, String> {
        self.ask(Some(authorization), MARRIAGE, OTHER, ask)
    }

    fn ask(
        &self,
        authorization: Option<&str>,
        kind: &str,
        number: &str,
        ask: &Value,
    ) -> Result<Value, String> {
        let mut body = ask.clone();
        put(&mut body, "license", json!({"type": kind, "holder": {"type": "111", "number": number}}));
        let mut question = json!({
            "to": self.xianan.region, "item": ITEM, "case": self.case, "basis": "consent",
            "purpose": "新生儿户口登记核验父母婚姻状况", "operator": "YH0123", "agreement": AGREEMENT, "body": body,
        });
        if let Some(token) = authorization {
            put(&mut question, "authorization", token.into());
        }
        self.yuhuan.post("/local/v1/licenses/query", &question)
    }

    pub fn authorize(&self, fields: &[&str], max_uses: u32) -> Result<Issued, String> {
        self.authorize_holder(CITIZEN, fields, max_uses)
    }

    pub fn authorize_other(&self, fields: &[&str]) -> Result<Issued, String> {
        self.authorize_holder(OTHER, fields, 1)
    }

    fn authorize_holder(&self, number: &str, fields: &[&str], max_uses: u32) -> Result<Issued, String> {
        let jkt = self.yuhuan.card.pointer("/jwks/keys/0/kid").and_then(Value::as_str);
        let asked = Asked {
            me: self.xianan.region,
            client: self.yuhuan.region,
            jkt: jkt.map(str::to_owned),
            holder: Person { kind: "111".into(), number: number.into() },
            ward: None,
            license_types: vec![MARRIAGE.into()],
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            actions: vec!["read".into()],
            item: ITEM.into(),
            case: Some(self.case.clone()),
            purpose: None,
            max_uses,
            minutes: 10,
            sensitive: true,
            with_status: true,
        };
        self.authority.issue(&asked, Clock::system().now()).map_err(|fault| format!("{fault:#}"))
    }

    /// The citizen takes the authorization back; 咸安 is told to look at once.
    pub fn revoke(&self, token: &Issued) -> Result<(), String> {
        let index = token.index.ok_or("the authorization has no place in a list")?;
        self.authority.revoke(index, Clock::system().now(), 24).map_err(|fault| format!("{fault:#}"))?;
        self.xianan.reload();
        Ok(())
    }

    /// Asks until the answer is a refusal.
    pub fn until_refused(&self, token: &str, ask: &Value) -> Result<Value, String> {
        let waiting = Instant::now();
        loop {
            let answer = self.query(Some(token), MARRIAGE, ask)?;
            if answer.get("code").is_some() || waiting.elapsed() > PATIENCE {
                return Ok(answer);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Leaves both processes to themselves and says how to go on.
    pub fn keep_running(mut self, say: &dyn Fn(String)) -> Result<(), Stop> {
        let program = std::env::current_exe().context("this program's path is not known")?;
        let (program, yuhuan) = (program.display(), self.yuhuan.home.display());
        let authority = self.dir.join("mengsuban");
        let pids: Vec<String> = [&self.xianan, &self.yuhuan]
            .iter()
            .filter_map(|c| c.process.as_ref())
            .map(|p| p.id().to_string())
            .collect();
        say("\n两个网关仍在运行 both gateways keep running. Try 试一试:".to_owned());
        say(format!("  {program} partner ping 421202 --config {yuhuan}/gateway.toml"));
        say(format!(
            "  TOKEN=$({program} authorize issue --issuer {} --me 421202 --client 331083 --jkt @{yuhuan}/card.json \\\n      --holder-type 111 --holder-number {CITIZEN} --type {MARRIAGE} --fields cert_no,registered_on --item {ITEM} --sensitive)",
            authority.display()
        ));
        say(format!(
            "  {program} query --config {yuhuan}/gateway.toml --to 421202 --type {MARRIAGE} --holder-type 111 --holder-number {CITIZEN} \\\n      --read cert_no,registered_on --item {ITEM} --agreement {AGREEMENT} --purpose 试用 --operator YH0123 --authorization \"$TOKEN\""
        ));
        say(format!("  {program} audit verify --config {}/gateway.toml", self.xianan.home.display()));
        say(format!("  curl http://{}/readyz", self.xianan.doors.local));
        say(format!("Stop them 停止: kill {}   and 并删除 rm -r {}", pids.join(" "), self.dir.display()));
        for county in [&mut self.xianan, &mut self.yuhuan] {
            county.process = None;
        }
        // The directory stays with the processes.
        self.dir = PathBuf::new();
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for county in [&mut self.xianan, &mut self.yuhuan] {
            county.stop();
        }
        if self.dir.as_os_str().is_empty() {
            return;
        }
        // Left behind at worst: a directory of synthetic data under the system's temporary files.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl County {
    fn make(dir: &Path, folder: &str, code: &str, name: &str, now: Now) -> Result<Self, Stop> {
        let region = Region::parse(code).map_err(Stop::failed)?;
        let doors = Doors { partner: free_port()?, local: free_port()?, console: free_port()? };
        let home = dir.join(folder);
        let card = init::create(&home, region, name, doors, now)?;
        Ok(Self { region, home, card, ledger_public: [0; 32], doors, process: None })
    }

    fn start(&mut self) -> Result<(), String> {
        let program = std::env::current_exe().map_err(|e| e.kind().to_string())?;
        let log = std::fs::File::create(self.home.join("serve.log")).map_err(|e| e.kind().to_string())?;
        let child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(self.home.join("gateway.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| e.kind().to_string())?;
        self.process = Some(child);
        Ok(())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self
            .process
            .as_ref()
            .and_then(|p| i32::try_from(p.id()).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // A process that has ended already needs no signal.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn reload(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        if let Some(mut child) = self.process.take() {
            let _ = child.wait();
        }
    }

    /// One call of this county's local door.
    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let common = Common { config: self.home.join("gateway.toml"), json: true };
        let said = |stop: Stop| stop.lines().join("; ");
        let answer =
            LocalDoor::of(&common, &Token::default()).map_err(said)?.post(path, body).map_err(said)?;
        Ok(answer.value)
    }

    /// Verifies the ledger of the running gateway, once its newest leaf is under a checkpoint.
    pub fn verify_sealed(&self) -> Result<Verdict, String> {
        let waiting = Instant::now();
        loop {
            let verdict =
                verify(&self.home.join("data"), Some(self.ledger_public)).map_err(|f| f.to_string())?;
            if let Some(finding) = verdict.findings.first() {
                return Err(format!("{}: {}", finding.file, finding.message));
            }
            if verdict.logs.iter().all(|log| log.leaves == log.sealed) {
                return Ok(verdict);
            }
            if waiting.elapsed() > PATIENCE {
                return Err("the newest leaves are not under a checkpoint".to_owned());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// The agreement of protocol §5, for the one item of the story.
fn agreement() -> Value {
    json!({
        "id": AGREEMENT, "parties": ["421202", "331083"], "name": "咸安—玉环跨省联办协议",
        "valid_from": "2020-08-01", "valid_to": "2099-07-31",
        "items": [{
            "code": ITEM, "name": "新生儿户口登记", "handling": "421202", "collecting": ["331083"],
            "mode": "multi_joint", "project_type": "2", "bases": ["consent"], "ops": ["license.query"],
            "licenses": [{"type": MARRIAGE, "holder_region": ["331083", "421202"], "modes": ["read", "verify"],
                "fields": ["cert_no", "registered_on", "authority", "op_type"]}],
            "materials": [{"code": "M2", "name": "结婚证", "necessity": "required", "license": MARRIAGE,
                "evidence": ["shared_data", "timed_verification", "commitment", "upload"]}],
            "form": "newborn-registration",
            "legal_limit": {"value": 20, "unit": "working_day"},
            "promise_limit": {"value": 5, "unit": "working_day"},
            "receipt_clock": "handling",
            "verification_limit": {"value": 2, "unit": "working_day"},
        }],
        "quota": {"requests_per_second": 50, "burst": 100, "concurrent": 64, "per_day": 200_000},
    })
}

/// The number on the marriage certificate among the licenses.
fn cert_no() -> String {
    LICENSES
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|license| license.get("type_code").is_some_and(|code| code == MARRIAGE))
        .and_then(|license| license.pointer("/data/cert_no")?.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn ledger_public(home: &Path) -> Result<[u8; 32], Stop> {
    let config = Config::load(&home.join("gateway.toml"))?;
    let keys = Keys::load(&config, &Options::default())
        .map_err(|faults| Stop::Usage(faults.iter().map(ToString::to_string).collect()))?;
    Ok(keys.ledger_public)
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// A port that nobody listens on right now.
fn free_port() -> Result<SocketAddr, Stop> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
    Ok(listener.local_addr().context("no free port on loopback")?)
}

fn write(home: &Path, path: &str, value: &Value) -> Result<(), Stop> {
    let path = home.join(path);
    std::fs::write(&path, format!("{value:#}\n"))
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(())
}
