//! One exchange or one entry: both sides' timeline, what was checked, and the proof of each entry.

use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};

use crate::ledger::{Leaf, LeafKind, Standing};
use crate::outbound::promised;

use super::super::super::answer::{self, HttpAnswer};
use super::super::counterparts::Looked;
use super::super::desk::shard_of;
use super::super::guard;
use super::super::markup::{Markup, el};
use super::entry::{ladder, members};
use super::parts::{code, code_with_title, decision, exchange_path, facts, link, panel};
use super::{Call, Page, Shown, acts, checks, missing, timeline, unreadable};

/// Entries of one exchange that the partner is asked about at one click: there are two of ours at
/// most, and one of each direction where a partner used our id.
const MOST_ASKED: usize = 4;

/// `/exchanges/{id}`: every leaf of it that this side has.
pub async fn by_id(call: &Call<'_>, exchange: &str) -> Page {
    let wanted = exchange.to_owned();
    let Some(found) = call.read(move |house| house.ledger.of_exchange(&wanted)).await else {
        return Page::new(call.t("交换", "Exchange"), unreadable(call));
    };
    if found.is_empty() {
        return missing(call);
    }
    let mut body = summary(call, exchange, &found);
    let timeline = panel(call.t("双方经过", "Both sides"), timeline::shown(call, exchange, &found));
    body = body.and(timeline.attr("id", "timeline"));
    for leaf in found.iter().filter_map(Standing::leaf) {
        body = body.and(checks::shown(call, &leaf));
    }
    for standing in &found {
        body = body.and(ladder(call, standing).await);
    }
    if let Some(last) = found.last() {
        body = body.and(acts::forms(call, last));
    }
    Page::new(call.t("一次交换", "One exchange"), body)
}

/// `POST /exchanges/{id}`: the partner is asked for its half, now and once; what is found is kept
/// for the page.
pub async fn ask_partner(call: &Call<'_>, exchange: &str) -> Shown {
    let wanted = exchange.to_owned();
    let Some(found) = call.read(move |house| house.ledger.of_exchange(&wanted)).await else {
        return Page::new(call.t("交换", "Exchange"), unreadable(call)).into();
    };
    if found.is_empty() {
        return missing(call).into();
    }
    let ends = found.iter().filter_map(|standing| Some((standing, standing.leaf()?)));
    let ends = ends.filter(|(_, leaf)| timeline::has_counterpart(leaf));
    for (standing, leaf) in ends.take(MOST_ASKED) {
        let found = promised::look(call.house, &leaf).await;
        call.console.counterparts.keep(standing, Looked { at: call.house.clock.now(), found });
    }
    guard::see_other(&format!("{}#timeline", exchange_path(exchange))).into()
}

/// `/leaves/{shard}/{index}`: one entry, whatever it is of.
pub async fn by_place(call: &Call<'_>, shard: &str, index: &str) -> Page {
    let Some(standing) = at_place(call, shard, index).await else { return missing(call) };
    let leaf = standing.leaf();
    let exchange = leaf.as_ref().and_then(|leaf| leaf.x.as_deref());
    let to_exchange =
        exchange.map(|x| el("p").add(link(&exchange_path(x), call.t("查看整个交换", "The whole exchange"))));
    let body = Markup::from(panel(call.t("记录", "Entry"), members(call, &standing.bytes)))
        .and(to_exchange)
        .and(ladder(call, &standing).await)
        .and(exchange.map(|_| acts::forms(call, &standing)));
    let title = format!("{} {}/{}", call.t("记录", "Entry"), shard_of(&standing.origin), standing.index);
    Page::new(title, body)
}

/// `/proofs/{shard}/{index}.tlog-proof`.
pub async fn proof(call: &Call<'_>, shard: &str, name: &str) -> Shown {
    let Some(standing) = at_place(call, shard, name.strip_suffix(".tlog-proof").unwrap_or_default()).await
    else {
        return missing(call).into();
    };
    let file = format!("{}-{}.tlog-proof", shard_of(&standing.origin), standing.index);
    let (origin, index) = (standing.origin, standing.index);
    match call.read(move |house| house.ledger.entry(&origin, index)).await.flatten() {
        Some(entry) => download(&file, "text/plain; charset=utf-8", entry.proof).into(),
        None => missing(call).into(),
    }
}

pub fn download(name: &str, media_type: &'static str, bytes: Vec<u8>) -> HttpAnswer {
    let mut answer = answer::bytes(StatusCode::OK, media_type, bytes);
    // Half-year and index: nothing in it needs quoting.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    answer
}

/// The leaf at a place of one of our logs.
pub async fn at_place(call: &Call<'_>, shard: &str, index: &str) -> Option<Standing> {
    let index: u64 = index.parse().ok()?;
    let origin = format!("tongban/{}/{shard}", call.house.me);
    call.read(move |house| house.ledger.leaves(&origin, index..index.saturating_add(1))).await?.pop()
}

fn summary(call: &Call<'_>, exchange: &str, found: &[Standing]) -> Markup {
    let leaves: Vec<Leaf> = found.iter().filter_map(Standing::leaf).collect();
    let first = leaves.first();
    let last = leaves.last();
    let of = |read: fn(&Leaf) -> Option<&String>| leaves.iter().find_map(read).map(code);
    let answering = first.is_some_and(|leaf| leaf.t == LeafKind::In);
    let side =
        if answering { call.t("本方作答", "we answered") } else { call.t("本方请求", "we asked") };
    let outcome = last.map(|leaf| {
        decision(call.lang, leaf)
            .and(" ")
            .and(leaf.code.as_deref().map(|word| code_with_title(call.lang, word)))
    });
    facts([
        (call.t("交换编号", "Exchange id"), code(exchange)),
        (call.t("方向", "Direction"), side.into()),
        (call.t("对方", "Partner"), of(|leaf| leaf.peer.as_ref()).into()),
        (call.t("操作", "Operation"), of(|leaf| leaf.op.as_ref()).into()),
        (call.t("事项", "Item"), of(|leaf| leaf.item.as_ref()).into()),
        (call.t("证照类型", "License type"), of(|leaf| leaf.lt.as_ref()).into()),
        (call.t("结果", "Outcome"), outcome.into()),
    ])
    .into()
}
