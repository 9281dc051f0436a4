//! The report for build servers: JUnit XML, a suite per area.

use super::super::play::{Outcome, Run};
use super::clauses::clause;
use super::{areas, date, escaped, shown, words};

pub fn junit(run: &Run) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tongban conformance {}\" tests=\"{}\" \
         failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">\n",
        run.role.word(),
        run.played.len(),
        run.failed(),
        run.not_run(),
        run.took.as_secs_f64(),
    );
    for area in areas(run) {
        let of_area: Vec<_> = run.played.iter().filter(|played| played.case.area == area).collect();
        let count =
            |which: fn(&Outcome) -> bool| of_area.iter().filter(|played| which(&played.outcome)).count();
        xml.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" timestamp=\"{}\">\n",
            escaped(area),
            of_area.len(),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::NotRun(_))),
            date(run.started),
        ));
        for played in of_area {
            let (_, why) = words(&played.outcome);
            xml.push_str(&format!(
                "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.3}\"",
                escaped(area),
                escaped(&played.case.id),
                escaped(&played.case.title),
                played.took.as_secs_f64(),
            ));
            xml.push_str(&match played.outcome {
                Outcome::Passed => "/>\n".to_owned(),
                Outcome::Failed(_) => {
                    let told = |text: &str| text.lines().map(escaped).collect::<Vec<_>>().join("\n");
                    let id = &played.case.clause;
                    let mut text = format!("clause {}: {}\n", escaped(id), told(&clause(id)));
                    for (_, name, part) in played.trail.iter().flat_map(shown) {
                        text.push_str(&format!("\n{name}:\n{}\n", told(part)));
                    }
                    format!("><failure message=\"{}\">{text}</failure></testcase>\n", escaped(why))
                }
                Outcome::NotRun(_) => format!("><skipped message=\"{}\"/></testcase>\n", escaped(why)),
            });
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}
