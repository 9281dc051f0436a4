use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::scene::{self, Pair, data, event, item, officer, open, submit};
use crate::clock::Now;
use crate::domain::Calendar;
use crate::fault::Fault;
use Role::{Collecting, Handling};

const DAY: &str = "2026-10-12T09:30:00";

fn pair() -> Pair {
    Pair::open(DAY, json!({}))
}

fn illegal(outcome: Result<Pair, CaseFault>) -> Illegal {
    match outcome.map(|pair| pair.state()) {
        Err(CaseFault::IllegalTransition(illegal)) => illegal,
        other => panic!("{other:?}"),
    }
}

fn faults(outcome: Result<impl Sized, CaseFault>) -> Vec<String> {
    match outcome.map(drop) {
        Err(CaseFault::Schema(faults)) => {
            faults.iter().map(|f: &Fault| format!("{} {}", f.pointer, f.rule)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_application_travels_there_and_back_and_both_sides_tell_the_same() {
    let pair = pair()
        .then(Handling, "accept", "2026-10-13T10:00:00")
        .then(Handling, "decide", "2026-10-14T10:00:00")
        .then(Handling, "issue_license", "2026-10-15T10:00:00")
        .then(Handling, "deliver", "2026-10-16T10:00:00")
        .then(Collecting, "evaluate", "2026-10-17T10:00:00")
        .then(Handling, "close", "2026-10-19T10:00:00");
    assert_eq!(pair.state(), State::Closed);
    let now = Now::from_secs(scene::at("2026-10-20T00:00:00"));
    let told = [&pair.handling, &pair.collecting]
        .map(|case| status(case, Transport::Delivered, now, Calendar::shipped()).unwrap());
    assert_eq!(told[0], told[1]);
    let events: Vec<_> = told[0].events.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["submit", "accept", "decide", "issue_license", "deliver", "evaluate", "close"]);
    let value = serde_json::to_value(&told[0]).unwrap();
    assert!(crate::schema::Catalog::embedded().admit::<StatusResult>(&value).is_ok());
    assert_eq!(pair.handling.licenses(), [scene::LICENSE]);
    assert!(pair.handling.is_granted());
}

#[test]
fn a_case_is_stored_and_read_back_as_it_was() {
    let pair = pair()
        .then(Handling, "accept_tolerant", "2026-10-13T10:00:00")
        .then(Handling, "start_special", "2026-10-14T10:00:00")
        .then(Handling, "end_special", "2026-10-15T10:00:00");
    for case in [&pair.handling, &pair.collecting] {
        let text = serde_json::to_string(case).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), *case);
        for secret in ["42120219000101001X", "13900000000", "测试甲"] {
            assert!(!text.contains(secret), "the case keeps no personal data it does not need");
        }
    }
}

#[test]
fn before_the_relay_the_collecting_side_is_alone() {
    let now = Now::from_secs(scene::at(DAY));
    let body = submit(now.secs());
    let case = open(Collecting, &item(json!({})), &body, now.secs()).unwrap();
    assert_eq!(case.state(), State::Collected);
    assert!(case.local(Act::Route, &officer(), now).is_err(), "not handled online");
    let returned = case.local(Act::RejectForm, &officer(), now).unwrap();
    assert_eq!(returned.state(), State::Returned);
    let number = crate::domain::CaseNumber::parse(scene::NUMBER).unwrap();
    let opening = |terms: Terms| Opening {
        number: &number,
        role: Collecting,
        sides: scene::sides(),
        agreement: "a",
        terms,
    };
    let again: SubmitBody = crate::schema::Catalog::embedded().admit(&body).unwrap().into_inner();
    let resubmitted =
        returned.resubmit(opening(case.terms().clone()), &again, "d2", &officer(), now).unwrap();
    assert_eq!((resubmitted.state(), resubmitted.last()), (State::Collected, (0, "d2")));
    assert!(case.resubmit(opening(case.terms().clone()), &again, "d2", &officer(), now).is_err());
    assert_eq!(case.local(Act::Withdraw, &officer(), now).unwrap().state(), State::Withdrawn);
    let relayed = case.local(Act::Relay, &officer(), now).unwrap();
    assert_eq!(relayed.state(), State::Relayed);
    assert!(relayed.local(Act::Withdraw, &officer(), now).is_err(), "the handling side must hear of it");
    let online = item(json!({"mode": "online"}));
    let mut body = body;
    body["mode"] = json!("online");
    let case = open(Collecting, &online, &body, now.secs()).unwrap();
    assert_eq!(case.state(), State::Submitted);
    assert_eq!(case.local(Act::Route, &officer(), now).unwrap().state(), State::Relayed);
    let handling = open(Handling, &online, &body, now.secs()).unwrap();
    assert!(handling.local(Act::Relay, &officer(), now).is_err());
}

#[test]
fn a_submit_agrees_with_its_number_its_sides_and_the_agreement() {
    let now = scene::at(DAY);
    let opened = |patch: &dyn Fn(&mut Value), terms: Value| {
        let mut body = submit(now);
        patch(&mut body);
        faults(open(Handling, &item(terms), &body, now))
    };
    assert_eq!(opened(&|body| body["mode"] = json!("online"), json!({})), ["/mode agreement"]);
    assert_eq!(
        opened(&|body| body["collecting"]["region"] = json!("320922"), json!({})),
        ["/collecting/region region"]
    );
    assert_eq!(
        opened(&|body| body["handling"]["region"] = json!("320922"), json!({})),
        ["/handling/region region"]
    );
    assert_eq!(opened(&|body| body["parent"] = json!(scene::NUMBER), json!({})), ["/parent parent"]);
    assert_eq!(
        opened(&|body| body["materials"][1]["code"] = json!("M9"), json!({})),
        ["/materials/1/code material", "/materials required-material"]
    );
    let strict =
        json!([{"code": "M5", "name": "申请表", "necessity": "required", "evidence": ["commitment"]}]);
    assert_eq!(
        opened(&|_| {}, json!({"materials": strict})),
        [
            "/materials/0/code material",
            "/materials/1/code material",
            "/materials/2/code material",
            "/materials/3/evidence agreement"
        ]
    );
}

#[test]
fn a_form_is_judged_by_the_items_schema_where_there_is_one() {
    let now = scene::at(DAY);
    let opened = |form: &str| open(Handling, &item(json!({"form": form})), &submit(now), now);
    let told = faults(opened("newborn-registration"));
    assert!(!told.is_empty() && told.iter().all(|fault| fault.starts_with("/form/")), "{told:?}");
    assert!(opened("no-such-form").is_ok(), "the agencies' own");
}

#[test]
fn files_on_their_way_are_awaited_and_the_clock_waits_with_them() {
    let now = scene::at(DAY);
    let case = open(Handling, &item(json!({})), &submit(now), now).unwrap();
    assert_eq!(case.awaiting(), [scene::sha256()]);
    let clock = |case: &Case| clock::view(case, Now::from_secs(now), Calendar::shipped()).unwrap();
    assert_eq!((clock(&case).due, clock(&case).paused), (None, true));
    let there = case.arrived(&scene::sha256(), Now::from_secs(now + 86_400));
    assert!(there.awaiting().is_empty());
    assert_eq!(clock(&there).due, Some(scene::at("2026-10-20T23:59:59")));
    assert_eq!(there.arrived(&scene::sha256(), Now::from_secs(now + 99)), there, "the first arrival counts");
    assert_eq!(case.arrived(&"0".repeat(64), Now::from_secs(now)), case);
}

#[test]
fn an_event_out_of_sequence_changes_nothing() {
    let pair = pair();
    let (seq, prev) = pair.handling.last();
    for (seq, prev) in [(seq, prev), (seq + 2, prev), (seq + 1, "e".repeat(43).as_str())] {
        let body = event(seq.max(1), prev, "refuse", 1, data("refuse"));
        if seq == 0 {
            continue;
        }
        let judged = scene::judge(&pair.handling, &body, Handling, 1);
        assert_eq!(judged, Err(CaseFault::SequenceGap), "{seq}");
    }
    let accepted = pair.clone().then(Handling, "accept", DAY);
    let (_, stale) = pair.handling.last();
    let body = event(1, stale, "withdraw", 1, json!({}));
    assert_eq!(scene::judge(&accepted.handling, &body, Collecting, 1), Err(CaseFault::SequenceGap));
}

#[test]
fn no_side_speaks_for_the_other() {
    for (from, name) in
        [(Collecting, "accept"), (Collecting, "ack"), (Handling, "withdraw"), (Handling, "evaluate")]
    {
        assert_eq!(illegal(pair().act(from, name, DAY, data(name))), Illegal::Role, "{name}");
    }
    for name in ["collect", "relay", "route", "resubmit", "reject_form"] {
        assert_eq!(illegal(pair().act(Collecting, name, DAY, data(name))), Illegal::State, "{name}");
    }
    assert_eq!(illegal(pair().act(Handling, "ack", DAY, json!({}))), Illegal::State);
    let withdrawn = pair().then(Collecting, "withdraw", DAY);
    assert_eq!(withdrawn.state(), State::Withdrawn);
    assert_eq!(illegal(withdrawn.act(Handling, "accept", DAY, data("accept"))), Illegal::State);
}

#[test]
fn what_is_missing_is_told_once_and_only_that_is_supplied() {
    let pair = pair();
    let unlisted = json!({"notice_no":"1","items":[{"material":"M9","reason":"缺"}],"due":"2026-10-26"});
    assert_eq!(
        faults(pair.act(Handling, "need_supplement", "2026-10-14T09:00:00", unlisted)),
        ["/data/items/0/material material"]
    );
    let late = pair.act(Handling, "need_supplement", "2026-10-20T00:00:00", data("need_supplement"));
    assert_eq!(illegal(late), Illegal::NoticeLate);
    let pending = pair.then(Handling, "need_supplement", "2026-10-19T23:59:59");
    assert_eq!(pending.state(), State::SupplementPending);
    let other = json!({"materials": [scene::upload("M1")]});
    assert_eq!(
        faults(pending.act(Collecting, "supplement", "2026-10-21T09:00:00", other)),
        ["/data/materials/0/code material"]
    );
    let early = pending.act(Handling, "lapse", "2026-10-26T23:59:59", json!({}));
    assert_eq!(illegal(early), Illegal::TooEarly);
    let lapsed = pending.clone().then(Handling, "lapse", "2026-10-27T00:00:00");
    assert_eq!(lapsed.state(), State::Terminated);
    let back = pending.then(Collecting, "supplement", "2026-10-21T09:00:00");
    assert_eq!(back.state(), State::Received);
    assert_eq!(back.handling.materials().len(), 4, "replaced, not added");
    let again = back.act(Handling, "need_supplement", "2026-10-22T09:00:00", data("need_supplement"));
    assert_eq!(illegal(again), Illegal::NoticeGiven);
}

#[test]
fn minor_materials_may_follow_within_the_promised_limit() {
    let judge = |patch: Value| {
        let mut tolerant = data("accept_tolerant");
        for (name, value) in patch.as_object().unwrap() {
            tolerant[name] = value.clone();
        }
        pair().act(Handling, "accept_tolerant", "2026-10-13T10:00:00", tolerant)
    };
    assert_eq!(faults(judge(json!({"missing": ["M1"]}))), ["/data/missing/0 material"]);
    assert_eq!(faults(judge(json!({"due": "2026-10-21"}))), ["/data/due promise-limit"]);
    assert_eq!(faults(judge(json!({"due": "2026-10-12"}))), ["/data/due date-order"]);
    let tolerant = judge(json!({"due": "2026-10-20"})).unwrap();
    let decide = tolerant.act(Handling, "decide", "2026-10-14T10:00:00", data("decide"));
    assert_eq!(illegal(decide), Illegal::State, "not before it is filled in");
    let expired = |moment| tolerant.act(Handling, "tolerance_expired", moment, json!({}));
    assert_eq!(illegal(expired("2026-10-20T23:59:59")), Illegal::TooEarly);
    assert_eq!(expired("2026-10-21T00:00:00").unwrap().state(), State::Terminated);
    let follows = json!({"materials": [scene::upload("M6")]});
    let supplied = tolerant.act(Collecting, "supplement", "2026-10-15T10:00:00", follows).unwrap();
    assert_eq!((supplied.state(), supplied.handling.materials().len()), (State::AcceptedTolerant, 5));
    let other = json!({"materials": [scene::upload("M5")]});
    assert_eq!(
        faults(tolerant.act(Collecting, "supplement", "2026-10-15T10:00:00", other)),
        ["/data/materials/0/code material"]
    );
    let none = json!({"materials": ["M5"]});
    assert_eq!(
        faults(supplied.act(Handling, "tolerance_filled", "2026-10-15T11:00:00", none)),
        ["/data/materials required-material"]
    );
    let in_special = supplied.clone().then(Handling, "start_special", "2026-10-15T11:00:00");
    assert_eq!(
        in_special.then(Handling, "end_special", "2026-10-15T12:00:00").state(),
        State::AcceptedTolerant
    );
    let filled = supplied.then(Handling, "tolerance_filled", "2026-10-15T11:00:00");
    assert_eq!(filled.state(), State::Accepted);
}

#[test]
fn a_false_commitment_ends_the_case_and_a_kept_one_is_seen() {
    let accepted = pair().then(Handling, "accept", "2026-10-13T10:00:00");
    let check = |material: &str, outcome: &str| {
        let mut data = json!({"material": material, "outcome": outcome, "check_mode": "online"});
        if outcome == "false" {
            data["action"] = json!("revoke");
        }
        accepted.act(Handling, "verify_commitment", "2026-10-14T10:00:00", data)
    };
    assert_eq!(faults(check("M1", "fulfilled")), ["/data/material material"]);
    assert_eq!(check("M4", "false").unwrap().state(), State::Terminated);
    for (outcome, standing) in [("fulfilled", Standing::Proven), ("lapsed", Standing::Lapsed)] {
        let checked = check("M4", outcome).unwrap();
        assert_eq!(checked.state(), State::Accepted);
        let view = view(&checked.handling, Transport::Delivered, Now::from_secs(0), Calendar::shipped());
        let material = view.materials.iter().find(|material| material.code == "M4").unwrap();
        assert_eq!((material.standing, material.by), (standing, "XA0456"));
    }
}

#[test]
fn a_view_says_of_each_material_how_it_was_proven_by_whom_and_when() {
    let answer: VerificationAnswerBody = serde_json::from_value(
        json!({"id": scene::VERIFICATION, "outcome": "confirmed", "note": "", "at": 1_791_700_000,
               "by": {"org": "11421202TECT000191", "officer": "XA0777"}}),
    )
    .unwrap();
    let before = pair().handling;
    let case = before.verified(&answer);
    let line = |case: &Case, nth: usize| {
        let view = view(case, Transport::Delivered, Now::from_secs(scene::at(DAY)), Calendar::shipped());
        let material = &view.materials[nth];
        format!(
            "{} {} {} {} {}",
            material.code, material.evidence_zh, material.standing_zh, material.by, material.at
        )
    };
    let at = scene::at(DAY);
    assert_eq!(line(&case, 0), format!("M1 数据共享 已证明 YH0123 {at}"));
    assert_eq!(line(&before, 1), format!("M3 部门限时核验 待到达 YH0123 {at}"));
    assert_eq!(line(&case, 1), "M3 部门限时核验 已证明 XA0777 1791700000");
    assert_eq!(line(&case, 2), format!("M4 告知承诺 已承诺 YH0123 {at}"));
    assert_eq!(line(&case, 3), format!("M5 上传材料 已证明 YH0123 {at}"));
    let text =
        serde_json::to_string(&view(&case, Transport::Waiting, Now::from_secs(at), Calendar::shipped()));
    assert!(text.unwrap().contains("\"state_zh\":\"已接收\""));
}

#[test]
fn what_is_done_on_the_spot_is_delivered_without_a_license() {
    let at_once =
        Pair::open(DAY, json!({"project_type": "1", "promise_limit": {"value": 0, "unit": "working_day"}}));
    let mut accept = data("accept");
    accept["project_type"] = json!("1");
    let accepted = at_once.act(Handling, "accept", DAY, accept).unwrap();
    let delivered = accepted.then(Handling, "decide", DAY).then(Handling, "deliver", DAY);
    assert_eq!(delivered.state(), State::Delivered);
    let promised = pair().then(Handling, "accept", DAY).then(Handling, "decide", DAY);
    assert_eq!(illegal(promised.act(Handling, "deliver", DAY, data("deliver"))), Illegal::NotIssued);
}

#[test]
fn a_parent_is_decided_when_its_parts_are_and_granted_when_they_were() {
    let accepted = pair().then(Handling, "accept", DAY);
    let mut part = accepted.handling.clone();
    let with = |part: &Case| Pair {
        handling: accepted.handling.with_part(part, true),
        collecting: accepted.collecting.with_part(part, true),
    };
    part.number = "K3310834212022026101200000002K".into();
    assert_eq!(illegal(with(&part).act(Handling, "decide", DAY, data("decide"))), Illegal::PartOpen);
    part.state = State::Withdrawn;
    assert_eq!(illegal(with(&part).act(Handling, "decide", DAY, data("decide"))), Illegal::PartNotGranted);
    let deny = json!({"outcome":"deny","decision_no":"1","reason":"部分事项未办成","appeal":"六十日内可申请行政复议"});
    assert_eq!(with(&part).act(Handling, "decide", DAY, deny).unwrap().state(), State::DecidedDeny);
    part.state = State::Closed;
    part.decision = Some(Decision { outcome: Outcome::Grant, no: "1".into(), at: 1 });
    assert_eq!(with(&part).then(Handling, "decide", DAY).state(), State::DecidedGrant);
}

#[test]
fn a_case_is_evaluated_once_for_each_side_with_one_follow_up() {
    let ended = pair().then(Collecting, "withdraw", DAY);
    let evaluate = |pair: &Pair, role: &str, times: u8, satisfaction: &str| {
        let data = json!({"role":role,"channel":"短信","satisfaction":satisfaction,"times":times,"at":scene::at(DAY)});
        pair.act(Collecting, "evaluate", DAY, data)
    };
    assert_eq!(illegal(evaluate(&pair(), "handling", 1, "1")), Illegal::State, "not before it ends");
    assert_eq!(
        illegal(evaluate(&ended, "handling", 2, "1")),
        Illegal::Evaluated,
        "no follow-up without a first"
    );
    let once = evaluate(&ended, "handling", 1, "5").unwrap();
    assert_eq!(illegal(evaluate(&once, "handling", 1, "1")), Illegal::Evaluated);
    let both = evaluate(&once, "collecting", 1, "1").unwrap();
    assert_eq!(illegal(both.act(Collecting, "rectify", DAY, data("rectify"))), Illegal::Role);
    let rectified = both.then(Handling, "rectify", DAY);
    assert_eq!(illegal(rectified.act(Handling, "rectify", DAY, data("rectify"))), Illegal::NothingOpen);
    let twice = evaluate(&rectified, "handling", 2, "2").unwrap();
    assert_eq!(illegal(evaluate(&twice, "handling", 2, "2")), Illegal::Evaluated);
    assert_eq!(twice.state(), State::Withdrawn);
}

#[test]
fn a_correction_is_answered_by_the_side_that_was_asked() {
    let asked = pair().then(Handling, "request_correction", DAY);
    assert_eq!(
        faults(asked.act(Collecting, "request_correction", DAY, data("request_correction"))),
        ["/data/id uniqueItems"]
    );
    assert_eq!(
        illegal(asked.act(Handling, "answer_correction", DAY, data("answer_correction"))),
        Illegal::Role
    );
    let answered = asked.then(Collecting, "answer_correction", DAY);
    assert!(answered.handling.corrections()[0].answered.is_some());
    let again = answered.act(Collecting, "answer_correction", DAY, data("answer_correction"));
    assert_eq!(illegal(again), Illegal::NothingOpen);
}

#[test]
fn an_event_of_the_handling_side_proves_the_receipt_that_was_lost() {
    let now = scene::at(DAY);
    let (item, body) = (item(json!({})), submit(now));
    let handling = open(Handling, &item, &body, now).unwrap();
    let relayed = open(Collecting, &item, &body, now).unwrap();
    let relayed = relayed.local(Act::Relay, &officer(), Now::from_secs(now)).unwrap();
    let (_, prev) = handling.last();
    let accept = event(1, prev, "accept", now + 7200, data("accept"));
    let accepted = scene::judge(&relayed, &accept, Handling, now + 7200).unwrap();
    assert_eq!((accepted.state(), accepted.received_at()), (State::Accepted, Some(now + 7200)));
    let with_receipt = accepted.received(&receipt(&handling, 0).unwrap()).unwrap();
    assert_eq!((with_receipt.state(), with_receipt.received_at()), (State::Accepted, Some(now)));
    let mut foreign = receipt(&handling, 0).unwrap();
    foreign.digest = "e".repeat(43);
    assert_eq!(relayed.received(&foreign), Err(CaseFault::ForeignReceipt));
    let nack = event(1, prev, "nack", now, data("nack"));
    let failed = scene::judge(&relayed, &nack, Handling, now).unwrap();
    assert_eq!(failed.state(), State::RelayFailed);
    assert_eq!(failed.local(Act::Relay, &officer(), Now::from_secs(now)).unwrap().state(), State::Relayed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever either side tries: what the handling side applies the collecting side applies
    /// too, both stand alike, the chain has no hole, and what is refused changes nothing.
    #[test]
    fn any_history_is_the_same_on_both_sides(
        tries in proptest::collection::vec((proptest::sample::select(Act::ALL), any::<bool>(), 0_i64..200_000), 1..40)
    ) {
        let mut pair = pair();
        let mut now = scene::at(DAY);
        for (act, collecting, pause) in tries.into_iter().filter(|(act, ..)| *act != Act::Submit) {
            now += pause;
            let from = if collecting { Collecting } else { Handling };
            let (seq, prev) = pair.handling.last();
            let body = event(seq + 1, prev, act.event(), now, data(act.event()));
            let Ok(handling) = scene::judge(&pair.handling, &body, from, now) else { continue };
            let other = scene::judge(&pair.collecting, &body, from, now);
            prop_assert!(other.is_ok(), "{act:?} {other:?}");
            prop_assert!(!pair.state().is_final() || handling.state() == pair.state());
            pair = Pair { handling, collecting: other.unwrap() };
            prop_assert_eq!(pair.handling.events(), pair.collecting.events());
            prop_assert_eq!(pair.handling.last().0, seq + 1);
            let view = |case| clock::view(case, Now::from_secs(now), Calendar::shipped());
            prop_assert_eq!(view(&pair.handling), view(&pair.collecting));
            let watched = |case| supervision(case, Now::from_secs(now), Calendar::shipped());
            prop_assert_eq!(watched(&pair.handling), watched(&pair.collecting));
        }
    }
}
