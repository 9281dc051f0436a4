//! `audit registers --check`: every entry of the registers against its leaf, from files alone.

use std::path::PathBuf;

use super::super::{Common, Exit, Outcome, Stop, out};
use super::data_dir;
use crate::audit::registers_bound;

/// Names what was altered, taken out or put in; 2 when there is any.
pub fn check(dir: Option<PathBuf>, common: &Common) -> Outcome {
    let bound = registers_bound(&data_dir(dir, common)?).map_err(Stop::failed)?;
    if common.json {
        out::json(&serde_json::to_value(&bound).unwrap_or_default());
    } else {
        for finding in &bound.findings {
            out::line(format_args!("✗ {} / {}", finding.message_zh(), finding.message()));
        }
        if bound.more > 0 {
            out::line(format_args!("… {} more 另有", bound.more));
        }
        let (mark, zh, en) = if bound.sound {
            ("✓", "登记簿与账本一致", "the registers are what the ledger says")
        } else {
            ("✗", "登记簿与账本不一致", "the registers are not what the ledger says")
        };
        let (entries, leaves) = (bound.entries, bound.leaves);
        out::line(format_args!("{mark} {zh} / {en}: {entries} entries 项, {leaves} leaves 条"));
    }
    Ok(if bound.sound { Exit::Well } else { Exit::Found })
}
