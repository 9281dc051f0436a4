//! `case`: the region's cases from the shell, through the region's own door: look, act, answer
//! a department's verification, see what did not arrive, supervise.

mod act;
mod list;
mod show;
pub mod words;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::local_door::{Answer, LocalDoor, Token, refused};
use super::{Common, Exit, Outcome, Stop, out};
use crate::domain::CaseNumber;

/// Cases of this region, as its own systems see them.
#[derive(Args)]
#[command(name = "case")]
pub struct CaseCommand {
    #[command(flatten)]
    token: Token,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cases, oldest first, a page at a time 办件列表
    List(list::Cases),
    /// Everything this side knows of a case 办件详情
    Show(show::Show),
    /// Add an event: accept, decide, deliver, evaluate … 登记办件事件
    Event(act::Event),
    /// How the limits are kept, partner by partner 时效报告
    Report(list::Report),
    /// Messages to partners by how far they got 待投递与未送达的报文
    Parcels(list::Parcels),
    /// Put an undeliverable message on its way again 重新投递
    Redrive(act::Redrive),
    /// Departments' verifications, to answer or asked 部门限时核验
    Verifications(list::Verifications),
    /// Answer a verification as the department 答复核验
    Answer(act::Answering),
    /// What the region's systems are told, from a cursor on 通知拉取
    Notices(list::Notices),
}

impl CaseCommand {
    pub fn run(self, common: &Common) -> Outcome {
        let desk = Desk { door: LocalDoor::of(common, &self.token)?, json: common.json };
        match self.command {
            Command::List(command) => command.run(&desk),
            Command::Show(command) => command.run(&desk),
            Command::Event(command) => command.run(&desk),
            Command::Report(command) => command.run(&desk),
            Command::Parcels(command) => command.run(&desk),
            Command::Redrive(command) => command.run(&desk),
            Command::Verifications(command) => command.run(&desk),
            Command::Answer(command) => command.run(&desk),
            Command::Notices(command) => command.run(&desk),
        }
    }
}

/// The local door, and how its answers are shown.
struct Desk {
    door: LocalDoor,
    json: bool,
}

impl Desk {
    fn look(&self, path: &str, print: impl FnOnce(&Value)) -> Outcome {
        self.tell(&self.door.get(path)?, 200, print)
    }

    fn act(&self, path: &str, body: &Value, print: impl FnOnce(&Value)) -> Outcome {
        self.tell(&self.door.post(path, body)?, 202, print)
    }

    fn tell(&self, answer: &Answer, well: u16, print: impl FnOnce(&Value)) -> Outcome {
        if answer.status != well {
            return refused(answer, self.json);
        }
        if self.json {
            out::json(&answer.value);
        } else {
            print(&answer.value);
        }
        Ok(Exit::Well)
    }
}

/// A path with a query of plain words; members without a value are left out.
fn with_query(path: &str, members: &[(&str, Option<&str>)]) -> String {
    let given: Vec<String> =
        members.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))).collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// A case number, with its check character.
fn case_number(text: &str) -> Result<String, String> {
    let number = CaseNumber::parse(text).map_err(|fault| format!("{fault}; 不是有效的办件编号"))?;
    Ok(number.as_str().to_owned())
}

/// An id or a cursor: nothing that would change the path it stands in.
fn word(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("is of letters, digits, - and _ 仅限字母、数字、- 和 _".to_owned())
    }
}

/// A member of a line as it is shown.
fn cell(line: &Value, name: &str) -> String {
    out::shown(line.get(name).unwrap_or(&Value::Null))
}

/// A member that holds a time.
fn time(line: &Value, name: &str) -> String {
    line.get(name).and_then(Value::as_i64).map_or_else(|| "–".to_owned(), out::in_shanghai)
}

fn lines<'a>(page: &'a Value, name: &str) -> &'a [Value] {
    page.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Says how the next page is reached, if there is one.
fn next_page(page: &Value) {
    if let Some(cursor) = page.get("cursor").and_then(Value::as_str) {
        out::note(format_args!("more 还有更多: --cursor {cursor}"));
    }
}

/// JSON given as an argument or, after `@`, in a file.
fn json_argument(name: &str, text: &str) -> Result<Value, Stop> {
    let text = super::query::text_or_file(text)?;
    crate::json::parse(text.as_bytes())
        .map_err(|fault| Stop::usage(format_args!("{name}: is not strict JSON 不是严格的 JSON ({fault})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_cannot_lead_elsewhere() {
        for text in ["", "a/b", "..", "a?b", "a b", "é", "%2e"] {
            assert!(word(text).is_err(), "{text}");
        }
        assert_eq!(word("0190f3a2-7c1e_A").unwrap(), "0190f3a2-7c1e_A");
        assert!(case_number("K331083").is_err());
    }

    #[test]
    fn only_what_is_given_stands_in_the_query() {
        assert_eq!(with_query("/p", &[("a", None), ("b", None)]), "/p");
        assert_eq!(with_query("/p", &[("a", Some("1")), ("b", None), ("c", Some("2"))]), "/p?a=1&c=2");
    }
}
