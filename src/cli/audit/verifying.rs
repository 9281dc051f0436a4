//! `audit verify`: the whole log of a directory, a range of it, one proof, or what a door serves.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::far::{Far, is_url};
use super::served::Held;
use super::{check, data_dir, own_key, parse_vkey, read_policy, store_stop};
use crate::cli::{Common, Exit, Outcome, Stop, out};
use crate::ledger::verify::{self, Asked, KeySource, RangeFault, Verdict};

/// Hold every leaf, tile, checkpoint and vault against the others 全面核验账本
#[derive(Args)]
pub struct Verify {
    /// A data directory, its copy, or https://HOST:PORT of a partner's door; without it, that of --config 数据目录、副本或网关地址
    dir: Option<PathBuf>,
    /// The ledger's key as on the region's card; without it, for a DIR, the log's own word is taken 账本验证公钥
    #[arg(long)]
    vkey: Option<String>,
    /// Everything (as without it) 全部核验（默认）
    #[arg(long, conflicts_with_all = ["range", "proof"])]
    full: bool,
    /// Only leaves I up to, not including, J of the newest log, proven under its checkpoint 只核验一段
    #[arg(long, value_name = "I..J", conflicts_with = "proof")]
    range: Option<String>,
    /// Only this .tlog-proof 只校验一份证明
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// A checkpoint that somebody else kept: shows a directory put back to yesterday 他处留存的检查点
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Of a proof or an address: whose cosignatures the checkpoint must bear, and the log's key 见证策略文件
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    far: Far,
}

impl Verify {
    pub fn run(self, common: &Common) -> Outcome {
        if let Some(file) = &self.proof {
            let policy = self.policy.as_deref().map(read_policy).transpose()?;
            return check(file, self.vkey.as_deref(), policy.as_ref(), common);
        }
        if let Some(url) = self.dir.as_deref().filter(|dir| is_url(dir)) {
            let held = Held::since(self.checkpoint.into_iter().next());
            return held.run(url, &self.far, self.vkey.as_deref(), self.policy.as_deref(), common);
        }
        if self.policy.is_some() {
            return Err(Stop::usage("--policy goes with --proof or an address 策略文件用于证明或网关地址"));
        }
        let key = match (&self.vkey, &self.dir) {
            (Some(text), _) => Some(*parse_vkey(text)?.public()),
            (None, None) => Some(own_key(common)?.public()),
            (None, Some(_)) => None,
        };
        let dir = data_dir(self.dir, common)?;
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|e| Stop::usage(format_args!("{}: {}", path.display(), e.kind())))
        };
        let elsewhere = self.checkpoint.iter().map(read).collect::<Result<_, _>>()?;
        let bar = Bar::new();
        let tell = |done: u64, all: u64| bar.tell(done, all);
        let asked = Asked { key, elsewhere, progress: Some(&tell) };
        let verdict = match &self.range {
            None => verify::verify_as(&dir, &asked).map_err(|fault| store_stop(&dir, &fault)),
            Some(text) => {
                let range = parse_range(text)?;
                verify::verify_range(&dir, &asked, range).map_err(|fault| match fault {
                    RangeFault::Store(fault) => store_stop(&dir, &fault),
                    other => Stop::failed(other),
                })
            }
        };
        bar.end();
        let verdict = verdict?;
        if common.json {
            out::json(&serde_json::to_value(&verdict).unwrap_or_default());
        } else {
            print(&verdict);
        }
        Ok(if verdict.sound { Exit::Well } else { Exit::Found })
    }
}

/// `I..J`; `J` may be left out.
pub fn parse_open_range(text: &str) -> Result<(u64, Option<u64>), Stop> {
    let wrong = || Stop::usage("a range is written I..J, for example 100..200 区间写作 I..J");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let from = if from.is_empty() { 0 } else { from.parse().map_err(|_| wrong())? };
    let to = if to.is_empty() { None } else { Some(to.parse().map_err(|_| wrong())?) };
    if to.is_some_and(|to| to <= from) { Err(wrong()) } else { Ok((from, to)) }
}

