//! `explain`: a received message through the door's own checks, without acting. Shows each
//! check as passed, failed or not reached, with what it expected and found, then the verdict, and
//! what the bytes show of its cause. `--all` prints the advice of every code instead.
//!
//! Ids and uses count as unused and nothing is stored. The file of a message, standard
//! input, or with `--jsonl` one `{"id","peer","at","body"}` a line.

mod page;
mod verdict;

use std::io::{BufRead, Read, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Code;
use crate::authorization::Authorizer;
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::diagnosis;
use crate::domain::Region;
use crate::house::Trust;
use crate::inbound::judge::{Bench, FreshMemory, Seen, judge};
use crate::inbound::steps::Step;
use crate::schema::Catalog;

use super::{Common, Exit, Outcome, Stop, out};
use verdict::Verdict;

/// Judge a received message with the door's own checks, without acting 用与网关相同的检查解释报文
#[derive(Args)]
pub struct Explain {
    /// The region whose gateway sent the message (with --jsonl each line names its `peer`).
    #[arg(long = "as", value_name = "REGION", required_unless_present_any = ["jsonl", "all"])]
    peer: Option<String>,
    /// Judge at this moment instead of now (Unix seconds).
    #[arg(long, value_name = "UNIXTIME")]
    at: Option<i64>,
    /// One {"id","peer","at","body"} per line in, one verdict per line out.
    #[arg(long)]
    jsonl: bool,
    /// The advice on every refusal code instead of a message's 输出全部拒绝码的说明
    #[arg(long, conflicts_with_all = ["peer", "at", "jsonl", "file"])]
    all: bool,
    /// With --all: the page docs/refusals.md 以 Markdown 输出
    #[arg(long, requires = "all")]
    markdown: bool,
    /// The message; standard input when absent or `-`.
    file: Option<PathBuf>,
}

/// One line of `--jsonl`.
#[derive(Deserialize)]
struct Line {
    id: Value,
    peer: Option<String>,
    at: Option<i64>,
    body: String,
}

impl Explain {
    pub fn run(self, common: &Common) -> Outcome {
        if self.all {
            return Ok(page::print(common.json, self.markdown));
        }
        let config = common.load()?;
        let now = self.at.map_or_else(|| Clock::system().now(), Now::from_secs);
        let mut view = View::of(config);
        let mut input: Box<dyn BufRead> = match &self.file {
            Some(path) if path.as_os_str() != "-" => {
                Box::new(std::io::BufReader::new(std::fs::File::open(path).map_err(|e| {
                    Stop::usage(format_args!("{}: cannot be opened ({})", path.display(), e.kind()))
                })?))
            }
            _ => Box::new(std::io::stdin().lock()),
        };
        if self.jsonl {
            return each_line(&mut view, self.peer.as_deref(), now, &mut input);
        }
        let Some(peer) = &self.peer else { return Err(Stop::usage("--as REGION is missing")) };
        let mut body = Vec::new();
        input.read_to_end(&mut body).context("the message cannot be read")?;
        // A file saved by an editor ends in a newline that never was on the wire.
        let message = body.strip_suffix(b"\n").map_or(&*body, |b| b.strip_suffix(b"\r").unwrap_or(b));
        let verdict = view.explained(peer, message, now)?;
        if message.len() < body.len() {
            out::note(
                "the file ends in a line end, which was left away; sent like that the message is malformed \
                 文件末尾的换行已略去;若如此发送则为 malformed",
            );
        }
        if common.json {
            out::json(&verdict.whole())
        } else {
            verdict.print()
        }
        Ok(if verdict.stopped.is_none() { Exit::Well } else { Exit::Found })
    }
}

fn each_line(view: &mut View, peer: Option<&str>, now: Now, input: &mut dyn BufRead) -> Outcome {
    let mut sink = std::io::BufWriter::new(std::io::stdout().lock());
    let mut raw = Vec::new();
    let mut number = 0_u64;
    let mut exit = Exit::Well;
    while {
        raw.clear();
        input.read_until(b'\n', &mut raw).context("a line cannot be read")? > 0
    } {
        number += 1;
        if raw.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let Some(line) = read_line(&raw) else {
            out::complain(format_args!("line {number}: is not {{\"id\",\"peer\",\"at\",\"body\"}}"));
            exit = Exit::Failed;
            continue;
        };
        let at = line.at.map_or(now, Now::from_secs);
        let verdict = match line.peer.as_deref().or(peer) {
            Some(peer) => view.judge(peer, line.body.as_bytes(), at)?,
            None => Verdict::stopped(Step::Member, Code::NotAMember),
        };
        writeln!(sink, "{}", verdict.line(&line.id)).context("a verdict cannot be written")?;
        // A driver may wait for each verdict before it sends the next message.
        sink.flush().context("a verdict cannot be written")?;
    }
    Ok(exit)
}

/// A body may hold anything a hostile peer can send, so a lone surrogate in it must not
/// lose the line: it becomes U+FFFD, which no message may contain either. Whole pairs and
/// other escapes stay what they are.
fn read_line(raw: &[u8]) -> Option<Line> {
    serde_json::from_slice(raw).ok().or_else(|| {
        let text = String::from_utf8_lossy(raw);
        let escapes = r"(?s)\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)";
        let mended = regex::Regex::new(escapes).ok()?.replace_all(&text, |escape: &regex::Captures<'_>| {
            let lone = escape.get(1).is_some();
            if lone { "\u{fffd}".to_owned() } else { escape.get(0).map_or("", |all| all.as_str()).to_owned() }
        });
        serde_json::from_str(&mended).ok()
    })
}

