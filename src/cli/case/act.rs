//! What changes something: events, answers to verifications, messages sent again.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value, json};

use super::{Desk, case_number, cell, json_argument, word, words};
use crate::case::Act;
use crate::cli::{Outcome, out};

/// Add an event to a case.
#[derive(Args)]
pub struct Event {
    #[arg(value_name = "CASE", value_parser = case_number)]
    case: String,
    /// The event, as schemas/application-event.json names it 事件
    #[arg(value_name = "EVENT", value_parser = PossibleValuesParser::new(events()))]
    event: String,
    /// What the event says, or @ and a file with it 事件数据
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    data: String,
    #[command(flatten)]
    by: By,
    /// When it happened, seconds since the epoch; now without it 发生时间
    #[arg(long, value_name = "UNIXTIME")]
    at: Option<i64>,
}

/// The agency and the official an act is by.
#[derive(Args)]
struct By {
    /// The agency's unified social credit code 机构统一社会信用代码
    #[arg(long, value_name = "USCC")]
    org: String,
    /// The official's staff number 经办人工号
    #[arg(long, value_name = "ID")]
    officer: String,
}

impl By {
    fn json(&self) -> Value {
        json!({"org": self.org, "officer": self.officer})
    }
}

/// Every event that a local system may add, once.
fn events() -> Vec<&'static str> {
    let mut events: Vec<_> = Act::ALL.iter().filter(|act| !act.is_local()).map(|act| act.event()).collect();
    events.dedup();
    events
}

impl Event {
    pub(super) fn run(self, desk: &Desk) -> super::Outcome {
        let mut event = Map::new();
        event.insert("event".into(), self.event.into());
        event.insert("by".into(), self.by.json());
        event.insert("data".into(), json_argument("--data", &self.data)?);
        if let Some(at) = self.at {
            event.insert("at".into(), at.into());
        }
        let path = format!("/local/v1/applications/{}/events", self.case);
        desk.act(&path, &Value::Object(event), |answer| {
            out::line(format_args!(
                "办件 case {} · 状态 state {} · 投递 transport {}",
                cell(answer, "case"),
                words::state(&cell(answer, "state")),
                words::transport(&cell(answer, "transport")),
            ));
            if let Some(parcel) = answer.get("parcel").and_then(Value::as_str) {
                out::line(format_args!(
                    "待办理地确认 proposed, stands with the handling side's receipt: parcel {parcel}"
                ));
            }
        })
    }
}

/// Put an undeliverable message on its way again.
#[derive(Args)]
pub struct Redrive {
    /// Of `case parcels` 报文编号
    #[arg(value_name = "PARCEL", value_parser = word)]
    parcel: String,
}

impl Redrive {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let path = format!("/local/v1/parcels/{}/redrive", self.parcel);
        desk.act(&path, &json!({}), |answer| {
            out::line(format_args!(
                "{} {}",
                cell(answer, "parcel"),
                words::transport(&cell(answer, "state"))
            ));
        })
    }
}

/// Answer a verification as the department.
#[derive(Args)]
pub struct Answering {
    /// Of `case verifications` 核验编号
    #[arg(value_name = "ID", value_parser = word)]
    id: String,
    #[arg(value_name = "OUTCOME", value_parser = ["confirmed", "refuted", "unable"])]
    outcome: String,
    #[command(flatten)]
    by: By,
    /// What the asking side should know, up to 500 characters 说明
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

impl Answering {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let answer = json!({"outcome": self.outcome, "note": self.note, "by": self.by.json()});
        desk.act(&format!("/local/v1/verifications/{}/answer", self.id), &answer, |answer| {
            out::line(format_args!(
                "{} {} · 投递 transport {}",
                cell(answer, "id"),
                words::verification(&cell(answer, "state")),
                words::transport(&cell(answer, "transport")),
            ));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_offered_are_those_of_the_schema_that_travel() {
        let schema: Value =
            serde_json::from_str(include_str!("../../../schemas/application-event.json")).unwrap();
        let named = schema["properties"]["event"]["enum"].as_array().unwrap();
        let local = ["collect", "reject_form", "resubmit", "route", "relay"];
        let travel: Vec<&str> =
            named.iter().map(|name| name.as_str().unwrap()).filter(|name| !local.contains(name)).collect();
        assert_eq!(events(), travel);
    }
}
