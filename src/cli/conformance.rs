//! `conformance`: plays the suite of `conformance/cases/` against any gateway, and tells what came of it.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Common, Exit, Outcome, Stop, out};
use crate::clock::Clock;
use crate::conformance::scene::{Places, write};
use crate::conformance::{
    self, Case, ConformanceFault, Ground, Operator, Role, Run, RunSettings, Selection, cases, report,
};

/// Check any gateway against the published protocol.
#[derive(Args)]
pub struct Conformance {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the cases 列出测试用例
    List(List),
    /// Write what a target must be configured with 生成被测网关所需的配置
    Scene(SceneFolder),
    /// Play the cases against a target 对网关执行测试
    Run(Play),
}

#[derive(Args)]
struct List {
    /// Cases for this side only 仅列某一角色
    #[arg(long)]
    role: Option<Side>,
    /// Cases of this area only 仅列某一领域
    #[arg(long, value_name = "AREA")]
    area: Option<String>,
}

#[derive(Args)]
struct SceneFolder {
    /// A new folder, or a scene from before 目录
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The target's partner door as the answering side 应答方对外地址
    #[arg(long, value_name = "IP:PORT")]
    answering: Option<SocketAddr>,
    /// Its local door in the ready configuration 应答方对内地址
    #[arg(long, value_name = "IP:PORT")]
    answering_local: Option<SocketAddr>,
    /// The target's partner door as the asking side 请求方对外地址
    #[arg(long, value_name = "IP:PORT")]
    asking: Option<SocketAddr>,
    /// Its local door 请求方对内地址
    #[arg(long, value_name = "IP:PORT")]
    asking_local: Option<SocketAddr>,
    /// Where this program listens as the partner that is asked 本程序扮演伙伴时的监听地址
    #[arg(long, value_name = "IP:PORT")]
    peer: Option<SocketAddr>,
}

#[derive(Args)]
struct Play {
    /// The folder that `conformance scene` wrote 场景目录
    #[arg(long, value_name = "DIR")]
    scene: PathBuf,
    /// The target's partner door; left out: the scene's 被测网关地址
    #[arg(long, value_name = "https://HOST:PORT")]
    target: Option<String>,
    /// Which side of an exchange the target is 被测网关的角色
    #[arg(long)]
    role: PlayedSide,
    /// Cases, clauses or areas; may be given again 仅执行某些用例、条款或领域
    #[arg(long, value_name = "ID|AREA")]
    only: Vec<String>,
    /// What the target has beside a scene's papers (load, patience, …) 被测网关另具备的条件
    #[arg(long, value_name = "WORD")]
    has: Vec<String>,
    /// The target's local door, which makes it ask (role asking) 被测网关的对内地址
    #[arg(long, value_name = "http://HOST:PORT")]
    local: Option<String>,
    /// The local door's token; left out: the scene's 对内令牌
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A program that does at the target what cases ask for (conformance/cases/README.md) 在被测网关一侧执行操作的程序
    #[arg(long, value_name = "CMD")]
    operator: Option<PathBuf>,
    /// How the result is told 报告格式
    #[arg(long, default_value = "text")]
    report: Form,
    /// A file for the report 报告文件
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Side {
    Answering,
    Asking,
    Vectors,
}

#[derive(Clone, Copy, ValueEnum)]
enum PlayedSide {
    Answering,
    Asking,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
    Junit,
    Html,
}

impl From<Side> for Role {
    fn from(side: Side) -> Self {
        match side {
            Side::Answering => Self::Answering,
            Side::Asking => Self::Asking,
            Side::Vectors => Self::Vectors,
        }
    }
}

impl Conformance {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Command::List(list) => list.run(common),
            Command::Scene(scene) => scene.run(),
            Command::Run(play) => play.run(common),
        }
    }
}

impl List {
    fn run(self, common: &Common) -> Outcome {
        let selection = Selection { role: self.role.map(Role::from), only: self.area.into_iter().collect() };
        let cases = chosen(&selection)?;
        if common.json {
            out::json(&cases.iter().map(listed).collect());
            return Ok(Exit::Well);
        }
        let rows = cases.iter().map(|case| {
            let needs = case.needs.join(" ");
            [
                case.id.clone(),
                case.area.clone(),
                case.role.word().to_owned(),
                format!("{} {}", case.title_zh, case.title),
                needs,
            ]
        });
        let header = ["编号 case", "领域 area", "角色 role", "内容 what", "另需 needs"];
        out::line(out::whole(out::table(header, rows), &[0]));
        out::line(format_args!("{} cases 个用例", cases.len()));
        Ok(Exit::Well)
    }
}

fn listed(case: &Case) -> Value {
    json!({
        "id": case.id, "clause": case.clause, "area": case.area, "role": case.role.word(),
        "title": case.title, "title_zh": case.title_zh, "needs": case.needs,
    })
}

