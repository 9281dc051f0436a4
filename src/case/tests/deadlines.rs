use serde_json::{Value, json};

use super::super::*;
use super::scene::{self, Pair, at, data};
use crate::clock::Now;
use crate::domain::{Calendar, Colour};
use Role::{Collecting, Handling};

/// 行政许可: silence accepts.
const PERMIT: &str = "11421202TECT0001914000109001000";

fn shown(clock: ClockView) -> String {
    let due = clock.due.map_or("–".to_owned(), |due| {
        let moment = jiff::Timestamp::from_second(due).unwrap();
        jiff::tz::Offset::constant(8).to_datetime(moment).to_string()
    });
    format!("{due} {}{}", clock.colour.name(), if clock.paused { " paused" } else { "" })
}

fn rules(pair: &Pair, moment: &str) -> Vec<String> {
    let told = |case| supervision(case, Now::from_secs(at(moment)), Calendar::shipped()).unwrap();
    assert_eq!(told(&pair.handling), told(&pair.collecting));
    told(&pair.handling)
        .iter()
        .map(|record| {
            format!(
                "{} {:?}{}",
                record.rule,
                record.kind,
                if record.settled_at.is_some() { " settled" } else { "" }
            )
        })
        .collect()
}

fn wakes(case: &Case) -> Vec<(String, TimerEvent)> {
    let shanghai = |now: Now| {
        let moment = jiff::Timestamp::from_second(now.secs()).unwrap();
        jiff::tz::Offset::constant(8).to_datetime(moment).to_string()
    };
    timers(case, Calendar::shipped())
        .unwrap()
        .into_iter()
        .map(|(now, event)| (shanghai(now), event))
        .collect()
}

#[test]
fn a_received_case_has_five_working_days_for_its_notice() {
    let pair = Pair::open("2026-09-30T10:00:00", json!({}));
    assert_eq!(shown(pair.clock("2026-09-30T10:00:00")), "2026-10-13T23:59:59 green");
    assert_eq!(shown(pair.clock("2026-10-12T00:00:00")), "2026-10-13T23:59:59 yellow");
    assert_eq!(shown(pair.clock("2026-10-14T00:00:00")), "2026-10-13T23:59:59 red");
    assert!(rules(&pair, "2026-10-13T23:59:59").is_empty());
    assert_eq!(rules(&pair, "2026-10-14T00:00:00"), ["S01 Red"]);
    let accepted = pair.then(Handling, "accept", "2026-10-15T09:00:00");
    assert_eq!(rules(&accepted, "2026-10-15T10:00:00"), ["S01 Red settled"]);
}

#[test]
fn the_receipt_that_counts_is_the_agreements_word() {
    let received = at("2026-10-14T09:00:00");
    let open = |clock: &str| {
        let item = scene::item(json!({"receipt_clock": clock}));
        let mut body = scene::submit(at("2026-10-12T09:00:00"));
        body["materials"].as_array_mut().unwrap().pop();
        body["materials"]
            .as_array_mut()
            .unwrap()
            .push(json!({"code":"M5","name":"申请表","evidence":"shared_data","exchange":scene::EXCHANGE}));
        scene::open(Handling, &item, &body, received).unwrap()
    };
    let view = |case: &Case| clock::view(case, Now::from_secs(received), Calendar::shipped()).unwrap();
    assert_eq!(shown(view(&open("handling"))), "2026-10-21T23:59:59 green");
    assert_eq!(shown(view(&open("collecting"))), "2026-10-19T23:59:59 green");
}

