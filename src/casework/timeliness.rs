//! 时效: how each partner, and we, keep the limits: for supervision and for the partners' talk.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Undone, read_case};
use crate::case::{self, Role};
use crate::casebook::{CaseFilter, Page};
use crate::clock::Now;
use crate::domain::Colour;
use crate::house::House;

/// Cases read at once: the report walks all of them, a page at a time.
const PAGE: u32 = 500;

/// Counts of one partner's cases with us, by who handles them.
#[derive(Default)]
struct Tally {
    open: u64,
    ended: u64,
    yellow: u64,
    red: u64,
    legal_overdue: u64,
    supervised: u64,
    evaluations: u64,
    bad_evaluations: u64,
    /// Seconds from receipt to decision, summed over decided cases.
    decided_in: i64,
    decided: u64,
}

impl House {
    /// `GET /local/v1/reports/timeliness`.
    pub async fn timeliness(&self, now: Now) -> Result<Value, Undone> {
        let mut tallies: BTreeMap<(String, Role), Tally> = BTreeMap::new();
        let mut after = 0;
        loop {
            let found = self.casebook.cases(CaseFilter::default(), Page { after, most: PAGE }).await?;
            let Some(last) = found.last() else { break };
            after = last.n;
            for listed in &found {
                let case = read_case(&listed.row)?;
                // Who handles a case answers for its limits.
                let handles = case.role();
                let tally = tallies.entry((listed.row.partner.clone(), handles)).or_default();
                self.tally(tally, &case, now);
            }
        }
        let rows: Vec<Value> = tallies
            .iter()
            .map(|((partner, role), tally)| {
                json!({
                    "partner": partner,
                    "handled_by": if *role == Role::Handling { self.me.as_str() } else { partner.as_str() },
                    "open": tally.open,
                    "ended": tally.ended,
                    "yellow": tally.yellow,
                    "red": tally.red,
                    "legal_overdue": tally.legal_overdue,
                    "supervised": tally.supervised,
                    "decided": tally.decided,
                    "mean_seconds_to_decision":
                        (tally.decided > 0).then(|| tally.decided_in / i64::try_from(tally.decided).unwrap_or(1)),
                    "evaluations": tally.evaluations,
                    "bad_evaluations": tally.bad_evaluations,
                })
            })
            .collect();
        Ok(json!({"at": now.secs(), "partners": rows}))
    }

    fn tally(&self, tally: &mut Tally, case: &case::Case, now: Now) {
        let calendar = self.calendar.load();
        if case::clock::ended(case.state()) {
            tally.ended += 1;
        } else {
            tally.open += 1;
        }
        match case::clock::view(case, now, &calendar).map(|clock| clock.colour) {
            Ok(Colour::Yellow) => tally.yellow += 1,
            Ok(Colour::Red) => tally.red += 1,
            Ok(Colour::Green) | Err(_) => {}
        }
        let running = case::clock::running(case, &calendar);
        let standing = running.and_then(|running| running.standing(now, &calendar));
        tally.legal_overdue += u64::from(standing.is_ok_and(|(_, legal)| legal));
        tally.supervised +=
            u64::from(case::supervision(case, now, &calendar).is_ok_and(|all| !all.is_empty()));
        let decided = case.events().iter().find(|mark| mark.event == "decide");
        if let Some((decided, received)) = decided.zip(case.received_at()) {
            tally.decided += 1;
            tally.decided_in += (decided.at - received).max(0);
        }
        for evaluation in case.evaluations() {
            tally.evaluations += 1;
            tally.bad_evaluations += u64::from(evaluation.is_bad());
        }
    }
}
