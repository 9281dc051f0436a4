//! The command line (protocol §10): one file a command. Each turns arguments into one call
//! of the library, prints the result, and returns how it ended.

mod agreement;
mod apply;
mod audit;
pub mod authorize;
mod card;
mod case;
mod check;
mod conformance;
mod console;
mod demo;
mod document;
mod durable;
mod explain;
pub mod init;
mod license;
mod local_door;
mod new_keys;
pub mod out;
mod partner;
pub mod pki;
mod query;
mod sandbox;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use card::own_card;
pub use out::{Exit, Outcome, Stop};

use crate::config::Config;
use crate::domain::Region;

/// 通办 Tongban: counties answer each other's lookups and handle each other's applications. 县际互认与跨省通办网关
#[derive(Parser)]
#[command(name = "tongban", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes 退出码: 0 well 正常 · 1 failed 失败 · 2 a check found something 检查发现问题 · \
64 usage or configuration 用法或配置有误";

/// What every command understands.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The gateway's configuration 网关配置文件
    #[arg(long, global = true, value_name = "FILE", default_value = "gateway.toml")]
    pub config: PathBuf,
    /// Print the result as JSON 以 JSON 输出
    #[arg(long, global = true)]
    pub json: bool,
    /// Said to `audit`: on a stopped gateway no partner is asked.
    #[arg(skip)]
    pub offline: bool,
}

impl Common {
    /// The gateway's configuration; its faults end the command with 64.
    pub fn load(&self) -> Result<Config, Stop> {
        if self.config.exists() {
            return Ok(Config::load(&self.config)?);
        }
        Err(Stop::usage(format_args!(
            "{}: no such file; name the gateway's configuration with --config, or make one with `tongban init` \
             找不到配置文件，请用 --config 指定，或用 tongban init 新建",
            self.config.display()
        )))
    }
}

#[derive(Subcommand)]
enum Command {
    /// See the whole thing work on this machine 在本机演示全过程
    Demo(demo::Demo),
    /// Run a region to develop against: published keys, synthetic licenses 联调沙箱
    Sandbox(sandbox::Sandbox),
    /// Make a new gateway's directory: configuration, keys, card 新建网关目录
    Init(init::Init),
    /// Run the gateway 运行网关
    Serve(serve::Serve),
    /// Check everything that serve reads, all faults at once 检查配置、密钥、名片、协议等
    Check(check::Check),
    /// Judge a received message with the door's own checks, without acting 解释收到的报文
    Explain(explain::Explain),
    /// Check, show and prove what the ledger holds 核验、查看、举证账本
    Audit(audit::Audit),
    /// The auditors' console: accounts, sign-in links 审计台账号与登录链接
    Console(console::ConsoleCommand),
    /// Print this gateway's public card, for partners 输出本网关名片
    Card(card::Card),
    /// Take up partners, list them, see whether they answer 伙伴网关
    Partner(partner::Partner),
    /// Check an agreement 校验协议
    Agreement(agreement::Agreement),
    /// License types, and this region's own licenses 证照类型与本地证照
    License(license::License),
    /// Look up or verify a license in another region 异地证照查询核验
    Query(Box<query::Query>),
    /// Hand in an application for another region 提交跨省通办申请
    Apply(apply::Apply),
    /// Cases: look, act, answer verifications, redrive, supervise 办件
    Case(case::CaseCommand),
    /// Sign test authorizations as a development authority 开发用授权签发方
    Authorize(authorize::Authorize),
    /// Check any gateway against the published protocol 一致性测试
    Conformance(conformance::Conformance),
}

impl Command {
    fn run(self, common: &Common) -> Outcome {
        match self {
            Self::Demo(command) => command.run(common),
            Self::Sandbox(command) => command.run(common),
            Self::Init(command) => command.run(common),
            Self::Serve(command) => command.run(common),
            Self::Check(command) => command.run(common),
            Self::Explain(command) => command.run(common),
            Self::Audit(command) => command.run(common),
            Self::Console(command) => command.run(common),
            Self::Card(command) => command.run(common),
            Self::Partner(command) => command.run(common),
            Self::Agreement(command) => command.run(common),
            Self::License(command) => command.run(common),
            Self::Query(command) => command.run(common),
            Self::Apply(command) => command.run(common),
            Self::Case(command) => command.run(common),
            Self::Authorize(command) => command.run(common),
            Self::Conformance(command) => command.run(common),
        }
    }
}

/// Runs one command line; the whole program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too and are no fault.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Well };
        }
    };
    cli.command.run(&cli.common).unwrap_or_else(|stop| {
        for line in stop.lines() {
            out::complain(line);
        }
        stop.exit()
    })
}

/// A region as an argument.
fn region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|fault| format!("{fault}; 请填写现行六位行政区划代码"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn exit(line: &str) -> Exit {
        run(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_usage_ends_with_64_and_help_with_0() {
        assert_eq!(exit("tongban --help"), Exit::Well);
        assert_eq!(exit("tongban --version"), Exit::Well);
        assert_eq!(exit("tongban"), Exit::Usage);
        assert_eq!(exit("tongban card --wrong"), Exit::Usage);
        assert_eq!(exit("tongban card --config /nowhere/gateway.toml"), Exit::Usage);
    }
}
