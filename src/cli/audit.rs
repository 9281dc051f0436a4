//! `audit`: the ledger checked, shown and proven, from a data directory or a copy of it, and from
//! the door that another region serves it at.
//!
//! Verifying, showing and proving need no running gateway and stop none: what can be checked is
//! in [`crate::ledger::verify`]; this turns it into lines. What needs a record goes to the desk
//! ([`errands`]). Exit codes are those of every
//! command (protocol §10): 0 sound, 1 could not be read, 2 a change was found, 64 usage.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Common, Exit, Outcome, Stop, out};
use crate::keys::read_private_file;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::proof::{LARGEST_PROOF, Proof, ProofFault, Proven};
use crate::ledger::verify::{self, LookFault, ShownLeaf, StoreFault};
use crate::ledger::{LedgerKey, Vkey};
use crate::witness::Policy;

mod bound;
mod consistency;
pub(super) mod errands;
mod far;
mod looking;
mod opening;
mod orders;
mod proving;
mod reconcile;
mod packages;
mod served;
mod sought;
mod verifying;
mod witness;
mod words;

/// Check, show and prove what the ledger holds 核验、查看、举证账本
#[derive(Args)]
pub struct Audit {
    /// On a stopped gateway: ask no partner whether the log is an older copy; the register tells 网关停机时不向伙伴核实（记入登记）
    #[arg(long, global = true)]
    offline: bool,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    Verify(Box<verifying::Verify>),
    /// Show the leaves of an exchange, or the one at an index 查看记录
    Show(Show),
    /// Write one leaf's proof, or check such a file 生成或校验单条证明
    Proof(Prove),
    Consistency(consistency::ConsistencyArgs),
    /// Who watches our log, and whose we watch 互为见证
    Witness(witness::WitnessCommand),
    /// What the comparisons with partners came to 与伙伴对账的结果
    Reconcile(reconcile::Reconcile),
    Search(Box<looking::Search>),
    Subject(looking::Subject),
    Authorization(looking::Authorization),
    Registers(looking::Registers),
    Open(opening::Open),
    Key(opening::Key),
    Erase(orders::Erase),
    Hold(orders::Hold),
    /// Let held evidence go again 解除保全
    Release(orders::Hold),
    Retention(orders::Retention),
    Completeness(proving::Completeness),
    Warrant(proving::Warrant),
    Sample(proving::Sample),
    Export(packages::ExportArgs),
    Check(Box<packages::CheckArgs>),
}

impl Audit {
    pub fn run(self, common: &Common) -> Outcome {
        let common = &Common { offline: self.offline, ..common.clone() };
        match self.command {
            AuditCommand::Verify(command) => command.run(common),
            AuditCommand::Show(command) => command.run(common),
            AuditCommand::Proof(command) => command.run(common),
            AuditCommand::Consistency(command) => command.run(common),
            AuditCommand::Witness(command) => command.run(common),
            AuditCommand::Reconcile(command) => command.run(common),
            AuditCommand::Search(command) => command.run(common),
            AuditCommand::Subject(command) => command.run(common),
            AuditCommand::Authorization(command) => command.run(common),
            AuditCommand::Registers(command) => command.run(common),
            AuditCommand::Open(command) => command.run(common),
            AuditCommand::Key(command) => command.run(common),
            AuditCommand::Erase(command) => command.run(common),
            AuditCommand::Hold(command) => command.hold(common),
            AuditCommand::Release(command) => command.release(common),
            AuditCommand::Retention(command) => command.run(common),
            AuditCommand::Completeness(command) => command.run(common),
            AuditCommand::Warrant(command) => command.run(common),
            AuditCommand::Sample(command) => command.run(common),
            AuditCommand::Export(command) => command.run(common),
            AuditCommand::Check(command) => command.run(common),
        }
    }
}

#[derive(Args)]
struct Show {
    /// An exchange id, an index, or <year>h<1|2>/<index> 交换编号或序号
    what: String,
    /// A data directory or its copy 数据目录或其副本
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Ask the desk as this account: with what became of the evidence 以此账户查看证据状态
    #[arg(long = "as", value_name = "NAME", conflicts_with = "dir")]
    by: Option<String>,
    /// Ask a partner's door for the leaf, which it gives to whom it names 向对方网关取回
    #[arg(long, value_name = "https://HOST:PORT", conflicts_with_all = ["dir", "by"])]
    url: Option<PathBuf>,
    #[command(flatten)]
    far: far::Far,
}

