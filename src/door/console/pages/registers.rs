//! Registers: what auditors did (searches, openings, exports, erasures) and what changed
//! (keys, configuration, the log itself), as it stands in the log.

use serde_json::Value;

use crate::clock::Now;
use crate::ledger::{LeafKind, LookedBack, Standing};

use super::super::desk::{contains, shard_of};
use super::super::markup::{Markup, el, segment};
use super::super::words::Lang;
use super::parts::{Table, at, code, kind, link, text, theirs};
use super::{Call, Page, unreadable};

/// Entries on a page, and leaves looked through for them: registers are rare among exchanges,
/// a page costs half a second at most and says how far it looked.
const ROWS: usize = 100;
const LOOKED_THROUGH: u64 = 200_000;

const KINDS: [LeafKind; 9] = [
    LeafKind::Search,
    LeafKind::Open,
    LeafKind::Export,
    LeafKind::Erase,
    LeafKind::Key,
    LeafKind::Config,
    LeafKind::Incident,
    LeafKind::Genesis,
    LeafKind::Close,
];

pub async fn page(call: &Call<'_>) -> Page {
    let title = call.t("登记簿", "Registers");
    let wanted: Vec<LeafKind> = match call.query.get("kind") {
        Some(word) => KINDS.into_iter().filter(|kind| kind.name() == word).collect(),
        None => KINDS.to_vec(),
    };
    let (present, _) = call.house.ledger.present();
    let origin = match call.query.get("log") {
        Some(shard) => format!("tongban/{}/{shard}", call.house.me),
        None => present,
    };
    let below = call.query.get("below").and_then(|below| below.parse().ok()).unwrap_or(u64::MAX);
    let log = origin.clone();
    let marks: Vec<String> = wanted.iter().map(|kind| format!("\"t\":\"{}\"", kind.name())).collect();
    let looked = call.read(move |house| {
        house.ledger.look_back(&log, below, LOOKED_THROUGH, ROWS, |leaf| {
            marks.iter().any(|mark| contains(&leaf.bytes, mark.as_bytes()))
        })
    });
    let Some(looked) = looked.await else { return Page::new(title, unreadable(call)) };
    let about = el("p")
        .class("nothing")
        .add(call.t(
            "用途与文号存于登记簿,账本只存其哈希;二者是否一致,见",
            "Purposes and orders stand in the registers, the log holds their hashes; whether both agree is told at",
        ))
        .add(" ")
        .add(link("/integrity", call.t("完整性", "Integrity")));
    let body = Markup::from(about)
        .and(filter(call))
        .and(table(call, &looked.found).await)
        .and(further(call, &origin, &looked));
    Page::new(title, body)
}

fn filter(call: &Call<'_>) -> Markup {
    let current = call.query.get("kind");
    let all = link("/registers", call.t("全部", "all"));
    let all = if current.is_none() { el("strong").add(all).into() } else { all };
    let kinds = KINDS.map(|of| {
        let shown = link(&format!("/registers?kind={}", segment(of.name())), kind(call.lang, of));
        let shown = if current == Some(of.name()) { el("strong").add(shown).into() } else { shown };
        el("li").add(shown)
    });
    el("ul")
        .class("filter")
        .attr("aria-label", call.t("类别", "Kinds"))
        .add(el("li").add(all))
        .each(kinds)
        .into()
}

async fn table(call: &Call<'_>, found: &[Standing]) -> Markup {
    let mut table = Table::new(
        call.t("登记簿", "Registers"),
        &[
            call.t("#序号", "#Index"),
            call.t("时间", "Time"),
            call.t("类别", "Kind"),
            call.t("账号", "Account"),
            call.t("用途 / 文号", "Purpose / order"),
            call.t("内容", "What"),
            call.t("#条数", "#Count"),
        ],
    );
    for standing in found {
        let Some(leaf) = standing.leaf() else { continue };
        let entry = match &leaf.rd {
            Some(rd) if leaf.by.is_some() => call.console.desk.entry(&rd.0).await,
            _ => None,
        };
        let why = entry.as_ref().map(why);
        let what = [leaf.op.as_deref(), leaf.code.as_deref()].into_iter().flatten().map(code);
        table.row([
            format!("{}/{}", shard_of(&standing.origin), standing.index).into(),
            at(Now::from_ms(leaf.ts)),
            kind(call.lang, leaf.t).into(),
            leaf.by.as_deref().map(code).into(),
            why.into(),
            what.fold(Markup::default(), |all, one| if all.is_empty() { one } else { all.and(" ").and(one) }),
            leaf.n.into(),
        ]);
    }
    table.or(call.t("没有登记。", "Nothing is registered here."))
}

fn why(entry: &Value) -> Markup {
    theirs(text(entry, "/purpose")).and(" · ").and(theirs(text(entry, "/order")))
}

fn further(call: &Call<'_>, origin: &str, looked: &LookedBack) -> Markup {
    if looked.down_to == 0 {
        return el("p")
            .class("nothing")
            .add(call.t("已到账本开头。", "This is the beginning of the log."))
            .into();
    }
    let kind = call.query.get("kind").map(|kind| format!("&kind={}", segment(kind))).unwrap_or_default();
    let path = format!("/registers?log={}&below={}{kind}", segment(shard_of(origin)), looked.down_to);
    let words = match call.lang {
        Lang::Zh => format!("继续向前(已查至第 {} 条)", looked.down_to),
        Lang::En => format!("Further back (looked down to entry {})", looked.down_to),
    };
    el("p").class("more").add(link(&path, words)).into()
}
