//! `case show`: a case on one screen: where it stands, how each material was proven, what
//! happened, what is on its way.

use clap::Args;
use serde_json::Value;

use super::list::parcels;
use super::{Desk, case_number, cell, lines, time, words};
use crate::cli::{Outcome, out};

/// Everything this side knows of a case.
#[derive(Args)]
pub struct Show {
    #[arg(value_name = "CASE", value_parser = case_number)]
    case: String,
}

impl Show {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        desk.look(&format!("/local/v1/applications/{}", self.case), print)
    }
}

fn print(view: &Value) {
    let at = |pointer: &str| out::shown(view.pointer(pointer).unwrap_or(&Value::Null));
    let clock = view.get("clock").unwrap_or(&Value::Null);
    out::line(format_args!(
        "{} {} · {}",
        cell(view, "case"),
        cell(view, "item_name"),
        cell(view, "applicant")
    ));
    out::line(format_args!(
        "状态 state {} · 投递 transport {} · 我方 this side {}",
        words::state(&cell(view, "state")),
        words::transport(&cell(view, "transport")),
        words::role(&cell(view, "role")),
    ));
    out::line(format_args!(
        "收件 collecting {} {} · 办理 handling {} {}",
        at("/collecting/region"),
        at("/collecting/org"),
        at("/handling/region"),
        at("/handling/org"),
    ));
    let paused = if clock.get("paused") == Some(&Value::Bool(true)) { " · 暂停计时 paused" } else { "" };
    out::line(format_args!(
        "接收 received {} · 期限 due {} · 法定 by law {} · {}{paused}",
        time(view, "received_at"),
        time(clock, "due"),
        time(view, "legal_due"),
        words::colour(&cell(clock, "colour")),
    ));
    let materials = lines(view, "materials").iter().map(|material| {
        [
            format!("{} {}", cell(material, "code"), cell(material, "name")),
            words::way(&cell(material, "evidence")),
            format!("{} {}", cell(material, "standing_zh"), cell(material, "standing")),
            cell(material, "by"),
            time(material, "at"),
            cell(material, "reference"),
        ]
    });
    let heads = ["材料 material", "提供方式 way", "现状 standing", "经办 by", "时间 at", "依据 reference"];
    out::line(out::table(heads, materials));
    let events = lines(view, "events").iter().map(|event| {
        [
            cell(event, "seq"),
            cell(event, "event"),
            words::role(&cell(event, "from")),
            cell(event, "officer"),
            time(event, "at"),
            words::state(&cell(event, "state")),
            cell(event, "digest"),
        ]
    });
    let heads = ["序 seq", "事件 event", "哪方 side", "经办 by", "时间 at", "状态 state", "摘要 digest"];
    out::line(out::table(heads, events));
    for record in lines(view, "supervision") {
        out::line(format_args!(
            "督办 {} {} {} · {} · {}",
            cell(record, "number"),
            cell(record, "content_zh"),
            cell(record, "content"),
            time(record, "at"),
            cell(record, "org"),
        ));
    }
    let waiting = lines(view, "parcels");
    let open: Vec<Value> =
        waiting.iter().filter(|parcel| parcel.get("state") != Some(&"delivered".into())).cloned().collect();
    if !open.is_empty() {
        out::line(parcels(&open));
    }
}
