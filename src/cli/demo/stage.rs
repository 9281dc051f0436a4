//! The stage of the demonstration: two counties that know each other, an authority, and the
//! questions 玉环's window asks.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::county::{County, LOOK_AGAIN, PATIENCE, ledger_public};
use super::papers::{self, AGREEMENT, CITIZEN, ITEM, MARRIAGE, OTHER};
use crate::audit::unseal::AuditorPrivateKey;
use crate::cli::Stop;
use crate::cli::authorize::{Asked, DevAuthority, Issued, Person};
use crate::clock::{Clock, Now};
use crate::domain::CaseNumber;
use crate::license::register::import;

pub struct Stage {
    pub dir: PathBuf,
    pub xianan: County,
    pub yuhuan: County,
    pub licenses: u64,
    /// The number on the citizen's marriage certificate.
    pub cert_no: String,
    authority: DevAuthority,
    /// The case all of it is about.
    pub case: String,
}

impl Stage {
    /// Makes both directories and everything in them.
    pub fn set() -> Result<Self, Stop> {
        let now = Clock::system().now();
        let dir = std::env::temp_dir().join(format!("tongban-demo-{}", uuid::Uuid::now_v7().simple()));
        let mut xianan = County::make(&dir, "xianan", "421202", "咸宁市咸安区", now)?;
        let mut yuhuan = County::make(&dir, "yuhuan", "331083", "玉环市", now)?;
        let agreement = papers::agreement();
        let auditor = AuditorPrivateKey::generate().map_err(Stop::failed)?;
        for (county, partner) in [(&xianan, &yuhuan), (&yuhuan, &xianan)] {
            write(&county.home, &format!("trust/partners/{}.json", partner.region), &partner.card)?;
            write(&county.home, &format!("trust/agreements/{AGREEMENT}.json"), &agreement)?;
            calendar(&county.home, now)?;
            // Evidence and search tokens are for auditors only: without one there are none.
            write(&county.home, "trust/auditors/demo.jwk", &auditor.1)?;
        }
        write(&dir, "auditor.jwk", &auditor.0)?;
        let authority = DevAuthority::create(&dir.join("mengsuban"), "mengsuban", now, 24)?;
        let trusted = xianan.home.join("trust/authorities/mengsuban.json");
        std::fs::copy(authority.trust_file(), &trusted).context("the authority's file cannot be copied")?;
        let report = import(
            &xianan.home.join("data/register.db"),
            Cursor::new(papers::licenses(now)?),
            now.shanghai_day(),
            |_| {},
        )
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
        Ok(Self { dir, xianan, yuhuan, licenses: report.loaded, cert_no: papers::cert_no(), authority, case })
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
        self.authorize_for(CITIZEN, &[MARRIAGE], fields, max_uses)
    }

    pub fn authorize_other(&self, fields: &[&str]) -> Result<Issued, String> {
        self.authorize_for(OTHER, &[MARRIAGE], fields, 1)
    }

    /// A citizen says yes to these fields of these licenses, for this item and case.
    pub fn authorize_for(
        &self,
        number: &str,
        licenses: &[&str],
        fields: &[&str],
        max_uses: u32,
    ) -> Result<Issued, String> {
        let jkt = self.yuhuan.card.pointer("/jwks/keys/0/kid").and_then(Value::as_str);
        let asked = Asked {
            me: self.xianan.region,
            client: self.yuhuan.region,
            jkt: jkt.map(str::to_owned),
            holder: Person { kind: "111".into(), number: number.into() },
            ward: None,
            license_types: licenses.iter().map(|kind| (*kind).to_owned()).collect(),
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
        say(format!("  {program} case show {} --config {yuhuan}/gateway.toml", self.case));
        say(format!("  {program} case report --config {}/gateway.toml", self.xianan.home.display()));
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

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// Years that no notice has fixed yet get a calendar without holidays, so that the
/// demonstration's deadlines can be reckoned on any day it runs.
fn calendar(home: &Path, now: Now) -> Result<(), Stop> {
    std::fs::create_dir_all(home.join("calendar")).context("the calendar folder cannot be made")?;
    for (year, calendar) in papers::unpublished_years(now) {
        write(home, &format!("calendar/{year}.json"), &calendar)?;
    }
    let config = home.join("gateway.toml");
    let text = std::fs::read_to_string(&config).context("gateway.toml cannot be read")?;
    std::fs::write(&config, format!("{text}\n[calendar]\nfolder = \"calendar\"\n"))
        .context("gateway.toml cannot be written")?;
    Ok(())
}

fn write(home: &Path, path: &str, value: &Value) -> Result<(), Stop> {
    let path = home.join(path);
    std::fs::write(&path, format!("{value:#}\n"))
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(())
}