#[test]
fn the_promise_crosses_the_national_day() {
    let pair = Pair::open("2026-09-29T10:00:00", json!({}));
    let mut accept = data("accept");
    accept["promise_date"] = json!("2026-12-31");
    let accepted = pair.act(Handling, "accept", "2026-09-30T10:00:00", accept).unwrap();
    assert_eq!(
        shown(accepted.clock("2026-09-30T10:00:00")),
        "2026-10-13T23:59:59 green",
        "the agreement's limit"
    );
    let mut accept = data("accept");
    accept["promise_date"] = json!("2026-10-09");
    let sooner = pair.act(Handling, "accept", "2026-09-30T10:00:00", accept).unwrap();
    assert_eq!(shown(sooner.clock("2026-09-30T10:00:00")), "2026-10-09T23:59:59 green", "what was told");
    assert_eq!(rules(&accepted, "2026-10-14T00:00:00"), ["S03 Red"]);
    assert_eq!(rules(&accepted, "2026-11-04T00:00:00"), ["S03 Red", "S04 RedPlus"]);
    let decided = accepted.then(Handling, "decide", "2026-10-14T09:00:00");
    assert_eq!(rules(&decided, "2026-11-04T00:00:00"), ["S03 Red settled", "S05 Red"]);
    assert_eq!(shown(decided.clock("2026-10-14T09:00:00")), "2026-10-28T23:59:59 green");
    let delivered = decided.then(Handling, "issue_license", "2026-10-15T09:00:00").then(
        Handling,
        "deliver",
        "2026-10-16T09:00:00",
    );
    assert_eq!(shown(delivered.clock("2026-12-01T09:00:00")), "– red", "the decision came too late");
}

#[test]
fn a_special_procedure_of_the_second_kind_is_not_counted() {
    let accepted =
        Pair::open("2026-10-12T09:00:00", json!({})).then(Handling, "accept", "2026-10-12T10:00:00");
    assert_eq!(shown(accepted.clock("2026-10-12T10:00:00")), "2026-10-19T23:59:59 green");
    let paused = accepted.clone().then(Handling, "start_special", "2026-10-13T09:00:00");
    assert_eq!(shown(paused.clock("2026-10-30T09:00:00")), "2026-10-19T23:59:59 green paused");
    assert_eq!(
        rules(&paused, "2026-10-21T00:00:00"),
        ["S08 Yellow"],
        "its own limit of five days has passed"
    );
    let resumed = paused.then(Handling, "end_special", "2026-10-16T09:00:00");
    assert_eq!(shown(resumed.clock("2026-10-16T09:00:00")), "2026-10-22T23:59:59 green");
    let mut first_kind = data("start_special");
    first_kind["kind"] = json!("1");
    let counted = accepted.act(Handling, "start_special", "2026-10-13T09:00:00", first_kind).unwrap();
    assert_eq!(shown(counted.clock("2026-10-30T09:00:00")), "2026-10-19T23:59:59 red");
}

#[test]
fn the_limit_is_extended_once() {
    let accepted =
        Pair::open("2026-10-12T09:00:00", json!({})).then(Handling, "accept", "2026-10-12T10:00:00");
    let extended = accepted.then(Handling, "extend", "2026-10-13T10:00:00");
    assert_eq!(shown(extended.clock("2026-10-13T10:00:00")), "2026-11-02T23:59:59 green");
    let again = extended.act(Handling, "extend", "2026-10-14T10:00:00", data("extend")).map(drop);
    assert_eq!(again, Err(CaseFault::IllegalTransition(Illegal::Extended)));
}

#[test]
fn five_days_of_silence_accept_a_permit_and_date_it_back() {
    let permit = Pair::open("2026-10-12T09:00:00", json!({"code": PERMIT}));
    let deemed = |pair: &Pair, moment: &str| pair.act(Handling, "deemed_accepted", moment, json!({}));
    let early = deemed(&permit, "2026-10-19T23:59:59").map(drop);
    assert_eq!(early, Err(CaseFault::IllegalTransition(Illegal::TooEarly)));
    assert!(wakes(&permit.handling).contains(&("2026-10-20T00:00:00".into(), TimerEvent::DeemedAccepted)));
    let accepted = deemed(&permit, "2026-10-20T00:00:00").unwrap();
    assert_eq!(accepted.state(), State::Accepted);
    assert_eq!(
        shown(accepted.clock("2026-10-19T09:00:00")),
        "2026-10-19T23:59:59 yellow",
        "from the receipt"
    );
    assert_eq!(rules(&accepted, "2026-10-20T00:00:01"), ["S01 Red settled", "S02 Red settled", "S03 Red"]);
    let service = Pair::open("2026-10-12T09:00:00", json!({}));
    let never = deemed(&service, "2026-10-20T00:00:00").map(drop);
    assert_eq!(never, Err(CaseFault::IllegalTransition(Illegal::NotDeemed)));
    assert!(wakes(&service.handling).iter().all(|(_, event)| *event != TimerEvent::DeemedAccepted));
}