fn chosen(selection: &Selection) -> Result<Vec<Case>, Stop> {
    let mut all = cases::all().map_err(stop)?;
    if let Some(word) = selection.unknown(&all) {
        return Err(Stop::usage(format_args!(
            "{word}: no case, clause or area of that name; see `tongban conformance list` 没有该用例、条款或领域"
        )));
    }
    all.retain(|case| selection.takes(case));
    Ok(all)
}

impl SceneFolder {
    fn run(self) -> Outcome {
        let usual = Places::default();
        let places = Places {
            answering: (
                self.answering.unwrap_or(usual.answering.0),
                self.answering_local.unwrap_or(usual.answering.1),
            ),
            asking: (self.asking.unwrap_or(usual.asking.0), self.asking_local.unwrap_or(usual.asking.1)),
            peer: self.peer.unwrap_or(usual.peer),
        };
        refuse_another(&self.dir)?;
        write(&self.dir, places, Clock::system().now()).map_err(stop)?;
        let dir = self.dir.display();
        out::line(format_args!("{dir}: a scene for conformance runs 场景已生成; see {dir}/README.md"));
        out::line(format_args!(
            "  tongban conformance run --scene {dir} --role answering --target https://{}",
            places.answering.0
        ));
        out::line(format_args!(
            "  tongban conformance run --scene {dir} --role asking --target https://{} --local http://{}",
            places.asking.0, places.asking.1
        ));
        Ok(Exit::Well)
    }
}

/// A folder that holds anything but a scene is left alone.
fn refuse_another(dir: &Path) -> Result<(), Stop> {
    let empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if empty || dir.join("run.json").is_file() {
        return Ok(());
    }
    Err(Stop::usage(format_args!("{}: is neither empty nor a scene 目录非空且不是场景", dir.display())))
}

impl Play {
    fn run(self, common: &Common) -> Outcome {
        let role = match self.role {
            PlayedSide::Answering => Role::Answering,
            PlayedSide::Asking => Role::Asking,
        };
        let cases = chosen(&Selection { role: Some(role), only: self.only.clone() })?;
        let ground = Ground::read(&self.scene).map_err(stop)?;
        let local = self.local.clone().map(|door| {
            let token = self.token.clone().unwrap_or_else(|| ground.token.clone());
            (door, token)
        });
        let scene = self.scene.canonicalize().unwrap_or_else(|_| self.scene.clone());
        let operator = self.operator.clone().map(|command| Operator { command, scene });
        let settings =
            RunSettings { role, target: self.target.clone(), local, has: self.has.clone(), operator };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Stop::failed(format_args!("the runtime cannot start ({})", e.kind())))?;
        let mut bar = Bar::new(cases.len());
        let run = runtime.block_on(conformance::run(ground, settings, cases, |played| bar.told(played)));
        bar.end();
        let run = run.map_err(stop)?;
        self.tell(&run, common)?;
        Ok(if run.failed() > 0 { Exit::Found } else { Exit::Well })
    }

    fn tell(&self, run: &Run, common: &Common) -> Result<(), Stop> {
        let form = if common.json { Form::Json } else { self.report };
        let told = match form {
            Form::Text => report::text(run),
            Form::Json => format!("{:#}\n", report::json(run)),
            Form::Junit => report::junit(run),
            Form::Html => report::html(run),
        };
        match &self.out {
            None => out::line(told.trim_end()),
            Some(file) => {
                std::fs::write(file, told).map_err(|e| {
                    Stop::usage(format_args!("{}: cannot be written ({})", file.display(), e.kind()))
                })?;
                // Whoever waits at the terminal hears the result all the same.
                out::line(report::text(run).trim_end());
            }
        }
        Ok(())
    }
}

/// Could not run at all: the scene or the address is the person's to mend, the rest is not.
fn stop(fault: ConformanceFault) -> Stop {
    match fault {
        ConformanceFault::Address(_) | ConformanceFault::Scene(_) | ConformanceFault::File(..) => {
            Stop::usage(fault)
        }
        other => Stop::failed(other),
    }
}

/// Progress on a terminal's standard error.
struct Bar {
    shown: bool,
    done: usize,
    of: usize,
    failed: usize,
}

impl Bar {
    fn new(of: usize) -> Self {
        Self { shown: std::io::stderr().is_terminal(), done: 0, of, failed: 0 }
    }

    fn told(&mut self, played: &conformance::Played) {
        self.done += 1;
        self.failed += usize::from(matches!(played.outcome, conformance::Outcome::Failed(_)));
        if self.shown {
            // A terminal that went away is no fault.
            let _ = write!(std::io::stderr().lock(), "\r{}", report::line(self.done, self.of, self.failed));
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}
