//! The report for programs.

use serde_json::{Value, json};

use super::super::play::Run;
use super::clauses::clause;
use super::{date, shown, words};

pub fn json(run: &Run) -> Value {
    let cases: Vec<Value> = run
        .played
        .iter()
        .map(|played| {
            let (outcome, why) = words(&played.outcome);
            let mut case = json!({
                "id": played.case.id, "clause": played.case.clause, "area": played.case.area,
                "title": played.case.title, "title_zh": played.case.title_zh,
                "outcome": outcome, "ms": u64::try_from(played.took.as_millis()).unwrap_or(u64::MAX),
            });
            let Some(members) = case.as_object_mut() else { return case };
            if !why.is_empty() {
                members.insert("why".into(), why.into());
            }
            if let Some(trail) = &played.trail {
                members.insert("clause_text".into(), clause(&played.case.clause).into());
                members.insert("step".into(), trail.step.into());
                for (_, name, text) in shown(trail) {
                    members.insert(name.into(), text.into());
                }
            }
            case
        })
        .collect();
    json!({
        "suite": format!("tongban {}", env!("CARGO_PKG_VERSION")), "target": run.target,
        "role": run.role.word(), "started": date(run.started), "seconds": run.took.as_secs(),
        "passed": run.passed(), "failed": run.failed(), "not_run": run.not_run(), "cases": cases,
    })
}
