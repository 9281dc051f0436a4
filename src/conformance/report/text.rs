//! The report for a terminal.

use super::super::play::{Outcome, Played, Run};
use super::clauses::clause;
use super::{areas, shown};

/// Characters of what was sent, expected or received; the other forms have all of it.
const SHOWN: usize = 1_200;
/// Columns of the progress bar.
const BAR: usize = 30;

/// One line of progress.
pub fn line(done: usize, of: usize, failed: usize) -> String {
    let filled = (done * BAR).checked_div(of).unwrap_or(BAR);
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR.saturating_sub(filled)));
    format!("{bar} {done}/{of} · {failed} failed 未通过")
}

/// Failures in full, what was not run in groups, and the sum.
pub fn text(run: &Run) -> String {
    let mut out = format!("Target 被测网关 {} · role 角色 {}\n\n", run.target, run.role.word());
    for area in areas(run) {
        let of_area: Vec<&Played> = run.played.iter().filter(|played| played.case.area == area).collect();
        let count =
            |which: fn(&Outcome) -> bool| of_area.iter().filter(|played| which(&played.outcome)).count();
        out.push_str(&format!(
            "{area:<14} {:>4} passed 通过 {:>4} failed 未通过 {:>4} not run 未执行\n",
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::NotRun(_))),
        ));
    }
    out.push('\n');
    for played in &run.played {
        if let Outcome::Failed(why) = &played.outcome {
            let case = &played.case;
            out.push_str(&format!("✗ {} {} {}\n    {why}\n", case.id, case.title, case.title_zh));
            out.push_str(&format!(
                "    clause 条款 {}: {}\n",
                case.clause,
                clause(&case.clause).replace('\n', "\n    ")
            ));
            for (zh, en, text) in played.trail.iter().flat_map(shown) {
                let text: String = text.chars().take(SHOWN).collect();
                out.push_str(&format!("    {en} {zh}: {}\n", text.replace('\n', "\n      ")));
            }
        }
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for played in &run.played {
        if let Outcome::NotRun(why) = &played.outcome {
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, ids)) => ids.push(&played.case.id),
                None => reasons.push((why, vec![&played.case.id])),
            }
        }
    }
    for (why, ids) in reasons {
        out.push_str(&format!("– not run 未执行: {why}: {}\n", ids.join(" ")));
    }
    out.push_str(&format!(
        "{} passed 通过, {} failed 未通过, {} not run 未执行, {:.1} s\n",
        run.passed(),
        run.failed(),
        run.not_run(),
        run.took.as_secs_f64()
    ));
    out
}