impl Show {
    fn run(self, common: &Common) -> Outcome {
        if let Some(url) = &self.url {
            let (_, proven) = served::entry(url, &self.far, &self.what, common)?;
            proven_leaf(&proven, None, common);
            return Ok(Exit::Well);
        }
        if let Some(by) = &self.by {
            return looking::show(by, self.what, common);
        }
        let dir = data_dir(self.dir, common)?;
        let leaves = verify::find(&dir, &self.what).map_err(|fault| look_stop(&dir, fault))?;
        if common.json {
            out::json(&serde_json::to_value(&leaves).unwrap_or_default());
            return Ok(Exit::Well);
        }
        leaves.iter().for_each(show);
        Ok(Exit::Well)
    }
}

fn show(shown: &ShownLeaf) {
    let sealed =
        if shown.sealed { "under a signed checkpoint 已签名" } else { "no checkpoint yet 尚未签名" };
    out::line(format_args!("{} #{} — {sealed}", shown.origin, shown.index));
    out::line(format_args!("leaf hash 记录散列 {}", shown.leaf_hash));
    show_members(&shown.leaf);
}

pub(super) fn show_members(leaf: &Value) {
    let members = leaf.as_object().into_iter().flatten();
    let rows = members.map(|(name, value)| {
        let meaning = words::member(name);
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        [name.clone(), meaning.to_owned(), words::value(name, &text)]
    });
    out::line(out::table(["member 项", "meaning 含义", "value 值"], rows));
}

#[derive(Args)]
struct Prove {
    /// An index, <year>h<1|2>/<index>, or an exchange id 序号或交换编号
    #[arg(required_unless_present = "check", conflicts_with = "check")]
    what: Option<String>,
    /// Write the proof there instead of to standard output 输出文件
    #[arg(short, long, value_name = "FILE", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Check this proof file 校验证明文件
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// The ledger's key as on the region's card; without it, that of --config 账本验证公钥
    #[arg(long, requires = "check")]
    vkey: Option<String>,
    /// Whose cosignatures the checkpoint must bear, and the log's key 见证策略文件
    #[arg(long, requires = "check", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A data directory or its copy 数据目录或其副本
    #[arg(long, conflicts_with = "check")]
    dir: Option<PathBuf>,
    /// Ask a partner's door for the proof, which it gives to whom the leaf names 向对方网关取回
    #[arg(long, value_name = "https://HOST:PORT", conflicts_with_all = ["dir", "check"])]
    url: Option<PathBuf>,
    #[command(flatten)]
    far: far::Far,
}

impl Prove {
    fn run(self, common: &Common) -> Outcome {
        if let Some(file) = &self.check {
            let policy = self.policy.as_deref().map(read_policy).transpose()?;
            return check(file, self.vkey.as_deref(), policy.as_ref(), common);
        }
        let what = self.what.unwrap_or_default();
        let (bytes, index) = match &self.url {
            Some(url) => {
                let (bytes, proven) = served::entry(url, &self.far, &what, common)?;
                (bytes, proven.index)
            }
            None => {
                let dir = data_dir(self.dir, common)?;
                let proof = verify::proof(&dir, &what).map_err(|fault| look_stop(&dir, fault))?;
                (proof.to_bytes(), proof.index)
            }
        };
        match self.out {
            Some(file) => {
                std::fs::write(&file, bytes)
                    .map_err(|e| Stop::failed(format_args!("{}: {}", file.display(), e.kind())))?;
                out::note(format_args!("{}: proof of leaf {index} 证明已生成", file.display()));
            }
            None => out::line(String::from_utf8_lossy(&bytes).trim_end()),
        }
        Ok(Exit::Well)
    }
}

