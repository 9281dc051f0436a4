//! 电子监察 and 督办: what went too slowly or wrongly in a case, as the records of
//! GB/T 39046 table 11.
//!
//! Promises: reckoned from the case alone, so that both sides find the same records with the
//! same numbers at any time; nothing is stored that could be lost or changed.

use serde::Serialize;

use super::clock::{self, Running};
use super::copy::Case;
use super::machine::MOST_RELAY_RETRIES;
use super::timers::{past, rectification_due};
use crate::clock::Now;
use crate::domain::{Calendar, Unpublished, due};

/// One record of supervision (GB/T 39046 table 11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Supervision {
    /// 监察编号: case, rule, number among the records of that rule.
    pub number: String,
    /// 监察规则编号.
    pub rule: &'static str,
    /// 预警类型.
    pub kind: Warning,
    /// 状态产生时间, seconds since the epoch.
    pub at: i64,
    /// 督办内容.
    pub content: &'static str,
    pub content_zh: &'static str,
    /// 被督办机构.
    pub org: String,
    /// 结果描述: when it was settled, seconds since the epoch; `None` while it is open.
    pub settled_at: Option<i64>,
    /// 责任部门.
    pub department: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    Yellow,
    Red,
    /// Past the law's own limit: a copy goes to discipline inspection (纪检).
    RedPlus,
}

/// What is watched (domain reference §7.5, §7.6, §7.8).
struct Rule {
    id: &'static str,
    kind: Warning,
    content: &'static str,
    content_zh: &'static str,
}

const fn rule(id: &'static str, kind: Warning, content: &'static str, content_zh: &'static str) -> Rule {
    Rule { id, kind, content, content_zh }
}

const SILENT: Rule = rule(
    "S01",
    Warning::Red,
    "neither accepted nor told what is missing within five working days",
    "逾期未受理亦未一次性告知",
);
const DEEMED: Rule = rule("S02", Warning::Red, "accepted by silence", "逾期未告知视为受理");
const PROMISE: Rule = rule("S03", Warning::Red, "not decided within the promised limit", "超过承诺时限");
const LEGAL: Rule = rule("S04", Warning::RedPlus, "not decided within the legal limit", "超过法定时限");
const DELIVERY: Rule = rule("S05", Warning::Red, "not delivered within ten working days", "逾期未送达");
const PASSED_ON: Rule = rule("S06", Warning::Yellow, "handed from department to department", "多次转办");
const RELAY: Rule = rule("S07", Warning::Yellow, "the relay was refused again and again", "转递多次被拒");
const SPECIAL: Rule =
    rule("S08", Warning::Yellow, "a special procedure took longer than its limit", "特别程序超期");
const RECTIFY: Rule =
    rule("S09", Warning::Red, "a bad evaluation was not put right in time", "差评逾期未整改");
const CORRECTION: Rule =
    rule("S10", Warning::Yellow, "a correction was not answered in time", "校核纠错逾期未答复");

/// From this transfer on a case is supervised (domain reference §7.5).
const TRANSFERS: usize = 2;

/// Every record the case gives by `now`, in the order of their rules.
pub fn supervision(case: &Case, now: Now, calendar: &Calendar) -> Result<Vec<Supervision>, Unpublished> {
    let mut book = Book { case, now, records: Vec::new() };
    of_the_notice(&mut book, calendar)?;
    let decision = clock::decision_clock(case, calendar)?;
    book.clock(&PROMISE, decision.due, &decision);
    book.clock(&LEGAL, decision.legal_due, &decision);
    let delivery = clock::delivery_clock(case, calendar)?;
    book.clock(&DELIVERY, delivery.due, &delivery);
    for transfer in case.transfers.iter().skip(TRANSFERS - 1) {
        book.record(&PASSED_ON, transfer.at, None);
    }
    if case.nacks > MOST_RELAY_RETRIES
        && let Some(last) = case.events.iter().rfind(|mark| mark.event == "nack")
    {
        book.record(&RELAY, last.at, None);
    }
    for special in &case.specials {
        let due = due(Now::from_secs(special.from), special.limit, calendar)?;
        book.late(&SPECIAL, due, special.to.or_else(|| book.ended_at()));
    }
    for evaluation in case.evaluations.iter().filter(|evaluation| evaluation.is_bad()) {
        book.late(&RECTIFY, rectification_due(evaluation, calendar)?, evaluation.rectified_at);
    }
    for correction in &case.corrections {
        let answered = correction.answered.map(|(at, _)| at);
        book.late(&CORRECTION, clock::end_of(correction.due), answered);
    }
    Ok(book.records)
}

