//! Cases with their deadlines in colours, and one case's course: no name, no ID number, no
//! form.

use serde_json::Value;

use crate::casebook::CaseFilter;
use crate::clock::Now;

use super::super::markup::{Markup, el, segment};
use super::super::words::minute;
use super::parts::{Table, badge, code, facts, link, panel, text, theirs};
use super::{Call, Page, missing, unreadable};

pub async fn list(call: &Call<'_>) -> Page {
    let after = call.query.get("after").and_then(|after| after.parse().ok()).unwrap_or_default();
    let filter = CaseFilter {
        role: call.query.get("role").map(str::to_owned),
        state: call.query.get("state").map(str::to_owned),
        partner: call.query.get("partner").map(str::to_owned),
    };
    let title = call.t("办件", "Cases");
    let Ok(found) = call.house.list_cases(filter, after, call.now).await else {
        return Page::new(title, unreadable(call));
    };
    let mut table = Table::new(
        title,
        &[
            call.t("办件编号", "Case"),
            call.t("时限", "Deadline"),
            call.t("到期", "Due"),
            call.t("状态", "State"),
            call.t("事项", "Item"),
            call.t("对方", "Partner"),
            call.t("本方", "Our side"),
            call.t("最近变化", "Changed"),
        ],
    );
    for case in found.get("applications").and_then(Value::as_array).into_iter().flatten() {
        let number = text(case, "/case");
        table.row([
            link(&format!("/cases/{}", segment(number)), code(number)),
            colour(call, case.get("clock")),
            seconds(case.pointer("/clock/due")),
            state(call, case),
            theirs(text(case, "/item_name")),
            text(case, "/partner").into(),
            side(call, text(case, "/role")).into(),
            seconds(case.get("changed")),
        ]);
    }
    let more = found.get("cursor").and_then(Value::as_str).map(|cursor| {
        let path = format!("/cases?after={}", segment(cursor));
        el("p").class("more").add(link(&path, call.t("后 100 件", "The next 100")))
    });
    Page::new(title, legend(call).and(table.or(call.t("没有办件。", "No cases."))).and(more))
}

fn legend(call: &Call<'_>) -> Markup {
    el("p")
        .class("legend")
        .add(badge("badge good", call.t("绿:正常", "green: in time")))
        .add(" ")
        .add(badge("badge warn", call.t("黄:将到期", "yellow: soon due")))
        .add(" ")
        .add(badge("badge bad", call.t("红:已超期", "red: overdue")))
        .into()
}

fn colour(call: &Call<'_>, clock: Option<&Value>) -> Markup {
    let Some(clock) = clock.filter(|clock| clock.is_object()) else {
        return badge("badge", call.t("日历未发布", "calendar unpublished"));
    };
    let paused = clock.get("paused").and_then(Value::as_bool).unwrap_or_default();
    let running = clock.get("due").is_some_and(|due| !due.is_null());
    let shown = match text(clock, "/colour") {
        _ if !running && !paused => badge("badge", call.t("未计时", "not running")),
        "red" => badge("badge bad", call.t("红", "red")),
        "yellow" => badge("badge warn", call.t("黄", "yellow")),
        _ => badge("badge good", call.t("绿", "green")),
    };
    if paused { shown.and(" ").and(badge("badge", call.t("暂停", "paused"))) } else { shown }
}

fn state(call: &Call<'_>, case: &Value) -> Markup {
    match call.lang {
        super::super::words::Lang::Zh => badge("badge", text(case, "/state_zh")),
        super::super::words::Lang::En => badge("badge", text(case, "/state")),
    }
}

fn side<'s>(call: &Call<'s>, role: &'s str) -> &'s str {
    match role {
        "collecting" => call.t("收件地", "collecting"),
        "handling" => call.t("受理地", "handling"),
        other => other,
    }
}

fn seconds(value: Option<&Value>) -> Markup {
    value.and_then(Value::as_i64).map(|secs| el("time").add(minute(Now::from_secs(secs)))).into()
}

