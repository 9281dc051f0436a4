//! `audit export` and `audit check`: a package made, and one checked.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::Args;

use super::errands::{Why, send};
use super::far::{Far, is_url};
use super::served::Held;
use super::verifying::{evidence, parse_open_range};
use super::{data_dir, own_key, parse_vkey, read_policy};
use crate::audit::package::check::{CheckFault, PackageVerdict, Trust, check};
use crate::audit::package::{Export, ExportFault, Exported, Selection, Warrant, export};
use crate::audit::{Errand, ExportFacts};
use crate::cli::{Common, Exit, Outcome, Stop, out};
use crate::ledger::Shard;
use crate::ledger::verify::KeySource;

/// Octets of a warrant or policy file: a page of text.
const LARGEST_FILE: u64 = 256 << 10;

/// Write leaves with their proofs and evidence into one archive anybody can check 导出核验包
#[derive(Args)]
pub struct ExportArgs {
    /// Leaves I up to, not including, J; to the newest without J 序号区间
    #[arg(long, value_name = "I..J", group = "what")]
    range: Option<String>,
    /// These leaves 指定记录
    #[arg(long = "leaf", value_name = "INDEX", group = "what")]
    leaves: Vec<u64>,
    /// Every leaf of these exchanges 指定交换编号
    #[arg(long = "exchange", value_name = "ID", group = "what")]
    exchanges: Vec<String>,
    /// The period and subject of this warrant, complete 按检索令完整导出
    #[arg(long, value_name = "FILE", group = "what")]
    warrant: Option<PathBuf>,
    /// The half-year; the newest without it 半年账本
    #[arg(long, value_name = "2026h2")]
    shard: Option<String>,
    /// A c2sp.org/tlog-policy to put into the package 随附的信任策略
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A data directory or its copy; without it, that of --config 数据目录或其副本
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The package 输出文件
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    why: Why,
}

impl ExportArgs {
    pub fn run(self, common: &Common) -> Outcome {
        let key = own_key(common)?;
        let data = data_dir(self.dir.clone(), common)?;
        let (selection, of_warrant) = self.selection()?;
        let shard = match self.shard.as_deref().or(of_warrant.as_deref()) {
            Some(name) => Some(Shard::parse(name).ok_or_else(|| Stop::usage("--shard is written 2026h2"))?),
            None => None,
        };
        let policy = self.policy.as_deref().map(read_text).transpose()?;
        let request = Export { data: &data, key: &key, shard, selection, policy };
        let named = |what: &dyn std::fmt::Display| format!("{}: {what}", self.out.display());
        // Beside, then renamed: nobody takes half a package for one.
        let mut beside = self.out.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let file = File::create(&beside).map_err(|e| Stop::failed(named(&e.kind())))?;
        let mut writer = BufWriter::new(file);
        let made = export(&request, &mut writer).and_then(|made| {
            writer.into_inner().map_err(|e| e.into_error())?.sync_all()?;
            Ok(made)
        });
        let made = made.map_err(|fault| export_stop(&fault));
        // Recorded before it has its name: what cannot be recorded is not handed out.
        let recorded = made.and_then(|made| {
            self.record(&made, common)?;
            fs::rename(&beside, &self.out).map_err(|e| Stop::failed(named(&e.kind())))?;
            Ok(made)
        });
        let made = recorded.inspect_err(|_| drop(fs::remove_file(&beside)))?;
        let sum = hex::encode(made.sha256);
        if common.json {
            out::json(&serde_json::json!({
                "file": self.out, "sha256": sum, "bytes": made.bytes, "log": made.origin,
                "leaves": made.leaves, "evidence": made.evidence,
            }));
        } else {
            out::line(format_args!(
                "{}: {} leaves 条记录, {} with evidence 含证据, {} bytes 字节",
                self.out.display(),
                made.leaves,
                made.evidence.len(),
                made.bytes
            ));
            out::line(format_args!("  sha256 {sum}"));
        }
        Ok(Exit::Well)
    }

    fn record(&self, made: &Exported, common: &Common) -> Result<(), Stop> {
        let facts = ExportFacts {
            shard: made.shard.to_string(),
            sha256: hex::encode(made.sha256),
            leaves: made.leaves,
            of: made.evidence.clone(),
        };
        send(common, &self.why.sends(Errand::Export { facts }))?.done().map(drop)
    }

