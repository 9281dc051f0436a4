//! The security administrator's pages: what waits for a second person, and who may come here.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;

use crate::clock::Now;

use super::super::desk::Pending;
use super::super::guard;
use super::super::markup::{Markup, el};
use super::asking::fault_shown;
use super::parts::{Table, at, badge, code, theirs};
use super::{Call, Page, Shown, unreadable};

pub async fn approvals(call: &Call<'_>) -> Page {
    let title = call.t("双人审批", "Approvals");
    let Ok(pending) = call.console.desk.pending().await else { return Page::new(title, unreadable(call)) };
    let about = el("p").class("nothing").add(call.t(
        "开启证据、删除与解除保全须由另一人批准;批准或驳回均记入账本。",
        "Opening evidence, erasing and releasing a hold take a second person's word, which is recorded.",
    ));
    let mut table = Table::new(
        title,
        &[
            call.t("时间", "Asked"),
            call.t("事由", "Act"),
            call.t("申请人", "By"),
            call.t("用途", "Purpose"),
            call.t("文号", "Order"),
            call.t("记录", "Entries"),
            call.t("决定", "Decision"),
        ],
    );
    for asked in &pending {
        table.row([
            at(Now::from_ms(asked.at)),
            badge("badge", asked.act.as_str()),
            code(&asked.by),
            theirs(&asked.purpose),
            theirs(&asked.order),
            asked.of.iter().map(|place| code(place).and(" ")).collect(),
            decision(call, asked),
        ]);
    }
    Page::new(title, Markup::from(about).and(table.or(call.t("没有待批事项。", "Nothing waits."))))
}

fn decision(call: &Call<'_>, asked: &Pending) -> Markup {
    if asked.by == call.visit.account.name() {
        return call.t("须由另一人批准", "another person decides").into();
    }
    let button = |word, class, zh, en| {
        el("button")
            .attr("type", "submit")
            .attr("name", "word")
            .attr("value", word)
            .class(class)
            .add(call.t(zh, en))
    };
    call.form("/approvals")
        .class("inline")
        .add(el("input").attr("type", "hidden").attr("name", "id").attr("value", &asked.id))
        .add(button("yes", "primary", "批准", "Approve"))
        .add(button("no", "quiet", "驳回", "Refuse"))
        .into()
}

pub async fn decide(call: &Call<'_>) -> Shown {
    let yes = call.fields.get("word") == Some("yes");
    let id = call.fields.get("id").unwrap_or_default();
    match call.console.desk.decide(&call.visit.account, id, yes).await {
        Ok(()) => guard::see_other("/approvals").into(),
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let page = Page::new(call.t("双人审批", "Approvals"), fault_shown(call, &fault));
            Page { status, ..page }.into()
        }
    }
}

pub fn accounts(call: &Call<'_>) -> Page {
    let sessions: HashMap<String, usize> = call.console.sessions.by_account(call.now);
    let trust = call.house.trust.load();
    let mut table = Table::new(
        call.t("账号", "Accounts"),
        &[
            call.t("账号", "Account"),
            call.t("姓名", "Title"),
            call.t("角色", "Role"),
            call.t("状态", "Status"),
            call.t("证书公钥", "Certificate keys"),
            call.t("#会话", "#Sessions"),
        ],
    );
    for account in trust.accounts.iter() {
        let (zh, en) = account.role().says();
        let status = if account.is_active() {
            badge("badge good", call.t("启用", "active"))
        } else {
            badge("badge", call.t("停用", "suspended"))
        };
        let pins = account.pins().iter().map(|pin| el("li").add(code(URL_SAFE_NO_PAD.encode(pin))));
        table.row([
            code(account.name()),
            theirs(account.title()),
            call.lang.pick(zh, en).into(),
            status,
            el("ul").class("tight").each(pins).into(),
            sessions.get(account.name()).copied().unwrap_or_default().to_string().into(),
        ]);
    }
    let about = el("p").class("nothing").add(call.t(
        "账号即 trust/console/ 下的文件:用 tongban console account 新增,删除文件即停用,一分钟内生效。",
        "An account is a file in trust/console/: tongban console account makes one, removing it ends its sessions within a minute.",
    ));
    Page::new(
        call.t("账号", "Accounts"),
        Markup::from(about).and(table.or(call.t("没有账号。", "No accounts."))),
    )
}
