//! Reports: who looked at a person's data, and every use of one authorization. Each needs a
//! purpose and an order number and stands in the log before it is shown.

use serde_json::Value;

use crate::clock::Now;
use crate::ledger::Standing;

use super::super::desk::{DeskFault, Found, Sought};
use super::super::markup::{Markup, el};
use super::super::words::moment;
use super::asking::{asked, failed, fault_shown, field, period, recorded, sought_in, submit, warrant_fields};
use super::parts::{Table, at, code, decision, facts, leaf_path, leaves, link, panel, text, theirs};
use super::{Call, Page};

/// `/subject`.
pub fn subject_form(call: &Call<'_>) -> Page {
    Page::new(call.t("主体报告", "Subject report"), subject_fields(call, None))
}

fn subject_fields(call: &Call<'_>, fault: Option<&DeskFault>) -> Markup {
    let about = el("p").class("nothing").add(call.t(
        "列出谁、何时、因何事项、凭何授权查阅过某人的数据,可打印答复本人。",
        "Who looked at this person's data, when, for which item and under which authorization: to print and hand over.",
    ));
    let kinds = [
        ("citizen", call.t("公民身份号码", "citizen's ID number")),
        ("license", call.t("证照标识", "license identifier")),
    ];
    let options = kinds.map(|(value, name)| el("option").attr("value", value).add(name));
    let kind = el("p")
        .class("field")
        .add(el("label").attr("for", "kind").add(call.t("主体", "Subject")))
        .add(el("select").attr("name", "kind").attr("id", "kind").each(options));
    let form = call
        .form("/subject")
        .class("stacked")
        .add(kind)
        .add(field(call, "value", call.t("号码", "The number"), 128, true))
        .add(period(call))
        .add(warrant_fields(call))
        .add(submit(call.t("生成报告并留痕", "Make the report, and record it")));
    panel(
        call.t("生成主体报告", "Make a subject report"),
        Markup::from(about).and(fault.map(|fault| fault_shown(call, fault))).and(form),
    )
    .into()
}

/// `POST /subject`: a report to print.
pub async fn subject(call: &Call<'_>) -> Page {
    let title = call.t("主体报告", "Subject report");
    match asked(call, sought_in(call), true).await {
        Ok(found) => Page::new(title, report(call, &found)),
        Err(fault) => failed(title, subject_fields(call, Some(&fault)), &fault),
    }
}

/// The subject's number is on no page: who asked knows it, who reads the report is told it.
fn report(call: &Call<'_>, found: &Found) -> Markup {
    let head = facts([
        (call.t("用途", "Purpose"), call.fields.get("purpose").map(Markup::from).into()),
        (call.t("文号", "Order"), call.fields.get("order").map(Markup::from).into()),
        (call.t("制作", "Made by"), Markup::from(call.visit.account.title()).and(" ").and(moment(call.now))),
        (
            call.t("范围", "Extent"),
            Markup::from(format!("{} {}", found.rows.len(), call.t("条记录", "entries"))),
        ),
    ]);
    let mut table = Table::new(
        call.t("查阅情况", "Who looked"),
        &[
            call.t("时间", "When"),
            call.t("谁", "Who"),
            call.t("事项", "Item"),
            call.t("证照", "License"),
            call.t("授权", "Authorization"),
            call.t("结果", "Result"),
            call.t("记录", "Entry"),
        ],
    );
    for (standing, leaf) in found.rows.iter().filter_map(|standing| Some((standing, standing.leaf()?))) {
        let short = leaf.auth.map(|auth| auth.to_string().chars().take(12).collect::<String>());
        table.row([
            at(Now::from_ms(leaf.ts)),
            leaf.peer.as_deref().map(Markup::from).into(),
            leaf.item.as_deref().map(code).into(),
            leaf.lt.as_deref().map(code).into(),
            short.map(code).into(),
            decision(call.lang, &leaf),
            link(&leaf_path(standing), standing.index.to_string()),
        ]);
    }
    let print = el("p")
        .class("screen")
        .add(el("button").attr("type", "button").flag("data-print", true).add(call.t("打印", "Print")));
    recorded(call, found)
        .and(panel(
            call.t("报告", "Report"),
            Markup::from(head).and(table.or(call.t("没有查阅记录。", "Nobody looked."))),
        ))
        .and(panel(call.t("审计人员的查阅", "Auditors' own acts"), acts(call, found)))
        .and(print)
}

fn acts(call: &Call<'_>, found: &Found) -> Markup {
    let mut table = Table::new(
        call.t("审计人员的查阅", "Auditors' own acts"),
        &[
            call.t("时间", "When"),
            call.t("账号", "Account"),
            call.t("事由", "Act"),
            call.t("用途", "Purpose"),
            call.t("文号", "Order"),
        ],
    );
    for act in &found.acts {
        table.row([
            act.get("at").and_then(Value::as_i64).map(|ms| at(Now::from_ms(ms))).into(),
            code(text(act, "/by")),
            code(text(act, "/act")),
            theirs(text(act, "/purpose")),
            theirs(text(act, "/order")),
        ]);
    }
    table.or(call.t("没有。", "None."))
}

/// `/authorization`.
pub fn authorization_form(call: &Call<'_>) -> Page {
    Page::new(call.t("授权使用", "Uses of an authorization"), authorization_fields(call, None))
}

fn authorization_fields(call: &Call<'_>, fault: Option<&DeskFault>) -> Markup {
    let about = el("p").class("nothing").add(call.t(
        "账本只存签发方与授权编号的哈希;填入二者即可列出该授权的每一次使用。",
        "The log holds only a hash of issuer and id; both together find every use.",
    ));
    let form = call
        .form("/authorization")
        .class("stacked")
        .add(field(call, "iss", call.t("签发方 iss", "Issuer (iss)"), 64, true))
        .add(field(call, "jti", call.t("授权编号 jti", "Authorization id (jti)"), 64, true))
        .add(warrant_fields(call))
        .add(submit(call.t("列出使用并留痕", "List the uses, and record it")));
    panel(
        call.t("查授权", "Look up an authorization"),
        Markup::from(about).and(fault.map(|fault| fault_shown(call, fault))).and(form),
    )
    .into()
}

/// `POST /authorization`.
pub async fn authorization(call: &Call<'_>) -> Page {
    let title = call.t("授权使用", "Uses of an authorization");
    let both = call.fields.get("iss").zip(call.fields.get("jti"));
    let sought =
        both.map(|(issuer, jti)| Sought::Authorization { issuer: issuer.to_owned(), jti: jti.to_owned() });
    match asked(call, sought, false).await {
        Ok(found) => {
            let taken =
                found.rows.iter().filter_map(Standing::leaf).filter(|leaf| leaf.code.is_none()).count();
            let words = format!(
                "{} {taken} · {} {}",
                call.t("准予", "permitted"),
                call.t("共", "in all"),
                found.rows.len()
            );
            let rows = leaves(call, &found.rows, call.t("没有使用记录。", "It was never used."));
            let body = Markup::from(el("p").add(words)).and(rows);
            Page::new(title, recorded(call, &found).and(panel(call.t("使用", "Uses"), body)))
        }
        Err(fault) => failed(title, authorization_fields(call, Some(&fault)), &fault),
    }
}