#[test]
fn while_the_applicant_is_asked_the_authority_is_not_late() {
    let pending =
        Pair::open("2026-10-12T09:00:00", json!({})).then(Handling, "need_supplement", "2026-10-13T10:00:00");
    assert_eq!(shown(pending.clock("2026-10-30T10:00:00")), "2026-10-26T23:59:59 green paused");
    assert!(wakes(&pending.handling).contains(&("2026-10-27T00:00:00".into(), TimerEvent::Lapse)));
    let supplied = pending.then(Collecting, "supplement", "2026-10-21T09:00:00");
    assert_eq!(shown(supplied.clock("2026-10-21T09:00:00")), "2026-10-28T23:59:59 green", "counted anew");
    assert!(rules(&supplied, "2026-10-29T00:00:00").is_empty(), "the notice came in time");
}

#[test]
fn a_case_that_meets_an_unpublished_year_says_so() {
    let long = json!({"promise_limit": {"value": 20, "unit": "working_day"}});
    let pair = Pair::open("2026-12-07T09:00:00", long);
    let mut accept = data("accept");
    accept["promise_date"] = json!("2026-12-31");
    let judged = pair.act(Handling, "accept", "2026-12-14T10:00:00", accept).map(drop);
    assert!(matches!(judged, Err(CaseFault::CalendarUnpublished(unpublished)) if unpublished.year == 2027));
}

#[test]
fn a_case_knows_when_it_wants_attention_next() {
    let accepted =
        Pair::open("2026-10-12T09:00:00", json!({})).then(Handling, "accept", "2026-10-12T10:00:00");
    let commitment = TimerEvent::CommitmentDue { material: "M4".into() };
    assert_eq!(
        wakes(&accepted.handling),
        [
            ("2026-10-16T00:00:00".into(), TimerEvent::Soon),
            ("2026-10-17T00:00:00".into(), commitment),
            ("2026-10-20T00:00:00".into(), TimerEvent::Overdue),
            ("2026-11-10T00:00:00".into(), TimerEvent::LegalOverdue),
        ]
    );
    assert_eq!(accepted.clock("2026-10-15T23:59:59").colour, Colour::Green);
    assert_eq!(accepted.clock("2026-10-16T00:00:00").colour, Colour::Yellow);
    let tolerant =
        Pair::open("2026-10-12T09:00:00", json!({})).then(Handling, "accept_tolerant", "2026-10-12T10:00:00");
    assert!(
        wakes(&tolerant.handling).contains(&("2026-10-17T00:00:00".into(), TimerEvent::ToleranceExpired))
    );
    assert_eq!(TimerEvent::ToleranceExpired.event(), Some("tolerance_expired"));
}

#[test]
fn handing_a_case_around_and_leaving_complaints_open_is_supervised() {
    let pair = Pair::open("2026-10-12T09:00:00", json!({})).then(Handling, "transfer", "2026-10-12T10:00:00");
    assert!(rules(&pair, "2026-10-12T11:00:00").is_empty());
    let pair = pair.then(Handling, "transfer", "2026-10-12T12:00:00");
    assert_eq!(rules(&pair, "2026-10-12T13:00:00"), ["S06 Yellow"]);
    let ended = pair.then(Handling, "request_correction", "2026-10-13T09:00:00").then(
        Collecting,
        "withdraw",
        "2026-10-13T10:00:00",
    );
    let bad: Value = json!({"role":"handling","channel":"短信","satisfaction":"4","times":1,"at":at("2026-10-13T11:00:00")});
    let bad = ended.act(Collecting, "evaluate", "2026-10-13T11:00:00", bad).unwrap();
    assert_eq!(rules(&bad, "2026-11-03T23:59:59"), ["S06 Yellow", "S10 Yellow"]);
    assert_eq!(rules(&bad, "2026-11-04T00:00:00"), ["S06 Yellow", "S09 Red", "S10 Yellow"]);
    let rectified = bad.then(Handling, "rectify", "2026-10-20T09:00:00");
    assert_eq!(rules(&rectified, "2026-11-04T00:00:00"), ["S06 Yellow", "S10 Yellow"]);
    let record =
        &supervision(&rectified.handling, Now::from_secs(at("2026-11-04T00:00:00")), Calendar::shipped());
    assert_eq!(record.as_ref().unwrap()[0].number, format!("{}-S06-1", scene::NUMBER));
}
