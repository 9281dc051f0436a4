//! `audit erase`, `hold`, `release`, `retention`: what is ordered about evidence.

use clap::Args;
use serde_json::Value;

use super::super::{Common, Outcome, Stop, out};
use super::errands::{Why, send};
use super::looking::{leaves, recorded};
use super::sought::{Period, Sought};
use crate::audit::{EraseOrder, Errand};

/// Erase evidence by order; every proof stays valid 按令删除证据
#[derive(Args)]
pub struct Erase {
    #[command(flatten)]
    why: Why,
    /// Leaves: 4711, or 2026h2/4711 记录
    #[arg(value_name = "LEAF")]
    leaves: Vec<String>,
    #[command(flatten)]
    sought: Sought,
    #[command(flatten)]
    period: Period,
    /// Take all of it out of use and erase nothing 仅限制处理
    #[arg(long, conflicts_with = "legal_basis")]
    restrict: bool,
    /// Erase also what the law asks to keep longer, on this basis 提前删除的法律依据
    #[arg(long, value_name = "TEXT")]
    legal_basis: Option<String>,
}

impl Erase {
    pub fn run(self, common: &Common) -> Outcome {
        let (shard, of) = leaves(&self.leaves)?;
        let (from, to) = self.period.moments()?;
        let mut question = self.sought.question()?;
        (question.from, question.to) = (from, to);
        let named = question.people().next().is_some();
        if named != of.is_empty() {
            return Err(Stop::usage(
                "name leaves, or one of --citizen, --license, --case, --operator 请指定记录或当事人",
            ));
        }
        let order = EraseOrder {
            shard,
            of,
            question: named.then_some(question),
            restrict: self.restrict,
            legal_basis: self.legal_basis,
        };
        let sent = self.why.sends(Errand::Erase { order: Box::new(order) });
        send(common, &sent)?.print(common, |done| {
            let list = |name: &str| done.get(name).and_then(Value::as_array).map_or(0, Vec::len);
            out::line(format_args!("erased 已删除: {}", list("erased")));
            out::line(format_args!(
                "restricted, the law asks to keep them 依法须保存，已限制处理: {}",
                list("restricted")
            ));
            out::line(format_args!("nothing there 无证据: {}", list("absent")));
            if list("exports") > 0 {
                out::line("exports that contain some of it 下列导出包含其中内容:");
                for export in done.get("exports").and_then(Value::as_array).into_iter().flatten() {
                    let text = |name: &str| export.get(name).and_then(Value::as_str).unwrap_or_default();
                    out::line(format_args!("  {} {} {}", text("leaf"), text("by"), text("order")));
                }
            }
            for leaf in done.get("leaves").and_then(Value::as_array).into_iter().flatten() {
                out::note(format_args!("recorded as leaf {} 已留痕", leaf.as_str().unwrap_or_default()));
            }
        })
    }
}

/// Keep evidence whatever else is ordered 保全证据
#[derive(Args)]
pub struct Hold {
    #[command(flatten)]
    why: Why,
    /// Leaves: 4711, or 2026h2/4711 记录
    #[arg(value_name = "LEAF", required = true)]
    leaves: Vec<String>,
}

impl Hold {
    pub fn hold(self, common: &Common) -> Outcome {
        self.send(common, |shard, of| Errand::Hold { shard, of })
    }

    pub fn release(self, common: &Common) -> Outcome {
        self.send(common, |shard, of| Errand::Release { shard, of })
    }

    fn send(self, common: &Common, errand: impl FnOnce(Option<String>, Vec<u64>) -> Errand) -> Outcome {
        let (shard, of) = leaves(&self.leaves)?;
        send(common, &self.why.sends(errand(shard, of)))?.print(common, |done| {
            let list = |name: &str| done.get(name).map(Value::to_string).unwrap_or_default();
            out::line(format_args!("done 已执行: {}", list("of")));
            out::line(format_args!("not concerned 未涉及: {}", list("absent")));
            recorded(done);
        })
    }
}

/// Drop the months of evidence whose period is over 清理到期证据
#[derive(Args)]
pub struct Retention {
    #[command(flatten)]
    why: Why,
}

impl Retention {
    pub fn run(self, common: &Common) -> Outcome {
        send(common, &self.why.sends(Errand::Retention {}))?.print(common, |run| {
            for (name, words) in
                [("dropped", "dropped 已清理"), ("kept", "kept, something is held 有保全，未清理")]
            {
                for month in run.get(name).and_then(Value::as_array).into_iter().flatten() {
                    let text = |name: &str| month.get(name).map(Value::to_string).unwrap_or_default();
                    out::line(format_args!(
                        "{words}: {} {} ({})",
                        text("month"),
                        text("class"),
                        text("rows")
                    ));
                }
            }
        })
    }
}
