//! `audit witness`: who watches our log and how recently, whose logs we watch, and the key by
//! which partners know our word.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::{Common, Exit, Outcome, Stop, out};
use super::{data_dir, read_policy};
use crate::clock::Clock;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::Note;
use crate::witness::{
    CosignerKey, Judged, OwnCosigned, Policy, QUORUM_LATE, Shown, WitnessFault, book_path, key_path,
};

/// Partners watch our log, and we theirs 互为见证
#[derive(Args)]
pub struct WitnessCommand {
    #[command(subcommand)]
    command: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Which checkpoints were cosigned, by whom and when 见证状态
    Status(Status),
    /// The key that partners verify our cosignatures with, as a policy's line 见证公钥
    Key,
}

impl WitnessCommand {
    pub fn run(self, common: &Common) -> Outcome {
        match self.command {
            Which::Status(command) => command.run(common),
            Which::Key => key(common),
        }
    }
}

#[derive(Args)]
struct Status {
    /// A data directory or its copy; without it, that of --config 数据目录或其副本
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Whose cosignatures are enough; without it, [ledger] policy of --config 见证策略文件
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Status {
    fn run(self, common: &Common) -> Outcome {
        let policy = match (&self.policy, &self.dir) {
            (Some(file), _) => Some(read_policy(file)?),
            (None, None) => {
                let config = common.load()?;
                config.ledger.policy.as_ref().map(|file| read_policy(&config.path(file))).transpose()?
            }
            (None, Some(_)) => None,
        };
        let dir = data_dir(self.dir, common)?;
        let shown = Shown::read(&book_path(&dir)).map_err(Stop::failed)?;
        let standing = Standing::of(&shown, policy.as_ref(), Clock::system().now().secs());
        if common.json {
            out::json(&standing.json(&shown));
        } else {
            standing.print(&shown);
        }
        Ok(if standing.well() { Exit::Well } else { Exit::Found })
    }
}

/// How our present log stands with its witnesses.
struct Standing<'a> {
    origin: Option<&'a str>,
    own: Vec<&'a OwnCosigned>,
    /// Size and seconds ago of the newest checkpoint that is cosigned enough.
    quorum: Option<(u64, i64, Option<Judged>)>,
    needed: bool,
    contradictions: usize,
    now: i64,
}

impl<'a> Standing<'a> {
    fn of(shown: &'a Shown, policy: Option<&Policy>, now: i64) -> Self {
        let origin = shown.own.iter().map(|own| own.cosigned.origin.as_str()).max();
        let own: Vec<_> =
            shown.own.iter().filter(|own| Some(own.cosigned.origin.as_str()) == origin).collect();
        let met = shown.quorum.iter().max_by_key(|quorum| (&quorum.origin, quorum.size));
        let quorum = met.and_then(|met| {
            let note = Note::parse(&met.note).ok()?;
            let judged = policy.map(|policy| policy.judge(&note)).transpose().ok()?;
            let enough = judged.as_ref().is_none_or(|judged| judged.quorum);
            enough.then_some((met.size, now - met.at, judged))
        });
        Self {
            origin,
            own,
            quorum,
            needed: policy.is_some_and(Policy::needs_witnesses),
            contradictions: shown.contradictions.len(),
            now,
        }
    }

    fn well(&self) -> bool {
        let late = self.quorum.as_ref().is_none_or(|(_, age, _)| *age > QUORUM_LATE);
        self.contradictions == 0 && !(self.needed && late)
    }

    fn json(&self, shown: &Shown) -> Value {
        let own: Vec<Value> = self
            .own
            .iter()
            .map(|own| {
                let key = shown.witnesses.iter().find(|(partner, _)| *partner == own.partner);
                json!({"partner": own.partner, "vkey": key.map(|(_, vkey)| vkey), "size": own.cosigned.size,
                    "age": self.now - own.cosigned.at})
            })
            .collect();
        let theirs: Vec<Value> = shown
            .cosigned
            .iter()
            .map(|theirs| json!({"origin": theirs.origin, "size": theirs.size, "age": self.now - theirs.at}))
            .collect();
        let contradictions: Vec<Value> = shown
            .contradictions
            .iter()
            .map(|found| {
                json!({"origin": found.origin, "size": found.size, "at": found.at,
                    "kept": String::from_utf8_lossy(&found.kept), "brought": String::from_utf8_lossy(&found.brought)})
            })
            .collect();
        let quorum = self.quorum.as_ref().map(|(size, age, judged)| {
            let by = judged.as_ref().map(|judged| judged.by.iter().map(|(name, _)| name).collect::<Vec<_>>());
            json!({"size": size, "age": age, "by": by})
        });
        json!({"well": self.well(), "origin": self.origin, "witnesses": own, "needed": self.needed,
            "quorum": quorum, "watching": theirs, "contradictions": contradictions})
    }

    fn print(&self, shown: &Shown) {
        match self.origin {
            None => out::line("nobody has cosigned our log yet 本机日志尚未获见证"),
            Some(origin) => {
                out::line(format_args!("{origin}"));
                let rows = self.own.iter().map(|own| {
                    [
                        own.partner.clone(),
                        own.cosigned.size.to_string(),
                        ago(self.now - own.cosigned.at),
                        shown
                            .witnesses
                            .iter()
                            .find(|(p, _)| *p == own.partner)
                            .map_or_else(String::new, |w| w.1.clone()),
                    ]
                });
                out::line(out::table(["witness 见证方", "leaves 条数", "ago 距今", "key 公钥"], rows));
            }
        }
        match (&self.quorum, self.needed) {
            (Some((size, age, _)), true) => {
                out::line(format_args!("quorum 足够见证: {size} leaves 条, {} ago", ago(*age)));
            }
            (None, true) => out::line("✗ the quorum was never met 从未达到所需见证数"),
            (_, false) => out::line("no policy asks for witnesses 未设见证要求"),
        }
        let rows = shown
            .cosigned
            .iter()
            .map(|theirs| [theirs.origin.clone(), theirs.size.to_string(), ago(self.now - theirs.at)]);
        out::line(out::table(["we watch 我方见证", "leaves 条数", "ago 距今"], rows));
        for found in &shown.contradictions {
            out::line(format_args!(
                "✗ {}: two trees of {} leaves, both signed by its key; the notes are in witness.db \
                 同一条数签出两棵树，证据存于 witness.db",
                found.origin, found.size
            ));
        }
    }
}

fn ago(seconds: i64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

fn key(common: &Common) -> Outcome {
    let config = common.load()?;
    let data = config.data_dir();
    std::fs::create_dir_all(data.join("ledger"))
        .map_err(|e| Stop::failed(format_args!("{}: {}", data.display(), e.kind())))?;
    let region = config.region.code;
    let key =
        CosignerKey::open(&key_path(&data), region).map_err(|fault: WitnessFault| Stop::usage(fault))?;
    let listen = format!("https://{}", config.partner_listener.listen);
    let endpoint = config.partner_listener.endpoint.as_deref().unwrap_or(&listen);
    let url = format!("{}/v1/log", endpoint.trim_end_matches('/'));
    if common.json {
        out::json(&json!({"name": region, "vkey": key.vkey().to_string(), "url": url}));
    } else {
        // As it stands in a partner's policy file.
        out::line(format_args!("witness {region} {} {url}", key.vkey()));
    }
    Ok(Exit::Well)
}

/// Whose cosignatures a proof's checkpoint bears, in words for `audit proof --check`.
pub fn judge(policy: &Policy, note: &[u8]) -> Option<Judged> {
    Checkpoint::peek(note).ok()?;
    policy.judge(&Note::parse(note).ok()?).ok()
}
