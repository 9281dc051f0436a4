//! `audit consistency`: the proof that a log only grew between two of its sizes, out of its tiles;
//! or that what a door serves continues a checkpoint that was kept.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::json;

use super::far::Far;
use super::served::Held;
use super::{data_dir, look_stop, own_key, parse_vkey};
use crate::cli::{Common, Exit, Outcome, Stop, out};
use crate::ledger::Vkey;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::tree::{Hash, verify_consistency};
use crate::ledger::verify;

/// Prove that a log only grew between two checkpoints or sizes 一致性证明
#[derive(Args)]
pub struct ConsistencyArgs {
    /// A checkpoint that was kept, or a number of leaves 旧检查点文件或条数
    old: String,
    /// The same, later; without it, the published checkpoint 新检查点文件或条数
    new: Option<String>,
    /// A data directory or its copy; without it, that of --config 数据目录或其副本
    #[arg(long, conflicts_with = "url")]
    dir: Option<PathBuf>,
    /// The log that a partner's door serves must continue OLD 向对方网关核对
    #[arg(long, value_name = "https://HOST:PORT", conflicts_with = "new")]
    url: Option<PathBuf>,
    /// The ledger's key as on the region's card; without it, that of --config 账本验证公钥
    #[arg(long)]
    vkey: Option<String>,
    #[command(flatten)]
    far: Far,
}

/// One end: a size, and the root that somebody signed for it.
struct End {
    size: u64,
    signed: Option<Checkpoint>,
}

impl ConsistencyArgs {
    pub fn run(self, common: &Common) -> Outcome {
        if let Some(url) = &self.url {
            let held = Held::since(Some(PathBuf::from(&self.old)));
            return held.run(url, &self.far, self.vkey.as_deref(), None, common);
        }
        let key = match &self.vkey {
            Some(text) => *parse_vkey(text)?.public(),
            None => own_key(common)?.public(),
        };
        let old = end(&self.old, key)?;
        let new = self.new.as_deref().map(|text| end(text, key)).transpose()?;
        let signed =
            || [Some(&old), new.as_ref()].into_iter().flatten().filter_map(|end| end.signed.as_ref());
        let origin = signed().next().map(|checkpoint| checkpoint.origin.clone());
        let dir = data_dir(self.dir, common)?;
        let found = verify::consistency(&dir, origin.as_deref(), old.size, new.as_ref().map(|end| end.size));
        let found = found.map_err(|fault| look_stop(&dir, fault))?;
        let roots = [found.old, found.new];
        let contradicted = signed().any(|c| {
            c.origin != found.origin || roots.iter().all(|(size, root)| *size != c.size || *root != c.root)
        });
        let [(from, before), (to, after)] = roots;
        let consistent = !contradicted && verify_consistency(&found.proof, from, &before, to, &after);
        let text = |hash: &Hash| STANDARD.encode(hash);
        let proof: Vec<String> = found.proof.iter().map(text).collect();
        if common.json {
            out::json(&json!({"consistent": consistent, "origin": found.origin, "old": from, "new": to,
                "old_root": text(&before), "new_root": text(&after), "proof": proof}));
        } else {
            out::line(format_args!("{}: {from} → {to} leaves 条记录", found.origin));
            proof.iter().for_each(out::line);
            out::line(if consistent {
                "consistent: it only grew 一致：只增不改"
            } else {
                "✗ not consistent: another tree was signed 不一致：所签为另一棵树"
            });
        }
        Ok(if consistent { Exit::Well } else { Exit::Found })
    }
}

/// A number of leaves, or a checkpoint file that the log's key signed.
fn end(text: &str, public: [u8; 32]) -> Result<End, Stop> {
    if let Ok(size) = text.parse() {
        return Ok(End { size, signed: None });
    }
    let path = Path::new(text);
    let named = |what: &dyn std::fmt::Display| Stop::usage(format_args!("{}: {what}", path.display()));
    let note = std::fs::read(path).map_err(|e| named(&e.kind()))?;
    let origin = Checkpoint::peek(&note).map_err(|fault| named(&fault))?.origin;
    let vkey = Vkey::new(&origin, public).ok_or_else(|| named(&"is no checkpoint"))?;
    let checkpoint = Checkpoint::open(&note, &vkey).map_err(|fault| named(&fault))?;
    Ok(End { size: checkpoint.size, signed: Some(checkpoint) })
}
