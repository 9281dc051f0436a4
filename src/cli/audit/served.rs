//! The audit of a log at a URL: what a partner or an auditor may fetch of it, checked with a
//! checkpoint kept from before.

use std::path::{Path, PathBuf};

use clap::Args;

use super::far::{Door, Far};
use super::read_policy;
use super::verifying::Bar;
use crate::audit::served::{
    self, AskedOf, EntryState, Promised, ServedLog, ServedVerdict, Source as _, SourceFault, promised,
};
use crate::cli::{Common, Exit, Outcome, Stop, out};
use crate::clock::Clock;
use crate::ledger::Vkey;
use crate::ledger::proof::{Proof, Proven};

/// What a log at a URL is held against.
#[derive(Args, Default)]
pub struct Held {
    /// Of a URL: a checkpoint kept from before, which the log must continue 此前留存的检查点
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Of a URL: keep the checkpoint there, when all is sound 留存检查点至此
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Of a URL: fetch this leaf with its proof too, if it names us 同时取回此记录
    #[arg(long = "entry", value_name = "INDEX")]
    entries: Vec<u64>,
    /// Of a URL: hold every promise of its signed answers that our own log keeps against the tree 核对其应答中的记录承诺
    #[arg(long)]
    promises: bool,
    /// Of a URL: the half-year, as tongban/REGION/2026h2; without it the present one 账本名称
    #[arg(long, value_name = "ORIGIN")]
    log: Option<String>,
}

/// Promises of answers that are younger may not stand under a checkpoint yet (ms): the ten seconds
/// of the protocol, and clocks that differ.
const SETTLED_MS: i64 = 60_000;

impl Held {
    pub fn since(checkpoint: Option<PathBuf>) -> Self {
        Self { since: checkpoint, ..Self::default() }
    }

    /// Checks the log at `url`.
    pub fn run(
        self,
        url: &Path,
        far: &Far,
        vkey: Option<&str>,
        policy: Option<&Path>,
        common: &Common,
    ) -> Outcome {
        let policy = policy.map(read_policy).transpose()?;
        let mut door = far.door(url, common)?;
        let since = self.since.as_deref().map(|path| {
            std::fs::read(path).map_err(|e| Stop::usage(format_args!("{}: {}", path.display(), e.kind())))
        });
        let bar = Bar::new();
        let tell = |done: u64, all: u64| bar.tell(done, all);
        let asked = AskedOf {
            vkey: known(vkey, &door)?,
            policy: policy.as_ref(),
            origin: self.log.clone(),
            since: since.transpose()?,
            leaves: self.entries.clone(),
            promised: if self.promises { promises(&door)? } else { Promised::new() },
            progress: Some(&tell),
        };
        let verdict = served::check(&mut door, &asked);
        bar.end();
        let verdict = verdict.map_err(|fault| Stop::failed(format_args!("{}: {fault}", url.display())))?;
        if verdict.sound
            && let Some((path, log)) = self.save.as_ref().zip(verdict.logs.last())
        {
            save(path, &log.note)?;
        }
        if common.json {
            out::json(&serde_json::to_value(&verdict).unwrap_or_default());
        } else {
            print(&verdict);
        }
        Ok(if verdict.sound { Exit::Well } else { Exit::Found })
    }
}

/// One leaf of the log at a URL, with its proof.
pub fn entry(url: &Path, far: &Far, what: &str, common: &Common) -> Result<(Vec<u8>, Proven), Stop> {
    let mut door = far.door(url, common)?;
    let (log, index) = what.rsplit_once('/').map_or((None, what), |(log, index)| (Some(log), index));
    let index: u64 = index
        .parse()
        .map_err(|_| Stop::usage("a leaf at a URL is named by its index 网上的记录以序号指明"))?;
    let told = |fault: SourceFault| Stop::failed(format_args!("{}: {fault}", url.display()));
    let vkey = door.vkey.clone().ok_or_else(|| told(SourceFault::NoKey))?;
    let origin = match log {
        Some(log) => log.to_owned(),
        None => served::origin(&mut door).map_err(told)?,
    };
    // One key signs every half-year of a region.
    let region = |name: &str| name.rsplit_once('/').map(|(region, _)| region.to_owned());
    let vkey = Vkey::new(&origin, *vkey.public()).filter(|_| region(&origin) == region(vkey.name()));
    let vkey = vkey.ok_or_else(|| told(SourceFault::NoKey))?;
    let found = door.fetch(&[format!("/v1/log/{origin}/entry/{index}")]).map_err(told)?;
    let withheld = || Stop::failed("that leaf is not there, or not ours to read 无此记录或无权读取");
    let bytes = found.into_iter().next().flatten().ok_or_else(withheld)?;
    let proven = Proof::parse(&bytes).and_then(|proof| proof.verify(&vkey));
    match proven {
        Ok(proven) if proven.index == index => Ok((bytes, proven)),
        Ok(_) => Err(Stop::failed("another leaf's proof was given 所给为另一记录的证明")),
        Err(fault) => Err(Stop::failed(format_args!("{fault} 证明不成立"))),
    }
}

fn known(vkey: Option<&str>, door: &Door) -> Result<Option<Vkey>, Stop> {
    match vkey {
        Some(text) => super::parse_vkey(text).map(Some),
        None => Ok(door.vkey.clone()),
    }
}

fn promises(door: &Door) -> Result<Promised, Stop> {
    let data = door.data.as_ref().ok_or_else(|| {
        Stop::usage(
            "--promises reads a gateway's own log: name it with --identity 请以 --identity 指定网关目录",
        )
    })?;
    let settled = Clock::system().now().ms().saturating_sub(SETTLED_MS);
    promised(data, door.region, settled).map_err(Stop::failed)
}

/// Beside, then renamed: a stop in between keeps the one there was.
fn save(path: &Path, note: &[u8]) -> Result<(), Stop> {
    let named = |e: std::io::Error| Stop::failed(format_args!("{}: {}", path.display(), e.kind()));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, note).map_err(named)?;
    std::fs::rename(&beside, path).map_err(named)
}

fn print(verdict: &ServedVerdict) {
    verdict.logs.iter().for_each(print_log);
    for finding in &verdict.findings {
        out::line(format_args!("✗ {}", finding.message));
        out::line(format_args!("  {}", finding.message_zh));
    }
    if verdict.more > 0 {
        out::line(format_args!("… and {} more 另有 {} 项", verdict.more, verdict.more));
    }
    out::line(if verdict.sound { "sound 账本完好" } else { "violation 发现违规" });
}

fn print_log(log: &ServedLog) {
    out::line(format_args!("{}: {} leaves 条记录, {} tiles 哈希片", log.origin, log.size, log.tiles));
    out::line(format_args!("  key 公钥 {}", log.vkey));
    if let Some(witnesses) = &log.witnesses {
        out::line(format_args!("  witnessed by 见证 {}", witnesses.join(", ")));
    }
    if let Some(since) = log.since {
        out::line(format_args!("  held against the {since} leaves kept from before 与留存的 {since} 条比对"));
    }
    if log.promises > 0 {
        out::line(format_args!(
            "  {} promises of its answers held against the tree 承诺核对 {} 项",
            log.promises, log.promises
        ));
    }
    for told in &log.entries {
        let state = match told.state {
            EntryState::Proven => "proven 证明成立",
            EntryState::Withheld => "not there, or not ours to read 不存在或无权读取",
            EntryState::Wrong => "its proof does not hold 证明不成立",
        };
        out::line(format_args!("  leaf 记录 {}: {state}", told.index));
    }
}
