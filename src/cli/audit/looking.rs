//! `audit search`, `subject`, `authorization`, `registers`: what an auditor looks for.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::super::{Common, Outcome, Stop, out};
use super::bound;
use super::errands::{As, Why, send};
use super::sought::{Period, Sought};
use crate::audit::{Act, Errand, Page, Question};

/// Find exchanges; the search itself is recorded 检索交换记录
#[derive(Args)]
pub struct Search {
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    sought: Sought,
    #[command(flatten)]
    period: Period,
    /// The region on the other side 对方地区
    #[arg(long, value_name = "CODE")]
    partner: Option<String>,
    /// license.query, application.submit, … 操作
    #[arg(long)]
    op: Option<String>,
    /// Item code 事项编码
    #[arg(long)]
    item: Option<String>,
    /// License type code 证照类型
    #[arg(long, value_name = "CODE")]
    license_type: Option<String>,
    /// permit, deny or error 决定
    #[arg(long)]
    decision: Option<String>,
    /// Refusal code 拒绝码
    #[arg(long)]
    code: Option<String>,
    /// The leaf's auth 授权摘要
    #[arg(long, value_name = "HASH")]
    auth: Option<String>,
    /// Rows on a page, 20 to 200 每页条数
    #[arg(long)]
    rows: Option<u32>,
    /// The page after this place 下一页
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

impl Search {
    pub fn run(self, common: &Common) -> Outcome {
        let (from, to) = self.period.moments()?;
        let question = Question {
            partner: self.partner,
            op: self.op,
            item: self.item,
            license_type: self.license_type,
            decision: self.decision,
            code: self.code,
            auth: self.auth,
            from,
            to,
            ..self.sought.question()?
        };
        let page = Page { after: self.after, rows: self.rows };
        let sent = self.why.sends(Errand::Search { question: Box::new(question), page });
        send(common, &sent)?.print(common, |found| {
            rows(found);
            if let Some(next) = found.get("next").and_then(Value::as_str) {
                out::line(format_args!("more 下一页: --after {next}"));
            }
            recorded(found);
        })
    }
}

/// Who looked at somebody's data, when, why, under which authorization 当事人报告
#[derive(Args)]
pub struct Subject {
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    sought: Sought,
    #[command(flatten)]
    period: Period,
}

impl Subject {
    pub fn run(self, common: &Common) -> Outcome {
        let ((from, to), (field, value)) = (self.period.moments()?, self.sought.one()?);
        let sent = self.why.sends(Errand::Subject { field, value, from, to });
        send(common, &sent)?.print(common, |report| {
            rows(report);
            let acts = report.get("acts").and_then(Value::as_array);
            if let Some(acts) = acts.filter(|acts| !acts.is_empty()) {
                out::line("Auditors' acts 审计人员的操作:");
                entries(acts);
            }
            recorded(report);
        })
    }
}

/// Every use of one authorization 授权的全部使用
#[derive(Args)]
pub struct Authorization {
    #[command(flatten)]
    why: Why,
    /// Who signed it: urn:tongban:idp:… 签发方
    #[arg(long)]
    iss: String,
    /// Its id 授权编号
    #[arg(long)]
    jti: String,
}

impl Authorization {
    pub fn run(self, common: &Common) -> Outcome {
        let sent = self.why.sends(Errand::Authorization { iss: self.iss, jti: self.jti });
        send(common, &sent)?.print(common, |uses| {
            rows(uses);
            let taken = uses.get("taken").and_then(Value::as_u64).unwrap_or_default();
            out::line(format_args!("answered under it 已使用次数: {taken}"));
            recorded(uses);
        })
    }
}

/// `show` at the desk: the leaves, their evidence, what auditors did with them.
pub fn show(by: &str, what: String, common: &Common) -> Outcome {
    send(common, &As::named(by).sends(Errand::Show { what }))?.print(common, |found| {
        for shown in found.as_array().into_iter().flatten() {
            let text = |name: &str| shown.get(name).map(plain).unwrap_or_default();
            out::line(format_args!(
                "{} #{} evidence 证据: {}",
                text("origin"),
                text("index"),
                text("evidence")
            ));
            super::show_members(shown.get("leaf").unwrap_or(&Value::Null));
            let acts = shown.get("acts").and_then(Value::as_array);
            if let Some(acts) = acts.filter(|acts| !acts.is_empty()) {
                entries(acts);
            }
        }
    })
}

/// Who searched, opened, exported, erased 登记簿
#[derive(Args)]
pub struct Registers {
    /// The account of trust/console that acts 账户名
    #[arg(long = "as", value_name = "NAME", required_unless_present = "check")]
    by: Option<String>,
    /// Hold every entry against its leaf instead; no account is needed 与账本逐项核对
    #[arg(long, conflicts_with_all = ["by", "act", "of", "before"])]
    check: bool,
    /// With --check: a data directory or its copy 数据目录或其副本
    #[arg(long, requires = "check")]
    dir: Option<PathBuf>,
    /// search, open, export, erase, hold, … 操作
    #[arg(long, value_parser = act)]
    act: Option<Act>,
    /// Only this account's 账户
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// Entries before this number 此编号之前
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

fn act(word: &str) -> Result<Act, String> {
    let words = || Act::ALL.map(Act::word).join(", ");
    Act::ALL.into_iter().find(|act| act.word() == word).ok_or_else(|| format!("one of {}", words()))
}

impl Registers {
    pub fn run(self, common: &Common) -> Outcome {
        let Some(by) = self.by.filter(|_| !self.check) else { return bound::check(self.dir, common) };
        let errand = Errand::Registers { act: self.act, by: self.of, before: self.before };
        send(common, &As::named(&by).sends(errand))?.print(common, |found| {
            entries(found.as_array().map(Vec::as_slice).unwrap_or_default());
        })
    }
}

/// A list of leaves.
fn rows(found: &Value) {
    let rows = found.get("rows").and_then(Value::as_array).into_iter().flatten();
    let mut count = 0;
    let table = rows.map(|row| {
        count += 1;
        let text = |name: &str| row.get(name).map(plain).unwrap_or_default();
        let when = row.get("ts").and_then(Value::as_i64).map(|ms| out::in_shanghai(ms.div_euclid(1000)));
        let decided = [text("dec"), text("code")].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>();
        [
            format!("{}/{}", text("shard"), text("index")),
            when.unwrap_or_default(),
            text("kind"),
            text("peer"),
            text("op"),
            text("item"),
            decided.join(" "),
            text("evidence"),
        ]
    });
    let header = [
        "leaf 记录",
        "time 时间",
        "kind 类别",
        "partner 对方",
        "op 操作",
        "item 事项",
        "decision 决定",
        "evidence 证据",
    ];
    let table = out::table(header, table.collect::<Vec<_>>());
    if count == 0 {
        out::line("nothing found 没有找到");
    } else {
        out::line(table);
    }
}

/// A list of register entries.
fn entries(found: &[Value]) {
    let rows = found.iter().map(|entry| {
        let text = |name: &str| entry.get(name).map(plain).unwrap_or_default();
        let when = entry.get("at").and_then(Value::as_i64).map(|ms| out::in_shanghai(ms.div_euclid(1000)));
        [
            text("number"),
            when.unwrap_or_default(),
            text("act"),
            [text("by"), text("with")].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" + "),
            text("purpose"),
            text("order"),
            text("n"),
            text("leaf"),
        ]
    });
    let header =
        ["no 编号", "time 时间", "act 操作", "by 账户", "purpose 用途", "order 文号", "n 条数", "leaf 记录"];
    out::line(out::table(header, rows.collect::<Vec<_>>()));
}

/// The leaf that says what was done.
pub fn recorded(result: &Value) {
    if let Some(leaf) = result.get("leaf").and_then(Value::as_str) {
        out::note(format_args!("recorded as leaf {leaf} 已留痕"));
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Leaves that a command is about: `4711`, or `2026h2/4711`; all of one log.
pub fn leaves(named: &[String]) -> Result<(Option<String>, Vec<u64>), Stop> {
    let mut log: Option<String> = None;
    let mut of = Vec::new();
    for text in named {
        let (shard, index) = match text.rsplit_once('/') {
            Some((shard, index)) => (Some(shard), index),
            None => (None, text.as_str()),
        };
        let index = index.parse().map_err(|_| {
            Stop::usage(format_args!("{text}: is no leaf (4711 or 2026h2/4711) 记录序号有误"))
        })?;
        if !of.is_empty() && log.as_deref() != shard {
            return Err(Stop::usage("leaves of one log at a time 一次只能指定同一账本的记录"));
        }
        log = shard.map(str::to_owned);
        of.push(index);
    }
    Ok((log, of))
}
