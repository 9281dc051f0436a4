use std::time::Duration;

use super::super::cases::{Case, Role};
use super::super::play::Played;
use super::*;

fn run() -> Run {
    let played = |id: &str, outcome| Played {
        case: Case {
            id: id.into(),
            clause: "E-1".into(),
            area: "envelope".into(),
            role: Role::Answering,
            title: "A <script>alert('x')</script> & more".into(),
            title_zh: "标题".into(),
            needs: Vec::new(),
            steps: Vec::new(),
        },
        outcome,
        took: Duration::from_millis(1500),
        trail: None,
    };
    let failed = Played {
        trail: Some(Trail {
            step: 2,
            steps: 3,
            sent: Some("POST /v1/exchange <that>".into()),
            expected: Some("{\n  \"status\": 400\n}".into()),
            came: Some("200".into()),
        }),
        ..played("E-1.2", Outcome::Failed("expected \"this\" <that>\u{7}".into()))
    };
    Run {
        target: "https://127.0.0.1:18443".into(),
        role: Role::Answering,
        started: 1_794_000_000,
        took: Duration::from_secs(3),
        played: vec![
            played("E-1.1", Outcome::Passed),
            failed,
            played("E-1.3", Outcome::NotRun("the target has no register".into())),
        ],
    }
}

#[test]
fn nothing_in_a_report_is_taken_for_markup() {
    for text in [html(&run()), junit(&run())] {
        assert!(!text.contains("<script"), "{text}");
        assert!(!text.contains('\u{7}'));
        assert!(text.contains("&lt;that&gt;"));
    }
}

#[test]
fn a_case_that_was_not_run_counts_as_not_run_in_every_form() {
    let report = json(&run());
    assert_eq!((&report["passed"], &report["failed"], &report["not_run"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(report["cases"][2]["outcome"], "not-run");
    assert!(junit(&run()).contains("tests=\"3\" failures=\"1\" skipped=\"1\""));
    assert!(html(&run()).contains("1 项未执行"));
    assert!(text(&run()).contains("1 passed 通过, 1 failed 未通过, 1 not run 未执行"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = html(&run());
    assert!(!page.contains("http://") && !page.contains(" src=") && !page.contains("<link"));
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_progress_bar_is_full_at_the_end_and_only_then() {
    assert!(line(9, 10, 0).contains('░') && !line(10, 10, 1).contains('░'));
    assert!(!line(0, 0, 0).contains('░'));
}

#[test]
fn every_form_tells_of_a_failed_case_its_clause_what_was_sent_what_was_due_and_what_came() {
    let said = clauses::clause("E-1");
    assert!(said.starts_with("A message is one compact JWS"), "{said}");
    assert!(clauses::clause("W-1").contains("| 404 |") && !clauses::clause("W-1").contains("*Cases"));
    for told in [html(&run()), junit(&run()), text(&run()), json(&run()).to_string()] {
        for part in ["E-1", "A message is one compact JWS", "POST /v1/exchange", "status", "200"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
    assert!(html(&run()).contains("第 2 步，共 3 步"));
}
