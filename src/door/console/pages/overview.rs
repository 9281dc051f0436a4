//! Overview: how it runs, what came and went in the last day, who is up.

use super::super::markup::{Markup, el};
use super::super::plot::{Caption, Column, lines, stacked};
use super::super::tally::Counts;
use super::super::words::{count, hour, minute};
use super::parts::{Table, badge, code_with_title, panel};
use super::{Call, Page, partners};

/// Hours on the plots.
const HOURS: i64 = 24;
/// Codes in the table.
const MOST_CODES: usize = 12;

pub async fn page(call: &Call<'_>) -> Page {
    let hours = call.console.tally.hours(call.now, HOURS, None);
    let mut day = Counts::default();
    hours.iter().for_each(|(_, counts)| day.add(counts));
    let plots = el("div")
        .class("columns")
        .add(traffic(call, &hours, &day, "traffic"))
        .add(latency(call, &hours, &day));
    let tables = el("div")
        .class("columns")
        .add(panel(call.t("拒绝与失败(24小时)", "Refusals and failures (24 h)"), codes(call, &day)))
        .add(panel(call.t("办件", "Cases"), cases(call).await));
    let body = readiness(call)
        .and(since(call))
        .and(plots)
        .and(tables)
        .and(panel(call.t("伙伴", "Partners"), partners::table(call)));
    Page::new(call.t("总览", "Overview"), body)
}

/// Each part of the gateway, ready or why not.
fn readiness(call: &Call<'_>) -> Markup {
    let parts = call.house.readiness().into_iter().map(|part| {
        let (zh, en) = match part.part {
            "store" => ("存储", "store"),
            "ledger" => ("账本", "ledger"),
            "keys" => ("密钥", "keys"),
            "crl" => ("吊销列表", "revocation lists"),
            "status_lists" => ("授权状态列表", "status lists"),
            "clock" => ("时钟", "clock"),
            "door" => ("服务", "door"),
            other => (other, other),
        };
        let name = call.t(zh, en);
        let item = el("li").class(if part.ready { "good" } else { "bad" });
        let word = if part.ready { call.t("正常", "ready") } else { call.t("异常", "not ready") };
        let item = item.add(el("strong").add(name)).add(" ").add(word);
        if part.ready { item } else { item.add(" — ").add(call.t(part.why_zh, part.why)) }
    });
    el("ul").class("parts").attr("aria-label", call.t("各部件", "Parts")).each(parts).into()
}

/// From when on the counts are whole, where they are not for the day shown.
pub fn since(call: &Call<'_>) -> Markup {
    let day_began = call.now.ms() - HOURS * 3_600_000;
    let from = call.console.tally.whole_from().filter(|from| from.ms() > day_began);
    from.map(|from| {
        el("p").class("nothing").add(format!(
            "{} {}",
            call.t("统计自此时起完整:", "Counts are whole since"),
            minute(from)
        ))
    })
    .into()
}

pub fn traffic(
    call: &Call<'_>,
    hours: &[(crate::clock::Now, Counts)],
    sum: &Counts,
    id: &'static str,
) -> Markup {
    let columns: Vec<Column> = hours
        .iter()
        .map(|(at, counts)| Column {
            label: hour(*at),
            values: vec![Some(counts.well()), Some(counts.ill())],
        })
        .collect();
    let summary = match call.lang {
        super::super::words::Lang::Zh => {
            format!("24小时内办结 {} 次,拒绝或失败 {} 次", sum.well(), sum.ill())
        }
        super::super::words::Lang::En => {
            format!("{} exchanges went well and {} were refused or failed in 24 hours", sum.well(), sum.ill())
        }
    };
    let caption = Caption {
        id,
        title: call.t("交换量", "Traffic"),
        summary,
        unit: call.t("次/小时", "per hour"),
        series: vec![call.t("成功", "well"), call.t("拒绝或失败", "refused or failed")],
    };
    stacked(call.lang, caption, &columns)
}

fn latency(call: &Call<'_>, hours: &[(crate::clock::Now, Counts)], sum: &Counts) -> Markup {
    let columns: Vec<Column> = hours
        .iter()
        .map(|(at, counts)| Column {
            label: hour(*at),
            values: vec![counts.quantile(50).map(u64::from), counts.quantile(95).map(u64::from)],
        })
        .collect();
    let word = |percent| sum.quantile(percent).map_or_else(|| "–".to_owned(), |ms| format!("≤ {ms} ms"));
    let summary = match call.lang {
        super::super::words::Lang::Zh => format!("24小时:半数 {},95% {}", word(50), word(95)),
        super::super::words::Lang::En => format!("in 24 hours half took {}, 95 % {}", word(50), word(95)),
    };
    let caption = Caption {
        id: "latency",
        title: call.t("用时", "Latency"),
        summary,
        unit: call.t("毫秒,不超过", "ms, at most"),
        series: vec![call.t("中位数", "median"), call.t("95 百分位", "95th percentile")],
    };
    lines(call.lang, caption, &columns)
}

/// Refusals and failures by code, most first.
pub fn codes(call: &Call<'_>, counts: &Counts) -> Markup {
    let mut codes: Vec<_> = counts.codes.iter().collect();
    codes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut table =
        Table::new(call.t("按代码", "By code"), &[call.t("代码", "Code"), call.t("#次数", "#Count")]);
    for (word, number) in codes.into_iter().take(MOST_CODES) {
        table.row([code_with_title(call.lang, word), count(*number).into()]);
    }
    table.or(call.t("没有拒绝或失败。", "Nothing was refused and nothing failed."))
}

async fn cases(call: &Call<'_>) -> Markup {
    let Ok(counts) = call.house.casebook.case_counts().await else { return super::unreadable(call) };
    let mut table = Table::new(
        call.t("按状态", "By state"),
        &[
            call.t("对方", "Partner"),
            call.t("本方角色", "Our role"),
            call.t("状态", "State"),
            call.t("#件数", "#Cases"),
        ],
    );
    for (partner, role, state, number) in counts {
        table.row([partner.into(), role.into(), badge("badge", state), count(number).into()]);
    }
    table.or(call.t("没有办件。", "No cases."))
}
