//! Acts on one exchange (open its evidence, export, hold): asked for here, done and recorded by
//! the desk, some on a second person's word.

use hyper::StatusCode;

use crate::ledger::Standing;

use super::super::desk::{Act, DeskFault, Warrant, shard_of};
use super::super::markup::{El, Markup, el};
use super::super::words::Lang;
use super::asking::{fault_shown, warrant_fields};
use super::parts::{leaf_path, panel};
use super::{Call, Page, Shown, exchange, missing};

/// What an auditor may ask for.
const OFFERED: [(Act, &str, &str); 3] = [
    (Act::Open, "申请开启证据(须另一人批准)", "Ask to open the evidence (a second person decides)"),
    (Act::Export, "导出举证包", "Export a package"),
    (Act::Hold, "保全(不得删除)", "Hold (may not be erased)"),
];

/// The form for acts on the exchange that this leaf belongs to.
pub fn forms(call: &Call<'_>, standing: &Standing) -> El {
    let choices = OFFERED.map(|(act, zh, en)| {
        let id = format!("act-{}", act.word());
        el("p")
            .class("choice")
            .add(
                el("input")
                    .attr("type", "radio")
                    .attr("name", "act")
                    .attr("value", act.word())
                    .attr("id", &id)
                    .flag("required", true),
            )
            .add(el("label").attr("for", &id).add(call.lang.pick(zh, en)))
    });
    let choices = el("fieldset").add(el("legend").add(call.t("要做什么", "What to do"))).each(choices);
    let form = call
        .form(&leaf_path(standing))
        .class("stacked")
        .add(choices)
        .add(warrant_fields(call))
        .add(el("button").attr("type", "submit").class("primary").add(call.t("提交", "Submit")));
    panel(call.t("处理此交换", "Act on this exchange"), form)
}

pub async fn act(call: &Call<'_>, shard: &str, index: &str) -> Shown {
    let Some(standing) = exchange::at_place(call, shard, index).await else { return missing(call).into() };
    let Some(act) = call.fields.get("act").and_then(Act::from_word) else { return missing(call).into() };
    let warrant = Warrant::new(call.fields.get("purpose"), call.fields.get("order"));
    let (desk, who) = (&call.console.desk, &call.visit.account);
    let place = format!("{}/{}", shard_of(&standing.origin), standing.index);
    let done = if act == Act::Export {
        match desk.package(who, &warrant, &standing).await {
            Ok(package) => {
                let name = format!("{}-{}.tar", shard_of(&standing.origin), standing.index);
                return exchange::download(&name, "application/x-tar", package).into();
            }
            Err(fault) => Err(fault),
        }
    } else {
        desk.act(who, &warrant, act, &place).await
    };
    done_shown(call, &standing, done).into()
}

fn done_shown(call: &Call<'_>, standing: &Standing, done: Result<(String, String), DeskFault>) -> Page {
    let title = call.t("处理此交换", "Act on this exchange");
    match done {
        Ok((zh, en)) => {
            let words = match call.lang {
                Lang::Zh => zh,
                Lang::En => en,
            };
            Page::new(title, el("p").class("notice good").attr("role", "status").add(words))
        }
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = Markup::from(fault_shown(call, &fault)).and(forms(call, standing));
            Page { status, ..Page::new(title, body) }
        }
    }
}
