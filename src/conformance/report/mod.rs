//! A run told to people and machines.

mod clauses;
mod html;
mod json;
mod junit;
mod text;

pub use html::html;
pub use json::json;
pub use junit::junit;
pub use text::{line, text};

use super::play::{Outcome, Run, Trail};

/// Text in XML or HTML, as content or in a quoted attribute; without what XML 1.0 cannot say.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// What the trail of a failed case shows, each with a Chinese and an English word before it.
fn shown(trail: &Trail) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    let parts = [
        ("已发送", "sent", &trail.sent),
        ("应当", "expected", &trail.expected),
        ("实际收到", "came", &trail.came),
    ];
    parts.into_iter().filter_map(|(zh, en, part)| Some((zh, en, part.as_deref()?)))
}

/// The areas of a run, in its order, each once.
fn areas(run: &Run) -> Vec<&str> {
    let mut areas: Vec<&str> = Vec::new();
    for played in &run.played {
        if !areas.contains(&played.case.area.as_str()) {
            areas.push(&played.case.area);
        }
    }
    areas
}

/// Word and explanation of an outcome.
fn words(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(why) => ("failed", why),
        Outcome::NotRun(why) => ("not-run", why),
    }
}

fn date(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
