//! The life of a case: a submit and any events, from either side, at any time. Whatever they say,
//! nothing panics, what is refused changes nothing, and what is final stays so.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tongban::case::{self, Case, EventBody, Opening, Role, Sides, SubmitBody, Terms, Transport, digest_text};
use tongban::clock::Now;
use tongban::domain::{Calendar, CaseNumber, Region};
use tongban::policy::Agreement;
use tongban::schema::Catalog;

/// 2026-10-12T09:20:00+08:00.
const START: i64 = 1_791_768_000;
const NUMBER: &str = "K3310834212022026101200000001M";

fuzz_target!(|bytes: &[u8]| {
    let Ok(story) = tongban::json::parse(bytes) else { return };
    let catalog = Catalog::embedded();
    let (Some(submit), Some(events)) = (story.get("submit"), story.get("events").and_then(Value::as_array)) else {
        return;
    };
    let Ok(body) = catalog.admit::<SubmitBody>(submit) else { return };
    let digest = digest_text(submit);
    for role in Role::BOTH {
        let Ok(case) = Case::open(opening(role), body.get(), &digest, Now::from_secs(START)) else { continue };
        live(case, events);
    }
});

fn live(mut case: Case, events: &[Value]) {
    let calendar = Calendar::shipped();
    for event in events {
        let Ok(body) = Catalog::embedded().admit::<EventBody>(event) else { continue };
        let now = Now::from_secs(body.get().at.clamp(START, START + 400 * 86_400));
        let from = if event.get("seq").and_then(Value::as_u64).is_some_and(|seq| seq % 2 == 0) {
            Role::Collecting
        } else {
            Role::Handling
        };
        let before = case.clone();
        if let Ok(next) = case.judge(body.get(), &digest_text(event), from, now, calendar) {
            assert!(!before.state().is_final() || next.state() == before.state(), "what is final stays so");
            assert_eq!(next.events().len(), before.events().len() + 1);
            case = next;
        }
        let _ = case::timers(&case, calendar);
        let _ = case::supervision(&case, now, calendar);
        let _ = case::status(&case, Transport::Waiting, now, calendar);
        let view = case::view(&case, Transport::Waiting, now, calendar);
        assert!(serde_json::to_value(view).is_ok());
        let stored = serde_json::to_value(&case).expect("a case is plain data");
        assert_eq!(serde_json::from_value::<Case>(stored).expect("it reads back"), case);
    }
}

fn opening(role: Role) -> Opening<'static> {
    static PAPERS: OnceLock<(CaseNumber, Terms)> = OnceLock::new();
    let (number, terms) = PAPERS.get_or_init(|| {
        let text = include_str!("../../conformance/examples/agreement-421202-331083.json");
        let agreement = Agreement::from_value(&text.parse().expect("JSON")).expect("the example holds");
        let item = agreement.items().next().expect("it has items");
        (CaseNumber::parse(NUMBER).expect("a case number"), Terms::of(item))
    });
    let region = |code| Region::parse(code).expect("a region");
    Opening {
        number,
        role,
        sides: Sides { collecting: region("331083"), handling: region("421202") },
        agreement: "421202-331083-2020",
        terms: terms.clone(),
    }
}
