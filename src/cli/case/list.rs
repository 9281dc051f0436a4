//! What is looked at as a list: cases, parcels, verifications, notices, the timeliness report.

use clap::Args;
use serde_json::Value;

use super::{Desk, cell, lines, next_page, time, with_query, word, words};
use crate::case::State;
use crate::cli::{Outcome, out};
use crate::domain::Region;

/// Cases, oldest first.
#[derive(Args)]
pub struct Cases {
    /// collecting 收件 or handling 办理
    #[arg(long, value_parser = ["collecting", "handling"])]
    role: Option<String>,
    /// RECEIVED, ACCEPTED … 状态
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<String>,
    /// The other region 对方地区
    #[arg(long, value_name = "CODE", value_parser = crate::cli::region)]
    partner: Option<Region>,
    #[arg(long, value_name = "CURSOR", value_parser = word)]
    cursor: Option<String>,
}

fn state(text: &str) -> Result<String, String> {
    let known = State::from_name(&text.to_ascii_uppercase());
    known.map(|state| state.name().to_owned()).ok_or_else(|| {
        let names: Vec<_> = State::ALL.iter().map(|state| state.name()).collect();
        format!("is one of {}", names.join(", "))
    })
}

impl Cases {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let partner = self.partner.map(|region| region.to_string());
        let path = with_query(
            "/local/v1/applications",
            &[
                ("role", self.role.as_deref()),
                ("state", self.state.as_deref()),
                ("partner", partner.as_deref()),
                ("cursor", self.cursor.as_deref()),
            ],
        );
        desk.look(&path, |page| {
            let rows = lines(page, "applications").iter().map(|line| {
                let clock = line.get("clock").unwrap_or(&Value::Null);
                [
                    cell(line, "case"),
                    words::role(&cell(line, "role")),
                    cell(line, "partner"),
                    cell(line, "item_name"),
                    words::state(&cell(line, "state")),
                    words::colour(&cell(clock, "colour")),
                    time(clock, "due"),
                    time(line, "changed"),
                ]
            });
            let heads = [
                "办件编号 case",
                "角色 role",
                "对方 partner",
                "事项 item",
                "状态 state",
                "灯 colour",
                "期限 due",
                "更新 changed",
            ];
            out::line(out::whole(out::table(heads, rows), &[0]));
            next_page(page);
        })
    }
}

/// Messages to partners.
#[derive(Args)]
pub struct Parcels {
    #[arg(long, default_value = "undeliverable",
        value_parser = ["undeliverable", "waiting", "refused", "delivered"])]
    state: String,
    #[arg(long, value_name = "CURSOR", value_parser = word)]
    cursor: Option<String>,
}

impl Parcels {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let path = with_query(
            "/local/v1/parcels",
            &[("state", Some(&self.state)), ("cursor", self.cursor.as_deref())],
        );
        desk.look(&path, |page| {
            out::line(parcels(lines(page, "parcels")));
            next_page(page);
        })
    }
}

pub(super) fn parcels(parcels: &[Value]) -> String {
    let rows = parcels.iter().map(|line| {
        [
            cell(line, "id"),
            cell(line, "partner"),
            cell(line, "line"),
            format!("{} {}", cell(line, "op"), line.get("event").and_then(Value::as_str).unwrap_or_default()),
            words::transport(&cell(line, "state")),
            cell(line, "reason"),
            cell(line, "attempts"),
            time(line, "made"),
        ]
    });
    let heads = [
        "报文 parcel",
        "对方 partner",
        "办件或核验 line",
        "内容 what",
        "投递 transport",
        "原因 reason",
        "次数 attempts",
        "生成 made",
    ];
    out::whole(out::table(heads, rows), &[0, 2]).to_string()
}

/// Departments' verifications.
#[derive(Args)]
pub struct Verifications {
    /// answering 待我方答复 or asking 我方提出
    #[arg(long, default_value = "answering", value_parser = ["answering", "asking"])]
    side: String,
    #[arg(long, value_parser = ["open", "answered", "lapsed"])]
    state: Option<String>,
    #[arg(long, value_name = "CURSOR", value_parser = word)]
    cursor: Option<String>,
}