pub async fn one(call: &Call<'_>, number: &str) -> Page {
    let Ok(case) = call.house.case_view(number, call.now).await else { return missing(call) };
    let known = facts([
        (call.t("事项", "Item"), theirs(text(&case, "/item_name")).and(" ").and(code(text(&case, "/item")))),
        (call.t("状态", "State"), state(call, &case)),
        (
            call.t("时限", "Deadline"),
            colour(call, case.get("clock")).and(" ").and(seconds(case.pointer("/clock/due"))),
        ),
        (call.t("法定期限", "Legal limit"), seconds(case.get("legal_due"))),
        (call.t("本方", "Our side"), side(call, text(&case, "/role")).into()),
        (call.t("传递", "Transport"), badge("badge", text(&case, "/transport"))),
        (call.t("协议", "Agreement"), theirs(text(&case, "/agreement"))),
        (call.t("收件地", "Collecting"), place(&case, "/collecting")),
        (call.t("受理地", "Handling"), place(&case, "/handling")),
        (call.t("收件地编号", "Their own number, collecting"), native(&case, "/native/collecting")),
        (call.t("受理地编号", "Their own number, handling"), native(&case, "/native/handling")),
    ]);
    let body = Markup::from(panel(call.t("概况", "The case"), known))
        .and(panel(call.t("材料", "Materials"), materials(call, &case)))
        .and(panel(call.t("过程", "Course"), events(call, &case)))
        .and(panel(call.t("报文", "Messages"), parcels(call, &case)))
        .and(panel(call.t("监察与督办", "Supervision"), supervision(call, &case)));
    Page::new(format!("{} {number}", call.t("办件", "Case")), body)
}

fn place(case: &Value, pointer: &str) -> Markup {
    code(text(case, &format!("{pointer}/region"))).and(" ").and(theirs(text(case, &format!("{pointer}/org"))))
}

fn native(case: &Value, pointer: &str) -> Markup {
    case.pointer(pointer).and_then(Value::as_str).map(theirs).into()
}

fn rows<'v>(case: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    case.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn materials(call: &Call<'_>, case: &Value) -> Markup {
    let mut table = Table::new(
        call.t("材料", "Materials"),
        &[
            call.t("编码", "Code"),
            call.t("名称", "Name"),
            call.t("证明方式", "Shown by"),
            call.t("现状", "Standing"),
            call.t("时间", "Time"),
        ],
    );
    for material in rows(case, "materials") {
        let word = |zh, en| match call.lang {
            super::super::words::Lang::Zh => text(material, zh),
            super::super::words::Lang::En => text(material, en),
        };
        table.row([
            theirs(text(material, "/code")),
            theirs(text(material, "/name")),
            word("/evidence_zh", "/evidence").into(),
            badge("badge", word("/standing_zh", "/standing")),
            seconds(material.get("at")),
        ]);
    }
    table.or(call.t("没有材料。", "No materials."))
}

fn events(call: &Call<'_>, case: &Value) -> Markup {
    let mut table = Table::new(
        call.t("过程", "Course"),
        &[
            call.t("#序号", "#No."),
            call.t("时间", "Time"),
            call.t("事件", "Event"),
            call.t("方", "Side"),
            call.t("机构", "Agency"),
            call.t("状态", "State"),
        ],
    );
    for event in rows(case, "events") {
        table.row([
            event.get("seq").and_then(Value::as_u64).into(),
            seconds(event.get("at")),
            code(text(event, "/event")),
            side(call, text(event, "/from")).into(),
            theirs(text(event, "/org")),
            badge("badge", text(event, "/state")),
        ]);
    }
    table.or(call.t("没有事件。", "No events."))
}

fn parcels(call: &Call<'_>, case: &Value) -> Markup {
    let mut table = Table::new(
        call.t("报文", "Messages"),
        &[
            call.t("操作", "Op"),
            call.t("#尝试", "#Tries"),
            call.t("状态", "State"),
            call.t("原因", "Reason"),
            call.t("产生", "Made"),
            call.t("结束", "Ended"),
        ],
    );
    for parcel in rows(case, "parcels") {
        let class = match text(parcel, "/state") {
            "delivered" => "badge good",
            "waiting" => "badge warn",
            _ => "badge bad",
        };
        table.row([
            code(text(parcel, "/op")),
            parcel.get("attempts").and_then(Value::as_u64).into(),
            badge(class, text(parcel, "/state")),
            theirs(text(parcel, "/reason")),
            seconds(parcel.get("made")),
            seconds(parcel.get("ended")),
        ]);
    }
    table.or(call.t("没有待传报文。", "No messages."))
}

fn supervision(call: &Call<'_>, case: &Value) -> Markup {
    let mut table = Table::new(
        call.t("监察与督办", "Supervision"),
        &[
            call.t("规则", "Rule"),
            call.t("内容", "Content"),
            call.t("预警", "Warning"),
            call.t("自", "Since"),
            call.t("解除", "Settled"),
        ],
    );
    for record in rows(case, "supervision") {
        let class = if text(record, "/kind") == "yellow" { "badge warn" } else { "badge bad" };
        let content = match call.lang {
            super::super::words::Lang::Zh => text(record, "/content_zh"),
            super::super::words::Lang::En => text(record, "/content"),
        };
        table.row([
            code(text(record, "/rule")),
            content.into(),
            badge(class, text(record, "/kind")),
            seconds(record.get("at")),
            seconds(record.get("settled_at")),
        ]);
    }
    table.or(call.t("没有督办记录。", "Nothing to supervise."))
}
