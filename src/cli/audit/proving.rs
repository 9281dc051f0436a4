//! `audit completeness`, `warrant`, `sample`: whether search hides nothing and evidence is what
//! it claims to be.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::super::{Common, Exit, Outcome, Stop, out};
use super::errands::{Answer, Why, send};
use super::looking::recorded;
use super::sought::{Period, Sought};
use crate::audit::{
    Completeness as Told, Errand, Sent, Warrant as Paper, answered_by_index, completeness_of,
};
use crate::keys::write_private_file;

/// Hold what the index answers against the tags of every leaf 检验检索是否完整
#[derive(Args)]
pub struct Completeness {
    /// The warrant: audit warrant 检索令文件
    #[arg(long, value_name = "FILE")]
    warrant: PathBuf,
    /// A data directory or its copy, without a record; else --as and the gateway 数据目录或其副本
    #[arg(long, conflicts_with_all = ["by", "purpose", "order"])]
    dir: Option<PathBuf>,
    /// The account of trust/console that acts 账户名
    #[arg(long = "as", value_name = "NAME", required_unless_present = "dir")]
    by: Option<String>,
    /// What for 用途
    #[arg(long, default_value = "", hide_default_value = true)]
    purpose: String,
    /// Order or case number 文号或案号
    #[arg(long, default_value = "", hide_default_value = true)]
    order: String,
}

impl Completeness {
    pub fn run(self, common: &Common) -> Outcome {
        let bytes = crate::keys::read_private_file(&self.warrant)?;
        let warrant: Paper = serde_json::from_slice(&bytes)
            .map_err(|_| Stop::usage(format_args!("{}: is no warrant 不是检索令", self.warrant.display())))?;
        let told: Told = match (self.dir, self.by) {
            (Some(dir), _) => {
                let dir = super::data_dir(Some(dir), common)?;
                let answered = answered_by_index(&dir, &warrant).map_err(Stop::failed)?;
                completeness_of(&dir, &warrant, &answered).map_err(Stop::failed)?
            }
            (None, by) => {
                let (by, purpose, order) = (by.unwrap_or_default(), self.purpose, self.order);
                let sent = Sent { by, purpose, order, errand: Errand::Completeness { warrant } };
                match send(common, &sent)? {
                    Answer::Done(value) => serde_json::from_value(value).map_err(Stop::failed)?,
                    refused @ Answer::Refused(_) => return refused.print(common, |_| ()),
                }
            }
        };
        if common.json {
            out::json(&serde_json::to_value(&told).unwrap_or_default());
        } else {
            print(&told);
        }
        Ok(if told.complete { Exit::Well } else { Exit::Found })
    }
}

fn print(told: &Told) {
    out::line(format_args!(
        "{} leaves 条记录, {} of the subject's 属于当事人, {} answered 检索给出, {} erased by order 依令已删除",
        told.leaves, told.matching, told.answered, told.erased
    ));
    for (found, words) in [
        (&told.hidden, "the index hid 检索遗漏"),
        (&told.foreign, "the index answered and is not the subject's 检索多给"),
        (&told.uncovered, "secret missing without an order 密钥缺失且无令"),
        (&told.wrong_secret, "secret is not the leaf's 密钥与记录不符"),
    ] {
        if !found.is_empty() {
            out::line(format_args!("✗ {words}: {found:?}"));
        }
    }
    out::line(if told.complete { "complete 完整" } else { "not complete 不完整" });
}

/// A search key for one subject, for an auditor from outside 检索令
#[derive(Args)]
pub struct Warrant {
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    sought: Sought,
    #[command(flatten)]
    period: Period,
    /// The log, as 2026h2; without it the newest 账本
    #[arg(long)]
    log: Option<String>,
    /// Where the warrant goes (0600) 输出文件
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Warrant {
    pub fn run(self, common: &Common) -> Outcome {
        let ((from, to), (field, value)) = (self.period.moments()?, self.sought.one()?);
        let errand = Errand::Warrant { shard: self.log, field, value, from, to };
        let done = match send(common, &self.why.sends(errand))? {
            Answer::Done(done) => done,
            refused @ Answer::Refused(_) => return refused.print(common, |_| ()),
        };
        let warrant = done.get("warrant").cloned().unwrap_or_default();
        write_private_file(&self.out, format!("{warrant:#}\n").as_bytes())?;
        out::note(format_args!(
            "{}: whoever has it can find this subject 检索令，请妥善保管",
            self.out.display()
        ));
        recorded(&done);
        Ok(Exit::Well)
    }
}

/// Look at random evidence, and ask to open it 抽样检查证据
#[derive(Args)]
pub struct Sample {
    #[command(flatten)]
    why: Why,
    /// How many, 1 to 100 条数
    #[arg(short, default_value_t = 20)]
    n: usize,
    /// The log, as 2026h2; without it the newest 账本
    #[arg(long)]
    log: Option<String>,
}

impl Sample {
    pub fn run(self, common: &Common) -> Outcome {
        let errand = Errand::Sample { shard: self.log, n: self.n };
        let done = match send(common, &self.why.sends(errand))? {
            Answer::Done(done) => done,
            refused @ Answer::Refused(_) => return refused.print(common, |_| ()),
        };
        let list = |name: &str| done.get(name).and_then(Value::as_array).map_or(0, Vec::len);
        let damaged = list("damaged");
        if common.json {
            out::json(&done);
        } else {
            out::line(format_args!(
                "looked at 已抽查 {}: {}",
                list("of"),
                done.get("of").unwrap_or(&Value::Null)
            ));
            if damaged > 0 {
                out::line(format_args!(
                    "✗ not what the leaf names 与记录不符: {}",
                    done.get("damaged").unwrap_or(&Value::Null)
                ));
            }
            if let Some(id) = done.pointer("/request/id").and_then(Value::as_str) {
                out::line(format_args!(
                    "to open them, another account 开启须另一账户批准: tongban audit open --approve {id} --as NAME"
                ));
            }
            recorded(&done);
        }
        Ok(if damaged == 0 { Exit::Well } else { Exit::Found })
    }
}
