//! The stage that every case needs: who is who, with which papers, in which folder of a run.

mod certificates;
mod folder;
mod gateway;

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Value, json};

pub use folder::{Ground, Identity, Places, write};

use super::ConformanceFault;
use super::keys::Keys;
use crate::clock::Now;
use crate::domain::{Calendar, CalendarYear};

const SCENE: &str = include_str!("../../../conformance/cases/scene.json");

/// Members, papers and true messages, with the keys to sign them.
pub struct Scene {
    document: Value,
    pub keys: Keys,
    /// The shipped years and, where no notice has fixed this or the next year, made-up ones.
    pub calendar: Calendar,
    /// The made-up years, as files.
    made_up: Vec<Value>,
}

impl Scene {
    /// As this version knows it, for today.
    pub fn embedded() -> Result<Self, ConformanceFault> {
        Self::on(crate::clock::Clock::system().now())
    }

    fn on(now: Now) -> Result<Self, ConformanceFault> {
        let document = serde_json::from_str(SCENE).map_err(|_| ConformanceFault::Data("scene"))?;
        let this = now.shanghai_day().year();
        let shipped = Calendar::shipped();
        let missing = [this, this.saturating_add(1)]
            .into_iter()
            .filter(|year| shipped.years().all(|known| known.year != *year));
        let made_up: Vec<Value> = missing
            .map(|year| {
                json!({
                    "year": year, "title": "Made up for conformance runs", "title_zh": "一致性测试用,非国务院通知",
                    "notice": "测试", "published": now.shanghai_day().to_string(),
                    "off": [format!("{year}-01-01")], "work": [],
                })
            })
            .collect();
        let years =
            made_up.iter().filter_map(|year| serde_json::from_value::<CalendarYear>(year.clone()).ok());
        let calendar = shipped.with(years);
        Ok(Self { document, keys: Keys::published()?, calendar, made_up })
    }

    /// A true message by its name.
    pub fn message(&self, name: &str) -> Option<&Value> {
        self.document.get("messages")?.get(name)
    }

    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.document
            .get("members")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(n, m)| (n.as_str(), m))
    }

    pub fn agreements(&self) -> impl Iterator<Item = &Value> {
        self.document.get("agreements").and_then(Value::as_array).into_iter().flatten()
    }

    pub fn region(&self, member: &str) -> &str {
        let region =
            self.document.get("members").and_then(|members| members.get(member)?.get("region")?.as_str());
        region.unwrap_or_default()
    }

    /// `urn:tongban:gw:<region>`.
    pub fn urn(&self, member: &str) -> String {
        format!("urn:tongban:gw:{}", self.region(member))
    }

    /// The name of a member's ledger at a time.
    pub fn origin(&self, member: &str, at: i64) -> String {
        let day = Offset::constant(8).to_datetime(Timestamp::from_second(at).unwrap_or_default());
        format!("tongban/{}/{}h{}", self.region(member), day.year(), if day.month() < 7 { 1 } else { 2 })
    }

    /// A member's public keys, as its card lists them.
    pub fn jwks(&self, member: &Value) -> Vec<Value> {
        let names =
            member.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        names.filter_map(|name| self.keys.get(name)).map(|key| key.public.clone()).collect()
    }

    /// Licenses of the answering side's register, one a line.
    fn licenses(&self) -> String {
        let licenses = self.document.get("licenses").and_then(Value::as_array).into_iter().flatten();
        licenses.map(|license| format!("{license}\n")).collect()
    }

    fn authorities(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.document
            .get("authorities")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(n, a)| (n.as_str(), a))
    }
}

fn store(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), ConformanceFault> {
    let fault = |e: std::io::Error| ConformanceFault::File(path.display().to_string(), e.kind());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    std::fs::write(path, bytes).map_err(fault)
}

/// 0600, as a gateway wants its private keys.
fn store_private(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), ConformanceFault> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let fault = |e: std::io::Error| ConformanceFault::File(path.display().to_string(), e.kind());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(fault)?;
    file.write_all(bytes.as_ref()).map_err(fault)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
