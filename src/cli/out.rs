//! What a command says: results on standard output as text or JSON, complaints on standard
//! error as one line each, and the exit code (protocol §10).
//!
//! The only place in the house that writes to the terminal. A reader that went away
//! (`tongban … | head`) is no fault.

use std::io::Write as _;
use std::process::ExitCode;

use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use serde_json::Value;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Well,
    Failed,
    /// A check ran and found something.
    Found,
    /// Usage or configuration.
    Usage,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Found => 2,
            Self::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command could not do its work; each line is shown by itself.
#[derive(Debug)]
pub enum Stop {
    /// The arguments, the configuration or a file it names: the person can mend it (64).
    Usage(Vec<String>),
    /// What was asked could not be done (1).
    Failed(anyhow::Error),
}

/// What every command returns.
pub type Outcome = Result<Exit, Stop>;

impl Stop {
    pub fn usage(line: impl ToString) -> Self {
        Self::Usage(vec![line.to_string()])
    }

    pub fn failed(line: impl ToString) -> Self {
        Self::Failed(anyhow::Error::msg(line.to_string()))
    }

    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Failed(_) => Exit::Failed,
        }
    }

    /// The lines for standard error, causes behind their effect.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Usage(lines) => lines.clone(),
            Self::Failed(error) => vec![format!("{error:#}")],
        }
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::keys::KeyFileFault> for Stop {
    fn from(fault: crate::keys::KeyFileFault) -> Self {
        Self::usage(fault)
    }
}

impl From<Vec<crate::config::ConfigFault>> for Stop {
    fn from(faults: Vec<crate::config::ConfigFault>) -> Self {
        Self::Usage(faults.iter().map(ToString::to_string).collect())
    }
}

/// One line of the result.
pub fn line(text: impl std::fmt::Display) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The result as JSON, indented for people, one document.
pub fn json(value: &Value) {
    line(format_args!("{value:#}"));
}

/// One line that says what is wrong.
pub fn complain(text: impl std::fmt::Display) {
    let text = text.to_string();
    let one_line = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ⏎ ");
    let _ = writeln!(std::io::stderr().lock(), "tongban: {one_line}");
}

/// One line of progress or advice on standard error, which leaves the result clean.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A table that fits the terminal and knows that a Chinese character takes two columns.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(terminal_columns());
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table
}

/// Columns of numbers that people copy: never broken over two lines, however narrow the window.
pub fn whole(mut table: Table, columns: &[usize]) -> Table {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// A value as a person reads it in a table.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes 是".to_owned(),
        Value::Bool(false) => "no 否".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Seconds since the epoch on a clock in Asia/Shanghai.
pub fn in_shanghai(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).map_or_else(
        |_| secs.to_string(),
        |at| jiff::tz::Offset::constant(8).to_datetime(at).strftime("%Y-%m-%d %H:%M:%S +08:00").to_string(),
    )
}

/// Columns as the shell says; an ordinary wide window where it says nothing.
fn terminal_columns() -> u16 {
    const ORDINARY: u16 = 120;
    std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|c| *c >= 40).unwrap_or(ORDINARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_those_of_the_protocol() {
        let codes = [Exit::Well, Exit::Failed, Exit::Found, Exit::Usage].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 64]);
    }

    #[test]
    fn a_failure_tells_its_causes_on_one_line() {
        let stop = Stop::from(anyhow::anyhow!("connection refused").context("the gateway does not answer"));
        assert_eq!(stop.lines(), ["the gateway does not answer: connection refused"]);
        assert_eq!(stop.exit(), Exit::Failed);
    }
}