impl Verifications {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let path = with_query(
            "/local/v1/verifications",
            &[
                ("side", Some(&self.side)),
                ("state", self.state.as_deref()),
                ("cursor", self.cursor.as_deref()),
            ],
        );
        desk.look(&path, |page| {
            let rows = lines(page, "verifications").iter().map(|line| {
                let ask = |pointer: &str| out::shown(line.pointer(pointer).unwrap_or(&Value::Null));
                [
                    cell(line, "id"),
                    cell(line, "case"),
                    cell(line, "partner"),
                    format!("{} {}", cell(line, "material"), ask("/request/question")),
                    words::verification(&cell(line, "state")),
                    words::outcome(&cell(line, "outcome")),
                    time(line, "due"),
                ]
            });
            let heads = [
                "核验 verification",
                "办件 case",
                "对方 partner",
                "问题 question",
                "状态 state",
                "结果 outcome",
                "期限 due",
            ];
            out::line(out::whole(out::table(heads, rows), &[0, 1]));
            next_page(page);
        })
    }
}

/// What the region's systems are told.
#[derive(Args)]
pub struct Notices {
    /// Of the last notice that was read; the oldest kept without it 上次读到的位置
    #[arg(long, value_name = "CURSOR", value_parser = word)]
    cursor: Option<String>,
    /// Notices on a page, 1 to 500 每页条数
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: Option<u32>,
}

impl Notices {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        let limit = self.limit.map(|limit| limit.to_string());
        let path = with_query(
            "/local/v1/notices",
            &[("cursor", self.cursor.as_deref()), ("limit", limit.as_deref())],
        );
        desk.look(&path, |page| {
            let rows = lines(page, "notices").iter().map(|line| {
                let data = line.get("data").unwrap_or(&Value::Null);
                [
                    cell(line, "cursor"),
                    time(line, "at"),
                    cell(line, "kind"),
                    cell(line, "subject"),
                    gist(data),
                ]
            });
            let heads = ["位置 cursor", "时间 at", "种类 kind", "对象 subject", "内容 gist"];
            out::line(out::whole(out::table(heads, rows), &[2, 3]));
            if page.get("more") == Some(&Value::Bool(true)) {
                out::note(format_args!("more 还有更多: --cursor {}", cell(page, "next")));
            }
        })
    }
}

/// The members that a person looks for first.
fn gist(data: &Value) -> String {
    let part = |name: &str| data.get(name).and_then(Value::as_str);
    [part("event").map(str::to_owned), part("state").map(words::state), part("outcome").map(words::outcome)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" · ")
}

/// How the limits are kept.
#[derive(Args)]
pub struct Report {}

impl Report {
    pub(super) fn run(self, desk: &Desk) -> Outcome {
        desk.look("/local/v1/reports/timeliness", |report| {
            let rows = lines(report, "partners").iter().map(|line| {
                let seconds = line.get("mean_seconds_to_decision").and_then(Value::as_i64);
                [
                    cell(line, "partner"),
                    cell(line, "handled_by"),
                    format!("{} / {}", cell(line, "open"), cell(line, "ended")),
                    format!(
                        "{} / {} / {}",
                        cell(line, "yellow"),
                        cell(line, "red"),
                        cell(line, "legal_overdue")
                    ),
                    cell(line, "supervised"),
                    cell(line, "decided"),
                    seconds.map_or_else(|| "–".to_owned(), length),
                    format!("{} / {}", cell(line, "evaluations"), cell(line, "bad_evaluations")),
                ]
            });
            let heads = [
                "对方 partner",
                "办理地 handled by",
                "在办/办结 open/ended",
                "黄/红/超法定 yellow/red/past the law",
                "督办 supervised",
                "已决定 decided",
                "平均用时 mean to decision",
                "评价/差评 evaluations/bad",
            ];
            out::line(format_args!("{}\n{}", time(report, "at"), out::table(heads, rows)));
        })
    }
}

/// `3 d 4 h` or `12 min`.
fn length(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600 / 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_taken_in_any_case_and_a_wrong_one_lists_the_right_ones() {
        assert_eq!(state("received").unwrap(), "RECEIVED");
        assert!(state("arrived").unwrap_err().contains("SUPPLEMENT_PENDING"));
    }

    #[test]
    fn a_length_of_time_is_told_in_its_two_largest_units() {
        assert_eq!([90, 3700, 90_000].map(length), ["1 min", "1 h 1 min", "1 d 1 h"]);
    }
}