fn check(file: &Path, vkey: Option<&str>, policy: Option<&Policy>, common: &Common) -> Outcome {
    let named = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let size = std::fs::metadata(file).map_err(|e| Stop::usage(named(&e.kind())))?.len();
    if size > LARGEST_PROOF as u64 {
        return Err(Stop::usage(named(&ProofFault::Malformed)));
    }
    let bytes = std::fs::read(file).map_err(|e| Stop::usage(named(&e.kind())))?;
    let found = |fault: &dyn std::fmt::Display| {
        if common.json {
            out::json(&json!({"sound": false, "fault": fault.to_string()}));
        } else {
            out::line(format_args!("✗ {} 证明不成立", named(fault)));
        }
        Exit::Found
    };
    let proof = match Proof::parse(&bytes) {
        Ok(proof) => proof,
        Err(fault) => return Ok(found(&fault)),
    };
    let origin = Checkpoint::peek(&proof.checkpoint).map(|c| c.origin).unwrap_or_default();
    let listed = policy.and_then(|policy| policy.log(&origin));
    let judged = policy.map(|policy| witness::judge(policy, &proof.checkpoint));
    let vkey = match (vkey, listed) {
        (Some(text), _) => parse_vkey(text)?,
        (None, Some(listed)) => listed,
        (None, None) => {
            let own = own_key(common)?.vkey(&origin);
            own.ok_or_else(|| Stop::usage(named(&ProofFault::Malformed)))?
        }
    };
    let proven = match proof.verify(&vkey) {
        Ok(proven) => proven,
        Err(fault) => return Ok(found(&fault)),
    };
    let by = match judged {
        None => None,
        Some(Some(judged)) if judged.quorum => Some(judged.by),
        Some(_) => return Ok(found(&"its checkpoint is not cosigned by enough witnesses 见证不足")),
    };
    let witnesses: Option<Vec<String>> = by.map(|by| by.into_iter().map(|(name, _)| name).collect());
    proven_leaf(&proven, witnesses, common);
    Ok(Exit::Well)
}

fn proven_leaf(proven: &Proven, witnesses: Option<Vec<String>>, common: &Common) {
    let leaf: Value = serde_json::from_slice(&proven.leaf).unwrap_or_default();
    let (origin, size) = (&proven.checkpoint.origin, proven.checkpoint.size);
    if common.json {
        out::json(
            &json!({"sound": true, "origin": origin, "index": proven.index, "size": size, "witnesses": witnesses,
                "leaf": leaf}),
        );
    } else {
        out::line(format_args!("proven 证明成立: leaf {} of {origin} under {size} leaves", proven.index));
        if let Some(witnesses) = witnesses {
            out::line(format_args!("witnessed by 见证 {}", witnesses.join(", ")));
        }
        show_members(&leaf);
    }
}

fn parse_vkey(text: &str) -> Result<Vkey, Stop> {
    Vkey::parse(text).map_err(|fault| Stop::usage(format_args!("--vkey {fault} 不是有效的账本公钥")))
}

/// A policy file; its faults end the command.
fn read_policy(file: &Path) -> Result<Policy, Stop> {
    let bytes =
        std::fs::read(file).map_err(|e| Stop::usage(format_args!("{}: {}", file.display(), e.kind())))?;
    Policy::parse(&bytes).map_err(|faults| {
        Stop::Usage(faults.iter().map(|fault| format!("{}: {fault}", file.display())).collect())
    })
}

/// The public half of the configured ledger key.
fn own_key(common: &Common) -> Result<LedgerKey, Stop> {
    let config = common.load()?;
    let path = config.path(&config.ledger.key);
    let pem = read_private_file(&path)?;
    LedgerKey::from_pem(&pem).map_err(|fault| Stop::usage(format_args!("{}: {fault}", path.display())))
}

/// The directory named, or the configured one. A gateway's own directory is understood too.
fn data_dir(named: Option<PathBuf>, common: &Common) -> Result<PathBuf, Stop> {
    let Some(dir) = named else { return Ok(common.load()?.data_dir()) };
    let inside = dir.join("data");
    Ok(if !dir.join("ledger").is_dir() && inside.join("ledger").is_dir() { inside } else { dir })
}

fn store_stop(dir: &Path, fault: &StoreFault) -> Stop {
    match fault {
        StoreFault::File { kind: std::io::ErrorKind::NotFound, .. } => {
            Stop::usage(format_args!("{}: holds no ledger 此目录下没有账本", dir.display()))
        }
        other => Stop::failed(other),
    }
}

fn look_stop(dir: &Path, fault: LookFault) -> Stop {
    match fault {
        LookFault::Store(fault) => store_stop(dir, &fault),
        LookFault::NoSuchLeaf => Stop::failed("there is no such leaf 没有这条记录"),
        LookFault::NotSealed => {
            Stop::failed("no checkpoint covers that leaf yet; try again in a second 尚未签名，请稍后再试")
        }
        other => Stop::failed(other),
    }
}

#[cfg(test)]
mod tests;