/// One gateway's view: what the door would judge with.
struct View {
    me: Region,
    trust: TrustAt,
    authorizer: Authorizer,
}

impl View {
    fn of(config: Config) -> Self {
        Self {
            me: config.region.code,
            trust: TrustAt { config, last: None },
            authorizer: Authorizer::default(),
        }
    }

    fn judge(&mut self, peer: &str, body: &[u8], now: Now) -> Result<Verdict, Stop> {
        let trust = self.trust.at(now)?;
        let member = Region::parse(peer).ok().and_then(|region| trust.directory.assume(region));
        let Some(peer) = member else { return Ok(Verdict::stopped(Step::Member, Code::NotAMember)) };
        let bench = Bench {
            me: self.me,
            policy: &trust.policy,
            authorities: &trust.authorities,
            status_lists: &trust.status_lists,
            authorizer: &self.authorizer,
            catalog: Catalog::embedded(),
            now,
        };
        let judged = judge(&bench, &peer, body, &FreshMemory, &mut Seen::default());
        Ok(Verdict::of(judged.err()))
    }

    /// The same, with what the bytes show.
    fn explained(&mut self, peer: &str, body: &[u8], now: Now) -> Result<Verdict, Stop> {
        let verdict = self.judge(peer, body, now)?;
        let me = self.me;
        let trust = self.trust.at(now)?;
        let view = diagnosis::View {
            me,
            peer: Region::parse(peer).ok(),
            directory: &trust.directory,
            authorities: &trust.authorities,
            policy: &trust.policy,
            now,
        };
        Ok(verdict.looked_into(&view, body))
    }
}

/// The trust files as a gateway would have read them by the moment a message is judged: a
/// status list counts from its own `iat` on, and the key that signed it has its times.
struct TrustAt {
    config: Config,
    last: Option<Reading>,
}

struct Reading {
    at: Now,
    trust: Trust,
    /// Every status list was taken: what was in force then is in force later, too.
    whole: bool,
}

impl TrustAt {
    fn at(&mut self, now: Now) -> Result<&Trust, Stop> {
        let reading = match self.last.take() {
            Some(last) if last.at == now || (last.whole && last.at < now) => last,
            last => self.read(now, last.is_none())?,
        };
        Ok(&self.last.insert(reading).trust)
    }

    fn read(&self, at: Now, first: bool) -> Result<Reading, Stop> {
        let told = |file| crate::gateway::StartFault::Trust(file).to_string();
        let (trust, left_out) = Trust::load(&self.config, at)
            .map_err(|faults| Stop::Usage(faults.into_iter().map(told).collect()))?;
        let whole = trust.stale_lists(at) == 0;
        for file in left_out.into_iter().filter(|_| first) {
            out::complain(format_args!("left out: {}", told(file)));
        }
        Ok(Reading { at, trust, whole })
    }
}