    fn selection(&self) -> Result<(Selection, Option<String>), Stop> {
        if let Some(text) = &self.range {
            let (from, to) = parse_open_range(text)?;
            return Ok((Selection::Range { from, to }, None));
        }
        if let Some(path) = &self.warrant {
            let warrant = read_warrant(path)?;
            let subject = warrant.key().ok_or_else(|| Stop::usage("the warrant holds no key 检索令无效"))?;
            let Warrant { field, from, to, .. } = warrant;
            return Ok((
                Selection::Window { field, subject: Box::new(subject), from, to },
                Some(warrant.shard),
            ));
        }
        match (self.leaves.is_empty(), self.exchanges.is_empty()) {
            (false, _) => Ok((Selection::Leaves(self.leaves.clone()), None)),
            (_, false) => Ok((Selection::Exchanges(self.exchanges.clone()), None)),
            _ => Err(Stop::usage("name --range, --leaf, --exchange or --warrant 请指定导出范围")),
        }
    }
}

/// Check a package, or a log at a URL, with tools that take nobody's word 核验导出包或网上账本
#[derive(Args)]
pub struct CheckArgs {
    /// pkg.tar, the folder it was unpacked into, or https://HOST:PORT of a partner's door 导出包或网关地址
    package: PathBuf,
    /// The log's key as on the region's card; without it or --policy, the package's own word is taken 账本验证公钥
    #[arg(long, conflicts_with = "policy")]
    vkey: Option<String>,
    /// A c2sp.org/tlog-policy: whom to believe 信任策略
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Shows that what it was searched for is complete 检索令
    #[arg(long, value_name = "FILE")]
    warrant: Option<PathBuf>,
    #[command(flatten)]
    held: Held,
    #[command(flatten)]
    far: Far,
}

impl CheckArgs {
    pub fn run(self, common: &Common) -> Outcome {
        if is_url(&self.package) {
            let (vkey, policy) = (self.vkey.as_deref(), self.policy.as_deref());
            return self.held.run(&self.package, &self.far, vkey, policy, common);
        }
        let trust = match (&self.vkey, &self.policy) {
            (Some(vkey), _) => Trust::vkey(parse_vkey(vkey)?),
            (None, Some(path)) => Trust::policy(read_policy(path)?),
            (None, None) => Trust::default(),
        };
        let warrant = self.warrant.as_deref().map(read_warrant).transpose()?;
        let verdict = check(&self.package, &trust, warrant.as_ref()).map_err(|fault| match fault {
            CheckFault::Io(e) => Stop::failed(format_args!("{}: {}", self.package.display(), e.kind())),
            CheckFault::NoPackage => {
                Stop::failed(format_args!("{}: {fault} 不是导出包", self.package.display()))
            }
        })?;
        if common.json {
            out::json(&serde_json::to_value(&verdict).unwrap_or_default());
        } else {
            print(&verdict);
        }
        Ok(if verdict.sound { Exit::Well } else { Exit::Found })
    }
}

fn print(verdict: &PackageVerdict) {
    if let Some(origin) = &verdict.origin {
        out::line(format_args!(
            "{origin}: {} leaves 条记录 of a log of 账本共 {}",
            verdict.leaves, verdict.size
        ));
    }
    if let Some(vkey) = &verdict.vkey {
        let source = match verdict.key {
            KeySource::Given => "as given 由您给定",
            _ => "the package's own word; compare it with the region's card 包内自述，请与名片核对",
        };
        out::line(format_args!("  key 公钥 {vkey} ({source})"));
    }
    evidence(&verdict.evidence);
    match verdict.complete {
        Some(true) => out::line("  complete: nothing the warrant finds was left out 完整：检索令所及无遗漏"),
        Some(false) => out::line("  not complete 不完整"),
        None => {}
    }
    for finding in &verdict.findings {
        out::line(format_args!("✗ {}", finding.message));
        out::line(format_args!("  {}", finding.message_zh));
    }
    if verdict.more > 0 {
        out::line(format_args!("… and {} more 另有 {} 项", verdict.more, verdict.more));
    }
    out::line(if verdict.sound { "sound 完好" } else { "violation 发现违规" });
}

fn export_stop(fault: &ExportFault) -> Stop {
    match fault {
        ExportFault::OtherKey => Stop::usage(format_args!("{fault} 账本密钥与账本不符")),
        ExportFault::Nothing => Stop::failed(format_args!("{fault} 未选中任何记录")),
        other => Stop::failed(other),
    }
}

fn read_warrant(path: &Path) -> Result<Warrant, Stop> {
    Warrant::parse(read_text(path)?.as_bytes())
        .map_err(|fault| Stop::usage(format_args!("{}: {fault} 检索令无效", path.display())))
}

fn read_text(path: &Path) -> Result<String, Stop> {
    let named = |what: &dyn std::fmt::Display| Stop::usage(format_args!("{}: {what}", path.display()));
    let size = fs::metadata(path).map_err(|e| named(&e.kind()))?.len();
    if size > LARGEST_FILE {
        return Err(named(&"is larger than such a file is"));
    }
    fs::read_to_string(path).map_err(|e| named(&e.kind()))
}