fn parse_range(text: &str) -> Result<std::ops::Range<u64>, Stop> {
    let (from, to) = parse_open_range(text)?;
    Ok(from..to.unwrap_or(u64::MAX))
}

fn print(verdict: &Verdict) {
    for log in &verdict.logs {
        out::line(format_args!(
            "{}: {} leaves 条记录, {} under a signed checkpoint 已签名; {} checkpoints 检查点, {} tiles 哈希片",
            log.origin, log.leaves, log.sealed, log.checkpoints, log.tiles
        ));
        if let Some(vkey) = &log.vkey {
            let source = match log.key {
                KeySource::Given => "as given 由您给定",
                KeySource::Genesis => {
                    "the log's own word; compare it with the region's card 账本自述，请与名片核对"
                }
                KeySource::Unknown => "",
            };
            out::line(format_args!("  key 公钥 {vkey} ({source})"));
        }
        evidence(&log.evidence);
    }
    for finding in &verdict.findings {
        out::line(format_args!("✗ {}", finding.message));
        out::line(format_args!("  {}", finding.message_zh));
    }
    if verdict.more > 0 {
        out::line(format_args!("… and {} more 另有 {} 项", verdict.more, verdict.more));
    }
    out::line(if verdict.sound { "sound 账本完好" } else { "changed 账本被改动" });
}

/// What became of evidence, in lines.
pub fn evidence(seen: &verify::EvidenceReport) {
    if *seen == verify::EvidenceReport::default() {
        return;
    }
    out::line(format_args!(
        "  evidence 证据: {} present 在库, {} erased 依令删除, {} dropped 到期销毁, {} missing 缺失, {} held 保全",
        seen.present, seen.erased, seen.dropped, seen.missing, seen.held
    ));
    for (order, leaves) in &seen.orders {
        out::line(format_args!("  · {leaves} gone by order #{order} 依令 #{order} 删除 {leaves} 条"));
    }
}

/// Progress on a terminal: one line on standard error, for runs that take long enough to ask.
pub struct Bar {
    since: Instant,
    shown: RefCell<Option<Instant>>,
}

/// Before this nobody wonders.
const QUIET: Duration = Duration::from_millis(500);
/// How often the line changes.
const EVERY: Duration = Duration::from_millis(200);
/// Cells of the bar.
const CELLS: u64 = 30;

impl Bar {
    pub fn new() -> Self {
        Self { since: Instant::now(), shown: RefCell::new(None) }
    }

    pub fn tell(&self, done: u64, all: u64) {
        let mut shown = self.shown.borrow_mut();
        let due = shown.map_or(self.since.elapsed() > QUIET, |last| last.elapsed() > EVERY);
        if !due || all == 0 || !std::io::stderr().is_terminal() {
            return;
        }
        *shown = Some(Instant::now());
        let full = usize::try_from(done * CELLS / all).unwrap_or(0);
        let empty = usize::try_from(CELLS).unwrap_or(0).saturating_sub(full);
        let (percent, secs) = (done * 100 / all, self.since.elapsed().as_secs());
        let cells = "█".repeat(full) + &"░".repeat(empty);
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "\r{cells} {percent:3} % · {done}/{all} · {secs} s ");
        let _ = err.flush();
    }

    pub fn end(&self) {
        if self.shown.borrow().is_some() {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_never_empty() {
        assert_eq!(parse_open_range("3..9").unwrap(), (3, Some(9)));
        assert_eq!(parse_open_range("..9").unwrap(), (0, Some(9)));
        assert_eq!(parse_open_range("3..").unwrap(), (3, None));
        for text in ["", "3", "3..3", "9..3", "a..b", "-1..3"] {
            assert!(parse_open_range(text).is_err(), "{text}");
        }
    }
}
