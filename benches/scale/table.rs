//! The table: of everything little, much, and their ratio.

use std::fmt::Write as _;

use crate::load::machine;
use crate::load::spread::Spread;

#[derive(Default)]
pub struct Table {
    lines: Vec<Line>,
    notes: Vec<String>,
}

/// One measure with little and with much, by turns.
pub struct Line {
    pub what: String,
    pub from: String,
    pub to: String,
    pub turns: Vec<(f64, f64)>,
    pub places: usize,
}

impl Table {
    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub fn told(&self, rounds: u32, requests: u32) -> String {
        let mut text = format!(
            "Measured {}, up to {rounds} turns of {requests} requests, by `cargo bench --bench scale`. Machine: {}.\n\n\
             | | little 少 | much 多 | little: measured | much: measured | ratio 比值 (least–most) |\n|---|---|---|---|---|---|\n",
            machine::when(),
            machine::machine(),
        );
        for Line { what, from, to, turns, places } in &self.lines {
            let middle = |of: fn(&(f64, f64)) -> f64| {
                Spread::of(turns.iter().map(of)).map_or(f64::NAN, |spread| spread.median)
            };
            let (little, much) = (middle(|turn| turn.0), middle(|turn| turn.1));
            let ratio = Spread::of(turns.iter().map(|(little, much)| much / little));
            let ratio = ratio.map_or_else(String::new, |ratio| ratio.to_string());
            // Writing into a string does not fail.
            let _ =
                writeln!(text, "| {what} | {from} | {to} | {little:.places$} | {much:.places$} | {ratio} |");
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}");
        }
        text
    }
}
