//! `license`: the region's own licenses: what types there are, loading the embedded register,
//! and telling a running gateway that one changed.

use std::io::{BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::local_door::{LocalDoor, Token, refused};
use super::{Common, Exit, Outcome, Stop, out};
use crate::clock::Clock;
use crate::config::{Config, Register};
use crate::license::register::{self, ImportReport, Progress};
use crate::schema::{Catalog, LicenseType, Share};

/// This region's own licenses.
#[derive(Args)]
pub struct License {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load the embedded register, one license a line 导入证照数据
    Import(Import),
    /// List the license types that have a schema 列出证照类型
    Types,
    /// Tell the running gateway that a license changed 通知证照已变更
    Changed(Changed),
}

#[derive(Args)]
struct Import {
    /// One license document a line (JSON Lines); - is standard input
    #[arg(value_name = "FILE.jsonl|-")]
    file: PathBuf,
}

#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).args(["license_id", "holder_number"])))]
struct Changed {
    /// The license 证照标识
    #[arg(long, value_name = "ID", conflicts_with = "license_type")]
    license_id: Option<String>,
    /// Every license of this type … 证照类型代码
    #[arg(long = "type", value_name = "CODE", requires = "holder_number")]
    license_type: Option<String>,
    #[arg(long, value_name = "CODE", default_value = "111")]
    holder_type: String,
    /// … that this holder has 持证主体证件号码
    #[arg(long, value_name = "NUMBER", requires = "license_type")]
    holder_number: Option<String>,
    #[command(flatten)]
    token: Token,
}

impl License {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::Import(command) => command.run(common),
            Command::Types => Ok(types(common.json)),
            Command::Changed(command) => command.run(common),
        }
    }
}

impl Import {
    fn run(self, common: &Common) -> Outcome {
        let config = common.load()?;
        if !matches!(config.register, Register::Embedded) {
            return Err(Stop::usage(
                "gateway.toml [register] kind: only the embedded register can be loaded 仅内置证照库可导入",
            ));
        }
        let data = config.data_dir();
        std::fs::create_dir_all(&data)
            .map_err(|e| Stop::failed(format_args!("{}: cannot be made ({})", data.display(), e.kind())))?;
        let report = self.load(&config)?;
        if common.json {
            out::json(&serde_json::to_value(&report).map_err(Stop::failed)?);
        } else {
            out::line(summary(&report));
        }
        Ok(if report.refused_lines == 0 { Exit::Well } else { Exit::Found })
    }

    fn load(&self, config: &Config) -> Result<ImportReport, Stop> {
        let register = config.data_dir().join("register.db");
        let today = Clock::system().now().shanghai_day();
        let show = std::io::stderr().is_terminal();
        let told = |progress: Progress<'_>| match progress {
            Progress::Refused(line) => {
                for fault in &line.faults {
                    out::note(format_args!("line {} 第{}行: {fault}", line.line, line.line));
                }
            }
            Progress::Committed { lines } if show => out::note(format_args!("{lines} lines 行 …")),
            Progress::Committed { .. } => {}
        };
        if self.file == Path::new("-") {
            return register::import(&register, std::io::stdin().lock(), today, told).map_err(Stop::failed);
        }
        let file = std::fs::File::open(&self.file).map_err(|e| {
            Stop::usage(format_args!("{}: cannot be read ({})", self.file.display(), e.kind()))
        })?;
        register::import(&register, BufReader::new(file), today, told)
            .map_err(|fault| Stop::failed(format_args!("{}: {fault}", self.file.display())))
    }
}

fn summary(report: &ImportReport) -> String {
    format!(
        "{} lines 行: {} new 新增 · {} replaced 更新 · {} unchanged 未变 · {} older than what is there 旧版本 · {} refused 拒收",
        report.lines, report.loaded, report.replaced, report.unchanged, report.outdated, report.refused_lines
    )
}

fn types(as_json: bool) -> Exit {
    let mut types: Vec<&LicenseType> = Catalog::embedded().license_types().collect();
    types.sort_by_key(|kind| kind.code());
    if as_json {
        out::json(&types.iter().map(|kind| described(kind)).collect());
        return Exit::Well;
    }
    let rows = types.iter().map(|kind| {
        let ages = kind.cache();
        [
            kind.code().to_owned(),
            format!("{}\n{}", kind.name(), kind.name_en()),
            share(kind.share()).to_owned(),
            if kind.sensitive() { "sensitive 敏感" } else { "–" }.to_owned(),
            format!("{} / {} / {}", ages.data_seconds, ages.status_seconds, ages.negative_seconds),
            kind.fields().collect::<Vec<_>>().join(" "),
        ]
    });
    let mut table = out::table(
        [
            "code 代码",
            "name 名称",
            "sharing 共享属性",
            "sensitivity 敏感性",
            "cache s 缓存秒 (data/status/none)",
            "fields 字段",
        ],
        rows,
    );
    // A code is copied from here: it stays in one piece.
    if let Some(codes) = table.column_mut(0) {
        codes.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
    }
    out::line(table);
    Exit::Well
}

fn described(kind: &LicenseType) -> Value {
    let ages = kind.cache();
    json!({
        "code": kind.code(),
        "name": kind.name(),
        "name_en": kind.name_en(),
        "share": match kind.share() {
            Share::Unconditional => "unconditional",
            Share::Conditional => "conditional",
            Share::None => "none",
        },
        "sensitive": kind.sensitive(),
        "cache": {
            "data_seconds": ages.data_seconds,
            "status_seconds": ages.status_seconds,
            "negative_seconds": ages.negative_seconds,
            "stale_if_register_down_seconds": ages.stale_if_register_down_seconds,
        },
        "identifying": kind.identifying().collect::<Vec<_>>(),
        "fields": kind.fields().collect::<Vec<_>>(),
    })
}

const fn share(share: Share) -> &'static str {
    match share {
        Share::Unconditional => "无条件共享",
        Share::Conditional => "有条件共享",
        Share::None => "不予共享",
    }
}

impl Changed {
    fn run(self, common: &Common) -> Outcome {
        let door = LocalDoor::of(common, &self.token)?;
        let answer = door.post("/local/v1/licenses/changed", &self.notice())?;
        if answer.status != 200 {
            return refused(&answer, common.json);
        }
        if common.json {
            out::json(&answer.value);
        } else {
            out::line("told; the next lookup asks the register 已通知，下次查询将读取证照库");
        }
        Ok(Exit::Well)
    }

    /// Protocol §4.
    fn notice(&self) -> Value {
        match &self.license_id {
            Some(id) => json!({ "license_id": id }),
            None => json!({
                "type": self.license_type,
                "holder": { "type": self.holder_type, "number": self.holder_number },
            }),
        }
    }
}
