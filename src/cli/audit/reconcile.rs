//! `audit reconcile`: what the comparisons with partners came to, day by day, and each exchange
//! that is not the same on both sides.
//!
//! Reads beside a running gateway or in a copy of its data directory; asks nobody. Ends with
//! 2 when a window is disputed.

use std::path::PathBuf;

use clap::Args;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::super::{Common, Exit, Outcome, Stop, out};
use super::data_dir;
use crate::clock::Clock;
use crate::domain::Region;
use crate::reconcile::{BookFault, Day, DifferenceRow, days};

#[derive(Args)]
pub(super) struct Reconcile {
    /// One partner only 只看一个伙伴
    #[arg(long, value_name = "REGION", value_parser = region)]
    peer: Option<Region>,
    /// One day only, in Shanghai 只看一天
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<Date>,
    /// A data directory or its copy 数据目录或其副本
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|fault| fault.to_string())
}

impl Reconcile {
    pub(super) fn run(self, common: &Common) -> Outcome {
        let dir = data_dir(self.dir, common)?;
        let peer = self.peer.map(|region| region.to_string());
        let days = days(&dir, peer.as_deref(), self.day, Clock::system().now()).map_err(stop)?;
        let disputed = days.iter().any(|day| day.disputed > 0);
        if common.json {
            out::json(&json!({"sound": !disputed, "days": days}));
        } else {
            print(&days);
        }
        Ok(if disputed { Exit::Found } else { Exit::Well })
    }
}

fn stop(fault: BookFault) -> Stop {
    Stop::failed(fault)
}

fn print(days: &[Day]) {
    if days.is_empty() {
        return out::line("no window has been compared yet 尚无对账记录");
    }
    let rows = days.iter().map(|day| {
        [
            day.day.to_string(),
            day.peer.clone(),
            day.agreed.to_string(),
            day.disputed.to_string(),
            day.unsigned_minutes.to_string(),
            day.exchanges.to_string(),
            day.lost.to_string(),
        ]
    });
    out::line(out::table(
        [
            "日期 day",
            "伙伴 partner",
            "一致时段 agreed",
            "有异时段 disputed",
            "未签分钟 unsigned minutes",
            "交换 exchanges",
            "途中丢失 lost on the way",
        ],
        rows,
    ));
    days.iter().flat_map(|day| &day.differences).for_each(tell);
}

/// One difference in plain words: what it is, and where the proof lies.
fn tell(row: &DifferenceRow) {
    let span = format!("{} – {}", out::in_shanghai(row.window.from), out::in_shanghai(row.window.to));
    let what = row.proof.get("exchange").and_then(Value::as_str).map_or_else(
        || format!("编号摘要 id digest {}", row.x),
        |exchange| format!("交换 exchange {exchange}"),
    );
    let (zh, en) = meaning(row.kind);
    out::line(format_args!("✗ {} {what} ({span})", row.peer));
    out::line(format_args!("  {zh}"));
    out::line(format_args!("  {en}"));
    let (zh, en) = proof(&row.proof);
    out::line(format_args!("  证据：{zh}"));
    out::line(format_args!("  proof: {en}"));
}

fn meaning(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "hash-mismatch" => (
            "双方都有记录，但请求、结果或结论不同。",
            "Both sides have it, with another request, result or outcome.",
        ),
        "peer-lacks" => (
            "对方签过名，但对方账本中没有：对方漏记或删除。",
            "The partner signed its part and does not have it: not logged, or deleted.",
        ),
        "i-lack" => (
            "本方曾有记录，现已缺失：本方账本被删改。",
            "This side had it and has it no more: this ledger was changed.",
        ),
        "in-flight" => ("应答在途中丢失，双方均无过错。", "The answer was lost on the way; nobody's doing."),
        _ => (
            "对方声称有此交换，本方从未有过，也无本方签名：对方添加。",
            "The partner claims it; this side never had it and no signature of this side stands behind it: made up.",
        ),
    }
}

fn proof(proof: &Value) -> (String, String) {
    let text = |name: &str| proof.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| proof.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let here = format!("{}#{}", text("origin"), number("/index"));
    let (mut zh, mut en) = match text("by") {
        "partner-answer" => {
            let origin = proof.pointer("/promise/origin").and_then(Value::as_str).unwrap_or_default();
            let there = format!("{origin}#{}", number("/promise/index"));
            (
                format!("对方签名的应答在本方记录 {here} 的证据中，其中承诺记于 {there}。"),
                format!("the partner's signed answer, in the evidence of {here}, promises {there}."),
            )
        }
        "partner-request" => (
            format!("对方签名的请求在本方记录 {here} 的证据中。"),
            format!("the partner's signed request, in the evidence of {here}."),
        ),
        "own-tree" => (
            format!("本方已签名的账本树在 {here} 处仍有其散列。"),
            format!("the signed tree of this side still holds its hash at {here}."),
        ),
        "partner-statement" => (
            "对方签名的条目清单（reconcile.db 中 statement）。".to_owned(),
            "the partner's signed list (statement in reconcile.db).".to_owned(),
        ),
        _ => ("不需要。".to_owned(), "none needed.".to_owned()),
    };
    if proof.get("unchanged") == Some(&Value::Bool(false)) && text("by") != "own-tree" {
        zh.push_str("注意：本方该条记录与已签名的账本树不符。");
        en.push_str(" Note: this side's own leaf is not what its signed tree holds.");
    }
    (zh, en)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::DifferenceKind;

    #[test]
    fn every_class_has_words_of_its_own() {
        let mut seen: Vec<_> = DifferenceKind::ALL.map(|kind| meaning(kind.word())).into();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), DifferenceKind::ALL.len());
    }
}
