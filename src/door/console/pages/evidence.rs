//! Evidence that an auditor asked for: what became of each request, and the page on which his
//! own browser opens it with his own key.

use hyper::StatusCode;

use crate::clock::Now;

use super::super::super::answer;
use super::super::assets;
use super::super::markup::{El, Markup, el, segment};
use super::asking::fault_shown;
use super::exchange::download;
use super::parts::{Table, at, badge, code, link, panel, theirs};
use super::{Call, Page, Shown, unreadable};

/// `/evidence`: this account's requests.
pub async fn list(call: &Call<'_>) -> Page {
    let title = call.t("证据", "Evidence");
    let Ok(requests) = call.console.desk.requests_of(&call.visit.account).await else {
        return Page::new(title, unreadable(call));
    };
    let about = el("p").class("nothing").add(call.t(
        "网关自身无法打开证据:经另一人批准后,用您自己的私钥在本浏览器中开启。申请与批准有效期各为一日。",
        "The gateway cannot open evidence: once a second person has approved, your own key opens it in this browser. A request and an approval last a day each.",
    ));
    let mut table = Table::new(
        title,
        &[
            call.t("时间", "Asked"),
            call.t("用途", "Purpose"),
            call.t("文号", "Order"),
            call.t("记录", "Entries"),
            call.t("状态", "State"),
        ],
    );
    for request in &requests {
        let state = match &request.approved {
            Some(approved) => badge("badge good", call.t("已批准", "approved"))
                .and(" ")
                .and(code(&approved.by))
                .and(" ")
                .and(link(&format!("/evidence/{}", segment(&request.id)), call.t("开启", "Open"))),
            None => badge("badge", call.t("待批", "waits")),
        };
        table.row([
            at(Now::from_ms(request.at)),
            theirs(&request.purpose),
            theirs(&request.order),
            request.of.iter().map(|index| code(format!("{}/{index}", request.shard)).and(" ")).collect(),
            state,
        ]);
    }
    Page::new(title, Markup::from(about).and(table.or(call.t("没有申请。", "Nothing was asked for."))))
}

/// `/evidence/{request}`: opens in the browser, or is taken along, still sealed.
pub async fn one(call: &Call<'_>, id: &str) -> Page {
    let title = call.t("开启证据", "Open evidence");
    let opened = match call.console.desk.opened(&call.visit.account, id).await {
        Ok(opened) => opened,
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Page { status, ..Page::new(title, fault_shown(call, &fault)) };
        }
    };
    let bundle = format!("/evidence/{}/bundle.json", segment(id));
    let absent = opened.absent.iter().map(|absent| {
        let state = serde_json::to_value(absent.evidence).ok();
        let state = state.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        el("li").add(code(absent.index.to_string())).add(" ").add(state)
    });
    let absent: Option<El> = (!opened.absent.is_empty())
        .then(|| el("ul").attr("aria-label", call.t("无证据", "Without evidence")).each(absent));
    let key = el("p")
        .class("field")
        .add(el("label").attr("for", "auditor-key").add(call.t(
            "您的审计私钥(JWK 文件,不离开本机)",
            "Your auditor's private key (a JWK file; it does not leave this machine)",
        )))
        .add(
            el("input")
                .attr("type", "file")
                .attr("id", "auditor-key")
                .attr("accept", ".jwk,.json,application/json"),
        );
    let take = el("p").add(link(
        &bundle,
        call.t(
            "下载密文(可用 tongban audit open --bundle 开启)",
            "Download it sealed (tongban audit open --bundle opens it)",
        ),
    ));
    let body = Markup::from(key)
        .and(el("p").attr("id", "opening").attr("role", "status"))
        .and(el("noscript").add(el("p").add(call.t(
            "浏览器内开启需要 JavaScript;可下载密文用命令行开启。",
            "Opening here needs JavaScript; the command line opens the download.",
        ))))
        .and(el("div").attr("id", "opened").attr("data-bundle", &bundle))
        .and(take)
        .and(absent);
    let script = el("script").attr("type", "module").attr("src", &assets::assets().evidence.path);
    Page::new(title, Markup::from(panel(call.t("证据", "Evidence"), body)).and(script))
}

/// `/evidence/{request}/bundle.json`: still sealed.
pub async fn bundle(call: &Call<'_>, id: &str) -> Shown {
    match call.console.desk.opened(&call.visit.account, id).await {
        Ok(opened) => match serde_json::to_vec(&opened) {
            Ok(bytes) => download("evidence.json", "application/json", bytes).into(),
            Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR).into(),
        },
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            answer::empty(status).into()
        }
    }
}