/// The first five working days: what ended them, and whether in time.
fn of_the_notice(book: &mut Book<'_>, calendar: &Calendar) -> Result<(), Unpublished> {
    let case = book.case;
    let Some(received) = clock::receipt(case) else { return Ok(()) };
    let ends = ["need_supplement", "accept", "accept_tolerant", "refuse", "deemed_accepted", "withdraw"];
    let ended = case.events.iter().find(|mark| ends.contains(&mark.event.as_str()));
    // Whatever arrived after the end was no part of this clock.
    let arrived = case.materials.iter().filter_map(|material| material.here_at);
    let last = arrived.filter(|at| ended.is_none_or(|end| *at <= end.at)).max();
    if ended.is_none() && !case.awaiting().is_empty() {
        return Ok(());
    }
    let started = Now::from_secs(last.map_or(received, |at| at.max(received)));
    book.late(&SILENT, due(started, clock::NOTICE_LIMIT, calendar)?, ended.map(|mark| mark.at));
    if let Some(deemed) = ended.filter(|mark| mark.event == "deemed_accepted") {
        book.record(&DEEMED, deemed.at, Some(deemed.at));
    }
    Ok(())
}

struct Book<'c> {
    case: &'c Case,
    now: Now,
    records: Vec<Supervision>,
}

impl Book<'_> {
    /// A clock of the procedure: it stops at the decision or delivery, stands still in a pause,
    /// and ends with a case that ends otherwise (withdrawn, terminated).
    fn clock(&mut self, rule: &Rule, due: Option<Now>, clock: &Running) {
        let Some(due) = due else { return };
        let still = clock.still_since.map(Now::secs);
        let until = still.or_else(|| self.ended_at()).unwrap_or_else(|| self.now.secs());
        if until.min(self.now.secs()) > due.secs() {
            self.record(rule, past(due).secs(), still.filter(|_| !clock.paused));
        }
    }

    /// A record if what was due was settled too late, or is not settled and due.
    fn late(&mut self, rule: &Rule, due: Now, settled_at: Option<i64>) {
        if settled_at.unwrap_or(i64::MAX).min(self.now.secs()) > due.secs() {
            self.record(rule, past(due).secs(), settled_at);
        }
    }

    fn ended_at(&self) -> Option<i64> {
        self.case.events.iter().find(|mark| mark.state.is_final()).map(|mark| mark.at)
    }

    fn record(&mut self, rule: &Rule, at: i64, settled_at: Option<i64>) {
        let nth = self.records.iter().filter(|record| record.rule == rule.id).count() + 1;
        let org = self.org_at(at);
        self.records.push(Supervision {
            number: format!("{}-{}-{nth}", self.case.number, rule.id),
            rule: rule.id,
            kind: rule.kind,
            at,
            content: rule.content,
            content_zh: rule.content_zh,
            department: org.clone(),
            org,
            settled_at,
        });
    }

    /// The agency that had the case at that moment.
    fn org_at(&self, at: i64) -> String {
        let last = self.case.transfers.iter().rfind(|transfer| transfer.at <= at);
        last.map_or_else(|| self.case.handling.org.clone(), |transfer| transfer.to_org.clone())
    }
}
