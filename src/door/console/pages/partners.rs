//! Partners: who they are, up or down; one partner's volume, refusals, reconciliation and
//! witness.

use serde_json::Value;

use crate::clock::Now;
use crate::domain::Region;

use super::super::around::{Window, WindowState};
use super::super::markup::{Markup, el, segment};
use super::super::plot::squares;
use super::super::tally::Counts;
use super::super::words::{Lang, count, day, minute};
use super::parts::{Table, badge, code, exchange_path, facts, link, panel, text, theirs};
use super::{Call, Page, missing, overview};

/// Days on the heat map.
const DAYS: i64 = 7;
const DAY_S: i64 = 86_400;
/// Shanghai is eight hours ahead.
const SHANGHAI_S: i64 = 8 * 3600;

pub fn list(call: &Call<'_>) -> Page {
    Page::new(call.t("伙伴", "Partners"), table(call))
}

fn view(call: &Call<'_>) -> Vec<Value> {
    let view = call.house.partners_view();
    view.get("partners").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// All partners, for whoever may see more with a link to each.
pub fn table(call: &Call<'_>) -> Markup {
    let opens = super::PAGES
        .iter()
        .any(|page| page.path == "/partners" && page.roles.contains(&call.visit.account.role()));
    let hours = |region: &str| {
        let mut sum = Counts::default();
        let day = call.console.tally.hours(call.now, 24, Some(region));
        day.iter().for_each(|(_, counts)| sum.add(counts));
        sum
    };
    let mut table = Table::new(
        call.t("伙伴", "Partners"),
        &[
            call.t("地区", "Region"),
            call.t("名称", "Name"),
            call.t("连接", "Connection"),
            call.t("名片", "Card"),
            call.t("#成功 24h", "#Well 24 h"),
            call.t("#拒绝 24h", "#Ill 24 h"),
            call.t("#协议", "#Agreements"),
        ],
    );
    for partner in view(call) {
        let region = text(&partner, "/region");
        let counts = hours(region);
        let agreements = partner.get("agreements").and_then(Value::as_array).map_or(0, Vec::len);
        table.row([
            if opens { link(&format!("/partners/{}", segment(region)), code(region)) } else { code(region) },
            theirs(text(&partner, "/name")),
            connection(call, &partner),
            code(text(&partner, "/status")),
            count(counts.well()).into(),
            count(counts.ill()).into(),
            agreements.to_string().into(),
        ]);
    }
    table.or(call.t("尚无伙伴。", "No partners yet."))
}

fn connection(call: &Call<'_>, partner: &Value) -> Markup {
    let since = partner.get("since").and_then(Value::as_i64).map(|since| minute(Now::from_secs(since)));
    let (class, word) = match partner.get("up").and_then(Value::as_bool) {
        Some(true) => ("badge good", call.t("通", "up")),
        Some(false) => ("badge bad", call.t("断", "down")),
        None => ("badge", call.t("未知", "unknown")),
    };
    let badge = badge(class, word);
    match since {
        Some(since) => badge.and(" ").and(el("small").add(format!("{} {since}", call.t("自", "since")))),
        None => badge,
    }
}

pub fn one(call: &Call<'_>, region: &str) -> Page {
    let Some(partner) = view(call).into_iter().find(|partner| text(partner, "/region") == region) else {
        return missing(call);
    };
    let Ok(region) = Region::parse(region) else { return missing(call) };
    let hours = call.console.tally.hours(call.now, 24, Some(region.as_str()));
    let mut sum = Counts::default();
    hours.iter().for_each(|(_, counts)| sum.add(counts));
    let trust = call.house.trust.load();
    let contact = trust.directory.card(region).and_then(|card| card.contact().map(theirs));
    let witnessed = call
        .console
        .around
        .witnessed(region)
        .map(|(at, size)| Markup::from(format!("{} · {}", minute(Now::from_secs(at)), count(size))));
    let known = facts([
        (call.t("名称", "Name"), theirs(text(&partner, "/name"))),
        (call.t("地址", "Endpoint"), code(text(&partner, "/endpoint"))),
        (call.t("连接", "Connection"), connection(call, &partner)),
        (call.t("名片状态", "Card"), code(text(&partner, "/status"))),
        (call.t("联系方式", "Contact"), contact.into()),
        (
            call.t("我方见证其账本", "Their log, witnessed by us"),
            witnessed.unwrap_or_else(|| call.t("尚无", "not yet").into()),
        ),
    ]);
    let body = Markup::from(panel(call.t("名片", "Card"), known))
        .and(overview::since(call))
        .and(el("div").class("columns").add(overview::traffic(call, &hours, &sum, "traffic")).add(panel(
            call.t("拒绝与失败(24小时)", "Refusals and failures (24 h)"),
            overview::codes(call, &sum),
        )))
        .and(panel(call.t("对账", "Reconciliation"), reconciliation(call, region)))
        .and(panel(call.t("协议", "Agreements"), agreements(call, &partner)));
    Page::new(format!("{} {}", text(&partner, "/name"), region.as_str()), body)
}

fn agreements(call: &Call<'_>, partner: &Value) -> Markup {
    let mut table = Table::new(
        call.t("协议", "Agreements"),
        &[call.t("编号", "Id"), call.t("名称", "Name"), call.t("状态", "Standing"), call.t("事项", "Items")],
    );
    for agreement in partner.get("agreements").and_then(Value::as_array).into_iter().flatten() {
        let in_force = agreement.get("in_force").and_then(Value::as_bool).unwrap_or_default();
        let items = agreement.get("items").and_then(Value::as_array).into_iter().flatten();
        let items = items.filter_map(Value::as_str).map(|item| el("li").add(code(item)));
        table.row([
            theirs(text(agreement, "/id")),
            theirs(text(agreement, "/name")),
            if in_force {
                badge("badge good", call.t("生效", "in force"))
            } else {
                badge("badge", call.t("未生效", "not in force"))
            },
            el("ul").class("tight").each(items).into(),
        ]);
    }
    table.or(call.t("没有协议。", "No agreement."))
}

/// A week of windows, an hour a square, and what differs.
fn reconciliation(call: &Call<'_>, region: Region) -> Markup {
    let today = (call.now.secs() + SHANGHAI_S).div_euclid(DAY_S) * DAY_S - SHANGHAI_S;
    let since = today - (DAYS - 1) * DAY_S;
    let windows = call.console.around.windows(region, since);
    if windows.is_empty() {
        let words = call.t("尚无双方签署的对账窗口。", "No window has been signed by both sides yet.");
        return el("p").class("nothing").add(words).into();
    }
    let rows: Vec<_> = (0..DAYS)
        .map(|nth| {
            let begins = since + nth * DAY_S;
            let cells = (0..24).map(|hour| cell(call.lang, &windows, begins + hour * 3600)).collect();
            (day(Now::from_secs(begins)), cells)
        })
        .collect();
    let map = squares(call.t("对账窗口:一周", "Reconciliation windows: one week"), &rows);
    let mut table = Table::new(
        call.t("差异", "Differences"),
        &[call.t("窗口", "Window"), call.t("类别", "Class"), call.t("交换", "Exchange")],
    );
    for difference in call.console.around.differences(region) {
        table.row([
            minute(Now::from_secs(difference.window)).into(),
            badge("badge bad", difference.class),
            link(&exchange_path(&difference.exchange), code(&difference.exchange)),
        ]);
    }
    map.and(table.or(call.t("没有未处理的差异。", "No difference is open.")))
}

/// The worst state of the windows that begin in an hour.
fn cell(lang: Lang, windows: &[Window], begins: i64) -> (&'static str, String) {
    let of_hour = || windows.iter().filter(|window| (begins..begins + 3600).contains(&window.start));
    let items: u64 = of_hour().map(|window| window.items).sum();
    match of_hour().map(|window| window.state).max() {
        None => ("empty", lang.pick("无", "none").to_owned()),
        Some(WindowState::Agreed) => ("good", format!("{} {items}", lang.pick("一致", "agreed"))),
        Some(WindowState::Open) => ("warn", format!("{} {items}", lang.pick("未签", "open"))),
        Some(WindowState::Different) => ("bad", format!("{} {items}", lang.pick("有差异", "different"))),
    }
}
